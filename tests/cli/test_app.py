"""`sftqa app`: what it starts, what it refuses to start, and what the server it becomes says and keeps to itself."""

from __future__ import annotations

import re
import shutil
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from sftqa_core.cli import main as command
from sftqa_core.cli.main import main
from tests.server.live_server import Server

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-of-enough-characters"


@pytest.fixture
def started(monkeypatch) -> list[tuple[list[str], dict[str, str]]]:
    """What would have taken this process's place: (command, environment)."""
    found: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(command.os, "execve", lambda path, words, environment: found.append((words, environment)))
    monkeypatch.delenv("SFTQA_TOKEN", raising=False)
    return found


def app(*words: str) -> object:
    with pytest.raises(SystemExit) as ended:
        main(["app", *words])
    return ended.value.code


def test_by_default_it_listens_on_this_machine_without_a_login(started):
    """127.0.0.1, and no login is asked for even where a token happens to be set."""
    app("--port", "8611", "--no-browser")
    words, environment = started[0]
    assert words[1:4] == ["-m", "streamlit", "run"]
    assert words[4] == str(ROOT / "app.py")
    assert words[5:] == ["--server.port=8611", "--server.address=127.0.0.1", "--server.headless=true"]
    assert environment["SFTQA_LOGIN"] == "none"


def test_a_proxys_address_and_base_path_reach_the_server(started):
    """As Streamlit's own settings, so that the guard and Streamlit know the same names."""
    app("--origin", "https://hub.example/", "--origin", "http://10.0.0.7:8080", "--base-path", "user/ada/proxy/8501/")
    assert started[0][0][7:] == [
        "--server.headless=false",
        "--server.baseUrlPath=/user/ada/proxy/8501",
        "--server.corsAllowedOrigins=https://hub.example",
        "--server.corsAllowedOrigins=http://10.0.0.7:8080",
    ]


def test_an_address_that_is_none_is_refused(started, capsys):
    """With an example of one."""
    assert app("--origin", "hub.example") == 2
    assert "--origin must be an address without a path, as https://explorer.example" in capsys.readouterr().err
    assert started == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "my-machine"])
@pytest.mark.parametrize("login", [(), ("--login", "token")])
def test_another_address_needs_the_flag(started, capsys, monkeypatch, host, login):
    """Refused with the tunnel as advice, also when a login was asked for and a token is there."""
    monkeypatch.setenv("SFTQA_TOKEN", TOKEN)
    assert app("--host", host, *login) == 2
    told = capsys.readouterr().err
    assert f"On {host} others could open the explorer" in told
    assert "ssh -L 8501:127.0.0.1:8501" in told
    assert started == []


def test_with_the_flag_a_token_is_asked_for(started, monkeypatch):
    """It travels in the environment: everybody on the machine can read a process's arguments."""
    monkeypatch.setenv("SFTQA_TOKEN", TOKEN)
    app("--host", "0.0.0.0", "--share")
    words, environment = started[0]
    assert "--server.address=0.0.0.0" in words
    assert (environment["SFTQA_LOGIN"], environment["SFTQA_TOKEN"]) == ("token", TOKEN)
    assert TOKEN not in " ".join(words)


def test_the_organisations_login_can_be_asked_for(started):
    """Then no token is needed."""
    app("--host", "0.0.0.0", "--share", "--login", "streamlit")
    assert started[0][1]["SFTQA_LOGIN"] == "streamlit"


def test_a_login_can_be_asked_for_on_loopback(started, monkeypatch):
    """For a machine that others have accounts on."""
    monkeypatch.setenv("SFTQA_TOKEN", TOKEN)
    app("--login", "token")
    assert started[0][1]["SFTQA_LOGIN"] == "token"
    assert "--server.address=127.0.0.1" in started[0][0]


@pytest.mark.parametrize(
    ("words", "token", "told"),
    [
        (("--share",), TOKEN, "Add the address: --host 0.0.0.0"),
        (("--share", "--host", "0.0.0.0"), None, "A new token is shown on a terminal only"),
        (("--share", "--host", "0.0.0.0"), "short", "at least 16 characters, got 5"),
        (("--login", "token"), None, "SFTQA_TOKEN is not set"),
    ],
)
def test_what_cannot_be_safe_is_refused(started, capsys, monkeypatch, words, token, told):
    """Flags that contradict each other, no token where none can be shown, one that can be guessed."""
    if token is not None:
        monkeypatch.setenv("SFTQA_TOKEN", token)
    assert app(*words) == 2
    assert told in capsys.readouterr().err
    assert started == []


