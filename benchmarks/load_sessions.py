"""A visitor without a browser: Streamlit's own websocket protocol, as its frontend speaks it.

A `Session` keeps what the frontend keeps: the widgets on the page and their values, the address, messages that the server may
refer to by hash, and the timers of fragments that rerun themselves. It knows when an answer is whole: a run of the page has
finished and all its changes have arrived.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState, WidgetStates

TIMEOUT_S = 60.0  # an answer that takes longer is a failure
_DONE = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_WITH_COMPILE_ERROR)
_KEPT_RUNS = 2  # the frontend forgets a message that so many runs did not use


@dataclass
class Answer:
    """What came of one click."""

    seconds: float
    failures: list[str]  # exceptions on the page, time-outs, lost connections
    problems: list[str]  # what the page itself said was wrong


@dataclass
class _Run:
    """One run of the page on its way: its elements by place, and what went wrong."""

    elements: dict[tuple[int, ...], Element] = field(default_factory=dict)
    begun: bool = False
    failures: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Session:
    """One visitor. Use as an asynchronous context."""

    def __init__(self, port: int):
        self._address = f"ws://127.0.0.1:{port}/_stcore/stream"
        self._values: dict[str, WidgetState] = {}
        self._cached: dict[str, tuple[ForwardMsg, int]] = {}
        self._timers: dict[str, tuple[float, asyncio.TimerHandle]] = {}
        self._run, self._finished = _Run(), asyncio.Event()
        self._runs = 0
        self._hash, self._query = "", ""
        self._outgoing: asyncio.Queue[bytes] = asyncio.Queue()
        self._lost: str | None = None
        self.pages: dict[str, str] = {}  # title -> hash of its script
        self.page = ""  # title of the page that is open
        self.received_bytes = self.fragment_runs = 0

    async def __aenter__(self) -> Session:
        self._socket = await websockets.connect(self._address, subprotocols=["streamlit"], max_size=None, ping_interval=None)
        self._tasks = [asyncio.create_task(self._receive()), asyncio.create_task(self._send())]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._stop_timers()
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(Exception):
            await self._socket.close()

    # --- what a visitor does

    async def open(self, path: str = "", query: str = "") -> Answer:
        """The first run, as after typing an address."""
        self._query = query
        return await self._rerun(self._message(page_name=path))

    async def go(self, title: str, query: str = "") -> Answer:
        """Another page, by its link."""
        self._stop_timers()
        self._hash, self._query, self.page = self.pages[title], query, title
        self._values.clear()  # the frontend forgets widgets of the page that it leaves
        return await self._rerun(self._message())

    async def set(self, widget: Any, **value: Any) -> Answer:
        """A widget's new value: `string_value`, `string_array_value`, `bool_value` and so on."""
        self._values[widget.id] = _state(widget.id, **value)
        return await self._rerun(self._message())

    def widgets(self, kind: str) -> Iterator[Any]:
        """The widgets of one type on the page now."""
        for element in self._run.elements.values():
            if element.WhichOneof("type") == kind:
                yield getattr(element, kind)

    def value(self, widget: Any) -> WidgetState | None:
        """What a widget holds now."""
        return self._values.get(widget.id)

    # --- the wire

    def _message(self, fragment: str = "", page_name: str = "") -> BackMsg:
        self._cached = {key: kept for key, kept in self._cached.items() if self._runs - kept[1] <= _KEPT_RUNS}
        message = BackMsg()
        state = message.rerun_script
        state.query_string, state.page_script_hash, state.page_name = self._query, self._hash, page_name
        state.widget_states.CopyFrom(WidgetStates(widgets=self._values.values()))
        state.cached_message_hashes.extend(self._cached)
        state.context_info.timezone, state.context_info.locale, state.context_info.color_scheme = "UTC", "en-US", "light"
        if fragment:
            state.fragment_id, state.is_auto_rerun = fragment, True
        return message

    async def _rerun(self, message: BackMsg) -> Answer:
        self._run, self._finished = _Run(elements=self._run.elements), asyncio.Event()
        began = time.perf_counter()
        self._outgoing.put_nowait(message.SerializeToString())
        try:
            await asyncio.wait_for(self._finished.wait(), TIMEOUT_S)
        except TimeoutError:
            self._run.failures.append(f"no answer in {TIMEOUT_S:.0f} s")
        if self._lost:
            self._run.failures.append(self._lost)
        return Answer(time.perf_counter() - began, self._run.failures, self._run.problems)

    async def _send(self) -> None:
        while True:
            await self._socket.send(await self._outgoing.get())

    async def _receive(self) -> None:
        try:
            async for payload in self._socket:
                self.received_bytes += len(payload)
                self._take(ForwardMsg.FromString(payload))
        except websockets.ConnectionClosed as error:
            self._lost = f"connection lost: {error}"
        except Exception as error:
            self._lost = f"not understood: {error!r}"
        self._finished.set()

    def _take(self, message: ForwardMsg) -> None:
        kind = message.WhichOneof("type")
        if kind == "ref_hash":
            known, _ = self._cached[message.ref_hash]
            self._cached[message.ref_hash] = (known, self._runs)
            self._delta(known, tuple(message.metadata.delta_path))
        elif kind == "delta":
            if message.metadata.cacheable:
                self._cached[message.hash] = (message, self._runs)
            self._delta(message, tuple(message.metadata.delta_path))
        elif kind == "new_session":
            self._new_run(message)
        elif kind == "navigation":
            self.pages = {page.page_name: page.page_script_hash for page in message.navigation.app_pages}
            self._hash = message.navigation.page_script_hash
            self.page = next((title for title, known in self.pages.items() if known == self._hash), self.page)
        elif kind == "page_info_changed":
            self._query = message.page_info_changed.query_string
        elif kind == "auto_rerun":
            self._start_timer(message.auto_rerun.fragment_id, message.auto_rerun.interval)
        elif kind == "stop_auto_rerun":
            for fragment in message.stop_auto_rerun.fragment_ids:
                self._stop_timer(fragment)
        elif kind == "script_finished":
            self._finish(message.script_finished)

    def _new_run(self, message: ForwardMsg) -> None:
        if message.metadata.run.fragment_ids:
            return
        self._stop_timers()
        self._run.begun, self._run.elements = True, {}
        self._run.failures, self._run.problems = [], []

    def _finish(self, status: int) -> None:
        if status == ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY:
            self.fragment_runs += 1
        if status not in _DONE:
            return  # of a fragment, or stopped for a rerun that follows
        self._runs += 1
        if status == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
            self._run.failures.append("the page's script could not be compiled")
        if self._run.begun:
            shown = {one.id for element in self._run.elements.values() if hasattr(one := _inner(element), "id")}
            self._values = {key: state for key, state in self._values.items() if key in shown}
            self._finished.set()

    def _delta(self, message: ForwardMsg, path: tuple[int, ...]) -> None:
        if message.delta.WhichOneof("type") != "new_element":
            return
        element = message.delta.new_element
        self._run.elements[path] = element
        kind = element.WhichOneof("type")
        if kind == "exception":
            self._run.failures.append(f"{element.exception.type}: {element.exception.message[:200]}")
        elif kind == "alert" and element.alert.format == element.alert.ERROR:
            self._run.problems.append(element.alert.body[:200])
        else:
            self._adopt(kind, _inner(element))

    def _adopt(self, kind: str | None, widget: Any) -> None:
        """A widget's value as the frontend takes it over: the server's, or at first the default."""
        if not getattr(widget, "id", "") or (widget.id in self._values and not getattr(widget, "set_value", False)):
            return
        if kind == "selectbox":
            default = widget.options[widget.default] if widget.HasField("default") and widget.options else None
            value = widget.raw_value if widget.set_value else default
            if value is not None:
                self._values[widget.id] = _state(widget.id, string_value=value)
        elif kind in ("button_group", "multiselect"):
            names = [getattr(option, "content", option) for option in widget.options]
            chosen = list(widget.raw_values) if widget.set_value else [names[at] for at in widget.default]
            self._values[widget.id] = _state(widget.id, string_array_value=chosen)
        elif kind == "checkbox":
            self._values[widget.id] = _state(widget.id, bool_value=widget.value if widget.set_value else widget.default)
        elif kind == "text_input" and (widget.value if widget.set_value else widget.default):
            self._values[widget.id] = _state(widget.id, string_value=widget.value if widget.set_value else widget.default)

    # --- fragments that rerun themselves

    def _start_timer(self, fragment: str, interval_s: float) -> None:
        if fragment in self._timers and self._timers[fragment][0] == interval_s:
            return
        self._stop_timer(fragment)
        loop = asyncio.get_running_loop()

        def due() -> None:
            self._timers[fragment] = (interval_s, loop.call_later(interval_s, due))
            self._outgoing.put_nowait(self._message(fragment).SerializeToString())

        self._timers[fragment] = (interval_s, loop.call_later(interval_s, due))

    def _stop_timer(self, fragment: str) -> None:
        if (timer := self._timers.pop(fragment, None)) is not None:
            timer[1].cancel()

    def _stop_timers(self) -> None:
        for fragment in list(self._timers):
            self._stop_timer(fragment)


def _inner(element: Element) -> Any:
    kind = element.WhichOneof("type")
    return getattr(element, kind) if kind else None


def _state(widget_id: str, **value: Any) -> WidgetState:
    state = WidgetState(id=widget_id)
    ((name, content),) = value.items()
    if name == "string_array_value":
        state.string_array_value.data.extend(content)
    else:
        setattr(state, name, content)
    return state
