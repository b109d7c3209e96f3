"""What was found inside one run's model, as pages and commands read it: its tables beside its test facts. Never loads torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sftqa_core.records import TrainSettings

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)  # known by identity
class Look:
    """One run that was looked at."""

    name: str  # run id or cell name
    settings: TrainSettings  # of the run; settings.n, .levels, .seed, .model, .scheme say what it is
    labels: tuple[str, ...]  # names of the memory levels
    # of the run's test facts: fact_id, relation, subject, question, answers, domain, level (Int64, null), echo, contested?, rival?,
    # base_correct, correct
    facts: pd.DataFrame
    tables: Mapping[str, Mapping[str, pd.DataFrame]]  # measure -> table name -> table; a measure that was not looked at is missing
