"""What lies in a cache, whether it is whole, and what can go: never anything that a run needs."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from filelock import FileLock

from sftqa_core.artifacts import set_aside, write_bytes, write_folder, write_json
from sftqa_core.memory.probe_stores import CompletionStore
from sftqa_core.memory.scores import COMPLETIONS, PROBED, parquet_bytes, part_name
from sftqa_core.records import SamplerSettings, StudySettings
from sftqa_core.studies.cells import Cells
from sftqa_core.training.runs import list_runs, write_run
from sftqa_core.workflows.study_reports import study_name, study_yaml
from sftqa_core.workflows.upkeep import DAMAGED, OTHER, clear, holdings, removable, unreadable_results, verify
from sftqa_core.workspace import Workspace
from tests.artifacts.test_leftovers import left_by_the_dead
from tests.studies.test_cells import IDS, RUN, TABLE
from tests.training.test_runs import contents

WEEK_S = 7 * 86_400


def nothing_in_use(kind: str, name: str, when: float) -> bool:
    return False


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A workspace with one result of every kind, and nothing shipped."""
    import pandas as pd

    monkeypatch.setenv("SFTQA_SHIPPED", str(tmp_path / "shipped"))
    place = Workspace.current()
    write_folder(place.models / "small", lambda folder: (folder / "model.safetensors").write_bytes(b"w" * 1000) and None, {"kind": "model"})
    write_run(place, "run", contents())
    Cells.of(place, {"weights": "w"}, "s", "a", IDS, 4e-4).write(RUN, TABLE, 58, {}, {})
    write_folder(place.root / "answers" / "0123", lambda folder: (folder / "x").write_text("x") and None, {"kind": "answers"})
    store = CompletionStore.of({"weights": "w", "adapter": None}, SamplerSettings(), place)
    rows = pd.DataFrame([("0" * 16, 0, "Paris", 5, 3, "end")], columns=COMPLETIONS.names)
    part = parquet_bytes(rows, COMPLETIONS)
    facts = parquet_bytes(pd.DataFrame([("0" * 16, "a", "tokens", ["Paris"])], columns=PROBED.names), PROBED)
    name, folder = part_name(part, facts), store.writable()
    write_bytes(folder / f"part-{name}", part)
    write_bytes(folder / f"facts-{name}", facts)
    study = StudySettings("amount", ("small",))
    write_bytes(place.studies / f"{study_name(study)}.yaml", study_yaml(study).encode())
    write_json(place.uploads / "mine.json", {})
    write_bytes(place.aliases, b"name,same_as\nUSA,US\n")
    write_folder(place.datasets / "entity-questions", lambda folder: (folder / "x").write_text("x") and None, {"kind": "dataset"})
    write_json(place.root / "notes" / "own.json", "not of this program")
    return place


def files(place: Workspace) -> list[str]:
    return sorted(path.relative_to(place.root).as_posix() for path in place.root.rglob("*"))


def aged(path: Path, seconds: float = WEEK_S + 60) -> Path:
    for found in (*path.rglob("*"), path):
        os.utime(found, (time.time() - seconds,) * 2)
    return path


def checkpoint(place: Workspace, key: str) -> Path:
    """A training's checkpoint as training/checkpoints.py leaves it."""
    folder = place.unfinished / key / "checkpoint-4"
    write_folder(folder, lambda work: (work / "optimizer.pt").write_bytes(b"x" * 5000) and None, {"kind": "checkpoint"})
    (place.unfinished / f"{key}.lock").touch()
    return folder.parent


def test_everything_is_counted_by_kind(place):
    """A row a kind with its number and size; what shipped is told apart, and what the program does not know is left out."""
    write_folder(place.shipped / "models" / "built-in", lambda folder: None, {"kind": "model"})
    rows = {(row.kind, row.own): row for row in holdings()}
    kinds = ["models", "runs", "completions", "answers", "cells", "studies", "downloads", "uploads", "aliases"]
    assert list(rows) == [*((kind, True) for kind in kinds), ("models", False)]
    assert {row.results for row in rows.values()} == {1}
    assert rows["models", True].size_bytes > 1000
    assert rows["aliases", True].size_bytes == 20


