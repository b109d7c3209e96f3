"""The contract of executors, kept by the local one and by the fake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

from sftqa_core.errors import NotFound, SettingsError
from sftqa_core.jobs import current_executor, use_executor
from sftqa_core.jobs.executor import Executor, FakeExecutor
from sftqa_core.jobs.lease import device_lease
from sftqa_core.jobs.local import LocalExecutor
from sftqa_core.records import OVER
from sftqa_core.workspace import Workspace
from tests.jobs.job_processes import CPU, FAST, end_processes, until
from tests.jobs.job_workloads import run_job


class ExecutorContract:
    """What every executor does; a subclass says how to make one, hold its queue still and let it run empty."""

    @pytest.fixture
    def executor(self) -> Executor:
        raise NotImplementedError

    @contextmanager
    def still(self, executor: Executor) -> Iterator[None]:
        """Nothing starts inside."""
        yield

    def run_empty(self, executor: Executor, ids: list[str]) -> None:
        """Come back when these jobs are over."""
        raise NotImplementedError

    def test_a_submitted_job_is_queued_with_its_own_copy_of_the_settings(self, executor: Executor):
        """What the form does to its settings after the click does not reach the job."""
        settings = {**CPU, "name": "first"}
        with self.still(executor):
            job = executor.submit("quick", settings)
            settings["name"] = "changed"
            assert executor.status(job.id).settings == {"device": "cpu", "name": "first"}
            assert executor.status(job.id).state == "queued"
            assert job.kind == "quick"
            assert job.created.endswith("+00:00")

    def test_jobs_end_as_done_or_failed_and_a_failed_one_does_not_stop_the_next(self, executor: Executor):
        """A result for what worked; for what did not, the program's own sentence or the exception's name."""
        with self.still(executor):
            few, broken, quick = (executor.submit(kind, {**CPU, "name": "it"}).id for kind in ("few", "broken", "quick"))
        self.run_empty(executor, [few, broken, quick])
        assert (executor.status(few).state, executor.status(few).result) == ("failed", None)
        assert executor.status(few).error == "60 facts were asked for, the source has 12. Lower n."
        assert executor.status(broken).error == "KeyError: 'loss'"
        assert (executor.status(quick).state, executor.status(quick).result) == ("done", "it")
        assert executor.status(few).started <= executor.status(broken).started <= executor.status(quick).started

    def test_a_cancelled_queued_job_never_runs(self, executor: Executor):
        """It is over at once, and stays so."""
        with self.still(executor):
            first, second = executor.submit("quick", CPU), executor.submit("quick", CPU)
            assert executor.cancel(first.id).state == "cancelled"
        self.run_empty(executor, [second.id])
        assert executor.status(first.id).state == "cancelled"
        assert executor.status(first.id).started is None

    def test_cancelling_a_job_that_is_over_changes_nothing(self, executor: Executor):
        """A stale page's button does no harm."""
        job = executor.submit("quick", CPU)
        self.run_empty(executor, [job.id])
        assert executor.cancel(job.id) == executor.status(job.id)
        assert executor.status(job.id).state == "done"

    def test_one_key_starts_one_job(self, executor: Executor):
        """A double click hands over the same key twice."""
        with self.still(executor):
            first = executor.submit("quick", CPU, key="click 1")
            assert executor.submit("quick", CPU, key="click 1").id == first.id
            assert executor.submit("quick", CPU, key="click 2").id != first.id
            assert executor.submit("quick", CPU).id != executor.submit("quick", CPU).id

    def test_what_failed_or_was_cancelled_can_be_continued(self, executor: Executor):
        """It is queued behind the others, in a turn of its own; what is queued or done stays as it is."""
        with self.still(executor):
            first, second, third = (executor.submit("quick", {**CPU, "name": name}) for name in "abc")
            executor.cancel(first.id)
            again = executor.resume(first.id)
            assert (again.state, again.turn, again.finished, again.error) == ("queued", 2, None, None)
            assert executor.resume(second.id) == executor.status(second.id)
            assert executor.cancel(first.id, turn=1).state == "queued"
        self.run_empty(executor, [first.id, second.id, third.id])
        assert executor.status(third.id).started <= executor.status(first.id).started
        assert executor.status(first.id).result == "a"
        assert executor.resume(third.id).state == "done"

    def test_the_queue_can_be_reordered_and_emptied(self, executor: Executor):
        """Jobs start in the new order; an emptied queue starts none."""
        with self.still(executor):
            first, second, third = (executor.submit("quick", {**CPU, "name": name}).id for name in "abc")
            assert executor.move(third, "first") is True
            assert executor.move(third, "up") is False
        self.run_empty(executor, [first, second, third])
        assert executor.status(third).started <= executor.status(first).started <= executor.status(second).started
        with self.still(executor):
            ids = [executor.submit("quick", CPU).id for _ in range(3)]
            assert executor.empty() == ids
        assert [executor.status(job_id).state for job_id in ids] == ["cancelled"] * 3

    def test_the_forecast_goes_with_the_job(self, executor: Executor):
        """So that the queue can say when the next one starts."""
        with self.still(executor):
            job = executor.submit("quick", CPU, expected_s=(20.0, 60.0))
            assert executor.status(job.id).expected_s == (20.0, 60.0)
            executor.cancel(job.id)

    def test_jobs_are_listed_and_counted(self, executor: Executor):
        """The newest first, of one kind or state if that is asked for; an executor that was never used has none."""
        assert (executor.jobs(), executor.counts(), executor.queue()) == ([], {}, [])
        with self.still(executor):
            quick, few, second = (executor.submit(kind, CPU).id for kind in ("quick", "few", "quick"))
            executor.cancel(few)
            assert [job.id for job in executor.jobs()] == [second, few, quick]
            assert [job.id for job in executor.jobs(2)] == [second, few]
            assert [job.id for job in executor.jobs(kind="quick")] == [second, quick]
            assert [job.id for job in executor.jobs(kind="few", states=("queued",))] == []
            assert executor.jobs(states=("cancelled",)) == [executor.status(few)]
            assert executor.counts() == {"queued": 2, "cancelled": 1}

    def test_the_queue_says_when_each_job_starts(self, executor: Executor):
        """By the forecasts of those before it, as far as they have one; downloads wait for other downloads only."""
        with self.still(executor):
            first, second, third = (executor.submit("quick", CPU, expected_s=expected) for expected in ((20.0, 60.0), (), (1.0, 2.0)))
            queued = executor.queue()
            assert [waiting.job for waiting in queued] == [executor.status(job.id) for job in (first, second, third)]
            assert [waiting.position for waiting in queued] == [1, 2, 3]
            assert [waiting.starts_in_s for waiting in queued] == [(0.0, 0.0), (20.0, 60.0), None]
            executor.empty()
            assert executor.queue() == []

    def test_log_and_progress_can_be_read(self, executor: Executor):
        """Each update once, by an offset that the last call gave; of the log as many lines as are wanted."""
        job = executor.submit("steps", {**CPU, "steps": 5})
        self.run_empty(executor, [job.id])
        assert executor.log(job.id)[-1] == executor.log(job.id, 1)[0] == "the first step is done"
        updates, offset = executor.progress_since(job.id)
        assert (updates[-1].phase, updates[-1].done, updates[-1].total, updates[-1].values) == ("training", 5, 5, {"loss": 0.2})
        assert executor.progress_since(job.id, offset) == ([], offset)

    def test_jobs_that_are_over_can_be_removed(self, executor: Executor):
        """Those that are not over stay, whoever asks."""
        over = executor.submit("quick", CPU).id
        self.run_empty(executor, [over])
        with self.still(executor):
            queued, cancelled = executor.submit("quick", CPU).id, executor.submit("quick", CPU).id
            executor.cancel(cancelled)
            assert executor.remove([queued, "../x"]) == []
            assert executor.remove([cancelled]) == [cancelled]
            assert executor.remove() == [over]
            assert [job.id for job in executor.jobs()] == [queued]
            with pytest.raises(NotFound, match=over):
                executor.status(over)

    def test_the_stamp_changes_when_a_job_ends_is_continued_or_removed(self, executor: Executor):
        """What pages keep of results is read again then, and only then."""
        with self.still(executor):
            job = executor.submit("quick", CPU).id
            stamps = [executor.stamp()]
            executor.submit("quick", CPU)
            assert executor.stamp() == stamps[-1]
            for change in (executor.cancel, executor.resume, executor.cancel, lambda job_id: executor.remove([job_id])):
                change(job)
                stamps.append(executor.stamp())
        assert all(before != after for before, after in pairwise(stamps))

    def test_waking_a_queue_that_is_empty_does_nothing(self, executor: Executor):
        """The explorer does it whenever it starts."""
        assert executor.wake() is False

    def test_an_unknown_job_is_named(self, executor: Executor):
        """Whatever is asked of it says which job is not there."""
        for call in (executor.status, executor.cancel, executor.resume, executor.log, executor.progress_since):
            with pytest.raises(NotFound, match="There is no job 'train-1'"):
                call("train-1")

    def test_settings_that_are_not_json_are_refused(self, executor: Executor):
        """Before anything is queued."""
        with pytest.raises(SettingsError, match="must be plain JSON values"):
            executor.submit("quick", {"limit": {1, 2}})
        with pytest.raises(SettingsError, match="must be plain JSON values"):
            executor.submit("quick", {"learning_rate": float("nan")})

    def test_a_kind_that_is_no_word_is_refused(self, executor: Executor):
        """It becomes part of a folder's name."""
        with pytest.raises(SettingsError, match=r"lower-case word, got '\.\./train'"):
            executor.submit("../train", {})


