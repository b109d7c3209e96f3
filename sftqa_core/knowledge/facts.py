"""The fact table: what every source delivers and everything else reads.

A pandas DataFrame with one row a fact (one subject under one relation), in the source's order:

| column | type | meaning |
|---|---|---|
| fact_id | str | 16 hex digits of SHA-256 over source, relation and normalised subject; never a row number |
| source | str | which source it came from: `atlas`, `entity-questions`, a file's name |
| relation | str | relation id: `P17`, or the user's own |
| subject | str | what the fact is about; for a bare question-answer pair the question itself |
| answers | list[str] | every right object, the fact's own first; the first is what training teaches; aliases are not in it |
| question | str | the question as it is asked |
| split | str | `train`, `dev`, `test`, or `none` (not to be used: it would leak, or it carries QA text in a corpus) |
| domain | str | `in` or `out` |
| echo | bool | an answer stands inside the subject, so echoing the subject would count as a hit |
| subject_in_train | bool | an out-of-domain test fact whose subject also stands in an in-domain train fact |

Optional, absent or null where nothing is known:

| exposures | Int64 | how often the model's pre-training corpus states the fact |
| contested | bool | the corpus also states a rival object |
| rival | str | that rival |
| rival_share | float | the rival's share of the mentions |
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from sftqa_core.errors import FactsError
from sftqa_core.jsonrecord import digest, fingerprint, listed, shown
from sftqa_core.knowledge.matching import is_echo
from sftqa_core.knowledge.relations import Relation
from sftqa_core.records import DOMAINS, SPLITS, SourceReport

if TYPE_CHECKING:
    import pandas as pd

REQUIRED = ("relation", "subject", "answers", "question", "split", "domain")  # what a source has to say of each fact
COLUMNS = ("fact_id", "source", "relation", "subject", "answers", "question", "split", "domain", "echo", "subject_in_train")
OPTIONAL = {"exposures": "Int64", "contested": "bool", "rival": "str", "rival_share": "float64"}
UNUSED = "none"  # the split of facts that no one trains, tunes or tests on
LARGE_FACTS = 10_000  # sources above this are tested on a sample
LARGE_TEST_LIMIT = 100  # test facts a relation of a large source, unless asked otherwise
MAX_TEXT = 2_000  # characters of a subject, question or answer
# control characters, halves of characters (which no file can hold), line and paragraph separators, and those that turn the direction of
# the text after them round, so that it reads as something else
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_UNSEEN = ("Cf", "Cc", "Zs", "Zl", "Zp")


@dataclass(frozen=True)
class FactSource:
    """Everything known about one source of facts. The table must not be changed: it is shared within the process."""

    name: str  # what the person typed to get it
    facts: pd.DataFrame  # the fact table
    relations: dict[str, Relation]  # every relation that occurs in the table
    report: SourceReport
    fingerprint: str  # of the content: facts, questions and relations' templates
    notes: tuple[str, ...] = ()  # what a person should know about these files, though they can be used

    @property
    def large(self) -> bool:
        """More than 10,000 facts: evaluation takes 100 test facts a relation unless told otherwise."""
        return len(self.facts) > LARGE_FACTS

    @property
    def test_limit(self) -> int | None:
        """Test facts a relation that evaluation uses by default; None for all of them."""
        return LARGE_TEST_LIMIT if self.large else None


def subject_key(subject: str) -> str:
    """The subject as it counts for identity: NFKC, white space folded, case kept.

    Case counts because folding it would join different EntityQuestions subjects; with it METHOD 8.4's 218,166 keys
    come out exactly.
    """
    return " ".join((subject if subject.isascii() else unicodedata.normalize("NFKC", subject)).split())


def fact_id(source: str, relation: str, subject: str) -> str:
    """A fact's id: 16 hex digits over source, relation and normalised subject."""
    return digest(f"{source}\x1f{relation}\x1f{subject_key(subject)}")


def fact_table(rows: Iterable[Mapping[str, Any]] | pd.DataFrame, source: str) -> pd.DataFrame:
    """Rows with the `REQUIRED` columns (and any optional ones) as a fact table: ids, echo flags and types added.

    Raises `FactsError` naming every missing column, bad value and doubled fact.
    """
    import pandas as pd

    table = pd.DataFrame(rows if isinstance(rows, pd.DataFrame) else list(rows)).reset_index(drop=True)
    table = table.astype(object)  # walking through plain objects is many times faster than through pandas' own strings
    if problems := _faults(table, source):
        raise FactsError(listed(problems))
    table["source"] = source
    table["fact_id"] = [fact_id(source, r, s) for r, s in zip(table["relation"], table["subject"], strict=True)]
    table["echo"] = [is_echo(s, a) for s, a in zip(table["subject"], table["answers"], strict=True)]
    if "subject_in_train" not in table:  # an out-of-domain test fact whose subject stands in an in-domain train fact (METHOD 8.4)
        subjects = table["subject"].map(subject_key)
        trained = set(subjects[(table["split"] == "train") & (table["domain"] == "in")])
        table["subject_in_train"] = (table["split"] == "test") & (table["domain"] == "out") & subjects.isin(trained)
    doubled = table[table["fact_id"].duplicated()]
    if len(doubled):
        keys = zip(doubled["relation"], doubled["subject"], strict=True)
        raise FactsError(listed([f"Fact {relation}, subject {shown(subject)}: duplicate key." for relation, subject in keys]))
    return _typed(table[[*COLUMNS, *(name for name in OPTIONAL if name in table)]])


