"""Which models are available? What is on this machine, what can be downloaded, and what fits."""

import streamlit as st

from pages._ui import background, catalogue_panels, panels, resources, state
from pages._ui.runs.job_panel import job_panel
from pages._ui.wording import sentence

st.title("Models")

with panels.errors_shown():
    stamp = background.stamp()
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    with left:
        device, kept = catalogue_panels.filters(stamp)
    table = resources.offered(device, stamp)
    st.caption(catalogue_panels.machine(table))
    with right:
        catalogue_panels.add_button()

state.show_toast()
if (trouble := state.kept_problem()) is not None:
    panels.problem(trouble)
for note in table.notes:
    st.warning(sentence(note), icon=":material/warning:")

shown = [offer for offer in table.offers if kept(offer)]
if shown:
    picked = catalogue_panels.offers_table(shown, device)
    st.caption(
        f"{len(shown):,} of {len(table.offers):,} models. Click a row for details. Sizes are the least that each work needs (a batch of 8 "
        "short texts). A probe, and a run while it answers its test questions, use more where there is room; the Lab tells how much."
    )
    catalogue_panels.details(picked)
else:
    st.caption("No model matches these filters.")

for job in state.watched_jobs("fetch"):
    job_panel(job, "catalogue", charts=False)
