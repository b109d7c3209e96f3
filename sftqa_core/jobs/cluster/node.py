"""What a worker of the cluster is: it says who it is, and does pieces. It runs in Ray's process and knows nothing of Ray.

Nothing is sent back but whether it worked, and lines for the log: results are in the cache, which all machines share.
"""

import contextlib
import errno
import functools
import hashlib
import json
import os
import platform
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftqa_core import errors
from sftqa_core.artifacts import program_version, refusal, versions
from sftqa_core.errors import OutOfMemory, SftqaError, Stopped, StorageError
from sftqa_core.jsonrecord import Record
from sftqa_core.models.devices import resolve_device
from sftqa_core.progress import Silent
from sftqa_core.records.pieces import unpacked
from sftqa_core.workspace import PACKAGE

STOP, MARK = "stop", "mark"  # files of a work's folder in the shared cache
_LOOK_S = 0.5  # how often a worker looks for the stop request
_MEMORY = {"MemoryError", "OutOfMemoryError", "OutOfMemory"}


@dataclass(frozen=True)
class Build(Record):
    """Which program it is: two that differ may give different numbers."""

    version: str
    commit: str  # empty outside a checkout
    code: str  # of all files of the program, changed ones too
    libraries: dict[str, str]

    @classmethod
    def here(cls) -> "Build":
        """This one."""
        libraries = {name: version.partition("+")[0] for name, version in versions().items() if name != "python"}
        return cls(program_version(), _commit(PACKAGE.parent), code_fingerprint(), libraries)

    @property
    def place(self) -> str:
        """Its commit and its code, which may have been changed since."""
        return f"{self.commit[:12] or 'unknown'} (code {self.code})"

    def differs(self, other: "Build") -> str:
        """What is different in another one, in words; empty where nothing is that numbers depend on."""
        if self.version != other.version:
            return f"version {other.version}, here it is {self.version}"
        if self.code != other.code:
            return f"commit {other.place}, here it is {self.place}"
        names = sorted(self.libraries.keys() | other.libraries.keys())
        wrong = [name for name in names if self.libraries.get(name) != other.libraries.get(name)]
        return ", ".join(f"{name} {other.libraries.get(name, 'missing')}, here {self.libraries.get(name, 'missing')}" for name in wrong)


def _commit(root: Path) -> str:
    """The commit that a checkout is at, read without git."""
    with contextlib.suppress(OSError):
        head = (root / ".git" / "HEAD").read_text(encoding="utf-8").strip()
        name = head.removeprefix("ref: ")
        return head if name == head else (root / ".git" / name).read_text(encoding="utf-8").strip()
    return ""


@functools.cache
def code_fingerprint() -> str:
    """A hash of this program's modules."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(f"{path.relative_to(PACKAGE).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


class NodeReporter(Silent):
    """Keeps lines until the piece's end, each once (pieces of a probe say the same), and looks for the stop request."""

    def __init__(self, folder: Path):
        self._stop, self._looked_s = folder / STOP, -1e9
        self.lines: list[str] = []
        self._logged: set[str] = set()

    def log(self, line: str) -> None:
        if line not in self._logged:
            self._logged.add(line)
            self.lines.append(line)

    def check(self) -> None:
        if time.monotonic() - self._looked_s >= _LOOK_S:
            self._looked_s = time.monotonic()
            if self._stop.exists():
                raise Stopped("Stopped on request.")


class Node:
    """One worker of the cluster: it has one device, and keeps what it has loaded."""

    def __init__(self, folder: str, environment: dict[str, str], cwd: str):
        os.environ.update(environment)
        with contextlib.suppress(OSError):
            os.chdir(cwd)  # relative paths of facts and models mean the same as where the work was started
        self._folder = Path(folder)
        self._reporter = NodeReporter(self._folder)
        self._runner: Any = None

    def hello(self, device: str) -> dict[str, Any]:
        """Which program this is, on which device it computes, and what it finds in the work's folder."""
        said: dict[str, Any] = {"host": platform.node(), "pid": os.getpid(), "build": Build.here().to_dict(), "mark": "", "error": None}
        with contextlib.suppress(OSError):
            said["mark"] = (self._folder / MARK).read_text(encoding="utf-8")
        try:
            return {**said, "device": resolve_device(device)}
        except SftqaError as error:
            return {**said, "device": "", "error": told(error)}

    def run(self, piece: str) -> dict[str, Any]:
        """Do a piece of work: {"error": None, or what `raised` makes an exception of, "lines": for the log}."""
        error = None
        try:
            if self._runner is None:
                from sftqa_core.workflows.piece_runner import PieceRunner

                self._runner = PieceRunner(self._reporter)
            self._runner.do(unpacked(json.loads(piece)))
        except Exception as raised_here:
            error = told(raised_here)
        lines, self._reporter.lines = self._reporter.lines, []
        return {"error": error, "lines": [f"{platform.node()}: {line}" for line in lines]}


def told(error: Exception) -> dict[str, Any]:
    """An exception as JSON. Of one that nothing has put into words, what a job's own process would say."""
    where = f" (on {platform.node()})"
    if isinstance(error, SftqaError):
        number = error.errno if isinstance(error, StorageError) else None
        return {"kind": type(error).__name__, "said": f"{error}{where}", "errno": number}
    traceback.print_exc()
    if {kind.__name__ for kind in type(error).__mro__} & _MEMORY or "can't allocate memory" in str(error):
        said = f"Memory ran out{where}. Use a smaller batch size or model, or train with LoRA."
        return {"kind": OutOfMemory.__name__, "said": said, "errno": None}
    if (number := refusal(error)) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return {"kind": StorageError.__name__, "said": f"The disk is full ({error}){where}. Free some space.", "errno": number}
    return {"kind": SftqaError.__name__, "said": f"{type(error).__name__}: {error}{where}", "errno": None}


def raised(content: Mapping[str, Any]) -> SftqaError:
    """The exception that `told` described."""
    kind = getattr(errors, str(content["kind"]), SftqaError)
    if kind is StorageError:
        return StorageError(content["said"], content["errno"])
    return kind(content["said"]) if isinstance(kind, type) and issubclass(kind, SftqaError) else SftqaError(content["said"])
