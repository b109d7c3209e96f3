"""Findings that earlier versions kept, in today's words."""

from sftqa_core.records import Finding, StudyReport, StudySettings
from sftqa_core.studies.earlier_words import worded_today
from sftqa_core.studies.shift import UNTOUCHED

LOST = "Do facts fall to lower levels?"
MOVES = [
    {"model": "m", "domain": "in", "after": UNTOUCHED, "move": "lost", "share": 17 / 400},
    {"model": "m", "domain": "out", "after": UNTOUCHED, "move": "lost", "share": 0.1},
    {"model": "m", "domain": "in", "after": "n = 60", "move": "lost", "share": 0.5},
]


def reworded(*findings, **tables):
    return [f.text for f in worded_today(StudyReport(StudySettings("shift", ("m",)), 1, 1, findings, (), tables)).findings]


def test_one_untouched_model_has_one_share():
    """17 of 400 facts were once 4.2% and once 4.3%, as a difference of two other shares; it is the table's share in both."""
    said = "{} of 400 facts did; of the untouched model's, probed again, {}. The excess is +1.2 points (-1.3 to +3.8)."
    one = Finding("m, n = 60, in-domain", LOST, "cannot tell", said.format("5.5%", "4.3%"))
    other = Finding("m, n = 1,920, in-domain", LOST, "yes", said.format("22.8%", "4.2%"))
    outside = Finding("m, n = 60, out-of-domain", LOST, "yes", said.format("22.8%", "10.1%"))
    assert reworded(one, other, outside, moves=MOVES) == [
        said.format("5.5%", "4.2%"), said.format("22.8%", "4.2%"), said.format("22.8%", "10.0%"),
    ]  # fmt: skip


def test_what_rounds_to_nothing_has_no_sign():
    """-0.0 and +0.0 lose their sign; -0.05, +10.0 and a range of 1-0.0 do not."""
    text = "The excess is -0.0 points (-3.6 to +0.0). +10.0 points, -0.05, 1-0.0."
    assert reworded(Finding("m", "What?", "no", text)) == ["The excess is 0.0 points (-3.6 to 0.0). +10.0 points, -0.05, 1-0.0."]


def test_a_report_without_that_table_keeps_its_shares():
    """Of another study's report only signs of nothing change."""
    text = "5.5% of 400 facts did; of the untouched model's, probed again, 4.3%."
    assert reworded(Finding("m, n = 60, in-domain", LOST, "no", text)) == [text]
