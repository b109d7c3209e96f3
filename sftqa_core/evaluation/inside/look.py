"""What was seen inside one tuned model, as pages and commands read it. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sftqa_core.records import TrainSettings

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)  # known by identity
class Look:
    """One model's measures; those that were not taken are missing."""

    name: str  # run id or cell name
    settings: TrainSettings  # of the run
    labels: tuple[str, ...]  # of the memory levels
    # the run's test facts: fact_id, relation, subject, question, answers, domain, level (Int64, null where not known), echo, the source's
    # `contested` and `rival` where it has them, base_correct, correct
    facts: pd.DataFrame
    tables: Mapping[str, Mapping[str, pd.DataFrame]]  # measure -> name -> table, as the measure's module describes it
    made: str = ""  # where the tuned model came from, and whether it is the one that was stored: a sentence
