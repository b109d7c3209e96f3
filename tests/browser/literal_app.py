"""A page of foreign texts in every place that renders markdown (test_literal.py looks at it)."""

import sys
from pathlib import Path

import streamlit as st

sys.path.insert(0, str(Path(__file__).parents[2]))

from pages._ui.wording import in_badge, literal
from tests.browser.foreign_texts import PLACES, TEXTS

DRAW = {
    "markdown": lambda text: st.markdown(literal(text)),
    "bold": lambda text: st.markdown(f"**{literal(text)}**"),
    "caption": lambda text: st.caption(literal(text)),
    "list": lambda text: st.error(f"- {literal(text)}\n- {literal(text)}"),
    "badge": lambda text: st.badge(in_badge(text)),
    "expander": lambda text: st.expander(literal(text)),
    "metric": lambda text: st.metric(literal(text), "1"),
    "text": st.text,
}
assert set(DRAW) == set(PLACES)
for number, foreign in enumerate(TEXTS):
    for place in PLACES:
        with st.container(key=f"{place}-{number}"):
            DRAW[place](foreign)
with st.container(key="end"):
    st.text("end")
