"""The queue's file, with its writers killed inside every statement, its file cut short, and its disk full."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from sftqa_core.artifacts import write_json
from sftqa_core.jobs.job_folder import JobFolder
from sftqa_core.jobs.local import LocalExecutor
from sftqa_core.jobs.queue import JobStore, new_job
from sftqa_core.processes import ProcessId
from sftqa_core.records import Resources
from sftqa_core.workspace import Workspace
from tests.amount import few

ONE = {"cpu": 1, "gpu": 0}
# A job's whole life, in a process that dies at the statement whose number it is given; says how far it came.
LIFE = """
import os, sqlite3, sys
from sftqa_core.jobs import database
from sftqa_core.jobs.queue import new_job
from sftqa_core.processes import ProcessId
from sftqa_core.jobs.queue import JobStore
from sftqa_core.records import Resources
from sftqa_core.workspace import Workspace

left = int(sys.argv[1])

def step(statement):
    global left
    left -= 1
    if left == 0:
        os._exit(9)

connect = sqlite3.connect
def traced(*arguments, **more):
    db = connect(*arguments, **more)
    db.set_trace_callback(step)
    return db
sqlite3.connect = traced

store, me = JobStore(Workspace.current()), ProcessId.current()
one = {"cpu": 1, "gpu": 0}
store.register(me)
job = store.insert(new_job("train", {"n": 60}), Resources(), "/")
print("inserted", job.id, flush=True)
other = store.insert(new_job("train", {"n": 60}), Resources(), "/")
print("inserted", other.id, flush=True)
store.move(other.id, "first"); store.move(other.id, "last")
claim = store.claim(me, one, one)
store.begin(claim.id, claim.attempt, me)
store.cancel(claim.id)
store.finish(claim.id, claim.attempt, "cancelled", error="x")
print("finished", claim.id, flush=True)
store.resume(claim.id)
store.empty()
store.retire(me)
print("end", flush=True)
"""


def live(step: int) -> tuple[int, list[list[str]]]:
    """Run a life that ends at a statement; its exit status, and what it had been told was done."""
    done = subprocess.run([sys.executable, "-c", LIFE, str(step)], capture_output=True, text=True, check=False, env=os.environ.copy())
    return done.returncode, [line.split() for line in done.stdout.splitlines()]


def test_a_writer_killed_inside_every_statement(workspace: Workspace, harm, often):
    """Whatever was said to be done is there; the queue opens, and the next job is put in, claimed and finished."""
    row = harm("kill -9 inside a statement of a write to the queue")
    step, stride = 0, max(1, 10 // often(10))
    while True:
        step += stride
        status, told = live(step)
        store, me = JobStore(workspace), ProcessId.current()
        jobs = {job.id: job for job in store.jobs()}
        assert {words[1] for words in told if words[0] == "inserted"} <= jobs.keys()
        assert all(job.state in ("queued", "running", "stopping", "cancelled") for job in jobs.values())
        assert all(jobs[words[1]].state in ("cancelled", "queued") for words in told if words[0] == "finished")
        for claim in store.active():
            assert store.finish(claim.id, claim.attempt, "failed")
        store.empty()
        after = store.insert(new_job("probe", {}), Resources(), "/")
        claim = store.claim(me, ONE, ONE)
        assert claim.id == after.id
        assert store.finish(claim.id, claim.attempt, "done", "x")
        for job_id in [*jobs, after.id]:
            store.remove(job_id)
        if status == 0:
            assert told[-1] == ["end"]
            break
        row.done("what was said to be done is there; the next job ran")
    assert row.times >= (30 if stride == 1 else 3)


def test_a_queue_cut_short_is_made_anew(workspace: Workspace, harm, often, chance):
    """As after a power cut on a disk that lies: set aside, made anew from the jobs' folders, no job lost."""
    row = harm("queue file cut to a random length")
    jobs = [new_job("train", {"n": 60, "text": "x" * 500}) for _ in range(50)]
    store = JobStore(workspace)
    for job in jobs:
        told = {"kind": job.kind, "settings": job.settings, "created": job.created, "gpus": 0}
        write_json(JobFolder(workspace, job.id).settings, told)
        store.insert(job, Resources(), "/")
    for _ in range(often(40)):
        with store_closed(store) as size:
            os.truncate(store.path, chance.randrange(1, size))
        found = {job.id: job for job in LocalExecutor().jobs()}
        assert found.keys() >= {job.id for job in jobs}
        assert all(found[job.id].settings == job.settings for job in jobs)
        after = store.insert(new_job("probe", {}), Resources(), "/")
        assert store.claim(ProcessId.current(), ONE, ONE).id in {after.id, *(job.id for job in jobs)}
        store.finish(after.id, 1, "done")
        row.done("set aside and made anew, no job lost")


class store_closed:  # noqa: N801 - reads like a sentence
    """The queue's file with everything in it and no journal beside it."""

    def __init__(self, store: JobStore):
        self.store = store

    def __enter__(self) -> int:
        import sqlite3

        db = sqlite3.connect(self.store.path)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()
        for path in self.store.path.parent.glob("jobs.sqlite-*"):
            path.unlink()
        return self.store.path.stat().st_size

    def __exit__(self, *_: object) -> None:
        pass


FULL = """
import sys
from sftqa_core.errors import SftqaError
from sftqa_core.jobs.queue import new_job
from sftqa_core.jobs.queue import JobStore
from sftqa_core.records import Resources
from sftqa_core.workspace import Workspace
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
try:
    for number in range(200):
        job = JobStore(Workspace.current()).insert(new_job("train", {"text": "x" * 5000}), Resources(), "/")
        print("inserted", job.id, flush=True)
except SftqaError as error:
    print("told", error, flush=True)
"""


@pytest.mark.parametrize("room", few([5_000, 60_000, 300_000], 60_000))
def test_a_full_disk_loses_no_job(workspace: Workspace, harm, room: int):
    """A file-size limit stands for a full disk: the one that does not fit is told, those before it stay, and with room it goes on."""
    row = harm("no room for the queue's file")
    JobStore(workspace).insert(new_job("train", {}), Resources(), "/")
    done = subprocess.run([sys.executable, "-c", FULL, str(room)], capture_output=True, text=True, check=True, env=os.environ.copy())
    lines = [line.split(" ", 1) for line in done.stdout.splitlines()]
    assert lines[-1][0] == "told"
    assert "jobs.sqlite" in lines[-1][1]
    assert "Check the disk's free space" in lines[-1][1]
    kept = {job.id for job in JobStore(workspace).jobs()}
    assert {words[1] for words in lines[:-1]} <= kept
    assert JobStore(workspace).insert(new_job("train", {}), Resources(), "/").id
    row.done("told, nothing lost, went on with room")
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
