"""Ends a writer at its k-th step on the disk, for every k, and looks at what a reader then sees.

    python killing.py ROOT folder|file kill|cut exchange|renames

Prints a JSON list: [step's name, what a reader sees, what it sees after the next write, names left then], a row a step.
`cut` is a power cut: content that was not flushed is lost, and so are names in folders that were not flushed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sftqa_core.artifacts import damaged_files, disk, finished, write_bytes, write_folder
from sftqa_core.errors import SftqaError

STEPS = ("open", "mkdir", "chmod", "fsync", "replace", "rename", "unlink", "rmdir")
NAME = "result"


def write(root: Path, how: str, text: str) -> None:
    if how == "file":
        write_bytes(root / NAME, text.encode() * 100)
        return

    def fill(folder: Path) -> None:
        (folder / "text").write_text(text * 100)
        (folder / "inner").mkdir()
        (folder / "inner" / "more").write_text(text)

    write_folder(root / NAME, fill, {"kind": "test", "settings": text})


def seen(root: Path, how: str) -> str:
    if how == "file":
        text = (root / NAME).read_text() if (root / NAME).exists() else "nothing"
        return text[:3] if text == text[:3] * 100 else text
    try:
        place = finished([root]).get(NAME)
        return "nothing" if place is None else ", ".join(damaged_files(place)) or (place / "text").read_text()[:3]
    except SftqaError as error:
        return str(error)


class Disk:
    """Counts steps, and knows what a power cut would lose."""

    def __init__(self, root: Path, end_at: int, cut: bool):
        self.root, self.left, self.cut = root, end_at, cut
        self.before = {path.stat().st_ino for path in root.rglob("*") if path.is_file()}
        self.flushed: set[int] = set()
        self.undo: list[tuple[int, Callable[[], None]]] = []  # (folder, how) of names that are not on the disk yet
        self.real = {name: getattr(os, name) for name in STEPS}
        for name in STEPS:
            setattr(os, name, self.step(name))
        self.exchange = disk.exchange
        disk.exchange = self.swap

    def step(self, name: str) -> Callable[..., Any]:
        def call(*given: Any, **more: Any) -> Any:
            self.count(name)
            if name == "fsync":
                inode = os.fstat(given[0]).st_ino
                self.flushed.add(inode)
                self.undo = [entry for entry in self.undo if entry[0] != inode]
            done = self.real[name](*given, **more)
            if name in ("replace", "rename"):
                old, new = map(Path, given[:2])
                self.undo.append((new.parent.stat().st_ino, lambda: None if new.is_file() else self.real["rename"](new, old)))
            return done

        return call

    def swap(self, one: Path, other: Path) -> bool:
        self.count("exchange")
        if done := self.exchange(one, other):
            self.undo.append((other.parent.stat().st_ino, lambda: self.exchange(one, other) and None))
        return done

    def count(self, name: str) -> None:
        self.left -= 1
        if self.left:
            return
        if self.cut:
            for _, back in reversed(self.undo):
                back()
            for path in self.root.rglob("*"):
                if path.is_file() and path.stat().st_ino not in self.flushed | self.before:
                    os.truncate(path, path.stat().st_size // 2)
        os.write(1, name.encode())
        os._exit(9)


def end_at(root: Path, how: str, number: int, cut: bool) -> str | None:
    """Let a child write until its step of that number; the step's name, or None when it was through before."""
    read, wrote = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(wrote, 1)
        Disk(root, number, cut)
        write(root, how, "new")
        os._exit(0)
    os.close(wrote)
    with os.fdopen(read) as told:
        name = told.read()
    return name if os.waitpid(child, 0)[1] else None


def main(root: Path, how: str, mode: str, swap: str) -> None:
    if swap == "renames":
        disk.exchange = lambda one, other: False
    rows = []
    while True:
        place = root / str(len(rows))
        place.mkdir(parents=True)
        write(place, how, "old")
        name = end_at(place, how, len(rows) + 1, mode == "cut")
        if name is None:
            break
        found = seen(place, how)
        write(place, how, "3rd")
        rows.append((name, found, seen(place, how), sorted(path.name for path in place.iterdir())))
    print(json.dumps(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
