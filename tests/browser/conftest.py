"""A real explorer in a workspace of its own, and any Chrome or Chromium that is installed."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
FOLDERS = ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run"]


def installed_browser() -> str:
    found = [path for name in BROWSERS if (path := shutil.which(name))] + [path for path in FOLDERS if Path(path).exists()]
    if not found:
        pytest.fail("No Chrome or Chromium is installed. On Debian: apt-get install chromium.")
    return found[0]


@pytest.fixture
def explorer(tmp_path, workspace):
    """The address of a running explorer; its log must stay free of errors and deprecations."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path / "server.log"
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), "--server.port", str(port), "--server.headless", "true"]
    with log.open("wb") as handle:
        server = subprocess.Popen(command, cwd=ROOT, stdout=handle, stderr=subprocess.STDOUT, env=dict(os.environ))
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_up(address, server, log)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=20)
    text = log.read_text(errors="replace")
    assert "Traceback" not in text, text[-3000:]
    assert "deprecat" not in text.lower(), text[-3000:]


@pytest.fixture
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=installed_browser(), args=QUIET)
        yield started
        started.close()


def _wait_until_up(address: str, server: subprocess.Popen, log: Path, patience_s: float = 60) -> None:
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
