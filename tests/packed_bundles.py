"""Bundles for tests: of made-up runs, unpacked, changed and packed again as somebody else would."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from sftqa_core import workflows
from tests.made_runs import made_run

RUN = "20260101-120000-base-n60-full-s0-abcd"
RIGHT = [at % 3 != 0 for at in range(80)]


def packed(folder: Path, **settings: object) -> Path:
    """A bundle of one run, in a file named mine.zip."""
    made_run(RUN, RIGHT, **settings)
    workflows.pack([RUN], folder / "mine.zip")
    return folder / "mine.zip"


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {member.filename: archive.read(member) for member in archive.infolist()}


def repacked(
    path: Path, files: Mapping[str, bytes | None], change: Callable[[dict], None] = lambda manifest: None, sign: bool = True
) -> Path:
    """The bundle with these files in it, too, or in place of its own; those that are None are left out. With `sign` the checksums are
    made to fit, as whoever tampers with a bundle would; `change` is made in bundle.json afterwards."""
    whole = {name: content for name, content in (contents(path) | dict(files)).items() if content is not None}
    manifest = json.loads(whole.pop("bundle.json"))
    if sign:
        sums = {name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)} for name, content in whole.items()}
        manifest["files"] = sums
    change(manifest)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {"bundle.json": json.dumps(manifest).encode(), **whole}.items():
            archive.writestr(name, content)
    return path
