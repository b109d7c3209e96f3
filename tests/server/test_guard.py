"""The middleware in front of every route, over a small application that answers everything."""

import re

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from sftqa_core.server.access import Access, Attempts, Entrance, Sessions
from sftqa_core.server.middleware import HEADERS, LOGIN, LOGOUT, Guard

TOKEN = "a-token-of-enough-characters"
PAGE = {"accept": "text/html"}
MEBIBYTE = 1024 * 1024


class Inside:
    """What the guard protects: it answers every request with the number of bytes it got, and echoes on a websocket."""

    def __init__(self):
        self.reached: list[str] = []

    async def __call__(self, scope, receive, send):
        self.reached.append(scope["path"])
        if scope["type"] == "websocket":
            socket = WebSocket(scope, receive, send)
            await socket.accept()
            while (message := await socket.receive())["type"] == "websocket.receive":
                await socket.send_bytes(message["bytes"])
            return
        size, more = 0, True
        while more:
            message = await receive()
            size, more = size + len(message.get("body", b"")), message.get("more_body", False)
        await PlainTextResponse(f"inside {size}")(scope, receive, send)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Door:
    """A guarded application and a browser in front of it."""

    def __init__(self, access: Access, url: str = "http://127.0.0.1:8501", peer: str = "127.0.0.1"):
        self.clock, self.inside = Clock(), Inside()
        token = TOKEN if access.login == "token" else None
        self.entrance = Entrance(access, token, Sessions(60, clock=self.clock), Attempts(clock=self.clock))
        self.browser = TestClient(Guard(self.inside, self.entrance), base_url=url, client=(peer, 50000), follow_redirects=False)

    def connect(self, path: str, headers: dict[str, str] | None = None):
        return self.browser.websocket_connect(str(self.browser.base_url.join(path)).replace("http", "ws", 1), headers=dict(headers or {}))

    def log_in(self, token: str = TOKEN, **fields: str):
        return self.browser.post(self.entrance.access.base + LOGIN, data={"token": token, **fields})


def shared(**more) -> Door:
    return Door(Access("0.0.0.0", "token", **more), "http://explorer.example:8501", "10.0.0.7")


# ---- on this machine alone ----
@pytest.mark.parametrize("host", ["127.0.0.1:8501", "localhost:9000", "LOCALHOST", "[::1]:8501", "127.0.0.1"])
def test_on_loopback_nothing_is_asked(host):
    """Without a token, under this machine's own names and through a tunnel from any port."""
    door = Door(Access("127.0.0.1"))
    assert door.browser.get("/media/x", headers={"host": host}).text == "inside 0"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8501",
        "localhost.evil.example:8501",
        "127.0.0.1.evil.example",
        "10.0.0.1:8501",
        "",
        "127.0.0.1@evil",
        "a/b",
    ],
)
def test_a_name_that_was_bent_to_this_machine_is_refused(host):
    """DNS rebinding: the request arrives here, and its Host header tells the name that the page was loaded under."""
    door = Door(Access("127.0.0.1"))
    answer = door.browser.get("/media/x", headers={"host": host})
    assert answer.status_code == 403
    assert answer.text.startswith("This explorer accepts the host names localhost and 127.0.0.1 only.")
    with pytest.raises(WebSocketDisconnect), door.connect("/_stcore/stream", headers={"host": host}):
        pass
    assert door.inside.reached == []


@pytest.mark.parametrize(("peer", "url"), [("10.0.0.7", "http://127.0.0.1:8501"), ("testclient", "http://127.0.0.1:8501")])
def test_another_machine_is_refused_whatever_it_says(peer, url):
    """Where the server was bound to more than its settings say (another launcher), the peer's address still counts."""
    door = Door(Access("127.0.0.1"), url, peer)
    answer = door.browser.get("/", headers={"host": "localhost:8501"})
    assert (answer.status_code, answer.text) == (403, "This explorer accepts connections from its own machine only.")
    assert door.inside.reached == []


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:8501", "file://127.0.0.1:8501", "http://["]
)
def test_another_sites_page_can_neither_connect_nor_post(origin):
    """A websocket or a changing request with an Origin that is not the Host's own is refused, another port of this machine too."""
    door = Door(Access("127.0.0.1"))
    with pytest.raises(WebSocketDisconnect) as ended, door.connect("/_stcore/stream", headers={"origin": origin}):
        pass
    assert ended.value.code == 1008
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = door.browser.request(method, "/_stcore/upload_file/a/b", headers={"origin": origin})
        assert answer.status_code == 403
        assert answer.text.startswith("This explorer accepts no requests from other sites' pages.")
    assert door.inside.reached == []


