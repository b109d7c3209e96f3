"""The tools of every page, at its top right: taking away what it shows, and the glossary."""

import streamlit as st

from pages._ui import drawn, glossary, take_away


def tools(page: str) -> None:
    """Draw them. From here on the page's charts, tables and own numbers are noted."""
    drawn.begin_page(page)
    glossary.begin_page(page)
    _buttons()


@st.fragment
def _buttons() -> None:
    """A fragment: a dialog that opens, and what is picked in it, leave the page as it is."""
    with st.container(horizontal=True, horizontal_alignment="right", key="page-tools"):
        take_away.button()
        glossary.button()
