"""The end of a server that was told to stop: soon, also where a browser holds a connection open.

uvicorn waits for every connection without a limit (its `timeout_graceful_shutdown`, which Streamlit leaves unset) and gives up waiting
at a second interrupt. Who stops the explorer, a person or a service manager, should not have to ask twice.
"""

import signal
import threading
from collections.abc import Callable
from typing import Any

GRACE_S = 10.0


def end_in_time(grace_s: float = GRACE_S) -> None:
    """From now on, a stop by SIGINT or SIGTERM is followed by an interrupt after `grace_s` seconds.

    To be called where uvicorn's own handlers are in place: during the start of its application. Elsewhere than in the main thread,
    where no handler can be set, nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        before = signal.getsignal(number)
        if callable(before):
            signal.signal(number, _insisting(before, asked, grace_s))


def _insisting(before: Callable[..., Any], asked: threading.Event, grace_s: float) -> Callable[..., None]:
    def stop(number: int, frame: Any) -> None:
        if not asked.is_set():
            asked.set()
            again = threading.Timer(grace_s, signal.raise_signal, [signal.SIGINT])
            again.daemon = True  # a server that ends by itself does not wait for it
            again.start()
        before(number, frame)

    return stop
