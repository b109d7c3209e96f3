"""The page's address holds everything that is picked, so a copied link shows a colleague the same, and back and forward walk through it.

The parameters are the truth: what stands in none of them is at its default. Nothing is restored from elsewhere but on arrival by a
bare link, as the navigation has it: then the page shows what it showed last, and what all pages share (`SHARED`) comes along.

A script asks `value`, and widgets write with `put` from their callbacks. What the script settles on besides, such as the newest run,
is written when it is over, all at once: each writing is an entry of the browser's history, and one that comes before the browser has
followed to the new page would stand under the old page's name.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, NoReturn, ParamSpec

import streamlit as st
from streamlit.runtime.scriptrunner import RerunException, StopException, get_script_run_ctx

SHARED = ("model", "source", "split", "domain", "levels", "method", "cut")  # hold on every page that knows them
LONGEST = 1_000  # characters of one value; a longer text is left out, and the page says so
_LATE_S = 2.0  # a browser that is this late may still send the address from before what was written last
_STATE = "address"
Takes = ParamSpec("Takes")


@dataclass
class _Run:
    """One run of a page's script, or of a piece alone. Of its own: a page that is left may still run when the next one has begun."""

    settled: dict[str, str] = field(default_factory=dict)  # what the address is to say afterwards
    leaving: bool = False  # for another page


_run: ContextVar[_Run | None] = ContextVar("run", default=None)  # None: no script runs, which is so in a widget's callback
_top: ContextVar[Any] = ContextVar("top", default=st)  # where this run says what is wrong in its address


@contextmanager
def of_page(page: str) -> Iterator[None]:
    """Around a page's script: restores what belongs into its address before, writes what it settled on after."""
    top = _top.set(st.container())  # takes no room while it is empty
    kept = _state()
    here = st.query_params.to_dict()
    arrived = kept["page"] != page
    # On a page that names its defaults a bare address is only ever left over from an arrival: going back to it shows the same again.
    bare = not here and (arrived or (_is_back() and page in kept["explicit"]))
    carried = {**kept["pages"].get(page, {}), **kept["shared"]} if bare else {}
    kept.update(page=page, asked=set(), carried=carried, visit=kept["visit"] + arrived)
    if _is_back():  # what the page before wrote last may have reached the browser after it had gone back
        st.query_params.from_dict(here)
    try:
        with _settling(here, not arrived):
            yield
    finally:
        _top.reset(top)


def part(draw: Callable[Takes, None]) -> Callable[Takes, None]:
    """A piece of a page that a click inside it draws again alone, which takes a fraction of the time. Where what is picked inside
    matters outside, the piece asks for a run of the whole page (`st.rerun`)."""

    @wraps(draw)
    def piece(*args: Takes.args, **more: Takes.kwargs) -> None:
        if _run.get() is not None:  # the whole page runs, and looks after its address itself
            draw(*args, **more)
            return
        with _settling(st.query_params.to_dict(), True):
            draw(*args, **more)

    return st.fragment(piece)


@contextmanager
def _settling(here: Mapping[str, str], stayed: bool) -> Iterator[None]:
    """Around a script, or a piece that runs alone, which the browser asked for at this address: writes afterwards what it settled on."""
    kept, run = _state(), _Run()
    page, before = kept["page"], _run.set(run)
    if stayed and _is_late(here):
        st.query_params.from_dict(kept["after"])
    try:
        yield
    except _Over:
        pass
    except StopException:  # another run has taken its place
        raise
    except RerunException as error:
        run.leaving |= error.rerun_data.page_script_hash not in ("", _page_hash())  # somebody has opened another page meanwhile
        _keep(page, here, run)
        raise
    finally:
        _run.reset(before)
    _keep(page, here, run)


def _keep(page: str, here: Mapping[str, str], run: _Run) -> None:
    """A page's script is over: write what it settled on, unless another page is opened, and remember what it showed."""
    if (context := get_script_run_ctx()) is not None:
        context.yield_check()  # raises `StopException` where another run has begun, whose parameters `st.query_params` holds by now
    kept = _state()
    now = here if run.leaving else st.query_params.to_dict()
    settled = {} if run.leaving else run.settled
    if fresh := {key: text for key, text in settled.items() if now.get(key) != text}:
        _write(here, now | fresh)
        now = now | fresh
        kept["explicit"].add(page)
    kept["pages"][page] = now
    for key in kept["asked"].intersection(SHARED):  # this page knows it: where it is at its default, it is so elsewhere
        kept["shared"].pop(key, None)
    kept["shared"] |= {key: now[key] for key in SHARED if key in now}


