"""The table of objects that count as the same, in a dialog: edit, save, or go back to the shipped one."""

from __future__ import annotations

import streamlit as st

from pages._ui import resources
from pages._ui.panels import problem
from sftqa_core.errors import SftqaError

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
    st.caption("Used for the memory score and for accuracy. A new name re-scores what is stored; a removed one probes again.")
    try:
        rows = resources.alias_rows()
    except SftqaError as error:
        problem(str(error))
        rows = []
    edited = st.data_editor(rows, column_config=COLUMNS, num_rows="dynamic", hide_index=True, height=380, key="alias-rows")
    save, reset = st.columns(2)
    try:
        if save.button("Save", type="primary", width="stretch"):
            resources.save_aliases(edited)
            st.rerun()
        if reset.button("Back to the shipped table", width="stretch"):
            resources.save_aliases(None)
            st.rerun()
    except SftqaError as error:
        problem(str(error))
