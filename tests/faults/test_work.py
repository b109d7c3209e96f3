"""Real work, killed at random moments and continued: the same numbers as if nothing had happened, and one result each."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from sftqa_core import workflows
from sftqa_core.jobs.executor import RESUMABLE
from sftqa_core.jobs.local import LocalExecutor
from sftqa_core.records import LevelScheme, ProbeSettings, SamplerSettings, StudySettings, TrainSettings
from sftqa_core.workspace import Workspace
from tests.amount import few, in_full
from tests.faults.test_kills import kill, victims
from tests.jobs.job_processes import FAST, end_processes, until
from tests.workflows.conftest import made, working_in, world  # noqa: F401 - fixtures

SCHEME = LevelScheme(sampling=SamplerSettings(samples=2, max_new_tokens=4))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One workspace, so that one worker, and what it keeps warm, serves all of these tests."""
    root = tmp_path_factory.mktemp("place")
    yield root
    with working_in(root):
        end_processes(Workspace.current())


@pytest.fixture
def workspace(place: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The one of all tests here, with an empty cache."""
    monkeypatch.setenv("SFTQA_CACHE", str(place / "cache"))
    monkeypatch.setenv("SFTQA_STATE", str(place / "state"))
    shutil.rmtree(place / "cache", ignore_errors=True)
    return Workspace.current()


@pytest.fixture
def executor(workspace: Workspace) -> LocalExecutor:
    """Its worker stays for the next test."""
    return LocalExecutor(workspace, FAST)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs do the real work, with a checkpoint after every step."""
    monkeypatch.setenv("SFTQA_JOB_MODULE", "eager_workflows")


def disturbed(executor, job_id: str, chance, times: int) -> int:
    """Kill the job's process at `times` random moments, continue it each time; how often it was killed before it was done."""
    killed = 0
    for _ in range(times):
        until(lambda: victims(executor, "job") or executor.status(job_id).finished, 120)
        time.sleep(chance.random() * 0.6)
        killed += kill(victims(executor, "job"))
        until(lambda: executor.status(job_id).state != "running" or not victims(executor, "job"), 60)
        if executor.status(job_id).state in RESUMABLE:
            executor.resume(job_id)

    def over() -> bool:
        if executor.status(job_id).state in RESUMABLE:
            executor.resume(job_id)
        return executor.status(job_id).state == "done"

    until(over, 120)
    return killed


@pytest.mark.parametrize("method", few(["full", "lora"], "full"))
def test_a_run_killed_at_random_moments_is_the_undisturbed_one(eager, executor, world, workspace, harm, often, chance, method):  # noqa: F811
    """Predictions, examples and curve are the same, and each job left one run."""
    row = harm(f"kill -9 of a real run's process ({method}), then continue")
    settings = TrainSettings(
        "tiny", world, n=24, epochs=8, method=method, scheme=SCHEME, shots=1, max_answer_tokens=4, test_limit=4, device="cpu"
    )
    for number in range(often(20)):
        wanted = dataclasses.replace(settings, seed=number)
        job = executor.submit("train", wanted.to_dict())
        killed = disturbed(executor, job.id, chance, 3)
        again = workflows.run(executor.status(job.id).result)
        shutil.rmtree(workspace.root / "answers", ignore_errors=True)
        plain = workflows.run(workflows.train(wanted).run)
        pd.testing.assert_frame_equal(again.predictions(), plain.predictions())
        pd.testing.assert_frame_equal(again.examples(), plain.examples())
        pd.testing.assert_frame_equal(again.curve(), plain.curve())
        assert again.manifest["token"] == job.id
        assert [run.id for run in workflows.runs() if workflows.run(run.id).manifest.get("token") == job.id] == [again.id]
        for _ in range(killed):
            row.done("same predictions, examples and curve; one run each")
    left = [path for path in workspace.unfinished.glob("*") if path.is_dir()]
    assert left == []


@in_full
def test_a_probe_and_a_study_killed_at_random_moments(eager, executor, world, workspace, harm, often, chance, tmp_path):  # noqa: F811
    """Levels and the study's report are those of an undisturbed pass."""
    probe = ProbeSettings("tiny", world, split="all", scheme=SCHEME, device="cpu")
    study = StudySettings("amount", ("tiny",), world, seeds=(0,), sizes=(0, 4, 8), test_limit=2, scheme=SCHEME, device="cpu")
    plain = None
    for _ in range(often(20)):
        for kind, settings in (("probe", probe), ("study", study)):
            job = executor.submit(kind, settings.to_dict())
            row = harm(f"kill -9 of a real {kind}'s process, then continue")
            for _ in range(disturbed(executor, job.id, chance, 2)):
                row.done("same numbers as undisturbed")
        found = workflows.profile("tiny", world, "all", "all", SCHEME).table, workflows.study_report(study)
        for name in ("completions", "hits", "cells", "reports", "answers", "estimates"):
            shutil.rmtree(workspace.root / name, ignore_errors=True)
        if plain is None:
            workflows.probe(probe)
            plain = workflows.profile("tiny", world, "all", "all", SCHEME).table, workflows.study(study)
            for name in ("completions", "hits", "cells", "reports", "answers", "estimates"):
                shutil.rmtree(workspace.root / name, ignore_errors=True)
        pd.testing.assert_frame_equal(found[0], plain[0])
        assert _without_seconds(found[1]) == _without_seconds(plain[1])


def _without_seconds(report) -> dict:
    told = report.to_dict()
    told["tables"] = {name: [{k: v for k, v in row.items() if "second" not in k} for row in rows] for name, rows in told["tables"].items()}
    return told
