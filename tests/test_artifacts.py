"""A result is complete or it is not there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sftqa_core import artifacts
from sftqa_core.artifacts import damaged_files, place_of, read_kept, read_manifest, require_whole, write_folder
from sftqa_core.errors import ArtifactDamaged, NotFound, OtherVersion


def _write(target: Path, text: str) -> Path:
    return write_folder(target, lambda folder: (folder / "text").write_text(text) and None, {"kind": "test"})


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def _aged(folder: Path, hours: float) -> Path:
    folder.mkdir()
    (folder / "text").write_text("left")
    when = folder.stat().st_mtime - hours * 3600
    for path in (folder / "text", folder):
        os.utime(path, (when, when))
    return folder


def test_an_existing_result_is_replaced(tmp_path: Path):
    """The new content stands there whole, and nothing else."""
    for text in ("old", "new"):
        _write(tmp_path / "result", text)
    assert (tmp_path / "result" / "text").read_text() == "new"
    assert damaged_files(tmp_path / "result") == []
    assert _names(tmp_path) == ["result"]


def test_a_result_that_can_not_be_put_in_place_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """When the new folder can't be renamed, the old result is back and no working folder stays."""
    _write(tmp_path / "result", "old")
    rename = os.replace

    def refuse(source: Path, target: Path) -> None:
        if Path(target).name == "result" and not str(source).endswith(".old"):
            raise OSError("no room")
        rename(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="no room"):
        _write(tmp_path / "result", "new")
    assert (tmp_path / "result" / "text").read_text() == "old"
    assert _names(tmp_path) == ["result"]


def test_a_kill_while_replacing_loses_nothing(tmp_path: Path):
    """At the moment between the two renames the old result and the new one are both on the disk, whole."""
    _write(tmp_path / "result", "old")
    code = (
        "import os, sys; from pathlib import Path; from sftqa_core.artifacts import write_folder\n"
        "target = Path(sys.argv[1]); rename = os.replace\n"
        "def kill(a, b): os._exit(9) if Path(b) == target else rename(a, b)\n"
        "os.replace = kill\n"
        "write_folder(target, lambda folder: (folder / 'text').write_text('new') and None, {'kind': 'test'})"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "result")], check=False).returncode == 9
    left = {(path / "text").read_text(): path for path in tmp_path.iterdir()}
    assert left.keys() == {"old", "new"}
    assert all(damaged_files(path) == [] for path in left.values())
    for path in (path for folder in left.values() for path in (*folder.iterdir(), folder)):
        os.utime(path, (0, 0))
    _write(tmp_path / "other", "more")
    assert _names(tmp_path) == ["other", "result"]
    assert (tmp_path / "result" / "text").read_text() == "old"


def test_what_dead_processes_left_is_swept_after_a_day(tmp_path: Path):
    """Only folders named by write_folder, of a process that is gone, untouched for a day."""
    dead = _dead_pid()
    swept = _aged(tmp_path / f".gone.{dead}.abcd_123", 25)
    kept = [
        _aged(tmp_path / f".young.{dead}.abcd_123", 23),
        _aged(tmp_path / f".alive.{os.getpid()}.abcd_123", 25),
        _aged(tmp_path / ".tiny.unfinished", 25),
        _aged(tmp_path / "plain", 25),
    ]
    _write(tmp_path / "result", "new")
    assert not swept.exists()
    assert all((path / "text").read_text() == "left" for path in kept)


def test_a_failure_leaves_nothing_behind(tmp_path: Path):
    """What fill raises passes through, and the old result stays."""
    _write(tmp_path / "result", "old")
    with pytest.raises(ZeroDivisionError):
        write_folder(tmp_path / "result", lambda folder: 1 / 0 and None, {})
    assert _names(tmp_path) == ["result"]
    assert (tmp_path / "result" / "text").read_text() == "old"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not readable JSON"),
        ("[" * 100_000, "not readable JSON"),
        ("[]", "must hold a JSON object, got list"),
        ("null", "must hold a JSON object, got NoneType"),
        ("{}", "lacks a schema number"),
        ('{"schema": 1}', "lacks its list of files"),
        ('{"schema": 1, "files": []}', "lacks its list of files"),
        ('{"schema": 99}', "has schema 99, this version reads 1"),
    ],
)
def test_a_damaged_manifest_is_told(tmp_path: Path, text: str, message: str):
    """Whatever stands in the file, one sentence says what is wrong and what to do."""
    (tmp_path / "manifest.json").write_text(text)
    for read in (read_manifest, damaged_files):
        with pytest.raises(ArtifactDamaged, match=message) as raised:
            read(tmp_path)
        assert "again" in str(raised.value)