class _Over(BaseException):
    """Ends a page's script; no error, so nothing that handles errors may take it for one."""


def over() -> NoReturn:
    """Ends the page's script here; its address is still written, which nothing is any more after `st.stop`."""
    if _run.get() is not None:
        raise _Over
    st.stop()


def value(key: str) -> str | None:
    """What the address says; None where it says nothing. Untrusted: whoever asks checks it."""
    kept = _state()
    kept["asked"].add(key)
    if (text := st.query_params.get(key)) is not None:
        return text
    if (carried := kept["carried"].get(key)) is not None:
        settle_on(key, carried)
        return str(carried)
    return None


def put(**values: str | None) -> None:
    """Write these parameters, None or empty: take them out; one entry in the browser's history."""
    kept, here = _state(), st.query_params.to_dict()
    for key in values:
        _settled().pop(key, None)
        kept["carried"].pop(key, None)
        if not values[key]:
            kept["shared"].pop(key, None)
    before = kept["after"] if _is_late(here) else here
    after = {key: text for key, text in {**before, **values}.items() if text}
    if after != here:
        _write(here, after)


def go(**values: str) -> None:
    """Let these be all parameters, as a link to this page does; one entry in the browser's history."""
    put(**{**dict.fromkeys(st.query_params), **values})


def alone() -> bool:
    """Whether only a piece of the page runs, whose clicks the rest of the page does not see."""
    context = get_script_run_ctx()
    return context is not None and bool(context.fragment_ids_this_run)


def keep_and_leave() -> None:
    """Another page is opened next: its parameters, which stand in the address from now on, are none of this page's."""
    if (run := _run.get()) is not None:
        run.leaving = True


def page() -> str | None:
    """Which page is open, as the address calls it."""
    return str(here) if (here := _state()["page"]) is not None else None


def visit() -> int:
    """Which visit to a page this is, counted in this session: what was opened on an earlier one is closed by now."""
    return int(_state()["visit"])


def leave(key: str) -> bool:
    """Leave out what another page's pick brought along, which does not fit here; there it stays. False for what the address itself says."""
    kept = _state()
    if key in st.query_params or key not in kept["carried"]:
        return False
    for names in (kept["carried"], _settled()):
        names.pop(key, None)
    kept["asked"].discard(key)
    return True


def settle_on(key: str, text: str) -> None:
    """Say in the address what a default came to, when the script is over."""
    _settled()[key] = text


def bring(**values: str | None) -> None:
    """Let the next page that is opened by a bare link hold these of `SHARED`."""
    kept = _state()
    for key, text in values.items():
        kept["shared"].pop(key, None)
        for page in kept["pages"].values():
            page.pop(key, None)
        if text:
            kept["shared"][key] = text


def say_wrong(why: str) -> None:
    """Say at the top of the page, for all pickers in one place, what in its address can't be shown. `why` is markdown."""
    _top.get().warning(why, icon=":material/link_off:")


def with_values(**values: str | None) -> dict[str, str]:
    """The address's parameters with these changed: for a link to a page that shows the same and something more."""
    return {key: text for key, text in {**st.query_params.to_dict(), **values}.items() if text}


def _is_late(here: Mapping[str, str]) -> bool:
    """Whether the browser sends the address as it was before the last writing, which it had not received yet; going back sends the same,
    but says so."""
    kept = _state()
    return not _is_back() and here == kept["before"] and time.monotonic() - kept["at_s"] < _LATE_S


def _is_back() -> bool:
    context = get_script_run_ctx()
    return context is not None and context.is_history_navigation


def _page_hash() -> str:
    """Streamlit's name of the page that this script draws."""
    context = get_script_run_ctx()
    return "" if context is None else context.page_script_hash


def _write(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    _state().update(before=dict(before), after=dict(after), at_s=time.monotonic())
    st.query_params.from_dict(after)


def _settled() -> dict[str, str]:
    return {} if (run := _run.get()) is None else run.settled


def _state() -> dict[str, Any]:
    last = {"before": None, "after": None, "at_s": 0.0}
    empty = {
        "page": None,
        "pages": {},
        "explicit": set(),
        "shared": {},
        "asked": set(),
        "carried": {},
        "visit": 0,
        **last,
    }
    kept: dict[str, Any] = st.session_state.setdefault(_STATE, empty)
    return kept
