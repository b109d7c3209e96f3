"""What is said of a comparison: the same on the page Compare and in reports. Plain text, which a page has to escape."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sftqa_core.records import DOMAIN_NAMES, Comparison, DomainMeans, MeanAccuracy, PairTest, TrainSettings
from sftqa_core.records.amounts import p_value, percent, points
from sftqa_core.records.comparison import UNTESTED
from sftqa_core.records.setting_words import ModelName, label, shown_value

SHORT = {"in": "In", "out": "Out"}
NAMED = 6  # pairs that are listed
_SETTINGS_FIRST = {"model": "Model", "source": "Facts", "n": "n"}
CHART_CAPTION = (
    "Bars: 95% intervals. Hollow markers: fewer than 30 facts, too few to tell. Grey: the base model. Under each level: its "
    "facts. At the right: the mean over levels and the micro average."
)
TESTS_CAPTION = (
    "Words follow the corrected interval alone (Holm, over all comparisons in this table). Single runs, micro average: McNemar's exact "
    "test. Pooled seeds and means over levels: facts resampled, the same for both. The facts are drawn anew, not the seeds: two single "
    "runs may differ because of their seeds alone. Compare several seeds of each setting, pooled, before calling a setting better. "
    "Where two answer every fact alike, the interval is what so many facts can rule out; too few facts: fewer than 30 at some level."
)
NO_FACTS = "These were asked no fact in common, so their answers can't be compared."


# ---- settings and accuracies ----
def settings_rows(comparison: Comparison, model_name: ModelName) -> list[dict[str, str]]:
    """A row each, its label under "": its accuracies, and the settings that differ; all other settings are equal."""
    rows = []
    for at, run in enumerate(comparison.runs):
        values = {_setting_name(name): _value(name, given[at], run.settings, model_name) for name, given in comparison.settings.items()}
        rows.append({"": run.label, **accuracies(run.accuracy), **values})
    for base in comparison.bases:
        rows.append({"": base.label, **accuracies(base.accuracy), **{_setting_name(name): "" for name in comparison.settings}})
    return rows


def settings_caption(comparison: Comparison) -> str:
    """How many facts count, what brackets are, whose levels."""
    equal = "All settings that change answers are equal. " if len(comparison.runs) > 1 and not comparison.settings else ""
    how = "from Wilson's; of pooled seeds from resampled facts" if any(len(run.seeds) > 1 for run in comparison.runs) else "from Wilson's"
    whose = f"Memory levels are those of {comparison.reference}'s base model."
    return f"{equal}{comparison.facts:,} test facts in common. Brackets: 95% intervals ({how}). {whose}"


def _setting_name(name: str) -> str:
    return _SETTINGS_FIRST.get(name) or label(TrainSettings, name)


def _value(name: str, given: Any, settings: TrainSettings, model_name: ModelName) -> str:
    if name == "seed":
        return ", ".join(map(str, given)) if isinstance(given, list) else str(given)
    if name == "n":
        return f"{settings.n:,}"
    value = getattr(settings, name)
    return "–" if value is None else shown_value(name, value, settings, model_name)


def accuracies(domains: dict[str, DomainMeans]) -> dict[str, str]:
    """Both means of each domain that has facts, with their intervals."""
    cells = {}
    for domain, means in domains.items():
        if means.micro.n:
            cells[f"{SHORT[domain]}: mean over levels"] = with_interval(means.macro)
            cells[f"{SHORT[domain]}: micro"] = with_interval(means.micro)
    return cells


def with_interval(mean: MeanAccuracy) -> str:
    """38.4% [35.2, 40.0]."""
    if mean.value is None or mean.low is None or mean.high is None:
        return "–"
    return f"{percent(mean.value)} [{mean.low * 100:.1f}, {mean.high * 100:.1f}]"


# ---- tests ----
def tests_headline(comparison: Comparison) -> tuple[str, str]:
    """How many comparisons tell a difference, and what became of the others: "3 of 4 comparisons tell a difference", "; 1 cannot tell."."""
    counts = Counter(test.verdict for test in comparison.tests)
    others = [f"{counts[verdict]} {verdict}" for verdict in ("cannot tell", "too few facts to tell", "not tested") if counts[verdict]]
    told = counts["better"] + counts["worse"]
    return f"{told} of {comparison.counted} comparisons tell a difference", f"{'; '.join(['', *others])}."


def test_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Every comparison that was tested, in words and with its numbers."""
    return [_test_row(test) for test in comparison.tests if test.verdict != UNTESTED]


def _test_row(test: PairTest) -> dict[str, Any]:
    words = {
        "better": f"{test.run} is better than {test.against}",
        "worse": f"{test.run} is worse than {test.against}",
        "cannot tell": f"cannot tell {test.run} from {test.against}",
    }
    interval = "" if test.low is None or test.high is None else f"{points(test.low)} to {points(test.high)}"
    moved = round((test.difference or 0.0) * 100, 1) + 0.0  # never -0
    only = [round(value or 0.0, 1) for value in (test.only_run, test.only_against)]
    verdict = words.get(test.verdict, f"{test.run}, {test.against}: {test.verdict}")
    same = f"{test.run} and {test.against} answer alike" if not any(only) else verdict
    return {
        "Verdict": same,
        "Facts": f"{SHORT[test.domain]}: {test.mean}", "difference": moved, "Corrected interval": interval,
        "p": p_value(test.p), "p after Holm": p_value(test.p_holm),
        "n": test.facts, "only first": only[0], "only second": only[1], "Test": test.test,
    }  # fmt: skip


def untested(comparison: Comparison) -> list[str]:
    """Which pairs were not tested, a sentence for each reason."""
    pairs_of: dict[str, list[str]] = {}
    for test in comparison.tests:
        if test.verdict == UNTESTED:
            pairs_of.setdefault(f"{DOMAIN_NAMES[test.domain]}, {test.mean}: {test.why}", []).append(f"{test.run} against {test.against}")
    told = []
    for why, pairs in pairs_of.items():
        more = f" and {len(pairs) - NAMED:,} pairs more" if len(pairs) > NAMED else ""
        told.append(f"Not tested, {why} ({'; '.join(pairs[:NAMED])}{more}).")
    return told
