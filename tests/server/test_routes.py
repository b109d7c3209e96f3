"""Streamlit's own routes behind the guard, from its own table, so that a route of a later version is asked too."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-of-enough-characters"
KNOWN = ("/_stcore/health", "/_stcore/metrics", "/_stcore/host-config", "/media/a", "/_stcore/upload_file/a/a", "/_stcore/stream")


@pytest.fixture(scope="module")
def asked() -> dict:
    """What every route answered, without a session and with one."""
    environment = {**os.environ, "SFTQA_TOKEN": TOKEN, "SFTQA_LOGIN": "token", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "tests" / "server" / "closed_routes.py"), TOKEN]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert TOKEN not in done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_no_route_of_the_server_answers_without_a_session(asked):
    """Pages, static files, media, uploads, components, metrics, the agent's and the websocket: 401, or not accepted."""
    routes = dict(asked["closed"])
    for path in KNOWN:
        assert f"GET {path}" in routes or f"PUT {path}" in routes, path
    assert len(routes) > 25
    assert {route: status for route, status in routes.items() if status != 401} == {"GET /_stcore/stream": 403}


def test_the_same_routes_answer_after_the_login(asked):
    """So it was the guard that closed them: no 401 is left, the page is there and the websocket opens."""
    routes = dict(asked["open"])
    assert asked["login"] == 303
    assert 401 not in routes.values()
    assert (routes["GET /"], routes["GET /_stcore/health"], routes["GET /_stcore/stream"]) == (200, 200, 101)


def test_an_upload_needs_streamlits_own_token_too(asked):
    """XSRF protection is on: a session alone neither uploads nor removes a file."""
    routes = dict(asked["open"])
    assert (routes["PUT /_stcore/upload_file/a/a"], routes["DELETE /_stcore/upload_file/a/a"]) == (403, 403)
