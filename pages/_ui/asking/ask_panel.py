"""A question beside what models say to it: on the Ask page, on a fact, on a prediction that changed.

Nothing is asked until a person presses the button: opening a page or a link shows what is kept, and offers to ask. Answers that come
within `_PATIENCE_S` are drawn at once; else the panel is a fragment that looks again by itself until all columns are over.
"""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from pages._ui import background, resources
from pages._ui.asking import asked
from pages._ui.asking.reply_panel import reply_panel
from pages._ui.panels import needs_torch, problem
from pages._ui.titles import model_name, source_name
from pages._ui.wording import in_badge, literal, score
from sftqa_core.artifacts import in_words
from sftqa_core.errors import SftqaError
from sftqa_core.jobs.ask_files import current_ask_service
from sftqa_core.jobs.ask_service import Standing
from sftqa_core.records import RUN, Column, Question, Reply

_PATIENCE_S, _POLL_S = 0.7, 0.02
_LOOK_S = 0.5  # between two looks of the fragment
_WIDE = 3  # columns side by side


def ask_panel(
    question: str,
    columns: Sequence[str],
    answers: Sequence[str] = (),
    where: str = "panel",
    kind: str = "question",
    now: bool | None = None,
    drawn_by: Callable[[Reply], None] | None = None,
) -> None:
    """Draw what models say to a question, side by side, with a button to ask those that were not asked yet.

    `columns`: models' names, and "run:" with a run's id for what it kept. `answers` are scored besides the right ones, which are looked
    up by the question's words in the models' fact sources. `where` keeps the widgets of two panels apart. `now`: a button outside the
    panel was pressed (True) or not (False); None: the panel has its own. `drawn_by` draws a reply instead of the full panel; then
    nothing is said of the fact's source and of what is loaded.
    """
    if resources.missing_torch():
        needs_torch("Asking a model")
        return
    stamp = resources.listed(background.stamp())  # what is asked is told by the names of runs
    try:
        wanted, fact = asked.known_fact(Question(question.strip(), kind, answers=tuple(answers)), tuple(columns))
        ways = {name: asked.column(wanted, name, columns) for name in columns}
        with st.container(horizontal=True, vertical_alignment="center") if drawn_by else contextlib.nullcontext():
            _fact_line(fact, tuple(columns), stamp, drawn_by is None)
            pressed = _button(ways, where) if now is None else now
        if pressed:
            current_ask_service().ask([way for way in ways.values() if isinstance(way, Column)])
            _wait(ways)
        pending = any(standing.pending for standing in _look(ways).values())
    except SftqaError as error:
        problem(str(error))
        return
    ordered = {name: ways[name] for name in sorted(ways, key=lambda name: name.startswith(RUN))}
    st.fragment(_replies, run_every=_LOOK_S if pending else None)(ordered, where, pending, stamp, drawn_by)


def _button(ways: dict[str, Column | str], where: str) -> bool:
    """The panel's own button, which stays where it is when nothing is left to ask; whether it was pressed.

    A press is kept until it is acted on: it would be lost if another click began the script anew before it came to this line. It holds
    for what was to be asked then.
    """
    pressed, asks = f"pressed-ask-{where}", [way.fingerprint() for way in ways.values() if isinstance(way, Column)]
    new = [name for name, standing in _look(ways).items() if standing.state in ("new", "failed")]
    label = "Ask" if len(new) in (0, len(ways)) else f"Ask {len(new)} more"
    press = {"on_click": st.session_state.__setitem__, "args": (pressed, asks)}
    asked_now = bool(st.session_state.pop(pressed, None) == asks)
    st.button(label, key=f"ask-{where}", icon=":material/send:", type="primary", disabled=asked_now or not new, **press)
    return asked_now


def _look(ways: dict[str, Column | str]) -> dict[str, Standing]:
    """How every column stands that can be asked."""
    there = {name: way for name, way in ways.items() if isinstance(way, Column)}
    return dict(zip(there, current_ask_service().look(list(there.values())), strict=True))


