"""A count service on this machine, as infini-gram's answers (its api/api_server.py), well or badly.

`counts` gives the number of each text, `together` that of a subject with any answer. `trouble` says how it fails:

    busy       429 with Retry-After, `refusals` times        down       503, `refusals` times
    internal   500 with an error in JSON, `refusals` times   invalid    400: no such index
    error      200 with an error                             text       no JSON
    list       JSON that is no count                         answer     `answer` in place of a count
    redirect   sends everyone elsewhere                      large      an answer without end
    silent     accepts, and says nothing                     drip       byte by byte

With `only` the trouble is for queries that hold that text alone.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

INDEX = "v4_piletrain_llama"
LARGE = 50_000  # matches beyond which AND gives an estimate


@dataclass
class FakeCounts:
    """What it counts and how; `asked` holds every request's body, `times` when it came."""

    counts: dict[str, int] = field(default_factory=dict)
    together: dict[str, int] = field(default_factory=dict)
    trouble: str = ""
    only: str = ""
    refusals: int = 1_000
    retry: str = ""
    answer: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    port: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def queries(self) -> list[str]:
        return [body["query"] for body in self.asked]

    def counted(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The status and the answer."""
        query = body["query"]
        if body.get("index") != INDEX:
            return 400, {"error": f"[Flask] Invalid index: {body.get('index')}"}
        clauses = [part.split(" OR ") for part in query.split(" AND ")]
        plain = " AND " not in query and " OR " not in query
        if plain and {"max_diff_tokens", "max_clause_freq"} & body.keys():
            return 500, {"error": "[Flask] Internal server error: count() got an unexpected keyword argument"}
        if max(map(len, clauses)) > 4 or len(clauses) > 4:
            return 200, {"error": "Please enter at most 4 terms in each disjunctive clause!"}
        sums = [sum(self.counts.get(text, 0) for text in clause) for clause in clauses]
        count = sums[0] if len(clauses) == 1 else self.together.get(clauses[0][0], 0)
        approx = not plain and max(sums) > LARGE
        return 200, {"count": count, "approx": approx, "latency": 0.7, "token_ids": [], "tokens": []}


@contextlib.contextmanager
def counting(**settings: Any) -> Iterator[FakeCounts]:
    """Start one on a free port of loopback."""
    fake = FakeCounts(**settings)

    class Handler(_Handler):
        counts_of = fake

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield fake
    finally:
        fake.over.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    counts_of: FakeCounts
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        fake = self.counts_of
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fake.asked.append(body)
        fake.times.append(time.monotonic())
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if fake.trouble and fake.only in body["query"] and fake.refusals > 0:
                fake.refusals -= 1
                self._fail(fake)
            else:
                status, told = fake.counted(body)
                self._send(status, json.dumps(told).encode())

    def log_message(self, *_: object) -> None:
        pass

    def _fail(self, fake: FakeCounts) -> None:
        if fake.trouble in ("silent", "drip", "large"):
            return self._slowly(fake)
        self._send(
            {"busy": 429, "down": 503, "internal": 500, "invalid": 400, "redirect": 307}.get(fake.trouble, 200),
            {
                "internal": b'{"error": "[Flask] Internal server error: 7"}',
                "invalid": b'{"error": "[Flask] Invalid index: x"}',
                "error": b'{"error": "Please limit your input to <= 500 tokens!"}',
                "text": b"<html>Log in</html>",
                "list": b"[1, 2]",
                "answer": fake.answer.encode(),
            }.get(fake.trouble, b""),
            {"Retry-After": fake.retry} if fake.retry else {"Location": "http://127.0.0.1:1/"} if fake.trouble == "redirect" else {},
        )

    def _slowly(self, fake: FakeCounts) -> None:
        self.close_connection = True
        if fake.trouble == "silent":
            fake.over.wait(30)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(10**9))
        self.end_headers()
        piece, pause_s = (b" ", 0.05) if fake.trouble == "drip" else (b" " * 100_000, 0.0)
        while not fake.over.wait(pause_s):
            self.wfile.write(piece)

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
