"""Fetch a model from the hub: safetensors and settings only, never code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from sftqa_core.errors import MissingPackage, ModelUnavailable
from sftqa_core.knowledge.download import first_line

_WANTED = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.model", "merges.txt", "vocab.txt", "chat_template.jinja")
ASK_S = 5.0  # until the hub counts as out of reach
_TOP_LEVEL_ONLY = ("*/*",)  # repositories keep other formats of the same weights in sub-folders


def download(name: str) -> Path:
    """The folder of hub model `name`, fetched if it is not complete on this machine.

    Raises `ModelUnavailable` when the hub can't be reached, doesn't know it, wants a login, or has no safetensors.
    """
    with hub_errors(name):
        from huggingface_hub import HfApi, snapshot_download
        from huggingface_hub.constants import HF_HUB_OFFLINE

        if not HF_HUB_OFFLINE:
            _require_safetensors(name, [entry.rfilename for entry in HfApi().model_info(name, timeout=ASK_S).siblings or ()])
        return Path(snapshot_download(name, allow_patterns=list(_WANTED), ignore_patterns=list(_TOP_LEVEL_ONLY)))


def wanted_file(name: str) -> bool:
    """Whether a file of a hub repository is fetched."""
    return any(fnmatch(name, pattern) for pattern in _WANTED) and not any(fnmatch(name, pattern) for pattern in _TOP_LEVEL_ONLY)


@contextmanager
def hub_errors(name: str) -> Iterator[None]:
    """Turn what the hub's client raises into `ModelUnavailable`: the one place that knows its errors."""
    try:
        from huggingface_hub import errors
    except ImportError:
        raise MissingPackage(f"{name} has to be fetched from the hub: pip install huggingface_hub.") from None
    try:
        yield
    except errors.GatedRepoError:
        raise ModelUnavailable(
            f"{name} is gated: accept its terms on its hub page, log in here with `hf auth login`, then try again."
        ) from None
    except (errors.RepositoryNotFoundError, errors.DisabledRepoError):
        raise ModelUnavailable(
            f"The hub has no model {name!r}, or it is private. Check the spelling, or log in with `hf auth login`."
        ) from None
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError):
        raise ModelUnavailable(
            f"{name} is not on this machine and the hub can't be reached. Go online (unset HF_HUB_OFFLINE), or copy its folder here and "
            "pick the folder."
        ) from None
    except (errors.RevisionNotFoundError, errors.EntryNotFoundError, errors.HFValidationError) as error:
        raise ModelUnavailable(f"The hub can't give {name!r}: {first_line(error)}. Check the id, it has the form owner/name.") from None
    except Exception as error:
        # The client's HTTP library has changed name twice; its errors are known by their module.
        foreign = type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore", "requests")
        if not foreign and not isinstance(error, (errors.HfHubHTTPError, errors.CorruptedCacheException, OSError)):
            raise
        raise ModelUnavailable(f"Fetching {name} failed: {first_line(error)}. Check the connection and the free disk space.") from None


def _require_safetensors(name: str, files: list[str]) -> None:
    if not any(file.endswith(".safetensors") and "/" not in file for file in files):
        raise ModelUnavailable(
            f"{name} has no safetensors weights on the hub, and other formats can run code when they are opened. "
            "Look for a converted copy, or convert it where you trust it and pick that folder."
        )
