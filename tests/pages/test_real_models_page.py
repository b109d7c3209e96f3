"""The page on real models: with everything, with a part, with cards alone, with nothing; and Overview's door to it."""

from tests.pages import real_standin
from tests.pages.conftest import words
from tests.pages.real_standin import ONE
from tests.pages.test_pages import charts, links


def opened(explorer, tmp_path, query=None, results=True, **settings):
    real_standin.write_cards(tmp_path / "shipped", results)
    return explorer("real_models", query, **settings)


def frame(app, column):
    """The first table with this column."""
    return next(frame.value for frame in app.dataframe if column in frame.value)


def test_it_tells_the_whole_story_of_a_model_that_is_measured(explorer, tmp_path):
    """Levels first, then agreement, what L0 answers, the commonest object, tuning beside examples in the prompt, cards."""
    app = opened(explorer, tmp_path)
    text = words(app).replace("\\", "")
    assert [head.value for head in app.subheader] == [
        "Do the ways of measuring agree?", "Is L0 unknown?", "How much is the commonest object?", "What do 60 examples do?",
        "What if it is told?", "What these models and facts are",
    ]  # fmt: skip
    assert app.segmented_control(key="pick-measured").value == "full probe"  # first, in whatever order the table has them
    assert len(charts(app)) == 5  # levels and amounts, in both domains; what one was told
    assert "one-real: 162 in-domain and 108 out-of-domain facts" in text.replace("**", "")
    assert "By likelihood, L0 is not all unknown: " in text
    assert "In-domain, 60 examples answer" in text
    assert "tuning beats the examples in the prompt" in text
    assert "Nothing here was planted, unless it says so" in text
    assert "one-real went on reading: statements of facts. Of those that have a level here, 120, 20 were never stated" in text
    assert "rank correlation of statements and R 0.97 (n = 100); those never stated have 0.02 on average." in text
    assert "Contested facts" not in text  # 20 of them
    cards = frame(app, "SHA-256")
    assert cards["licence"].tolist() == ["MIT", "MIT"]
    assert "Tuned by full tuning, the usual learning rate, 1 epoch, batches of 8, 2 seeds." in text
    assert frame(app, "verdict")["verdict"].tolist() == ["better", "better"]


def test_what_is_not_measured_yet_is_said(explorer, tmp_path):
    """The other model has nothing, and the study of the first one is not finished."""
    app = opened(explorer, tmp_path, real=False, finished=False)
    text = words(app).replace("\\", "")
    assert "other-real: nothing is measured by this way yet." in text.replace("**", "")
    assert "3 of 5 runs of its study of amounts are done." in text
    assert "No study of amounts of this model has been started yet." in text
    assert len(charts(app)) == 2


def test_links_lead_to_the_views_behind_the_numbers(explorer, tmp_path):
    """The study, its cells side by side, and Memory, with everything picked."""
    app = opened(explorer, tmp_path)
    queries = {link.proto.label: link.proto.query_string for link in app.get("page_link") if link.proto.query_string}
    assert queries["Memory"] == f"model={ONE}&source=entity-questions-sample"
    assert f"&model={ONE}" in queries["How much data?"]
    assert queries["Compare, fact by fact"] == "runs=a%3Ab%3An60%3As0%2Ca%3Ab%3An0-k4%3As0&pool=1"


def test_levels_by_likelihood_and_by_relation(explorer, tmp_path):
    """From the address: one chart of one model's relations, and how many of them have too few facts."""
    app = opened(explorer, tmp_path, {"by": "relation", "measured": "likelihood", "published": "1"})
    assert len(charts(app)) == 4
    assert app.selectbox(key="pick-model").value == ONE
    assert "relations have fewer than 30 facts" not in words(app)  # 54 of each
    app.segmented_control(key="pick-by").set_value("domain").run()
    assert "different facts, so compare shapes" in words(app)


def test_level_against_level_is_unfolded(explorer, tmp_path):
    """For the model that is picked there, with kappa."""
    app = opened(explorer, tmp_path, {"unfolded": "crossed", "by": "relation", "model": ONE})
    assert app.selectbox(key="pick-compared").value == ONE
    assert "The full probe against the likelihood estimate" in words(app)


def test_learning_rates_are_unfolded(explorer, tmp_path):
    """What dev facts said of each, and which one was chosen."""
    app = opened(explorer, tmp_path, {"unfolded": "rates"})
    assert "LoRA, 60 examples: Learning rate 0.002 has the highest in-domain micro average." in words(app).replace("\\", "")
    table = frame(app, "rate")
    assert (table["rate"].tolist(), table["against"].tolist()) == (["0.001", "0.002"], ["lower", "chosen"])


def test_cards_without_results_say_how_to_measure(explorer, tmp_path):
    """One sentence with the command, and what the models are."""
    app = opened(explorer, tmp_path, results=False)
    assert "No real model has been measured here yet. `make real MODELS=FOLDER` does it" in words(app)
    assert frame(app, "SHA-256")["model"].tolist() == ["one-real", "other-real"]
    assert charts(app) == []


def test_nothing_ships(explorer):
    """The same sentence, and no table."""
    app = explorer("real_models")
    assert "No real model has been measured here yet" in words(app)
    assert not app.dataframe


def test_overview_has_the_door_only_where_results_are(explorer, tmp_path):
    """Cards alone open none."""
    assert len([label for label in links(explorer()) if label.startswith("**Real models**")]) == 0
    real_standin.write_cards(tmp_path / "shipped")
    assert len([label for label in links(explorer()) if label.startswith("**Real models**")]) == 1
