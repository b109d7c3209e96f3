"""The server's door as Streamlit sees it: what the guard is told at start, and what a script asks before it shows a page."""

import importlib.util
import os
import sys
import threading
import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import streamlit as st
from streamlit.errors import StreamlitSecretNotFoundError
from streamlit.runtime.pages_manager import PagesManager

from sftqa_core.errors import MissingPackage, SettingsError, SftqaError
from sftqa_core.jobs import current_executor
from sftqa_core.server import access as guard
from sftqa_core.server.access import LOGIN_VARIABLE, TOKEN_VARIABLE, Access, address, checked, notice, take_token
from sftqa_core.server.ending import end_in_time
from sftqa_core.server.middleware import LOGOUT

UNGUARDED = "This server was started in a way that leaves the explorer open to other machines. Start it with: sftqa app"


def opened() -> guard.Entrance:
    """The entrance of the server that imports app.py. Ends the process with a sentence where that would not be safe."""
    PagesManager.uses_pages_directory = False  # no page may run but through app.py (see pages/_ui/__init__.py)
    token, new = None, False
    try:
        access = _access()
        if access.login == "token":
            token, new = take_token(os.environ, sys.stdout)
        if access.login == "streamlit":
            _check_auth()
    except SftqaError as error:
        sys.exit(str(error))
    finally:
        os.environ.pop(TOKEN_VARIABLE, None)
    made = guard.Entrance(access, token)
    made.new_token = token if new else None
    guard.install(made)
    return made


@asynccontextmanager
async def announced(app: Any) -> AsyncIterator[dict[str, Any]]:
    """Around the server's life: says what is open to whom, opens a browser window where one is wanted, and ends in time."""
    entrance = guard.current()
    if entrance is not None:
        port, tls = st.get_option("server.port"), bool(st.get_option("server.sslCertFile"))
        print(notice(entrance.access, port, tls, entrance.new_token), flush=True)
        entrance.new_token = None
        # on a terminal without a screen, a text browser would take the terminal over
        screen = sys.platform != "linux" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
        if screen and not st.get_option("server.headless"):
            threading.Thread(target=webbrowser.open, args=(address(entrance.access, port, tls),), daemon=True).start()
    threading.Thread(target=_wake, daemon=True).start()
    end_in_time()
    yield {}


def _wake() -> None:
    """Resume the queue where the last server, or the machine, left it; nobody has to open a page for that."""
    with suppress(SftqaError):  # the Jobs page tells
        current_executor().wake()


def let_in() -> list[Any]:
    """Stops a script that must not show anything; returns what a login adds to the table of pages."""
    entrance = guard.current()
    if entrance is None:
        if st.context.headers.get("Host"):  # somebody's browser, and no guard was there to look at it
            st.error(UNGUARDED)
            st.stop()
        return []
    if entrance.access.login == "none":
        return []
    if entrance.access.login == "streamlit":
        if not st.user.get("is_logged_in"):
            st.title("SFT-QA Explorer")
            st.button("Log in", on_click=st.login, type="primary")
            st.stop()
        if (key := guard.user_key(st.context.cookies)) is not None:
            entrance.sessions.open(key)  # from now on media, downloads and uploads are open to this login's cookies
    return [st.Page(_log_out, title="Log out", url_path="log-out")]


def _log_out() -> None:
    st.title("Log out")
    st.write("Running jobs continue.")
    entrance = guard.current()
    if entrance is not None and entrance.access.login == "token":
        st.link_button("Log out", entrance.access.base + LOGOUT, type="primary")
    else:
        st.button("Log out", on_click=st.logout, type="primary")


def _access() -> Access:
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    access = Access(
        host=st.get_option("server.address") or "",
        login=os.environ.pop(LOGIN_VARIABLE, "none"),
        base=f"/{base}" if base else "",
        origins=tuple(origin.strip() for origin in st.get_option("server.corsAllowedOrigins")),
        upload_mebibytes=st.get_option("server.maxUploadSize"),
    )
    return checked(access, st.get_option("server.port"))


def _check_auth() -> None:
    try:
        configured = "auth" in st.secrets
    except StreamlitSecretNotFoundError:
        configured = False
    if not configured:
        raise SettingsError(
            "--login streamlit needs an [auth] section in .streamlit/secrets.toml (see Streamlit's st.login), and there is none."
        )
    if importlib.util.find_spec("authlib") is None:
        raise MissingPackage("Streamlit's login needs Authlib, which is not installed. Install: pip install 'streamlit[auth]'")