def pick_facts(
    facts: pd.DataFrame,
    split: str | None = "test",
    domain: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    per_relation: int | None = None,
) -> pd.DataFrame:
    """Facts of one split (None: of all usable ones) and domain (None or "all": both) in seeded random order.

    Relations take turns, so the first `limit` rows are spread evenly; a larger limit only adds rows at the end. A fact's
    place among its relation's depends on its id and the seed alone, not on which other facts there are.
    `per_relation` keeps at most so many of each relation.
    """
    import numpy as np

    chosen = facts[facts["split"] == split] if split else facts[facts["split"] != UNUSED]
    if domain not in (None, "all"):
        chosen = chosen[chosen["domain"] == domain]
    draws = b"".join(hashlib.sha256(f"{seed}\x1f{name}".encode()).digest()[:8] for name in chosen["fact_id"].tolist())
    order = np.frombuffer(draws, dtype=">u8").astype(np.uint64).argsort(kind="stable")
    relations = chosen["relation"].iloc[order]
    turns = relations.groupby(relations, sort=False).cumcount().to_numpy()
    if per_relation is not None:
        order, turns = order[turns < per_relation], turns[turns < per_relation]
    order = order[turns.argsort(kind="stable")]  # of one turn still in the order of the draws
    return chosen.iloc[order if limit is None else order[:limit]].reset_index(drop=True)


def summarise(name: str, facts: pd.DataFrame, unparsed: int = 0, merged: int = 0, excluded_from_train: int = 0) -> SourceReport:
    """The report of a source whose files hold one row a fact."""
    return SourceReport(name, len(facts), split_counts(facts), unparsed, len(facts), merged, excluded_from_train, int(facts["echo"].sum()))


def split_counts(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """relation -> {train, dev, test} -> rows, relations in order of appearance."""
    counts: dict[str, dict[str, int]] = {relation: dict.fromkeys(SPLITS, 0) for relation in table["relation"].unique()}
    for relation, split in zip(table["relation"], table["split"], strict=True):
        if split in SPLITS:
            counts[relation][split] += 1
    return counts


def content_fingerprint(facts: pd.DataFrame, relations: Mapping[str, Relation]) -> str:
    """16 hex digits over every fact and every relation's wording."""
    content = hashlib.sha256(fingerprint({name: relation.to_dict() for name, relation in relations.items()}).encode())
    for row in facts.astype(object).itertuples(index=False):
        content.update(repr([value if isinstance(value, (str, list)) else str(value) for value in row]).encode("utf-8", "replace"))
    return content.hexdigest()[:16]


def write_facts(facts: pd.DataFrame, path: Path) -> None:
    """Store a fact table as Parquet."""
    facts.to_parquet(path, index=False)


def read_facts(path: Path | BinaryIO) -> pd.DataFrame:
    """The table that `write_facts` stored, in a file or what a file held, with answers as lists again (Parquet alone gives arrays)."""
    import pyarrow.parquet

    stored = pyarrow.parquet.read_table(path).combine_chunks()  # a few rows are taken out of one piece many times as fast
    column = stored.column("answers").combine_chunks()
    words = column.flatten().dictionary_encode()  # equal texts become one object, since many facts have the same answer
    names, at = words.dictionary.to_pylist(), words.indices.to_pylist()
    starts = (column.offsets.to_numpy() - column.offsets[0].as_py()).tolist()
    answers = [[names[word] for word in at[start:end]] for start, end in pairwise(starts)]
    facts = stored.drop_columns(["answers"]).to_pandas()
    facts.insert(stored.column_names.index("answers"), "answers", answers)
    return _typed(facts)


def has_control(text: str) -> bool:
    """Whether a text holds characters that stand in no name: control characters, halves, marks that turn the reading direction."""
    return _CONTROL.search(text) is not None


def text_fault(text: str) -> str | None:
    """Why a text can't be a fact's subject, question or answer, as a clause that follows a name; None if it can."""
    if has_control(text):
        return f"holds a control character: {shown(text)}"
    if len(text) > MAX_TEXT:
        return f"has {len(text):,} characters, the most is {MAX_TEXT:,}"
    if not text.isascii() and all(unicodedata.category(character) in _UNSEEN for character in text):
        return f"holds nothing that can be seen: {shown(text)}"
    return None


def _faults(table: pd.DataFrame, source: str) -> list[str]:
    missing = [f"{source}: the facts have no column '{name}'." for name in REQUIRED if name not in table]
    if missing or not len(table):
        return missing or [f"{source} holds no facts."]
    checks: dict[str, Callable[[Any], bool]] = {
        "relation": _is_text,
        "subject": _is_text,
        "question": _is_text,
        "answers": lambda value: isinstance(value, list) and bool(value) and all(map(_is_text, value)),
        "split": lambda value: value in (*SPLITS, UNUSED),
        "domain": lambda value: value in DOMAINS,
    }
    return [
        f"{source}, fact {number}, {column}: {shown(value)} can't be used."
        for column, good in checks.items()
        for number, value in enumerate(table[column], 1)
        if not good(value)
    ]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and not has_control(value)


def _typed(facts: pd.DataFrame) -> pd.DataFrame:
    kinds = dict.fromkeys(COLUMNS, "str") | {"answers": "object", "echo": "bool", "subject_in_train": "bool"} | OPTIONAL
    if "contested" in facts and facts["contested"].dtype != bool:
        facts = facts.assign(contested=facts["contested"].eq(True))  # a missing value would be cast to True
    return facts.astype({name: kind for name, kind in kinds.items() if name in facts})
