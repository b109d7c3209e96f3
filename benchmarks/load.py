"""How the explorer bears many visitors on a full cache: 20 sessions, 200 queued jobs, 1,000 runs, a profile of 1,000,000 facts.

    python benchmarks/load.py [--small] [--world FOLDER] [--json FILE]

Sessions are scripted over Streamlit's websocket protocol (load_sessions.py), which a browser does nothing else on: one action
every five seconds each, drawn from a seed, timed from the click to the last change that comes of it. An action that is not
answered when the next is due puts that one off. Fragments that rerun themselves do so, as in a browser. Half of the
visitors come by a link to the large profile, the others look at the built-in world first.

Before them a lone visitor opens every page and the large profile once on a fresh server; its times are told apart. The world is
made new in a temporary folder, or once in FOLDER. The goal: 95th percentile below 1 s, the server's memory below 2 GB.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from load_sessions import Answer, Session
from load_world import MODEL, fact_file, queue_jobs

from sftqa_core.jobs.lease import device_lease
from sftqa_core.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
EVERY_S = 5.0
SEED = 11
GOAL_S, GOAL_BYTES = 1.0, 2 * 2**30
LEAVE = 0.45  # share of actions that go to another page
PAGES = {  # title -> how often it is gone to
    "Overview": 1, "Memory": 4, "Lab": 2, "Results": 3, "Jobs": 2,
    "How much data?": 1, "Which data?": 1, "Which model?": 1, "What moves?": 1,
}  # fmt: skip
WIDGETS = {  # title -> (type, end of its id, which is the key the page gave it, or else its label)
    "Memory": [
        ("selectbox", "pick-model"), ("selectbox", "pick-source"), ("selectbox", "pick-split"), ("selectbox", "pick-domain"),
        ("button_group", "by"), ("multiselect", "fact-levels"), ("multiselect", "fact-relations"), ("text_input", "fact-search"),
        ("dataframe", "facts-"), ("dataframe", "facts-"), ("checkbox", "Leave out echo facts"),
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


def main() -> None:
    """Make the world, start the server, send the visitors, print, stop everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="the same on a small world, in less than a minute")
    parser.add_argument("--world", type=Path, help="keep the cache there; it is made when there is none")
    parser.add_argument("--seconds", type=float, help="how long the visitors stay")
    parser.add_argument("--json", type=Path, help="write everything measured into this file")
    options = parser.parse_args()
    scale = SMALL if options.small else Scale()
    if options.seconds:
        scale = Scale(scale.facts, scale.runs, scale.jobs, scale.sessions, options.seconds)
    with tempfile.TemporaryDirectory() as folder:
        world = (options.world or Path(folder) / "cache").absolute()
        os.environ |= {"SFTQA_CACHE": str(world), "SFTQA_STATE": f"{folder}/state"}
        if not world.exists():
            make_world(world, scale)
        queue_jobs(Workspace.current(), scale.jobs)
        with device_lease("cpu", "the benchmark"), server() as (port, watched):
            alone, crowd = asyncio.run(visits(port, scale, watched))
        report(scale, alone, crowd, watched, options.json)


def make_world(world: Path, scale: Scale) -> None:
    """In a process of its own, which gives its memory back."""
    print("Making the world:", flush=True)
    command = [sys.executable, str(Path(__file__).with_name("load_world.py")), str(world)]
    subprocess.run([*command, "--facts", str(scale.facts), "--runs", str(scale.runs)], check=True)


# --- the server and what it takes


@dataclass
class Watched:
    """The server's process, and the most memory that it had, and the processes it started (the queue's worker)."""

    process: psutil.Popen
    peak_bytes: int = 0
    children_bytes: int = 0

    def cpu(self) -> float:
        """Seconds of processor that the server has taken."""
        with contextlib.suppress(psutil.Error):
            return sum(self.process.cpu_times()[:2])
        return float("nan")


