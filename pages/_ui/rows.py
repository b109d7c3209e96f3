"""Tables whose rows open: by a click anywhere on a row, and by Enter or Space on it. Arrow keys only move.

A table is one canvas to the browser. Streamlit tells when another cell is picked, by a click as by an arrow key. A script on the page
tells the two apart. It listens for Enter and Space, which would only show the cell's text, and for a click on the cell that is picked
already, which Streamlit keeps to itself.
"""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from pages._ui import drawn

# Events are caught before the table sees them. What is pressed goes ahead of the pick, which Streamlit sends 150 ms later.
_LISTEN = """
export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const place = (parentElement.host ?? parentElement).closest('[class*="st-key-rows-of-"]')
  if (!place) return
  let by = data.by, typed = false, moved = 0
  const turn = (to) => { if (by !== to) { by = to; setStateValue('by', to) } }
  const onTable = (event) => !!event.target.closest?.('[data-testid="data-grid-canvas"]')
  const moves = ['ArrowUp', 'ArrowDown', 'ArrowLeft', 'ArrowRight', 'Home', 'End', 'PageUp', 'PageDown']
  const key = (event) => {
    if (!onTable(event) || event.isComposing) return
    if (moves.includes(event.key)) { moved = Date.now(); turn('keys'); return }
    if (!['Enter', ' '].includes(event.key) || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return
    event.preventDefault()
    event.stopImmediatePropagation()
    turn('keys')
    if (!event.repeat) setTimeout(() => setTriggerValue('opened', true), Math.max(0, 250 - (Date.now() - moved)))
  }
  const focus = (event) => { if (typed && onTable(event)) { moved = Date.now(); turn('keys') } }
  const picked = () => place.querySelector('td[role="gridcell"][aria-selected="true"]')?.id
  let before
  const area = (event) => event.target.closest?.('.dvn-scroller')  // lies over the table and takes what is pointed at
  const onNames = (event) => event.clientY < area(event).getBoundingClientRect().top + 35  // sorts, and picks the first cell
  const press = (event) => { if (area(event)) { before = picked(); turn(onNames(event) ? 'keys' : 'pointer') } }
  const click = (event) => {
    if (!before || !area(event) || onNames(event)) return
    const then = before
    setTimeout(() => { if (picked() === then) setTriggerValue('opened', true) }, 400)
  }
  const typing = () => { typed = true }
  const pointing = () => { typed = false }
  const heard = [
    [document, 'keydown', typing], [document, 'pointerdown', pointing],
    [place, 'keydown', key], [place, 'focusin', focus], [place, 'pointerdown', press],
    [place, 'click', click],
  ]
  for (const [where, what, then] of heard) where.addEventListener(what, then, true)
  return () => { for (const [where, what, then] of heard) where.removeEventListener(what, then, true) }
}
"""


def clicked_row(table: Any, key: str, current: int | None = None, **more: Any) -> int | None:
    """Draw a table (a data frame); the position of the row that was opened just now, None at every other run of the script.

    `current` is the row that the page shows already: its cell is marked. `more` goes to `st.dataframe`. `key` names the table on its
    page: letters, digits and hyphens.
    """
    drawn.note_table(key.replace("-", " "), lambda: table)
    shown, listener, opened = f"rows-{key}", f"listen-{key}", f"opened-{key}"
    _mark(shown, list(map(str, table.columns)), current)
    arguments = (shown, listener, opened)
    with st.container(key=f"rows-of-{key}", gap=None):
        st.dataframe(
            table, hide_index=True, on_select=lambda: _picked(*arguments), selection_mode="single-cell", key=shown, placeholder="", **more
        )
        st.components.v2.component("rows", js=_LISTEN)(
            key=listener, data={"by": _pressed(listener)}, on_by_change=_nothing, on_opened_change=lambda: _open(shown, opened)
        )
    row = st.session_state.pop(opened, None)
    if row is None or row >= len(table):
        return None
    st.session_state[f"{shown}-current"] = row
    return int(row)


def _pressed(listener: str) -> str:
    """What was used last on the table: "pointer" or "keys"."""
    told = st.session_state.get(listener)
    return (told.get("by") if told else None) or "pointer"


def _mark(shown: str, columns: Sequence[str], current: int | None) -> None:
    """Pick a cell of the page's row where another one became it: else what is picked is left to the person."""
    before, st.session_state[f"{shown}-current"] = st.session_state.get(f"{shown}-current"), current
    if current is None or current == before or [row for row, _ in _cells(shown)] == [current]:
        return
    clicked = st.session_state.get(f"{shown}-column")
    st.session_state[shown] = {"selection": {"cells": [[current, clicked if clicked in columns else columns[0]]]}}


def _picked(shown: str, listener: str, opened: str) -> None:
    """Another cell is picked; after a click its row opens."""
    if cells := _cells(shown):
        st.session_state[f"{shown}-column"] = cells[0][1]
        if _pressed(listener) == "pointer":
            _open(shown, opened)


def _open(shown: str, opened: str) -> None:
    if cells := _cells(shown):
        st.session_state[opened] = int(cells[0][0])


def _cells(shown: str) -> list[Any]:
    """The picked cell, row and column, or none; of what the browser sent as of what the page has put there."""
    held = st.session_state.get(shown)
    return list(held["selection"].get("cells", [])) if held else []


def _nothing() -> None:
    """What the table was used by matters at the next pick."""
