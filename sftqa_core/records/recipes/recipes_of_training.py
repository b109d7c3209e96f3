"""Recipes that say how a training goes: repeating, mixing, holding on to what is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from sftqa_core.jsonrecord import setting
from sftqa_core.records.recipes.recipe_base import ALL, Recipe, plain


@dataclass(frozen=True, kw_only=True)
class Repeat(Recipe):
    """The same examples again and again, in place of more of them."""

    name: str = "repeat"
    title: ClassVar[str] = "Repeat"
    about: ClassVar[str] = "Trains on the same few examples in several passes, in place of one pass over as many more; dropout may help."
    source: ClassVar[str] = "arXiv 2305.13230 (To Repeat or Not To Repeat)"
    claim: ClassVar[str] = "Repeating data degrades a model; dropout of 0.2 to 0.3, also only from half-way on, softens this."
    differs: ClassVar[str] = (
        "The paper repeats pre-training data; here question-answer examples are repeated in fine-tuning, at n times passes of 1,920. "
        "The model's own dropout is, in Llama and Qwen2, that of attention alone."
    )
    knob: ClassVar[str] = "passes"
    tried: ClassVar[tuple[int, ...]] = (1, 4, 8, 32)
    passes: int = setting(
        8, label="Passes", flag="--passes", low=1, high=10_000, title="{value} passes", help="how often each example is seen"
    )
    dropout: float = setting(
        0.0, label="Dropout while repeating", flag="--repeat-dropout", low=0, high=0.9, title="dropout {value:g}",
        help="dropout in these passes; 0 leaves it as the model has it",
    )  # fmt: skip
    dropout_in: str = setting(
        "model", label="Which dropout", flag="--repeat-dropout-in", choices={"model": "the model's own layers", "lora": "LoRA"},
        title="in {value}", under="dropout", help="where it is: in the model's own layers, or in front of LoRA's matrices",
    )  # fmt: skip
    dropout_from: float = setting(
        0.0, label="Dropout while repeating, from", flag="--repeat-dropout-from", low=0, high=1, title="from {value:.0%} of the steps",
        under="dropout", help="share of the steps after which it applies",
    )  # fmt: skip

    def unsuited(self, run: Any) -> list[str]:
        """The run's own epochs and dropout would say the same thing twice."""
        wrong = [f"epochs must be 1 with recipe repeat, whose passes take their place, got {run.epochs}."] if run.epochs != 1 else []
        if run.dropout is not None or run.lora_dropout:
            wrong.append("With recipe repeat, dropout is the recipe's own: leave the run's dropout and lora_dropout out.")
        if self.dropout and self.dropout_in == "lora" and run.method != "lora":
            wrong.append(f"dropout_in lora needs method lora, got {run.method}.")
        return wrong

    def controls(self, run: Any) -> dict[str, Any]:
        """As many examples as are seen here, each once; none where n is all, since there are no more."""
        return {} if run.n == ALL else {"each example once": plain(run, n=run.n * self.passes)}

    def at(self, run: Any, value: Any) -> Any:
        """The product of examples and passes stays what it is."""
        seen = run.n * self.passes
        return super().at(run if run.n == ALL else plain(run, n=max(1, seen // value)), value)


@dataclass(frozen=True, kw_only=True)
class SftMix(Recipe):
    """Examples that a first run was sure of, mixed with those that it was not."""

    name: str = "sftmix"
    title: ClassVar[str] = "SFTMix"
    about: ClassVar[str] = "Trains once to see which examples the model is sure of, then again, interpolating those with the others."
    source: ClassVar[str] = "arXiv 2410.05248 (SFTMix, ACL 2026)"
    differs: ClassVar[str] = (
        "The paper tunes chat models on long replies; here answers have one to five tokens, and a pair is cut to the shorter one. The "
        "interpolated loss is a mean over answer tokens, as the next-token loss is; where n is odd one example an epoch has no partner."
    )
    knob: ClassVar[str] = "mu"
    tried: ClassVar[tuple[float, ...]] = (0.0, 0.2, 1.0)
    mu: float = setting(
        0.2, label="Weight of mixing (mu)", flag="--mu", low=0, high=10, title="mu {value:g}",
        help="weight of the interpolated loss beside the next-token loss; 0 is plain training on the same batches",
    )  # fmt: skip
    checkpoints: int = setting(
        4, label="Checkpoints", flag="--checkpoints", low=1, high=100, title="{value} checkpoints",
        help="steps of the first run, evenly spaced, in which the perplexity of every training answer is measured",
    )  # fmt: skip

    def unsuited(self, run: Any) -> list[str]:
        """Two halves need examples, and a pair must meet in one forward pass."""
        wrong = [] if run.n == ALL or run.n >= 4 else [f"Recipe sftmix halves the examples: n must be 4 or more, got {run.n}."]
        for name in ("batch_size", "micro_batch"):
            if (size := getattr(run, name)) is not None and size % 2:
                wrong.append(f"Recipe sftmix reads examples in pairs: {name} must be even, got {size}.")
        return wrong

    def controls(self, run: Any) -> dict[str, Any]:
        """The first run doubles the cost: plain training for as long."""
        return {"twice the epochs": plain(run, epochs=2 * run.epochs)}


@dataclass(frozen=True, kw_only=True)
class Keep(Recipe):
    """Learning new facts without losing old ones: only some parts may move, and a teacher of known facts holds the rest."""

    name: str = "keep"
    title: ClassVar[str] = "Keep"
    about: ClassVar[str] = "Lets only some parts of the model move, and holds it near a teacher that was tuned on known facts alone."
    source: ClassVar[str] = 'arXiv 2604.15574 (Why Fine-Tuning Encourages Hallucinations); "I don\'t know": arXiv 2405.05904 (SliCK)'
    differs: ClassVar[str] = (
        "Known means a memory level above the lowest, measured by statements. The divergence is from teacher to student over the whole "
        "vocabulary, on the answer's tokens of all examples, times the square of the temperature; the teacher sees known facts only. The "
        "control of known facts takes as many examples: other known facts stand in for the unknown ones."
    )
    knob: ClassVar[str] = "part"
    tried: ClassVar[tuple[str, ...]] = ("all", "attention", "ffn")
    needs_levels: ClassVar[bool] = True
    part: str = setting(
        "all", label="What may move", flag="--part", choices={"all": "all parts", "attention": "attention", "ffn": "feed-forward layers"},
        title="only {value}", help="which parts of the layers are trained; other weights stay as they are",
    )  # fmt: skip
    kl_weight: float = setting(
        1.0, label="Weight of the teacher (lambda)", flag="--kl-weight", low=0, high=100, title="lambda {value:g}",
        help="weight of the divergence from a teacher that was tuned on the known ones of the examples; 0: there is no teacher",
    )  # fmt: skip
    kl_temperature: float = setting(
        0.5, label="Temperature of the teacher", flag="--kl-temperature", low=0.05, high=20, title="at temperature {value:g}",
        help="temperature at which both are compared; the divergence is multiplied by its square",
    )  # fmt: skip
    unknown: str = setting(
        "answer", label="Unknown facts are taught", flag="--unknown", choices={"answer": "their answer", "refusal": "to say I don't know"},
        title="unknown facts: {value}", help="what is taught of facts at the lowest level: their answer, or to say I don't know",
    )  # fmt: skip

    def unsuited(self, run: Any) -> list[str]:
        """A teacher needs something to teach."""
        if self.kl_weight and run.levels is not None and not any(run.levels):
            return ["Recipe keep's teacher is tuned on known facts: levels must hold one above 0, or kl_weight must be 0."]
        return []

    def controls(self, run: Any) -> dict[str, Any]:
        """As many facts, all of them known, do without a recipe; and all weights may move, where only some do."""
        levels = run.levels if run.levels is not None else range(len(run.scheme.labels))
        known = tuple(level for level in levels if level)
        runs = {"known facts only": plain(run, levels=known)} if known else {}
        return runs if self.part == "all" else {**runs, "all weights": replace(run, recipe=replace(self, part="all"))}
