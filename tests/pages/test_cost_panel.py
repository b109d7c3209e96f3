"""The cost panel on forecasts that are made up."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from sftqa_core.workflows.forecast import Forecast
from sftqa_core.workflows.memory import Memory

GB = 10**9


def page() -> None:
    import streamlit as st

    from pages._ui.cost_panel import cost_panel
    from sftqa_core.records import TrainSettings

    st.text(f"can start: {cost_panel(TrainSettings('any'))}")


def shown(monkeypatch: pytest.MonkeyPatch, memory: Memory | None, notes: tuple[str, ...] = (), problems: tuple[str, ...] = ()) -> AppTest:
    told = Forecast(60, 8, 100, 0, 20.0, 60.0, notes, problems, memory=memory)
    monkeypatch.setattr("pages._ui.resources.forecast", lambda settings, stamp: told)
    monkeypatch.setattr("pages._ui.background.stamp", lambda: "now")
    app = AppTest.from_function(page).run()
    assert not app.exception
    return app


def test_memory_stands_in_one_line_below_the_time(monkeypatch):
    """What is needed and what is free, in gigabytes; and what was left out."""
    memory = Memory("cpu", int(0.6 * GB), int(0.6 * GB), 18 * GB, 24 * GB)
    app = shown(monkeypatch, memory)
    assert [line.value for line in app.markdown][-1] == r"**Memory:** about 0\.6 GB, 18 GB free"
    assert app.text[0].value == "can start: True"
    unknown = shown(monkeypatch, Memory("cpu", None, None, 18 * GB, 24 * GB, "not known before the model is on this machine."))
    assert [line.value for line in unknown.markdown][-1] == r"**Memory:** not known before the model is on this machine\."


def test_too_little_memory_now_is_a_note_and_at_all_a_problem(monkeypatch):
    """With a note the work can start, with a problem it can't, and then only the problem is shown."""
    memory = Memory("cpu", 30 * GB, 30 * GB, 18 * GB, 24 * GB)
    noted = shown(monkeypatch, memory, notes=("Close what takes the rest. Set batch size 4.",))
    assert noted.text[0].value == "can start: True"
    assert noted.caption[-1].value == r"Close what takes the rest\. Set batch size 4\."
    refused = shown(monkeypatch, memory, problems=("It needs about 30 GB of memory.",))
    assert refused.text[0].value == "can start: False"
    assert not [line for line in refused.markdown if "Memory" in line.value]


def test_where_nothing_is_computed_no_memory_is_told(monkeypatch):
    """A forecast without it draws no line."""
    assert not [line for line in shown(monkeypatch, None).markdown if "Memory" in line.value]
