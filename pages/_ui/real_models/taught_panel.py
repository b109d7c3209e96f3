"""A real model that was told of facts it did not know, and how well it knows them by how often it was told."""

from functools import partial
from typing import Any

import streamlit as st

from pages._ui import panels, pickers
from pages._ui.charts import draw
from pages._ui.links import page_link
from pages._ui.real_models.ways_panel import said
from sftqa_core.figures.model_comparison import MOST_SIGNS, planted_figure
from sftqa_core.reports import real_words

_WORDINGS = {"all": "all 21", "seen": "the text's own", "unseen": "others"}


def taught(found: Any) -> None:
    """For each such model the scores, and what can be told; nothing where there is none."""
    for one in found.taught:
        _one(one)


@panels.piece
def _one(one: Any) -> None:
    name = one.about.name
    st.subheader("What if it is told?", anchor=False)
    st.info(f"**Planted.** {real_words.taught(one)}", icon=":material/school:")
    wordings = pickers.linked_choice("Wordings of the probe", list(_WORDINGS), f"wordings-{name}", _WORDINGS.__getitem__)
    draw(
        partial(planted_figure, one.facts, wordings),
        key=f"real-taught-{name}",
        alt="Memory score by number of statements",
        of=(name, wordings, one),
    )
    drawn = f" Of {len(one.facts):,} facts {MOST_SIGNS:,} have a sign." if len(one.facts) > MOST_SIGNS else ""
    st.caption(f"A faint sign a fact, lines are means; hollow: fewer than 30 facts. Memory score by {one.way}.{drawn}")
    said(name, list(real_words.rank(one)))
    to = {"model": name, "source": real_words.FACTS}
    page_link("pages/memory.py", "Fact by fact on Memory", f"real-taught-memory-{name}", icon=":material/psychology:", to=to)
