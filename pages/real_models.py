"""Real models: what do they know, and what do 60 examples do to them?"""

import streamlit as st

from pages._ui import address, background, glossary, panels
from pages._ui.real_models import amounts_panel, known_panel, real_reads, taught_panel, ways_panel
from sftqa_core.records import PAPER

st.title("Real models")
st.caption("What do real models know, and what do 60 examples do to them? Real facts, real models; what was planted says so.")

with panels.errors_shown():
    glossary.here(PAPER, 21 * PAPER.sampling.samples)
    stamp = background.stamp()
    cards = real_reads.cards()
    ways = real_reads.levels(stamp) if real_reads.with_results() else {}
    if not ways:
        panels.empty("No real model has been measured here yet. `make real MODELS=FOLDER` does it, with the folder of the models' files.")
        if cards:
            amounts_panel.sources(cards)
        address.over()
    known_panel.known(ways)

with panels.errors_shown():
    found = real_reads.report(stamp)
    for part in (ways_panel.ways, ways_panel.asked, ways_panel.majority, amounts_panel.amounts, taught_panel.taught):
        part(found)
    amounts_panel.sources(cards)
