"""Fetch a model from the hub: safetensors and settings only, never code. And what the hub says of a model before it is fetched.

One short request asks which commit, which files, how large. A process of its own (fetch_child.py) then fetches that commit, so that a
standstill ends and a person can stop it at any moment. The files are compared with what the hub promised, and only then is the branch
or tag noted as being here (hub_cache.py): half a download is never a model, and the next try fetches the files that are missing.

The client's own `snapshot_download(dry_run=True)` and `verify_repo_checksums` are not used. The dry run asks for the commit, the list of
files and every missing file in turn, without our limit of time, hides why the hub refused, takes a file that was cut off for whole, and
notes the branch as being here. The verification asks the hub for the list once more, calls every file missing that is never fetched,
and can't be stopped while it reads 30 GB.
"""

import contextlib
import errno
import json
import os
import queue
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from sftqa_core import errors
from sftqa_core.artifacts import Kept, in_words, sha256
from sftqa_core.jsonrecord import shown
from sftqa_core.models import measured
from sftqa_core.models.gguf import gguf_models, gguf_reading
from sftqa_core.models.hub.hub_cache import HubName, commit_of, hub_cache, hub_errors, hub_name, is_whole, keep_reference, wanted_file
from sftqa_core.models.model_files import ADAPTER_CONFIG, CONFIG, ModelFolder
from sftqa_core.processes import answers
from sftqa_core.progress import Phase, Reporter, Silent
from sftqa_core.records import ModelCard

ASK_S = 5.0  # until the hub counts as out of reach
STILL_S = 60.0  # without a byte, and the connection counts as stalled
_START_S = 60.0  # that importing the client may take besides, from a cold disk
_LOOK_S = 0.25
_SPARE_BYTES = 50_000_000  # that a disk should have left afterwards


@dataclass(frozen=True)
class Promised:
    """The files of a model that the hub has at one commit, as far as they are fetched."""

    name: HubName
    commit: str
    sizes: dict[str, int | None]  # file -> bytes
    digests: dict[str, str]  # file -> SHA-256, of the large ones

    @property
    def folder(self) -> Path:
        """Where they are kept on this machine."""
        return self.name.folder / "snapshots" / self.commit

    @property
    def model(self) -> Path:
        """The folder of the model among them."""
        return self.folder / self.name.prefix

    def missing(self) -> list[str]:
        """Files that are not here, or not with the promised size."""
        return [file for file, size in self.sizes.items() if not is_whole(self.folder / file, size)]


def download(name: str, reporter: Reporter | None = None) -> Path:
    """The folder of hub model `name`, maybe with @revision, at the commit that this is on the hub now; fetched if it is not here whole.

    Raises `ModelUnavailable` when the hub can't be reached, doesn't know it, asks for a login or a wait, has no safetensors, or sends
    other files than it promised; `StorageError` when the disk refuses; `Stopped` through the reporter.
    """
    hub, reporter = as_hub_name(name), reporter or Silent()
    promised = ask(hub)
    _discard(promised, [file for file in promised.missing() if os.path.lexists(promised.folder / file)])
    if missing := promised.missing():
        size = sum(promised.sizes[file] or 0 for file in missing)
        _require_room(promised, size)
        reporter.log(f"Fetching {hub} from the hub, commit {promised.commit}: {len(missing)} files, {in_words(size)}.")
        _fetch(promised, missing, size, reporter)
    _require_promised(promised, missing, reporter)
    keep_reference(hub, promised.commit)
    return promised.model


