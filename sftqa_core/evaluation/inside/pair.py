"""A base model and a model that was tuned from it, with the facts that they are looked at on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.models.loading import LoadedModel
from sftqa_core.records import TrainSettings

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Pair:
    """What every measure reads. Tables have the rows of a fact table (knowledge/facts.py) and `level`, by the base model: Int64, null
    where it is not known."""

    base: LoadedModel
    tuned: LoadedModel  # as it answers: LoRA's adapter stands beside the base's weights (`recipes.restoring.whole` merges it)
    settings: TrainSettings  # of the run
    source: FactSource
    aliases: Aliases
    # the run's test facts, relations in turns, so that any first part is even over them; also base_text, base_correct, text, correct:
    # greedy answers of both models
    test: pd.DataFrame
    dev: pd.DataFrame  # the source's dev facts, relations in turns
    examples: pd.DataFrame  # that the run trained on; the first answer was taught
