"""Pieces that all pages share: errors, empty states, the note on the built-in world, metrics."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec

import streamlit as st

from pages._ui import address
from pages._ui.wording import percent, sentence
from sftqa_core.errors import SftqaError
from sftqa_core.knowledge.atlas import PLANTED, PLANTED_HEAD, is_atlas
from sftqa_core.records.amounts import points

Takes = ParamSpec("Takes")
MOST_REASONS = 5  # why results are not shown, at once
INSTALL = "pip install torch transformers peft accelerate"


@contextmanager
def errors_shown() -> Iterator[None]:
    """Show an error of the core in its own words and end the page there; never a traceback."""
    try:
        yield
    except SftqaError as error:
        problem(str(error))
        address.over()


def problem(text: str, icon: str = ":material/error:") -> None:
    """An error for people. A message with several lines becomes a list; markup in it is shown as text."""
    lines = [sentence(line) for line in text.splitlines() if line.strip()]
    st.error(lines[0] if len(lines) == 1 else "\n".join(f"- {line}" for line in lines), icon=icon)


def empty(text: str, page: str | None = None, label: str = "") -> None:
    """Nothing to show yet: why, and where to go."""
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown(text, text_alignment="center")
        if page:
            st.page_link(page, label=label, icon=":material/arrow_forward:")


def piece(draw: Callable[Takes, None]) -> Callable[Takes, None]:
    """`address.part` whose errors are shown in their own words, also where it runs alone."""

    @wraps(draw)
    def shown(*args: Takes.args, **more: Takes.kwargs) -> None:
        with errors_shown():
            draw(*args, **more)

    return address.part(shown)


def folded(label: str, key: str, icon: str, draw: Callable[[], object], inside: str = "", opened: bool = False) -> None:
    """A part that is drawn only while it is unfolded, and then alone: what nobody sees would be drawn anew at every click all the same.

    Whether it is stands in the address, by `key`. `inside` is a parameter that is picked inside: a link that names it unfolds the part.
    `opened`: it is unfolded when a person comes to the page.
    """

    @address.part
    def box() -> None:
        place = fold(label, key, icon, inside, opened)
        with place:
            if place.open:
                try:
                    draw()
                except SftqaError as error:
                    problem(str(error))

    box()


def fold(label: str, key: str, icon: str | None = None, inside: str = "", opened: bool = False, needed: bool = False) -> Any:
    """The box of `folded`, for a part whose values the rest of the page needs: `open` says whether it has to be drawn. It stays unfolded
    as long as something in it is `needed`."""
    widget = f"fold-{key}"
    others, comes = _unfolded(), widget not in st.session_state
    st.session_state[widget] = key in others or needed or (opened and comes) or bool(inside and address.value(inside))
    if st.session_state[widget] and key not in others:
        address.settle_on("unfolded", ",".join([*others, key]))
    return st.expander(label, key=widget, icon=icon, on_change=_fold, args=(widget, key, inside))


def _unfolded() -> list[str]:
    return [name for name in (address.value("unfolded") or "").split(",") if name]


def _fold(widget: str, key: str, inside: str) -> None:
    opened, others = st.session_state[widget], [name for name in _unfolded() if name != key]
    gone = {inside: None} if inside and not opened else {}
    address.put(**gone, unfolded=",".join([*others, key] if opened else others))


def unreadable(reasons: Sequence[str]) -> None:
    """Results that are there and can't be shown: how many, and why."""
    if not reasons:
        return
    count = len(reasons)
    with st.expander(f"{count:,} result{' is' if count == 1 else 's are'} not shown", icon=":material/warning:"):
        st.markdown("\n".join(f"- {sentence(why)}" for why in reasons[:MOST_REASONS]))
        if count > MOST_REASONS:
            st.caption(f"{count - MOST_REASONS:,} more: 'sftqa cache verify' lists them all.")


def no_models() -> None:
    """Ends a page that needs a model where there is none."""
    text = "There is no model on this machine yet. Pre-train a small one with `sftqa pretrain NAME`, or add one under Models."
    empty(text, "pages/available_models.py", "Open Models")
    address.over()


def planted(source: str = "atlas") -> None:
    """METHOD 8.8, in words anyone understands; nothing for facts that nobody invented."""
    if not is_atlas(source):
        return
    st.info(
        f"**{PLANTED_HEAD}** {PLANTED}",
        icon=":material/potted_plant:",
    )


def needs_torch(what: str) -> None:
    """Says that this work needs PyTorch, and how to install it; everything already measured stays visible."""
    st.warning(f"{what} needs PyTorch, which is not installed here. Install it, then start the explorer again:", icon=":material/download:")
    st.code(INSTALL, language="bash", wrap_lines=True)


def share_metric(label: str, value: float | None, base: float | None, lines: list[str]) -> None:
    """One share, how far it is from the base model's in percentage points, and small lines under it."""
    change = None if value is None or base is None else f"{points(value - base)} points"
    same = change == "0.0 points"
    with st.container(border=True, height="stretch", key=f"tile-{label}"):
        st.metric(
            label,
            percent(value),
            change,
            delta_color="off" if same else "normal",
            delta_arrow="off" if same else "auto",
            delta_description=None if change is None else "against the base model",
        )
        st.caption("  \n".join(lines))
