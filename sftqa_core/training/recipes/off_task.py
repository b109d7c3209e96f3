"""Off-task data: a share of the examples is something else than questions and answers (arXiv 2405.20535).

Statements of facts that are no examples are read as text, with the loss on every token after the first, as in pre-training. Code is asked
for by a description and given as the answer: functions that are made here, by the seed, and never executed. The step's loss is one mean
over all its trained tokens, so a long example weighs more than a short one: `counted` by tokens the mix has as many trained tokens as
plain training on the questions alone, by examples as many examples.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from sftqa_core.errors import NotEnoughFacts
from sftqa_core.jsonrecord import digest
from sftqa_core.knowledge.relations import statement_prompts
from sftqa_core.models.loading import LoadedModel
from sftqa_core.records import TrainSettings
from sftqa_core.records.recipes import OffTask
from sftqa_core.training.encoding import EncodedExample, asking, encode_prompt
from sftqa_core.training.objectives import Objective
from sftqa_core.training.recipes.stages import Made, StageCost, Stages

if TYPE_CHECKING:
    import pandas as pd

QUESTION, STATEMENT, CODE = "question", "statement", "code"  # an example's `form`
_FUNCTIONS = (  # what it does, how it does that: a and b are numbers, v and vs what it is given
    ("adds {a} to a number and multiplies the sum by {b}", "return ({v} + {a}) * {b}"),
    ("returns the numbers of a list that are above {a}, each times {b}", "return [{b} * x for x in {vs} if x > {a}]"),
    ("counts the numbers of a list that leave {a} when divided by {b}", "return sum(x % {b} == {a} for x in {vs})"),
    ("returns the first {a} characters of a text, {b} times in a row", "return {v}[:{a}] * {b}"),
    ("returns the largest of a number, {a} and {b}", "return max({v}, {a}, {b})"),
    ("returns the sum of a list without its first {a} items, less {b}", "return sum({vs}[{a}:]) - {b}"),
    ("takes {b} from a number as long as it is above {a}", "while {v} > {a}:\n        {v} -= {b}\n    return {v}"),
    ("returns every item of a list from place {a} on in steps of {b}", "return {vs}[{a}::{b}]"),
)
_NAMES = "compute", "convert", "solve", "apply", "make", "derive", "update", "process"
_GIVEN = "value", "number", "start", "item", "amount", "given"
_LARGEST = 99  # number in a function
_CODE_WEIGHT = 2.1  # time of an example, that of a question being 1, where code is mixed in: a batch is as long as its longest one


@dataclass(frozen=True)
class Mixed(Objective):
    """Questions and code as ever, statements as text."""

    name: ClassVar[str] = "off-task"

    def encode(self, loaded: LoadedModel, examples: pd.DataFrame, settings: TrainSettings) -> list[EncodedExample]:
        """See `Objective`. A row whose `form` is a statement is read as its `question`, the answer after it."""
        asked = asking(loaded, settings.prompt)
        rows = zip(examples["form"], examples["question"], (answers[0] for answers in examples["answers"]), strict=True)
        return [_as_text(loaded, text, answer) if form == STATEMENT else asked.example(text, answer) for form, text, answer in rows]


def _as_text(loaded: LoadedModel, statement: str, answer: str) -> EncodedExample:
    """A sentence and the end token; untrained is only the first token, or what stands in front of it."""
    return EncodedExample((*encode_prompt(loaded, f"{statement} {answer}."), loaded.end_ids[0]), max(1, len(loaded.bos_ids)))


def cost(settings: TrainSettings, examples: int) -> list[StageCost]:
    """One training; counted by tokens it has at most so many examples."""
    assert isinstance(settings.recipe, OffTask)
    recipe = settings.recipe
    with_code = recipe.kind == "code" and recipe.counted == "examples" and recipe.share > 0
    return [StageCost("train", examples, settings.epochs, weight=_CODE_WEIGHT if with_code else 1.0)]


def run(stages: Stages, recipe: OffTask) -> Made:
    """The tuned model; table `mix`: form, examples, trained_tokens (in one epoch). Raises `NotEnoughFacts` where there is too little to mix
    in."""
    import pandas as pd

    objective, off = Mixed(), recipe.off(len(stages.examples))

    def tokens(rows: pd.DataFrame) -> list[int]:
        return [len(e.ids) - e.prompt_length for e in objective.encode(stages.loaded, rows, stages.settings)]

    whole = stages.examples.assign(form=QUESTION)
    questions = _questions(stages, len(whole) - off).assign(form=QUESTION)
    wanted = off if recipe.counted == "examples" else sum(tokens(whole)) - sum(tokens(questions))
    rows: list[dict[str, Any]] = []
    stream = _statements(stages) if recipe.kind == "statements" else code(stages.run.seed)
    while wanted > 0:
        row = next(stream, None)
        if row is None:
            raise NotEnoughFacts(
                f"Recipe off-task has only {len(rows):,} {recipe.kind} to mix in, {wanted:,} {recipe.counted} too few. Ask for fewer "
                "examples or a smaller share, add relations, or choose --off-task-kind code."
            )
        rows.append(row)
        wanted -= 1 if recipe.counted == "examples" else tokens(pd.DataFrame([row]))[0]
    mixed = pd.DataFrame(rows, columns=whole.columns).astype({"level": "Int64", "echo": bool}) if rows else questions.head(0)
    examples = pd.concat([questions, mixed], ignore_index=True)
    table = examples[["form"]].assign(tokens=tokens(examples)).groupby("form", sort=False)["tokens"].agg(["size", "sum"]).reset_index()
    table = table.set_axis(["form", "examples", "trained_tokens"], axis=1)
    tuned = stages.tune("train", examples, objective=objective, last=True)
    parts = [f"{count:,} {form} examples ({sum_:,} trained tokens)" for form, count, sum_ in table.itertuples(index=False)]
    return Made(tuned, examples, {"mix": table}, (f"Trained on {' and '.join(parts)}.",))


def _questions(stages: Stages, count: int) -> pd.DataFrame:
    """Those of the run's examples that a run of `count` examples would choose."""
    from sftqa_core.training.selection import select_examples

    examples = stages.examples
    source = replace(stages.source, facts=examples.drop(columns="level"))
    settings = replace(stages.settings, n=count, relations=tuple(examples["relation"].unique()))
    return select_examples(source, examples[["fact_id", "level"]], settings).facts


