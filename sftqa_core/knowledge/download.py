"""Fetch EntityQuestions from its official address, check every file, and keep it in the workspace."""

from __future__ import annotations

import http.client
import os
import tempfile
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from sftqa_core.artifacts import write_folder
from sftqa_core.errors import FactsError
from sftqa_core.knowledge.entity_questions import LAYOUT, NAME, differing_files, published_checksums, read_entity_files
from sftqa_core.progress import Phase, Reporter, Silent
from sftqa_core.workspace import Workspace

URL = "https://nlp.cs.princeton.edu/projects/entity-questions/dataset.zip"
VARIABLE = "SFTQA_ENTITY_QUESTIONS"
MAX_ZIP_BYTES = 200_000_000
TIMEOUT_S = 30
_PIECE = 1 << 18
_LONGEST = 300  # characters of another library's words
WITHOUT_NETWORK = f"If you have the files, set {VARIABLE} to their folder or zip ({LAYOUT}), or give that path as the source."

Open = Callable[[str], AbstractContextManager[Any]]


def downloaded_folder(workspace: Workspace | None = None) -> Path:
    """Where the downloaded files lie, once they do."""
    return (workspace or Workspace.current()).datasets / NAME


def download(workspace: Workspace | None = None, reporter: Reporter | None = None, connect: Open | None = None) -> Path:
    """The folder with the 72 files, downloaded and checked against their SHA-256; nothing stays behind on failure.

    Raises `FactsError` when the address can't be reached or what came is not the published dataset, `Stopped` when the
    person stops it. `connect` opens a URL (tests hand in their own).
    """
    target = downloaded_folder(workspace)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".download-", suffix=".zip", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            _fetch(connect or _connect, out, reporter or Silent())
        files = read_entity_files(Path(name))
    finally:
        Path(name).unlink(missing_ok=True)
    wrong = differing_files(files)
    if wrong:
        some = ", ".join(wrong[:5]) + (" and others" if len(wrong) > 5 else "")
        raise FactsError(
            f"What {URL} sent is not the published dataset: {len(wrong)} files are missing or differ ({some}). {WITHOUT_NETWORK}"
        )
    known = {name: content for name, content in files.items() if name in published_checksums()}
    return write_folder(target, lambda work: _write(known, work), {"kind": "dataset", "url": URL})


def _connect(url: str) -> AbstractContextManager[Any]:
    return urllib.request.urlopen(url, timeout=TIMEOUT_S)


def _fetch(connect: Open, out: Any, reporter: Reporter) -> None:
    try:
        with connect(URL) as answer:
            size = int(answer.headers.get("Content-Length") or 0)
            phase = Phase(reporter, "download", max(size, 1), "bytes")
            while piece := answer.read(_PIECE):
                out.write(piece)
                if phase.done + len(piece) > MAX_ZIP_BYTES:
                    raise FactsError(f"{URL} sends more than {MAX_ZIP_BYTES:,} bytes, so it is not EntityQuestions. {WITHOUT_NETWORK}")
                phase.advance(len(piece))
    except (OSError, http.client.HTTPException, ValueError) as error:  # URLError and time-outs are OSErrors
        reason = getattr(error, "reason", None) or error
        raise FactsError(
            f"EntityQuestions could not be downloaded from {URL}: {reason}. Is this machine online? {WITHOUT_NETWORK}"
        ) from error


def _write(files: dict[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)


def first_line(error: BaseException) -> str:
    """What an exception of another library says, in one line that can be shown: the hub's token never stands in it."""
    from huggingface_hub import get_token

    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    token = get_token()
    return (said.replace(token, "(token)") if token else said)[:_LONGEST].rstrip(".: ")
