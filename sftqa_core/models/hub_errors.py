"""What the hub's client raises, as sentences for people: the one place that knows its errors."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote

from sftqa_core.errors import MissingPackage, ModelUnavailable, SftqaError
from sftqa_core.knowledge.download import first_line

_HTTP_LIBRARIES = ("httpx", "httpx2", "httpcore", "httpcore2", "requests")  # the client's own has changed name twice


@contextmanager
def hub_errors(name: str) -> Iterator[None]:
    """Turn what the hub's client raises into `ModelUnavailable`."""
    try:
        from huggingface_hub import errors
    except ImportError:
        raise MissingPackage(f"{name} has to be fetched from the hub: pip install huggingface_hub.") from None
    try:
        yield
    except SftqaError:
        raise
    except Exception as error:
        cause = error.__cause__
        if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(cause, errors.HfHubHTTPError):
            error = cause  # the client says "not on this machine" of whatever the hub answered
        told = _sentence(name, error)
        if told is None:
            raise
        raise ModelUnavailable(told) from None


def busy(who: str, status: int, seconds: int | None) -> str:
    """The hub has had enough for now: of this address (429), or of everybody."""
    wait = "in some minutes" if seconds is None else f"in {seconds:,} s"
    if status != 429:
        return f"{who} is busy ({status}): try again {wait}."
    return f"{who} is rate limited (429): try again {wait}, or log in with `hf auth login`, which raises the limit."


def wait_s(response: Any) -> int | None:
    """How many seconds the hub asks to wait; None for an answer that asks for nothing."""
    from huggingface_hub import utils

    if getattr(response, "status_code", None) not in (429, 503):
        return None
    read = getattr(utils, "parse_ratelimit_headers", lambda headers: None)  # the client's first 1.x had none
    limit = read(response.headers)
    if limit is not None and limit.remaining == 0:
        return int(limit.reset_in_seconds)
    told = str(response.headers.get("Retry-After") or "").strip()
    if told.isascii() and told.isdigit() and len(told) < 10:
        return int(told)
    try:  # or a date
        return max(round(parsedate_to_datetime(told).timestamp() - time.time()), 0)
    except (ValueError, TypeError, OverflowError):
        return None


def _sentence(name: str, error: Exception) -> str | None:
    """None for what is no error of the hub, the connection or the disk."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return f"{name} is gated: accept its terms on its hub page, log in here with `hf auth login`, then try again."
    if isinstance(error, errors.RepositoryNotFoundError | errors.DisabledRepoError):
        return f"The hub has no model {name!r}, or it is private. Check the spelling, or log in with `hf auth login`."
    if isinstance(error, errors.OfflineModeIsEnabled | errors.LocalEntryNotFoundError):
        return (
            f"{name} is not on this machine and the hub can't be reached. Go online (unset HF_HUB_OFFLINE), or copy its folder here and "
            "pick the folder."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"The hub has no such revision of it as {name!r} names. Its page on the hub lists branches, tags and commits."
    if isinstance(error, errors.EntryNotFoundError | errors.HFValidationError):
        return f"The hub can't give {name!r}: {first_line(error)}. Check the id, it has the form owner/name."
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.HfHubHTTPError) and status in (429, 503):
        return busy(f"The hub, asked for {name},", status, wait_s(error.response))
    foreign = type(error).__module__.partition(".")[0] in _HTTP_LIBRARIES
    if not foreign and not isinstance(error, errors.HfHubHTTPError | errors.CorruptedCacheException | OSError):
        return None
    return f"Fetching {_file(error) or name} failed: {first_line(error)}. Check the connection and the free disk space, then try again."


def _file(error: Exception) -> str | None:
    """Which file was on its way, where the error's request says so: .../owner/name/resolve/COMMIT/model.safetensors."""
    try:
        path = unquote(error.request.url.path)  # type: ignore[attr-defined]
    except (AttributeError, RuntimeError):  # httpx: the request has not been set
        return None
    before, _, after = path.partition("/resolve/")
    file = after.partition("/")[2]
    return f"{file[:100]} of {before.lstrip('/')[:100]}" if file.isprintable() and file else None
