"""How many GPUs train together is asked only where there are several."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest


def page() -> None:
    import streamlit as st

    from pages._ui.gpu_fields import gpu_fields

    st.text(repr(gpu_fields()))


@pytest.mark.parametrize("there", [0, 1])
def test_one_gpu_or_none_is_no_question(monkeypatch: pytest.MonkeyPatch, there: int):
    """Nothing is drawn, and the settings stay at their defaults."""
    monkeypatch.setattr("pages._ui.resources.gpus", lambda: there)
    app = AppTest.from_function(page).run()
    assert (len(app.number_input), app.text[0].value) == (0, "{}")


def test_of_several_as_many_as_there_are_can_be_had(monkeypatch: pytest.MonkeyPatch):
    """How they share the model is asked from two on."""
    monkeypatch.setattr("pages._ui.resources.gpus", lambda: 4)
    app = AppTest.from_function(page).run()
    number = app.number_input[0]
    assert (number.label, number.value, number.min, number.max, app.text[0].value) == ("GPUs", 1, 1, 4, "{}")
    number.set_value(2).run()
    assert app.text[0].value == repr({"gpus": 2, "sharding": "ddp"})


@pytest.mark.parametrize(
    ("there", "filled"),
    [(0, {}), (2, {"lab-gpus": 2, "lab-sharding": "fsdp"}), (1, {})],
)
def test_a_runs_gpus_are_filled_in_where_there_are_so_many(monkeypatch: pytest.MonkeyPatch, there: int, filled: dict):
    """A run from another machine is no reason for a number that can't be had."""
    from pages._ui.gpu_fields import filled_in
    from sftqa_core.records import TrainSettings

    monkeypatch.setattr("pages._ui.resources.gpus", lambda: there)
    assert filled_in(TrainSettings("any", gpus=2, sharding="fsdp")) == filled
    assert filled_in(TrainSettings("any")) == ({"lab-gpus": 1} if there > 1 else {})


def test_a_probe_can_be_spread_where_there_are_several(explorer, jobs, monkeypatch: pytest.MonkeyPatch):
    """What is launched says over how many."""
    monkeypatch.setattr("pages._ui.resources.gpus", lambda: 2)
    app = explorer("memory", probed=False)
    app.session_state["probe-box"] = True
    app.run()
    app.number_input(key="probe-gpus").set_value(2).run()
    app.button(key="probe-start").click().run()
    (job,) = jobs.kept.values()
    assert job.settings["gpus"] == 2
