"""Reading a GGUF model once: into safetensors in the cache, where every later use finds it. Never loads torch itself.

The numbers are written in float32, as they come out of the file: another format would round them a second time, and results would no
longer be those of this file. A process of its own reads (gguf_child.py), limited in memory, time and network, since a file comes from
anywhere. `<cache>/gguf/<key>/` is complete or absent (artifacts.write_folder); the key is made of the SHA-256 of the files and of the
versions of everything that reads, so another file, or another reader, makes another folder.
"""

import contextlib
import errno
import importlib.metadata
import os
import queue
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sftqa_core import errors
from sftqa_core.artifacts import in_words, is_finished, read_json, read_manifest, storing, write_folder
from sftqa_core.jsonrecord import fingerprint
from sftqa_core.models import devices
from sftqa_core.models.gguf.gguf_models import KIND, GgufModel, gguf_at, refuse_unreadable
from sftqa_core.models.model_files import digest_key, digests
from sftqa_core.processes import answers, our_environment
from sftqa_core.progress import Phase, Reporter, Silent
from sftqa_core.records import ModelCard
from sftqa_core.workspace import Workspace

SCHEMA = 1  # of the folders; raised when gguf_child.py reads something otherwise
PACKAGE = "gguf"
INSTALL = "pip install gguf==0.19.0"
MANIFEST_KIND = "gguf model"
_READERS = ("transformers", PACKAGE)
_STEPS = ("settings", "weights", "saved", "tokenizer")
_LOOK_S = 0.25
_START_S = 300.0  # that reading may take in any case, importing torch included
_S_PER_MILLION = 6.0  # and a million parameters, ten times what two busy slow cores took
_LIBRARIES = 600_000_000  # bytes of RAM that the process takes by itself, with a large vocabulary
_COPIES = 2.5  # of the weights in float32 that are in RAM at the peak: what was read, and the model's own
_BESIDE = 60_000_000  # bytes of a tokenizer and settings
_LIMIT = 1.5  # of the told RAM, in address space


@dataclass(frozen=True)
class Need:
    """Bytes that reading takes, once. Measured at the peak: 1.2 GB for 135 million parameters, 3.3 GB for 268 million."""

    ram: int
    disk: int  # kept
    disk_beside: int  # while it is read: the parts of a split file as one


def need(model: GgufModel) -> Need:
    """What reading a model takes."""
    whole = 4 * model.parameters
    return Need(_LIBRARIES + int(_COPIES * whole), whole + _BESIDE, model.size_bytes if len(model.parts) > 1 else 0)


def reader_versions() -> dict[str, str]:
    """Of what reads. Raises `MissingPackage` with the command that installs it."""
    found = {}
    for name in _READERS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            how = INSTALL if name == PACKAGE else f"pip install {name}"
            raise errors.MissingPackage(f"Reading a GGUF model needs the package {name}, which is not installed: {how}.") from None
    return found


def read_already(model: GgufModel, workspace: Workspace | None = None) -> Path | None:
    """The folder into which these very files were read, if they were; no file is read for that."""
    place = workspace or Workspace.current()
    stored = read_json(place.state / "digests.json")
    known = stored if isinstance(stored, dict) else {}
    try:
        versions, found = reader_versions(), [known.get(digest_key(path.resolve())) for path in model.files]
    except (errors.MissingPackage, OSError):
        return None
    if not all(isinstance(digest, str) for digest in found):
        return None
    folder = place.gguf / _key([str(digest) for digest in found], versions)
    return folder if is_finished(folder) else None


