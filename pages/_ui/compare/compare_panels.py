"""The parts of a comparison: what the letters stand for, settings that differ beside what moved, charts, tests in words."""

from collections import Counter
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from pages._ui.charts import draw
from pages._ui.compare.compare_picks import side_title
from pages._ui.downloads import csv_button
from pages._ui.fields import label
from pages._ui.runs.twin import twin_button
from pages._ui.titles import model_name, shown_value
from pages._ui.wording import literal, p_value, percent
from sftqa_core.figures.overlaid import COLOURS, Line, overlaid_figure
from sftqa_core.figures.style import GREY
from sftqa_core.jsonrecord import fingerprint
from sftqa_core.records import DOMAIN_NAMES, Comparison, DomainMeans, MeanAccuracy, PairTest, TrainSettings
from sftqa_core.records.amounts import points
from sftqa_core.records.comparison import UNTESTED
from sftqa_core.records.result_names import is_cell

NAMED = 6  # pairs that are listed
SHORT = {"in": "In", "out": "Out"}
SIGNS, BASE_SIGNS = ("●", "◆", "▲", "⬟"), ("■", "✚", "✖", "★")  # of the charts, as text
BESIDE = 4  # columns that stand side by side
SETTINGS_FIRST = {"model": "Model", "source": "Facts", "n": "n"}


def legend(comparison: Comparison, stamp: str) -> None:
    """Each letter with its sign in the charts, and what it stands for."""
    lines = []
    for at, run in enumerate(comparison.runs):
        sign, colour = SIGNS[at // len(COLOURS) % len(SIGNS)], COLOURS[at % len(COLOURS)]
        lines.append(f':color[{sign}]{{foreground="{colour}"}} **{run.label}** {literal(side_title(run, stamp))}')
    for at, base in enumerate(comparison.bases):
        sign = BASE_SIGNS[at % len(BASE_SIGNS)]
        lines.append(f':color[{sign}]{{foreground="{GREY}"}} **{base.label}** {literal(model_name(base.model))} before tuning')
    st.markdown("  \n".join(lines))


def twins(comparison: Comparison) -> None:
    """Links to the Lab with the settings of each filled in."""
    with st.popover("Run again with changes", icon=":material/edit_note:"):
        for run in comparison.runs:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"**{run.label}**", width="content")
                twin_button(run.settings, f"compare-{run.label}", "" if is_cell(run.names[0]) else run.names[0])


def notes(comparison: Comparison) -> None:
    """What was asked or judged otherwise, and which facts count."""
    if not comparison.facts:
        st.warning("These were asked no fact in common, so their answers can't be compared.", icon=":material/join_inner:")
    for note in comparison.notes:
        st.info(literal(note), icon=":material/info:")


def settings_table(comparison: Comparison) -> None:
    """Each of the comparison with its accuracies and the settings that differ; all other settings are equal. Some stand side by side, so
    that both are seen on a telephone; many have a row each.
    """
    rows = []
    for at, run in enumerate(comparison.runs):
        values = {_setting_name(name): _value(name, given[at], run.settings) for name, given in comparison.settings.items()}
        rows.append({"": run.label, **_accuracies(run.accuracy), **values})
    for base in comparison.bases:
        rows.append({"": base.label, **_accuracies(base.accuracy), **{_setting_name(name): "" for name in comparison.settings}})
    table = pd.DataFrame(rows)
    pinned = {"": st.column_config.TextColumn("", width=60, pinned=True)}
    if len(rows) <= BESIDE:
        table = table.set_index("").T.rename_axis("").reset_index()
        pinned = {"": st.column_config.TextColumn("", width=140, pinned=True)}
        pinned |= {name: st.column_config.TextColumn(name, width=123) for name in table.columns[1:]}  # two stand on a telephone
    with st.container(key=f"settings-of-{len(table)}-rows"):
        st.dataframe(table, hide_index=True, column_config=pinned, height="content")
    equal = "All settings that change answers are equal. " if len(comparison.runs) > 1 and not comparison.settings else ""
    how = "from Wilson's; of pooled seeds from resampled facts" if any(len(run.seeds) > 1 for run in comparison.runs) else "from Wilson's"
    whose = f"Memory levels are those of {comparison.reference}'s base model."
    st.caption(f"{equal}{comparison.facts:,} test facts in common. Brackets: 95% intervals ({how}). {whose}")