def ask(hub: HubName, info: Any = None) -> Promised:
    """What the hub promises, from one request (or its answer). Raises `ModelUnavailable`."""
    info = info or model_info(hub)
    files = [entry for entry in info.siblings or () if wanted_file(entry.rfilename, hub.prefix)]
    if not any(entry.rfilename.endswith(".safetensors") for entry in files):
        if any(entry.rfilename.endswith(gguf_models.ENDING) for entry in info.siblings or ()):
            raise errors.ModelUnavailable(
                f"{hub} has its weights on the hub as GGUF files alone. Download the one that you want, and give its path as the model."
            )
        raise errors.ModelUnavailable(
            f"{hub} has no safetensors weights on the hub, and other formats can run code when they are opened. "
            f"{_elsewhere(hub, info) or 'Look for a converted copy, or convert it where you trust it and pick that folder.'}"
        )
    if not {CONFIG, ADAPTER_CONFIG} & {entry.rfilename.removeprefix(hub.prefix) for entry in files}:
        raise errors.ModelUnavailable(
            f"{hub} has weights on the hub but no {CONFIG}, so it can't be loaded. Look for a copy in the transformers layout."
        )
    sizes = {entry.rfilename: entry.size if isinstance(entry.size, int) else None for entry in files}
    return Promised(hub, info.sha, sizes, {entry.rfilename: entry.lfs.sha256 for entry in files if entry.lfs})


def _elsewhere(hub: HubName, info: Any) -> str:
    """Which subfolders of the repository hold models, as a sentence; empty where none do."""
    files = [PurePosixPath(entry.rfilename) for entry in info.siblings or ()]
    folders = sorted({str(file.parent) for file in files if file.name in (CONFIG, ADAPTER_CONFIG)} - {"."})
    named = [str(named) for folder in folders if (named := hub_name(f"{hub.repository}/{folder}")) is not None]
    return f"Models lie in its subfolders; name one: {', '.join(named[:5])}{' and others' if len(named) > 5 else ''}." if named else ""


def model_info(hub: HubName) -> Any:
    """The client's record of a model at a revision, with sizes. One request, with ASK_S at most between two bytes of the answer.

    Raises `ModelUnavailable`.
    """
    with hub_errors(str(hub)):
        from huggingface_hub import HfApi, constants
        from huggingface_hub.errors import OfflineModeIsEnabled

        if constants.HF_HUB_OFFLINE:
            raise OfflineModeIsEnabled("offline")
        try:
            info = HfApi().model_info(hub.repository, revision=hub.revision, timeout=ASK_S, files_metadata=True)
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError):  # the client takes whatever comes for the hub's answer
            raise errors.ModelUnavailable(
                f"The answer to the request for {hub} did not come from the hub: a login page of the network, or a proxy, may be in "
                "between. Open a web page in a browser here, or check HF_ENDPOINT, then try again."
            ) from None
    if not isinstance(info.sha, str) or HubName(hub.repository, info.sha).commit is None:
        raise errors.ModelUnavailable(f"The hub does not say which commit of {hub} it has (got {shown(info.sha)}), so it can't be fetched.")
    return info


def as_hub_name(name: str) -> HubName:
    """`hub_name`, where nothing else can be meant. Raises `ModelUnavailable`."""
    hub = hub_name(name)
    if hub is None:
        raise errors.ModelUnavailable(f"{shown(name)} is not a hub id, which has the form owner/name, optionally with @revision.")
    return hub


def lacks_room(free: int, size: int) -> bool:
    """Whether a disk with so many bytes free is too full for `size` bytes more; nothing more always fits."""
    return size > 0 and free < size + _SPARE_BYTES


