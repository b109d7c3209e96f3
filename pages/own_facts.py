"""What would a model know of my own facts? Make a tiny one from them, then probe, tune and compare it, step by step."""

import streamlit as st

from pages._ui import background, panels, state
from pages._ui.own_facts import own_choices, own_limits, own_results, own_steps
from sftqa_core.records import ProbeSettings, TrainSettings

st.title("Own facts")
st.caption(
    "Make a tiny model that has read your facts and nothing else, then see what it knows and what tuning changes. Steps run in the "
    "background: leave this page or reload it, and nothing is lost."
)
state.show_toast()
tiles = st.container()
left, right = st.columns([3, 1], gap="large")
with right:
    own_limits.limits_box()
with left:
    if (trouble := state.kept_problem()) is not None:
        panels.problem(trouble)
    with panels.errors_shown():
        stamp = background.stamp()
        facts, source = own_choices.facts_step()
        model, made, size = own_choices.model_step(source, stamp)
        here = made if model.done else None
        probed = ProbeSettings(made.name, made.source) if made else None
        probe = own_results.probe_step(probed if here else None, stamp)
        first = TrainSettings(made.name, made.source, min(own_results.USUAL, size.train)) if made and size.train else None
        tune, run = own_results.tune_step(first if probe.done else None, stamp)
        compare = own_results.compare_step(first, run, size.train if size else 0, stamp)
        own_steps.row([facts, model, probe, tune, compare], tiles)
        if made and probed and first:
            own_limits.commands(made, probed, [first])
state.queued_elsewhere([step.job for step in (model, probe, tune, compare) if step.job])