def _wait(ways: dict[str, Column | str]) -> None:
    """Give models that are loaded the time to answer, so that the page does not change twice."""
    until_s = time.monotonic() + _PATIENCE_S
    while any(standing.pending for standing in _look(ways).values()) and time.monotonic() < until_s:
        time.sleep(_POLL_S)


def _replies(ways: dict[str, Column | str], where: str, pending: bool, stamp: str, drawn_by: Callable[[Reply], None] | None = None) -> None:
    standings = _look(ways)
    if pending and not any(standing.pending for standing in standings.values()):
        st.rerun()  # over: looked at no more
    first = next((name for name, standing in standings.items() if standing.pending), None)
    names, titles, details = list(ways), asked.titles(stamp), asked.details(stamp)
    for start in range(0, len(names), _WIDE):
        row = names[start : start + _WIDE]
        for place, name in zip(st.columns(min(len(names), _WIDE)), row, strict=False):
            key, title = f"{where}-{names.index(name)}", titles.get(name, name)
            with place, st.container(border=True, key=f"reply-{key}"):
                if drawn_by is None:
                    with st.container(key=f"{'head' if len(names) < _WIDE else 'high-head'}-{key}"):  # two lines in narrow columns
                        _head(name, title, details.get(name, ""))
                way = ways[name]
                if isinstance(way, str):
                    problem(way)
                    continue
                if drawn_by is not None and (reply := standings[name].reply) is not None:
                    drawn_by(reply)
                    continue
                _body(way, standings[name], key, title, len(names) < _WIDE)
                if name == first and st.button("Cancel", key=f"cancel-ask-{where}", icon=":material/stop:"):
                    current_ask_service().cancel([way for way in ways.values() if isinstance(way, Column)])
                    st.rerun()
    if drawn_by is None:
        _service_line(titles)


def _head(name: str, title: str, details: str) -> None:
    badge = ":violet-badge[tuned]" if name.startswith(RUN) else ":blue-badge[base]"
    st.markdown(f"{badge} **{literal(title)}**", help=literal(details) or None)


def _body(way: Column, standing: Standing, key: str, title: str, wide: bool) -> None:
    if standing.reply is not None:
        reply_panel(standing.reply, key, way, wide)
    elif standing.state == "failed":
        problem(standing.said)
    elif standing.pending:
        st.progress(0.0, text=literal(_pending_words(standing).replace(way.model, title)))
    else:
        st.caption("Not asked yet.")


def _pending_words(standing: Standing) -> str:
    if standing.holder:
        return f"{standing.said} {background.holder_words(standing.holder)}."
    if standing.ahead:
        return f"Queued: {standing.ahead:,} question{'' if standing.ahead == 1 else 's'} before this one."
    return f"{standing.said or 'Queued'}…" if standing.state == "answering" or "Starting" in standing.said else "Queued…"


def _fact_line(fact: Any, columns: tuple[str, ...], stamp: str, source: bool) -> None:
    """The fact behind the question: what is right, and how well base models knew it. A line in any case, so that nothing moves."""
    with st.container(horizontal=True, vertical_alignment="center", width="stretch" if source else "content"):
        if fact is None:
            st.markdown("Right answer: not known", help="No fact that these models were tuned on or have read is asked for in these words.")
            return
        label = resources.relation_labels().get(fact.relation, fact.relation)
        st.markdown(f"Right answer: **{literal(' / '.join(fact.answers))}**")
        for known in asked.known_levels(fact, columns, stamp):
            st.badge(f"{in_badge(known.level)} in {in_badge(model_name(known.model))}, R = {score(known.score)}", color="gray")
        if source:
            st.caption(literal(f"{label} · {fact.subject} · {fact.split} fact of {source_name(fact.source)}"))


def _service_line(titles: Mapping[str, str]) -> None:
    """What stays loaded, and what it takes."""
    state = current_ask_service().state()
    if state.alive and state.held:
        held = "; ".join(f"{titles.get(model.name, model.name)} ({in_words(model.size_bytes)}, {model.device})" for model in state.held)
        takes = f"The asking process takes {in_words(state.ram_bytes)} of RAM and leaves after 5 minutes without a question."
        st.caption(literal(f"Loaded: {held}. {takes}"))