def test_the_explorers_own_page_connects():
    """With its own origin, and programs without one."""
    door = Door(Access("127.0.0.1"))
    for headers in ({"origin": "http://127.0.0.1:8501"}, {}):
        with door.connect("/_stcore/stream", headers=headers) as socket:
            socket.send_bytes(b"hello")
            assert socket.receive_bytes() == b"hello"
    assert door.browser.put("/x", headers={"origin": "http://127.0.0.1:8501"}).status_code == 200


def test_a_named_origin_may_connect():
    """What server.corsAllowedOrigins lists, exactly."""
    door = shared(origins=("https://portal.example",))
    door.log_in()
    with door.connect("/_stcore/stream", headers={"origin": "https://portal.example"}) as socket:
        socket.send_bytes(b"hello")
        assert socket.receive_bytes() == b"hello"
    with pytest.raises(WebSocketDisconnect), door.connect("/s", headers={"origin": "https://portal.example.evil"}):
        pass


# ---- behind a proxy ----
PORTAL = "https://portal.example"
CURE = f"If you open the explorer at that address, through a proxy, start it with: sftqa app --origin {PORTAL}"


def test_each_refused_address_is_said_once(capsys):
    """With the option that lets it in; by its Host where a proxy passes that on, by its Origin where it does not."""
    door = Door(Access("127.0.0.1"))
    for _ in range(3):
        answer = door.browser.get("/", headers={"host": "portal.example"})
        assert answer.text == f"This explorer accepts the host names localhost and 127.0.0.1 only. {CURE}"
        with pytest.raises(WebSocketDisconnect), door.connect("/s", headers={"origin": PORTAL}):
            pass
    told = capsys.readouterr().err
    assert told == f"Refused a request from {PORTAL}. {CURE}\nIf you do not know the address, there is nothing to do.\n"


def test_refused_addresses_cannot_flood_the_terminal(capsys):
    """Twenty are shown, and that no more are; every refused request is still told its cure."""
    door = Door(Access("127.0.0.1"))
    for number in range(100):
        assert f"--origin http://a{number}.example" in door.browser.post("/x", headers={"origin": f"http://a{number}.example"}).text
    told = capsys.readouterr().err
    assert told.count("Refused a request") == 20
    assert told.endswith("Further addresses are not shown.\n")
    assert len(door.entrance.refusals._said) == 20


@pytest.mark.parametrize(
    "origin", [b"http://a\x1b[2J.example", b"http://a\x07b", b"http://a;rm", b"http://$(x)", b"http://a/b", b"http://" + b"a" * 999]
)
def test_what_is_no_address_is_shown_nowhere(capsys, origin):
    """Neither control characters nor words of a shell reach the terminal or the answer."""
    for headers in ({"origin": origin}, {"x-forwarded-host": origin.removeprefix(b"http://"), "accept": b"text/html"}):
        answer = Door(Access("127.0.0.1")).browser.post("/x", headers=headers)
        assert answer.text in ("This explorer accepts no requests from other sites' pages.", "inside 0")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("host", ["127.0.0.1:8501", "portal.example"])
def test_a_named_address_works_whether_the_proxy_rewrites_host_or_not(host):
    """Page, upload and websocket; the websocket reaches Streamlit as one of our own."""
    door = Door(Access("127.0.0.1", origins=(PORTAL,)))
    seen = []
    inside = door.inside.__call__

    async def watched(scope, receive, send):
        seen.append([value for name, value in scope["headers"] if name == b"origin"])
        await inside(scope, receive, send)

    door.browser.app.app = watched
    assert door.browser.get("/", headers={"host": host, "x-forwarded-host": "portal.example", **PAGE}).text == "inside 0"
    assert door.browser.put("/x", headers={"host": host, "origin": PORTAL}).text == "inside 0"
    with door.connect("/s", headers={"host": host, "origin": PORTAL}) as socket:
        socket.send_bytes(b"hello")
        assert socket.receive_bytes() == b"hello"
    assert seen == [[], [PORTAL.encode()], []]
    for other in ("portal.example.evil", "evil.example", "portal.example:8080"):
        assert door.browser.get("/", headers={"host": other}).status_code == 403


