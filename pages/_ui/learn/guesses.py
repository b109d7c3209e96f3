"""What a visitor has guessed. It holds for the session alone, and stands in no address: a link must not guess for others."""

from collections.abc import Mapping

import streamlit as st

from pages._ui.wording import literal

_KEPT = "learn-guesses"


def guess(about: str, options: Mapping[str, str], once: bool = False) -> str | None:
    """Ask for one of the `options` (value -> words) with a button each, or say which one was taken; None before that.

    `once`: it can't be taken back. Guesses that are counted are such: after the reveal a second one would only be copied.

    Buttons, because the arrow keys of options that stand side by side would be those that turn the presenter's page.
    """
    taken = taken_of(about)
    if taken not in options:
        with st.container(horizontal=True, key=f"guess-{about}"):
            for value, words in options.items():
                st.button(words, key=f"guess-{about}-{value}", on_click=_take, args=(about, value))
        return None
    st.empty()  # in the place of the buttons: else they would stay until the script is over, and it may have to compare runs first
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"Your guess: **{literal(options[taken])}**", width="content")
        if not once:
            st.button("Guess again", key=f"again-{about}", type="tertiary", icon=":material/undo:", on_click=_take, args=(about, None))
    return taken


def taken_of(about: str) -> str | None:
    """What was guessed about this, and not taken back."""
    return _kept().get(about)


def counted(right: Mapping[str, str]) -> tuple[int, int]:
    """How many of these guesses are right, and how many were made; `right`: about -> the right value."""
    made = {about: taken for about in right if (taken := taken_of(about)) is not None}
    return sum(right[about] == taken for about, taken in made.items()), len(made)


def _take(about: str, value: str | None) -> None:
    if value is None:
        _kept().pop(about, None)
    else:
        _kept().setdefault(about, value)  # the first press counts: a second may have been on its way


def _kept() -> dict[str, str]:
    kept: dict[str, str] = st.session_state.setdefault(_KEPT, {})
    return kept
