"""What the Ask page reads, made up: a base model, a run that kept its weights, and one that did not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType

from sftqa_core.errors import NotFound
from sftqa_core.records import Candidate, Column, Question, Reply, Sampled, Scored, Step
from sftqa_core.workflows.asking.questions import KnownFact, KnownLevel

KEPT, LOST = "run:20261123-120000-stand-in", "run:20261124-120000-without-weights"
ASKED = "What is the P19 of Subject P19-5?"
NASTY = "<b>Bo</b> [x](http://example.invalid) :smile: $x$"


def column(question: Question, model: str, beside: Sequence[str] = ()) -> Column:
    """Like `workflows.column`."""
    if model == LOST:
        raise NotFound("Run 20261124 did not keep its weights. Make it again with them kept: sftqa train --model stand-in --n 60")
    return Column(model, replace(question, max_new_tokens=16), "files", "none", "stand-in" if model.startswith("run:") else None)


def reply(of: Column, answer: str = NASTY, right: bool | None = False) -> Reply:
    """A reply that holds something of everything."""
    top = tuple(Candidate(f" token{at}", 0.5 / (at + 1)) for at in range(10))
    steps = (Step(" token0", 0.5, top), Step("", 0.25, (Candidate("", 0.25), *top[1:])))
    samples = (Sampled(answer, 7, right), Sampled(" Cy", 3, False))
    scored = (Scored("Answer 5", -2.5, 2, -0.5, True), Scored("Rome", -9.0, 3, -0.5))
    adapter = "a" * 16 if of.base else None
    return Reply(of.model, "Q: Who?\nA:", 6, answer, True, right, steps, samples, scored, "b" * 16, adapter, "float32", "cpu", 0.2, 0.1)


def add(module: ModuleType) -> None:
    """Put it all into the module that stands in for the workflows."""

    def with_right_answers(question: Question, models: Sequence[str]) -> tuple[Question, KnownFact | None]:
        if question.text != ASKED:
            return question, None
        fact = KnownFact("atlas", "19" + "0" * 14, "P19", "Subject *P19-5*", ASKED, ("Answer 5",), "test", "in")
        return replace(question, right=fact.answers), fact

    names: dict[str, object] = {
        "column": column,
        "base_models": lambda models: tuple(dict.fromkeys("stand-in" if name.startswith("run:") else name for name in models)),
        "with_right_answers": with_right_answers,
        "known_level": lambda model, fact: KnownLevel(model, "L3", 0.61),
        "example_questions": lambda models, count: [ASKED, "Who is *who*?"][:count],
    }
    for name, value in names.items():
        setattr(module, name, value)