def test_a_page_that_would_stay_empty_is_refused_with_its_cure():
    """A proxy says at which address it shows the page, and that address is not named; this machine's own names need no naming."""
    for door in (Door(Access("127.0.0.1")), shared()):
        answer = door.browser.get("/", headers={"x-forwarded-host": "portal.example", **PAGE})
        assert (answer.status_code, answer.text) == (
            403,
            f"This explorer is open here, but its page at {PORTAL} could not connect to it. {CURE}",
        )
    door = Door(Access("127.0.0.1"))
    for host in ("localhost:9000", "127.0.0.1", ""):
        assert door.browser.get("/", headers={"x-forwarded-host": host, **PAGE}).status_code == 200
    assert shared().browser.get("/", headers={"x-forwarded-host": "explorer.example", **PAGE}).status_code == 401


def test_behind_a_silent_proxy_the_page_shows_an_error(capsys):
    """What the page asks before its websocket tells where it is shown, and is refused alike: Streamlit then says it can't connect."""
    door = Door(Access("127.0.0.1"))
    for path in ("/_stcore/health", "/_stcore/host-config"):
        answer = door.browser.get(path, headers={"referer": f"{PORTAL}/memory"})
        assert (answer.status_code, answer.text) == (403, f"This explorer accepts no requests from other sites' pages. {CURE}")
    assert capsys.readouterr().err.count(f"Refused a request from {PORTAL}.") == 1
    for referer in ("http://127.0.0.1:8501/lab", "", "http://["):
        assert door.browser.get("/_stcore/health", headers={"referer": referer}).status_code == 200
    assert door.browser.get("/memory", headers={"referer": "https://elsewhere.example/a-link-to-us"}).status_code == 200
    named = Door(Access("127.0.0.1", origins=(PORTAL,)))
    assert named.browser.get("/_stcore/health", headers={"referer": f"{PORTAL}/memory"}).status_code == 200


def test_under_a_base_path_a_proxy_may_leave_it_out():
    """The request reaches the explorer under its base path either way, and nothing opens that was closed."""
    door = shared(base="/x")
    assert door.browser.get("/media/y").status_code == 401
    session = door.log_in().headers["set-cookie"].split(";")[0]
    for path in ("/x/media/y", "/media/y", "/xy", "/x"):
        assert door.browser.get(path, headers={"cookie": session}).status_code == 200
    assert door.inside.reached == ["/x/media/y", "/x/media/y", "/x/xy", "/x"]
    answer = shared(base="/x").browser.post("/sftqa-login", data={"token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/x/")


# ---- with a token ----
@pytest.mark.parametrize(
    "path", ["/", "/lab", "/static/js/x.js", "/media/x", "/component/x/y", "/_stcore/health", "/x", "//media/x", "/sftqa-login/x"]
)
def test_everything_is_closed_without_a_session(path):
    """No path answers, by no method; a browser gets the form and a program one sentence."""
    door = shared()
    for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH"):
        answer = door.browser.request(method, path)
        assert (answer.status_code, answer.text) == (401, "" if method == "HEAD" else "Closed. Log in first.")
    page = door.browser.get(path, headers=PAGE)
    assert page.status_code == 401
    assert '<input id="token" name="token" type="password"' in page.text
    assert door.inside.reached == []


def test_a_websocket_is_closed_without_a_session():
    """It is refused before it is accepted."""
    door = shared()
    with pytest.raises(WebSocketDisconnect) as ended, door.connect("/_stcore/stream"):
        pass
    assert ended.value.code == 1008
    assert door.inside.reached == []


def test_the_token_opens_everything_and_stands_nowhere():
    """The cookie is a random session id, out of scripts' and other sites' reach; the token is in no answer and no address."""
    door = shared()
    answer = door.log_in(next="/results?run=a&x=1")
    assert (answer.status_code, answer.headers["location"], answer.text) == (303, "/results?run=a&x=1", "")
    cookie = answer.headers["set-cookie"]
    assert re.fullmatch(r"sftqa-session-8501=[\w-]{43}; HttpOnly; Max-Age=43200; Path=/; SameSite=strict", cookie)
    assert TOKEN not in str(answer.headers)
    assert door.browser.get("/media/x").text == "inside 0"
    with door.connect("/_stcore/stream", headers={"origin": "http://explorer.example:8501"}) as socket:
        socket.send_bytes(b"hello")
        assert socket.receive_bytes() == b"hello"


def test_over_tls_the_cookie_never_travels_in_the_clear():
    """It is marked Secure."""
    door = Door(Access("0.0.0.0", "token"), "https://explorer.example", "10.0.0.7")
    assert "Secure" in door.log_in().headers["set-cookie"]


def test_a_token_in_the_address_opens_nothing():
    """Addresses are kept in logs and histories, so the token is not read from there."""
    door = shared()
    for answer in (
        door.browser.get(f"/?token={TOKEN}"),
        door.browser.post(f"{LOGIN}?token={TOKEN}"),
        door.browser.get(f"{LOGIN}?token={TOKEN}"),
    ):
        assert "set-cookie" not in answer.headers
        assert TOKEN not in answer.text
    assert door.browser.get("/").status_code == 401


@pytest.mark.parametrize(
    "onward", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a b", "/a\r\nX: y", ""]
)
def test_after_the_login_nobody_is_sent_elsewhere(onward):
    """Only a path of this explorer is followed."""
    assert shared().log_in(next=onward).headers["location"] == "/"


def test_the_form_remembers_where_one_was_going():
    """The path and its query, as text that cannot end the attribute it stands in."""
    page = shared().browser.get('/results?run=a"><script>', headers=PAGE)
    assert (
        'name="next" value="/results?run=a%22%3E%3Cscript%3E"' in page.text or 'value="/results?run=a&quot;&gt;&lt;script&gt;"' in page.text
    )
    assert "<script" not in page.text


def test_wrong_tokens_are_limited():
    """Five a minute from one address; then even the right one waits, and another address does not."""
    door = shared()
    for _ in range(5):
        answer = door.log_in("wrong-token-wrong-token")
        assert answer.status_code == 403
        assert "Wrong token." in answer.text
        assert "wrong-token" not in answer.text
    answer = door.log_in()
    assert answer.status_code == 429
    assert 60 <= int(answer.headers["retry-after"]) <= 61
    assert f"Try again in {answer.headers['retry-after']} s." in answer.text
    other = TestClient(door.browser.app, base_url="http://explorer.example:8501", client=("10.0.0.8", 1), follow_redirects=False)
    assert other.post(LOGIN, data={"token": TOKEN}).status_code == 303
    door.clock.now += 62
    assert door.log_in().status_code == 303


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"token=" + b"x" * 5000, "application/x-www-form-urlencoded"),
        (b"token=\xff", "application/x-www-form-urlencoded"),
        (b"&".join(b"a%d=1" % n for n in range(99)), "application/x-www-form-urlencoded"),
        (f'{{"token": "{TOKEN}"}}'.encode(), "application/json"),
        (b"", ""),
    ],
)
def test_an_odd_form_is_a_wrong_token(content, kind):
    """Too long, not UTF-8, too many fields, another format, nothing: none is a fault, none is let in."""
    assert shared().browser.post(LOGIN, content=content, headers={"content-type": kind}).status_code == 403


