"""One look inside a run, as tables: what pages and words read. Loads no model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sftqa_core.records import TrainSettings

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Look:
    """What was looked at inside one run. `facts` are the run's test facts: fact_id, relation, subject, question, answers, domain, level
    (Int64, null where it is not known), echo, base_correct, correct; of some sources contested and rival."""

    name: str  # run id or cell name
    settings: TrainSettings  # of the run
    labels: tuple[str, ...]  # names of the memory levels
    facts: pd.DataFrame
    tables: Mapping[str, Mapping[str, pd.DataFrame]]  # measure -> table name -> table; a measure that was not looked at is missing
