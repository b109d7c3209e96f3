"""Recipes that change weights after tuning. What they do is in training/recipes/."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from sftqa_core.jsonrecord import setting
from sftqa_core.records.recipes.recipe_base import Recipe


@dataclass(frozen=True, kw_only=True)
class Restore(Recipe):
    """Plain fine-tuning, and then some of the parameters as they were before."""

    name: str = "restore"
    title: ClassVar[str] = "Restore"
    about: ClassVar[str] = "Tunes as ever, then puts the parameters that changed most back to their values before tuning."
    source: ClassVar[str] = "arXiv 2509.16596 (the seed paper's follow-up, on parameters)"
    claim: ClassVar[str] = (
        "LLaMA-3-8B, 1,920 examples of level 2, in-domain: 58.80% without, 62.21% with 20% of the parameters put back, 1.62% with 60%; "
        "the top 1% of the parameters holds some 70% of the relative change."
    )
    differs: ClassVar[str] = (
        "The paper ranks by relative change alone; here the absolute change and two random controls stand beside it. Tied weights count "
        "once; a parameter that was exactly 0 ranks first and is in no sum. LoRA is merged in float32 before anything is compared. In a "
        "study each random control is drawn once for each seed."
    )
    knob: ClassVar[str] = "share"
    tried: ClassVar[tuple[float, ...]] = (0.0, 0.01, 0.03, 0.05, 0.1, 0.2, 0.4, 0.6)
    share: float = setting(
        0.05, label="Share put back", flag="--restore-share", low=0, high=1, title="{value:.0%} put back",
        help="share of all parameters that go back to their values before tuning",
    )  # fmt: skip
    ranked: str = setting(
        "relative", label="Ranked by", flag="--restore-by", title="ranked by {value}",
        choices={
            "relative": "relative change", "absolute": "absolute change",
            "random": "chance, as many in each tensor", "random-update": "chance, as large an update",
        },
        help="which go first: those with the largest |s - p| / |p| (relative) or |s - p| (absolute), p before and s after tuning; or, the "
        "controls, changed ones by chance: as many in each tensor as the relative ranking takes (random), or as many as undo the same "
        "squared update (random-update)",
    )  # fmt: skip
    draw: int = setting(
        0, label="Draw", flag="--restore-draw", low=0, high=1_000_000, title="draw {value}", under="ranked",
        help="another number draws other parameters where chance ranks them",
    )  # fmt: skip

    def unsuited(self, run: Any) -> list[str]:
        """What was in 4 bits before has no value to go back to once an adapter is merged."""
        if run.quantization != "nf4":
            return []
        return ["Recipe restore compares weights before and after tuning, which 4 bits round: quantization must be none, got nf4."]

    def controls(self, run: Any) -> dict[str, Any]:
        """Would any parameters do?"""

        def by(ranked: str) -> Any:
            return dataclasses.replace(run, recipe=dataclasses.replace(self, ranked=ranked))

        others = {"as many at random": "random", "as large an update at random": "random-update"}
        return {name: by(ranked) for name, ranked in others.items() if ranked != self.ranked}
