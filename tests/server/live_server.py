"""A real explorer's server in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path


class Server:
    """A process that serves the explorer, its output in a file."""

    def __init__(self, tmp_path: Path, words: list[str], **environment: str):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = tmp_path / "server.log"
        words = [word.replace("PORT", str(self.port)) for word in words]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *words], cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **environment}
            )

    def get(self, path: str, host: str | None = None, data: bytes | None = None) -> tuple[int, str]:
        """Status and text, once the server is up."""
        end = time.monotonic() + 180
        while True:
            asked = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, {"Host": host} if host else {})
            try:
                with urllib.request.urlopen(asked, timeout=10) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, error.read().decode()
            except OSError:
                assert self.process.poll() is None, self.text()
                assert time.monotonic() < end, self.text()
                time.sleep(0.2)

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self) -> str:
        """Ends it as Ctrl-C does; returns all it said."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=60)
        return self.text()
