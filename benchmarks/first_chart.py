"""How long until the first chart is in the browser: the explorer against a bare one-chart Streamlit app.

    python benchmarks/first_chart.py [--rounds 5]

Both are started in turn, round after round, on fresh servers and fresh browser contexts. "cold" runs from the start of
the server process to the first drawn chart, "warm" from opening a second tab on the running server. Prints medians
and ratios; the goal is a ratio of at most 1.2.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

BARE = """
import plotly.graph_objects as go
import streamlit as st

st.title("One chart")
st.plotly_chart(go.Figure(go.Bar(x=["L0", "L1", "L2", "L3", "L4"], y=[0.1, 0.2, 0.4, 0.6, 0.9])))
"""
DRAWN = ".js-plotly-plot .main-svg .trace"


def main() -> None:
    """Measure both apps in turn and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        compare(browser, rounds)
        browser.close()


def compare(browser: Browser, rounds: int) -> float:
    """Prints both apps' times and ratios; returns the larger ratio of medians."""
    times: dict[str, list[tuple[float, float]]] = {"bare": [], "explorer": []}
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE)
        for _ in range(rounds):
            times["bare"].append(measure(browser, [sys.executable, "-m", "streamlit", "run", str(bare)]))
            times["explorer"].append(measure(browser, [sys.executable, "-m", "streamlit", "run", "app.py"]))
    for name, values in times.items():
        print(name, "cold", [f"{cold:.2f}" for cold, _ in values], "warm", [f"{warm:.2f}" for _, warm in values])
    ratios = []
    for index, kind in enumerate(("cold", "warm")):
        bare_s, ours_s = (statistics.median(v[index] for v in times[name]) for name in ("bare", "explorer"))
        ratios.append(ours_s / bare_s)
        print(f"{kind}: bare {bare_s:.2f} s, explorer {ours_s:.2f} s, ratio {ratios[-1]:.2f}")
    return max(ratios)


def measure(browser: Browser, command: list[str]) -> tuple[float, float]:
    """Seconds to the first chart after starting the server, and in a second tab."""
    begun = time.monotonic()
    with server(command) as address:
        cold = first_chart(browser, address, begun)
        warm = first_chart(browser, address, time.monotonic())
    return cold, warm


@contextmanager
def server(command: list[str]) -> Iterator[str]:
    """Run a Streamlit server on a free port until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--server.headless=true", f"--server.port={port}", "--server.address=127.0.0.1", "--browser.gatherUsageStats=false"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=1)
                break
            except OSError:
                time.sleep(0.02)
        yield address
    finally:
        process.terminate()
        process.wait()


def first_chart(browser: Browser, address: str, begun: float) -> float:
    """Seconds from `begun` until a chart with a trace stands in the page."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector(DRAWN, state="attached", timeout=60_000)
    elapsed_s = time.monotonic() - begun
    context.close()
    return elapsed_s


def chromium() -> str:
    """Path of an installed Chrome or Chromium."""
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if path := shutil.which(name):
            return path
    raise SystemExit("No Chrome or Chromium was found on this machine; install one (Debian: apt-get install chromium).")


if __name__ == "__main__":
    main()
