"""The table of objects that count as the same, in a dialog: edit, save, or go back to the shipped one."""

import streamlit as st

from pages._ui import state
from pages._ui.facts import source_reads
from pages._ui.panels import problem
from sftqa_core.errors import FactsError, SftqaError

COLUMNS = {
    "name": st.column_config.TextColumn("Object", required=True),
    "same_as": st.column_config.TextColumn("Counts as the same", help="Other names for it, with | between them.", width="large"),
}


def alias_button() -> None:
    """A button that opens the editor."""
    if st.button("Aliases", icon=":material/join:", help="Objects that count as the same answer."):
        _editor()


@st.dialog("Objects that count as the same", width="large")
def _editor() -> None:
    st.caption("Used for the memory score and for accuracy. A new name re-scores stored completions; a removed one needs a new probe.")
    try:
        rows = source_reads.alias_rows()
    except SftqaError as error:
        problem(str(error))
        rows = []
    edited = st.data_editor(rows, column_config=COLUMNS, num_rows="dynamic", hide_index=True, height=380, key="alias-rows")
    save, reset = st.columns(2)
    try:
        if save.button("Save", type="primary", width="stretch"):
            _check(edited)
            source_reads.save_aliases(edited)
            state.toast_later("Saved. Levels and later runs use this table.")
            st.rerun()
        if reset.button("Reset to the shipped table", width="stretch"):
            source_reads.save_aliases(None)
            state.toast_later("Reset. Levels and later runs use the shipped table.")
            st.rerun()
    except SftqaError as error:
        problem(str(error))


def _check(rows: list[dict[str, str]]) -> None:
    """Raises `FactsError` that lists every cell of separators only: such a row would be ignored silently."""
    empty = [
        f"Row {number}: '{cell}' holds no name. Write names with | between them, or delete the row."
        for number, row in enumerate(rows, 1)
        for cell in (row.get("name"), row.get("same_as"))
        if isinstance(cell, str) and cell and not cell.replace("|", "").strip()
    ]
    if empty:
        raise FactsError(empty)
