"""Does a model always give the same answer, right or wrong? From stored completions, without running it (METHOD 10.1).

**The answer of a completion** is the first known object of the relation that the text names: by rule "tokens" of knowledge/matching.py,
the longest where several begin at one place. Known are the correct answers to all facts of the relation, whatever their split, with
their aliases. A text that names none has its first clause for an answer, up to a mark, line break, bracket or dash. One without a letter
or digit has no answer: it is left out, and counted as silent. Names that are aliases of one another are one answer, and so are all
correct answers to one fact. A completion that names another object before a correct one is a hit, and its answer is the other one.

CONSISTENCY, one row a fact that has completions, in the order of the facts asked for:

| fact_id | str | |
| answered, silent | int | completions with an answer, and without one |
| named | int | completions that name a known object |
| modal, modal_share | str, float | the commonest answer ("" for none), and its share of `answered`; of equally common ones the first in the
  alphabet, right or not |
| right | bool | whether it is correct |
| second, second_share | str, float | the next one; "" and 0 where there is no other |
| different | int | different answers |
| agreement | float | C: share of pairs of templates with the same modal answer; NaN with fewer than two that have one |
| entropy | float | H = -sum p log p over all answers' shares p, natural logarithm; NaN without an answer |
| kind | str | one of ANSWER_KINDS; "" without an answer |

TEMPLATE_ANSWERS, one row a template with an answer: fact (position), template, answer, number (of the answer), count and answered
(completions with this answer, with any), right. Of equally common answers to one template that one is modal which the fact has more
often in all, then the first in the alphabet.

**Kinds.** *torn*: the two commonest answers share most of the answers, and the second has at least half as many as the first; else
*vague*: the answers are as mixed as more than nine equally common ones; else one answer leads: *settled* where it is correct, *rival*
where it is not. The two thresholds were set on atlas's dev facts (docs/method.md says how).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sftqa_core.artifacts import Kept
from sftqa_core.engine.wanted_facts import WantedFact
from sftqa_core.errors import ArtifactDamaged, SettingsError
from sftqa_core.knowledge.aliases import Aliases, load_aliases
from sftqa_core.knowledge.matching import Names, first_clause, same_name
from sftqa_core.memory import scores
from sftqa_core.memory.probe_stores import CompletionStore
from sftqa_core.memory.profiles import open_for, profile_stamp
from sftqa_core.memory.stored_levels import AskedFacts, sampled_rows, stores_of
from sftqa_core.models.catalogue import find_model
from sftqa_core.records import LevelScheme, ProbeSettings

TORN_TOGETHER, TORN_SECOND = 0.55, 0.5  # least share of the two commonest answers, and of the second one in the first
VAGUE_ABOVE = math.log(9)  # H of nine equally common answers
SURE_ABOVE = 0.75  # modal share above which a model is confident (METHOD 10.1)
_FACTS_AT_ONCE = 10_000  # whose completions are in memory together: some 300 MB
_Numbers = NDArray[np.int64]


def standing_for(answer: str, aliases: Aliases) -> str:
    """The name that stands for an answer and its aliases, as names are compared."""
    return min(map(same_name, aliases.expand((answer,))))


class KnownObjects:
    """The objects of one relation, and which answer a text gives."""

    def __init__(self, answers: Iterable[Iterable[str]], aliases: Aliases):
        given = dict.fromkeys(name for names in answers for name in names)
        self.standing = {name: standing_for(answer, aliases) for answer in given for name in aliases.expand((answer,))}
        self.shown = {self.standing[name]: name for name in reversed(given)}  # as the facts write it
        self._names = Names(self.standing)

    def read(self, text: str) -> tuple[str, bool]:
        """The answer that a completion gives, "" for none, and whether it is a known object."""
        name = self._names.first(text)
        return (first_clause(text), False) if name is None else (self.standing[name], True)


@dataclass(frozen=True)
class Given:
    """How often each answer was given to each template, as numbers: those of answers are their places in `words`."""

    facts: _Numbers  # [rows] position in the fact table; a row is an answer to a template
    templates: _Numbers
    answers: _Numbers
    counts: _Numbers
    words: NDArray[np.object_]  # in the order of the alphabet; objects as the facts write them
    right: _Numbers  # [facts] the correct answers', which are one
    silent: _Numbers  # [facts] completions without an answer
    named: _Numbers  # [facts] completions that name a known object


def known_objects(facts: pd.DataFrame, aliases: Aliases) -> dict[str, KnownObjects]:
    """The objects of each relation in a fact table."""
    groups = facts["answers"].groupby(facts["relation"].astype("str"))
    return {str(name): KnownObjects(answers, aliases) for name, answers in groups}


def given_answers(completions: pd.DataFrame, facts: pd.DataFrame, objects: Mapping[str, KnownObjects]) -> Given:
    """The answers in COMPLETIONS of these `facts` (a fact table); `objects` of all their relations.

    Greedy completions and those of other facts are left out. A text is read once for each relation.
    """
    whose, ids = pd.factorize(completions["fact_id"])
    whose = pd.Index(facts["fact_id"].astype("str")).get_indexer(pd.Index(ids).astype("str"))[whose]
    kept = (whose >= 0) & (completions["template"].to_numpy() >= 0)
    whose, rows = whose[kept], completions[kept]
    answers, named, right, words = _numbered(whose, rows["text"], facts, objects)
    counts, count, size = rows["count"].to_numpy(dtype=np.int64), len(facts), len(words)
    silent, naming = (np.bincount(whose, counts * which, count).astype(np.int64) for which in (answers == 0, named))
    width = int(rows["template"].max()) + 1 if len(rows) else 1
    keys = (whose * width + rows["template"].to_numpy(dtype=np.int64)) * size + answers
    at, keys = pd.factorize(keys[answers > 0])
    added = np.bincount(at, counts[answers > 0], len(keys)).astype(np.int64)
    return Given(keys // size // width, keys // size % width, keys % size, added, words, right, silent, naming)


def _numbered(
    whose: _Numbers, texts: pd.Series, facts: pd.DataFrame, objects: Mapping[str, KnownObjects]
) -> tuple[_Numbers, NDArray[np.bool_], _Numbers, NDArray[np.object_]]:
    """The answer of each row's text and whether it is a known object [rows], the correct answer [facts], and what the numbers stand for.

    0 stands for no answer.
    """
    relations, names = pd.factorize(facts["relation"].astype("str"))
    asked = [objects[name] for name in names]
    codes, distinct = pd.factorize(texts)
    said, most = distinct.tolist(), max(len(distinct), 1)
    of_row, pairs = pd.factorize(relations[whose] * most + codes)
    read = [asked[pair // most].read(said[pair % most]) for pair in pairs.tolist()]
    correct = [
        (at, asked[relation].standing[answer])
        for at, (relation, answers) in enumerate(zip(relations, facts["answers"], strict=True))
        for answer in answers
    ]
    alphabet = sorted({"", *(answer for answer, _ in read), *(answer for _, answer in correct)})
    number = {word: at for at, word in enumerate(alphabet)}
    answers = np.array([number[answer] for answer, _ in read], dtype=np.int64)[of_row]
    fact_of, right_of = np.array([(at, number[answer]) for at, answer in correct], dtype=np.int64).reshape(-1, 2).T
    right = right_of[np.unique(fact_of, return_index=True)[1]]  # the first answer stands for the others
    is_right = pd.Series(whose * len(alphabet) + answers).isin(fact_of * len(alphabet) + right_of).to_numpy()
    shown = {word: name for one in asked for word, name in one.shown.items()}
    words = np.array([shown.get(word, word) for word in alphabet], dtype=object)
    return np.where(is_right, right[whose], answers), np.array([known for _, known in read], dtype=bool)[of_row], right, words


def consistency(given: Given, fact_ids: Any) -> pd.DataFrame:
    """CONSISTENCY of the facts that have completions; `fact_ids` [facts]."""
    count, size = len(given.right), len(given.words)
    of_row, keys = pd.factorize(given.facts * size + given.answers)
    facts, answers = keys // size, keys % size
    counts = np.bincount(of_row, given.counts, len(keys)).astype(np.int64)
    order = np.lexsort((answers, -counts, facts))
    facts, answers, counts = facts[order], answers[order], counts[order]
    first = np.searchsorted(facts, np.arange(count))
    answered = np.bincount(facts, counts, count).astype(np.int64)
    different = np.bincount(facts, minlength=count)
    shares = counts / np.maximum(answered, 1)[facts]
    entropy = np.bincount(facts, -shares * np.log(shares), count)
    rank = np.arange(len(facts)) - first[facts]
    top, top_shares = np.zeros((2, count), dtype=np.int64), np.zeros((2, count))
    for at in (0, 1):
        here = rank == at
        top[at, facts[here]], top_shares[at, facts[here]] = answers[here], shares[here]
    right = (top[0] == given.right) & (answered > 0)
    table = pd.DataFrame(
        {
            "fact_id": np.asarray(fact_ids, dtype=object),
            "answered": answered,
            "silent": given.silent,
            "named": given.named,
            "modal": given.words[top[0]],
            "modal_share": top_shares[0],
            "right": right,
            "second": given.words[top[1]],
            "second_share": top_shares[1],
            "different": different,
            "agreement": _agreement(given),
            "entropy": np.where(answered > 0, entropy, np.nan),
            "kind": _kinds(top_shares[0], top_shares[1], entropy, right, answered),
        }
    )
    return table[(answered + given.silent) > 0].reset_index(drop=True)


def _kinds(modal: NDArray[Any], second: NDArray[Any], entropy: NDArray[Any], right: NDArray[Any], answered: _Numbers) -> NDArray[Any]:
    torn = (modal + second >= TORN_TOGETHER) & (second >= TORN_SECOND * modal)
    return np.select([answered == 0, torn, entropy > VAGUE_ABOVE, right], ["", "torn", "vague", "settled"], "rival").astype(object)


def template_answers(given: Given) -> pd.DataFrame:
    """TEMPLATE_ANSWERS."""
    size = len(given.words)
    of_row, keys = pd.factorize(given.facts * size + given.answers)
    in_all = np.bincount(of_row, given.counts, len(keys))[of_row]
    order = np.lexsort((given.answers, -in_all, -given.counts, given.templates, given.facts))
    facts, templates, answers, counts = (values[order] for values in (given.facts, given.templates, given.answers, given.counts))
    new = np.ones(len(facts), dtype=bool)
    new[1:] = (facts[1:] != facts[:-1]) | (templates[1:] != templates[:-1])
    answered = np.add.reduceat(counts, np.flatnonzero(new)) if len(counts) else counts
    return pd.DataFrame(
        {
            "fact": facts[new], "template": templates[new], "answer": given.words[answers[new]], "count": counts[new], "answered": answered,
            "right": answers[new] == given.right[facts[new]], "number": answers[new],
        }
    )  # fmt: skip


def _agreement(given: Given) -> NDArray[np.float64]:
    """C of each fact [facts]."""
    modal, count, size = template_answers(given), len(given.right), len(given.words)
    keys, same = np.unique(modal["fact"].to_numpy() * size + modal["number"].to_numpy(), return_counts=True)
    alike = np.bincount(keys // size, same * (same - 1) / 2, count)
    templates = np.bincount(modal["fact"], minlength=count)
    pairs = templates * (templates - 1) / 2
    return np.where(pairs > 0, alike / np.maximum(pairs, 1), np.nan)


@dataclass(frozen=True)
class FactAnswers:
    """What a model says of one fact."""

    row: dict[str, Any]  # of CONSISTENCY
    templates: pd.DataFrame  # TEMPLATE_ANSWERS
    answers: pd.DataFrame  # the commonest first: answer, count, share, templates (in which it is modal), right


def stored_consistency(model: str, source: str, scheme: LevelScheme | None = None) -> pd.DataFrame:
    """CONSISTENCY of every fact of a source whose completions by statements are stored, of the device that knows most.

    Kept while nothing changes that it depends on, and shared: it must not be changed. Raises `ModelUnavailable` for a model that is not
    there, `FactsError` for such a source.
    """
    scheme = _by_statements(scheme)
    key = (model, source, scheme.sampling, profile_stamp(model, source, scheme))
    return _kept.get(key, lambda: _all_facts(model, source, scheme))


_kept: Kept[pd.DataFrame] = Kept(500_000, len)  # facts, 300 bytes each


def fact_answers(model: str, source: str, fact_id: str, scheme: LevelScheme | None = None) -> FactAnswers | None:
    """The answers of one fact, by the same rules; None where it has no completions by statements."""
    opened, aliases = open_for(model, source), load_aliases()
    facts = opened.facts[opened.facts["fact_id"] == fact_id].reset_index(drop=True)
    asked = AskedFacts(opened, facts, ProbeSettings(model, source, scheme=_by_statements(scheme)), aliases)
    if not len(facts) or (store := _fullest(asked)) is None:
        return None
    alike = opened.facts[opened.facts["relation"] == facts["relation"].iloc[0]]
    given = given_answers(_completions(store, asked.wanted()), facts, known_objects(alike, aliases))
    table = consistency(given, facts["fact_id"])
    return (
        FactAnswers({str(name): value for name, value in table.iloc[0].items()}, template_answers(given), _listed(given))
        if len(table)
        else None
    )


def _listed(given: Given) -> pd.DataFrame:
    """The answers of the only fact (`FactAnswers.answers`)."""
    counts = np.bincount(given.answers, given.counts, len(given.words)).astype(np.int64)
    modal = np.bincount(template_answers(given)["number"], minlength=len(given.words))
    order = np.lexsort((np.arange(len(counts)), -counts))[: (counts > 0).sum()]
    shares, right = counts[order] / max(counts.sum(), 1), order == given.right[0]
    return pd.DataFrame({"answer": given.words[order], "count": counts[order], "share": shares, "templates": modal[order], "right": right})


def _all_facts(model: str, source: str, scheme: LevelScheme) -> pd.DataFrame:
    opened, aliases = open_for(model, source), load_aliases()
    asked = AskedFacts(opened, opened.facts, ProbeSettings(model, source, "all", scheme=scheme), aliases)
    store = _fullest(asked)
    rows = np.zeros(0, dtype=np.int64) if store is None else sampled_rows(store, asked)
    objects = known_objects(opened.facts, aliases)
    tables = []
    for start in range(0, max(len(rows), 1), _FACTS_AT_ONCE):  # once at least: an empty table has its columns
        some = rows[start : start + _FACTS_AT_ONCE]
        facts = opened.facts.iloc[some]
        completions = _nothing() if store is None else _completions(store, asked.wanted(some))
        tables.append(consistency(given_answers(completions, facts, objects), facts["fact_id"]))
    return pd.concat(tables, ignore_index=True)


def _by_statements(scheme: LevelScheme | None) -> LevelScheme:
    """The full probe that a scheme's levels are compared with. Raises `SettingsError` for SliCK's, which has other prompts."""
    scheme = scheme or LevelScheme()
    if not scheme.by_statements:
        raise SettingsError("Consistency is that of completed statements. Choose levels by statements.")
    return replace(scheme, method="sampling")


def _fullest(asked: AskedFacts) -> CompletionStore | None:
    """The store that knows most of the facts asked for; None where the model has none."""
    stores = [store for store in stores_of(find_model(asked.settings.model), asked.settings) if isinstance(store, CompletionStore)]
    return max(stores, key=lambda store: len(sampled_rows(store, asked)), default=None)


def _completions(store: CompletionStore, wanted: Sequence[WantedFact]) -> pd.DataFrame:
    """COMPLETIONS of those of the facts that have them; a damaged part is set aside, and an older one may hold."""
    while located := store.locate(wanted):
        try:
            return store.completions(located)
        except ArtifactDamaged:
            continue
    return _nothing()


def _nothing() -> pd.DataFrame:
    return pd.DataFrame(columns=scores.COMPLETIONS.names)
