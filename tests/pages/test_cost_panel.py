"""The cost panel on forecasts that are made up."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from sftqa_core.planning.fit import Fit
from sftqa_core.planning.forecast import Forecast
from sftqa_core.records import Check, Preflight

GB = 10**9
WELL = Preflight("train", (Check("model", "ok", "It is here."),))


def page() -> None:
    import streamlit as st

    from pages._ui.runs.cost_panel import cost_panel
    from sftqa_core.records import TrainSettings

    st.text(f"can start: {cost_panel(TrainSettings('any'))}")


def page_of_a_probe() -> None:
    import streamlit as st

    from pages._ui.runs.cost_panel import cost_panel
    from sftqa_core.records import ProbeSettings

    st.text(f"can start: {cost_panel(ProbeSettings('any'))}")


def shown(
    monkeypatch: pytest.MonkeyPatch,
    fit: Fit | None,
    notes: tuple[str, ...] = (),
    problems: tuple[str, ...] = (),
    checks: Preflight = WELL,
    page: Callable[[], None] = page,
) -> AppTest:
    told = Forecast(60, 8, 100, 9, 20.0, 60.0, notes, problems, fit=fit)
    monkeypatch.setattr("pages._ui.resources.forecast", lambda settings, stamp: told)
    monkeypatch.setattr("pages._ui.resources.preflight", lambda settings, stamp, cost: checks)
    monkeypatch.setattr("pages._ui.background.stamp", lambda: "now")
    app = AppTest.from_function(page).run()
    assert not app.exception
    return app


def ram_line(app: AppTest) -> str:
    return next(line.value for line in app.markdown if "RAM" in line.value)


def test_the_footprint_stands_in_one_line_below_the_time(monkeypatch):
    """What is needed and what is free, in gigabytes; and what was left out."""
    fit = Fit("cpu", int(0.6 * GB), int(0.6 * GB), 18 * GB, 24 * GB)
    app = shown(monkeypatch, fit)
    assert ram_line(app) == r"**RAM:** about 0\.6 GB, 18 GB free"
    assert app.text[0].value == "can start: True"
    unknown = shown(monkeypatch, Fit("cpu", None, None, 18 * GB, 24 * GB, "unknown until the model is downloaded."))
    assert [line.value for line in unknown.markdown if "RAM" in line.value][-1] == r"**RAM:** unknown until the model is downloaded\."


def test_too_little_ram_now_is_a_note_and_at_all_a_problem(monkeypatch):
    """With a note the work can start, with a problem it can't, and then only the problem is shown."""
    fit = Fit("cpu", 30 * GB, 30 * GB, 18 * GB, 24 * GB)
    noted = shown(monkeypatch, fit, notes=("Close what takes the rest. Set batch size 4.",))
    assert noted.text[0].value == "can start: True"
    assert noted.caption[0].value == r"Close what takes the rest\. Set batch size 4\."
    refused = shown(monkeypatch, fit, problems=("It needs about 30 GB of RAM.",))
    assert refused.text[0].value == "can start: False"
    assert not [line for line in refused.markdown if "RAM" in line.value]


def test_where_nothing_is_computed_no_footprint_is_told(monkeypatch):
    """A forecast without it draws no line."""
    assert not [line for line in shown(monkeypatch, None).markdown if "RAM" in line.value]


# --- what was looked at --------------------------------------------------------------------------------------

NASTY = Check("answers", "note", "It reads <b>x</b> as :smile: [x](http://x.invalid).", "Take `it` out.", "owner/name")


def test_all_well_is_one_closed_line(monkeypatch):
    """The number of points stands in it, the points behind it."""
    app = shown(monkeypatch, None)
    (box,) = app.expander
    assert (box.label, box.proto.expanded) == ("Checked: nothing stands in the way (1 point)", False)
    assert not box.markdown
    assert box.caption[0].value == r":green[:material/check:] It is here\."
    assert app.text[0].value == "can start: True"


def test_a_problem_opens_the_list_and_keeps_the_work_from_starting(monkeypatch):
    """Problems first, each with its fix."""
    full = Check("disk", "problem", "The disk is full.", "Free some space.")
    app = shown(monkeypatch, None, checks=Preflight("train", (Check("model", "ok", "It is here."), NASTY, full)))
    (box,) = app.expander
    assert (box.label, box.proto.expanded) == ("Checked: 1 thing stands in the way, 1 to know (3 points)", True)
    lines = box.markdown[0].value.split("\n\n")
    assert lines[0] == r":red[:material/block:] The disk is full\. :gray[→ Free some space\.]"
    assert [line.split("]")[0] for line in lines] == [":red[:material/block:", ":orange[:material/info:"]
    assert box.caption[0].value.startswith(":green[:material/check:]")
    assert app.text[0].value == "can start: False"


def test_words_of_models_in_findings_are_text(monkeypatch):
    """No markup of theirs is drawn."""
    (box,) = shown(monkeypatch, None, checks=Preflight("train", (NASTY,))).expander
    drawn = box.markdown[0].value
    assert "**owner/name**" in drawn
    assert r"\<b\>x\</b\>" in drawn
    assert r"\[x\]\(http" in drawn
    assert r"\`it\`" in drawn


def test_the_footprint_sentence_stands_among_the_checks_alone(monkeypatch):
    """It is a note of the forecast, too, which is not drawn a second time."""
    against = "It may fail. Close what takes the rest."
    fit = Fit("cpu", 30 * GB, 20 * GB, 18 * GB, 24 * GB, stands_against=against)
    checks = Preflight("train", (Check("memory", "note", "It may fail.", "Close what takes the rest."),))
    app = shown(monkeypatch, fit, notes=(against, "From before."), checks=checks)
    assert [caption.value for caption in app.caption] == [r"From before\."]


def test_where_a_cluster_does_the_work_is_told(monkeypatch):
    """The time is that of one device here, and the machine's own RAM is not told: of the cluster's nothing is known."""
    from pages._ui import background
    from sftqa_core.records import ProbeSettings, TrainSettings

    monkeypatch.setenv("SFTQA_CLUSTER", "192.0.2.7:6379")
    assert background.done_by(TrainSettings("any")) == "on this machine."
    goes = "on one device of this machine. The cluster at 192.0.2.7:6379 does it: divide by the number of its workers."
    assert background.done_by(ProbeSettings("any")) == goes
    app = shown(monkeypatch, Fit("cpu", GB, GB, 18 * GB, 24 * GB), page=page_of_a_probe)
    told = [line.value.replace("\\", "").replace("\u2060", "") for line in app.markdown]
    assert f"**About 20 s to 60 s** {goes}" in told
    assert not [line for line in app.markdown if "RAM" in line.value]
    assert app.text[0].value == "can start: True"
