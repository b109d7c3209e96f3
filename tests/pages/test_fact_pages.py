"""Facts: the list and its address, a fact's own page, what opens when a row, a bar or a point is clicked."""

import json

import pytest

from pages._ui.charts import Point
from tests.pages import standin
from tests.pages.conftest import words


def a_fact(level: int = 2):
    return standin.facts_and_levels().query(f"level == {level}").iloc[1]


def click(app, table: str, row: int):
    """What a click on a row leaves for the next run of the script."""
    app.session_state[f"opened-{table}"] = row
    return app.run()


def frame(app, column: str):
    """The first table that has this column."""
    return next(table.value for table in app.dataframe if column in table.value)


# --- The list of facts and its address


def test_filters_of_a_link_are_restored(explorer):
    """Level, relation, search, what is left out, the split of the bars and the closed section all come from the address."""
    query = {"level": "L1,L2", "relation": "P17", "search": "subject p17", "only": "contested", "by": "relation", "trust": "1", "echo": "1"}
    app = explorer("memory", query)
    assert not app.warning
    listed = frame(app, "score")
    facts = standin.facts_and_levels()
    wanted = facts[
        facts["level"].isin([1, 2]) & (facts["relation"] == "P17") & facts["contested"] & ~facts["echo"]
        & facts["subject"].str.contains("Subject P17")
    ]  # fmt: skip
    assert sorted(listed["subject"]) == sorted(wanted["subject"])
    assert app.toggle(key="pick-trust").value
    assert app.toggle(key="pick-echo").value
    assert app.segmented_control(key="pick-by").value == "relation"


@pytest.mark.parametrize(
    ("key", "wrong", "told"),
    [
        ("level", "L9", "There is no level 'L9' here."),
        ("relation", "<b>x</b>", r"There is no relation '\<b\>x\</b\>' here."),
        ("only", "some", "There is no only 'some' here; showing all."),
        ("where", "../x", "There is no search in"),
        ("page", "99999", "There is no page '99999' here"),
        ("page", "-1", "There is no page '-1' here"),
        ("page", "٣", "There is no page"),
        ("by", "nothing", "There is no by 'nothing' here; showing domain."),
        ("fact", "0000000000000000", ""),
    ],
)
def test_what_a_link_says_wrongly_is_dropped_and_said(explorer, key, wrong, told):
    """A wrong value leaves the address with a word, all facts are listed, and nothing breaks."""
    app = explorer("memory", {key: wrong})
    assert not app.exception
    assert len(frame(app, "score")) == 300
    if told:
        assert key not in app.query_params
        assert any(told in text.value.replace("\\-", "-") for text in app.warning)


def test_a_filter_is_written_into_the_address(explorer):
    """Picking a level and typing words makes a link of it; taking them out clears it."""
    app = explorer("memory")
    app.multiselect(key="pick-level").set_value(["L4"]).run()
    assert app.query_params["level"] == "L4"
    app.text_input(key="pick-search").set_value("subject").run()
    assert app.query_params["search"] == "subject"
    app.multiselect(key="pick-level").set_value([]).run()
    assert "level" not in app.query_params


def test_long_lists_have_pages(explorer, monkeypatch):
    """A hundred rows a page: the third holds what is left, stands in the address, and another filter begins at the first."""
    monkeypatch.setattr("pages._ui.facts.fact_list.SHOWN", 120)
    app = explorer("memory", {"page": "3"})
    assert len(frame(app, "score")) == 60
    assert not app.warning
    app.multiselect(key="pick-level").set_value(["L0", "L1", "L2", "L3", "L4"]).run()
    assert "page" not in app.query_params
    assert len(frame(app, "score")) == 120


def test_search_looks_into_completions(explorer):
    """With that choice the words are looked for in completions: the facts that the core names are listed, and no others."""
    fact = a_fact()
    app = explorer("memory", {"search": "Bergen", "where": "completions"}, saying={"Bergen": [fact["fact_id"]]})
    assert list(frame(app, "score")["subject"]) == [fact["subject"]]
    app.text_input(key="pick-search").set_value("nothing says this").run()
    assert "No fact matches these filters." in words(app)


# --- A fact that is picked