def refuse_reading(model: GgufModel, name: str, workspace: Workspace | None = None) -> None:
    """Raise why a model can't be read now: `ModelUnavailable`, `MissingPackage`, `StorageError` without room on the disk, `OutOfMemory`
    without free RAM."""
    refuse_unreadable(model, name)
    reader_versions()
    place, wanted = workspace or Workspace.current(), need(model)
    there = next(folder for folder in (place.root, *place.root.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if free < (disk := wanted.disk + wanted.disk_beside):
        raise errors.StorageError(
            f"{name} takes {in_words(disk)} on the disk once it is read (float32), and {in_words(free)} is free in {there}. Free some "
            "space, or set SFTQA_CACHE to a folder on another disk.",
            errno.ENOSPC,
        )
    ram = devices.device_ram("cpu")
    if ram is not None and ram.free < wanted.ram:
        more = "Close other programs" if ram.total >= wanted.ram else "Use a machine with more RAM"
        raise errors.OutOfMemory(
            f"{name} takes about {in_words(wanted.ram)} of RAM while it is read (the file's {in_words(model.size_bytes)} are widened to "
            f"float32), and {in_words(ram.free)} is free. {more}, or choose a smaller model."
        )


def read_model(model: GgufModel, name: str, reporter: Reporter | None = None, workspace: Workspace | None = None) -> Path:
    """The folder of the model in safetensors; read now if it was not read before.

    Raises as `refuse_reading` does, `ModelUnavailable` for what the reader refuses, `Stopped` through the reporter: nothing is left
    of what was not finished.
    """
    place, reporter = workspace or Workspace.current(), reporter or Silent()
    refuse_unreadable(model, name)
    versions = reader_versions()
    found = digests(model.files, place)
    folder = place.gguf / _key([found[path.name] for path in model.files], versions)
    with _alone(place.state / f"gguf-{folder.name}.lock", reporter):  # two that need it at once read it once
        if is_finished(folder):
            return folder
        refuse_reading(model, name, place)
        wanted = need(model)
        reporter.log(
            f"Reading {name} ({model.label}, {in_words(model.size_bytes)}) once: about {in_words(wanted.ram)} of RAM, and "
            f"{in_words(wanted.disk)} on the disk. {told(model)}"
        )
        manifest = {"kind": MANIFEST_KIND, "gguf": described(model), "sha256": found, "readers": versions, "reading": SCHEMA}
        return write_folder(folder, lambda work: _read(model, name, work, reporter), manifest)


def source_of(card: ModelCard) -> GgufModel | None:
    """The GGUF model behind a card; None for other models, and where its files have gone. Raises `ModelUnavailable` as `gguf_at` does."""
    file = card.details.get("gguf", {}).get("file") if card.kind == KIND else None
    return gguf_at(Path(file)) if isinstance(file, str) else None


def read_card(card: ModelCard, reporter: Reporter | None = None) -> ModelCard:
    """`card` with the folder into which its files were read. Raises as `read_model` does."""
    model = source_of(card)
    if model is None:
        raise errors.ModelUnavailable(f"The GGUF file of {card.name} is not there any more. Put it back, or choose another model.")
    return replace(card, path=str(read_model(model, card.name, reporter)), note="")


def told(model: GgufModel) -> str:
    """What a person should know of the numbers, in a sentence."""
    if not model.rounded:
        return f"Its values are stored as {model.quantisation}."
    return f"Its values are rounded to {model.bits:.1f} bits on average: results are those of this file, not of the original model."


def described(model: GgufModel) -> dict[str, Any]:
    """What is kept of the file beside its weights, as JSON."""
    header = model.header
    named = {key: text for key in ("name", "license", "basename", "size_label") if (text := header.text(f"general.{key}"))}
    return {
        "file": str(model.files[0].absolute()),
        "parts": len(model.parts),
        "quantisation": model.label,
        "bits": round(model.bits, 2),
        "rounded": model.rounded,
        "architecture": header.architecture,
        "parameters": model.parameters,
        "doubts": model.doubts,
        **named,
    }


def told_of(manifest: dict[str, Any]) -> dict[str, Any]:
    """`described`, of the manifest of a folder that was read from GGUF; empty for any other."""
    kept = manifest.get("gguf")
    return kept if manifest.get("kind") == MANIFEST_KIND and isinstance(kept, dict) else {}


def useless(folder: Path) -> bool:
    """Whether a folder was read from GGUF and nothing will find it again: its file has gone, or another version reads now."""
    with contextlib.suppress(errors.SftqaError):
        manifest = read_manifest(folder)
        described_there = told_of(manifest)
        return bool(described_there) and (
            manifest.get("readers") != reader_versions() or not Path(str(described_there.get("file"))).exists()
        )
    return False


def _key(found: list[str], versions: dict[str, str]) -> str:
    return fingerprint({"files": found, "readers": versions, "schema": SCHEMA})


@contextlib.contextmanager
def _alone(place: Path, reporter: Reporter) -> Iterator[None]:
    lock = FileLock(place)
    with storing(place):
        place.parent.mkdir(parents=True, exist_ok=True)
    while True:
        reporter.check()
        with contextlib.suppress(Timeout), storing(place):
            lock.acquire(timeout=1)
            break
    try:
        yield
    finally:
        lock.release()


def _read(model: GgufModel, name: str, work: Path, reporter: Reporter) -> None:
    """Fill `work` by a process of its own."""
    request = {
        "parts": [str(path.absolute()) for path in model.files],
        "work": str(work),
        "limit_bytes": int(_LIMIT * need(model).ram) + 2 * model.size_bytes,
    }
    patience_s = _START_S + _S_PER_MILLION * model.parameters / 1e6
    end = _watched(request, name, reporter, time.monotonic() + patience_s, patience_s)
    if "done" not in end:
        kind = getattr(errors, str(end.get("kind")), errors.ModelUnavailable)
        if kind is errors.StorageError:
            raise errors.StorageError(end["error"], end.get("number"))
        raise kind(end["error"])


def _watched(request: dict[str, Any], name: str, reporter: Reporter, until_s: float, patience_s: float) -> dict[str, Any]:
    """What the process says at its end."""
    phase = Phase(reporter, "read", len(_STEPS), "steps")
    offline = {key: value for key, value in our_environment().items() if key not in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")}
    offline["HF_HUB_OFFLINE"] = "1"
    with answers("sftqa_core.models.gguf.gguf_child", request, offline) as lines:
        while True:
            reporter.check()
            try:
                message = lines.get(timeout=_LOOK_S)
            except queue.Empty:
                message = {}
            if "done" in message or "error" in message:
                return message
            if "ended" in message:
                said = errors.first_line(ChildProcessError(message["ended"]))
                return {"error": f"{name} could not be read: the process that reads it ended early ({said}). Try again with more free RAM."}
            if message.get("step") in _STEPS:
                phase.advance(_STEPS.index(message["step"]) + 1 - phase.done)
            if time.monotonic() > until_s:
                return {"error": f"{name} was not read within {patience_s / 60:.0f} minutes. Close other programs, then try again."}


def link(file: Path, place: Path) -> None:
    """The file under another name, without a copy where the system can do that."""
    try:
        place.symlink_to(file)
    except OSError:
        try:
            os.link(file, place)
        except OSError:
            shutil.copyfile(file, place)
