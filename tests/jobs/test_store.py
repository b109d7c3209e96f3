"""The queue's transactions, without any process."""

from __future__ import annotations

import dataclasses
import sqlite3

import pytest

from sftqa_core.errors import ArtifactDamaged, NotFound, SettingsError, SftqaError
from sftqa_core.jobs.database import MIGRATIONS
from sftqa_core.jobs.job_folder import END_UNKNOWN, MOST_TRIES, reconcile, settle
from sftqa_core.jobs.lease import device_lease
from sftqa_core.jobs.local import LocalExecutor
from sftqa_core.jobs.queue import JobStore, new_job
from sftqa_core.processes import ProcessId
from sftqa_core.records import Job, Resources
from sftqa_core.workspace import Workspace
from tests.jobs.job_processes import ended, kill

ME = ProcessId.current()
DEAD = ProcessId(ME.host, ME.boot, ME.pid, "1")  # this pid, but another start time


@pytest.fixture
def store(workspace: Workspace) -> JobStore:
    return JobStore(workspace)


ONE = {"cpu": 1, "gpu": 1}


def queue(store: JobStore, gpus: int = 0) -> Job:
    return store.insert(new_job("train", {"n": 60}), Resources(gpus), "/")


def test_claims_come_in_order_as_devices_are_free(store: JobStore):
    """A kind of device of which none is free gets no job."""
    first, second, gpu = queue(store), queue(store), queue(store, 1)
    assert store.claim(ME, ONE, ONE).id == first.id
    assert store.claim(ME, {"cpu": 0, "gpu": 0}, ONE) is None
    assert store.claim(ME, {"cpu": 0, "gpu": 1}, ONE).id == gpu.id
    assert store.claim(ME, {"cpu": 0, "gpu": 0}, ONE) is None
    assert store.finish(first.id, 1, "done", "run-1") is True
    claim = store.claim(ME, {"cpu": 1, "gpu": 0}, ONE)
    assert (claim.id, claim.attempt, claim.begun, claim.needs, claim.process) == (second.id, 1, False, Resources(), ME)


def test_a_download_starts_whatever_devices_do(store: JobStore):
    """It waits for other downloads only, and nobody waits for it."""
    cpu = queue(store)
    one, two = (store.insert(new_job("fetch", {"model": f"owner/{name}"}), Resources(), "/") for name in "ab")
    assert [(queued.job.id, queued.position) for queued in LocalExecutor().queue()] == [(cpu.id, 1), (one.id, 1), (two.id, 2)]
    with device_lease("cpu", "another command"):
        assert [queued.holder for queued in LocalExecutor().queue()] == ["another command", None, None]
    assert store.claim(ME, {"cpu": 0, "gpu": 0, "network": 1}, ONE).id == one.id
    assert store.claim(ME, {"cpu": 0, "gpu": 0, "network": 0}, ONE) is None
    assert store.claim(ME, {"cpu": 1, "gpu": 0, "network": 0}, ONE).id == cpu.id
    assert store.claim(ME, {"cpu": 0, "gpu": 0, "network": 1}, ONE).id == two.id


def test_a_job_of_several_gpus_is_not_overtaken(store: JobStore):
    """While two GPUs are wanted and one is free, a later job of one GPU waits; a job of the processor does not."""
    four = {"cpu": 1, "gpu": 4}
    large, small, cpu = queue(store, 2), queue(store, 1), queue(store)
    assert store.claim(ME, {"cpu": 1, "gpu": 1}, four).id == cpu.id
    assert store.claim(ME, {"cpu": 0, "gpu": 1}, four) is None
    assert store.claim(ME, {"cpu": 0, "gpu": 2}, four).id == large.id
    assert store.claim(ME, {"cpu": 0, "gpu": 1}, four).id == small.id


def test_a_job_that_needs_more_gpus_than_there_are_is_not_stuck(store: JobStore):
    """It is claimed, and its own process says what is missing."""
    job = queue(store, 3)
    assert store.claim(ME, {"cpu": 1, "gpu": 0}, {"cpu": 1, "gpu": 2}).id == job.id


def test_an_end_is_written_once(store: JobStore):
    """The second writer is told that it came late."""
    job = queue(store)
    store.claim(ME, ONE, ONE)
    assert store.finish(job.id, 1, "done", "run-1") is True
    assert store.finish(job.id, 1, "failed", error="late") is False
    assert (store.get(job.id).state, store.get(job.id).result, store.get(job.id).error) == ("done", "run-1", None)


def test_a_process_of_an_earlier_attempt_may_not_begin_or_finish(store: JobStore, workspace: Workspace):
    """So a job never runs twice at once."""
    job = queue(store)
    claim = store.claim(DEAD, ONE, ONE)
    assert reconcile(workspace) == 1
    assert store.get(job.id).state == "queued"
    assert store.begin(job.id, claim.attempt, ME) is None
    assert store.claim(ME, ONE, ONE).attempt == 2
    assert store.begin(job.id, 1, ME) is None
    assert store.finish(job.id, 1, "done") is False
    assert store.begin(job.id, 2, ME).id == job.id
    assert store.begin(job.id, 2, ME) is None


