"""What killed writers leave is brought back or swept, each by a rule that can't take it from a living one."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sftqa_core.artifacts import (
    MANIFEST,
    finished,
    is_finished,
    is_set_aside,
    left_behind,
    read_manifest,
    set_aside,
    write_bytes,
    write_folder,
)
from sftqa_core.artifacts.disk import prefix
from tests.artifacts.disks import make_read_only, mounted

DAY_S = 86_400


def write(target: Path, text: str) -> Path:
    return write_folder(target, lambda folder: (folder / "text").write_text(text) and None, {"kind": "test"})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def left_by_the_dead(name: str) -> str:
    """A working folder's name as a process that has ended leaves it."""
    code = f"from sftqa_core.artifacts.disk import prefix; print(prefix({name!r}) + 'abcd_123')"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def elsewhere(name: str) -> str:
    """The same of another machine, whose process number happens to run here, too."""
    return f".{name}.{os.getpid()}-00000000.abcd_123"


def aged(path: Path, seconds: float) -> Path:
    for found in (*path.rglob("*"), path):
        os.utime(found, (time.time() - seconds,) * 2)
    return path


def test_what_a_dead_writer_left_is_swept_at_once(tmp_path):
    """Files and folders of a process of this machine that is gone; those of this process, and the day's of another machine, stay."""
    mine = prefix("file") + "abcd_123"
    for name in (left_by_the_dead("one"), elsewhere("two"), mine):
        (tmp_path / name).mkdir()
    (tmp_path / left_by_the_dead("three.json")).write_text("half")
    old = tmp_path / elsewhere("four")
    old.mkdir()
    aged(old, 2 * DAY_S)
    assert len(list(left_behind(tmp_path))) == 5
    write_bytes(tmp_path / "result", b"new")
    assert names(tmp_path) == sorted([elsewhere("two"), mine, "result"])


@pytest.mark.parametrize("look", [finished, "manifest", "write"])
def test_what_was_moved_aside_comes_back_at_once(tmp_path, look):
    """Whoever looks at a result, or writes another one beside it, finds it whole again after its replacer was killed."""
    write(tmp_path / "result", "old")
    os.rename(tmp_path / "result", tmp_path / (left_by_the_dead("result") + ".old"))
    if look == "write":
        write(tmp_path / "other", "new")
    elif look == "manifest":
        assert read_manifest(tmp_path / "result")["kind"] == "test"
    else:
        assert finished([tmp_path]) == {"result": tmp_path / "result"}
    assert (tmp_path / "result" / "text").read_text() == "old"
    assert set(names(tmp_path)) <= {"result", "other"}


def test_what_a_living_writer_moved_aside_stays_until_it_is_through(tmp_path):
    """Of this machine: as long as it runs. Of another one: for a minute, then it comes back."""
    write(tmp_path / "mine", "old")
    os.rename(tmp_path / "mine", tmp_path / (prefix("mine") + "abcd_123.old"))
    assert not is_finished(tmp_path / "mine")
    write(tmp_path / "theirs", "old")
    os.rename(tmp_path / "theirs", tmp_path / (elsewhere("theirs") + ".old"))
    assert not is_finished(tmp_path / "theirs")
    now = time.time
    with pytest.MonkeyPatch.context() as later:
        later.setattr(time, "time", lambda: now() + 120)
        assert is_finished(tmp_path / "theirs")
    assert not is_finished(tmp_path / "mine")


def test_the_last_of_several_comes_back_and_others_go(tmp_path):
    """Two replacers were killed one after the other: what the second moved aside is the result."""
    dead = left_by_the_dead("result")
    for text, end in (("first", "aaaaaaaa.old"), ("second", "bbbbbbbb.old")):
        write(tmp_path / "result", text)
        os.rename(tmp_path / "result", tmp_path / (dead.removesuffix("abcd_123") + end))
        time.sleep(0.02)
    assert is_finished(tmp_path / "result")
    write(tmp_path / "other", "new")
    assert (tmp_path / "result" / "text").read_text() == "second"
    assert names(tmp_path) == ["other", "result"]


def test_a_result_moved_aside_is_listed_on_a_read_only_disk(tmp_path):
    """Nothing can be renamed there; the list gives the place where it lies."""
    with mounted(tmp_path / "disk") as disk:
        write(disk / "result", "old")
        aside = disk / (left_by_the_dead("result") + ".old")
        os.rename(disk / "result", aside)
        make_read_only(disk)
        assert finished([disk]) == {"result": aside}
        assert (finished([disk])["result"] / "text").read_text() == "old"


def test_what_is_set_aside_is_never_listed_and_never_replaced(tmp_path):
    """Each gets a name of its own; a result of that name can be made again."""
    for number in range(3):
        write(tmp_path / "result", str(number))
        assert set_aside(tmp_path / "result").name == "result.damaged" + (f".{number + 1}" if number else "")
    assert finished([tmp_path]) == {}
    write(tmp_path / "result", "whole")
    assert finished([tmp_path]) == {"result": tmp_path / "result"}
    assert names(tmp_path) == ["result", "result.damaged", "result.damaged.2", "result.damaged.3"]
    assert [is_set_aside(name) for name in ("result.damaged.2", "result.damaged.x", "damaged", "result")] == [True, False, False, False]
    assert (tmp_path / "result.damaged" / MANIFEST).exists()


def test_setting_aside_takes_nothing_that_has_just_been_made_anew(tmp_path):
    """Meant was another folder: the one that took its place stays."""
    write(tmp_path / "result", "new")
    assert set_aside(tmp_path / "result", (1, 1)) is None
    assert set_aside(tmp_path / "nothing") is None
    assert names(tmp_path) == ["result"]
