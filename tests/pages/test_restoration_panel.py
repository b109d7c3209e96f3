"""What happens when changed weights are put back: the words, the charts, one share, and the way to keep that model."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from pages._ui import background
from tests.pages.conftest import words


def page():
    import dataclasses

    import streamlit as st

    from pages._ui.inside.restoration_panel import restoration_panel
    from tests.restored_looks import made_look

    case = st.query_params.get("case", "")
    look = made_look()
    if case == "none":
        look = dataclasses.replace(look, tables={})
    others = [made_look(0, n=960)] if case == "others" else []
    restoration_panel([look], [look, *others])


@pytest.fixture
def opened(monkeypatch, jobs):
    monkeypatch.setattr(background, "expected_s", lambda settings: (1.0, 2.0))

    def run(**query: str) -> AppTest:
        app = AppTest.from_function(page, default_timeout=120)
        for name, value in query.items():
            app.query_params[name] = value
        app.run()
        assert not app.exception
        return app

    return run


def specs(app):
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def test_the_chapter_says_what_came_out_and_how_it_was_measured(opened):
    """A question, sentences with numbers, charts of both domains, the controls, tables with facts and intervals."""
    app = opened()
    assert app.subheader[0].value == "What happens when changed weights are put back?"
    text = words(app).replace("\\", "")
    assert "10% put back by relative change: +22.5 points, " in text
    assert "Two controls put changed parameters back by chance" in text
    assert "With 10% of the parameters so much of the squared update is put back: largest relative change 15.0%" in text
    assert len(specs(app)) == 6  # both domains twice, blocks of layers, own examples
    at_share = app.dataframe[0].value
    assert at_share["accuracy"].tolist() == pytest.approx([72.5, 47.5, 71.25] * 2, abs=0.06)
    assert at_share["difference"].tolist() == pytest.approx([22.5, -2.5, 21.25] * 2, abs=0.06)
    assert at_share["facts"].tolist() == [80] * 6
    crosses = specs(app)[-1]["data"][-1]
    assert crosses["name"] == "LLaMA-3-8B (published)"
    assert crosses["y"] == pytest.approx([0.1208, 0.6125, 0.125, 0.6292])  # L0 and L1, nothing and 5% put back
    own = app.dataframe[2].value
    assert own["level"].tolist() == ["L0", "L0", "L1", "L1", "not known"]
    assert own.iloc[1][["share", "accuracy", "low", "high"]].tolist() == pytest.approx([5.0, 10.0, 4.0, 23.1])


def test_a_share_can_be_picked_and_its_model_kept(opened, jobs):
    """The command is the run's own with the recipe; the button queues the same run."""
    app = opened()
    app.select_slider(key="pick-restored-share").set_value("0.6").run()
    assert app.query_params["restored-share"] in ("0.6", ["0.6"])
    assert "--recipe restore --restore-share 0.6" in app.code[0].value
    app.selectbox(key="restored-way").set_value("random").run()
    assert app.code[0].value == (
        "sftqa train --model atlas-llama --source atlas --n 240 --method full --shots 0 --recipe restore --restore-share 0.6 "
        "--restore-by random --seed 0"
    )
    app.button(key="restored-keep").click().run()
    job = jobs.jobs(kind="train")[0]
    assert job.settings["recipe"] == {"name": "restore", "share": 0.6, "ranked": "random", "draw": 0}
    assert (job.settings["n"], job.settings["seed"], job.settings["save_model"]) == (240, 0, True)
    assert app.button(key="restored-keep").disabled


def test_a_link_names_the_share(opened):
    """And one that names no share of these shows the one that dev facts choose."""
    assert "--restore-share 0.01" in opened(**{"restored-share": "0.01"}).code[0].value
    assert "--restore-share 0.1 " in opened(**{"restored-share": "0.7"}).code[0].value


def test_published_lines_on_request(opened):
    """With the paper, and both values where it contradicts itself; not by level, which it does not give."""
    app = opened(published="1")
    dashed = [trace for trace in specs(app)[0]["data"] if trace.get("legendgroup") == "published"]
    assert len(dashed) == 5
    text = words(app)
    assert "arXiv 2509.16596" in text
    assert "44.96, 52.43, 58.80, 57.70, 55.22" in text
    assert "45.47, 52.69, 57.53, 55.15, 53.93" in text
    app = opened(published="1", **{"restored-at": "L0"})
    assert "Only means over levels are published." in words(app)


def test_other_runs_stand_beside(opened):
    """A row a domain for each number of examples, once there are several."""
    assert len(opened().dataframe) == 3
    rows = opened(case="others").dataframe[1].value
    assert rows["n"].tolist() == [240, 240, 960, 960]
    assert set(rows["Put back"]) == {"10%"}


def test_where_there_is_nothing_it_says_why(opened):
    """One sentence, no chart."""
    app = opened(case="none")
    assert "not measured for this run yet" in words(app)
    assert specs(app) == []
