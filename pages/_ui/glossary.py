"""The glossary: what the words and signs of the explorer mean, behind one button at the top right of every page."""

import re

import streamlit as st

from pages._ui.wording import TERMS
from sftqa_core.records import PAPER, LevelScheme

_HERE = "glossary"
_OWN_NUMBERS = re.compile(r"\[([^\]]*)\]")


def begin_page(page: str) -> None:
    """A page's script begins, which may tell its own numbers."""
    if st.session_state.get(_HERE, {}).get("page") != page:  # another page's numbers
        st.session_state[_HERE] = {"page": page}


def here(scheme: LevelScheme | None = None, completions: int = 0, shots: tuple[int, ...] = ()) -> None:
    """What this page knows of its own numbers: its levels, completions of a fact, k-shot examples. They go into the glossary's lines."""
    numbers = {"completions": f"{completions:,}" if completions else "", "shots": ", ".join(map(str, sorted(shots)))}
    page = st.session_state.get(_HERE, {}).get("page")
    st.session_state[_HERE] = {"page": page, "scheme": scheme, **{name: text for name, text in numbers.items() if text}}


def button() -> None:
    """Draw the button, in a fragment: opening the glossary, and looking for a word in it, leaves the page as it is."""
    if st.button("Glossary", icon=":material/menu_book:", type="tertiary", key="glossary-open", help="What the words here mean."):
        _opened()


@st.dialog("Glossary", position="right")
def _opened() -> None:
    words = st.text_input("Search", key="glossary-search", placeholder="a word, such as kappa", label_visibility="collapsed").strip()
    found = matching(lines(st.session_state.get(_HERE, {})), words)
    if not found:
        st.caption("No term matches. Clear the search to see all of them.")
    st.markdown("\n\n".join(f"**{term}**: {text}" for term, text in found.items()))


def lines(known: dict[str, object]) -> dict[str, str]:
    """Each term and its line, with the page's own numbers where it told them; without, the line says nothing of them."""
    scheme = known.get("scheme")
    numbers = {**{key: str(value) for key, value in known.items()}, "levels": levels(scheme if isinstance(scheme, LevelScheme) else PAPER)}

    def filled(text: str) -> str:
        try:
            return text.format(**numbers)
        except KeyError:
            return ""

    return {term: filled(_OWN_NUMBERS.sub(lambda part: filled(part[1]), text)) for term, text in TERMS.items()}


def matching(terms: dict[str, str], words: str) -> dict[str, str]:
    """Terms that the words stand in, then those whose line holds them."""
    wanted = words.casefold()
    named = {term: text for term, text in terms.items() if wanted in term.casefold()}
    return named | {term: text for term, text in terms.items() if wanted in text.casefold()}


def levels(scheme: LevelScheme) -> str:
    """The levels of a scheme in words, lowest first."""
    labels, ends = scheme.labels, (*scheme.cutoffs, 1.0)
    if scheme.few_shot:
        return (
            f"{labels[3]}: all {scheme.contexts} greedy answers after {scheme.shots} examples are correct; {labels[2]}: some; "
            f"{labels[1]}: none, but at least one of {scheme.sampling.samples} samples per prompt; {labels[0]}: none at all."
        )
    ranges = [f"{labels[0]}: {f'up to {ends[0]:.0%}' if ends[0] else 'never a hit'}"]
    ranges += [f"{label}: more than {low:.0%}, up to {high:.0%}" for label, low, high in zip(labels[1:], ends, ends[1:], strict=False)]
    if not ends[0]:
        ranges[1] = f"{labels[1]}: at least one hit, up to {ends[1]:.0%}"
    return "; ".join(ranges) + "."
