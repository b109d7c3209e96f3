"""A small proxy on loopback that does to requests what Codespaces, JupyterHub and reverse proxies do: one request a connection."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Proxy:
    """Passes each connection on to a port of this machine.

    `host` takes the place of the Host header (None: it is passed on), `strip` is removed from the path, `tells` adds X-Forwarded-Host.
    """

    def __init__(self, port: int, host: str | None = None, strip: str = "", tells: bool = False):
        self._port, self._host, self._strip, self._tells = port, host, strip, tells
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listener.accept()[0],), daemon=True).start()

    def _serve(self, browser: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += browser.recv(65536)
        with browser, socket.create_connection(("127.0.0.1", self._port)) as server, suppress(OSError):
            server.sendall(self._rewritten(head))
            threading.Thread(target=_pass_on, args=(browser, server), daemon=True).start()
            _pass_on(server, browser)

    def _rewritten(self, head: bytes) -> bytes:
        lines, rest = head.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n"), head.split(b"\r\n\r\n", 1)[1]
        method, path, version = lines[0].split(" ")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        public = headers["Host"]
        headers["Host"] = self._host or public
        if self._tells:
            headers |= {"X-Forwarded-Host": public, "X-Forwarded-Proto": "https"}
        if "Upgrade" not in headers:
            headers["Connection"] = "close"
        path = path.removeprefix(self._strip) or "/"
        return "\r\n".join([f"{method} {path} {version}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode() + rest


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while content := source.recv(65536):
            target.sendall(content)
        target.shutdown(socket.SHUT_WR)


def ask(port: int, path: str, **headers: str) -> tuple[int, str]:
    """Status and body of a GET with exactly these headers (underscores are dashes)."""
    return _asked(port, path, {"Connection": "close", "Accept": "text/html", **headers}, whole=True)


def connect(port: int, path: str, origin: str, host: str) -> int:
    """The status that answers a websocket's opening: 101 when it is let in."""
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    return _asked(port, path, {"Host": host, "Origin": origin, **upgrade}, whole=False)[0]


def _asked(port: int, path: str, headers: dict[str, str], whole: bool) -> tuple[int, str]:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        lines = [f"GET {path} HTTP/1.1", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()), "", ""]
        connection.sendall("\r\n".join(lines).encode())
        answer = b""
        while (whole or b"\r\n\r\n" not in answer) and (content := connection.recv(65536)):
            answer += content
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode(errors="replace")
