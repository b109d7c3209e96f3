"""Hub models by name: `owner/name`, or `owner/name@revision` (a branch, a tag, or a commit of 40 digits), or `owner/name/subfolder` of
a repository with several, and where they lie on this machine, as the hub's own client lays them out:

    models--owner--name/refs/REVISION           the commit that a branch or tag pointed to when it was fetched
                        subfolders/A--B/REVISION   the same of the subfolder A/B, which is fetched by itself (ours)
                        snapshots/COMMIT/       links to the files in blobs/
                        trees/COMMIT.json       what the hub has at that commit, where the client kept it

Nothing here asks the network. What the client raises becomes sentences for people here, the one place that knows its errors.
"""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sftqa_core.artifacts import write_bytes
from sftqa_core.errors import MissingPackage, ModelUnavailable, SftqaError, first_line
from sftqa_core.jsonrecord import parse_json, shown
from sftqa_core.models.model_files import ADAPTER_CONFIG, CONFIG, TOKENIZER_FILES

_HTTP_LIBRARIES = ("httpx", "httpx2", "httpcore", "httpcore2", "requests")  # the client's own has changed name twice


@contextmanager
def hub_errors(name: str) -> Iterator[None]:
    """Turn what the hub's client raises into `ModelUnavailable`."""
    try:
        from huggingface_hub import errors
    except ImportError:
        raise MissingPackage(f"Downloading {name} needs a package that is not installed: pip install huggingface_hub.") from None
    try:
        yield
    except SftqaError:
        raise
    except Exception as error:
        cause = error.__cause__
        if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(cause, errors.HfHubHTTPError):
            error = cause  # the client says "not on this machine" of whatever the hub answered
        sentence = _sentence(name, error)
        if sentence is None:
            raise
        raise ModelUnavailable(sentence) from None


def busy(who: str, status: int, seconds: int | None) -> str:
    """The hub is busy: it limits this address (429), or everybody."""
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
    header = str(response.headers.get("Retry-After") or "").strip()
    if header.isascii() and header.isdigit() and len(header) < 10:
        return int(header)
    try:  # or a date
        return max(round(parsedate_to_datetime(header).timestamp() - time.time()), 0)
    except (ValueError, TypeError, OverflowError):
        return None


def _sentence(name: str, error: Exception) -> str | None:
    """An error in words; None for one that is not of the hub, the connection or the disk."""
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
        return f"The hub has no revision {name!r}. The model's page on the hub lists branches, tags and commits."
    if isinstance(error, errors.EntryNotFoundError | errors.HFValidationError):
        return f"The hub can't provide {name!r}: {first_line(error)}. Check the id, it has the form owner/name."
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.HfHubHTTPError) and status in (429, 503):
        return busy(f"{name}: the hub", status, wait_s(error.response))
    foreign = type(error).__module__.partition(".")[0] in _HTTP_LIBRARIES
    if not foreign and not isinstance(error, errors.HfHubHTTPError | errors.CorruptedCacheException | OSError):
        return None
    return f"Fetching {_file(error) or name} failed: {first_line(error)}. Check the connection and the free disk space, then try again."


def _file(error: Exception) -> str | None:
    """The file that was being fetched, where the error's request names it: .../owner/name/resolve/COMMIT/model.safetensors."""
    try:
        path = unquote(error.request.url.path)  # type: ignore[attr-defined]
    except (AttributeError, RuntimeError):  # httpx: the request has not been set
        return None
    before, _, after = path.partition("/resolve/")
    file = after.partition("/")[2]
    return f"{file[:100]} of {before.lstrip('/')[:100]}" if file.isprintable() and file else None


