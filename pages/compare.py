"""Which run is better, and on what? Any number of runs and cells of studies beside each other, on the facts that all were asked."""

import streamlit as st

from pages._ui import address, background, panels
from pages._ui.bundles.bundle_panel import import_button, origin_note
from pages._ui.compare import compare_items, compare_panels, compare_picks, compare_reads, inside_panel, remake_panel
from pages._ui.downloads import share_button
from pages._ui.runs.run_table import shown_runs
from sftqa_core.records.result_names import bundle_of

st.title("Compare")

with panels.errors_shown():
    stamp = background.stamp()
    if not len(shown_runs(stamp)) and not background.studies():
        panels.empty("No run has finished yet.", "pages/lab.py", "Start one in the Lab")
        import_button()
        address.over()
    names = compare_picks.picked_names(stamp)

compare_picks.pick_runs(stamp, names)
if not names:
    panels.empty("Pick two or more runs above: what differs in their settings, in their accuracy, and fact by fact.")
    address.over()

with panels.errors_shown():
    reference, pool, against = compare_picks.options(names, stamp)
    compared = compare_reads.compared(tuple(names), reference, pool, against, stamp)
comparison = compared.comparison

compare_panels.legend(comparison, stamp)
compare_panels.notes(comparison)
for bundle in dict.fromkeys(bundle_of(name) for run in comparison.runs for name in run.names):
    origin_note(bundle)
st.subheader("What differs, and what moved", anchor=False)
compare_panels.settings_table(comparison)
with st.container(horizontal=True, vertical_alignment="center"):
    compare_panels.twins(comparison)
    share_button(names, "compare-share", reference, pool, against)
if comparison.facts:
    st.subheader("Accuracy per memory level", anchor=False)
    compare_panels.charts(comparison)
    st.subheader("Which is better?", anchor=False)
    compare_panels.tests(comparison)
    st.subheader("Fact by fact", anchor=False)
    compare_items.item_table(compared, (tuple(names), reference, pool, stamp))
inside_panel.inside_panel(comparison, stamp)
remake_panel.remake_panel(comparison, stamp)
panels.planted(comparison.runs[0].settings.source)
