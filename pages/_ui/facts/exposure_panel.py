"""Is what the training corpus names together known better? On the Memory page, where counts of a real model's corpus are kept."""

from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import streamlit as st

from pages._ui import drawn, pickers
from pages._ui.charts import draw
from pages._ui.facts import exposure_reads
from pages._ui.wording import literal, percent
from sftqa_core.figures.model_comparison import MOST_SIGNS, corpus_figure
from sftqa_core.figures.style import FEW
from sftqa_core.records import LevelScheme

_HELP = "Counts that were asked for with sftqa exposures. Nothing is sent from here."
_OF = {"all": "All", "exact": "Without estimates"}
_GIVEN = (
    "The partial rank correlation: what a subject's name occurs anyway is taken out of both. A famous subject stands in many texts and is "
    "known better for many reasons."
)


def exposure_panel(model: str, source: str, split: str, domain: str, scheme: LevelScheme) -> None:
    """A closed section, only where there are counts."""
    found = exposure_reads.exposures(model, source, split, domain, scheme)
    if found is None or not pickers.linked_toggle("Is what its corpus names together known better?", "corpus", help=_HELP):
        return
    with st.container(border=True, key="exposures"):
        left, right = st.columns([3, 2], gap="large")
        with left:
            st.markdown(f"**Memory score R against counts in {literal(found.corpus)}**")
            draw(
                partial(corpus_figure, found.table), key="corpus-counts", alt="Memory score against counts in the training corpus", of=found
            )
            if len(found.table) > MOST_SIGNS:
                st.caption(f"Lines are means over all facts; {MOST_SIGNS:,} of them, drawn at random, have a sign of their own.")
        with right:
            _ranks(found)
        _how(found)


def _ranks(found: Any) -> None:
    st.markdown("**Rank correlation with R**")
    if all(ranks.facts < FEW for ranks in found.ranks):
        st.caption(exposure_reads.words(found.ranks[0]))
        return
    rows = [
        {
            "Facts": f"{_OF[ranks.of]} ({ranks.facts:,})",
            "Named together": _interval(ranks, "together"),
            "Given the subject": _interval(ranks, "given_subject"),
        }
        for ranks in found.ranks
    ]
    table = pd.DataFrame(rows)
    drawn.note_table("counts and memory score", lambda: table)
    columns = {"Given the subject": st.column_config.TextColumn(help=_GIVEN)}
    st.dataframe(table, hide_index=True, column_config=columns)
    st.caption("95% intervals (Bonett and Wright). Where one holds 0, there may be none.")


def _interval(ranks: Any, name: str) -> str:
    if ranks.facts < FEW:
        return "too few to tell"
    value, low, high = (getattr(ranks, f"{name}{end}") for end in ("", "_low", "_high"))
    return "cannot tell" if value is None else f"{value:z.2f} ({low:z.2f} to {high:z.2f})"


def _how(found: Any) -> None:
    days = found.first_asked if found.first_asked == found.last_asked else f"{found.first_asked} to {found.last_asked}"
    estimated = percent(int(found.table["estimated"].sum()) / len(found.table), 0)
    st.caption(
        f"{len(found.table):,} facts with a count and a level. Counted are places in {literal(found.corpus)} (index "
        f"{literal(found.index)}) where subject and answer stand within {found.window:,} tokens of each other, as "
        f"{literal(urlsplit(found.service).netloc)} told on {days}. {estimated} are the service's estimates, "
        "where 0 can stand for a small number. A text that names both need not state the fact."
    )
