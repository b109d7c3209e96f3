"""Behind a proxy: what is refused says how it would be let in, and with that it works. Real server, real proxy, both on loopback."""

from __future__ import annotations

import pytest

from tests.server.live_server import Server
from tests.server.rewriting_proxy import Proxy, ask, connect

PUBLIC = "name-8501.app.github.dev"
BASE = "/user/ada/proxy/8501"
APP = ("sftqa_core.cli", "app", "--port", "PORT", "--no-browser")


@pytest.fixture
def serve(tmp_path):
    """Starts the explorer with these options, and waits until it answers at this path."""
    made: list[Server] = []

    def start(*words: str, base: str = "") -> Server:
        made.append(Server(tmp_path, [*APP, *words]))
        assert made[-1].get(f"{base}/_stcore/health") == (200, "ok")
        return made[-1]

    yield start
    for server in made:
        server.process.kill()
        server.process.wait()


@pytest.fixture
def behind():
    """Puts a proxy in front of a server."""
    made: list[Proxy] = []

    def start(server: Server, **rules) -> Proxy:
        made.append(Proxy(server.port, **rules))
        return made[-1]

    yield start
    for proxy in made:
        proxy.close()


def test_an_unnamed_proxy_is_refused_with_its_cure(serve, behind):
    """One that rewrites Host (Codespaces) and one that passes it on (JupyterHub): page and terminal name the address and the option."""
    server = serve()
    cure = f"start it with: sftqa app --origin https://{PUBLIC}"
    silent, telling, passing = behind(server, host="localhost:8501"), behind(server, host="localhost:8501", tells=True), behind(server)
    assert connect(silent.port, "/_stcore/stream", f"https://{PUBLIC}", PUBLIC) == 403
    for proxy, reason in (
        (telling, f"its page at https://{PUBLIC} could not connect to it"),
        (passing, "accepts the host names localhost"),
    ):
        status, text = ask(proxy.port, "/", Host=PUBLIC)
        assert status == 403
        assert reason in text
        assert cure in text
    told = server.stop()
    assert told.count(f"Refused a request from https://{PUBLIC}.") == 1
    assert cure in told
    assert "Traceback" not in told


def test_a_named_proxy_works_under_its_base_path(serve, behind):
    """Whether the proxy rewrites Host or not, and whether it passes the base path on or leaves it out. Other origins stay out."""
    server = serve("--origin", f"https://{PUBLIC}", "--base-path", BASE, base=BASE)
    for host in (None, "localhost:8501"):
        for strip in ("", BASE):
            proxy = behind(server, host=host, strip=strip, tells=True)
            for page in ("/", "/memory"):
                status, text = ask(proxy.port, f"{BASE}{page}", Host=PUBLIC)
                assert (status, "<title>Streamlit</title>" in text) == (200, True), (host, strip, page, text[:300])
            assert ask(proxy.port, f"{BASE}/_stcore/health", Host=PUBLIC) == (200, "ok")
            assert connect(proxy.port, f"{BASE}/_stcore/stream", f"https://{PUBLIC}", PUBLIC) == 101, (host, strip)
            assert connect(proxy.port, f"{BASE}/_stcore/stream", "https://evil.example", PUBLIC) == 403
    told = server.stop()
    assert f"Also through https://{PUBLIC}{BASE}. Whoever that address lets in is asked nothing here; --login token asks." in told
    assert told.count("Refused a request") == 1
    assert "Refused a request from https://evil.example." in told
