"""kill -9 of the explorer's server, and two of them at once: jobs do not notice, and a new server goes on with the queue."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from tests.amount import in_full
from tests.faults.test_kills import check, kill, settled, start, victims
from tests.jobs.job_processes import until


@contextmanager
def server() -> Iterator[subprocess.Popen]:
    """A running explorer; it is ended, unless the test was quicker."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "sftqa_core.cli", "app", "--no-browser", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ.copy())
    try:
        until(lambda: _answers(port) or process.poll() is not None, 60)
        assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def test_killing_the_server(executor, tmp_path, harm, often, chance):
    """With its worker and without: the next server that starts goes on, before anybody opens a page."""
    row = harm("kill -9 of the server, half the time with its worker and job")
    ids: list[str] = []
    for number in range(often(20)):
        with server() as process:
            ids += start(executor, tmp_path, 3)
            time.sleep(chance.random() * 0.3)
            process.kill()
            if number % 2 == 0:
                kill(victims(executor, "worker") + victims(executor, "job"))
        with server():
            until(lambda ids=tuple(ids): all(executor.store.get(job_id).state == "done" for job_id in ids), 60)
        row.done("the next server went on with the queue; every job done once")
    check(executor, tmp_path, ids)


@in_full
def test_two_servers_on_one_cache(executor, tmp_path, harm, often):
    """Both serve, one worker works, and killing either takes no job."""
    row = harm("two servers on one cache and queue, one of them killed")
    for _ in range(often(10)):
        with server() as first, server():
            ids = start(executor, tmp_path, 4)
            first.kill()
            settled(executor, ids)
            row.done("every job done once")
    assert not (tmp_path / "double").exists()
