"""How consistent answers are, on Memory and under a fact: what is shown, what a click opens, what the file holds."""

import json

import pandas as pd

from pages._ui.charts import Point
from pages._ui.facts import consistency_panel, fact_list
from sftqa_core.records import LevelScheme
from tests.pages import consistency_standin, standin
from tests.pages.conftest import words

OPEN = {"same": "1"}


def charts(app):
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def frame(app, column: str):
    """The first table that has this column."""
    return next(table.value for table in app.dataframe if column in table.value)


def stored() -> pd.DataFrame:
    return consistency_standin.of_facts(standin.facts_and_levels())


def test_memory_shows_how_consistent_answers_are(explorer):
    """On request: numbers with their facts and intervals, kinds by level, the map, reliability, and planted rivals beside chance."""
    app = explorer("memory", OPEN, answers=True)
    assert len(charts(app)) == 7  # levels, scores, kinds, map, reliability; of the fact its templates and its answers
    text = words(app)
    settled = int((stored()["kind"] == "settled").sum())
    assert f"{settled:,} of 270 facts · 95%:" in text
    assert "270 of 277 facts with a level: of the others, the completions are not stored here." in text
    assert "of all completions; 5.0% say nothing, the others count by their first clause" in text
    rivals = frame(app, "The rival").set_index("Answers are")
    assert rivals.index.tolist() == ["Torn", "Rival", "Vague", "Sure and wrong", "All"]
    assert rivals.at["Rival", "The rival"] == "100.0%"
    assert rivals.at["Torn", "The rival"] == "0.0%"
    assert "too few to tell" in rivals.at["Rival", "95%"]


def test_it_is_closed_until_asked_for_and_only_of_the_full_probe(explorer):
    """Nothing is read before the switch is set; other ways of measuring have no switch."""
    app = explorer("memory", answers=True)
    assert "Commonest answer is correct" not in words(app)
    app.toggle(key="pick-same").set_value(True).run()
    assert app.query_params["same"] == "1"
    assert "Commonest answer is correct" in words(app)
    app = explorer("memory", {"method": "likelihood", **OPEN}, answers=True)
    assert all(toggle.key != "pick-same" for toggle in app.toggle)


def test_without_completions_it_says_how_to_get_them(explorer):
    """Levels alone say nothing of answers."""
    assert "Probe these facts again to store them." in words(explorer("memory", OPEN))


def test_a_sign_of_the_map_opens_its_fact(explorer):
    """The click picks that fact and takes the filters away that could hide it."""
    app = explorer("memory", {**OPEN, "level": "L0"}, answers=True)
    app.session_state["answers-map-clicked"] = Point(1, 0, 0.5, 1.0)
    app.run()
    of_map = [name for name in ("vague", "rival", "torn", "settled") if (stored()["kind"] == name).any()]
    expected = stored().query(f"kind == '{of_map[1]}'")["fact_id"].iloc[0]
    assert app.query_params["fact"] == expected
    assert "level" not in app.query_params


def test_a_piece_of_a_bar_lists_its_facts(explorer):
    """Level and kind become filters of the list, which an address holds too."""
    app = explorer("memory", OPEN, answers=True)
    app.session_state["answer-kinds-clicked"] = Point(2, 1, 0.5, 1)
    app.run()
    assert (app.query_params["level"], app.query_params["only"]) == ("L1", "rival")
    kinds = stored().set_index("fact_id")["kind"]
    facts = standin.facts_and_levels()
    wanted = facts[(facts["level"] == 1) & (facts["fact_id"].map(kinds) == "rival")]
    assert sorted(frame(app, "score")["subject"]) == sorted(wanted["subject"])


def test_a_fact_tells_its_answers(explorer):
    """What leads, with what share, of how many completions; text of models is no markup."""
    fact = stored().query("kind == 'torn'").iloc[0]
    app = explorer("fact", {"fact": fact["fact_id"]}, answers=True)
    assert "**Answers: torn** (two answers share most completions)" in words(app)
    said = next(text.value for text in app.text if text.value.startswith("Commonest:"))
    assert said == (
        f"Commonest: {consistency_standin.NASTY}, 40% of 200 completions, wrong. 50% of pairs of templates have the same commonest "
        "answer. 5 different answers. Without an answer: 10."
    )


def test_a_tuned_models_answers_stand_beside_its_bases(explorer, monkeypatch):
    """Before, after and the paired difference; where the base was probed once, chance is said to be unknown."""
    monkeypatch.setattr("pages._ui.resources.tuned_from", lambda model, once=False: "stand-in")
    monkeypatch.setattr("pages._ui.facts.tuned_panel.beside_base", lambda *about: None)  # has tests of its own
    app = explorer("memory", OPEN, answers=True)
    change = frame(app, "Difference (95%)").set_index("")
    assert change.at["Settled", "After"] == "100.0%"
    assert change.at["Settled", "Difference (95%)"].startswith("+74.8 (")
    assert set(change["Facts"]) == {270}
    assert set(change["Base probed twice"]) == {"–"}
    assert "What chance alone moves is unknown" in words(app)


def test_a_file_holds_what_the_completions_say(explorer):
    """The downloaded table has the columns of consistency, empty where a fact has none."""
    explorer("memory", answers=True)
    facts = standin.facts_and_levels()
    table = fact_list.with_answers("stand-in", "atlas", LevelScheme(), facts)
    assert len(table) == len(facts)
    assert set(fact_list.FILE_COLUMNS.values()) <= set(table)
    assert table["answers_are"].notna().sum() == 270
    likelihood = LevelScheme(method="likelihood")
    assert fact_list.with_answers("stand-in", "atlas", likelihood, facts) is facts
    assert not consistency_panel.offered(likelihood)
