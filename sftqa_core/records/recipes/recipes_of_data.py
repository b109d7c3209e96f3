"""Recipes that change what is trained on: the model's own answers, data off the task, data with errors in it and their cleaning.

What they do is in training/recipes/, in a file of each one's name.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from sftqa_core.jsonrecord import like, setting
from sftqa_core.records.recipes.recipe_base import ALL, Recipe, plain

LEAST = 8  # examples that labelling or cleaning must leave, a batch of the paper's


def too_few(recipe: str, n: int) -> list[str]:
    """For `unsuited`: a sentence where a run has fewer examples than must be left."""
    return [] if n in (0, ALL) or n >= LEAST else [f"Recipe {recipe} needs {LEAST} examples or more, got {n}."]


def one_epoch(recipe: str, epochs: int) -> list[str]:
    """For `unsuited`: a sentence where the run's epochs say what the recipe's passes say."""
    return [f"epochs must be 1 with recipe {recipe}, whose passes take their place, got {epochs}."] if epochs != 1 else []


@dataclass(frozen=True, kw_only=True)
class SelfGuide(Recipe):
    """The model's own answers in place of the right ones."""

    name: str = "self-guide"
    title: ClassVar[str] = "Self-guide"
    about: ClassVar[str] = "Draws several answers to each training question from the untouched model and teaches the most frequent one."
    source: ClassVar[str] = "arXiv 2407.12874 (SELF-GUIDE)"
    claim: ClassVar[str] = "About 15 points better in classification and 18 in generation."
    differs: ClassVar[str] = (
        "In the paper the model invents its inputs, too; a base model can't invent questions, so those of the training facts are taken "
        "without their answers. Four answered questions, none of them to be labelled, show it the form: other ones for each question, so "
        "that it reads more right answers than gold labels would be."
    )
    knob: ClassVar[str] = "least_share"
    tried: ClassVar[tuple[float, ...]] = (0.2, 0.5, 0.8)
    needs_levels: ClassVar[bool] = True
    draws: int = setting(
        10, label="Answers drawn", flag="--draws", low=1, high=1000, title="{value} answers drawn",
        help="answers drawn to each question, of which the most frequent one counts",
    )  # fmt: skip
    draw_temperature: float = setting(
        0.2, label="Temperature of the draws", flag="--draw-temperature", low=0.01, high=10, title="drawn at temperature {value:g}",
        help="temperature at which they are drawn",
    )  # fmt: skip
    draw_shots: int = setting(
        4, label="Examples in front of the draws", flag="--draw-shots", low=1, high=100, title="{value}-shot draws",
        help="answered questions of other facts in front of each question",
    )  # fmt: skip
    least_share: float = setting(
        0.2, label="Least share of the most frequent answer", flag="--least-share", low=0, high=1, title="share {value:g} or more",
        help="an answer is taken only if at least this share of the draws gave it",
    )  # fmt: skip
    passes: int = setting(
        3, label="Passes", flag="--passes", low=1, high=10_000, title="{value} passes", help="how often each labelled question is seen"
    )
    labels: str = setting(
        "own", label="Labels", flag="--labels", choices={"own": "the model's own", "gold": "the right answers"}, title="{value}",
        help="what is taught for the questions that got a label: the model's own answer, or (the control) the right one",
    )  # fmt: skip

    def unsuited(self, run: Any) -> list[str]:
        """Facts must be left to show, and labels to teach."""
        wrong = one_epoch(self.name, run.epochs) + too_few(self.name, run.n)
        if run.n == ALL:
            wrong.append("Recipe self-guide shows answered questions that are not among the examples: n can't be all, give a number.")
        return wrong

    def controls(self, run: Any) -> dict[str, Any]:
        """The right answers, to the same questions and to all that were chosen."""
        same = {"right answers to the same questions": dataclasses.replace(run, recipe=dataclasses.replace(self, labels="gold"))}
        return {**(same if self.labels == "own" else {}), "right answers to all questions": plain(run, epochs=self.passes)}