def test_a_clicked_row_is_the_fact_of_the_address_and_stays(explorer):
    """A row's fact is in the address, stays under another model, goes with another source; the click is not applied twice."""
    app = explorer("memory", {"level": "L2"})
    listed = standin.facts_and_levels().query("level == 2").reset_index(drop=True)
    click(app, "facts", 3)
    assert app.query_params["fact"] == listed["fact_id"][3]
    assert listed["question"][3] in [text.value for text in app.text]
    app.multiselect(key="pick-level").set_value([]).run()
    app.query_params["fact"] = listed["fact_id"][5]
    app.run()
    assert app.query_params["fact"] == listed["fact_id"][5]
    assert listed["question"][5] in [text.value for text in app.text]
    app.selectbox(key="pick-source").select("entity-questions").run()
    assert "fact" not in app.query_params


def test_without_a_pick_an_example_has_something_to_see(explorer):
    """The example is the listed fact whose score is nearest the middle, and is said to be one."""
    app = explorer("memory")
    facts = standin.facts_and_levels()
    nearest = facts.loc[(facts["score"] - 0.5).abs().idxmin()]
    assert nearest["question"] in [text.value for text in app.text]
    assert "An example, until a row is clicked:" in words(app)


def test_where_every_score_is_zero_no_example_is_shown(explorer):
    """A list of facts with R = 0 has no fact with a chart to show: it says so."""
    app = explorer("memory", {"level": "L0"})
    assert "Every score here is 0 or 1, or not known yet." in words(app)
    assert "Interval over samples" not in words(app)


# --- Bars and points


def bar(app, figure: str, trace: int, at: int, x=0.5):
    app.session_state[f"{figure}-clicked"] = Point(trace, at, x, 0.5)
    return app.run()


def test_a_piece_of_a_level_bar_lists_its_facts(explorer):
    """By domain it picks level and domain, by relation the relation, by contested or not the filter of that name; once."""
    app = explorer("memory")
    bar(app, "shares", 2, 1)
    assert (app.query_params["level"], app.query_params["domain"]) == ("L2", "out")
    assert set(frame(app, "score")["level"]) == {"L2"}
    app = explorer("memory", {"by": "contested"})
    bar(app, "shares", 1, 0)
    assert (app.query_params["level"], app.query_params["only"]) == ("L1", "contested")
    assert frame(app, "score")["contested"].all()
    app.multiselect(key="pick-level").set_value([]).run()
    assert "level" not in app.query_params


def test_a_bar_of_the_histogram_lists_its_level(explorer):
    """The bar at R = 0 is L0, the last one L4."""
    app = explorer("memory")
    for at, level in ((0, "L0"), (1, "L1"), (20, "L4")):
        bar(app, "scores", 0, at)
        assert app.query_params["level"] == level


def test_a_point_of_an_accuracy_lists_the_predictions_of_its_level(explorer):
    """The tuned model's point at L3, in domain: its level's predictions, changed or not."""
    app = explorer("results")
    bar(app, "accuracy-all-in", 3, 3, x=3.14)
    assert {key: app.query_params[key] for key in ("level", "in", "change")} == {"level": "L3", "in": "in", "change": "none"}
    facts = standin.facts_and_levels()
    assert len(frame(app, "before")) == ((facts["level"] == 3) & (facts["domain"] == "in")).sum()


# --- Predictions that changed


def test_filters_of_changes_are_in_the_address(explorer):
    """Gained and lost are the usual changes; another choice, and none, is named."""
    app = explorer("results")
    assert set(frame(app, "before")["change"]) == {"gained", "lost"}
    app.multiselect(key="pick-change").set_value(["kept"]).run()
    assert app.query_params["change"] == "kept"
    assert set(frame(app, "before")["change"]) <= {"kept"}
    app.multiselect(key="pick-change").set_value([]).run()
    assert app.query_params["change"] == "none"
    assert len(frame(app, "before")) == 300
    app.multiselect(key="pick-change").set_value(["gained", "lost"]).run()
    assert "change" not in app.query_params


def test_predictions_are_searched_as_plain_text(explorer):
    """Words are looked for in what was answered, whatever their case; a pattern's signs are only signs."""
    app = explorer("results", {"change": "none", "where": "predictions", "search": "=1+1"})
    listed = frame(app, "before")
    assert len(listed)
    assert (listed["before"].str.contains("=1+1", regex=False) | listed["after"].str.contains("=1+1", regex=False)).all()
    app.text_input(key="pick-search").set_value("RIVAL").run()
    assert len(frame(app, "before"))
    app.text_input(key="pick-search").set_value(".*").run()
    assert not len(frame(app, "before"))