@pytest.mark.parametrize("begun", [True, False])
def test_a_job_that_is_cut_off_goes_on_by_itself_but_not_for_ever(store: JobStore, workspace: Workspace, begun: bool):
    """When job and worker are gone, as after a restart, it is queued in its old place; after five times in a row it has failed."""
    job, later = queue(store), queue(store)
    for tries in range(1, MOST_TRIES + 1):
        assert store.get(job.id).state == "queued"
        assert store.queued()[0].id == job.id
        claim = store.claim(DEAD, ONE, ONE)
        assert (claim.id, claim.tries) == (job.id, tries)
        assert (store.begin(job.id, claim.attempt, DEAD) is not None) if begun else True
        settle(store, workspace, store.active()[0])
        told = store.get(job.id).error
        assert (told or "").startswith("Interrupted") is (begun or tries == MOST_TRIES)
    assert store.get(job.id).state == "failed"
    assert store.get(job.id).error.startswith("Interrupted 5 times, each time together with the worker.")
    assert store.resume(job.id).state == "queued"
    assert [one.id for one in store.queued()] == [later.id, job.id]
    assert store.get(job.id).turn == 2


def test_a_job_of_an_earlier_boot_is_dead(store: JobStore, workspace: Workspace):
    """Its number and start time may belong to another process now; the boot id tells."""
    job = queue(store)
    claim = store.claim(ME, ONE, ONE)
    store.begin(job.id, claim.attempt, dataclasses.replace(ME, boot="an earlier one"))
    assert LocalExecutor().jobs()[0].state == "queued"


def test_a_page_of_an_earlier_turn_cancels_nothing(store: JobStore):
    """A tab left open since the job was cancelled and continued shows turn 1; the job is in turn 2."""
    job = queue(store)
    store.cancel(job.id)
    store.resume(job.id)
    assert store.cancel(job.id, turn=1).state == "queued"
    assert store.cancel(job.id, turn=2).state == "cancelled"


@pytest.mark.parametrize(("where", "order"), [("first", "cabd"), ("up", "acbd"), ("down", "abdc"), ("last", "abdc")])
def test_the_queue_can_be_reordered(store: JobStore, where: str, order: str):
    """The third of four moves; running jobs keep out of it."""
    jobs = {name: queue(store) for name in "abcd"}
    assert store.move(jobs["c"].id, where) is True
    assert [next(name for name, one in jobs.items() if one.id == job.id) for job in store.queued()] == list(order)
    assert [queued.position for queued in LocalExecutor().queue()] == [1, 2, 3, 4]
    assert store.move(jobs[order[0]].id, "up") is False
    assert store.claim(ME, ONE, ONE).id == jobs[order[0]].id
    assert store.move(jobs[order[0]].id, "last") is False
    with pytest.raises(SettingsError, match="first, up, down, last, got 'sideways'"):
        store.move(jobs["a"].id, "sideways")


def test_emptying_the_queue_leaves_what_runs(store: JobStore):
    """Only queued jobs are cancelled."""
    _, *queued = (queue(store) for _ in range(4))
    store.claim(ME, ONE, ONE)
    assert store.empty() == [job.id for job in queued]
    assert [job.state for job in store.jobs()] == ["cancelled"] * 3 + ["running"]


@pytest.mark.parametrize(
    "damage",
    [
        "settings = '{'", "settings = '[1'", "settings = '[]'", "settings = 'null'", "expected = 'x'", "turn = 'two'", "created = x'00ff'",
        "kind = x'80'", "process = '{\"pid\": -1}'", "process = NULL", "process = '[[[['", "gpus = 'many'", "gpus = -5",
    ],
)  # fmt: skip
def test_a_damaged_row_hides_no_other(store: JobStore, workspace: Workspace, damage: str):
    """The others are listed, claimed and settled as ever, and the damaged one can be removed."""
    bad, good = queue(store), queue(store)
    store.claim(ME, ONE, ONE)
    db = sqlite3.connect(store.path)
    db.execute(f"UPDATE jobs SET {damage} WHERE id = ?", (bad.id,))
    db.commit()
    db.close()
    assert {job.id for job in LocalExecutor().jobs()} == {bad.id, good.id}
    assert store.get(good.id).settings == {"n": 60}
    for claim in store.active():
        settle(store, workspace, claim, 1)
    ended = set()
    while claim := store.claim(ME, ONE, ONE):
        assert store.finish(claim.id, claim.attempt, "done")
        ended.add(claim.id)
    assert good.id in ended
    assert LocalExecutor().remove([bad.id]) == [bad.id]


