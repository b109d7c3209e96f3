"""The page's address holds everything that is picked, so a copied link shows a colleague the same, and back and forward walk through it.

The parameters are the truth: what stands in none of them is at its default. Nothing is restored from elsewhere but on arrival by a
bare link, as the navigation has it: then the page shows what it showed last, and what all pages share (`SHARED`) comes along.

A script asks `value`, and widgets write with `put` from their callbacks. A default that may change, such as the newest run, is made
explicit with `settle_on`; all of those are written together when the script is over, since each writing is an entry of the browser's
history.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

SHARED = ("model", "source", "split", "domain", "levels", "method", "cut")  # hold on every page that knows them
LONGEST = 1_000  # characters of one value; a longer text is left out, and the page says so
_LATE_S = 2.0  # a browser that is this late may still send the address from before what was written last
_STATE = "address"


@contextmanager
def of_page(page: str) -> Iterator[None]:
    """Around a page's script: restores what belongs into its address before, writes what it settled on after."""
    kept = _state()
    here = st.query_params.to_dict()
    arrived = kept["page"] != page
    bare = arrived and not here
    kept.update(page=page, settled={}, carried=dict(kept["shared"]) if bare else {})
    if bare and kept["pages"].get(page):
        _write(kept["pages"][page] | {key: text for key, text in kept["shared"].items() if key in kept["pages"][page]})
    elif not arrived and _is_late(kept, here):
        _write(kept["after"])
    try:
        yield
    finally:
        now = st.query_params.to_dict()
        if fresh := {key: text for key, text in kept["settled"].items() if now.get(key) != text}:
            now |= fresh
            _write(now)
        kept["pages"][page] = now
        kept["shared"] |= {key: now[key] for key in SHARED if key in now}


def value(key: str) -> str | None:
    """What the address says; None where it says nothing. Untrusted: whoever asks checks it."""
    if (text := st.query_params.get(key)) is not None:
        return text
    if (carried := _state()["carried"].get(key)) is not None:
        settle_on(key, carried)
    return carried


def put(**values: str | None) -> None:
    """Write these parameters, None or empty: take them out; one entry in the browser's history."""
    before = st.query_params.to_dict()
    after = {key: text for key, text in {**before, **values}.items() if text}
    for key in values:
        _state()["settled"].pop(key, None)
        _state()["carried"].pop(key, None)
        if not values[key]:
            _state()["shared"].pop(key, None)
    if after != before:
        _state().update(before=before, after=after, at_s=time.monotonic())
        _write(after)


def settle_on(key: str, text: str) -> None:
    """Say in the address what a default came to, when the script is over."""
    _state()["settled"][key] = text


def bring(**values: str | None) -> None:
    """Let the next page that is opened by a bare link hold these of `SHARED`."""
    kept = _state()
    for key, text in values.items():
        kept["shared"].pop(key, None)
        for page in kept["pages"].values():
            page.pop(key, None)
        if text:
            kept["shared"][key] = text


def with_values(**values: str | None) -> dict[str, str]:
    """The address's parameters with these changed: for a link to a page that shows the same and something more."""
    return {key: text for key, text in {**st.query_params.to_dict(), **values}.items() if text}


def _is_late(kept: Mapping[str, Any], here: Mapping[str, str]) -> bool:
    """Whether the browser sends the address as it was before the last writing, which it had not received yet; going back sends the same,
    but says so."""
    context = get_script_run_ctx()
    back = context is not None and context.is_history_navigation
    return not back and here == kept["before"] and time.monotonic() - kept["at_s"] < _LATE_S


def _write(values: Mapping[str, str]) -> None:
    st.query_params.from_dict(values)


def _state() -> dict[str, Any]:
    empty = {"page": None, "pages": {}, "shared": {}, "settled": {}, "carried": {}, "before": None, "after": None, "at_s": 0.0}
    kept: dict[str, Any] = st.session_state.setdefault(_STATE, empty)
    return kept
