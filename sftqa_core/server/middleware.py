"""The guard in front of every route: pages, static files, the websocket, media, downloads, uploads, metrics, whatever comes.

Closed unless opened: a route that a later Streamlit adds is closed without anybody thinking of it. Pure ASGI, as a
middleware that answers before Streamlit's own ones run (`st.App(middleware=...)`, Streamlit's documented way). Whoever has not
logged in sees one form, with nothing fetched from anywhere.

Without a login (loopback only) it still refuses what a web page elsewhere could bring about: a host name that merely
resolves to this machine (DNS rebinding), a foreign origin, a peer that is not this machine.
"""

import re
from contextlib import suppress
from html import escape
from urllib.parse import parse_qs, quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from sftqa_core.errors import SettingsError
from sftqa_core.server.access import SESSION_S, Entrance, checked_origin, is_loopback, sender, session_cookie

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · SFT-QA Explorer</title><link rel="icon" href="data:,">
<style>
:root {{ color-scheme: light dark; font-family: system-ui, sans-serif; }}
body {{ display: grid; place-items: center; min-height: 90vh; margin: 0 1rem; }}
form {{ display: grid; gap: .8rem; max-width: 22rem; width: 100%; }}
h1 {{ font-size: 1.4rem; margin: 0; }} p {{ margin: 0; }}
input, button {{ font: inherit; padding: .6rem; }}
</style></head>
<body><form method="post" action="{action}"><h1>SFT-QA Explorer</h1><p role="status">{message}</p>{fields}</form></body></html>
"""
_TOKEN = (
    '<label for="token">Token</label>'
    '<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>'
    '<input type="hidden" name="next" value="{onward}"><button>Log in</button>'
)
ASK = "Ask the person who started this explorer for the token."
LOGIN, LOGOUT = "/sftqa-login", "/sftqa-logout"
POLICY = (  # nothing may be asked of another host; Streamlit's charts compile code and start workers
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; frame-src 'self' data: blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
OWN_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; frame-ancestors 'none'"
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "SAMEORIGIN",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# What streamlit's own login needs before anyone is logged in: the empty shell of a page, its scripts, and the websocket on
# which app.py shows the login button and nothing else.
_SHELL = re.compile(r"/|/[\w-]+|/favicon\.\w+|/static/.+|/_stcore/(health|host-config|stream)|/auth/(login|logout)|/oauth2callback")
_INSIDE = re.compile(r"/(?![/\\])[^\s\\]*")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_FORM_BYTES = 4096
_CLOSED = "Closed. Log in first."


class _TooLarge(Exception):
    """A request body went over its limit while it was read."""


class Guard:
    """The middleware. `entrance` says who may pass."""

    def __init__(self, app: ASGIApp, entrance: Entrance):
        self.app, self.entrance, self.access = app, entrance, entrance.access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, websocket, or the server's start and end (which pass)."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        scope = _under(scope, self.access.base)
        if scope["type"] == "http":
            send = _with_headers(send, self.access.login != "none")
        answer = self._misdirected(scope, headers)
        if answer is None and self.access.login == "token" and scope["type"] == "http":
            answer = await self._own_page(scope, headers, receive)
        answer = answer or self._closed(scope, headers)
        if answer is not None:
            await (answer if scope["type"] == "http" else WebSocketClose(1008))(scope, receive, send)
        elif scope["type"] == "http":
            await self._limited(scope, receive, send, headers)
        else:
            await self._watched(self._same_origin(scope, headers), receive, send, headers)

    def _misdirected(self, scope: Scope, headers: Headers) -> Response | None:
        """A refusal of what cannot come from a person at this explorer's own page."""
        hosts = headers.getlist("host")
        if self.access.login == "none":
            if not (_is_this_machine(scope.get("client")) and _is_this_machine(scope.get("server"))):
                return PlainTextResponse("This explorer accepts connections from its own machine only.", 403)
            if len(hosts) != 1 or not (is_loopback(_host_name(hosts[0])) or self.access.named(hosts[0])):
                sent_to = f"{_forwarded_scheme(headers)}://{hosts[0]}" if len(hosts) == 1 else ""
                return self._refusal("This explorer accepts the host names localhost and 127.0.0.1 only.", sent_to)
        if self._leads_nowhere(scope, headers, hosts):
            shown = _forwarded_origin(headers)
            return self._refusal(f"This explorer is open here, but its page at {shown} could not connect to it.", shown)
        changes = scope["type"] == "websocket" or scope["method"] not in _SAFE_METHODS
        origin = headers.get("origin")
        if not changes and _path(scope, self.access.base).startswith("/_stcore/"):
            # What the page asks first: refused like its websocket, so that it shows an error and does not stay empty.
            changes, origin = True, _referring_origin(headers)
        if changes and origin is not None and origin not in self.access.origins and not _is_origin_of(origin, hosts):
            return self._refusal("This explorer accepts no requests from other sites' pages.", origin)
        return None

    def _refusal(self, sentence: str, origin: str) -> Response:
        """Status 403 and what to do, which the terminal is told too: a browser does not show why a websocket was refused."""
        cure = self.entrance.refusals.refused(origin)
        return PlainTextResponse(f"{sentence} {cure}".rstrip(), 403)

    def _leads_nowhere(self, scope: Scope, headers: Headers, hosts: list[str]) -> bool:
        """Whether a proxy shows the page under a host that it hides from us (it rewrites Host): the page would stay empty,
        because its websocket comes with an origin that nobody named."""
        if scope["type"] != "http" or "text/html" not in headers.get("accept", ""):
            return False
        shown = urlsplit(_forwarded_origin(headers)).hostname
        own = [_host_name(host).lower() for host in hosts] + [urlsplit(origin).hostname for origin in self.access.origins]
        return bool(shown) and not is_loopback(str(shown)) and shown not in own

    def _same_origin(self, scope: Scope, headers: Headers) -> Scope:
        """A websocket that a named origin opens, as one of our own: Streamlit would ask another host for this machine's outer
        address before it looks at the names. Its own login compares the true origin and needs it."""
        if self.access.login == "streamlit" or headers.get("origin") not in self.access.origins:
            return scope
        return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"origin"]}

    def _closed(self, scope: Scope, headers: Headers) -> Response | None:
        """A refusal of anyone who has not logged in; None for those who may pass."""
        path = _path(scope, self.access.base)
        if self.access.login == "none" or self.entrance.sessions.holds(self._key(scope, headers)):
            return None
        if self.access.login == "streamlit":
            return None if _SHELL.fullmatch(path) else PlainTextResponse(_CLOSED, 401)
        if scope["type"] == "http" and scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            query = scope.get("query_string", b"").decode("latin-1")
            return self._form(quote(scope["path"]) + (f"?{query}" if query else ""), status=401)
        return PlainTextResponse(_CLOSED, 401)

    async def _own_page(self, scope: Scope, headers: Headers, receive: Receive) -> Response | None:
        """Logging in and out; None for any other path."""
        path, start = _path(scope, self.access.base), f"{self.access.base}/"
        if path == LOGIN:
            return await self._log_in(scope, headers, receive) if scope["method"] == "POST" else self._form(start)
        if path != LOGOUT:
            return None
        if scope["method"] != "POST":  # a form, because another page could make the browser follow a mere link
            return self._page(LOGOUT, "Log out", "Running jobs continue.", "<button>Log out</button>")
        self.entrance.sessions.close(self._key(scope, headers))
        answer = self._form(start, "You are logged out.")
        answer.delete_cookie(session_cookie(_port(scope)), path=start)
        return answer

    async def _log_in(self, scope: Scope, headers: Headers, receive: Receive) -> Response:
        """The answer to a token: into a session, or back to the form. The token is in the body only, and is kept nowhere."""
        fields = await _form_fields(headers, receive)
        onward = fields.get("next", "")
        onward = onward if _INSIDE.fullmatch(onward) else f"{self.access.base}/"
        who = sender(scope.get("client"))
        if wait_s := self.entrance.attempts.wait_s(who):
            answer: Response = self._form(onward, f"Too many wrong tokens. Try again in {wait_s} s.", 429)
            answer.headers["Retry-After"] = str(wait_s)
            return answer
        if not self.entrance.knows(fields.get("token", "")):
            self.entrance.attempts.failed(who)
            return self._form(onward, "Wrong token.", 403)
        answer = RedirectResponse(onward, 303)
        answer.set_cookie(
            session_cookie(_port(scope)),
            self.entrance.sessions.open(),
            max_age=int(SESSION_S),
            path=f"{self.access.base}/",
            secure=scope.get("scheme") == "https",
            httponly=True,
            samesite="strict",
        )
        return answer

    def _form(self, onward: str, message: str = ASK, status: int = 200) -> Response:
        """The form that takes the token; `onward` is the path to go to then."""
        return self._page(LOGIN, "Log in", message, _TOKEN.format(onward=escape(onward)), status)

    def _page(self, path: str, title: str, message: str, fields: str, status: int = 200) -> Response:
        page = _PAGE.format(title=title, action=escape(self.access.base + path), message=escape(message), fields=fields)
        return HTMLResponse(page, status, headers={"Content-Security-Policy": OWN_POLICY})

    def _key(self, scope: Scope, headers: Headers) -> str | None:
        cookies: dict[str, str] = {}
        for piece in headers.get("cookie", "").split(";"):
            name, _, value = piece.strip().partition("=")
            cookies[name] = value
        return self.entrance.key(cookies, _port(scope))

    async def _limited(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        """Pass a request on, and end it with status 413 as soon as its body is larger than allowed."""
        limit = self.access.body_limit(scope["path"])
        seen, started = 0, False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _TooLarge
            return message

        async def passed_on(message: Message) -> None:
            nonlocal started
            if seen <= limit:  # what the inner application makes of the broken body (a 500) is not passed on
                started = True
                await send(message)

        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > limit:
            seen = limit + 1
        else:
            with suppress(_TooLarge):
                await self.app(scope, counted, passed_on)
        if seen > limit and not started:
            await PlainTextResponse(f"The request is larger than the limit of {limit:,} bytes.", 413)(scope, receive, send)

    async def _watched(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        """Pass a websocket on, and close it with the next message after its session ended."""
        key = self._key(scope, headers)
        if not self.entrance.sessions.holds(key):  # nobody is asked here, or streamlit shows its login on it
            await self.app(scope, receive, send)
            return
        closed = False

        async def heard() -> Message:
            message = await receive()
            if message["type"] == "websocket.receive" and not self.entrance.sessions.holds(key):
                await passed_on({"type": "websocket.close", "code": 1008})
                return {"type": "websocket.disconnect", "code": 1008}
            return message

        async def passed_on(message: Message) -> None:
            nonlocal closed
            if closed:
                return
            if not self.entrance.sessions.holds(key):
                closed, message = True, {"type": "websocket.close", "code": 1008}
            await send(message)

        await self.app(scope, heard, passed_on)


def _with_headers(send: Send, private: bool) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=list(message.get("headers", [])))
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if private:  # a shared computer's browser keeps no copy of what the login protects
                headers.setdefault("Cache-Control", "no-store")
            message = {**message, "headers": headers.raw}
        await send(message)

    return with_headers


async def _form_fields(headers: Headers, receive: Receive) -> dict[str, str]:
    """The first value of each field of a small posted form; nothing at all of anything else."""
    body, more = b"", headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    while more and len(body) <= _FORM_BYTES:
        message = await receive()
        body += message.get("body", b"")
        more = message["type"] == "http.request" and message.get("more_body", False)
    if len(body) > _FORM_BYTES:
        return {}
    try:
        return {name: values[0] for name, values in parse_qs(body.decode("utf-8"), max_num_fields=8).items()}
    except ValueError:  # not UTF-8, or too many fields
        return {}


def _under(scope: Scope, base: str) -> Scope:
    """The request under the base path: some proxies leave it out when they pass a request on (JupyterHub's /proxy/PORT)."""
    if not base or scope["path"] == base or scope["path"].startswith(f"{base}/"):
        return scope
    return {**scope, "path": base + scope["path"], "raw_path": base.encode() + (scope.get("raw_path") or quote(scope["path"]).encode())}


def _forwarded_scheme(headers: Headers) -> str:
    return "http" if headers.get("x-forwarded-proto", "").split(",")[0].strip().lower() == "http" else "https"


def _forwarded_origin(headers: Headers) -> str:
    """The address that a proxy says it shows us at; empty where it does not say so, or says what is none."""
    host = headers.get("x-forwarded-host", "").split(",")[0].strip()
    try:
        return checked_origin(f"{_forwarded_scheme(headers)}://{host}") if host else ""
    except SettingsError:
        return ""


def _referring_origin(headers: Headers) -> str | None:
    """The origin of the page that asks, which a browser says of a page's own requests (Referrer-Policy: same-origin)."""
    try:
        page = urlsplit(headers.get("referer", ""))
    except ValueError:
        return None
    return f"{page.scheme}://{page.netloc}" if page.netloc else None


def _path(scope: Scope, base: str) -> str:
    path: str = scope["path"]
    return (path.removeprefix(base) or "/") if path == base or path.startswith(f"{base}/") else path


def _port(scope: Scope) -> int:
    return (scope.get("server") or ("", 0))[1] or 0


def _is_this_machine(peer: tuple[str, int] | None) -> bool:
    return peer is not None and is_loopback(str(peer[0]))


def _host_name(host: str) -> str:
    try:
        address = urlsplit(f"//{host}")
        return (address.hostname or "") if address.netloc == host and "@" not in host else ""
    except ValueError:
        return ""


def _is_origin_of(origin: str, hosts: list[str]) -> bool:
    """Whether an Origin header names the very host (and port) the request was sent to."""
    try:
        address = urlsplit(origin)
    except ValueError:
        return False
    return address.scheme in ("http", "https") and [address.netloc.lower()] == [host.lower() for host in hosts]
