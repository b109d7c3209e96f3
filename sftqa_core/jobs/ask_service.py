"""Asking as pages see it: put columns of a question into one queue that all visitors share, and look how they stand.

`AskService` is what pages call, `FakeAskService` answers in RAM when a test says so, and jobs/ask_files.py is the one on this machine.
A column's key names its reply, so the same question asked again, by a reload or by somebody else, is answered by what is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from sftqa_core.jsonrecord import Record, setting
from sftqa_core.records import Column, Reply, Warm

STATES = ("new", "queued", "answering", "done", "failed")


@dataclass(frozen=True)
class Standing(Record):
    """How one column stands."""

    state: str = setting(choices={name: name for name in STATES})  # new: it was not asked, or is not kept any more
    said: str = ""  # what is being done; of a failed one why, for people
    holder: str = ""  # who has the device that it waits for
    ahead: int = 0  # questions before it in the queue
    reply: Reply | None = None  # once it is done

    @property
    def pending(self) -> bool:
        """Whether it was asked and is not over."""
        return self.state in ("queued", "answering")


@dataclass(frozen=True)
class ServiceState(Record):
    """What answers, and what it holds."""

    alive: bool
    said: str = ""  # what it is doing
    held: tuple[Warm, ...] = ()  # the most recently used first
    ram_bytes: int = 0  # of the whole process, as it was when it last said something
    waiting: int = 0  # questions in the queue, the one that is answered included


class AskService(Protocol):
    """Asks models of this workspace and keeps their replies for a while."""

    def ask(self, columns: Sequence[Column]) -> None:
        """Queue those columns that neither stand in the queue nor have a reply that is kept. What failed is tried again.

        Raises `SftqaError` when too many questions wait, or nothing can be started.
        """
        ...

    def ensure(self) -> bool:
        """Start what answers unless it lives, so that the first question need not wait for it; whether it was started. Asks nothing.

        Raises `SftqaError` when nothing can be started.
        """
        ...

    def look(self, columns: Sequence[Column]) -> tuple[Standing, ...]:
        """How each column stands. Starts nothing."""
        ...

    def cancel(self, columns: Sequence[Column]) -> None:
        """Take the questions that hold one of these columns out of the queue, or stop answering them."""
        ...

    def pending(self) -> tuple[Column, ...]:
        """Columns that wait or are being answered."""
        ...

    def state(self) -> ServiceState:
        """What answers now."""
        ...


class FakeAskService:
    """Answers nothing until `settle` is told how a column stands; `asked` lists what was queued."""

    def __init__(self) -> None:
        self.asked: list[Column] = []
        self.cancelled: list[Column] = []
        self.service = ServiceState(False)
        self._standing: dict[str, Standing] = {}

    def settle(self, column: Column, standing: Standing) -> None:
        """From now on this column stands so."""
        self._standing[column.fingerprint()] = standing

    def ask(self, columns: Sequence[Column]) -> None:
        """See `AskService`."""
        for column in columns:
            if self.look([column])[0].state in ("new", "failed"):
                self.asked.append(column)
                self.settle(column, Standing("queued"))

    def ensure(self) -> bool:
        """See `AskService`."""
        started = not self.service.alive
        self.service = replace(self.service, alive=True)
        return started

    def look(self, columns: Sequence[Column]) -> tuple[Standing, ...]:
        """See `AskService`."""
        return tuple(self._standing.get(column.fingerprint(), Standing("new")) for column in columns)

    def cancel(self, columns: Sequence[Column]) -> None:
        """See `AskService`."""
        for column, standing in zip(columns, self.look(columns), strict=True):
            if standing.pending:
                self.cancelled.append(column)
                del self._standing[column.fingerprint()]

    def pending(self) -> tuple[Column, ...]:
        """See `AskService`."""
        return tuple(column for column in self.asked if self.look([column])[0].pending)

    def state(self) -> ServiceState:
        """See `AskService`."""
        return self.service
