"""Every error a person can meet, as one small tree.

A message says what was wrong, what was seen and what to do next. Foreign exceptions are turned into one of
these where they enter the program (loading.py for transformers, hub_cache.py for the hub, knowledge/ for files), so that the
page, the command line and the worker can show `str(error)` as it is.
"""

import os
from typing import Any


class SftqaError(Exception):
    """The root: anything the program tells a person instead of a traceback."""


def reason(error: BaseException) -> str:
    """What an error says, without the path that the sentence around it names already: "Permission denied"."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


class SeveralProblems(SftqaError):
    """What can be wrong in several ways at once. `problems` holds every sentence, not only the first."""

    def __init__(self, problems: str | list[str]):
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class SettingsError(SeveralProblems):
    """Settings that cannot be used."""


class FactsError(SeveralProblems):
    """A fact source that cannot be read; `problems` lists every fault by row and column."""


class FactsNotHere(FactsError):
    """Facts that have to be fetched from the network first; looking at a page, a forecast or a check never does."""


class ModelUnavailable(SftqaError):
    """A model that is not here, cannot be fetched, or must not be loaded."""


class ServiceUnavailable(SftqaError):
    """A public service that a person asked to be asked gives no answer that can be used."""


class NotEnoughFacts(SftqaError):
    """More facts were asked for than the source can supply at the wanted levels."""


class MissingPackage(SftqaError):
    """An optional library is not installed; the message names the command that installs it."""


class ArtifactDamaged(SftqaError):
    """A stored result is incomplete or does not match its manifest."""


class OtherVersion(ArtifactDamaged):
    """A stored result that another version of the program wrote. It is not damaged: nothing replaces, moves or removes it."""


class BundleRefused(SftqaError):
    """A bundle of results from another explorer that is not imported; nothing of it is kept."""


class StorageError(SftqaError, OSError):
    """The disk refused: it is full, read-only, someone else's, or gone. `errno` says which.

    It is also an `OSError`, so work that can do without the file handles it like any other.
    """

    def __init__(self, message: str, number: int | None = None):
        super().__init__(message)
        self.errno, self.strerror = number, os.strerror(number) if number else message

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.args[0], self.errno)


class NotFound(SftqaError):
    """A run, job or result was asked for by a name that does not exist."""


class OutOfMemory(SftqaError):
    """The device had no room; the message names the settings that need less."""


class Stopped(SftqaError):
    """The person asked the work to stop; finished parts are kept."""


class OutOfTime(Stopped):
    """The time limit that the person set passed before anything came of the work; finished parts are kept."""


_LONGEST = 300  # characters of another library's words


def first_line(error: BaseException) -> str:
    """An exception of another library in one line that can be shown; it never contains the hub's token."""
    from huggingface_hub import get_token

    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    token = get_token()
    return (line.replace(token, "(token)") if token else line)[:_LONGEST].rstrip(".: ")
