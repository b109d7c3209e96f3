"""Jobs through real worker processes: what ends them, and what survives the death of each process."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from sftqa_core.jobs.lease import device_lease, leases
from sftqa_core.jobs.local import LocalExecutor
from sftqa_core.jobs.queue import JobStore, new_job
from sftqa_core.jobs.worker import Timing, Worker, ensure_worker
from sftqa_core.processes import ProcessId
from sftqa_core.records import Resources
from sftqa_core.workspace import Workspace
from tests.jobs.job_processes import CPU, FAST, ended, job_process, kill, lease_holder, logged, until, waiting


def test_a_job_leaves_its_result_log_and_progress(executor: LocalExecutor):
    """Output, the reporter's lines and the last progress are all there afterwards."""
    quick, steps = executor.submit("quick", {**CPU, "name": "x"}), executor.submit("steps", {**CPU, "steps": 5})
    assert ended(executor, quick).result == "x"
    assert executor.log(quick.id) == ["printed by the work", "said to the reporter"]
    assert ended(executor, steps).result == "trained"
    last = executor.progress_since(steps.id)[0][-1]
    assert (last.phase, last.done, last.total, last.values) == ("training", 5, 5, {"loss": 0.2})


def test_running_out_of_memory_is_told_apart(executor: LocalExecutor):
    """The traceback goes to the log, the sentence to the person, and the reason to the page, which offers smaller settings."""
    job = ended(executor, executor.submit("full", {**CPU, "batch_size": 64, "method": "full"}))
    assert (job.state, job.reason) == ("failed", "memory")
    assert job.error == "Memory ran out. Use a smaller batch size or model, or train with LoRA."
    assert executor.log(job.id)[-1] == "job_workloads.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."


def test_a_job_that_listens_is_cancelled(executor: LocalExecutor):
    """Asking is enough; what the job had told stays."""
    job = executor.submit("steps", {**CPU, "steps": 5000})
    logged(job, "the first step is done")
    assert executor.cancel(job.id).state == "stopping"
    over = ended(executor, job)
    assert (over.state, over.error) == ("cancelled", "Stopped on request.")


def test_a_job_that_does_not_listen_is_terminated_and_may_clean_up(executor: LocalExecutor, tmp_path: Path):
    """SIGTERM becomes an exception in the job, so temporary files go."""
    job = executor.submit("settles", {**CPU, "marks": str(tmp_path / "marks")})
    logged(job, "settled")
    executor.cancel(job.id)
    assert ended(executor, job).state == "cancelled"
    assert (tmp_path / "marks").read_text() == "cleaned up"


def test_a_deaf_job_is_killed_within_the_limits(executor: LocalExecutor):
    """Ask, terminate, kill: each with a limit."""
    job = executor.submit("stubborn", CPU)
    logged(job, "deaf")
    asked_s = time.monotonic()
    executor.cancel(job.id)
    over = ended(executor, job)
    assert (over.state, over.error) == ("cancelled", "Stopped on request; its process had to be killed.")
    assert FAST.ask_s + FAST.terminate_s <= time.monotonic() - asked_s < FAST.ask_s + FAST.terminate_s + 30


def test_a_killed_job_fails_with_its_last_lines_and_the_next_one_runs(executor: LocalExecutor):
    """kill -9 of the job's process."""
    job, after = executor.submit("steps", {**CPU, "steps": 5000}), executor.submit("quick", CPU)
    logged(job, "the first step is done")
    kill(job_process(executor, job))
    over = ended(executor, job)
    assert (over.state, over.reason) == ("failed", "memory")
    assert over.error == (
        "The job's process was killed (SIGKILL), often because memory ran out.\nLast lines of its log:\nthe first step is done"
    )
    assert ended(executor, after).state == "done"


def test_a_process_that_leaves_early_fails_with_its_status(executor: LocalExecutor):
    """os._exit inside a library, say."""
    over = ended(executor, executor.submit("leaves", CPU))
    assert over.error == ("The job's process ended with exit status 3 before it wrote a result.\nLast lines of its log:\nabout to leave")


def test_a_job_outlives_its_worker_and_the_next_worker_goes_on(executor: LocalExecutor, tmp_path: Path):
    """kill -9 of the worker: the running job ends by itself, once, and the queue goes on after it."""
    marks = tmp_path / "marks"
    running = executor.submit("steps", {**CPU, "steps": 40, "marks": str(marks), "name": "a"})
    logged(running, "the first step is done")
    kill(executor.store.worker())
    assert executor.status(running.id).state == "running"
    after = executor.submit("steps", {**CPU, "steps": 1, "marks": str(marks), "name": "b"})
    assert ended(executor, after).state == "done"
    assert executor.status(running.id).result == "trained"
    assert marks.read_text().splitlines() == ["a start", "a end", "b start", "b end"]


