"""Take the pictures of the documentation, or of every page for a person to look at.

    python docs/pictures/take.py                    docs/pictures/: the overview for the README, and every page for docs/pages.md
    python docs/pictures/take.py --every FOLDER     each page, 1440 and 420 pixels wide, light and dark

Starts an explorer on the shipped results in a temporary workspace, and needs an installed Chrome or Chromium.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

from sftqa_core.records import STUDIES

ROOT = Path(__file__).parents[2]
PAGES = {  # name of the picture -> address in app.py, beside the studies'
    "learn": "learn?step=4",
    "memory": "memory",
    "lab": "lab",
    "results": "results",
    "compare": "compare?runs=amount-9203b502:atlas-llama:n60:s0,amount-9203b502:atlas-llama:n960:s0",
    "inside": "inside",
    "own-facts": "own-facts",
    "ask": "ask",
    "real-models": "real-models",
    "jobs": "jobs",
    "models": "models",
}
COLOURS = 128  # of a picture in docs/: a page has few, and takes a third of the bytes
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run"]
START_S, QUIET_S = 60, 2.5  # until the server answers; without a change before a picture is taken


@contextmanager
def explorer() -> Iterator[str]:
    """The address of an explorer in a workspace of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "SFTQA_CACHE": f"{folder}/cache", "SFTQA_STATE": f"{folder}/state"}
        command = [sys.executable, "-m", "sftqa_core.cli", "app", "--no-browser", "--port", str(port)]
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(f"http://127.0.0.1:{port}/_stcore/health")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(timeout=20)


def wait_for(address: str) -> None:
    """Raises TimeoutError."""
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(address, timeout=2)
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise TimeoutError(f"The explorer did not answer within {START_S} s.")


def take(browser: Any, address: str, path: Path, width: int, height: int, theme: str, whole: bool) -> None:
    """One page as a PNG, once its charts are drawn and nothing moves any more. Raises LookupError for an address without a page."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme, device_scale_factor=1)
    page = context.new_page()
    page.goto(address, wait_until="networkidle")
    page.wait_for_selector("h1", timeout=START_S * 1000)
    page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget]')", timeout=START_S * 1000)
    page.wait_for_timeout(QUIET_S * 1000)
    if page.get_by_text("Page not found").count():
        raise LookupError(f"The explorer has no page at {address}.")
    if whole:  # the page scrolls inside its frame, so the frame is made as tall as what it holds
        tall = page.evaluate("document.querySelector('[data-testid=stMain]')?.scrollHeight || 0")
        page.set_viewport_size({"width": width, "height": max(height, min(int(tall) + 20, 8000))})
        page.wait_for_timeout(QUIET_S * 1000)
    page.screenshot(path=path)
    context.close()


def main() -> None:
    from PIL import Image
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=Path, metavar="FOLDER", help="pictures of every page, into this folder")
    every = parser.parse_args().every
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        parser.error("No Chrome or Chromium is installed. On Debian: apt-get install chromium.")
    with explorer() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        pages = {"overview": "", **PAGES, **{study.address: study.address for study in STUDIES.values()}}
        if every is None:
            for name, where in pages.items():
                picture = Path(__file__).with_name(f"{name}.png")
                take(browser, f"{address}/{where}", picture, 1280, 860, "light", whole=False)
                with Image.open(picture) as full:
                    full.convert("RGB").quantize(COLOURS).save(picture, optimize=True)
            return
        every.mkdir(parents=True, exist_ok=True)
        for (name, where), width, theme in product(pages.items(), (1440, 420), ("light", "dark")):
            take(browser, f"{address}/{where}", every / f"{name}-{width}-{theme}.png", width, 1000, theme, whole=True)


if __name__ == "__main__":
    main()