def test_a_flip_opens_its_fact(explorer):
    """A row of the changes leads to the fact's page with that run."""
    app = explorer("results")
    subject = frame(app, "before")["subject"].iloc[2]
    click(app, "changes", 2)
    assert not app.exception
    assert app.title[0].value == "Fact"
    assert app.query_params["runs"] == standin.RUN
    assert any(subject in text.value for text in app.text)


def test_a_level_of_the_counts_lists_its_changes(explorer):
    """A row of gained, lost and kept is a level."""
    app = explorer("results")
    counts = app.dataframe[0].value
    click(app, "change-counts", 3)
    assert app.query_params["level"] == counts["level"].iloc[3]
    assert set(frame(app, "before")["level"]) == {counts["level"].iloc[3]}


# --- A fact's page


def test_a_facts_page_shows_levels_completions_and_runs(explorer):
    """Question, completions, its level in each model, and its answers before and after in each run."""
    fact = a_fact()
    app = explorer("fact", {"fact": fact["fact_id"]})
    assert fact["question"] in [text.value for text in app.text]
    assert len(json.loads(app.get("plotly_chart")[0].proto.spec)["data"]) >= 1
    levels = frame(app, "templates")
    assert levels[["model", "level", "hits"]].to_dict("records") == [{"model": "stand-in", "level": "L2", "hits": f"{fact['hits']} of 210"}]
    (run,) = frame(app, "trained").to_dict("records")
    assert (run["change"], run["after"], run["before"], run["trained"]) == ("gained", "✓ Answer", "✗ Rival", True)
    assert "**Trained on in 1 of 1 runs.** Tested in 1: right before tuning in 0, after it in 1." in words(app)


def test_a_run_of_the_table_opens_its_results(explorer):
    """A click on a run's answer leads to that run."""
    app = explorer("fact", {"fact": a_fact()["fact_id"]})
    click(app, "fact-runs", 0)
    assert app.title[0].value == "Results"
    assert app.query_params["run"] == standin.RUN


def test_neighbours_are_those_of_the_list(explorer):
    """Next and previous walk through the list that the address describes, and the address follows."""
    listed = standin.facts_and_levels().query("level == 3 and domain == 'in'").reset_index(drop=True)
    app = explorer("fact", {"fact": listed["fact_id"][4], "level": "L3", "domain": "in"})
    assert f"5 of {len(listed)} in the list" in words(app)
    links = {link.proto.label: link.proto.query_string for link in app.get("page_link")}
    assert "level=L3" in links["List of facts"]
    app.button(key="link-next").click().run()
    assert f"6 of {len(listed)} in the list" in words(app)
    assert (app.query_params["fact"], app.query_params["level"]) == (listed["fact_id"][5], "L3")
    for _ in range(5):
        app.button(key="link-previous").click().run()
    assert app.query_params["fact"] == listed["fact_id"][0]
    assert app.button(key="link-previous").disabled


@pytest.mark.parametrize("fact", [None, "nothing", "<img src=x>", "x" * 3000])
def test_a_fact_that_is_not_there_is_said(explorer, fact):
    """Without a fact, or with one that these facts lack, the page says so and leads to the list."""
    app = explorer("fact", {"fact": fact} if fact else {})
    assert not app.exception
    assert ("These facts have none called" if fact else "No fact is picked.") in words(app)
    assert "Open Memory" in [link.proto.label for link in app.get("page_link")]


def test_opening_a_fact_starts_nothing(explorer, jobs):
    """A link to a fact queues no job."""
    explorer("fact", {"fact": a_fact()["fact_id"], "runs": standin.RUN, "estimates": "1"})
    assert not jobs.jobs()


# --- Rows


def test_a_row_is_opened_once():
    """What was clicked is handed over once, and a row that is gone is not."""
    from streamlit.testing.v1 import AppTest

    def script():
        import pandas as pd
        import streamlit as st

        from pages._ui.rows import clicked_row

        st.text(str(clicked_row(pd.DataFrame({"a": [1, 2]}), "here")))

    app = AppTest.from_function(script)
    app.run()
    assert app.text[0].value == "None"
    assert click(app, "here", 1).text[0].value == "1"
    assert app.run().text[0].value == "None"
    assert click(app, "here", 2).text[0].value == "None"
