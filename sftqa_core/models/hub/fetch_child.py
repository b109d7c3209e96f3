"""A process of its own that fetches one commit of a model, so that it can be ended at any moment: see fetch.py.

    python -m sftqa_core.models.hub.fetch_child

It gets {"repository", "commit", "prefix" of the files' names} and answers, as processes.py says: {"ready": true} when its libraries are
loaded, {"done": bytes on the disk, "moved": bytes off the network} now and then, {"waits_s": seconds} when the hub asks it to wait, and
at the end {"folder": ...} or {"error": sentence, "kind": class, "number": of the disk's refusal}.
"""

import signal
import threading
import time
from typing import Any

from sftqa_core.artifacts import storing
from sftqa_core.errors import ModelUnavailable, SftqaError
from sftqa_core.models.hub.hub_cache import UNWANTED, WANTED, busy, hub_cache, hub_errors, wait_s
from sftqa_core.processes import asked, say

LONGEST_WAIT_S = 20  # a hub that asks for a longer wait ends the download, and the person decides
PIECE_BYTES = 1 << 16  # written at once: the client's own 10 MB look like a standstill on a slow line
_REPORT_EVERY_S = 0.3
_counted = {"done": 0, "moved": 0}
_BARS = {"huggingface_hub.snapshot_download": "done", "huggingface_hub.snapshot_download.transfer": "moved"}


def main() -> None:
    """Fetch what the first line asks for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends this process
    wanted = asked()
    threading.Thread(target=_report, daemon=True).start()
    try:
        end: dict[str, Any] = {"folder": _fetched(wanted["repository"], wanted["commit"], wanted["prefix"])}
    except SftqaError as error:
        end = {"error": str(error), "kind": type(error).__name__, "number": getattr(error, "errno", None)}
    say(end)


def _fetched(repository: str, commit: str, prefix: str) -> str:
    with hub_errors(repository), storing(hub_cache()):
        from huggingface_hub import constants, snapshot_download

        constants.DOWNLOAD_CHUNK_SIZE = PIECE_BYTES
        _report_waits()
        say({"ready": True})
        return snapshot_download(
            repository,
            revision=commit,
            cache_dir=hub_cache(),
            allow_patterns=[prefix + pattern for pattern in WANTED],
            ignore_patterns=[prefix + pattern for pattern in UNWANTED],
            max_workers=4,
            tqdm_class=_counter(),
        )


def _report_waits() -> None:
    """The client waits as long as the hub says, up to five times for every file: report that, and give up beyond LONGEST_WAIT_S."""
    from huggingface_hub.utils import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    def look(response: Any) -> None:
        seconds = wait_s(response)
        if seconds is None:
            return
        if seconds > LONGEST_WAIT_S:
            raise ModelUnavailable(busy("The hub", response.status_code, seconds))
        say({"waits_s": seconds})

    def client() -> Any:
        made = default_client_factory()
        made.event_hooks = {**made.event_hooks, "response": [*made.event_hooks.get("response", ()), look]}
        return made

    set_client_factory(client)


def _counter() -> type:
    """A progress bar that draws nothing and counts bytes."""
    from huggingface_hub.utils import tqdm

    lock = threading.Lock()

    class Counter(tqdm):
        def __init__(self, *values: Any, **settings: Any):
            self._counts = _BARS.get(settings.get("name", ""))
            super().__init__(*values, **{**settings, "disable": True})

        def update(self, n: float | None = 1) -> None:
            if self._counts:
                with lock:
                    _counted[self._counts] += int(n or 0)

    return Counter


def _report() -> None:
    reported = dict(_counted)
    while True:
        time.sleep(_REPORT_EVERY_S)
        if _counted != reported:
            reported = dict(_counted)
            say(reported)


if __name__ == "__main__":
    main()
