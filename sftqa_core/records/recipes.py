"""All recipes: their settings, and what is said of each. What a recipe does is in training/recipes/, in a file of its name.

A recipe that tells others about a paper's figures does so in `claim`, as a citation; what was measured here is never there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from sftqa_core.jsonrecord import setting
from sftqa_core.records.recipe_base import ALL as ALL
from sftqa_core.records.recipe_base import PLAIN as PLAIN
from sftqa_core.records.recipe_base import RECIPES as RECIPES
from sftqa_core.records.recipe_base import Recipe as Recipe
from sftqa_core.records.recipe_base import plain
from sftqa_core.records.recipes_of_data import OffTask as OffTask
from sftqa_core.records.recipes_of_data import Preprocess as Preprocess
from sftqa_core.records.recipes_of_data import SelfGuide as SelfGuide
from sftqa_core.records.recipes_of_weights import Restore as Restore


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
