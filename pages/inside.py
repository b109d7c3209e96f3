"""What did tuning change inside the model? Where its answers moved, which weights did it, what it knows and does not say."""

import streamlit as st

from pages._ui import address, background, panels, state
from pages._ui.inside import inside_picks, inside_reads, look_panel
from sftqa_core.records import MEASURES

st.title("Inside")
st.caption(
    "Accuracy tells that something changed. This tells what: in the answers, in the weights, and in what the model knows without saying."
)

with panels.errors_shown():
    stamp = background.stamp()
    name, looks = inside_picks.pick(stamp)
if not name:
    panels.empty("No run has finished yet.", "pages/lab.py", "Start one in the Lab")
    address.over()
if problem := state.kept_problem():
    panels.problem(problem)

taken = tuple(measure for measure in MEASURES if looks and all(measure in look.measures for look in looks))
if not looks:
    with panels.errors_shown():
        inside_picks.start_panel(name, (), stamp)
    address.over()
with panels.errors_shown():
    chosen = inside_reads.read(looks, taken, stamp)
    others = inside_reads.read([look for look in inside_reads.kept(stamp) if look.base == looks[0].base], taken, stamp)
look_panel.about(chosen)
look_panel.chapters(taken, chosen, others)
if len(taken) < len(MEASURES):
    st.subheader("Not looked at yet", anchor=False)
    inside_picks.start_panel(name, taken, stamp)
look_panel.command(chosen[0])
panels.planted(chosen[0].settings.source)
