"""What the chapters of Inside share: which model it is, and each measure's chapter in its place."""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from pages._ui import panels
from pages._ui.inside import inside_reads
from pages._ui.inside.curves_panel import curves_panel
from pages._ui.inside.drift_panel import drift_panel
from pages._ui.inside.knowledge_panel import knowledge_panel
from pages._ui.inside.restoration_panel import restoration_panel
from pages._ui.links import page_link
from pages._ui.pickers import linked_choice
from pages._ui.wording import literal
from sftqa_core.evaluation.inside.look import Look
from sftqa_core.records import MEASURES
from sftqa_core.records.job import command_of

_NAMES = {"drift": "Drift", "restoration": "Restoration", "knowledge": "Knowledge", "curves": "Learning curves"}
Panel = Callable[[Sequence[Look], Sequence[Look]], None]
_PANELS: dict[str, Panel] = {
    "drift": drift_panel, "restoration": restoration_panel, "knowledge": knowledge_panel, "curves": curves_panel,
}  # fmt: skip


def about(looks: Sequence[Any]) -> None:
    """Where the models came from, and whether they are those that were stored."""
    for sentence in dict.fromkeys(look.made for look in looks):
        st.caption(literal(sentence))
    names = ",".join(look.name for look in looks)
    page_link("pages/compare.py", "Compare these", "inside-compare", icon=":material/compare_arrows:", to={"runs": names})


def chapters(looks: Sequence[Any], stamp: str) -> tuple[str, ...]:
    """One measure, which is picked: what nobody sees is neither read nor computed. Returns the measures that all seeds have.

    `looks` are those at the seeds of one setting; beside them stand all others on the same base model.
    """
    taken = [measure for measure in MEASURES if any(measure in look.measures for look in looks)]
    if taken:
        measure = linked_choice("Chapter", taken, "chapter", _NAMES.__getitem__, label_visibility="collapsed")
        beside = [look for look in inside_reads.kept(stamp) if look.base == looks[0].base]
        chosen, others = (
            inside_reads.read([look for look in some if measure in look.measures], (measure,), stamp) for some in (looks, beside)
        )
        panels.piece(_PANELS[measure])(chosen, others)
    return tuple(measure for measure in taken if all(measure in look.measures for look in looks))


def command(look: Any) -> None:
    """What takes the same look on the command line."""
    st.caption("The same on the command line:")
    st.code(f"sftqa inside {look.name}\n{command_of(look.settings)}", language="bash", wrap_lines=True)
