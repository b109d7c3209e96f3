"""What the page that is open has drawn: noted chart by chart and table by table, so that it can be taken away (take_away.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

_DRAWN = "drawn"


@dataclass
class Drawn:
    """What a page shows that can be taken away: charts by key (what each says, and how it is made for a theme), tables by name."""

    page: str = ""
    charts: dict[str, tuple[str, Callable[[str], Any]]] = field(default_factory=dict)
    tables: dict[str, Callable[[], Any]] = field(default_factory=dict)


def begin_page(page: str) -> None:
    """A page's script begins: from here on its charts and tables are noted anew."""
    st.session_state[_DRAWN] = Drawn(page)


def on_this_page() -> Drawn:
    """What the page that is open has drawn so far."""
    drawn = st.session_state.get(_DRAWN)
    return drawn if isinstance(drawn, Drawn) else Drawn()


def note_chart(key: str, alt: str, figure: Callable[[str], Any]) -> None:
    """A chart that the page draws; `figure` makes it in the colours of a theme ("light", "dark")."""
    on_this_page().charts[key] = (alt, figure)


def note_table(name: str, table: Callable[[], Any]) -> None:
    """A table that the page draws or offers, or what a data frame can be made of; `name` says what it holds."""
    on_this_page().tables[name] = table
