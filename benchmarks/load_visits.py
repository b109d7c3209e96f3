"""What the visitors of load.py do: which pages and widgets there are, and one action after the other, drawn from a seed."""

from __future__ import annotations

import asyncio
import json
import random
import time
import urllib.parse
from dataclasses import dataclass, field
from typing import Any, Protocol

from load_sessions import Answer, Session
from load_world import MODEL, fact_file

from sftqa_core.workspace import Workspace

EVERY_S = 5.0
SEED = 11
LEAVE = 0.45  # share of actions that go to another page
PAGES = {  # title -> how often it is gone to
    "Overview": 1, "Memory": 4, "Lab": 2, "Results": 3, "Jobs": 2,
    "How much data?": 1, "Which data?": 1, "Which model?": 1, "What moves?": 1, "What if?": 1,
}  # fmt: skip
WIDGETS = {  # title -> (type, end of its id, which is the key the page gave it, or else its label)
    "Memory": [
        ("selectbox", "pick-model"), ("selectbox", "pick-source"), ("selectbox", "pick-split"), ("selectbox", "pick-domain"),
        ("button_group", "by"), ("multiselect", "fact-levels"), ("multiselect", "fact-relations"), ("text_input", "fact-search"),
        ("dataframe", "facts-"), ("dataframe", "facts-"), ("checkbox", "Exclude echo facts"),
    ],
    "Lab": [
        ("button_group", "lab-kind"), ("selectbox", "pick-model"), ("selectbox", "pick-source"), ("button_group", "lab-size"),
        ("selectbox", "lab-balance"), ("button_group", "lab-method"), ("button_group", "study-kind"), ("multiselect", "lab-levels"),
    ],
    "Results": [
        ("selectbox", "pick-run"), ("selectbox", "pick-run"), ("multiselect", "change-kinds"), ("multiselect", "change-levels"),
        ("multiselect", "change-relations"), ("text_input", "change-search"), ("button_group", "part"),
    ],
    "How much data?": [
        ("selectbox", "pick-study"), ("selectbox", "pick-model"), ("button_group", "amount-level"), ("checkbox", "-published"),
    ],
    "Which data?": [
        ("selectbox", "pick-study"), ("selectbox", "pick-model"), ("button_group", "level-value"), ("checkbox", "-published"),
    ],
    "Which model?": [
        ("selectbox", "pick-study"), ("selectbox", "pick-model"), ("button_group", "known-by"), ("selectbox", "planted-relation"),
    ],
    "What moves?": [
        ("selectbox", "pick-study"), ("selectbox", "pick-model"), ("selectbox", "shift-after"), ("button_group", "shift-domain"),
    ],
    "What if?": [("selectbox", "pick-recipe"), ("selectbox", "pick-model")],
}  # fmt: skip
WORDS = ("an", "kalo", "mi", "the", "Star", "1,2", "qqq")


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    facts: int = 1_000_000
    runs: int = 1_000
    jobs: int = 200
    sessions: int = 20
    seconds: float = 180.0


SMALL = Scale(facts=5_000, runs=30, jobs=10, sessions=4, seconds=20.0)


class Watched(Protocol):
    """The server, as far as a visit looks at it."""

    def cpu(self) -> float:
        """Seconds of processor that it has had."""


@dataclass
class Taken:
    """Every answer by page and kind of action, and what the sessions saw of the server."""

    answers: list[tuple[str, str, Answer]] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)  # of the server, for each answer to a lone visitor
    late: int = 0  # actions that waited for the one before
    received_bytes: int = 0
    fragment_runs: int = 0
    server_s: float = 0.0  # of processor, while they were there

    def note(self, page: str, action: str, answer: Answer) -> None:
        self.answers.append((page, action, answer))


async def visits(port: int, scale: Scale, watched: Watched) -> tuple[Taken, Taken]:
    """The lone visitor, then all of them."""
    alone, crowd = Taken(), Taken()
    await first_look(port, alone, watched)
    began, before = time.monotonic(), watched.cpu()
    await asyncio.gather(*(visit(number, port, crowd, began, scale) for number in range(scale.sessions)))
    crowd.server_s = watched.cpu() - before
    return alone, crowd


