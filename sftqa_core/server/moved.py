"""Addresses that pages had before, which people have bookmarked: a visitor is sent on to where the page is now.

An answer of the server's and no page: a page that switches to another one would catch whoever goes back to it.
"""

from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from sftqa_core.records import STUDIES

MODELS = "models"
OLD = {**{name: study.address for name, study in STUDIES.items() if study.address != name}, "catalogue": MODELS}
# The list of models stands where the study that compares models was; only links to that one named these.
_ASKS_STUDY = frozenset(("study", "templates", "known", "relation", "published", "table"))


class Moved:
    """The middleware; whoever may not pass has been refused before."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and "text/html" in Headers(scope=scope).get("accept", ""):
            query = scope.get("query_string", b"").decode("latin-1")
            if now := moved(scope["path"].rpartition("/")[2], query):
                # relative, so that it holds under whatever path a proxy has put in front; no 301, which browsers keep for whatever is
                # served at this port next
                await RedirectResponse(f"{now}?{query}" if query else now, 302)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def moved(name: str, query: str) -> str | None:
    """Where the page of an old address is now; None for an address that holds a page."""
    if name == MODELS and _ASKS_STUDY.isdisjoint(parse_qs(query, keep_blank_values=True)):
        return None
    return OLD.get(name)
