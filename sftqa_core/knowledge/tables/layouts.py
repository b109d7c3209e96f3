"""What columns are called: the roles and their usual names, the field's known layouts, and the mapping that a person writes.

Columns (the first name found counts):

| role | names | meaning |
|---|---|---|
| relation | relation, predicate, property | a built-in id (P17) or one's own; without it the rows are question-answer pairs |
| subject | subject, entity | what the fact is about; a pair's subject is its question |
| answers | answers, answer, objects, object | right answers: one, or a list in any spelling (values.py) |
| aliases | aliases, answer_aliases | more right answers, behind the others |
| question | question | as it is to be asked; otherwise the relation's question form is filled (see rows.py) |
| split | split | train, dev (or validation), test or none; empty: drawn, see `rows.drawn_split` |
| domain | domain | in or out; the same for all rows of a relation; otherwise the relation's |
| exposures | exposures | how often a pre-training corpus states the fact |
| templates | templates | statement prefixes with {subject} for a relation of one's own, like answers |
| topic | topic, category | of question-answer pairs: what they are shown by, in place of a relation |
| choices | choices, options | of multiple choice: the options that an answer's letter or number stands for |
| context | (none) | a text that belongs to the question and is put behind it |

A mapping is written behind the name of any source: `facts.csv?question=query&answers=target`. A dot goes into objects
(`answers=output.answer`), a role that is named twice takes both columns, and a role without a column (`topic=`) is not used.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote

from sftqa_core.errors import FactsError
from sftqa_core.jsonrecord import shown
from sftqa_core.knowledge.facts import UNUSED
from sftqa_core.records import SPLITS

ROLES = {
    "relation": ("relation", "predicate", "property"),
    "subject": ("subject", "entity"),
    "answers": ("answers", "answer", "objects", "object"),
    "aliases": ("aliases", "answer_aliases"),
    "question": ("question",),
    "split": ("split",),
    "domain": ("domain",),
    "exposures": ("exposures",),
    "templates": ("templates",),
    "topic": ("topic", "category"),
    "choices": ("choices", "options"),
    "context": (),
}
OTHER_ROLES = {"object": "answers", "answer": "answers", "objects": "answers"}  # what people also write for a role
AS_PAIRS = "pairs"  # the value of `read`: relations without templates become question-answer pairs
OPTIONS = ("config", "revision", "read")
OWN = "columns by name"
MAX_COLUMNS = 1_000
SPLIT_NAMES = {name: name for name in (*SPLITS, UNUSED)} | {"validation": "dev", "valid": "dev", "val": "dev"}
_OF_QUERIES = re.compile(r"[%&+#;=]")


@dataclass(frozen=True)
class Layout:
    """A set of columns that many files of this field have. `roles`: role -> paths, of which those in `needs` must be there."""

    name: str
    needs: tuple[str, ...]  # columns that tell the layout
    roles: Mapping[str, tuple[str, ...]]


def _pairs(name: str, question: str, answers: str, **more: tuple[str, ...]) -> Layout:
    """A layout of question-answer pairs, told by the columns of both."""
    return Layout(name, (question, answers), {"question": (question,), "answers": (answers,), **more})


def _facts(name: str, relation: str, subject: str, answers: str, **more: tuple[str, ...]) -> Layout:
    return Layout(name, (relation, subject, answers), {"relation": (relation,), "subject": (subject,), "answers": (answers,), **more})


_REWRITE = "requested_rewrite"
LAYOUTS = (
    _pairs("PopQA", "question", "possible_answers", topic=("prop",)),
    Layout(
        "CounterFact",
        (_REWRITE,),
        {
            "relation": (f"{_REWRITE}.relation_id",),
            "subject": (f"{_REWRITE}.subject",),
            "answers": (f"{_REWRITE}.target_true.str",),
            "templates": (f"{_REWRITE}.prompt",),
        },
    ),
    _facts("CounterFact, one column a value", "relation_id", "subject", "target_true", templates=("relation",)),
    _facts("LAMA", "predicate_id", "sub_label", "obj_label", aliases=("obj_aliases",), templates=("template",)),
    _facts("LAMA (Google-RE)", "pred", "sub_label", "obj_label", aliases=("obj_aliases",)),
    _pairs("SimpleQA", "problem", "answer", topic=("topic", "metadata.topic")),
    _pairs("Alpaca", "instruction", "output", context=("input",)),
    _pairs("Dolly", "instruction", "response", context=("context", "input"), topic=("category",)),
    *(
        Layout("chat messages", (column,), {"question": (f"{column}.user",), "answers": (f"{column}.assistant",)})
        for column in ("messages", "conversations", "conversation")
    ),
    _pairs("KILT", "input", "output"),
    *(
        _pairs(f"{asked} and {said}", asked, said)
        for asked in ("prompt", "query", "input")
        for said in ("completion", "response", "answer", "answers", "chosen", "target")
    ),
    _pairs("zsRE", "src", "answers"),
    Layout(
        "multiple choice",
        ("question", "choices", "answerkey"),
        {"question": ("question",), "answers": ("answerkey",), "choices": ("choices",)},
    ),
    Layout("ARC", ("question", "answerkey"), {"question": ("question.stem",), "answers": ("answerkey",), "choices": ("question.choices",)}),
    _pairs("OpenBookQA", "question_stem", "answerkey", choices=("choices",)),
    _pairs("MedMCQA", "question", "cop"),
    Layout("TruthfulQA", ("question", "best_answer"), {"question": ("question",), "answers": ("best_answer", "correct_answers")}),
    _pairs("SciQ", "question", "correct_answer"),
)


Mapped = Mapping[str, tuple[str, ...]]


def read_query(query: str) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """(role -> columns, option -> value) out of `subject=a&config=b`. Raises `FactsError` for what is neither."""
    pairs = parse_qsl(query, keep_blank_values=True)
    if unknown := [key for key, _ in pairs if OTHER_ROLES.get(key, key) not in ROLES and key not in OPTIONS]:
        allowed = ", ".join([*ROLES, *OTHER_ROLES, *OPTIONS])
        raise FactsError(f"{shown(', '.join(unknown))} is not allowed after the question mark; allowed are {allowed}.")
    mapping: dict[str, tuple[str, ...]] = {}
    options = {key: value for key, value in pairs if key in OPTIONS}
    for key, column in pairs:
        if key not in OPTIONS:
            role = OTHER_ROLES.get(key, key)
            mapping[role] = (*mapping.get(role, ()), *([column] if column.strip() else []))
    if options.get("read", AS_PAIRS) != AS_PAIRS:
        raise FactsError(f"read must be {AS_PAIRS}, got {shown(options['read'])}.")
    return mapping, options


def query_of(mapping: Mapped, read: str = "") -> str:
    """What `read_query` reads back, with its question mark; empty for nothing."""
    pairs = [(role, column) for role, columns in mapping.items() for column in columns or ("",)] + ([("read", read)] if read else [])
    return "?" + "&".join(f"{key}={_OF_QUERIES.sub(lambda mark: quote(mark[0]), value)}" for key, value in pairs) if pairs else ""
