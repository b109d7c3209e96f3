"""The glossary on every page, with the page's own numbers."""

import pytest

from pages._ui import glossary
from pages._ui.wording import TERMS
from sftqa_core.records import PAPER, SLICK
from tests.pages.conftest import words

EXPECTED = (
    "Memory score R", "Memory level", "Contested", "Echo", "Natural mix", "In-domain", "Majority object", "Wilson", "Holm", "Kappa", "Dev",
    "k-shot", "Mean over levels", "Micro average", "Exposures", "Template",
)  # fmt: skip


def test_it_holds_the_words_that_pages_use():
    """Each with a line that ends in a full stop; no placeholder is left in any."""
    assert set(EXPECTED) <= set(TERMS)
    lines = glossary.lines({})
    assert list(lines) == list(TERMS)
    assert [term for term, text in lines.items() if not text.endswith(".") or "{" in text or "[" in text] == []


def test_a_pages_numbers_are_filled_in_where_it_told_them():
    """Without them nothing is said of numbers, but the levels are the paper's."""
    plain, own = glossary.lines({}), glossary.lines({"scheme": SLICK, "completions": "210", "shots": "4, 16"})
    assert plain["Memory score R"] == "the share of a fact's completions that name a correct answer."
    assert own["Memory score R"].endswith("Here: of 210 completions a fact.")
    assert plain["k-shot"].endswith("and no tuning.")
    assert own["k-shot"].endswith("and no tuning. Here: k = 4, 16.")
    assert "L1: at least one hit, up to 25%; L2: more than 25%, up to 50%" in plain["Memory level"]
    assert "HighlyKnown: all" in own["Memory level"]


def test_levels_with_other_cut_offs_are_said_as_they_are():
    """A lowest level that is not 'never' says up to where it goes."""
    assert glossary.levels(PAPER).startswith("L0: never a hit; L1: at least one hit, up to 25%")


def test_a_search_finds_terms_first_and_then_lines():
    """Small letters or large; what is found nowhere is an empty list."""
    found = list(glossary.matching(glossary.lines({}), "HOLM"))
    assert found == ["Holm"]
    found = list(glossary.matching(glossary.lines({}), "interval"))
    assert {"Bootstrap", "Wilson"} <= set(found)
    assert glossary.matching(glossary.lines({}), "nonsense") == {}


@pytest.mark.parametrize("page", ["overview", "memory", "lab", "results", "jobs"])
def test_every_page_opens_it(explorer, page):
    """One button; the dialog has a search and the terms."""
    app = explorer(page)
    app.button(key="glossary-open").click().run()
    assert not app.exception
    assert "**Majority object**: always answering with" in words(app)
    app.text_input(key="glossary-search")


def test_results_fill_in_their_numbers(explorer):
    """The run's k-shot baseline and completions."""
    app = explorer("results")
    app.button(key="glossary-open").click().run()
    app.button(key="glossary-open").click().run()  # the page told its numbers after the first look was drawn
    assert "Here: k = 4" in words(app)
