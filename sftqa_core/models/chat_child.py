"""A process of its own that renders chat templates, since a template is untrusted code: see chat_templates.py.

It gets {"template", "tokens", "chats": [{"messages", "generate"}]} and answers, as processes.py says, {"texts": [...], "dated": bool} or
{"error": "..."}. transformers' own sandbox renders (immutable, without underscored names) within limits that no template can exceed:
processor time, memory, length of a text. "Today" is a fixed day, because a text that changes from day to day would change results;
every text is rendered twice, with other random numbers, and must be the same.
"""

import contextlib
import datetime
import random
import signal
import sys
from typing import Any

from sftqa_core.processes import asked, say

CPU_S = 5  # of rendering, all texts together
WALL_S = 60  # a machine may be busy
MEMORY_BYTES = 1_000_000_000  # beyond what the process takes by itself
MAX_CHARACTERS = 500_000  # of a text
TODAY = datetime.datetime(2024, 7, 26, 12)  # the day that Llama 3's template itself takes where it can't ask
_ANOTHER_DAY = datetime.datetime(2031, 11, 3, 3)


def main() -> None:
    """Answer one request."""
    request = asked()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            answer = _rendered(request)
    except MemoryError:
        answer = {"error": f"it needs more than {MEMORY_BYTES / 1e9:.0f} GB of RAM"}
    except RecursionError:
        answer = {"error": "it is nested too deeply"}
    except Exception as error:  # jinja's, and whatever a template's own expressions raise
        answer = {"error": f"{type(error).__name__}: {str(error).splitlines()[0][:300] if str(error) else 'no reason given'}"}
    say(answer)


def _rendered(request: dict[str, Any]) -> dict[str, Any]:
    from transformers.utils import chat_template_utils as rendering

    _limit()

    def all_texts(day: datetime.datetime, seed: int) -> list[str]:
        rendering.datetime = _Calendar(day)  # what strftime_now asks
        random.seed(seed)  # what the filter `random` asks
        return [_text(rendering, request, chat) for chat in request["chats"]]

    texts = all_texts(TODAY, 0)
    if all_texts(TODAY, 1) != texts:
        return {"error": "its text changes from one rendering to the next"}
    return {"texts": texts, "dated": all_texts(_ANOTHER_DAY, 0) != texts}


def _text(rendering: Any, request: dict[str, Any], chat: dict[str, Any]) -> str:
    rendered, _ = rendering.render_jinja_template(
        [chat["messages"]], chat_template=request["template"], add_generation_prompt=chat["generate"], **request["tokens"]
    )
    if len(rendered[0]) > MAX_CHARACTERS:
        raise ValueError(f"its text has {len(rendered[0]):,} characters, the limit is {MAX_CHARACTERS:,}")
    return rendered[0]


class _Calendar:
    """Replaces the class `datetime` where only `now` is called."""

    def __init__(self, day: datetime.datetime):
        self._day = day

    def now(self, *_: Any) -> datetime.datetime:
        """The fixed day."""
        return self._day


def _limit() -> None:
    """From here on the system ends the process when it takes more; a template can't catch these signals."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows has none of this; the parent ends the process then
        import resource

        signal.alarm(WALL_S)
        used = resource.getrusage(resource.RUSAGE_SELF)
        spent = int(used.ru_utime + used.ru_stime) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (spent + CPU_S, spent + CPU_S))
        with open("/proc/self/statm", encoding="ascii") as pages:
            taken = int(pages.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY_BYTES, taken + MEMORY_BYTES))


if __name__ == "__main__":
    main()