MAIN = "main"
WANTED = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.model", "merges.txt", "vocab.txt", "chat_template.jinja")
UNWANTED = ("*/*", "consolidated*")  # sub-folders and Mistral's own format hold the same weights once more
_NEEDED = ("*.safetensors", "*.safetensors.index.json", CONFIG, ADAPTER_CONFIG, *TOKENIZER_FILES, "chat_template.jinja")
_REPOSITORY = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)  # the hub itself allows no -- or ..
_SUBFOLDER = re.compile(r"(?!.*(--|\.\.))\w[\w.-]*(/\w[\w.-]*){0,4}", re.ASCII)
_REVISION = re.compile(r"(?!.*(\.\.|\.lock(/|$)))\w[\w.-]*(/\w[\w.-]*)*", re.ASCII)
_FOLDER = re.compile(r"[0-9A-Za-z][\w.-]{0,99}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_LONGEST_REPOSITORY, _LONGEST_REVISION = 200, 100  # characters
_MOST_TREE_BYTES, _MOST_REFERENCE_BYTES = 20_000_000, 1_000


@dataclass(frozen=True)
class HubName:
    """A model of the hub, at one of its revisions."""

    repository: str  # owner/name; old ones have no owner
    revision: str | None = None  # branch, tag or commit; None: main
    subfolder: str | None = None  # of the repository, where the model does not lie at its top

    def __str__(self) -> str:
        place = f"{self.repository}/{self.subfolder}" if self.subfolder else self.repository
        return place if self.revision is None else f"{place}@{self.revision}"

    @property
    def prefix(self) -> str:
        """What its files' names in the repository begin with."""
        return f"{self.subfolder}/" if self.subfolder else ""

    @property
    def reference(self) -> Path:
        """The file with the commit that its branch or tag pointed to when it was fetched."""
        kept = self.folder / "subfolders" / self.subfolder.replace("/", "--") if self.subfolder else self.folder / "refs"
        return kept / (self.revision or MAIN)

    @property
    def commit(self) -> str | None:
        """The commit, where the name itself says it."""
        return self.revision if self.revision and _COMMIT.fullmatch(self.revision) else None

    @property
    def folder(self) -> Path:
        """Where its files lie on this machine, at every revision."""
        return hub_cache() / ("models--" + self.repository.replace("/", "--"))


def hub_name(text: str) -> HubName | None:
    """A name read as a hub id; None where it can't be one.

    Raises `ModelUnavailable` for an impossible revision: it becomes part of paths and addresses.
    """
    place, at, revision = text.partition("@")
    owner, _, rest = place.partition("/")
    short, _, subfolder = rest.partition("/")
    repository = f"{owner}/{short}" if short else place
    if len(place) > _LONGEST_REPOSITORY or not _REPOSITORY.fullmatch(repository):
        return None
    if subfolder and not _SUBFOLDER.fullmatch(subfolder):
        return None
    if at and (len(revision) > _LONGEST_REVISION or not _REVISION.fullmatch(revision)):
        raise ModelUnavailable(
            f"There is no model named {shown(text)}: a branch, a tag or a commit of 40 digits must follow @ (letters, digits and . _ - /, "
            f"at most {_LONGEST_REVISION}), got {shown(revision)}. Its page on the hub lists them."
        )
    return HubName(repository, revision or None, subfolder or None)


def without_revision(name: str) -> str:
    """A hub model's name without @revision; any other name, such as a path with an @ in it, as it is."""
    place = name.partition("@")[0]
    parts = place.split("/", 2)
    hub = _REPOSITORY.fullmatch("/".join(parts[:2])) and (len(parts) < 3 or _SUBFOLDER.fullmatch(parts[2]))
    return place if hub else name


def hub_cache() -> Path:
    """Where models of the hub lie on this machine."""
    chosen = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(os.path.expandvars(chosen or Path(home) / "hub")).expanduser()


def local_snapshot(name: HubName) -> Path | None:
    """The folder of the files at the name's revision, if it was fetched whole; a configuration is in it."""
    commit = name.commit or _reference(name)
    if commit is None or not _FOLDER.fullmatch(commit):
        return None
    snapshot = name.folder / "snapshots" / commit
    there = any((snapshot / name.prefix / file).is_file() for file in (CONFIG, ADAPTER_CONFIG))
    return snapshot / name.prefix if there and not _missing(name, snapshot) else None


def local_snapshots() -> Iterator[tuple[HubName, Path]]:
    """Hub models on this machine: main, every other branch or tag that was fetched, and commits of what was fetched by commit alone."""
    for folder in sorted(hub_cache().glob("models--*")):
        repository = folder.name.removeprefix("models--").replace("--", "/")
        if not _REPOSITORY.fullmatch(repository):
            continue
        seen: set[Path] = set()
        for revision in (None, *_revisions(folder)):
            name = HubName(repository, revision)
            snapshot = local_snapshot(name)
            if snapshot is not None and snapshot not in seen and not (name.commit and seen):
                seen.add(snapshot)
                yield name, snapshot
        for kept in sorted((folder / "subfolders").glob("*/*")):
            name = HubName(repository, None if kept.name == MAIN else kept.name, kept.parent.name.replace("--", "/"))
            snapshot = local_snapshot(name)
            if snapshot is not None and snapshot not in seen and hub_name(str(name)) == name:
                seen.add(snapshot)
                yield name, snapshot


def _revisions(folder: Path) -> list[str]:
    """Branches and tags that the folder knows besides main, then commits."""
    known = (path.relative_to(folder / "refs").as_posix() for path in sorted((folder / "refs").rglob("*")) if path.is_file())
    commits = (path.name for path in sorted((folder / "snapshots").glob("*")) if _COMMIT.fullmatch(path.name))
    return [*(name for name in known if name != MAIN and _REVISION.fullmatch(name)), *commits]


def commit_of(snapshot: Path) -> str | None:
    """The commit that a snapshot's folder, or the one above a subfolder, is named after; None where somebody named it otherwise."""
    folders = (folder for folder in (snapshot, *snapshot.parents) if folder.parent.name == "snapshots")
    return next((folder.name for folder in folders if _COMMIT.fullmatch(folder.name)), None)


def keep_reference(name: HubName, commit: str) -> None:
    """Note what the name's branch or tag points to: only now it counts as fetched. Raises `StorageError`."""
    if name.commit is None and _reference(name) != commit:  # a cache that others share may be read-only
        write_bytes(name.reference, commit.encode())


def wanted_file(file: str, prefix: str = "") -> bool:
    """Whether a file of a hub repository is fetched, of a model whose files' names begin with `prefix`."""
    name = file.removeprefix(prefix)
    ours = file.startswith(prefix) and any(fnmatch(name, pattern) for pattern in WANTED)
    return ours and not any(fnmatch(name, pattern) for pattern in UNWANTED)


def _reference(name: HubName) -> str | None:
    try:
        return _small_text(name.reference, _MOST_REFERENCE_BYTES).strip()
    except (OSError, ValueError):
        return None


def _missing(model: HubName, snapshot: Path) -> list[str]:
    """Files of the model that the client's list of that commit has and this machine has not, or not whole; none without a list."""
    try:
        files = parse_json(_small_text(model.folder / "trees" / f"{snapshot.name}.json", _MOST_TREE_BYTES))["files"]
        wanted = [name for name in files if wanted_file(name, model.prefix)]
        needed = [name for name in wanted if any(fnmatch(name.removeprefix(model.prefix), pattern) for pattern in _NEEDED)]
        sizes = {name: files[name].get("lfs_size") or files[name]["size"] for name in needed}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    return [name for name, size in sizes.items() if not is_whole(snapshot / name, size)]


def _small_text(path: Path, most_bytes: int) -> str:
    """Raises `ValueError` for a pipe or a device, which would block, and for a larger file: other programs write into the cache, too."""
    if not path.is_file() or path.stat().st_size > most_bytes:
        raise ValueError(f"{path} is no file of at most {most_bytes:,} bytes")
    return path.read_text(encoding="utf-8")


def is_whole(path: Path, size_bytes: int | None) -> bool:
    """Whether a file is there, with so many bytes where that is known."""
    try:
        return path.is_file() and size_bytes in (None, path.stat().st_size)
    except OSError:
        return False
