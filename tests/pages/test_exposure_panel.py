"""The section on counts in a model's training corpus: there only where counts are, and never more than they say."""

from pages._ui.wording import literal
from tests.pages.conftest import words

TITLE = "Is what its corpus names together known better?"


def labels(app) -> list[str]:
    return [toggle.label for toggle in app.toggle]


def test_it_is_not_there_where_nobody_asked(explorer):
    """Most models' corpora are unknown, and nothing is asked from a page."""
    app = explorer("memory", {"corpus": "1"})
    assert TITLE not in labels(app)
    assert "corpus" not in words(app).lower()


def test_it_is_closed_until_it_is_opened(explorer):
    """As the other sections are."""
    app = explorer("memory", counted=200)
    assert TITLE in labels(app)
    assert "Rank correlation with R" not in words(app)
    app.toggle(key="pick-corpus").set_value(True).run()
    assert app.query_params["corpus"] == "1"
    assert "Rank correlation with R" in words(app)


def test_it_says_what_was_counted_where_and_how_sure(explorer):
    """Both correlations with intervals, once without estimates; what a count is, and what it is not."""
    app = explorer("memory", {"corpus": "1"}, counted=200)
    (table,) = [frame.value for frame in app.dataframe if "Named together" in frame.value]
    assert table["Facts"].tolist() == ["All (200)", "Without estimates (150)"]
    assert all(text.count(" to ") == 1 for column in ("Named together", "Given the subject") for text in table[column])
    told = words(app)
    index, host = literal("v4_piletrain_llama"), literal("api.infini-gram.io")
    assert (
        f"200 facts with a count and a level. Counted are places in the Pile (index {index}) where subject and answer stand within 100 "
        f"tokens of each other, as {host} told on 2026-11-29 to 2026-11-30. 25% are the service's estimates, where 0 can stand for a small "
        "number. A text that names both need not state the fact."
    ) in told
    assert not any("stated" in caption.value for caption in app.caption if "the Pile" in caption.value)


def test_few_facts_are_too_few_to_tell(explorer):
    """No number is shown."""
    app = explorer("memory", {"corpus": "1"}, counted=29)
    assert "29 facts have both a count and a level: too few to tell." in words(app)
    assert not [frame for frame in app.dataframe if "Named together" in frame.value]
