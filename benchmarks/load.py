"""How the explorer bears many visitors on a full cache: 20 sessions, 200 queued jobs, 1,000 runs, a profile of 1,000,000 facts.

    python benchmarks/load.py [--small] [--world FOLDER] [--json FILE]

Sessions are scripted (load_visits.py) over Streamlit's websocket protocol (load_sessions.py), as a browser speaks it: one action
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
from dataclasses import dataclass
from pathlib import Path

import psutil
from load_visits import EVERY_S, PAGES, SMALL, Scale, Taken, visits
from load_world import queue_jobs

from sftqa_core.jobs.lease import device_lease
from sftqa_core.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
GOAL_S, GOAL_BYTES = 1.0, 2 * 2**30


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
