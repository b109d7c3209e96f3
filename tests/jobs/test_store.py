"""The queue's transactions, without any process."""

from __future__ import annotations

import sqlite3

import pytest

from sftqa_core.errors import ArtifactDamaged, NotFound, SftqaError
from sftqa_core.jobs.executor import new_job
from sftqa_core.jobs.process import ProcessId
from sftqa_core.jobs.reading import jobs_list, remove_jobs
from sftqa_core.jobs.recovery import MOST_ATTEMPTS, reconcile, settle
from sftqa_core.jobs.store import JobStore
from sftqa_core.records import Job
from sftqa_core.workspace import Workspace

ME = ProcessId.current()
DEAD = ProcessId(ME.host, ME.boot, ME.pid, "1")  # this pid, but another start time


@pytest.fixture
def store(workspace: Workspace) -> JobStore:
    return JobStore(workspace)


def queue(store: JobStore, device: str = "cpu") -> Job:
    return store.insert(new_job("train", {"n": 60}), device, "/")


def test_claims_come_oldest_first_one_a_device(store: JobStore):
    """A device with a running job, or one named busy, gets none."""
    first, second, gpu = queue(store), queue(store), queue(store, "cuda:0")
    assert store.claim(ME).id == first.id
    assert store.claim(ME, busy=["cuda:0"]) is None
    assert store.claim(ME).id == gpu.id
    assert store.claim(ME) is None
    assert store.finish(first.id, 1, "done", "run-1") is True
    claim = store.claim(ME)
    assert (claim.id, claim.attempt, claim.begun, claim.device, claim.process) == (second.id, 1, False, "cpu", ME)


def test_an_end_is_written_once(store: JobStore):
    """The second writer is told that it came late."""
    job = queue(store)
    store.claim(ME)
    assert store.finish(job.id, 1, "done", "run-1") is True
    assert store.finish(job.id, 1, "failed", error="late") is False
    assert (store.get(job.id).state, store.get(job.id).result, store.get(job.id).error) == ("done", "run-1", None)


def test_a_process_of_an_earlier_attempt_may_not_begin_or_finish(store: JobStore, workspace: Workspace):
    """So a job never runs twice at once."""
    job = queue(store)
    claim = store.claim(DEAD)
    assert reconcile(workspace) == 1
    assert store.get(job.id).state == "queued"
    assert store.begin(job.id, claim.attempt, ME) is None
    assert store.claim(ME).attempt == 2
    assert store.begin(job.id, 1, ME) is None
    assert store.finish(job.id, 1, "done") is False
    assert store.begin(job.id, 2, ME).id == job.id
    assert store.begin(job.id, 2, ME) is None


def test_a_job_before_whose_start_the_worker_keeps_dying_is_given_up(store: JobStore, workspace: Workspace):
    """It fails instead of going round for ever."""
    job = queue(store)
    for _ in range(MOST_ATTEMPTS):
        assert store.get(job.id).state == "queued"
        settle(store, workspace, store.claim(DEAD))
    assert store.get(job.id).state == "failed"
    assert store.get(job.id).error.startswith("The worker died 5 times before the job could start.")


def test_a_stopping_job_whose_process_died_is_cancelled(store: JobStore, workspace: Workspace):
    """The person got what they asked for."""
    job = queue(store)
    store.claim(ME)
    store.begin(job.id, 1, DEAD)
    assert store.cancel(job.id).state == "stopping"
    assert jobs_list()[0].state == "cancelled"


def test_a_living_worker_settles_by_itself(store: JobStore, workspace: Workspace):
    """It knows the exit status, so nobody comes before it."""
    job = queue(store)
    store.claim(ME)
    store.begin(job.id, 1, DEAD)
    assert store.register(ME) is True
    assert reconcile(workspace) == 0
    assert store.get(job.id).state == "running"


def test_a_dead_worker_is_replaced_and_a_living_one_is_not(store: JobStore):
    """Liveness is process id and start time."""
    assert store.register(DEAD) is True
    assert store.worker() is None
    assert store.register(ME) is True
    assert store.register(ProcessId(ME.host, ME.boot, ME.pid + 1, "2")) is False
    assert store.worker() == ME


def test_a_worker_on_another_host_lives_while_its_beat_is_young(store: JobStore):
    """A container that was replaced has another host name; its beat gets old."""
    other = ProcessId("elsewhere", "boot", 7, "2")
    assert store.register(other) is True
    assert store.worker() is None
    store.beat.touch()
    assert store.worker() == other


def test_jobs_that_are_over_can_be_removed(store: JobStore, workspace: Workspace):
    """With their folders; those that are not over stay, whoever asks."""
    done, queued = queue(store), queue(store)
    store.claim(ME)
    store.finish(done.id, 1, "done")
    folder = workspace.jobs / done.id
    folder.mkdir(parents=True)
    assert remove_jobs([queued.id, "../x"]) == []
    assert remove_jobs() == [done.id]
    assert not folder.exists()
    assert [job.id for job in jobs_list()] == [queued.id]
    with pytest.raises(NotFound, match=done.id):
        store.get(done.id)


def test_looking_at_an_empty_queue_creates_nothing(workspace: Workspace):
    """The shipped results are shown in a folder that may be read-only."""
    assert jobs_list() == []
    assert not workspace.state.exists()


def test_a_damaged_or_newer_queue_is_named(store: JobStore):
    """The message says which file and what to do."""
    queue(store)
    db = sqlite3.connect(store.path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(SftqaError, match="newer version"):
        store.jobs()
    for path in store.path.parent.glob("jobs.sqlite*"):
        path.unlink()
    store.path.write_bytes(b"this is no database" * 100)
    with pytest.raises(ArtifactDamaged, match=r"jobs\.sqlite is damaged: file is not a database\. Move the file away"):
        store.jobs()


def test_the_journal_survives_and_writers_wait(store: JobStore):
    """Write-ahead logging, so that pages read while a worker writes."""
    queue(store)
    db = sqlite3.connect(store.path)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db.execute("PRAGMA user_version").fetchone() == (1,)
    db.close()