def test_a_whole_cache_passes(place):
    """Nothing is wrong with any of the nine results, and nothing can go."""
    assert verify() == (9, [], [])
    assert removable(nothing_in_use) == []
    assert unreadable_results() == []


HARM = {
    "models": "models/small/model.safetensors",
    "runs": "runs/run/predictions.parquet",
    "cells": "cells/*/answers.parquet",
    "answers": "answers/0123/x",
    "completions": "completions/*/facts-*.parquet",
    "studies": "studies/*.yaml",
    "downloads": "datasets/entity-questions/x",
    "aliases": "aliases.csv",
}


@pytest.mark.parametrize("kind", HARM)
def test_a_harmed_file_of_any_kind_is_named_and_can_be_set_aside(place, kind):
    """Only the result it belongs to is moved, under a name that is not listed; a table of aliases stays for the person to mend."""
    (path,) = place.root.glob(HARM[kind])
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    _, (fault,), moved = verify()
    assert (fault.kind, fault.state, fault.own, moved) == (kind, DAMAGED, True, [])
    assert path.is_relative_to(fault.path)
    before = files(place)
    _, _, moved = verify(move=True)
    if kind == "aliases":
        assert (moved, files(place)) == ([], before)
        return
    assert len(moved) == (2 if kind == "completions" else 1)
    assert all(Path(now).exists() and not Path(was).exists() and now.startswith(was + ".damaged") for was, now in moved)
    assert len(files(place)) == len(before)
    assert verify()[1] == []
    row = next(row for row in holdings() if row.kind == kind)
    assert (row.results, row.set_aside) == (1 if kind == "completions" else 0, len(moved))
    assert len(removable(nothing_in_use)) == len(moved)


def test_results_of_another_version_are_named_and_never_touched(place):
    """A run that no list shows is told of with why; verify does not move it and gc does not remove it, set aside or not."""
    manifest = place.runs / "run" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "schema": 2}))
    assert list_runs(place) == []
    ((folder, why),) = unreadable_results()
    assert folder == place.runs / "run"
    assert "has schema 2, this version reads 1: another version of the program wrote it" in why
    before = files(place)
    _, (fault,), moved = verify(move=True)
    assert (fault.state, moved, removable(nothing_in_use)) == (OTHER, [], [])
    assert files(place) == before
    row = next(row for row in holdings() if row.kind == "runs")
    assert (row.results, row.damaged, row.other_version) == (1, 0, 1)


def test_a_damaged_shipped_file_is_named_and_stays(place, tmp_path):
    """One manifest covers all that ships; what helps is to install the package again."""
    write_folder(tmp_path / "shipped", lambda work: write_json(work / "hits" / "key" / "part-000.parquet", "x"), {"kind": "shipped"})
    assert verify()[1] == []
    (place.shipped / "hits" / "key" / "part-000.parquet").write_text("y")
    _, (fault,), moved = verify(move=True)
    assert (fault.kind, fault.own, moved) == ("hits", False, [])
    assert fault.why == "It is not what was installed. Install the package again."


def test_what_no_run_needs_can_go(place):
    """Leftovers of the dead, what was set aside, kept reports and old unfinished work are listed, and removed when that is asked
    for; every other file stays."""
    before = files(place)
    write_bytes(place.root / "completions" / next((place.root / "completions").iterdir()).name / left_by_the_dead("part"), b"half")
    (place.uploads / ".checking-x").mkdir()
    aged(place.uploads / ".checking-x", 90_000)
    (place.studies / ".amount.yaml.abcd_123").write_text("half")
    aged(place.studies / ".amount.yaml.abcd_123", 90_000)
    (place.studies / ".amount.yaml.young_12").write_text("half")
    shutil.copytree(place.runs / "run", place.runs / "bad")
    (place.runs / "bad" / "summary.json").write_text("{")
    set_aside(place.runs / "bad")
    write_json(place.reports / f"{'0' * 16}.json", {})
    aged(checkpoint(place, "key"))
    aged(write_folder(place.models / ".small.unfinished", lambda work: (work / "state.pt").write_bytes(b"x") and None, {}))
    (place.models / left_by_the_dead("small")).mkdir()
    items = removable(nothing_in_use)
    assert sorted(Path(item.path).relative_to(place.root).parts[0] for item in items) == [
        "completions", "models", "models", "reports", "runs", "studies", "unfinished", "uploads",
    ]  # fmt: skip
    assert sum(item.size_bytes for item in items) > 5000
    assert clear(items) == items
    (place.studies / ".amount.yaml.young_12").unlink()  # it was too young to go
    assert [name for name in files(place) if name not in ("reports", "unfinished")] == before


