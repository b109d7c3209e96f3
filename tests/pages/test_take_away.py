"""What a page shows can be taken away: charts as images that the browser makes, tables as files."""

import io
import json

import pandas as pd
import pytest

from pages._ui import drawn
from pages._ui.downloads import parquet_bytes
from pages._ui.take_away import file_name
from tests.pages.conftest import words


@pytest.fixture
def opened(explorer, monkeypatch):
    """Opens a page, then its dialog: by a run of the whole script, which must not begin anew what is noted. (A browser asks for the
    fragment alone.)"""

    def open_dialog(page: str):
        app = explorer(page)
        monkeypatch.setattr(drawn, "begin_page", lambda page: None)
        app.button(key="take-away-open").click().run()
        assert not app.exception
        return app

    return open_dialog


def image_settings(app) -> dict:
    """What the dialog's chart tells the browser of the image to make."""
    charts = [chart.proto for chart in app.get("plotly_chart")]
    (config,) = [config for chart in charts if (config := json.loads(chart.config)).get("toImageButtonOptions")]
    assert config["modeBarButtons"] == [["toImage"]]
    return config["toImageButtonOptions"]


def test_a_charts_image_is_made_as_chosen(opened):
    """Every chart of Results can be chosen; PNG has twice the dots, SVG none, and both are named after page and chart."""
    app = opened("results")
    assert "Accuracy per memory level. In-domain facts." in app.selectbox(key="take-away-chart").options
    assert image_settings(app) == {"format": "png", "filename": "results-accuracy-all-in", "width": 900, "height": 380, "scale": 2}
    app.session_state["take-away-image"] = "SVG"
    app.button(key="take-away-open").click().run()
    assert image_settings(app) == {"format": "svg", "filename": "results-accuracy-all-in", "width": 900, "height": 380}


def test_a_page_that_shows_nothing_says_so(opened):
    """Jobs has none while there is no job; the dialog opens all the same."""
    app = opened("jobs")
    assert "This page shows no chart and no table now." in words(app)


def test_a_table_as_parquet_keeps_every_digit_and_kind():
    """Numbers, texts, missing values and lists come back as they were; a column of several kinds becomes text."""
    table = pd.DataFrame({"n": [1, 2], "share": [1 / 3, None], "name": ["=é", "b"], "seeds": [[1, 2], []], "mixed": ["a", 1]}, index=[5, 7])
    back = pd.read_parquet(io.BytesIO(parquet_bytes(table)))
    assert list(back.columns) == list(table.columns)
    assert list(back.index) == [0, 1]
    assert back["n"].tolist() == [1, 2]
    assert back["share"][0] == 1 / 3
    assert pd.isna(back["share"][1])
    assert back["name"].tolist() == ["=é", "b"]
    assert [list(seeds) for seeds in back["seeds"]] == [[1, 2], []]
    assert back["mixed"].tolist() == ["a", "1"]


def test_columns_of_one_name_are_not_mixed_up():
    """Parquet would keep only one of them."""
    with pytest.raises(ValueError, match="column names must differ, got"):
        parquet_bytes(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_a_files_name_is_plain():
    """Whatever a study, a relation or a model is called."""
    assert file_name("results", "Accuracy: L0/L4 (réel)") == "results-accuracy-l0-l4-r-el"
    assert file_name("", "x" * 200) == "overview-" + "x" * 71