def test_another_site_cannot_log_anyone_in():
    """The form is taken from this explorer's own page only."""
    assert shared().browser.post(LOGIN, data={"token": TOKEN}, headers={"origin": "http://evil.example"}).status_code == 403


def test_logging_out_closes_everything_again():
    """Also for a copy of the cookie; a mere link logs nobody out; websockets that are open end with their next message."""
    door = shared()
    door.log_in()
    copied = dict(door.browser.cookies)
    assert "<button>Log out</button>" in door.browser.get(LOGOUT).text
    assert door.browser.get("/").status_code == 200
    with door.connect("/_stcore/stream") as socket:
        socket.send_bytes(b"before")
        assert socket.receive_bytes() == b"before"
        answer = door.browser.post(LOGOUT)
        assert "You are logged out." in answer.text
        assert 'sftqa-session-8501=""' in answer.headers["set-cookie"]
        socket.send_bytes(b"after")
        with pytest.raises(WebSocketDisconnect) as ended:
            socket.receive_bytes()
        assert ended.value.code == 1008
    door.browser.cookies.update(copied)
    assert door.browser.get("/media/x").status_code == 401


def test_a_session_ends_by_itself():
    """After its lifetime every path is closed, and an open websocket ends with the next message."""
    door = shared()
    door.log_in()
    with door.connect("/_stcore/stream") as socket:
        door.clock.now += 61
        socket.send_bytes(b"late")
        with pytest.raises(WebSocketDisconnect):
            socket.receive_bytes()
    assert door.browser.get("/media/x").status_code == 401


def test_a_forged_cookie_opens_nothing():
    """Neither the token itself nor another explorer's cookie is a session."""
    for name, value in (("sftqa-session-8501", TOKEN), ("sftqa-session-8501", ""), ("sftqa-session-8502", TOKEN)):
        door = shared()
        door.browser.cookies.set(name, value)
        assert door.browser.get("/").status_code == 401