def test_large_sources_as_they_were_read_are_known_checked_and_can_always_go(place):
    """They are counted, a damaged one is named and set aside, and whatever is left may go: the person's file is read again."""
    for name in ("0" * 16, "1" * 16):
        write_folder(place.root / "sources" / name, lambda folder: (folder / "facts.parquet").write_text("x") and None, {"kind": "source"})
    assert {row.kind: row.results for row in holdings()}["prepared facts"] == 2
    (place.root / "sources" / ("0" * 16) / "facts.parquet").write_text("y")
    checked, (fault,), moved = verify(move=True)
    assert (checked, fault.kind, len(moved)) == (11, "prepared facts", 1)
    items = removable(nothing_in_use)
    assert [item.what.partition(",")[0] for item in items] == ["set aside as damaged", "cached large source"]
    assert clear(items) == items
    assert list((place.root / "sources").iterdir()) == []


@pytest.mark.parametrize("why", ["young", "in use", "locked", "unknown", "half-made"])
def test_unfinished_work_that_may_go_on_stays(place, why):
    """Of the last week; of a job in the queue; held by a process; of no known form; all that there is of a model."""
    folder = checkpoint(place, "key")
    lock = FileLock(place.unfinished / "key.lock")
    seen = []
    if why == "half-made":
        shutil.rmtree(place.unfinished)
        folder = write_folder(place.models / ".other.unfinished", lambda work: (work / "state.pt").write_bytes(b"x") and None, {})
    if why == "unknown":
        (folder / "checkpoint-4" / "manifest.json").unlink()
    aged(folder, WEEK_S - 60 if why == "young" else WEEK_S + 60)
    if why == "locked":
        lock.acquire()
    try:
        assert removable(lambda kind, name, when: seen.append((kind, name)) or why == "in use") == []
    finally:
        lock.release()
    assert seen == ([("train", "key")] if why in ("in use", "locked") else [])
    assert folder.exists()


def test_best_weights_of_a_training_that_died_before_its_first_checkpoint_can_go(place):
    folder = place.unfinished / "key"
    folder.mkdir(parents=True)
    (folder / "best-5.safetensors").write_bytes(b"x")
    aged(folder)
    assert [item.what for item in removable(nothing_in_use)] == ["unfinished work that no job can resume"]


def test_a_checkpoint_that_is_taken_up_meanwhile_is_not_removed(place):
    """Between the list and the removal a process has begun to work on it."""
    folder = aged(checkpoint(place, "key"))
    (item,) = removable(nothing_in_use)
    with FileLock(place.unfinished / "key.lock"):
        assert clear([item]) == []
    assert (folder / "checkpoint-4" / "optimizer.pt").exists()
    assert clear([item]) == [item]
    assert files(place)[-1] != "unfinished/key.lock"


def test_the_only_copy_of_a_result_never_goes(place):
    """What a killed process moved aside and never replaced, and a model that someone named as if it were set aside."""
    aside = place.runs / f"{left_by_the_dead('run')}.old"
    os.rename(place.runs / "run", aside)
    write_folder(place.models / "mine.damaged", lambda work: (work / "x").write_text("x") and None, {"kind": "model"})
    assert removable(nothing_in_use) == []
    assert [info.id for info in list_runs(place)] == ["run"]
