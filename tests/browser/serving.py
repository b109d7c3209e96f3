"""A running explorer, any Chrome or Chromium that is installed, and what tests in a browser ask of a page."""

import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
FOLDERS = ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run"]
PAGE_MS = 120_000  # what a page shows, on a busy machine
END_S = 60  # a script that counts something ends at its next element
RUN_MS = 420_000  # a run of 60 examples on a slow, busy machine
_waits = itertools.count()
_SETTLED = """wait => {
  if (window.settledFor !== wait) [window.settledFor, window.settledAt] = [wait, 0];
  const app = document.querySelector("[data-testid=stApp]");
  if (!app || app.dataset.testScriptState !== "notRunning" || app.dataset.testConnectionState !== "CONNECTED") window.settledAt = 0;
  else window.settledAt ||= performance.now();
  return window.settledAt && performance.now() - window.settledAt > 400;
}"""


def installed_browser() -> str:
    """Path of a browser."""
    found = [path for name in BROWSERS if (path := shutil.which(name))] + [path for path in FOLDERS if Path(path).exists()]
    if not found:
        pytest.fail("No Chrome or Chromium is installed. On Debian: apt-get install chromium.")
    return found[0]


@contextmanager
def running_explorer(folder: Path, **environment: str) -> Iterator[str]:
    """The address of an explorer that runs until the block ends; its log must stay free of errors and deprecations."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "server.log"
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), "--server.port", str(port), "--server.headless", "true"]
    told = {**os.environ, "PYTHONFAULTHANDLER": "1", **environment}  # aborted, it says what its threads were at
    with log.open("wb") as handle:
        server = subprocess.Popen(command, cwd=ROOT, stdout=handle, stderr=subprocess.STDOUT, env=told)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_up(address, server, log)
        yield address
    finally:
        _end(server, log)
    text = log.read_text(errors="replace")
    assert "Traceback" not in text, text[-3000:]
    assert "deprecat" not in text.lower(), text[-3000:]


def _end(server: subprocess.Popen, log: Path) -> None:
    server.terminate()
    try:
        server.wait(timeout=END_S)
    except subprocess.TimeoutExpired:
        server.send_signal(signal.SIGABRT)
        server.wait()
        said = log.read_text(errors="replace")
        pytest.fail(f"The explorer did not end within {END_S} s of SIGTERM:\n{said[:2000]}\n[...]\n{said[-6000:]}")


def wait_until_up(address: str, server: subprocess.Popen, log: Path, patience_s: float = 60) -> None:
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if server.poll() is not None:
            pytest.fail(f"The explorer ended at once:\n{log.read_text(errors='replace')[-3000:]}")
        try:
            urllib.request.urlopen(f"{address}/_stcore/health", timeout=2)
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"The explorer did not answer within {patience_s:.0f} s:\n{log.read_text(errors='replace')[-3000:]}")


def watched(page: Any) -> list[str]:
    """Everything a page asks of hosts other than this machine, as it happens."""
    outside: list[str] = []
    page.on("request", lambda asked: outside.append(asked.url) if re.match(r"https?://(?!127\.0\.0\.1)", asked.url) else None)
    return outside


def settled(page: Any) -> None:
    """Wait until the page's script is over and stays so, from now on: a click may take a moment to reach it."""
    page.wait_for_function(_SETTLED, arg=next(_waits), timeout=PAGE_MS, polling=100)


def sound(page: Any) -> None:
    """The page shows no exception and is not wider than the window."""
    from playwright.sync_api import expect

    expect(page.get_by_test_id("stException")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{page.url} scrolls sideways"