def test_help_says_what_the_flags_do(capsys):
    """--share, --login and the variable are told."""
    assert app("--help") == 0
    told = " ".join(capsys.readouterr().out.split())
    for words in ("--share allow other machines to connect to --host, after a login", "--login {token,streamlit}", "SFTQA_TOKEN", "ssh -L"):
        assert words in told


# ---- real servers ----
@pytest.fixture
def serve(tmp_path):
    made: list[Server] = []

    def start(*words: str, **environment: str) -> Server:
        made.append(Server(tmp_path, list(words), **environment))
        return made[-1]

    yield start
    for server in made:
        server.process.kill()
        server.process.wait()


def test_the_default_server_answers_this_machine_and_no_bent_name(serve):
    """It says what is open to whom, answers 127.0.0.1, refuses another Host, and listens on no other address."""
    server = serve("sftqa_core.cli", "app", "--port", "PORT", "--no-browser")
    assert server.get("/_stcore/health") == (200, "ok")
    assert server.get("/", host="evil.example")[0] == 403
    told = server.stop()
    assert f"SFT-QA Explorer: http://127.0.0.1:{server.port}" in told
    assert "Open to: every account on this machine." in told
    assert f"ssh -L {server.port}:127.0.0.1:{server.port}" in told
    assert "Traceback" not in told


def test_a_server_with_a_token_is_closed_and_never_tells_it(serve):
    """Closed without, open with; the token is in no argument and no log line, after right and wrong tries."""
    words = ("sftqa_core.cli", "app", "--host", "0.0.0.0", "--share", "--port", "PORT", "--no-browser")
    server = serve(*words, SFTQA_TOKEN=TOKEN, STREAMLIT_LOGGER_LEVEL="debug")
    assert server.get("/_stcore/health")[0] == 401
    assert server.get("/sftqa-login", data=b"token=wrong-wrong-wrong-wrong")[0] == 403
    assert server.get("/sftqa-login", data=f"token={TOKEN}".encode())[0] in (200, 401)  # urllib follows and keeps no cookie
    arguments = Path(f"/proc/{server.process.pid}/cmdline")
    if arguments.exists():
        assert "streamlit" in arguments.read_text()
        assert TOKEN not in arguments.read_text()
    told = server.stop()
    assert "with the token" in told
    assert "The connection is not encrypted." in told
    assert TOKEN not in told
    assert "wrong-wrong" not in told


@pytest.mark.parametrize("address", [("--server.address=0.0.0.0",), ("--server.address=",)])
def test_streamlit_itself_does_not_open_the_explorer_to_others(serve, address):
    """`streamlit run app.py` on an open address ends with the advice before anything is served."""
    server = serve("streamlit", "run", str(ROOT / "app.py"), "--server.port=PORT", *address)
    assert server.process.wait(timeout=60) == 1
    told = server.text()
    assert re.search(r"(On 0\.0\.0\.0|On every address of this machine) others could open the explorer", told)
    assert "ssh -L" in told
    assert "Traceback" not in told


def test_another_launcher_does_not_open_the_explorer_either(serve, tmp_path):
    """uvicorn on every address with the settings still at loopback: a request that came over another address is refused."""
    words = ("uvicorn", "app:app", "--app-dir", str(ROOT), "--host", "0.0.0.0", "--port", "PORT")
    shutil.copytree(ROOT / ".streamlit", tmp_path / ".streamlit")
    server = serve(*words, PYTHONPATH=str(ROOT))
    assert server.get("/_stcore/health") == (200, "ok")
    outer = _outer_address()
    if outer is None:
        pytest.skip("this machine has no other address")
    asked = urllib.request.Request(f"http://{outer}:{server.port}/_stcore/health", headers={"Host": "localhost"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(asked, timeout=10)


def _outer_address() -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it only asks which address would be used
        except OSError:
            return None
        return probe.getsockname()[0]
