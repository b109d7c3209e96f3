"""What the chapters of Inside share: which model it is, and each measure's chapter in its place."""

from collections.abc import Callable, Sequence

import streamlit as st

from pages._ui import panels, pickers
from pages._ui.inside.curves_panel import curves_panel
from pages._ui.inside.drift_panel import drift_panel
from pages._ui.inside.knowledge_panel import knowledge_panel
from pages._ui.inside.restoration_panel import restoration_panel
from pages._ui.links import page_link
from pages._ui.wording import literal
from sftqa_core.evaluation.inside.look import Look
from sftqa_core.records.job import command_of

_NAMES = {"drift": "Drift", "restoration": "Restoration", "knowledge": "Knowledge", "curves": "Learning curves"}
Panel = Callable[[Sequence[Look], Sequence[Look]], None]
_PANELS: dict[str, Panel] = {
    "drift": drift_panel, "restoration": restoration_panel, "knowledge": knowledge_panel, "curves": curves_panel,
}  # fmt: skip


def about(looks: Sequence[Look]) -> None:
    """Where the models came from, and whether they are those that were stored."""
    for sentence in dict.fromkeys(look.made for look in looks):
        st.caption(literal(sentence))
    names = ",".join(look.name for look in looks)
    page_link("pages/compare.py", "Compare these", "inside-compare", icon=":material/compare_arrows:", to={"runs": names})


def chapters(taken: Sequence[str], chosen: Sequence[Look], others: Sequence[Look]) -> None:
    """The measure that is picked: what nobody sees is not computed."""
    if taken:
        measure = pickers.linked_choice("Chapter", taken, "chapter", _NAMES.__getitem__, label_visibility="collapsed")
        panels.piece(_PANELS[measure])(chosen, others)


def command(look: Look) -> None:
    """What takes the same look on the command line."""
    st.caption("The same on the command line:")
    st.code(f"sftqa inside {look.name}\n{command_of(look.settings)}", language="bash", wrap_lines=True)
