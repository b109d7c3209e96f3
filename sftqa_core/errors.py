"""Every error a person can meet, as one small tree.

A message says what was wrong, what was seen and what to do next. Foreign exceptions are turned into one of
these where they enter the program (loading.py for transformers and the hub, sources for files), so that the
page, the command line and the worker can show `str(error)` as it is.
"""

import os
from typing import Any


class SftqaError(Exception):
    """The root: anything the program tells a person instead of a traceback."""


class SettingsError(SftqaError):
    """Settings that cannot be used. `problems` holds every sentence, not only the first."""

    def __init__(self, problems: str | list[str]):
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class FactsError(SftqaError):
    """A fact source that cannot be read; `problems` lists every fault by row and column."""

    def __init__(self, problems: str | list[str]):
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class ModelUnavailable(SftqaError):
    """A model that is not here, cannot be had, or must not be loaded."""


class NotEnoughFacts(SftqaError):
    """More facts were asked for than the source can supply at the wanted levels."""


class MissingPackage(SftqaError):
    """An optional library is not installed; the message names the command that installs it."""


class ArtifactDamaged(SftqaError):
    """A stored result is incomplete or does not match its manifest."""


class OtherVersion(ArtifactDamaged):
    """A stored result that another version of the program wrote. It is not damaged: nothing replaces, moves or removes it."""


class StorageError(SftqaError, OSError):
    """The disk refused: it is full, read-only, someone else's, gone. `errno` says which.

    It is an `OSError` too, so that work which can do without writing passes over it as over any other.
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
    """The person asked the work to stop; what was finished is kept."""


_LONGEST = 300  # characters of another library's words


def first_line(error: BaseException) -> str:
    """What an exception of another library says, in one line that can be shown: the hub's token never stands in it."""
    from huggingface_hub import get_token

    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    token = get_token()
    return (said.replace(token, "(token)") if token else said)[:_LONGEST].rstrip(".: ")
