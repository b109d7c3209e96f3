"""Which levels: the paper's five, the same completions with cut-offs of one's own, or SliCK's four. The choice stands in the address."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from pages._ui.pickers import linked, pick_method
from pages._ui.wording import literal
from sftqa_core.errors import SettingsError
from sftqa_core.records import PAPER, SCHEMES, LevelScheme, read_cutoffs, with_cutoffs, written_cutoffs
from sftqa_core.records.schemes import MOST_CUTOFFS

BY = {"paper": "paper's five", "cutoffs": "own cut-offs", "slick": "SliCK"}
_HELP = (
    "Paper's five: how often 21 statements are completed rightly. Own cut-offs: the same completions, with other borders between the "
    "levels. SliCK: four levels by which answers to a question after examples are right."
)


def pick_scheme(first: Any, second: Any) -> LevelScheme:
    """A level scheme, picked in two columns. Raises `SettingsError` for cut-offs that can't be used, after they are drawn."""
    with first:
        by = _pick()
    with second:
        if by == "paper":
            return replace(PAPER, method=pick_method())
        return _own() if by == "cutoffs" else SCHEMES[by]


def picked_scheme(wrong: list[str]) -> LevelScheme:
    """The same in one column, as the Lab asks for it: by the full probe. What is wrong is added to `wrong`."""
    by = _pick()
    try:
        return _own() if by == "cutoffs" else SCHEMES[by]
    except SettingsError as error:
        wrong += error.problems
        return PAPER


def _pick() -> str:
    return linked("Levels by", tuple(BY), "levels", lambda by: BY[by], help=_HELP)


def _own() -> LevelScheme:
    """Cut-offs in a popover; they hold on other pages, and a link carries them."""
    _begin()
    kept: dict[str, Any] = {"persist_state": "session"}
    with st.popover("Cut-offs", icon=":material/tune:", width="stretch"):
        st.caption("No fact is probed again: only where R changes the level.")
        levels = int(st.number_input("Levels", 2, MOST_CUTOFFS + 1, key="cut-levels", **kept))
        cuts = []
        for at in range(levels - 1):
            if f"cut-{at}" not in st.session_state:
                st.session_state[f"cut-{at}"] = round((1 + cuts[-1]) / 2, 2)
            cuts.append(round(float(st.number_input(f"L{at}: R up to", 0.0, 0.99, step=0.05, key=f"cut-{at}", **kept)), 2))
    scheme = with_cutoffs(cuts)
    st.query_params["cut"] = written_cutoffs(scheme)
    return scheme


def _begin() -> None:
    """Fill in what the address says, once a visit; else the paper's."""
    if "cut-levels" in st.session_state:
        return
    cutoffs, wanted = PAPER.cutoffs, st.query_params.get("cut")
    if wanted is not None:
        try:
            cutoffs = with_cutoffs(read_cutoffs(wanted)).cutoffs
        except SettingsError as error:
            st.warning(f"{literal(str(error))} Showing the paper's.", icon=":material/link_off:")
    st.session_state["cut-levels"] = len(cutoffs) + 1
    st.session_state.update({f"cut-{at}": cut for at, cut in enumerate(cutoffs)})


def filled(scheme: LevelScheme) -> dict[str, Any]:
    """What the picker has to hold for these levels; for a scheme that it does not know, the paper's."""
    if scheme.few_shot or scheme.cutoffs == PAPER.cutoffs:
        return {"pick-levels": "slick" if scheme == SCHEMES["slick"] else "paper"}
    if len(scheme.cutoffs) > MOST_CUTOFFS:
        return {"pick-levels": "paper"}
    return {"pick-levels": "cutoffs", "cut-levels": len(scheme.labels), **{f"cut-{at}": cut for at, cut in enumerate(scheme.cutoffs)}}