@contextlib.contextmanager
def server() -> Iterator[tuple[int, Watched]]:
    """The explorer on a free port of this machine; it and what it started are ended with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["run", str(ROOT / "app.py"), "--server.headless=true", f"--server.port={port}", "--server.address=127.0.0.1"]
    with tempfile.TemporaryFile() as log:
        process = psutil.Popen([sys.executable, "-m", "streamlit", *arguments], cwd=ROOT, stdout=log, stderr=log)
        watched = Watched(process)
        try:
            _wait_until_up(process, port)
            with _watching(watched):
                yield port, watched
        finally:
            _end(process)


def _wait_until_up(process: psutil.Popen, port: int) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1)
            return
        if process.poll() is not None:
            raise SystemExit(f"The server ended with status {process.returncode} before it answered.")
        time.sleep(0.05)
    raise SystemExit("The server did not answer within 30 s.")


@contextlib.contextmanager
def _watching(watched: Watched) -> Iterator[None]:
    """Sample memory four times a second in a thread of its own."""
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(0.25):
            with contextlib.suppress(psutil.Error):
                watched.peak_bytes = max(watched.peak_bytes, watched.process.memory_info().rss)
                children = sum(child.memory_info().rss for child in watched.process.children(recursive=True))
                watched.children_bytes = max(watched.children_bytes, children)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _end(process: psutil.Popen) -> None:
    """The server with the worker, which would outlive it."""
    with contextlib.suppress(psutil.Error):
        ours = [*process.children(recursive=True), process]
        for one in ours:
            with contextlib.suppress(psutil.Error):
                one.terminate()
        for one in psutil.wait_procs(ours, timeout=10)[1]:
            one.kill()


# --- the visitors


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


# --- what came of it


def summary(seconds: list[float]) -> dict[str, float]:
    """Number, median, 95th percentile and longest, in seconds."""
    cut = statistics.quantiles(seconds, n=20, method="inclusive")[18] if len(seconds) > 1 else seconds[0]
    return {"n": len(seconds), "median_s": statistics.median(seconds), "p95_s": cut, "max_s": max(seconds)}


def report(scale: Scale, alone: Taken, crowd: Taken, watched: Watched, target: Path | None) -> None:
    """Print the tables; write everything as JSON."""
    print("\nA lone visitor on a fresh server:\n\n| page | s | of the server's processor s |\n|---|---|---|")
    for (page, action, answer), cpu_s in zip(alone.answers, alone.cpu_s, strict=True):
        print(f"| {page}, {action} | {answer.seconds:.2f} | {cpu_s:.2f} |")
    pages = {page: [a.seconds for p, _, a in crowd.answers if p == page] for page in PAGES}
    table = {page: summary(seconds) for page, seconds in pages.items() if seconds}
    table["all"] = summary([a.seconds for _, _, a in crowd.answers])
    print(f"\n{scale.sessions} visitors, one action in {EVERY_S:.0f} s each, {scale.seconds:.0f} s:\n")
    print("| page | actions | median s | 95% s | longest s |\n|---|---|---|---|---|")
    for page, row in table.items():
        print(f"| {page} | {row['n']} | {row['median_s']:.2f} | {row['p95_s']:.2f} | {row['max_s']:.2f} |")
    slowest = sorted(crowd.answers, key=lambda one: -one[2].seconds)[:8]
    print("\nSlowest: " + "; ".join(f"{page}, {action} {answer.seconds:.1f} s" for page, action, answer in slowest))
    failures = [f"{page}, {action}: {text}" for page, action, answer in (*alone.answers, *crowd.answers) for text in answer.failures]
    problems = [f"{page}, {action}: {text}" for page, action, answer in (*alone.answers, *crowd.answers) for text in answer.problems]
    print(f"Failures: {len(failures)}; pages that said something was wrong: {len(problems)}; late actions: {crowd.late}")
    for text in dict.fromkeys([*failures, *problems]):
        print(f"  {text}")
    memory = {"server_bytes": watched.peak_bytes, "children_bytes": watched.children_bytes}
    print(f"Fragment reruns: {crowd.fragment_runs:,}; received: {crowd.received_bytes / 1e6:,.0f} MB; processor "
          f"that the server got: {crowd.server_s:.0f} s, {crowd.server_s / len(crowd.answers):.2f} s an action; load of the machine "
          f"(1, 5, 15 minutes, {os.cpu_count()} cores): {', '.join(f'{value:.1f}' for value in os.getloadavg())}")  # fmt: skip
    print(f"Server's memory at most: {watched.peak_bytes / 2**30:.2f} GB (goal {GOAL_BYTES / 2**30:.0f}); its children's: "
          f"{watched.children_bytes / 2**30:.2f} GB")  # fmt: skip
    met = table["all"]["p95_s"] < GOAL_S and watched.peak_bytes < GOAL_BYTES and not failures
    print(f"The goal is {'met' if met else 'NOT met'}.")
    if target:
        rows = [{"page": page, "action": action, "seconds": answer.seconds} for page, action, answer in crowd.answers]
        first = [
            {"page": page, "action": action, "seconds": answer.seconds, "cpu_s": cpu_s}
            for (page, action, answer), cpu_s in zip(alone.answers, alone.cpu_s, strict=True)
        ]
        content = {
            "scale": vars(scale),
            "pages": table,
            "failures": failures,
            "problems": problems,
            "memory": memory,
            "late": crowd.late,
            "server_s": crowd.server_s,
            "load": os.getloadavg(),
        }
        target.write_text(json.dumps({**content, "first": first, "answers": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