def test_a_row_with_a_name_that_is_no_jobs_is_nobodys(store: JobStore):
    """A name becomes a folder's; one with slashes is never shown, claimed or removed with its folder."""
    good = queue(store)
    db = sqlite3.connect(store.path)
    db.execute(
        "INSERT INTO jobs (id, kind, settings, device, cwd, state, created) VALUES ('../../x', 'train', '{}', 'cpu', '/', 'queued', '')"
    )
    db.commit()
    db.close()
    assert [job.id for job in store.jobs()] == [job.id for job in store.queued()] == [good.id]
    assert store.claim(ME, ONE, ONE).id == good.id
    assert store.claim(ME, ONE, ONE) is None
    assert LocalExecutor().remove(["../../x"]) == []


def test_a_stopping_job_whose_process_died_is_cancelled(store: JobStore, workspace: Workspace):
    """The person got what they asked for."""
    job = queue(store)
    store.claim(ME, ONE, ONE)
    store.begin(job.id, 1, DEAD)
    assert store.cancel(job.id).state == "stopping"
    assert LocalExecutor().jobs()[0].state == "cancelled"


def test_a_living_worker_settles_by_itself(store: JobStore, workspace: Workspace):
    """It knows the exit status, so nobody comes before it."""
    job = queue(store)
    store.claim(ME, ONE, ONE)
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
    store.claim(ME, ONE, ONE)
    store.finish(done.id, 1, "done")
    folder = workspace.jobs / done.id
    assert folder.is_dir()
    assert LocalExecutor().remove([queued.id, "../x"]) == []
    assert LocalExecutor().remove() == [done.id]
    assert not folder.exists()
    assert [job.id for job in LocalExecutor().jobs()] == [queued.id]
    with pytest.raises(NotFound, match=done.id):
        store.get(done.id)


def test_looking_at_an_empty_queue_creates_nothing(workspace: Workspace):
    """The shipped results are shown in a folder that may be read-only."""
    assert LocalExecutor().jobs() == []
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
    with pytest.raises(ArtifactDamaged, match=r"jobs\.sqlite is damaged: file is not a database\. Try again: it is rebuilt"):
        store.jobs()


def test_a_damaged_queue_is_made_anew_from_the_jobs_folders(executor: LocalExecutor):
    """What ended is as it was; what had not can be continued; the damaged file is kept beside the new one."""
    done = ended(executor, executor.submit("quick", {"device": "cpu", "name": "x"}))
    failed = ended(executor, executor.submit("few", {"device": "cpu"}))
    with device_lease("cpu", "the test"):
        waiting = executor.submit("quick", {"device": "cpu", "name": "y"})
        kill(executor.store.worker())
        for path in executor.workspace.state.glob("jobs.sqlite-*"):
            path.unlink()
        executor.store.path.write_bytes(b"torn" * 5000)
        found = {job.id: job for job in LocalExecutor().jobs()}
        assert [found[job.id] for job in (done, failed)] == [done, failed]
        lost = found[waiting.id]
        assert (lost.state, lost.settings, lost.error) == ("failed", waiting.settings, END_UNKNOWN)
    assert [path.read_bytes()[:4] for path in executor.workspace.state.glob("jobs.sqlite.damaged-*")] == [b"torn"]
    executor.resume(waiting.id)
    assert ended(executor, waiting).result == "y"


def test_the_journal_survives_and_writers_wait(store: JobStore):
    """Write-ahead logging, so that pages read while a worker writes."""
    queue(store)
    db = sqlite3.connect(store.path)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db.execute("PRAGMA user_version").fetchone() == (2,)
    db.close()


@pytest.mark.parametrize("lock", ["IMMEDIATE", "EXCLUSIVE"])
def test_a_queue_held_by_a_suspended_process_is_told_as_that(store: JobStore, monkeypatch: pytest.MonkeyPatch, lock: str):
    queue(store)
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, **settings: connect(path, **{**settings, "timeout": 0.05}))
    holder = sqlite3.connect(store.path, isolation_level=None)
    holder.execute(f"BEGIN {lock}")
    with pytest.raises(SftqaError, match=r"cannot be used now: database is locked\. Another process has held it .*suspended \(T in ps\)"):
        queue(store)
    holder.close()
    queue(store)
    assert len(store.jobs()) == 2


def test_a_queue_of_the_first_version_is_taken_over(store: JobStore):
    """Its jobs keep order, device and state."""
    store.path.parent.mkdir(parents=True)
    db = sqlite3.connect(store.path)
    for statement in MIGRATIONS[0]:
        db.execute(statement)
    db.execute("PRAGMA user_version = 1")
    rows = [("train-20260101-000000-0000000a", "cpu"), ("probe-20260101-000001-0000000b", "cuda:0")]
    columns = "id, kind, settings, device, cwd, state, created"
    db.executemany(f"INSERT INTO jobs ({columns}) VALUES (?, 'train', '{{}}', ?, '/', 'queued', '2026')", rows)
    db.commit()
    db.close()
    assert [job.id for job in store.queued()] == [row[0] for row in rows]
    assert [store.needs(row[0]) for row in rows] == [Resources(0), Resources(1)]
