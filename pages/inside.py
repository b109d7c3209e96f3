"""What did tuning change inside the model? Where its answers moved, which weights did it, what it knows and does not say."""

import streamlit as st

from pages._ui import address, background, panels, state
from pages._ui.inside import inside_picks, look_panel, summary_table

st.title("Inside")
st.caption(
    "Accuracy tells that something changed. This tells what, a chapter each: how far answers moved and which weights did it, what putting "
    "them back does, what the model knows and does not say, and how it learned."
)

with panels.errors_shown():
    stamp = background.stamp()
    name, looks = inside_picks.pick(stamp)
if not name:
    panels.empty("No run has finished yet.", "pages/lab.py", "Start one in the Lab")
    address.over()
if problem := state.kept_problem():
    panels.problem(problem)

with panels.errors_shown():
    look_panel.in_short(looks, stamp)
    summary_table.beside(name, looks, stamp)
    look_panel.chapters(name, looks, stamp)
    inside_picks.start_panel(name, looks[0].measures if looks else (), stamp)
if looks:
    look_panel.command(looks)
    panels.planted(looks[0].settings.source)
