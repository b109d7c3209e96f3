"""The store under any sequence of writes, kills, damage, reads and sweeps: nothing that was finished is ever lost or half."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sftqa_core.artifacts import disk, finished, is_set_aside, left_behind, read_kept, write_bytes, write_folder
from sftqa_core.artifacts.disk import _LEFT, exchange, prefix, sweep
from tests.amount import FULL

STEPS = ("open", "mkdir", "chmod", "fsync", "replace", "rename", "unlink", "rmdir")
REAL = {name: getattr(os, name) for name in STEPS}
NAMES = st.sampled_from(["one", "two", "one.x"])
CONTENTS = st.binary(max_size=300)


class Killed(BaseException):
    """The process has ended: no step on the disk works from here on, cleaning up neither."""


class Machine:
    """Processes that follow one another on one disk; the present one can be made to end at its n-th step."""

    def __init__(self, exchanges: bool):
        self.pid, self.left, self.exchanges, self.saved = 900_000_000, -1, exchanges, {}

    def __enter__(self) -> "Machine":
        import psutil

        self.saved = {"getpid": os.getpid, "exchange": disk.exchange, "process": psutil.Process}
        os.getpid = lambda: self.pid
        disk.exchange = self.swap
        psutil.Process = self.process
        for name in STEPS:
            setattr(os, name, self.step(name))
        return self

    def __exit__(self, *error: object) -> None:
        import psutil

        os.getpid, disk.exchange, psutil.Process = self.saved["getpid"], self.saved["exchange"], self.saved["process"]
        for name, call in REAL.items():
            setattr(os, name, call)

    def process(self, pid: int) -> Any:
        import psutil

        if pid != self.pid:
            raise psutil.NoSuchProcess(pid)
        return self.saved["process"](self.saved["getpid"]())

    def step(self, name: str) -> Callable[..., Any]:
        def call(*given: Any, **more: Any) -> Any:
            self.count()
            return REAL[name](*given, **more)

        return call

    def swap(self, one: Path, other: Path) -> bool:
        self.count()
        return exchange(one, other) if self.exchanges else False

    def count(self) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1

    def run(self, work: Callable[[], object], end_at: int) -> bool:
        """Whether a new process got through `work`; `end_at` -1 lets it."""
        self.pid, self.left = self.pid + 1, end_at
        try:
            work()
        except Killed:
            self.pid += 1
            return False
        finally:
            self.left = -1
        return True


def content_of(manifest: dict[str, Any], content: bytes) -> bytes:
    return content


class Store(RuleBasedStateMachine):
    """What the store may hold, beside the real one."""

    @initialize(exchanges=st.booleans())
    def start(self, exchanges: bool) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name) / "cells"
        self.root.mkdir()
        self.machine = Machine(exchanges).__enter__()
        self.may: dict[str, set[bytes]] = {}  # name -> what a reader may find; in `lost` nothing, too
        self.lost: set[str] = set()
        self.before: dict[str, set[bytes]] = {}  # what a killed writer may have moved aside: it comes back where the new is damaged
        self.aside = 0

    @rule(name=NAMES, content=CONTENTS, end_at=st.integers(-1, 27))
    def write(self, name: str, content: bytes, end_at: int) -> None:
        def fill(folder: Path) -> None:
            (folder / "text").write_bytes(content)
            (folder / "more").write_bytes(content[::-1])

        through = self.machine.run(lambda: write_folder(self.root / name, fill, {"settings": name}), end_at)
        if through:
            self.may[name] = {content}
            self.lost.discard(name)
            self.before.pop(name, None)
            return
        if name not in self.may:
            self.lost.add(name)
        self.before.setdefault(name, set()).update(self.may.get(name, ()))
        self.may.setdefault(name, set()).add(content)

    @rule(name=NAMES)
    def read(self, name: str) -> None:
        found = read_kept(self.root / name, name, "text", content_of, own=True)
        if found is None:
            assert name not in self.may or name in self.lost, f"{name} is lost"
            return
        assert found in self.may[name]
        self.may[name] = {found}  # what was seen once stays
        self.lost.discard(name)

    @precondition(lambda self: self.may)
    @rule(data=st.data())
    def harm(self, data: st.DataObject) -> None:
        """A file is cut or one of its bytes changes: the next read says there is none, and the file is still there."""
        name = data.draw(st.sampled_from(sorted(self.may)))
        self.read(name)
        if name not in self.may or name in self.lost:
            return
        path = self.root / name / data.draw(st.sampled_from(["text", "manifest.json"]))
        content = path.read_bytes()
        written = content.rstrip(b"\n") if path.name == "manifest.json" else content  # without its last line's end it is as whole
        if not written:
            return
        place = data.draw(st.integers(0, len(written) - 1))
        changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        path.write_bytes(data.draw(st.sampled_from([content[:place], changed])))
        assert read_kept(self.root / name, name, "text", content_of, own=True) is None
        self.aside += 1
        self.may[name] = self.before.pop(name, set())
        self.lost.add(name)
        if not self.may[name]:
            del self.may[name]
            self.lost.discard(name)

    @rule()
    def tidy(self) -> None:
        sweep(self.root)
        assert list(left_behind(self.root)) == []

    @invariant()
    def nothing_is_hidden(self) -> None:
        if not hasattr(self, "may"):
            return
        listed = finished([self.root])
        assert set(self.may) - self.lost <= set(listed) <= set(self.may)
        assert sum(is_set_aside(path.name) for path in self.root.iterdir()) == self.aside

    def teardown(self) -> None:
        if hasattr(self, "machine"):
            self.machine.__exit__()
            self.folder.cleanup()


TestStore = Store.TestCase
TestStore.settings = settings(
    max_examples=150 if FULL else 40,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@settings(max_examples=150 if FULL else 60, deadline=None)
@given(old=CONTENTS, new=CONTENTS, end_at=st.integers(-1, 12))
def test_a_file_is_old_or_new_and_nothing_is_left_beside_it(old: bytes, new: bytes, end_at: int):
    """Whichever step its writer was killed at; the next writer sweeps what it left."""
    with tempfile.TemporaryDirectory() as folder, Machine(exchanges=True) as machine:
        path = Path(folder) / "file.json"
        write_bytes(path, old)
        through = machine.run(lambda: write_bytes(path, new), end_at)
        assert path.read_bytes() in ({new} if through else {old, new})
        write_bytes(path, old)
        assert [(found.name, found.read_bytes()) for found in Path(folder).iterdir()] == [("file.json", old)]


@settings(max_examples=300 if FULL else 100, deadline=None)
@given(name=st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=40))
def test_working_names_are_told_from_all_others(name: str):
    """A working name is known as one, gives the name back, and no other name is taken for one or for what is set aside."""
    working = prefix(name) + "abc_1234"
    found = _LEFT.fullmatch(working)
    assert (found["name"], int(found["pid"]), found["old"]) == (name, os.getpid(), None)
    assert _LEFT.fullmatch(f"{working}.old")["old"] == ".old"
    assert not is_set_aside(working)
    assert not name.startswith(".") or not is_set_aside(f"{name}.x")
