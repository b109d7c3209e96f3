"""The end of a server that was told to stop: soon, also where a browser holds a connection open.

uvicorn waits for every connection without a limit (its `timeout_graceful_shutdown`, which Streamlit leaves unset). Whoever stops the
explorer, a person or a service manager, should not have to ask twice; from Python 3.12 on even a second interrupt waits.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

GRACE_S = 10.0
STILL_OPEN = "Connections of browsers were still open: ended without them."


def end_in_time(grace_s: float = GRACE_S) -> None:
    """From now on, a process that was stopped by SIGINT or SIGTERM and is still there after `grace_s` seconds ends at once.

    Nothing is lost by that: whatever the explorer keeps is on disk, and its jobs are processes of their own. To be called where
    uvicorn's own handlers are in place: during the start of its application. Elsewhere than in the main thread, where no handler can
    be set, nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        before = signal.getsignal(number)
        if callable(before):
            signal.signal(number, _timed(before, asked, grace_s))


def _timed(before: Callable[..., Any], asked: threading.Event, grace_s: float) -> Callable[..., None]:
    def stop(number: int, frame: Any) -> None:
        if not asked.is_set():
            asked.set()
            end = threading.Timer(grace_s, _end, [128 + number])
            end.daemon = True  # a server that ends by itself does not wait for it
            end.start()
        before(number, frame)

    return stop


def _end(status: int) -> None:
    print(STILL_OPEN, file=sys.stderr, flush=True)
    os._exit(status)