def test_when_worker_and_job_die_the_job_is_queued_again_and_waking_goes_on(executor: LocalExecutor, tmp_path: Path):
    """As after a power cut: no process is left, the queue is; the job that was cut off comes first and runs again."""
    settings = {**CPU, "steps": 30, "marks": str(tmp_path / "marks"), "name": "a"}
    running, queued = executor.submit("steps", settings), executor.submit("quick", CPU)
    process = job_process(executor, running)
    logged(running, "the first step is done")
    kill(executor.store.worker())
    kill(process)
    shown = {job.id: job for job in executor.jobs()}
    assert shown[running.id].state == shown[queued.id].state == "queued"
    assert shown[running.id].error == (
        "Interrupted: its process and the worker ended, as when the machine restarts. It will resume automatically."
    )
    assert executor.wake() is True
    assert ended(executor, queued).state == "done"
    assert executor.status(running.id).result == "trained"
    assert executor.status(running.id).error is None
    assert (tmp_path / "marks").read_text().splitlines() == ["a start", "a start", "a end"]
    assert executor.wake() is False


def test_a_cancelled_job_is_continued(executor: LocalExecutor):
    """The request to stop of its first turn does not stop the second."""
    job = executor.submit("steps", {**CPU, "steps": 30})
    logged(job, "the first step is done")
    executor.cancel(job.id)
    assert ended(executor, job).state == "cancelled"
    assert executor.resume(job.id).turn == 2
    assert ended(executor, job).result == "trained"


def test_a_deaf_job_whose_worker_died_is_still_killed(executor: LocalExecutor):
    """Cancelling starts a worker to see to it."""
    job = executor.submit("stubborn", CPU)
    logged(job, "deaf")
    kill(executor.store.worker())
    executor.cancel(job.id)
    assert ended(executor, job).state == "cancelled"


def test_jobs_of_one_device_run_one_after_the_other(executor: LocalExecutor, tmp_path: Path):
    """In the order of submission, with the places told while they wait."""
    settings = {**CPU, "steps": 20, "marks": str(tmp_path / "marks")}
    with device_lease("cpu", "sftqa probe (process 1)"):
        jobs = [executor.submit("steps", {**settings, "name": name}) for name in ("a", "b", "c")]
        assert [queued.position for queued in executor.queue()] == [1, 2, 3]
    assert [ended(executor, job).state for job in jobs] == ["done"] * 3
    words = [f"{name} {word}" for name in "abc" for word in ("start", "end")]
    assert (tmp_path / "marks").read_text().splitlines() == words
    assert waiting(executor, jobs[0]) is None


def test_a_job_waits_for_a_command_line_and_a_command_line_for_a_job(executor: LocalExecutor):
    """Both take the same lease, and each hears who has it."""
    with device_lease("cpu", "sftqa probe (process 1)"):
        job = executor.submit("steps", {**CPU, "steps": 100})
        time.sleep(0.4)
        assert executor.status(job.id).state == "queued"
        queued = waiting(executor, job)
        assert queued is not None
        assert queued.holder == "sftqa probe (process 1)"
    logged(job, "the first step is done")
    heard: list[str] = []
    with device_lease("cpu", "sftqa train", heard.append, poll_s=0.02):
        assert executor.status(job.id).state == "done"
    assert heard == [f"job {job.id}"]


