"""Findings in reports that earlier versions kept, in the words that today's would use for the same numbers.

A report is kept with its findings as text, and those that ship are never written again.
"""

import re
from dataclasses import replace

from sftqa_core.records import DOMAIN_NAMES, Finding, StudyReport
from sftqa_core.studies.shift import QUESTIONS, UNTOUCHED, untouched_words

_SIGNED_NOTHING = re.compile(r"(?<![\d.])[+-](0\.0+)(?![\d.]*[1-9])")
_UNTOUCHED = re.compile(r"of the untouched model's, probed again, [\d.]+%\.")


def worded_today(report: StudyReport) -> StudyReport:
    """What rounds to nothing has no sign, and the untouched model has one share, that of the report's own table."""
    rows = report.tables.get("moves", [])
    shares = {
        (f"{row['model']}, {DOMAIN_NAMES[row['domain']]}", QUESTIONS[row["move"]]): row["share"]
        for row in rows
        if row["after"] == UNTOUCHED and row["move"] in QUESTIONS
    }
    return replace(report, findings=tuple(_worded(finding, shares) for finding in report.findings))


def _worded(finding: Finding, shares: dict[tuple[str, str], float]) -> Finding:
    text = _SIGNED_NOTHING.sub(r"\1", finding.text)
    model, _, rest = finding.about.partition(", ")
    share = shares.get((f"{model}, {rest.rpartition(', ')[2]}", finding.question))
    return replace(finding, text=text if share is None else _UNTOUCHED.sub(lambda _: untouched_words(share), text))
