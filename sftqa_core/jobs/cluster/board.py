"""Our own queue of pieces, and which worker has which: whoever loses one, another gets it. No Ray here."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sftqa_core.errors import SftqaError

MOST_LOST = 3  # times that one piece is handed out again


@dataclass
class Task:
    """One piece, and who has lost it."""

    number: int
    piece: dict[str, Any]  # as JSON
    lost_by: list[int] = field(default_factory=list)


class Board:
    """Pieces that wait, in order, and those that workers have."""

    def __init__(self) -> None:
        self._waiting: deque[Task] = deque()
        self._given: dict[int, Task] = {}  # worker -> piece

    def put(self, pieces: Iterable[dict[str, Any]]) -> None:
        """New pieces, numbered from 0."""
        self._waiting = deque(Task(number, piece) for number, piece in enumerate(pieces))
        self._given.clear()

    @property
    def empty(self) -> bool:
        """Whether nothing waits, and nobody has a piece."""
        return not self._waiting and not self._given

    def take(self, worker: int) -> Task | None:
        """The next piece for a worker that has none: before all others one that it has not lost already."""
        task = next((task for task in self._waiting if worker not in task.lost_by), None) or next(iter(self._waiting), None)
        if task is not None:
            self._waiting.remove(task)
            self._given[worker] = task
        return task

    def done(self, worker: int) -> Task:
        """The worker's piece is done."""
        return self._given.pop(worker)

    def lost(self, worker: int) -> Task | None:
        """A worker is gone: its piece, if it had one, is the next that is handed out. Raises `SftqaError` where that was done
        `MOST_LOST` times."""
        task = self._given.pop(worker, None)
        if task is None:
            return None
        task.lost_by.append(worker)
        if len(task.lost_by) > MOST_LOST:
            raise SftqaError(
                f"A piece of the work ended {len(task.lost_by)} workers of the cluster, one after the other: they were killed, often "
                "because memory ran out, or their machines were lost. Use a smaller batch size or model, or larger machines."
            )
        self._waiting.appendleft(task)
        return task

    def drop(self) -> None:
        """Hand out nothing more of what waits."""
        self._waiting.clear()
