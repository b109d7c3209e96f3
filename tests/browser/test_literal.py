"""In a real browser: foreign text is shown as it stands, wherever a page puts it."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser.foreign_texts import PLACES, TEXTS
from tests.browser.serving import wait_until_up

pytestmark = pytest.mark.browser
MARKUP = "a, b, i, em, strong, h1, h2, code, pre, img, ol, table, blockquote, del, hr, sup, .katex, [role=img], [style*=color]"
OWN = {"bold": "strong", "expander": "[role=img]"}  # what the place itself brings


@pytest.fixture
def address(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(Path(__file__).with_name("literal_app.py"))]
    command += ["--server.port", str(port), "--server.address", "127.0.0.1", "--server.headless", "true"]
    log = tmp_path / "server.log"
    with log.open("wb") as handle:
        server = subprocess.Popen(command, cwd=tmp_path, stdout=handle, stderr=subprocess.STDOUT)
    try:
        wait_until_up(f"http://127.0.0.1:{port}", server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=20)


def seen(text: str) -> str:
    """As a person reads it: white space as single spaces."""
    return " ".join(text.replace("\u2060", "").split())


def test_foreign_text_is_shown_as_it_stands(browser, address):
    """Markdown, HTML, formulas, icons, emoji, addresses and arrows: in eight places each, the letters and nothing made of them."""
    page = browser.new_page(viewport={"width": 1400, "height": 3000})
    page.goto(address)
    page.wait_for_selector(".st-key-end", state="attached", timeout=60_000)
    page.wait_for_function("document.querySelectorAll('[data-testid=stSkeleton]').length === 0")
    wrong = []
    for number, text in enumerate(TEXTS):
        for place in PLACES:
            box = page.query_selector(f".st-key-{place}-{number}")
            body = box.query_selector("summary") or box if place == "expander" else box
            shown = seen(body.inner_text()).removesuffix(" 1" if place == "metric" else "\0").replace("keyboard_arrow_right", "").strip()
            wanted = " ".join([seen(text)] * (2 if place == "list" else 1))
            kinds = [kind for kind in MARKUP.split(", ") if kind != OWN.get(place) and not (place in ("badge", "list") and "color" in kind)]
            made = [kind for kind in kinds if box.query_selector(f"[data-testid=stMarkdownContainer] {kind}")]
            if shown != wanted or made:
                wrong.append((place, text, shown, made))
    assert wrong == []
