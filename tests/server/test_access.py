"""What is asked for at start: refused when it is not safe, and told in plain words when it is."""

import io

import pytest

from sftqa_core.errors import SettingsError
from sftqa_core.server.access import Access, address, checked, checked_base, checked_origin, is_loopback, notice, take_token

TOKEN = "a-token-of-enough-characters"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("host", "local"),
    [
        *[(name, True) for name in ("127.0.0.1", "127.8.8.8", "localhost", "LOCALHOST", "::1", "[::1]")],
        *[(name, False) for name in ("", "0.0.0.0", "::", "10.0.0.1", "localhost.example", "127.0.0.1.example", "127.1", "2130706433")],
    ],
)
def test_only_what_can_mean_nothing_else_is_this_machine(host, local):
    """Loopback addresses and `localhost`; neither names that may resolve there nor odd spellings of an address."""
    assert is_loopback(host) is local


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", ""])
def test_an_open_address_without_a_login_is_refused_with_advice(host):
    """The refusal names the tunnel, the flag, the variable and the organisation's login."""
    with pytest.raises(SettingsError) as refused:
        checked(Access(host), port=8611)
    told = str(refused.value)
    for words in ("ssh -L 8611:127.0.0.1:8611 ", "--share", "SFTQA_TOKEN", "--login streamlit"):
        assert words in told


@pytest.mark.parametrize("access", [Access("127.0.0.1"), Access("0.0.0.0", "token"), Access("::", "streamlit"), Access("::1", "token")])
def test_loopback_and_every_login_are_let_through(access):
    """What is safe comes back unchanged."""
    assert checked(access) is access


def test_an_unknown_login_is_refused():
    """Only the three that exist."""
    with pytest.raises(SettingsError, match="must be one of none, token, streamlit, got 'basic'"):
        checked(Access("0.0.0.0", "basic"))


def test_the_token_leaves_the_environment():
    """It is taken from SFTQA_TOKEN and no process started later inherits it."""
    environment = {"SFTQA_TOKEN": f" {TOKEN}\n", "HOME": "/"}
    assert take_token(environment, io.StringIO()) == (TOKEN, False)
    assert environment == {"HOME": "/"}


def test_a_short_token_is_refused_without_being_repeated():
    """Fifteen characters are too few; the message counts them and does not show them."""
    with pytest.raises(SettingsError, match="at least 16 characters, got 15") as refused:
        take_token({"SFTQA_TOKEN": "secret-secret-1"}, Terminal())
    assert "secret-secret-1" not in str(refused.value)


def test_a_new_token_is_made_for_a_terminal_only():
    """On a terminal 256 random bits; into a file or pipe, which somebody keeps, none at all."""
    first, new = take_token({}, Terminal())
    second, _ = take_token({}, Terminal())
    assert new
    assert len(first) == 43
    assert first != second
    with pytest.raises(SettingsError, match=r"SFTQA_TOKEN is not set.*terminal only"):
        take_token({}, io.StringIO())


def test_what_is_open_to_whom_is_said():
    """Loopback: this machine and the tunnel. Shared: who needs what, that it is not encrypted, and the tunnel as advice."""
    alone = notice(Access("127.0.0.1"), 8501)
    assert "http://127.0.0.1:8501" in alone
    assert "Open to: every account on this machine. Anyone with access can start jobs as you." in alone
    assert "ssh -L 8501:127.0.0.1:8501" in alone
    shared = notice(Access("0.0.0.0", "token"), 8501, new_token=TOKEN)
    assert "everyone who can reach 0.0.0.0, port 8501 with the token" in shared
    assert "The connection is not encrypted." in shared
    assert "ssh -L 8501:127.0.0.1:8501" in shared
    assert f"Token (shown only once): {TOKEN}" in shared
    encrypted = notice(Access("10.1.2.3", "streamlit", base="/x"), 8501, tls=True)
    assert "https://10.1.2.3:8501/x" in encrypted
    assert "with a login of your organisation" in encrypted
    assert "not encrypted" not in encrypted
    assert "Token" not in encrypted


def test_an_ipv6_address_is_written_as_browsers_want_it():
    """In brackets."""
    assert address(Access("::1"), 8501) == "http://[::1]:8501"


def test_uploads_may_be_larger_than_other_requests():
    """The configured size and its form for an upload, one mebibyte for everything else."""
    access = Access("127.0.0.1", upload_mebibytes=3, base="/x")
    assert access.body_limit("/x/_stcore/upload_file/a/b") == 4 * 1024 * 1024
    assert access.body_limit("/_stcore/upload_file/a/b") == access.body_limit("/x/sftqa-login") == 1024 * 1024


def test_an_origin_is_written_as_browsers_send_it():
    """Without a path or the usual port, in lower case."""
    typed = ("https://Portal.example/", "https://portal.example:443", "http://10.0.0.7:8080", "http://[::1]:80")
    assert [checked_origin(text) for text in typed] == ["https://portal.example"] * 2 + ["http://10.0.0.7:8080", "http://[::1]"]


@pytest.mark.parametrize("text", ["portal.example", "https://portal.example/x", "ftp://a", "https://*", "null", "", "https://a b"])
def test_what_is_no_origin_is_refused(text):
    """The refusal shows what one looks like and where a path goes."""
    with pytest.raises(SettingsError, match=r"without a path, as https://explorer\.example.*--base-path"):
        checked_origin(text)


def test_a_base_path_may_be_typed_with_or_without_slashes():
    """Parts of a plain path only."""
    assert [checked_base(text) for text in ("", "/", "x", "/user/ada@b.c/proxy/8501/")] == ["", "", "/x", "/user/ada@b.c/proxy/8501"]
    for text in ("/a/../b", "a b", "a//b", "/a?b", "/%2e"):
        with pytest.raises(SettingsError, match="must be a path of plain parts"):
            checked_base(text)
