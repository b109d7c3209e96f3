"""Step 2: a fact's memory level is guessed from how often the model's text stated it; then its completions are revealed."""

from bisect import bisect_left
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import address, panels
from pages._ui.facts import consistency_reads
from pages._ui.facts.fact_list import one_fact
from pages._ui.learn import guesses, learn_reads, lesson
from pages._ui.learn.learn_reads import MODEL, SOURCE
from pages._ui.wording import between, literal, percent, score
from sftqa_core.evaluation.intervals import LEAST, wilson
from sftqa_core.figures.answer_kinds import fact_answers_figure
from sftqa_core.records import PAPER

QUESTION = "How well does it know this fact?"
WHY = (
    "A question would mix knowing with saying. So the model completes *statements*: each fact is put in 21 ways ('The country of X is'), "
    "each is completed ten times by chance, at temperature 0.7. The share of these 210 completions that name a right answer is the fact's "
    "**memory score R**. The level is where R falls: L0 never, L1 up to a quarter, L2 up to half, L3 up to three quarters, L4 above.\n\n"
    "Drawn again, R would move: the interval says how far. Near a border between two levels, another draw may give the other level."
)
TEACH = (
    "- What would you look at to guess: how often the text states the fact, or whether it also states another answer?\n"
    "- A fact was stated often and still is at L0. What happened? (Look whether the text names a rival.)\n"
    "- Why 21 wordings, and not one? Why ten draws of each?"
)
PICKED = "round"  # of the address


def draw() -> None:
    """The fact with what its text said of it, five levels to guess, then the truth."""
    ids = learn_reads.quiz_facts()
    if not ids:
        panels.empty(f"No fact of {MODEL} has a level here yet.", "pages/memory.py", "Open Memory")
        return
    wanted = address.value(PICKED) or "1"
    at = int(wanted) - 1 if wanted.isascii() and wanted.isdigit() and len(wanted) < 4 and 0 < int(wanted) <= len(ids) else 0
    fact = one_fact(learn_reads.profile(), ids[at])
    st.markdown(f"**{literal(fact['question'])}** · right: **{literal(' / '.join(fact['answers']))}** · fact {at + 1} of {len(ids)}")
    if hint := _hint(fact):
        st.markdown(hint)
    guess = guesses.guess(_about(ids[at]), {label: label for label in PAPER.labels}, once=True)
    if guess is None:
        st.caption(_levels())
        return
    with lesson.sides() as (words, chart):
        with words:
            lesson.outcome(_revealed(fact, guess))
        with chart:
            _answers(fact)
    right = {_about(fact_id): str(one_fact(learn_reads.profile(), fact_id)["level"]) for fact_id in ids}
    with st.container(horizontal=True, vertical_alignment="center"):
        following = str(at + 2) if at + 1 < len(ids) else None
        st.button("Another fact", key="learn-another", icon=":material/shuffle:", on_click=address.put, kwargs={PICKED: following})
        st.markdown(_tally(*guesses.counted(right)), width="content")


def _about(fact_id: str) -> str:
    return f"level-{fact_id}"


def _levels() -> str:
    """What the levels mean, by the scheme's own cut-offs."""
    ends = [*PAPER.cutoffs, 1.0]
    ranges = [f"{label}: {low:.0%} to {high:.0%}" for label, low, high in zip(PAPER.labels[1:], ends, ends[1:], strict=False)]
    return f"Share of completions that are right. {PAPER.labels[0]}: none; {'; '.join(ranges)}."


def _hint(fact: Any) -> str:
    """What the pre-training text said of it, where that is known."""
    if pd.isna(fact.get("exposures")):
        return ""
    times = int(fact["exposures"])
    text = f"The text that the model learned from states it **{times:,} time{'' if times == 1 else 's'}**."
    if pd.notna(fact.get("contested")) and fact["contested"] and isinstance(fact.get("rival"), str):
        share = fact.get("rival_share")
        part = f"{percent(share, 0)} of these mentions name" if pd.notna(share) else "some of these mentions name"
        text = f"The text that the model learned from mentions it **{times:,} times**; {part} another answer, {literal(fact['rival'])}."
    return text


def _revealed(fact: Any, guess: str) -> str:
    level = str(fact["level"])
    right = f"You are right: **{level}** is the measured level." if guess == level else f"Not {guess}: **{level}** is the measured level."
    drawn = f"{int(fact['hits']):,} of {int(fact['completions']):,} completions name the right answer"
    sure = f"R = {score(fact['score'])}, 95% {between(fact['low_samples'], fact['high_samples'])} if they were drawn again"
    others = _reached(level, float(fact["low_samples"]), float(fact["high_samples"]), int(fact["completions"]))
    near = f" So near a border, another draw may say {' or '.join(others)}." if others else ""
    return f"{right} {drawn} ({sure}).{near}"


def _reached(level: str, low: float, high: float, completions: int) -> list[str]:
    """The other levels that the interval of R reaches into, lowest first."""
    if low * completions < 1:  # less than one completion is none, and none is L0
        low = 0.0
    first, last = (bisect_left(PAPER.cutoffs, end) for end in (low, high))
    return [label for label in PAPER.labels[first : last + 1] if label != level]


def _answers(fact: Any) -> None:
    """The answers in its completions, counted."""
    found, rival = consistency_reads.fact(MODEL, SOURCE, str(fact["fact_id"]), PAPER), fact.get("rival")
    if found is None:
        return
    shown, named = found.answers.to_dict("records"), rival if isinstance(rival, str) else ""
    lesson.chart(partial(fact_answers_figure, shown, named), "learn-answers", "The commonest answers", repr((shown, named)))
    st.caption("Completions by the answer that they name. Teal: right." + (" Red: the other answer that its text names." if named else ""))


def _tally(right: int, made: int) -> str:
    """The visitor's own score, with its interval, and whether it is told from blind guessing."""
    low, high = wilson(right, made)
    blind = 1 / len(PAPER.labels)
    if made < LEAST:
        words = "too few to tell from blind guessing"
    elif low > blind:
        words = "better than blind guessing"
    else:
        words = "worse than blind guessing" if high < blind else "cannot tell from blind guessing"
    return f"Your guesses: **{right} of {made}** right ({low * 100:.0f} to {high * 100:.0f}%). Blind guessing: {blind:.0%}; {words}."


SCREENS = (draw,)