def test_jobs_of_several_devices_run_side_by_side(executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """On a machine of two GPUs (pretended): one job on each, one on the processor, and the third GPU job waits its turn."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent / "two_gpus"), os.environ["PYTHONPATH"]]))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    marks = str(tmp_path / "marks")
    jobs = [new_job("gpu", {"marks": marks, "name": name, "steps": 100}) for name in ("a", "b", "c")]
    for job in jobs:
        executor.store.insert(job, Resources(1), str(tmp_path))
    cpu = executor.submit("quick", CPU)
    until(lambda: [executor.status(job.id).state for job in jobs] == ["running", "running", "queued"])  # before any of them can be through
    assert ended(executor, cpu).state == "done"
    first, second, third = (ended(executor, job).result for job in jobs)
    assert {first, second} == {"0", "1"}
    assert third in ("0", "1")


def test_a_job_runs_on_the_very_gpu_that_it_names(executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Of two jobs for the second GPU one stays queued while it is busy; a job for any GPU passes it and has the first."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent / "two_gpus"), os.environ["PYTHONPATH"]]))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    asked = {"marks": str(tmp_path / "marks"), "steps": 60}
    named = [new_job("gpu", {**asked, "name": name, "device": "cuda:1"}) for name in ("a", "b")]
    free = new_job("gpu", {**asked, "name": "c"})
    for job in (*named, free):
        executor.store.insert(job, Resources(1), str(tmp_path))
    executor.work_on()
    jobs = (*named, free)
    until(lambda: [executor.status(job.id).state for job in jobs] == ["running", "queued", "running"])
    assert executor.store.needs(named[0].id) == Resources(1, "1")
    until(lambda: {lease.slot for lease in leases(executor.workspace)} == {"gpu-0", "gpu-1"})
    (waiting,) = executor.queue()
    assert (waiting.job.id, waiting.holder) == (named[1].id, f"job {named[0].id}")
    assert [ended(executor, job).result for job in jobs] == ["1", "1", "0"]


def test_a_job_submitted_while_the_worker_leaves_is_not_lost(workspace: Workspace):
    """With a worker that leaves at once, every job still runs, whenever it comes."""
    hasty = LocalExecutor(workspace, Timing(poll_s=0.01, idle_s=0.0))
    for number in range(6):
        time.sleep(0.037 * number)
        assert ended(hasty, hasty.submit("quick", {**CPU, "name": str(number)})).result == str(number)
    until(lambda: hasty.store.worker() is None)


def test_leaving_and_submitting_exclude_each_other(workspace: Workspace):
    """A worker that sees a job does not leave; one that left is not counted on."""
    store, me = JobStore(workspace), ProcessId.current()
    assert store.register(me) is True
    executor = LocalExecutor(workspace, FAST)
    executor.submit("quick", CPU)
    assert store.retire(me) is False
    executor.cancel(executor.store.jobs()[0].id)
    assert store.retire(me) is True
    assert store.worker() is None


def test_only_one_worker_lives(executor: LocalExecutor):
    """Many starts at once end in one worker."""
    executor.submit("steps", {**CPU, "steps": 50})
    until(lambda: executor.store.worker() is not None)
    worker = executor.store.worker()
    assert ensure_worker(executor.workspace, FAST) is False
    Worker(executor.workspace, FAST).run()  # comes back at once
    assert executor.store.worker() == worker


def test_a_double_click_in_two_threads_starts_one_job(executor: LocalExecutor):
    """The key is looked up and written in one transaction."""
    found: list[str] = []
    clicks = [threading.Thread(target=lambda: found.append(executor.submit("quick", CPU, key="k").id)) for _ in range(4)]
    for click in clicks:
        click.start()
    for click in clicks:
        click.join()
    assert len(set(found)) == 1
    assert len(executor.jobs()) == 1
    assert [path.name for path in executor.workspace.jobs.iterdir()] == [found[0]]


def test_a_job_runs_where_it_was_submitted(executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A relative path in its settings means what it meant to the person; a folder that is gone does not matter."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert ended(executor, executor.submit("where", CPU)).result == str(tmp_path / "here")
    with device_lease("cpu", "the test"):
        gone = executor.submit("where", CPU)
        monkeypatch.chdir(tmp_path)
        (tmp_path / "here").rmdir()
    assert ended(executor, gone).result == gone.folder


@pytest.mark.anew
def test_a_warm_process_serves_many_jobs_each_in_its_own(executor: LocalExecutor):
    """What was imported is there for the second job; a crash of the first took nothing with it."""
    first = ended(executor, executor.submit("leaves", CPU))
    jobs = [ended(executor, executor.submit("whose", CPU)) for _ in range(2)]
    assert first.state == "failed"
    parents, pids = zip(*(job.result.split() for job in jobs), strict=True)
    assert len(set(parents)) == 1
    assert len(set(pids)) == 2
    if sys.platform == "linux":
        assert "jobs.child\0warm" in Path(f"/proc/{parents[0]}/cmdline").read_text()


def test_without_a_warm_process_jobs_start_by_themselves(executor: LocalExecutor, monkeypatch: pytest.MonkeyPatch):
    """One that can't import the work says so in each job, and leaves the queue working."""
    monkeypatch.setenv("SFTQA_JOB_MODULE", "no_such_module")
    job = ended(executor, executor.submit("quick", CPU))
    assert (job.state, job.error) == ("failed", "ModuleNotFoundError: No module named 'no_such_module'")


@pytest.mark.anew
def test_killing_the_warm_process_ends_no_job(executor: LocalExecutor):
    """The job that it started goes on, and the next one is started directly."""
    job = executor.submit("steps", {**CPU, "steps": 60})
    logged(job, "the first step is done")
    warm = psutil.Process(job_process(executor, job).pid).ppid()
    assert psutil.Process(warm).cmdline()[-3:-1] == ["sftqa_core.jobs.child", "warm"]
    os.kill(warm, signal.SIGKILL)
    after = executor.submit("whose", CPU)
    assert ended(executor, job).result == "trained"
    worker = executor.store.worker()
    assert worker is not None
    assert ended(executor, after).result.split()[0] == str(worker.pid)


@pytest.mark.anew
def test_a_job_process_loads_neither_torch_nor_pandas(executor: LocalExecutor):
    """Only a workflow does."""
    assert ended(executor, executor.submit("torchless", CPU)).result == ""


def test_a_job_told_to_end_from_outside_has_failed(executor: LocalExecutor):
    """SIGTERM without a request to stop, as at shutdown."""
    job = executor.submit("steps", {**CPU, "steps": 5000})
    logged(job, "the first step is done")
    os.kill(job_process(executor, job).pid, signal.SIGTERM)
    over = ended(executor, job)
    assert (over.state, over.error) == ("failed", "The job's process was told to end (SIGTERM).")
    assert executor.resume(job.id).state in ("queued", "running")
    executor.cancel(job.id)
    until(lambda: lease_holder("cpu") is None)
