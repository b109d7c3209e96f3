"""Addresses and texts that harm: every page answers in words, and shows foreign text as it stands."""

import re

import pytest
from streamlit.testing.v1 import AppTest

from tests.amount import FULL
from tests.pages import standin
from tests.pages.conftest import ROOT, at, forget, words

PAGES = {
    "overview": ("job",),
    "memory": (
        "model",
        "source",
        "split",
        "domain",
        "method",
        "job",
        "level",
        "relation",
        "search",
        "where",
        "only",
        "fact",
        "by",
        "trust",
        "page",
    ),
    "fact": ("model", "source", "split", "domain", "method", "fact", "runs", "of", "estimates", "level"),
    "lab": ("model", "source", "job"),
    "results": ("run", "job"),
    "jobs": ("job",),
    "how_much_data": ("study", "model", "job"),
    "which_data": ("study", "model", "job"),
    "which_model": ("study", "model", "job"),
    "what_moves": ("study", "model", "job"),
    "real_models": ("measured", "by", "model", "compared", "published", "unfolded"),
}
NASTY = {
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "markdown": "**x** [a](http://a.invalid) $x^2$ :material/home: :red[y]",
    "long": "x" * 20_000,
    "control": "a\0b\x1b[31mc\u202ed",
    "path": "../../../../etc/passwd",
    "option": "--help",
    "address": "file:///etc/passwd",
    "format": "{0.__class__} {subject!r} %s",
}
UNKNOWN = {"memory": "There is no ", "lab": "There is no ", "results": "There is no run", "how_much_data": "There is no study"}
HARMS = {page: [name for number, name in enumerate(NASTY) if FULL or (number - place) % 8 == 0] for place, page in enumerate(PAGES)}
_ESCAPED = re.compile(r"\\([^\w\s])")


@pytest.fixture(scope="module", autouse=True)
def _fresh() -> None:
    """What other files' pages have kept is gone; what all of these read (shipped results) is read once."""
    forget()


@pytest.mark.parametrize(("page", "nasty"), [(page, nasty) for page, harms in HARMS.items() for nasty in harms])
def test_hostile_addresses_are_answered_in_words(jobs, page, nasty):
    """Every parameter that a page reads at once holds what it should not: no traceback, no raw HTML, no page of a thousand lines.

    One harm a page, each of them on some page; all of them on every page with SFTQA_TESTS=full.
    """
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    at(app, page)
    for name in PAGES[page]:
        app.query_params[name] = NASTY[nasty]
    app.run()
    assert not app.exception
    text = words(app)
    assert len(text) < 60_000
    told = [element.value for element in (*app.warning, *app.error)]
    for message in told:
        assert "<script>" not in message.replace("\\<script\\>", "")
        assert "[a](" not in message
        assert "\x1b" not in message
        assert ":material/home:" not in _ESCAPED.sub(r"\1", message)
    if page in UNKNOWN:
        assert any(UNKNOWN[page] in _ESCAPED.sub(r"\1", message) for message in told)


def test_facts_and_completions_are_shown_as_they_stand(explorer):
    """Subjects of markup are in the table to the letter; the one whose completions are shown stands in plain text, not in markdown."""
    nasty = standin.facts_and_levels().query("subject == @standin.NASTY[0]").iloc[0]
    app = explorer("memory", {"fact": nasty["fact_id"]})
    assert set(standin.NASTY) <= set(app.dataframe[0].value["subject"])
    assert [text.value for text in app.text if text.value.startswith("What is the ")] == [f"What is the P17 of {standin.NASTY[0]}?"]
    shown = "\n".join(element.value for element in (*app.markdown, *app.caption))
    assert not any(nasty in shown for nasty in standin.NASTY)


def test_changed_predictions_are_shown_as_they_stand(explorer):
    """A model's HTML and formulas are cells of a table, and of nothing else."""
    app = explorer("results")
    cells = {cell for frame in app.dataframe for cell in frame.value.to_numpy().ravel().tolist() if isinstance(cell, str)}
    assert {"=1+1", "<script>alert(1)</script>"} & cells
    assert "<script>" not in words(app)
