"""app.py behind each kind of login: what a script shows before anyone is in."""

import os
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pages._ui import entrance
from sftqa_core.server import access as guard
from sftqa_core.server.access import Access

APP = str(Path(__file__).parents[2] / "app.py")
TOKEN = "a-token-of-enough-characters"


@pytest.fixture
def installed():
    """Installs an entrance as a server does, for one test."""
    yield lambda access: guard.install(guard.Entrance(access, TOKEN)) or guard.current()
    guard.install(None)


class Context:
    """What a browser's websocket told when it connected."""

    headers = {"Host": "127.0.0.1:8501"}  # noqa: RUF012
    cookies = {"_streamlit_user": "signed"}  # noqa: RUF012


def test_a_server_without_the_guard_shows_no_page(monkeypatch):
    """However it was started: somebody's browser is there, no guard looked at it, so there is one message and nothing else."""
    monkeypatch.setattr(st, "context", Context)
    app = AppTest.from_file(APP, default_timeout=60).run()
    assert [element.value for element in app.error] == [entrance.UNGUARDED]
    assert not app.title
    assert not app.markdown


def test_on_loopback_nothing_is_asked(installed):
    """Overview opens at once."""
    installed(Access("127.0.0.1"))
    app = AppTest.from_file(APP, default_timeout=60).run()
    assert app.title[0].value == "What does fine-tuning do to what a model knows?"


def test_before_streamlits_login_there_is_a_button_and_nothing_else(installed, monkeypatch):
    """No page runs, and the door learns nothing."""
    door = installed(Access("0.0.0.0", "streamlit"))
    monkeypatch.setattr(st, "context", Context)
    app = AppTest.from_file(APP, default_timeout=60).run()
    assert [button.label for button in app.button] == ["Log in"]
    assert [title.value for title in app.title] == ["SFT-QA Explorer"]
    assert not app.markdown
    assert not door.sessions.holds(guard.user_key(Context.cookies))


def test_after_streamlits_login_the_page_is_there_and_the_door_knows(installed, monkeypatch):
    """The first script run of a user who is logged in opens downloads and uploads for that login's cookies."""
    door = installed(Access("0.0.0.0", "streamlit"))
    monkeypatch.setattr(st, "context", Context)
    monkeypatch.setattr(st, "user", {"is_logged_in": True})
    app = AppTest.from_file(APP, default_timeout=60).run()
    assert app.title[0].value == "What does fine-tuning do to what a model knows?"
    assert door.sessions.holds(guard.user_key(Context.cookies))


def test_a_server_on_an_open_address_ends_before_it_serves(monkeypatch):
    """`streamlit run app.py --server.address 0.0.0.0` without the command's flag: one sentence and no server."""
    monkeypatch.setattr(st, "get_option", {"server.address": "0.0.0.0", "server.corsAllowedOrigins": []}.get)
    monkeypatch.setenv("SFTQA_TOKEN", TOKEN)
    with pytest.raises(SystemExit, match=r"On 0\.0\.0\.0 others could open the explorer"):
        entrance.opened()
    assert "SFTQA_TOKEN" not in os.environ


def test_streamlits_login_must_be_configured(monkeypatch):
    """Without [auth] in its secrets the server does not start."""
    monkeypatch.setattr(st, "get_option", {"server.address": "0.0.0.0", "server.corsAllowedOrigins": []}.get)
    monkeypatch.setattr(st, "secrets", {})
    monkeypatch.setenv("SFTQA_LOGIN", "streamlit")
    with pytest.raises(SystemExit, match=r"needs an \[auth\] section"):
        entrance.opened()


def test_a_new_token_is_told_once_and_forgotten(installed, monkeypatch, capsys):
    """The line is printed at start; after it the entrance holds a digest alone."""
    import asyncio

    door = installed(Access("0.0.0.0", "token"))
    door.new_token = TOKEN
    monkeypatch.setattr(st, "get_option", {"server.port": 8501, "server.headless": True}.get)

    async def start() -> None:
        async with entrance.announced(None):
            assert door.new_token is None

    asyncio.run(start())
    assert capsys.readouterr().out.count(TOKEN) == 1
    assert TOKEN not in repr(vars(door))