def test_a_token_can_be_asked_for_on_loopback():
    """For a machine that other people have accounts on; the names then do not matter, the session does."""
    door = Door(Access("127.0.0.1", "token"))
    assert door.browser.get("/").status_code == 401
    door.log_in()
    assert door.browser.get("/").status_code == 200


def test_under_a_base_path_the_login_is_there_too():
    """The form, its cookie and the way on stay under the base path."""
    door = shared(base="/x")
    assert 'action="/x/sftqa-login"' in door.browser.get("/x/lab", headers=PAGE).text
    answer = door.log_in()
    assert answer.headers["location"] == "/x/"
    assert "Path=/x/" in answer.headers["set-cookie"]
    assert door.browser.get("/x/lab").text == "inside 0"


# ---- with the organisation's own login ----
STREAMLIT_USER = {"_streamlit_user": "signed"}


def test_before_streamlits_login_only_its_shell_is_open():
    """The page's shell, its scripts, the websocket with the login button and the way to the login; nothing with data."""
    door = Door(Access("0.0.0.0", "streamlit"), "http://explorer.example:8501", "10.0.0.7")
    for path in (
        "/",
        "/lab",
        "/static/js/a.js",
        "/_stcore/health",
        "/_stcore/host-config",
        "/auth/login",
        "/auth/logout",
        "/oauth2callback",
    ):
        assert door.browser.get(path).status_code == 200, path
    for path in (
        "/media/x",
        "/_stcore/upload_file/a/b",
        "/component/a/b",
        "/_stcore/bidi-components/a/b",
        "/_stcore/metrics",
        "/app/static/x",
    ):
        for cookies in ({}, STREAMLIT_USER):  # a cookie that streamlit has not vouched for counts nothing
            door.browser.cookies = cookies
            assert door.browser.get(path).status_code == 401, path
    assert door.browser.get(LOGIN).status_code == 200  # a page of the app like any other: there is no token to give here
    assert "password" not in door.browser.get(LOGIN).text


def test_after_streamlits_login_the_rest_is_open():
    """Once a script run saw the user logged in, requests with that login's cookies pass, until the time is over."""
    door = Door(Access("0.0.0.0", "streamlit"), "http://explorer.example:8501", "10.0.0.7")
    from sftqa_core.server.access import user_key

    door.entrance.sessions.open(user_key(STREAMLIT_USER))
    door.browser.cookies = STREAMLIT_USER
    assert door.browser.get("/media/x").status_code == 200
    door.clock.now += 61
    assert door.browser.get("/media/x").status_code == 401


# ---- what every answer has ----
@pytest.mark.parametrize("path", ["/", LOGIN])
def test_every_answer_has_the_security_headers(path):
    """Open or closed; the login's own policy is stricter still, and behind a login nothing stays in the browser's cache."""
    door = shared()
    answer = door.browser.get(path, headers=PAGE)
    for name, value in HEADERS.items():
        if name != "Content-Security-Policy":
            assert answer.headers[name] == value
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none';")
    assert answer.headers["Cache-Control"] == "no-store"
    local = Door(Access("127.0.0.1")).browser.get(path)
    assert local.headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert "frame-ancestors 'self'" in local.headers["Content-Security-Policy"]


def test_the_policy_lets_nothing_go_to_another_host():
    """Each directive names this host, data the page holds itself, or nothing."""
    allowed = {"'self'", "'none'", "data:", "blob:", "'unsafe-inline'", "'unsafe-eval'"}
    for directive in HEADERS["Content-Security-Policy"].split(";"):
        assert set(directive.split()[1:]) <= allowed, directive


# ---- sizes ----
def pieces(count: int):
    for _ in range(count):
        yield b"x" * MEBIBYTE


@pytest.mark.parametrize(("path", "limit"), [("/_stcore/upload_file/a/b", 4), ("/_stcore/other", 1)])
def test_a_body_over_its_limit_is_refused(path, limit):
    """Told by its length before it is read, or counted while it comes in pieces; at the limit it passes."""
    door = Door(Access("127.0.0.1", upload_mebibytes=3))
    for content in (b"x" * limit * MEBIBYTE, pieces(limit)):
        assert door.browser.put(path, content=content).text == f"inside {limit * MEBIBYTE}"
    for content in (b"x" * (limit * MEBIBYTE + 1), pieces(limit + 1)):
        answer = door.browser.put(path, content=content)
        assert (answer.status_code, answer.text) == (413, f"The request is larger than the limit of {limit * MEBIBYTE:,} bytes.")
    assert door.browser.put(path, headers={"content-length": b"\xb2"}).status_code == 413
