"""Disks that are full, and files that a power cut has shortened: told, nothing else lost, and with room or by itself it goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

from sftqa_core import workflows
from sftqa_core.errors import SftqaError
from sftqa_core.jobs.local import LocalExecutor
from sftqa_core.records import LevelScheme, ProbeSettings, SamplerSettings, StudySettings, TrainSettings
from sftqa_core.workspace import Workspace
from tests.amount import in_full
from tests.jobs.job_processes import FAST, end_processes, ended
from tests.workflows.conftest import made, working_in, world  # noqa: F401 - fixtures

SCHEME = LevelScheme(sampling=SamplerSettings(samples=2, max_new_tokens=4))
ROOM = 64 * 1024  # beside the model


def train_settings(source: str) -> TrainSettings:
    return TrainSettings("tiny", source, n=8, scheme=SCHEME, shots=1, max_answer_tokens=4, test_limit=2, device="cpu")


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory, made: Path) -> Iterator[Path]:  # noqa: F811
    """A disk of its own with the model and hardly any room besides; beside it the state of the one worker that serves these tests."""
    root = tmp_path_factory.mktemp("disk")
    place = root / "cache"
    place.mkdir()
    used = sum(path.stat().st_size + 4096 for path in (made / "cache" / "models").rglob("*"))
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={used + ROOM}", "tmpfs", str(place)], check=False, capture_output=True
    ).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        shutil.copytree(made / "cache" / "models", place / "models")
        yield place
    finally:
        with working_in(root):
            end_processes(Workspace.current())
        subprocess.run(["umount", "-l", str(place)], check=False)


@pytest.fixture
def small_disk(disk: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That disk with nothing on it but the model; what a test makes before it goes there lies elsewhere."""
    monkeypatch.delenv("SFTQA_JOB_MODULE")
    monkeypatch.setenv("SFTQA_STATE", str(disk.parent / "state"))
    _remount(disk, "rw,size=64m")
    _empty(disk)
    return disk


def _empty(place: Path) -> None:
    for folder in place.iterdir():
        if folder.name != "models":
            shutil.rmtree(folder)


def test_a_full_disk_stops_the_job_with_a_sentence_and_room_lets_it_go_on(small_disk, world, harm, often, monkeypatch):  # noqa: F811
    """The cache's disk is full: the job says so; made larger, Continue ends it with the undisturbed run's numbers."""
    row = harm("cache's disk full while a run is made")
    plain = workflows.run(workflows.train(train_settings(world)).run)
    monkeypatch.setenv("SFTQA_CACHE", str(small_disk))
    full = LocalExecutor(Workspace.current(), FAST)
    for number in range(often(10)):
        _resize(small_disk, -number * 4096)
        job = ended(full, full.submit("train", train_settings(world).to_dict()))
        assert (job.state, job.reason) == ("failed", "disk"), job.error
        assert "the disk is full" in job.error
        assert "Resume it, and it continues from there." in job.error
        assert [run for run in workflows.runs() if not run.shipped] == []
        _resize(small_disk, 64 * 1024 * 1024)
        full.resume(job.id)
        job = ended(full, job)
        assert (job.state, job.error) == ("done", None)
        pd.testing.assert_frame_equal(workflows.run(job.result).predictions(), plain.predictions())
        row.done("told; with room it went on to the same numbers")
        _empty(small_disk)


def _resize(place: Path, change: int) -> None:
    used = sum(path.stat().st_size + 4096 for path in (place / "models").rglob("*"))
    _remount(place, f"size={used + ROOM + change}")


@in_full
def test_a_read_only_cache_is_read(small_disk, world, harm, monkeypatch):  # noqa: F811
    """Looking works, writing is told, and writable again it goes on."""
    row = harm("cache's disk mounted read-only")
    monkeypatch.setenv("SFTQA_CACHE", str(small_disk))
    reader = LocalExecutor(Workspace.current(), FAST)
    workflows.probe(ProbeSettings("tiny", world, scheme=SCHEME, device="cpu"))
    before = workflows.profile("tiny", world, scheme=SCHEME).table
    _remount(small_disk, "ro")
    pd.testing.assert_frame_equal(workflows.profile("tiny", world, scheme=SCHEME).table, before)
    assert "tiny" in [card.name for card in workflows.models()]
    job = ended(reader, reader.submit("train", train_settings(world).to_dict()))
    assert job.state == "failed"
    assert "read-only" in job.error
    _remount(small_disk, "rw")
    reader.resume(job.id)
    assert ended(reader, job).state == "done"
    row.done("read as ever; writing told; writable again it went on")