class TestLocalExecutor(ExecutorContract):
    """Real processes."""

    @pytest.fixture
    def executor(self, workspace: Workspace) -> Iterator[Executor]:
        yield LocalExecutor(workspace, FAST)
        end_processes(workspace)

    @contextmanager
    def still(self, executor: Executor) -> Iterator[None]:
        with device_lease("cpu", "the test"):
            yield

    def run_empty(self, executor: Executor, ids: list[str]) -> None:
        until(lambda: all(executor.status(job_id).state in OVER for job_id in ids))


class TestFakeExecutor(ExecutorContract):
    """The one that ships for tests."""

    @pytest.fixture
    def executor(self) -> Executor:
        return FakeExecutor(run_job)

    def run_empty(self, executor: Executor, ids: list[str]) -> None:
        assert isinstance(executor, FakeExecutor)
        executor.run_all()


def test_pages_and_commands_get_the_executor_from_one_place(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    """The local one of the current workspace, one that a test puts in its place, and no other than there is."""
    local = current_executor()
    assert isinstance(local, LocalExecutor)
    assert local.workspace == workspace
    with use_executor(FakeExecutor()) as fake:
        assert current_executor() is fake
    monkeypatch.setenv("SFTQA_EXECUTOR", "slurm")
    with pytest.raises(SettingsError, match=r"^SFTQA_EXECUTOR must be one of local, ray, got 'slurm'\.$"):
        current_executor()
