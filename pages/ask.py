"""What do the models say? One question to base models and tuned runs beside each other."""

import streamlit as st

from pages._ui import address, background, panels, resources
from pages._ui.asking import ask_form, asked
from pages._ui.asking.ask_panel import ask_panel
from pages._ui.wording import literal

st.title("Ask")

with panels.errors_shown():
    stamp = resources.listed(background.stamp())  # what is asked is told by the names of runs
    if not asked.options(stamp):
        panels.no_models()
    wanted = ask_form.ask_form(stamp)

pressed = st.session_state.pop(ask_form.NOW, False)
if not wanted.text:
    st.caption("Write a question above, or take one of these:")
    with st.container(horizontal=True):
        for at, question in enumerate(asked.examples(wanted.columns)):
            st.button(literal(question), key=f"example-{at}", on_click=ask_form.take, args=(question,))
    address.over()
ask_panel(wanted.text, wanted.columns, wanted.answers, "ask", wanted.kind, now=pressed)