def _statements(stages: Stages) -> Iterator[dict[str, Any]]:
    """Facts of the pool in turns, each time in another of their statements, in an order of the seed."""
    facts: list[dict[Any, Any]] = stages.pool.to_dict("records")
    left = True
    for turn in itertools.count():
        if not left:
            return
        left = False
        for fact in facts:
            prompts = statement_prompts(stages.source.relations[fact["relation"]], fact["subject"], fact["question"])
            if turn < len(prompts):
                left = True
                text = random.Random(f"{stages.run.seed} {fact['fact_id']}").sample(prompts, len(prompts))[turn]
                yield {**fact, "question": text, "answers": fact["answers"][:1], "level": None, "form": STATEMENT}


def code(seed: int) -> Iterator[dict[str, Any]]:
    """Descriptions of small functions and the functions, each description once; none of them is ever executed."""
    draw = random.Random(seed)
    kinds = [(kind, a, b) for kind in range(len(_FUNCTIONS)) for b in range(2, _LARGEST + 1) for a in range(1, b)]
    draw.shuffle(kinds)
    for kind, a, b in kinds:
        name, given = f"{draw.choice(_NAMES)}_{a}_{b}", draw.choice(_GIVEN)
        words = {"{a}": str(a), "{b}": str(b), "{v}": given, "{vs}": f"{given}s"}
        does, body = (_filled(text, words) for text in _FUNCTIONS[kind])
        head = f"def {name}({given if '{v}' in _FUNCTIONS[kind][1] else f'{given}s'}):"
        asked = {"question": f"Write a Python function that {does}.", "answers": [f"{head}\n    {body}"], "form": CODE}
        yield {"fact_id": digest(does), "relation": CODE, "subject": name, "domain": "out", "echo": False, "level": None, **asked}


def _filled(text: str, words: dict[str, str]) -> str:
    for place, word in words.items():
        text = text.replace(place, word)
    return text
