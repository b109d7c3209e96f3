"""What every chapter of Inside has: its question, what came out first, one fold for table and method, the way to the next chapter."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from pages._ui.links import page_link
from pages._ui.wording import literal
from sftqa_core.evaluation.inside.sentences import INTERVALS, Sentence, Weight
from sftqa_core.records import MEASURES

QUESTIONS = {  # a measure -> what its chapter asks; in the order of MEASURES they are one story
    "drift": "Where did answers and weights move?",
    "restoration": "What happens when changed weights are put back?",
    "knowledge": "What does it know and not say?",
    "curves": "How are facts learned, step by step?",
}


def told(sentences: Sequence[Sentence]) -> None:
    """What came out, claims first; what these looks cannot answer in one line that unfolds; which intervals all of them have."""
    doubts = [sentence for sentence in sentences if sentence.weight is Weight.OPEN]
    if len(doubts) < len(sentences):
        st.markdown(_listed([sentence for sentence in sentences if sentence.weight is not Weight.OPEN]))
    if doubts:
        more = " more" if len(doubts) < len(sentences) else ""
        with st.expander(f"{len(doubts)}{more} question{'s' if len(doubts) > 1 else ''} that these looks cannot answer"):
            st.markdown(_listed(doubts))
    st.caption(INTERVALS)


def _listed(sentences: Sequence[Sentence]) -> str:
    return "\n".join(f"- {literal(sentence.text)}" for sentence in sentences)


def table_and_method() -> Any:
    """The fold at a chapter's end, the same in all of them."""
    return st.expander("Table and method", icon=":material/table:")


def next_chapter(run: str, measure: str, taken: Sequence[str]) -> None:
    """The question that comes next; a link to it where it was looked at."""
    later = list(MEASURES)[list(MEASURES).index(measure) + 1 :]
    if not later:
        return
    if follows := next((each for each in later if each in taken), ""):
        to = {"run": run, "chapter": follows}
        page_link("pages/inside.py", f"Next: {QUESTIONS[follows]}", "inside-next", icon=":material/arrow_forward:", to=to)
    else:
        st.caption(f"Next: {QUESTIONS[later[0]]} Nobody has looked yet: see below.")
