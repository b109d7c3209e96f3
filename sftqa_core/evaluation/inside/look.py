"""What was looked at inside the model of one run, as it is stored: its facts and the tables of its measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sftqa_core.records import TrainSettings

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Look:
    """One run or study cell. Loads no torch."""

    name: str  # run id or cell name
    settings: TrainSettings  # of the run; n, levels, seed, model and scheme say what it is
    labels: tuple[str, ...]  # names of the memory levels
    # the run's test facts: fact_id, relation, subject, question, answers, domain, level (Int64, null), echo, contested and rival where
    # they are known, base_correct, correct
    facts: pd.DataFrame
    tables: Mapping[str, Mapping[str, pd.DataFrame]]  # measure -> table name -> table; a measure that was not looked at is missing
