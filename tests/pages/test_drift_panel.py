"""The chapter on drift as a page shows it."""

from streamlit.testing.v1 import AppTest

from tests.pages.conftest import words


def chapter(seeds: int, sizes: tuple[int, ...]) -> AppTest:
    """The panel of runs at n = 60, beside others."""

    def page(seeds, sizes):
        from pages._ui.inside.drift_panel import drift_panel
        from tests.looks import drift_look

        looks = [drift_look(n=n, seed=seed, size=n / 60) for n in sizes for seed in range(seeds)]
        drift_panel([look for look in looks if look.settings.n == 60], looks)

    app = AppTest.from_function(page, args=(seeds, sizes), default_timeout=60).run()
    assert not app.exception
    return app


def test_a_run_is_told_whole():
    """Words, charts of both kinds of prompt, against n, over runs, weights, and the table with its method."""
    app = chapter(2, (60, 240))
    text = words(app)
    assert app.subheader[0].value == "Where did answers and weights move?"
    assert "after the question, the likeliest next token is another one for" in text
    assert "too few settings to tell \\(2 of 8 or more\\)" in text
    assert "corrected for all that a chapter compares" in text
    assert "3 more questions that these looks cannot answer" in [box.label for box in app.expander]
    assert len(app.get("plotly_chart")) == 10  # levels, lost and n at both prompts; runs; cells, modules, top
    table = app.dataframe[0].value
    assert table["facts"].tolist() == [40, 40, 80] * 4
    assert 1.9 < table["kl_low"][0] < table["kl"][0] < table["kl_high"][0] < 2.1  # nats, not per cent
    assert table["share"][0] == 100
    assert "One forward pass a prompt and model" in text


def test_one_run_has_no_lines_against_n():
    """Charts of several settings wait for a second one."""
    app = chapter(1, (60,))
    assert len(app.get("plotly_chart")) == 7
    assert "Does L1 drift with" not in words(app)


def test_titles_say_what_is_drawn():
    """Against n alone, as all runs are trained on all levels; settings that differ in more are named, and on no line."""
    text = words(chapter(1, (60, 240))).replace("\\", "")
    assert "Does L1 drift with the number of examples?" in text
    assert "On no line" not in text


def test_a_run_without_drift_says_so():
    """Nothing measured: an empty state and no chart."""
    app = chapter(1, (240,))
    assert "Drift was not measured of this run." in words(app)
    assert len(app.get("plotly_chart")) == 0
