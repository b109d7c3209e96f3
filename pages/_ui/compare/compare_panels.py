"""The parts of a comparison: what the letters stand for, settings that differ beside what moved, charts, tests in words."""

from functools import partial

import pandas as pd
import streamlit as st

from pages._ui import drawn
from pages._ui.charts import draw
from pages._ui.compare.compare_picks import side_title
from pages._ui.downloads import csv_button
from pages._ui.runs.twin import twin_button
from pages._ui.titles import model_name
from pages._ui.wording import literal
from sftqa_core.figures.overlaid import COLOURS, Line, overlaid_figure
from sftqa_core.figures.style import GREY
from sftqa_core.jsonrecord import fingerprint
from sftqa_core.records import DOMAIN_NAMES, Comparison
from sftqa_core.records.result_names import is_cell
from sftqa_core.reports import comparison_words

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
        st.warning(comparison_words.NO_FACTS, icon=":material/join_inner:")
    for note in comparison.notes:
        st.info(literal(note), icon=":material/info:")


def settings_table(comparison: Comparison) -> None:
    """Each of the comparison with its accuracies and the settings that differ; all other settings are equal. Some stand side by side, so
    that both are seen on a telephone; many have a row each.
    """
    rows = comparison_words.settings_rows(comparison, model_name)
    table = pd.DataFrame(rows)
    pinned = {"": st.column_config.TextColumn("", width=60, pinned=True)}
    if len(rows) <= BESIDE:
        table = table.set_index("").T.rename_axis("").reset_index()
        pinned = {"": st.column_config.TextColumn("", width=140, pinned=True)}
        pinned |= {name: st.column_config.TextColumn(name, width=123) for name in table.columns[1:]}  # two stand on a telephone
    drawn.note_table("settings", lambda: table)
    with st.container(key=f"settings-of-{len(table)}-rows"):
        st.dataframe(table, hide_index=True, column_config=pinned, height="content")
    st.caption(comparison_words.settings_caption(comparison))


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
    st.caption(comparison_words.CHART_CAPTION)


def tests(comparison: Comparison) -> None:
    """Every comparison in words, with its numbers."""
    if len(comparison.runs) < 2:
        st.caption("Pick a second run, and this says which of the two is better, where that can be told.")
        return
    told, others = comparison_words.tests_headline(comparison)
    st.markdown(f"**{told}**{others}")
    table = pd.DataFrame(comparison_words.test_rows(comparison))
    st.dataframe(table, hide_index=True, height=min(420, 38 + 35 * len(table)), column_config=TEST_COLUMNS)
    csv_button("Download the tests", table, "comparison-tests", "compare-tests-csv")
    for why in comparison_words.untested(comparison):
        st.caption(literal(why))
    st.caption(comparison_words.TESTS_CAPTION)


_ONLY = "Facts that only this one answered correctly; of pooled seeds the sum of the shares by which it leads."
TEST_COLUMNS = {  # the first three stand side by side on a telephone
    "Verdict": st.column_config.TextColumn("Verdict", width=142),
    "Facts": st.column_config.TextColumn("Facts", width=148),
    "difference": st.column_config.NumberColumn("Difference", format="%+.1f points", width=96),
    "n": st.column_config.NumberColumn("n", format="localized", help="Test facts in common"),
    "only first": st.column_config.NumberColumn("Only the first right", help=_ONLY),
    "only second": st.column_config.NumberColumn("Only the second right", help=_ONLY),
}
