"""Large sources are read once; what was kept is used only for these very files."""

import os
from pathlib import Path

import pandas as pd
import pytest

from sftqa_core import artifacts
from sftqa_core.artifacts import read_manifest, write_folder
from sftqa_core.knowledge import sources
from sftqa_core.knowledge import sources as prepared
from sftqa_core.knowledge.facts import write_facts
from sftqa_core.knowledge.sources import open_source


@pytest.fixture
def file(tmp_path, monkeypatch) -> Path:
    """A person's file, in a house where twenty facts are many; each opening reads anew, or what was kept."""
    monkeypatch.setattr(prepared, "LARGE", 20)
    monkeypatch.setattr(sources, "_KEPT", 1)
    path = tmp_path / "own.csv"
    write(path, "Rome")
    return path


def write(path: Path, last: str) -> None:
    answers = [f"Town {number % 7}" for number in range(29)] + [last]
    pd.DataFrame({"relation": "P19", "subject": [f"Person {n}" for n in range(30)], "object": answers}).to_csv(path, index=False)


def opened(path: Path, monkeypatch, reads: list[str] | None = None):
    """The source as a new process would open it."""
    monkeypatch.setattr(sources, "_opened", {})
    real = sources.load_own
    with monkeypatch.context() as patch:
        patch.setattr(sources, "load_own", lambda *a, **more: (reads.append("read") if reads is not None else None) or real(*a, **more))
        return open_source(str(path))


def folders(workspace) -> list[Path]:
    return sorted((workspace.root / "sources").glob("*"))


def test_a_large_source_is_read_once_and_the_same_afterwards(file, workspace, monkeypatch):
    """The second opening reads no file of the person's and has the same facts, relations, report, fingerprint and notes."""
    reads: list[str] = []
    first, second = (opened(file, monkeypatch, reads) for _ in range(2))
    assert reads == ["read"]
    pd.testing.assert_frame_equal(first.facts, second.facts)
    for name in ("name", "relations", "report", "fingerprint", "notes"):
        assert getattr(second, name) == getattr(first, name)
    assert all(isinstance(answers, list) for answers in second.facts["answers"])


def test_another_file_is_read_anew(file, workspace, monkeypatch):
    """A change of its size or time counts, and the kept one is replaced."""
    opened(file, monkeypatch)
    write(file, "Lima")
    os.utime(file, ns=(1, 1))
    reads: list[str] = []
    assert "Lima" in opened(file, monkeypatch, reads).facts["answers"].explode().tolist()
    assert reads == ["read"]
    assert len(folders(workspace)) == 1


@pytest.mark.parametrize("harm", ["cut", "another fact", "manifest", "rules", "nothing of a source"])
def test_what_was_kept_and_is_damaged_or_older_is_read_anew(file, workspace, monkeypatch, harm):
    """A file cut short, a manifest of nonsense or other rules: the person's file is read again, to the same facts."""
    first = opened(file, monkeypatch)
    (folder,) = folders(workspace)
    if harm == "rules":
        monkeypatch.setattr(prepared, "SCHEMA", prepared.SCHEMA + 1)
    elif harm == "nothing of a source":
        write_folder(folder, lambda work: None, {"kind": "source", "of": read_manifest(folder)["of"], "relations": 3})
    elif harm == "another fact":
        other = first.facts.assign(answers=[["Elsewhere"]] * len(first.facts))
        write_facts(other, folder / "facts.parquet")
    else:
        broken = folder / ("facts.parquet" if harm == "cut" else "manifest.json")
        broken.write_bytes(broken.read_bytes()[:-30])
    reads: list[str] = []
    pd.testing.assert_frame_equal(opened(file, monkeypatch, reads).facts, first.facts)
    assert reads == ["read"]
    reads.clear()
    opened(file, monkeypatch, reads)
    assert reads == []


def test_another_versions_is_left_alone(file, workspace, monkeypatch):
    """It is neither read nor replaced; the person's file is read each time."""
    first = opened(file, monkeypatch)
    (folder,) = folders(workspace)
    monkeypatch.setattr(artifacts, "SCHEMA", 99)
    pd.testing.assert_frame_equal(opened(file, monkeypatch).facts, first.facts)
    monkeypatch.undo()
    assert read_manifest(folder)["schema"] != 99


def test_small_sources_and_those_without_files_leave_nothing(file, workspace, monkeypatch):
    """Reading them again costs nothing that anyone would notice."""
    monkeypatch.setattr(prepared, "LARGE", 31)
    opened(file, monkeypatch)
    open_source("atlas")
    assert folders(workspace) == []


def test_a_disk_that_takes_nothing_is_no_trouble(file, workspace, monkeypatch):
    """The source is opened as ever, and read again the next time."""
    workspace.root.mkdir(parents=True, exist_ok=True)
    (workspace.root / "sources").write_text("in the way")
    assert len(opened(file, monkeypatch).facts) == 30


def test_other_built_in_templates_make_it_read_anew(file, workspace, monkeypatch):
    """A newer version of the program may word a relation otherwise: what was kept with the old words is not used."""
    opened(file, monkeypatch)
    monkeypatch.setattr(prepared, "_wording", lambda: "other words")
    reads: list[str] = []
    opened(file, monkeypatch, reads)
    assert reads == ["read"]
