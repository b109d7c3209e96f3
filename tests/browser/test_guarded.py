"""A browser in front of the guard: the login, everything that must work behind it, and nothing that leaves this machine."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from tests.browser.serving import PAGE_MS

pytestmark = pytest.mark.browser

TOKEN = "a-token-of-enough-characters"
PAGES = (
    "", "learn", "memory", "lab", "results", "inside", "own-facts", "jobs", "models", "how-much-data", "which-data", "which-model",
    "what-moves", "what-if", "real-models",
)  # fmt: skip
CHART = ".js-plotly-plot .main-svg"


class Watched:
    """What a page asks of others, what its policy stopped, what it was refused, and which websockets it opened."""

    def __init__(self, page):
        self.outside: list[str] = []
        self.stopped: list[str] = []
        self.refused: list[str] = []
        self.sockets: list[str] = []
        page.on(
            "request", lambda asked: self.outside.append(asked.url) if re.match(r"(https?|wss?)://(?!127\.0\.0\.1)", asked.url) else None
        )
        page.on("websocket", lambda opened: self.sockets.append(opened.url))
        page.on("console", lambda said: self.stopped.append(said.text) if "Content Security Policy" in said.text else None)
        page.on("response", lambda answer: self.refused.append(answer.url) if answer.status in (401, 403) else None)

    def assert_clean(self):
        """Nothing went out, nothing was stopped, and the websockets are this server's."""
        assert self.outside == []
        assert self.stopped == []
        assert self.sockets
        assert all(url.startswith("ws://127.0.0.1:") for url in self.sockets)


@pytest.fixture
def guarded(tmp_path, workspace):
    """The address of an explorer that asks for a token; its log must not hold it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path / "server.log"
    command = [sys.executable, "-m", "sftqa_core.cli", "app", "--login", "token", "--port", str(port), "--no-browser"]
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, "SFTQA_TOKEN": TOKEN})
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_closed(address, server)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=20)
    told = log.read_text(errors="replace")
    assert "with the token" in told
    assert TOKEN not in told
    assert "Traceback" not in told, told[-3000:]


def _wait_until_closed(address: str, server: subprocess.Popen, patience_s: float = 60) -> None:
    end = time.monotonic() + patience_s
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/_stcore/health", timeout=2)
        except urllib.error.HTTPError as error:
            if error.code == 401:
                return
            raise
        except OSError:
            time.sleep(0.2)
    pytest.fail("The explorer did not answer.")


def test_login_charts_downloads_uploads_and_logout(guarded, browser, tmp_path):
    """A wrong token is told; the right one opens the page asked for, where chart, websocket, download and upload work, until log-out."""
    from playwright.sync_api import expect

    context = browser.new_context(viewport={"width": 1440, "height": 1000}, accept_downloads=True)
    page = context.new_page()
    page.goto(f"{guarded}/memory")
    page.get_by_label("Token").fill("wrong-token-wrong-token")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("status")).to_have_text("Wrong token.")
    page.get_by_label("Token").fill(TOKEN)
    watched = Watched(page)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(f"{guarded}/memory")
    expect(page.locator(CHART).first).to_be_visible()
    (cookie,) = [one for one in context.cookies() if one["name"].startswith("sftqa-session-")]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert TOKEN not in str(context.cookies()) + page.content() + page.url
    assert "sftqa-session" not in page.evaluate("document.cookie")

    page.get_by_role("button", name="Add your own facts").click()
    with page.expect_download(timeout=PAGE_MS) as waiting:
        page.get_by_role("button", name="Download this example").click()
    example = tmp_path / "facts.csv"
    waiting.value.save_as(example)
    assert example.read_text().startswith("relation,")
    media = waiting.value.url

    with page.expect_response(re.compile("/_stcore/upload_file/"), timeout=PAGE_MS) as uploading:
        page.locator("input[type=file]").first.set_input_files(example)
    assert uploading.value.status == 204
    page.get_by_role("button", name="Use these facts").click()
    expect(page.get_by_text(re.compile(r"facts read")).first).to_be_visible()
    assert watched.refused == []
    watched.assert_clean()

    stranger = browser.new_context()
    for path in ("/", "/memory", "/_stcore/health", "/static/", media.removeprefix(guarded)):
        assert stranger.request.get(f"{guarded}{path}").status == 401, path
    stolen = context.cookies()
    page.goto(f"{guarded}/log-out")
    with context.expect_page() as opening:
        page.get_by_test_id("stMain").get_by_role("link", name="Log out").click(timeout=PAGE_MS)  # not the navigation's
    opening.value.get_by_role("button", name="Log out").click()
    expect(opening.value.get_by_text("You are logged out.")).to_be_visible()
    stranger.add_cookies(stolen)
    assert stranger.request.get(media).status == 401
    page.reload()
    expect(page.get_by_label("Token")).to_be_visible()


@pytest.mark.journey
def test_a_lost_session_leads_back_to_the_form(guarded, browser):
    """Without its cookie (it ended, or was removed) the next page is the form, and it leads back to where one was."""
    from playwright.sync_api import expect

    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{guarded}/jobs")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
    context.clear_cookies()
    page.goto(f"{guarded}/jobs?x=1")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(re.compile(r"/jobs\?x=1$"))
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()


@pytest.mark.journey
def test_no_page_asks_anything_of_another_host(shipped, browser):
    """On every page: no request leaves this machine, the policy has nothing to stop, and no icon or font is missing."""
    from playwright.sync_api import expect

    for name in PAGES:
        page = browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
        watched = Watched(page)
        page.goto(f"{shipped}/{name}")
        expect(page.get_by_role("heading", level=1).first).to_be_visible()
        page.wait_for_load_state("networkidle", timeout=PAGE_MS)
        page.wait_for_timeout(1500)
        watched.assert_clean()
        assert watched.refused == []
        assert page.evaluate("[...document.fonts].filter(font => font.status === 'error').map(font => font.family)") == [], name
        page.context.close()


def test_another_sites_page_cannot_use_the_explorer(shipped, browser):
    """A page from another origin on this machine can neither open the websocket, read a file, nor show the explorer in a frame."""
    from http.server import HTTPServer, SimpleHTTPRequestHandler
    from threading import Thread

    class Blank(SimpleHTTPRequestHandler):
        def do_GET(self):
            body = f"<!doctype html><title>other</title><iframe src='{shipped}/'></iframe>".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    other = HTTPServer(("127.0.0.1", 0), Blank)
    Thread(target=other.serve_forever, daemon=True).start()
    try:
        page = browser.new_context().new_page()
        said: list[str] = []
        page.on("console", lambda line: said.append(line.text))
        page.goto(f"http://127.0.0.1:{other.server_port}/")
        connected = page.evaluate(
            """url => new Promise(done => { const socket = new WebSocket(url, ["streamlit"]);
            socket.onopen = () => done("open"); socket.onerror = () => done("refused"); })""",
            f"{shipped.replace('http', 'ws')}/_stcore/stream",
        )
        read = page.evaluate("url => fetch(url).then(answer => answer.text(), () => 'refused')", f"{shipped}/_stcore/health")
        post = page.evaluate("url => fetch(url, {method: 'POST', mode: 'no-cors'}).then(() => 'sent', () => 'refused')", f"{shipped}/x")
        page.wait_for_timeout(1000)
    finally:
        other.shutdown()
        other.server_close()
    assert (connected, read, post) == ("refused", "refused", "refused")
    assert any("frame" in line and ("frame-ancestors" in line or "X-Frame-Options" in line) for line in said), said
