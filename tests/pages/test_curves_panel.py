"""The chapter of "Inside" on learning curves: what it says and draws of made looks."""

from streamlit.testing.v1 import AppTest


def page(which: str) -> None:
    """The panel alone, on made looks."""
    from dataclasses import replace

    from pages._ui.inside.curves_panel import curves_panel
    from sftqa_core.records import SLICK
    from tests.evaluation.inside.made_curves import look_of

    looks = [look_of(seed=seed, **({"scheme": SLICK} if which == "slick" else {})) for seed in (0, 1)]
    if which == "none":
        looks = [replace(look, tables={}) for look in looks]
    curves_panel(looks, looks)


def shown(which: str) -> tuple[str, int]:
    """All text of the panel, and how many charts it has."""
    app = AppTest.from_function(page, args=(which,), default_timeout=30).run()
    assert not app.exception
    texts = [element.value for kind in ("subheader", "markdown", "caption") for element in app.get(kind)]
    return "\n".join(texts).replace("\\", ""), len(app.get("plotly_chart"))


def test_the_chapter_tells_what_came_out_and_draws_it():
    """A question, the words, five charts; where the regression can't be told, the published numbers alone and why."""
    text, charts = shown("plain")
    assert text.startswith("How are facts learned, step by step?")
    assert "The log P of the answer to in-domain dev facts rose by the end: +3.00" in text
    assert "L0 examples are learned less often. Fitted at some look: 100.0%" in text
    assert "1 setting has learning curves on this base model, seeds of one counted once, 8 are needed." in text
    assert text.count("All examples are in-domain, so only in-domain dev facts stand beside them.") == 2
    assert "Published alone: these looks cannot tell, too few settings: 1 setting has learning curves on this base model" in text
    assert "unknown is the lowest level (L0), known all above it." in text
    assert "Trained on one level, tested on each" not in text
    assert charts == 5


def test_levels_by_slick_have_its_table_beside():
    """One's own and the published one."""
    text, charts = shown("slick")
    assert "Trained on one level, tested on each" in text
    assert charts == 7


def test_without_looks_it_says_how_to_get_them():
    """And that a recipe's run has none."""
    text, charts = shown("none")
    assert "The training of these runs was not looked at." in text
    assert "A recipe's run has no curves" in text
    assert charts == 0