async def first_look(port: int, taken: Taken, watched: Watched) -> None:
    """Every page twice on a fresh server, the large profile too."""

    async def look(title: str, action: str, query: str = "") -> None:
        before = watched.cpu()
        taken.note(title, action, await (session.go(title, query) if session.pages else session.open()))
        taken.cpu_s.append(watched.cpu() - before)

    async with Session(port) as session:
        await look("Overview", "first of all")
        for action in ("first", "again"):
            for title in PAGES:
                await look(title, action)
        for split in ("test", "all"):
            for action in ("first", "again"):
                await look("Memory", f"large profile, split {split}, {action}", large_profile(split))
        await look("Lab", "large profile, first")
        await look("Lab", "large profile, again")


async def visit(number: int, port: int, taken: Taken, began: float, scale: Scale) -> None:
    """One visitor: arrives, does something every five seconds, leaves."""
    draw = random.Random(f"{SEED} {number}")
    due = began + EVERY_S * number / scale.sessions
    await asyncio.sleep(due - time.monotonic())
    async with Session(port) as session:
        path, query = ("memory", large_profile("all" if number % 3 else "test")) if number % 2 else ("", "")
        taken.note(session.page or ("Memory" if path else "Overview"), "arrive", await session.open(path, query))
        while (due := due + EVERY_S) < began + scale.seconds:
            late = due <= time.monotonic()
            taken.late += late
            if late:
                due = time.monotonic()
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            page, action, answer = await act(session, draw)
            taken.note(page, action, answer)
        taken.received_bytes += session.received_bytes
        taken.fragment_runs += session.fragment_runs


def large_profile(split: str) -> str:
    """The link to the profile of a person's own facts."""
    return urllib.parse.urlencode({"model": MODEL, "source": str(fact_file(Workspace.current())), "split": split})


async def act(session: Session, draw: random.Random) -> tuple[str, str, Answer]:
    """One action: another page, or something on this one. Returns the page that answered, the action and the answer."""
    there = [(kind, key, widget) for kind, key in WIDGETS.get(session.page, ()) if (widget := find(session, kind, key)) is not None]
    if not there or draw.random() < LEAVE:
        titles = [title for title in PAGES if title != session.page]
        title = draw.choices(titles, [PAGES[title] for title in titles])[0]
        return title, "open", await session.go(title)
    kind, key, widget = draw.choice(there)
    page = session.page
    return page, key.strip("-"), await session.set(widget, **new_value(session, draw, kind, widget))


def find(session: Session, kind: str, key: str) -> Any:
    """The widget on the page, by the key that ends its id or by its label; None without one that can be used."""
    for widget in session.widgets(kind):
        own = widget.id.split("-", 2)[-1]
        if (own.endswith(key) or own.startswith(key) or getattr(widget, "label", "") == key) and not _useless(kind, widget):
            return widget
    return None


def _useless(kind: str, widget: Any) -> bool:
    if kind in ("selectbox", "button_group", "multiselect"):
        return len(widget.options) < 2
    return kind == "checkbox" and widget.disabled


def new_value(session: Session, draw: random.Random, kind: str, widget: Any) -> dict[str, Any]:
    """Another value than the widget has."""
    held = session.value(widget)
    if kind == "selectbox":
        return {"string_value": draw.choice([name for name in widget.options if held is None or name != held.string_value])}
    if kind == "button_group":
        names = [option.content for option in widget.options]
        return {"string_array_value": [draw.choice([name for name in names if held is None or name not in held.string_array_value.data])]}
    if kind == "multiselect":
        chosen = list(held.string_array_value.data) if held else []
        return {"string_array_value": [] if len(chosen) > 1 else [*chosen, draw.choice([n for n in widget.options if n not in chosen])]}
    if kind == "checkbox":
        return {"bool_value": not (held and held.bool_value)}
    if kind == "dataframe":
        return {"string_value": json.dumps({"selection": {"rows": [draw.randrange(20)], "columns": [], "cells": []}})}
    return {"string_value": draw.choice(["", *WORDS])}
