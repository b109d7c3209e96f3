"""Questions that people ask, on Overview: each opens the view that answers it, with the answer of the shipped results beneath."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages._ui import resources
from pages._ui.wording import VERDICTS, literal

if TYPE_CHECKING:
    from sftqa_core.workflows import Prepared

_COLUMNS = 2


def gallery_panel() -> None:
    """Draw them, two in a row; nothing where no results ship. Drawn last: reading the results takes a moment, at the first visit only."""
    with st.spinner("Reading what the shipped results say …"):
        answers = resources.gallery()
    if not answers:
        return
    st.subheader("Questions people ask", anchor=False)
    st.caption("Answers of the shipped results: invented facts, tiny models. Intervals: 95%. Each question opens the view that shows it.")
    for first in range(0, len(answers), _COLUMNS):
        for place, answer in zip(st.columns(_COLUMNS), answers[first : first + _COLUMNS], strict=False):
            with place.container(border=True, height="stretch"):
                _answer(answer)


def _answer(answer: Prepared) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.page_link(answer.page, label=f"**{answer.question}**", icon=":material/arrow_forward:", query_params=dict(answer.to))
        if answer.verdict:
            st.badge(answer.verdict, color=VERDICTS[answer.verdict])
    st.caption(f"{literal(answer.text)} ({literal(answer.about)})")
