"""What the model knows and does not say: the words, the fixed set, the moves with their control, which runs are compared."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.conftest import words


def page():
    from dataclasses import replace

    import streamlit as st

    from pages._ui.inside.knowledge_panel import knowledge_panel
    from tests.evaluation.inside.test_knowledge_tables import BASE, MIXED, TUNED, look_of

    case = st.query_params.get("case", "")
    look = look_of(BASE + [(0.5, False)] * 30, TUNED + [(0.5, True)] * 3 + [(0.5, False)] * 27)
    if case == "none":
        look = replace(look, tables={})
    if case == "empty":
        look = replace(MIXED, tables={"knowledge": {**MIXED.tables["knowledge"], "facts": MIXED.tables["knowledge"]["facts"][:0]}})
    others = [look_of(BASE, TUNED, n=960, **({"epochs": 2} if case == "epochs" else {}))]
    knowledge_panel([look], [look, *others])


@pytest.fixture
def opened():
    def run(case: str = "") -> AppTest:
        app = AppTest.from_function(page, default_timeout=120)
        app.query_params["case"] = case
        app.run()
        assert not app.exception
        return app

    return run


def texts(app) -> str:
    return words(app).replace("\\", "").replace("\u2060", "")


def test_the_chapter_says_what_it_ranks_and_what_came_out(opened):
    """The fixed set stands in front; the control beside the moves; intervals of both kinds in the method."""
    app = opened()
    text = texts(app)
    assert "ranked among up to 4 wrong ones" in text
    assert text.index("The **fixed set** holds") < text.index("In-domain, of 70 facts the base model knows")
    assert "**Control** (neither known nor said before, said now: beside activated): 3 of 40 facts, 7.5% (2.6% to 19.9%)" in text
    assert "corrected for all that a chapter compares" in text
    assert "That is not the memory level" in text
    table = app.dataframe[0].value
    assert table["known"].tolist()[:2] == [42.9, 42.9]  # per cent
    assert len(app.get("plotly_chart")) == 4
    (known,) = (spec for chart in app.get("plotly_chart") if len((spec := json.loads(chart.proto.spec))["data"]) == 6)
    assert [trace["name"] for trace in known["data"]][-1] == "chance"


def test_runs_of_other_settings_are_not_compared(opened):
    """As on the command line: numbers of examples of runs with as many epochs."""
    app, other = opened(), opened("epochs")
    assert "60 examples get 73.3%" in texts(app)
    assert "only one number was looked at" in texts(other)
    specs = [[json.loads(chart.proto.spec) for chart in each.get("plotly_chart")][2] for each in (app, other)]
    assert [spec["layout"]["xaxis"]["ticktext"] for spec in specs] == [["0", "60", "960"], ["0", "60"]]


@pytest.mark.parametrize(("case", "said"), [("none", "not measured on the chosen runs"), ("empty", "there is nothing to rank")])
def test_where_there_is_nothing_it_says_why(opened, case, said):
    """One sentence, no chart."""
    app = opened(case)
    assert said in texts(app)
    assert not app.get("plotly_chart")