def _remount(place: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(place)], check=True)


# --- power cuts

Look = Callable[[], object]


@pytest.fixture(scope="module")
def finished(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """A cache in which everything was done once: a probe, a run, a study, an upload, an own table of aliases."""
    root = tmp_path_factory.mktemp("finished")
    shutil.copytree(made / "cache" / "models", root / "cache" / "models")
    source = str(made / "facts.csv")
    with working_in(root):
        workflows.probe(ProbeSettings("tiny", source, split="all", scheme=SCHEME, device="cpu"))
        workflows.train(train_settings(source))
        workflows.study(study_settings(source))
        workflows.add_upload("mine.csv", b"relation,subject,object\nP19,Ann,Paris\n")
        workflows.save_aliases([{"name": "Tamis", "same_as": "Tamis City"}])
    return root


def study_settings(source: str) -> StudySettings:
    return StudySettings("amount", ("tiny",), source, seeds=(0,), sizes=(0, 4), test_limit=2, scheme=SCHEME, device="cpu")


def looks(source: str) -> dict[str, Look]:
    """Everything a page looks up."""
    own = [run.id for run in workflows.runs() if not run.shipped]
    return {
        "models": lambda: sorted(card.name for card in workflows.models()),
        "sources": workflows.sources,
        "runs": lambda: sorted(run.id for run in workflows.runs()),
        "aliases": workflows.alias_rows,
        "profile": lambda: workflows.profile("tiny", source, "all", "all", SCHEME).table,
        "study": lambda: workflows.study_report(study_settings(source)),
        "studies": lambda: sorted(study.name for study in workflows.studies()),
        "forecast": lambda: workflows.forecast(train_settings(source)),
        **{f"run {name}": lambda name=name: _opened(name) for name in own},
    }


def _opened(name: str) -> object:
    run = workflows.run(name)
    return run.summary, run.settings, run.predictions(), run.facts(), run.curve(), run.examples(), run.manifest


@in_full
def test_any_file_cut_to_a_random_length(finished, world, workspace, harm, often, chance):  # noqa: F811
    """Of every kind of file one, then any: whatever is asked gives an answer or a sentence, and doing the work again heals it."""
    row = harm("a file of the cache cut to a random length")
    files = sorted(path.relative_to(finished / "cache") for path in (finished / "cache").rglob("*") if path.is_file())
    chosen = [chance.choice([path for path in files if path.parts[0] == kind]) for kind in sorted({path.parts[0] for path in files})]
    chosen += [chance.choice(files) for _ in range(max(often(120) - len(chosen), 0))]
    for name in chosen:
        shutil.rmtree(workspace.root, ignore_errors=True)
        shutil.copytree(finished / "cache", workspace.root)
        asked = looks(world)
        path = workspace.root / name
        os.truncate(path, chance.randrange(path.stat().st_size) if path.stat().st_size else 0)
        told = _asked(asked)
        assert all(sentence.strip() for sentence in told)
        if name.parts[0] != "models":  # which most of what is asked needs
            assert len(set(told)) <= 2, told
        if name.name == "aliases.csv":  # a person's own table, which no work makes again
            workflows.save_aliases(None)
        with suppress(SftqaError):
            workflows.probe(ProbeSettings("tiny", world, split="all", scheme=SCHEME, device="cpu"))
        _made_again(world, name)
        row.done("read, set aside or told in a sentence; made again on demand")


def _asked(asked: dict[str, Look]) -> list[str]:
    """What was told in a sentence; anything but an answer or a sentence passes through as the failure it is."""
    told = []
    for look in asked.values():
        try:
            look()
        except SftqaError as error:
            told.append(str(error))
    return told


def _made_again(source: str, name: Path) -> None:
    """Where the model is whole, the same work gives results again."""
    if name.parts[0] == "models":
        return
    summary = workflows.train(train_settings(source))
    assert summary.n == 8
    assert _opened(summary.run)
    if name.parts[0] in ("cells", "reports", "studies"):
        report = workflows.study(study_settings(source))
        assert (report.done, report.planned) == (2, 2)
