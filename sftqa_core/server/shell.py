"""Adds to the head of the one HTML page that Streamlit serves, so that it holds from the first paint on.

A style that a script of ours sends comes after Streamlit's own first picture, which it would move.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_END = b"</head>"
_OF_ITS_OWN = ("etag", "last-modified")  # they name Streamlit's page without our head
_ASKED_BY = (b"accept-encoding", b"if-none-match", b"if-modified-since", b"range")  # the page must come whole and as it is


class Headed:
    """The middleware. `head` is HTML of this program's, no text of anybody else's."""

    def __init__(self, app: ASGIApp, head: str):
        self.app, self.head = app, head.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or "text/html" not in Headers(scope=scope).get("accept", ""):
            await self.app(scope, receive, send)
            return
        scope = {**scope, "headers": [(name, value) for name, value in scope["headers"] if name.lower() not in _ASKED_BY]}
        start: Message | None = None
        body = b""

        async def styled(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                is_page = message["status"] == 200 and Headers(raw=message["headers"]).get("content-type", "").startswith("text/html")
                start = message if is_page else None
            if start is None:
                await send(message)
            elif message["type"] == "http.response.body":
                body += message.get("body", b"")
                if not message.get("more_body"):
                    await self._send(start, body, send)

        await self.app(scope, receive, styled)

    async def _send(self, start: Message, body: bytes, send: Send) -> None:
        body = body.replace(_END, self.head + _END, 1)
        headers = MutableHeaders(raw=list(start["headers"]))
        for name in _OF_ITS_OWN:
            del headers[name]
        headers["content-length"] = str(len(body))
        await send({**start, "headers": headers.raw})
        await send({"type": "http.response.body", "body": body})
