"""Plain words, made from a study's numbers by fixed rules (METHOD 8.9).

A question is answered with yes or no only where an interval lies wholly on one side, corrected for how often the question is
asked in the study (Bonferroni: the 5% shared out over models, domains and sizes), or where a p-value after Holm's correction
over the same is below 5%; else nobody can tell. Fewer than 30 facts never answer anything, and neither do runs that are missing.
What is asked was fixed before the numbers were seen: the papers' findings and what each could be mistaken for.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from sftqa_core.records import Finding
from sftqa_core.studies.statistics import Outcomes

LEAST = 30  # facts that a word is said about
ALPHA = 0.05
YES, NO, OPEN = "yes", "no", "cannot tell"
Row = dict[str, Any]


def judged(about: str, question: str, verdict: str, text: str, facts: int) -> Finding:
    """Without enough facts nothing is claimed, whatever the interval."""
    if facts >= LEAST:
        return Finding(about, question, verdict, text)
    return Finding(about, question, OPEN, f"{text} With {facts} facts at the scarcest place that is too few to tell.")


def times_asked(outcomes: Sequence[Outcomes]) -> int:
    """How often a question is asked: models times domains."""
    return max(1, sum(len(list(one.domains())) for one in outcomes))


def rows_of(table: pd.DataFrame) -> list[Row]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def groups_of(table: pd.DataFrame, column: str) -> list[tuple[str, list[Row]]]:
    return [(str(name), rows_of(rows)) for name, rows in table.groupby(column, sort=False)]


def side(low: float, high: float, border: float) -> str:
    return YES if low > border else NO if high < border else OPEN


def change(value: float, low: float, high: float, p_holm: float | None = None, against: str = "") -> str:
    """A difference of shares in words: "+3.1 points (+1.0 to +5.2; Holm p = 0.012)"."""
    p = "" if p_holm is None else f"; Holm p = {p_holm:.3f}" if p_holm >= 0.001 else "; Holm p < 0.001"
    return f"{value * 100:+.1f} points{against} ({low * 100:+.1f} to {high * 100:+.1f}{p})"
