"""Processes of a training that only pretend to train, for test_several.py."""

import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection


def fails(rank: int, connection: Connection, failure: Exception | None, ends: Callable[[int], None], with_: int) -> None:
    """The second process sends `failure`, if there is one, and ends as told; the first would go on for a minute."""
    if rank == 0:
        time.sleep(60)
    if failure is not None:
        connection.send(failure)
    ends(with_)


def exits(status: int) -> None:
    """With a status."""
    sys.exit(status)


def killed(number: int) -> None:
    """By a signal."""
    os.kill(os.getpid(), number)


def ends_with_parent(rank: int, connection: Connection) -> None:
    """Sends its id and does nothing but what every process of a training does beside its work."""
    from sftqa_core.training.distributed import end_with_parent

    connection.send(os.getpid())
    end_with_parent()


def starts_and_is_killed(connection: Connection) -> None:
    """Sends the id of a process that it has started, and is killed."""
    from sftqa_core.training import distributed as several

    several._START = "fork"  # from a process with a single thread, which this one is
    with several.Group.started(1, ends_with_parent) as group:
        connection.send(group.connections[0].recv())
        os.kill(os.getpid(), signal.SIGKILL)
