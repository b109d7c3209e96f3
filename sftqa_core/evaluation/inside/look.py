"""What was seen inside one tuned model: light, for tables, words and pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sftqa_core.records import TrainSettings

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Look:
    """The stored tables of one run or cell, beside what they are about."""

    name: str  # run id or cell name
    settings: TrainSettings  # of the run; settings.n, .levels, .seed, .model, .scheme say what it is
    labels: tuple[str, ...]  # names of the memory levels
    # of the run's test facts: fact_id, relation, subject, question, answers, domain, level (Int64, null), echo, contested?, rival?,
    # base_correct, correct
    facts: pd.DataFrame
    tables: Mapping[str, Mapping[str, pd.DataFrame]]  # measure -> table name -> table; a measure that was not looked at is missing
