"""The chapter of "Inside" on how facts are learned, step by step."""

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import streamlit as st

from pages._ui import pickers
from pages._ui.charts import draw
from pages._ui.columns import draw_table
from pages._ui.inside import chapter
from pages._ui.wording import counted, literal
from sftqa_core.evaluation.inside import curves_tables
from sftqa_core.evaluation.inside.curves import curves_grids, curves_slick
from sftqa_core.evaluation.inside.look import Look
from sftqa_core.evaluation.inside.sentences import Sentence
from sftqa_core.figures.inside_curves import curves_figure, regression_figure, shares_figure, train_by_test_figure
from sftqa_core.records import DOMAIN_NAMES

_NOT_WATCHED = (
    "The training of these runs was not looked at. Curves need the training itself: look inside with the measure curves, which trains the "
    "run again. A recipe's run has no curves, as it is more than one training."
)
_SAME_FACTS = "Levels are by the base model. Shaded: 95%, facts drawn anew. Hollow: fewer than 30 facts."
_METHOD = (
    "Each fact's first answer is given behind its question, in the run's prompt, without the end token; log P is the natural logarithm of "
    "its probability, summed over its tokens. It fits where each of its tokens is the most probable one behind those before it: greedy "
    "decoding would begin with it, word for word, so other names of the same answer do not count. Over several seeds each fact is averaged "
    "first. Share ever fitted: at any look after the base model; between two looks a fact may fit unseen."
)
_DIFFERS = (
    'What differs from the published regression: there a look is one of 50 epochs of 6,142 examples, "unknown" is SliCK\'s level Unknown, '
    'and accuracy is on test facts as they come. Here looks are steps of one run or more, "unknown" is the lowest level, and accuracy is '
    "the share of watched dev facts that fit, equally many of each level. Only signs can be compared."
)


def curves_panel(chosen: Sequence[Look], others: Sequence[Look]) -> None:
    """`chosen`: seeds of one setting; `others`: all looks on the same base model, those among them."""
    lowest = f" ({literal(chosen[0].labels[0])})" if chosen else ""
    st.subheader(chapter.QUESTIONS["curves"], anchor=False)
    st.caption(
        "The model is read in the middle of its training: how probable is the right answer to the examples that it is trained on, and to "
        "dev facts that it never sees? The lines begin at step 0, the untouched base model. Log P is the logarithm of that probability: "
        "0 is certain, -2.3 one in ten, -4.6 one in a hundred. Fitted: the right answer, word for word, is the most probable one. "
        f"Known and unknown are here by memory level, before tuning: unknown is the lowest level{lowest}, known all above it."
    )
    curves, tables = _tables(tuple(chosen))
    if curves is None:
        st.caption(_NOT_WATCHED)
        return
    chapter.told(_sentences(tuple(chosen), tuple(others)))
    _lines(curves, tables["by_step"])
    _shares(curves, tables)
    _regression(tuple(others))
    if chosen[0].settings.scheme.few_shot:
        _slick(chosen[0], others)
    with chapter.table_and_method():
        for name, title in (("fit", "Steps to the first fit"), ("lost", "Fitted once, missed later"), ("by_step", "Every look")):
            st.markdown(f"**{title}**")
            draw_table(tables[name], _TITLES, name=name)
        st.caption(_METHOD)


_TITLES = {
    "logprob": "log P", "per_token": "log P a token", "fits": "fitted", "fits_low": "fitted, from", "fits_high": "to", "share": "share",
    "before": "base model fits", "median": "median step",
}  # fmt: skip


@lru_cache(maxsize=32)  # looks are the same objects as long as they are kept, and drawing facts anew takes a second
def _tables(chosen: tuple[Look, ...]) -> tuple[Any, dict[str, Any]]:
    curves = curves_grids.curves_of(chosen)
    if curves is None:
        return None, {}
    makers = {"by_step": curves_tables.by_step, "fit": curves_tables.steps_to_fit, "lost": curves_tables.forgetting}
    return curves, {name: make(curves) for name, make in makers.items()}


@lru_cache(maxsize=32)
def _sentences(chosen: tuple[Look, ...], others: tuple[Look, ...]) -> list[Sentence]:
    return curves_tables.sentences(chosen, others)


@lru_cache(maxsize=32)
def _effects(others: tuple[Look, ...]) -> curves_slick.Regression:
    return curves_slick.regression(others)


