"""Asks every route of Streamlit's own table from outside and prints what answered: {"closed": [[route, status], ...], ...}.

A process of its own, because Streamlit's runtime exists once a process. Run by test_routes.py.
"""

import importlib
import json
import re
import sys
from typing import Any

import streamlit as st
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect


def table(app: Any) -> list[tuple[str, str, str]]:
    """(kind, method, a path that matches) for every route the server has."""
    found = []
    for route in app._starlette_app.routes:
        path = re.sub(r"\{[^}]*\}", "a", getattr(route, "path", "") or "/")
        if isinstance(route, WebSocketRoute):
            found.append(("websocket", "GET", path))
        elif isinstance(route, Mount):
            found += [("http", "GET", f"{path.rstrip('/')}/{end}") for end in ("", "index.html", "static/js/a.js", "lab", "favicon.png")]
        else:
            assert isinstance(route, Route), f"a new kind of route: {route!r}"
            found += [("http", method, path) for method in sorted(route.methods or {"GET"})]
    return found


def main() -> None:
    """Every route, without and with a session, at the server as app.py builds it."""
    for option, value in (("server.address", "0.0.0.0"), ("server.enableStaticServing", True), ("server.scriptHealthCheckEnabled", True)):
        st.config.set_option(option, value)
    app = importlib.import_module("app").app
    with TestClient(app, base_url="http://explorer.example:8501", client=("10.0.0.7", 1), follow_redirects=False) as browser:
        browser.get("/")  # builds the table
        routes = table(app)
        closed = [[f"{method} {path}", status(browser, kind, method, path)] for kind, method, path in routes]
        login = browser.post("/sftqa-login", data={"token": sys.argv[1]})
        opened = [[f"{method} {path}", status(browser, kind, method, path)] for kind, method, path in routes]
    print(json.dumps({"closed": closed, "login": login.status_code, "open": opened}))


def status(browser: TestClient, kind: str, method: str, path: str) -> int:
    """The answer's status; of a websocket 101 when it opens and 403 when not."""
    if kind == "http":
        return browser.request(method, path).status_code
    try:
        with browser.websocket_connect(f"ws://explorer.example:8501{path}", headers={"origin": "http://explorer.example:8501"}):
            return 101
    except WebSocketDisconnect:
        return 403


if __name__ == "__main__":
    main()
