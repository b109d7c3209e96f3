"""A server that was told to stop ends, whatever its visitors hold open."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sftqa_core.server import ending

ROOT = Path(__file__).parents[2]
APP = """
import asyncio, sys
from contextlib import asynccontextmanager
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from sftqa_core.server.ending import end_in_time

@asynccontextmanager
async def around(app):
    if sys.argv[2] != "never":
        end_in_time(float(sys.argv[2]))
    yield

async def held(request):
    print("held", flush=True)
    await asyncio.sleep(3600)
    return PlainTextResponse("")

uvicorn.run(Starlette(routes=[Route("/", held)], lifespan=around), port=int(sys.argv[1]), log_level="error")
"""


def _stopped(tmp_path: Path, grace: str, number: signal.Signals, patience_s: float) -> bool:
    """Whether a server with a connection that asks for ever is over within `patience_s` of the signal."""
    script = tmp_path / "serving.py"
    script.write_text(APP)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(script), str(port), grace]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as server:
        try:
            visitor = _connected(port, server)
            visitor.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            assert server.stdout.readline() == b"held\n"
            server.send_signal(number)
            try:
                assert server.wait(patience_s) == 128 + number
            except subprocess.TimeoutExpired:
                return False
            visitor.close()
            return True
        finally:
            server.kill()


def _connected(port: int, server: subprocess.Popen) -> socket.socket:
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=5)
        except OSError:
            time.sleep(0.1)
    pytest.fail("The server did not start.")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_held_connection_does_not_hold_the_server(tmp_path, number):
    assert _stopped(tmp_path, "0.2", number, 30)


def test_without_it_the_connection_would(tmp_path):
    """The case above is a real one: uvicorn alone waits."""
    assert not _stopped(tmp_path, "never", signal.SIGTERM, 2)


def test_what_stood_before_is_called_with_what_came(monkeypatch):
    """The server's own handlers still learn of every signal, and a process that is over by then is not ended twice."""
    ended, called = [], []
    monkeypatch.setattr(ending, "_end", ended.append)
    outside = {number: signal.signal(number, lambda *told: called.append(told[0])) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ending.end_in_time(0.05)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        end = time.monotonic() + 10
        while not ended and time.monotonic() < end:
            time.sleep(0.01)
        assert called == [signal.SIGTERM, signal.SIGINT]
        assert ended == [128 + signal.SIGTERM]
    finally:
        for number, handler in outside.items():
            signal.signal(number, handler)