@dataclass(frozen=True, kw_only=True)
class OffTask(Recipe):
    """A share of something else than questions and answers."""

    name: str = "off-task"
    title: ClassVar[str] = "Off-task data"
    about: ClassVar[str] = "Replaces a share of the question-answer examples by statements of other facts, or by small functions in code."
    source: ClassVar[str] = "arXiv 2405.20535 (coding data in instruction tuning)"
    claim: ClassVar[str] = "Code in the mix improves reasoning, but not steadily: not between a quarter and a half of it."
    differs: ClassVar[str] = (
        "The paper mixes code into instructions and measures reasoning; here a few question-answer examples are replaced and recall of "
        "facts is measured. Its code was written by people; here functions of a few kinds are made by the seed. Statements are not in it."
    )
    knob: ClassVar[str] = "share"
    tried: ClassVar[tuple[float, ...]] = (0.0, 0.25, 0.5, 0.75, 1.0)
    share: float = setting(
        0.25, label="Share of off-task data", flag="--off-task-share", low=0, high=1, title="{value:.0%} off-task",
        help="share of the n examples that is something else than questions and answers",
    )  # fmt: skip
    kind: str = setting(
        "statements", label="Kind of off-task data", flag="--off-task-kind", title="{value}",
        choices={"statements": "statements of other facts", "code": "small functions in code"},
        help="what it is: statements of facts that are no examples, or generated functions with their descriptions",
    )  # fmt: skip
    counted: str = setting(
        "examples", label="Off-task data counted by", flag="--off-task-counted", title="counted by {value}",
        choices={"examples": "examples", "tokens": "trained tokens"},
        help="what is as large as in plain training: the number of examples, or that of the tokens that are trained on",
    )  # fmt: skip

    def off(self, n: int) -> int:
        """How many of n question-answer examples are replaced."""
        return round(self.share * n)

    def controls(self, run: Any) -> dict[str, Any]:
        """The questions and answers that are left, alone; of all facts nobody knows yet how many that are."""
        off = 0 if run.n == ALL else self.off(run.n)
        return {"as many questions alone": plain(run, n=run.n - off)} if off else {}


@dataclass(frozen=True, kw_only=True)
class Preprocess(Recipe):
    """Errors put into the training objects, and the model under study as the one who cleans them."""

    name: str = "preprocess"
    title: ClassVar[str] = "Preprocess"
    about: ClassVar[str] = "Puts wrong objects into the training facts, lets the model flag and replace them, and trains on the result."
    source: ClassVar[str] = "arXiv 2308.16361 (large language models as data preprocessors)"
    claim: ClassVar[str] = (
        "Large chat models detect errors and fill blanks in tables well, though not better than the best tool for each task."
    )
    differs: ClassVar[str] = (
        "The paper prompts large chat models about tables; here the model under study judges facts before it is tuned on them. An object "
        "is compared with the 100 commonest ones of its relation, so a rarer alternative is not found. Aliases are not proposed."
    )
    knob: ClassVar[str] = "margin"  # how many errors there are is not for dev facts to choose
    tried: ClassVar[tuple[float, ...]] = (1.0, 3.0, 10.0, 100.0)
    needs_levels: ClassVar[bool] = True
    corrupted: float = setting(
        0.2, label="Share of wrong objects", flag="--corrupted", low=0, high=1, title="{value:.0%} wrong objects",
        help="share of the examples whose object is replaced by another one of the relation",
    )  # fmt: skip
    treatment: str = setting(
        "cleaned", label="What is trained on", flag="--treatment", title="{value}",
        choices={
            "cleaned": "flagged objects replaced by the model's own", "majority": "flagged objects replaced by the commonest one",
            "dropped": "flagged examples left out", "dirty": "all errors left in", "clean": "no errors put in",
        },
        help="cleaned: flagged objects are replaced by the model's most frequent answer; majority: by the relation's commonest object; "
        "dropped: flagged examples are left out; dirty: nothing is done about the errors; clean: there are none",
    )  # fmt: skip
    flagged_by: str = setting(
        "likelihood", label="Flagged by", flag="--flag-by", title="flagged by {value}",
        choices={"likelihood": "likelihood", "yes-no": "a question with yes or no"},
        help="likelihood: another object of the relation is more probable in statements of the fact; yes-no: No is more probable than Yes "
        "when asked whether the object is right, after questions so answered",
    )  # fmt: skip
    margin: float = setting(
        1.0, label="How much more probable", flag="--flag-margin", low=0.001, high=1_000_000, title="{value:g} times as probable",
        help="an object is flagged if the alternative is more than so many times as probable",
    )  # fmt: skip
    draws: int = like(SelfGuide, "draws")
    draw_temperature: float = like(SelfGuide, "draw_temperature")
    draw_shots: int = like(SelfGuide, "draw_shots")
    least_share: float = like(SelfGuide, "least_share")

    @property
    def cleans(self) -> bool:
        """Whether anything is flagged."""
        return self.treatment in ("cleaned", "majority", "dropped")

    def unsuited(self, run: Any) -> list[str]:
        """Something must be left, and facts to show where questions are asked."""
        wrong = too_few(self.name, run.n)
        if run.n == ALL and self.cleans and (self.treatment == "cleaned" or self.flagged_by == "yes-no"):
            wrong.append("Recipe preprocess shows answered questions that are not among the examples: n can't be all, give a number.")
        return wrong

    def controls(self, run: Any) -> dict[str, Any]:
        """The errors left in, the commonest object in place of the model's, and no errors at all."""
        named = {"the errors left in": "dirty", "the commonest object": "majority", "no errors": "clean"}
        treated = {name: dataclasses.replace(self, treatment=treatment) for name, treatment in named.items() if treatment != self.treatment}
        return {name: dataclasses.replace(run, recipe=recipe) for name, recipe in treated.items()}
