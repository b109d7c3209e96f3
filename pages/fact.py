"""What does everything here say of one fact? Its completions, its level in each model, its answer in each run."""

import streamlit as st

from pages._ui import address, background, glossary, panels, pickers, resources, state
from pages._ui.facts import fact_list, fact_story, memory_panels
from pages._ui.facts.fact_panel import fact_detail
from pages._ui.facts.fetch_panel import facts_here
from pages._ui.inside.fact_inside import fact_inside_section
from pages._ui.wording import literal

st.title("Fact")

with panels.errors_shown():
    if not resources.models():
        panels.no_models()
    first, second, third, fourth = st.columns([3, 3, 2, 2], vertical_alignment="bottom")
    with first:
        model = pickers.pick_model()
    with second:
        source = pickers.pick_source()
    scheme = pickers.pick_scheme(third, fourth)
    glossary.here(scheme, 21 * scheme.sampling.samples if scheme.by_statements else 0)

with panels.errors_shown():
    if not facts_here(source, "fact"):
        address.over()
    stamp = background.stamp()
    split, domain = address.value("split") or "test", address.value("domain") or "all"
    profile = resources.profile(model, source, split, domain, scheme)
    wanted = address.value("fact")
    fact = fact_list.one_fact(profile, wanted) if wanted else None

if fact is None:
    gone = f"These facts have none called '{literal((wanted or '')[:80])}'." if wanted else "No fact is picked."
    panels.empty(f"{gone} Pick one from the list of facts.", "pages/memory.py", "Open Memory")
    address.over()

with panels.errors_shown():
    fact_story.neighbours(profile, str(fact["fact_id"]), model, source, stamp)
    read = memory_panels.pretraining_note(model, source)
    fact_detail(model, source, fact, profile.scheme, stamp, read)
    fact_story.levels_section(source, fact, profile.scheme, model, stamp)
    fact_story.runs_section(source, str(fact["fact_id"]), stamp)
    fact_inside_section(source, str(fact["fact_id"]), stamp)
    fact_story.ask_section(fact, model)
    state.show_toast()
