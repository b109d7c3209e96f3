"""A run or a study as a command and as a YAML file: to copy, to save, and to load into the Lab."""

from typing import Any

import streamlit as st

from pages._ui import panels, resources
from pages._ui.runs import form_reads, forms
from sftqa_core.errors import SettingsError
from sftqa_core.records import StudySettings, TrainSettings
from sftqa_core.records.job import command_of

WHAT = {"train": "run", "study": "study"}


def pick_file(kind: str) -> Any:
    """A popover that takes the file of a run or a study; the file, None without one."""
    what = WHAT[kind]
    with st.popover("Use a YAML file", icon=":material/upload_file:"):
        help_text = f"Saved below the cost of a {what}, or written for the command line."
        return st.file_uploader(f"A {what}'s file", type=["yaml", "yml"], key=f"{kind}-file", help=help_text)


def settings_in(file: Any, kind: str) -> TrainSettings | StudySettings | None:
    """The run or study in a file that was handed over, which goes before the form; None without one.

    Raises `SettingsError` with every problem of the file.
    """
    if file is None:
        return None
    st.caption(f"The file's {WHAT[kind]} is used; remove the file to fill in the form.")
    try:
        text = file.getvalue().decode("utf-8")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file.name} is not UTF-8 text: {error}.") from error
    if kind == "study":
        return resources.study_of(text)
    settings = form_reads.run_of(text)
    st.button("Fill in the form with it", icon=":material/edit_note:", key="file-fill", on_click=_fill_in, args=(settings,))
    return settings


def command_and_file(settings: TrainSettings | StudySettings) -> None:
    """The exact command, and the file."""
    if isinstance(settings, StudySettings):
        text, name = resources.study_yaml(settings), resources.study_name(settings)
    else:
        text, name = form_reads.run_yaml(settings), f"run-n{'all' if settings.n == TrainSettings.ALL else settings.n}-{settings.method}"
    what = "study" if isinstance(settings, StudySettings) else "train"

    def both() -> None:
        st.code(command_of(settings), language="bash", wrap_lines=True)
        st.caption(f"Or with this file: sftqa {what} --config FILE. The Lab reads it, too.")
        st.code(text, language="yaml", wrap_lines=True)
        st.download_button("Save as YAML", text, f"{name}.yaml", "text/yaml", icon=":material/download:", on_click="ignore")

    panels.folded("Command and YAML file", "command", ":material/terminal:", both)


def _fill_in(settings: TrainSettings) -> None:
    forms.fill_in(settings)
    st.session_state.pop("train-file", None)