def _setting_name(name: str) -> str:
    return SETTINGS_FIRST.get(name) or label(TrainSettings, name)


def _value(name: str, given: Any, settings: TrainSettings) -> str:
    if name == "seed":
        return ", ".join(map(str, given)) if isinstance(given, list) else str(given)
    if name == "n":
        return f"{settings.n:,}"
    value = getattr(settings, name)
    return "–" if value is None else shown_value(name, value, settings)


def _accuracies(domains: dict[str, DomainMeans]) -> dict[str, str]:
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


def charts(comparison: Comparison) -> None:
    """In and out of domain side by side (one above the other where it is narrow)."""
    domains = [domain for domain in DOMAIN_NAMES if comparison.runs[0].accuracy[domain].micro.n]
    of = fingerprint([[run.to_dict()["accuracy"] for run in comparison.runs], [base.to_dict() for base in comparison.bases]])
    for domain, column in zip(domains, st.columns(max(1, len(domains)), gap="large"), strict=True):
        name = f"{DOMAIN_NAMES[domain].capitalize()} facts"
        column.markdown(f"**{name}**")
        lines = [Line(base.label, base.accuracy[domain], base=True) for base in comparison.bases]
        lines += [Line(run.label, run.accuracy[domain]) for run in comparison.runs]
        alt = f"Accuracy per memory level of {len(comparison.runs)} runs. {name}."
        draw(partial(overlaid_figure, lines), key=f"compare-{domain}", alt=alt, place=column, of=(of, domain))
    st.caption(
        "Bars: 95% intervals. Hollow markers: fewer than 30 facts, too few to tell. Grey: the base model. Under each level: its "
        "facts. At the right: the mean over levels and the micro average."
    )


def tests(comparison: Comparison) -> None:
    """Every comparison in words, with its numbers."""
    if len(comparison.runs) < 2:
        st.caption("Pick a second run, and this says which of the two is better, where that can be told.")
        return
    counts = Counter(test.verdict for test in comparison.tests)
    counted = [f"{counts['better'] + counts['worse']} of {comparison.counted} comparisons tell a difference"]
    counted += [f"{counts[verdict]} {verdict}" for verdict in ("cannot tell", "too few facts to tell", "not tested") if counts[verdict]]
    st.markdown(f"**{counted[0]}**{'; '.join(['', *counted[1:]])}.")
    untested: dict[str, list[str]] = {}
    for test in comparison.tests:
        if test.verdict == UNTESTED:
            untested.setdefault(f"{DOMAIN_NAMES[test.domain]}, {test.mean}: {test.why}", []).append(f"{test.run} against {test.against}")
    table = pd.DataFrame([_test_row(test) for test in comparison.tests if test.verdict != UNTESTED])
    st.dataframe(table, hide_index=True, height=min(420, 38 + 35 * len(table)), column_config=TEST_COLUMNS)
    csv_button("Download the tests", table, "comparison-tests", "compare-tests-csv")
    for why, pairs in untested.items():
        more = f" and {len(pairs) - NAMED:,} pairs more" if len(pairs) > NAMED else ""
        st.caption(literal(f"Not tested, {why} ({'; '.join(pairs[:NAMED])}{more})."))
    st.caption(
        "Words follow the corrected interval alone (Holm, over all comparisons in this table). Single runs, micro average: McNemar's exact "
        "test. Pooled seeds and means over levels: facts resampled, the same for both. The facts are drawn anew, not the seeds: two single "
        "runs may differ because of their seeds alone. Compare several seeds of each setting, pooled, before calling a setting better. "
        "Where two answer every fact alike, the interval is what so many facts can rule out; too few facts: fewer than 30 at some level."
    )


_ONLY = "Facts that only this one answered correctly; of pooled seeds the sum of the shares by which it leads."
TEST_COLUMNS = {  # the first three stand side by side on a telephone
    "Verdict": st.column_config.TextColumn("Verdict", width=142),
    "Facts": st.column_config.TextColumn("Facts", width=148),
    "difference": st.column_config.NumberColumn("Difference", format="%+.1f points", width=96),
    "n": st.column_config.NumberColumn("n", format="localized", help="Test facts in common"),
    "only first": st.column_config.NumberColumn("Only the first right", help=_ONLY),
    "only second": st.column_config.NumberColumn("Only the second right", help=_ONLY),
}


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
