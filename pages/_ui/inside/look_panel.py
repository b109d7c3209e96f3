"""What the chapters of Inside share: which model it is, and each measure's chapter in its place."""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from pages._ui import panels
from pages._ui.inside import chapter, inside_reads
from pages._ui.inside.curves_panel import curves_panel
from pages._ui.inside.drift_panel import drift_panel
from pages._ui.inside.knowledge_panel import knowledge_panel
from pages._ui.inside.restoration_panel import restoration_panel
from pages._ui.links import page_link
from pages._ui.pickers import linked_choice
from pages._ui.wording import literal, percent
from sftqa_core.evaluation.inside.look import Look
from sftqa_core.evaluation.intervals import LEAST
from sftqa_core.records import DOMAIN_NAMES, MEASURES
from sftqa_core.records.job import command_of

_NAMES = {"drift": "Drift", "restoration": "Restoration", "knowledge": "Knowledge", "curves": "Learning curves"}
Panel = Callable[[Sequence[Look], Sequence[Look]], None]
_PANELS: dict[str, Panel] = {
    "drift": drift_panel, "restoration": restoration_panel, "knowledge": knowledge_panel, "curves": curves_panel,
}  # fmt: skip


def chapters(name: str, looks: Sequence[Any], stamp: str) -> None:
    """One measure, which is picked: what nobody sees is neither read nor computed.

    `looks` are those at the seeds of one setting. Seeds that were looked at otherwise than the first one (more facts a level, say) are left
    out; beside them stand all looks on the same base model that were taken as it was. `name`: the run's, in the address.
    """
    taken = [measure for measure in MEASURES if any(measure in look.measures for look in looks)]
    if not taken:
        return
    measure = linked_choice("Chapter", taken, "chapter", _NAMES.__getitem__, label_visibility="collapsed")
    own = next(look.pieces[measure].own for look in looks if measure in look.measures)
    known = [look for look in inside_reads.kept(stamp) if look.base == looks[0].base]
    alike = [[look for look in some if measure in look.measures and look.pieces[measure].own == own] for some in (looks, known)]
    with st.spinner("Reading what was seen…"):
        chosen, others = (inside_reads.read(some, (measure,), stamp) for some in alike)
    if not chosen:
        panels.empty("The facts of these runs have changed since they were looked at, or the results are damaged.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        for sentence in dict.fromkeys(look.made for look in chosen):
            st.caption(literal(sentence), width="content")
        names = ",".join(look.name for look in chosen)
        page_link("pages/compare.py", "Compare these", "inside-compare", icon=":material/compare_arrows:", to={"runs": names})
    with st.spinner("Counting what was seen…"):  # a few seconds, once
        panels.piece(_PANELS[measure])(sorted(chosen, key=lambda look: look.settings.seed), others)
    seeds = (
        f"They hold for these {len(chosen)} seeds: others may differ."
        if len(chosen) > 1
        else "It is one training: another seed may differ."
    )
    st.caption(f"For all intervals facts are drawn anew, seeds are not. {seeds}")
    chapter.next_chapter(name, measure, taken)


def in_short(looks: Sequence[Any], stamp: str) -> None:
    """The one thing to know: how much of what the base model knew without saying it is said now, beside what it did not know."""
    taken = [look for look in looks if "knowledge" in look.measures]
    alike = [look for look in taken if look.pieces["knowledge"].own == taken[0].pieces["knowledge"].own]
    said = []
    for row in inside_reads.summary(alike, stamp):
        shares = [
            f"{percent(row[name])} ({percent(row[f'{name}_low'])} to {percent(row[f'{name}_high'])}) of {row[f'{name}_starts']:,.0f}"
            for name in ("activated", "control") if row.get(f"{name}_starts", 0) >= LEAST
        ]  # fmt: skip
        if len(shares) == 2:
            said.append(f"{DOMAIN_NAMES[row['domain']]} **{shares[0]}** known ones, and {shares[1]} unknown ones")
    if said:
        known = "Known: the right answer ranks first among wrong ones; said: the question is answered rightly."
        st.markdown(f"In short: of the facts that the base model did not say, tuning brought out {'; '.join(said)}. {known}")


def command(looks: Sequence[Any]) -> None:
    """What takes the same look on the command line."""
    st.caption("One of these seeds on the command line:" if len(looks) > 1 else "The same on the command line:")
    st.code(f"sftqa inside {looks[0].name}\n{command_of(looks[0].settings)}", language="bash", wrap_lines=True)