def _lines(curves: Any, by_step: Any) -> None:
    domains = [name for name in pickers.DOMAIN_CHOICES if name == "all" or curves.where("dev", domain=name).any()]
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Dev facts, never trained on**")
        domain = pickers.linked_choice("Dev facts", domains, "curves", pickers.DOMAIN_CHOICES.__getitem__, label_visibility="collapsed")
        figure = partial(curves_figure, by_step, "dev", domain, curves.labels)
        draw(figure, key="curves-dev", alt="Log P of answers to dev facts against step, by level", of=(curves, domain))
    with right:
        st.markdown("**Training examples**")
        st.caption("Each is seen once an epoch, somewhere between two looks.")
        figure = partial(curves_figure, by_step, "train", "all", curves.labels)
        draw(figure, key="curves-train", alt="Log P of answers to training examples against step, by level", of=curves)
    st.caption(_SAME_FACTS)


def _shares(curves: Any, tables: dict[str, Any]) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Ever fitted**")
        figure = partial(shares_figure, tables["fit"], curves.labels, "ever fitted")
        draw(figure, key="curves-fit", alt="Share of facts that are ever fitted, by level", of=curves)
        st.caption(
            "Tuning alone brings out answers to facts that were not trained on. So examples count as memorised only where they are "
            f"fitted more often than dev facts of their level. {_compared(curves)}"
        )
    with right:
        st.markdown("**Fitted once, missed later**")
        figure = partial(shares_figure, tables["lost"], curves.labels, "missed later")
        draw(figure, key="curves-lost", alt="Share of fitted facts that a later look misses, by level", of=curves)
        st.caption(
            "Facts whose two best answers are nearly equal come and go by chance: dev facts show how many do without training on them. "
            f"{_compared(curves)}"
        )


def _compared(curves: Any) -> str:
    """Which dev facts stand beside the training examples."""
    name = DOMAIN_NAMES.get(curves.compared)
    return f"All examples are {name}, so only {name} dev facts stand beside them." if name else ""


def _regression(others: tuple[Look, ...]) -> None:
    st.markdown("**What do fitted unknown examples cost?**")
    found = _effects(others)
    draw(partial(regression_figure, found.table, curves_slick.published_regression()), key="curves-regression", of=others,
         alt="What fitted known and unknown examples do to dev accuracy, beside the published coefficients")  # fmt: skip
    if found.reason:
        st.caption(literal(f"Published alone: these looks cannot tell, {found.reason}."))
    else:
        r2 = {row["domain"]: row["r2"] for row in found.table.to_dict("records")}
        fits = ", ".join(f"{pickers.DOMAIN_CHOICES[domain]} {value:.2f}" for domain, value in r2.items())
        st.caption(
            literal(
                f"Accuracy = base + known x (known examples fitted / all examples) + unknown x (unknown examples fitted / all examples), "
                f"over {counted(found.looks)} looks of {counted(found.runs)} runs on this base model; a coefficient is what fitting all "
                f"examples would bring. Intervals: {counted(found.settings)} settings drawn anew, all seeds of one together. R2: {fits}; "
                "published 0.86 and 0.95."
            )
        )
    st.caption(literal(f"{_DIFFERS} ({curves_slick.PAPER})"))


def _slick(one: Look, others: Sequence[Look]) -> None:
    """Their own table beside one's own, where levels are SliCK's: runs on as many examples for as many epochs as this one."""
    st.markdown("**Trained on one level, tested on each**")
    stop = pickers.linked_choice("Stop", curves_slick.STOPS, "curves.stop", str.capitalize, label_visibility="collapsed")
    same = (one.settings.scheme, one.settings.n, one.settings.epochs)
    slick = [look for look in others if (look.settings.scheme, look.settings.n, look.settings.epochs) == same]
    left, right = st.columns(2, gap="large")
    for place, name, table in (
        (left, "These runs", curves_slick.train_by_test(slick)),
        (right, curves_slick.PAPER, curves_slick.published_train_by_test()),
    ):
        with place:
            st.markdown(f"**{literal(name)}**")
            draw(
                partial(train_by_test_figure, table, stop, curves_slick.TESTS),
                key=f"curves-{name}",
                alt=f"Accuracy by train and test level: {name}",
            )
    st.caption(
        "Rows: what was trained on. Columns: level of the facts that are asked; all is here the mean over levels, in the paper test facts "
        "as they come. In brackets: fewer than 30 facts."
    )