def _require_room(promised: Promised, size: int) -> None:
    there = next(folder for folder in (hub_cache(), *hub_cache().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if lacks_room(free, size):
        raise errors.StorageError(
            f"{promised.name} takes {in_words(size)}, but {in_words(free)} is free in {there}. Free some space, or set "
            "HF_HOME to a folder on another disk, then start it again.",
            errno.ENOSPC,
        )


def _fetch(promised: Promised, missing: list[str], size: int, reporter: Reporter) -> None:
    """Run the process that fetches, to its end. Raises what it ended with."""
    phase = Phase(reporter, "download", max(size, 1), "bytes")
    wanted = {"repository": promised.name.repository, "commit": promised.commit, "prefix": promised.name.prefix}
    try:
        with answers("sftqa_core.models.hub.fetch_child", wanted) as lines:
            end = _watched(promised, lines, phase)
    finally:
        _sweep(promised.name)
    if "error" in end:
        kind = getattr(errors, str(end.get("kind")), errors.ModelUnavailable)
        raise errors.StorageError(end["error"], end.get("number")) if kind is errors.StorageError else kind(end["error"])
    phase.tell(phase.total - phase.done)


def _watched(promised: Promised, lines: queue.Queue[dict[str, Any]], phase: Phase) -> dict[str, Any]:
    """What the process says at its end. Raises `ModelUnavailable` after STILL_S without a byte, `Stopped`."""
    bytes_before, since_s, patience_s = 0, time.monotonic(), _START_S
    while True:
        phase.reporter.check()
        try:
            message = lines.get(timeout=_LOOK_S)
        except queue.Empty:
            message = {}
        if "folder" in message or "error" in message:
            return message
        if "ended" in message:
            why = errors.first_line(ChildProcessError(message["ended"]))
            return {"error": f"The download process ended early ({why}). Try again."}
        if "waits_s" in message or "ready" in message:
            since_s, patience_s = time.monotonic(), message.get("waits_s", 0)
        if "waits_s" in message:
            phase.reporter.log(f"The hub asks to wait {message['waits_s']} s.")
        if "done" in message:
            phase.advance(max(min(message["done"], phase.total) - phase.done, 0))
        bytes_now = _bytes_under_way(promised.name)  # another process may have the lock, and be the one that fetches
        if "moved" in message or bytes_now > bytes_before:
            since_s, patience_s = time.monotonic(), 0.0
        bytes_before = bytes_now
        if time.monotonic() - since_s > STILL_S + patience_s:
            waits = promised.missing()
            listed = ", ".join(waits[:3]) + (f" and {len(waits) - 3} more" if len(waits) > 3 else "")
            raise errors.ModelUnavailable(
                f"Fetching {promised.name} stalled: no data came for {STILL_S:.0f} s. {listed} "
                f"{'is' if len(waits) == 1 else 'are'} still missing. Check the connection, then try again: the download resumes."
            )


def _require_promised(promised: Promised, fetched: list[str], reporter: Reporter) -> None:
    """Raise `ModelUnavailable` unless everything came with the promised size and, of what came now, the promised content, and it is a
    model that can be read: else it would count as fetched and still not be here."""
    wrong = promised.missing()
    for file in fetched:
        reporter.check()
        if file not in wrong and promised.digests.get(file, "") not in ("", sha256(promised.folder / file)):
            wrong.append(file)
    if wrong:
        came = "; ".join(_difference(promised, file) for file in wrong[:3])
        _discard(promised, wrong)
        raise errors.ModelUnavailable(
            f"The download of {promised.name} does not match what the hub announced: {came}. The wrong files were deleted; try again."
        )
    folder = ModelFolder(promised.model)
    folder.config()
    folder.parameters()


def _difference(promised: Promised, file: str) -> str:
    path, size = promised.folder / file, promised.sizes[file]
    if not path.is_file():
        return f"{file} is missing"
    there = path.stat().st_size
    return f"{file} has {there:,} bytes of {size:,}" if size is not None and size != there else f"{file} has different content"


def _discard(promised: Promised, files: list[str]) -> None:
    """Remove files that are not whole, with what they link to, so that the client fetches them anew."""
    blobs = (promised.name.folder / "blobs").resolve()
    for file in files:
        path = promised.folder / file
        with contextlib.suppress(RuntimeError):  # a link to itself, which Python 3.13 resolves to itself
            real = path.resolve()
            if real.parent == blobs:
                real.unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def _sweep(name: HubName) -> None:
    """Remove what a fetching process left when it was ended: files whose lock nobody holds."""
    from filelock import FileLock, Timeout

    for path in (name.folder / "blobs").glob("*.incomplete"):
        lock = hub_cache() / ".locks" / name.folder.name / f"{path.name.partition('.')[0]}.lock"
        with contextlib.suppress(OSError, Timeout, NotImplementedError), FileLock(lock, timeout=0):
            path.unlink(missing_ok=True)


def _bytes_under_way(name: HubName) -> int:
    total = 0
    for path in (name.folder / "blobs").glob("*.incomplete"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total


def present(card: ModelCard, reporter: Reporter | None) -> ModelCard:
    """`card` with its files on this machine, complete: downloaded, or read from GGUF."""
    measured.refuse_unread(card)
    if card.path is None and card.kind == gguf_models.KIND:
        card = gguf_reading.read_card(card, reporter)
    elif card.path is None:
        folder = download(card.name, reporter)
        card = replace(card, path=str(folder), available=True, revision=commit_of(folder))
    ModelFolder(Path(card.path or "")).weights()
    return card


def present_base(card: ModelCard, base: ModelCard, reporter: Reporter | None) -> ModelCard:
    """The model under an adapter, at the revision that the adapter names."""
    try:
        return present(base, reporter)
    except errors.ModelUnavailable as error:
        if base.path is not None:
            raise
        raise errors.ModelUnavailable(f"{card.name} is an adapter on {base.name}, which is not on this machine. {error}") from error


KEPT_S = 60.0  # a page asks at every change of a form, and an unreachable hub takes ASK_S to say nothing


@dataclass(frozen=True)
class HubAnswer:
    """One model's page on the hub."""

    size_bytes: int  # of the files that would be fetched; 0 where the hub does not say
    parameters: int | None
    licence: str | None
    gated: bool  # its terms have to be accepted by an account
    refused: str | None = None  # why this account can't have it, in a sentence; only looked into where it is gated
    chat_template: bool | None = None  # None where the hub does not say
    commit: str | None = None  # that the branch or tag points to now


def ask_hub(name: str) -> HubAnswer:
    """What the hub says of `name`, maybe with @revision.

    Raises `ModelUnavailable` when it can't be reached, has no such model, or no safetensors of it.
    """

    def ask() -> HubAnswer | errors.SftqaError:
        try:
            return _asked(name)
        except errors.SftqaError as error:
            return error

    answer = _answers.get((name, has_token(), int(time.monotonic() // KEPT_S)), ask)
    if isinstance(answer, errors.SftqaError):
        raise answer
    return answer


_answers: Kept[HubAnswer | errors.SftqaError] = Kept(100)


def has_token() -> bool:
    """Whether there is a login for the hub here: HF_TOKEN or a stored one. It is never shown."""
    try:
        from huggingface_hub import get_token
    except ImportError:
        return False
    return get_token() is not None


def _asked(name: str) -> HubAnswer:
    hub = as_hub_name(name)
    info = model_info(hub)
    promised = ask(hub, info)
    licence = getattr(info.card_data, "license", None)
    licence = licence[0] if isinstance(licence, list) and licence else licence
    tags = (tag.partition(":")[2] for tag in info.tags or () if tag.startswith("license:"))
    top = not hub.subfolder  # what the page says of parameters and chat template is of the model at the top
    tokenizer = info.config.get("tokenizer_config") if isinstance(info.config, dict) and top else None
    refused = None
    if info.gated:
        file = f"{hub.prefix}{CONFIG}" if f"{hub.prefix}{CONFIG}" in promised.sizes else next(iter(promised.sizes))
        try:
            with hub_errors(hub.repository):
                from huggingface_hub import HfApi, hf_hub_url

                HfApi().get_hf_file_metadata(url=hf_hub_url(hub.repository, file, revision=promised.commit), timeout=ASK_S)
        except errors.ModelUnavailable as error:
            refused = str(error)
    return HubAnswer(
        sum(size or 0 for size in promised.sizes.values()),
        info.safetensors.total if info.safetensors and top else None,
        licence if isinstance(licence, str) else next(tags, None),
        bool(info.gated),
        refused,
        chat_template=bool(tokenizer.get("chat_template")) if isinstance(tokenizer, dict) else None,
        commit=promised.commit,
    )