def test_no_manifest_is_no_result(tmp_path: Path):
    """A folder that was never finished is told apart from a damaged one; a damaged file is named."""
    with pytest.raises(NotFound, match="no finished result"):
        read_manifest(tmp_path)
    _write(tmp_path / "result", "whole")
    (tmp_path / "result" / "text").write_text("half")
    assert damaged_files(tmp_path / "result") == ["text"]
    assert read_manifest(tmp_path / "result")["schema"] == artifacts.SCHEMA


def test_a_changed_manifest_is_damaged(tmp_path: Path):
    """One digit of a number that no file's checksum covers is enough; a manifest without a digest, of the first version, is read."""
    folder = write_folder(tmp_path / "result", lambda folder: None, {"kind": "test", "n": 240, "by": {1: 0.1}})
    path, text = folder / "manifest.json", (folder / "manifest.json").read_text()
    assert read_manifest(folder)["by"] == {"1": 0.1}
    path.write_text(text.replace("240", "241"))
    with pytest.raises(ArtifactDamaged, match="was changed since it was written"):
        read_manifest(folder)
    told = json.loads(text)
    del told["digest"]
    path.write_text(json.dumps({**told, "n": 241}))
    assert read_manifest(folder)["n"] == 241


def _of_version(folder: Path, schema: object) -> str:
    """Make a result look like another version's; returns its manifest's text."""
    told = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**told, "schema": schema}))
    return (folder / "manifest.json").read_text()


@pytest.mark.parametrize("schema", [99, 0, "2.0", None, [1]])
def test_another_versions_result_is_never_replaced(tmp_path: Path, schema: object):
    """Newer, older or unreadable: writing in its place is refused with what to do, and not a byte of it changes."""
    folder = _write(tmp_path / "result", "theirs")
    text = _of_version(folder, schema)
    with pytest.raises(OtherVersion, match=r"this version reads 1: another version of the program wrote it.*SFTQA_CACHE"):
        _write(folder, "ours")
    assert (folder / "manifest.json").read_text() == text
    assert (folder / "text").read_text() == "theirs"
    assert _names(tmp_path) == ["result"]


def _parse(manifest: dict, content: bytes) -> str:
    return content.decode()


def test_what_the_same_work_makes_again_lies_beside_another_versions(tmp_path: Path):
    """Both versions of the program keep their own result on one cache, and neither hides the other's."""
    folder = tmp_path / "key"
    write_folder(folder, lambda work: (work / "text").write_text("theirs") and None, {"settings": 1})
    _of_version(folder, 99)
    assert read_kept(folder, 1, "text", _parse, own=True) is None
    assert place_of(folder) == tmp_path / "key.schema-1"
    write_folder(place_of(folder), lambda work: (work / "text").write_text("ours") and None, {"settings": 1})
    assert read_kept(folder, 1, "text", _parse, own=True) == "ours"
    assert (folder / "text").read_text() == "theirs"
    assert _names(tmp_path) == ["key", "key.schema-1"]


@pytest.mark.parametrize("own", [True, False])
def test_a_damaged_result_that_can_be_made_again_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture, own: bool):
    """The log says which file and why. In the person's layer it is set aside; what ships stays."""
    folder = write_folder(tmp_path / "key", lambda work: (work / "text").write_text("whole") and None, {"settings": 1})
    assert read_kept(folder, 1, "text", _parse, own) == "whole"
    (folder / "text").write_text("whale")
    assert read_kept(folder, 1, "text", _parse, own) is None
    assert "key/text is not what was written: its checksum differs. Its work is done again" in caplog.text
    assert ("it was set aside as key.damaged" in caplog.text) == own
    assert _names(tmp_path) == ["key.damaged" if own else "key"]


def test_a_model_or_run_that_must_be_whole_says_what_makes_it_again(tmp_path: Path):
    """Nothing for a whole folder; else the files and the command."""
    folder = _write(tmp_path / "result", "whole")
    require_whole(folder, "Pre-train it again.")
    (folder / "text").unlink()
    with pytest.raises(ArtifactDamaged, match=r"result is damaged; not as it was written: text\. Pre-train it again\."):
        require_whole(folder, "Pre-train it again.")
