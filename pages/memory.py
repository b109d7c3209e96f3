"""What does the model know? Levels over facts, and each fact down to its completions."""

import streamlit as st

from pages._ui import address, background, glossary, panels, pickers, resources, state
from pages._ui.facts import fact_list, memory_panels, tuned_panel
from pages._ui.facts.alias_panel import alias_button
from pages._ui.facts.consistency_panel import consistency_panel
from pages._ui.facts.exposure_panel import exposure_panel
from pages._ui.facts.fetch_panel import facts_here
from pages._ui.facts.probe_panel import is_second, probe_button
from pages._ui.facts.relations_panel import missing_templates, templates_button
from pages._ui.facts.trust_panel import trust_panel
from pages._ui.facts.upload_panel import upload_button
from pages._ui.runs.job_panel import job_panel
from pages._ui.wording import NOTE_HELP, sentence

st.title("Memory")
st.caption("Known means here: completed statements name the right answer. How often they do is the memory score R, in levels.")

with panels.errors_shown():
    if not resources.models():
        panels.no_models()
    first, second, third, fourth, fifth, sixth = st.columns([3, 3, 2, 2, 2, 2], vertical_alignment="bottom")
    with first:
        model = pickers.pick_model()
    with second:
        source = pickers.pick_source()
    with third:
        split = pickers.pick_split()
    with fourth:
        domain = pickers.pick_domain()
    scheme = pickers.pick_scheme(fifth, sixth)
    glossary.here(scheme, 21 * scheme.sampling.samples if scheme.by_statements else 0)
with panels.errors_shown():
    if not facts_here(source, "memory"):
        address.over()
    missing_templates(model, source)
    stamp = background.stamp()
    profile = resources.profile(model, source, split, domain, scheme)

with st.container(horizontal=True, vertical_alignment="center"):
    measured = "probed" if scheme.method == "sampling" else "estimated"
    st.markdown(f"**{profile.probed:,} of {profile.facts:,} facts {measured}**")
    probe_button(model, source, split, domain, scheme, profile.facts - profile.probed)
    upload_button(model)
    templates_button(model, source)
    alias_button()
    state.show_toast()
    label = "Exclude echo facts" if profile.echo else "No echo facts"
    without_echo = pickers.linked_toggle(label, "echo", help=NOTE_HELP["echo facts"], disabled=not profile.echo)
with st.container():  # what may be missing has a place of its own: else all that follows would move up, and be drawn from nothing
    if (trouble := state.kept_problem()) is not None:
        panels.problem(trouble)
    for note in profile.notes:
        st.caption(sentence(note), help=next((text for part, text in NOTE_HELP.items() if part in note), None))
    read = memory_panels.pretraining_note(model, source)
    for job in state.watched_jobs("probe"):
        if not (is_second(job) and address.value("trust")):  # shown where it was started
            job_panel(job, "memory", charts=False)
    with panels.errors_shown():
        tuned_panel.beside_base(model, source, split, domain, scheme)
shown = profile.without_echo if without_echo else profile
if not profile.facts:
    panels.empty("This source has no facts in that split and domain. Pick another.")
    address.over()
if not profile.probed:
    memory_panels.not_probed(model, scheme)
else:
    memory_panels.spread(shown, read)
    with panels.errors_shown():
        trust_panel(model, source, split, domain, scheme, stamp)
    with panels.errors_shown():
        consistency_panel(model, source, split, domain, scheme)
    with panels.errors_shown():
        exposure_panel(model, source, split, domain, scheme)

st.subheader("Facts", anchor=False)
with panels.errors_shown():
    fact_list.facts_section(shown, model, source, read, stamp)
