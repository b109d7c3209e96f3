"""What a job tells through its folder, and how it is read while it grows."""

from __future__ import annotations

from pathlib import Path

import pytest

from sftqa_core.errors import NotFound, Stopped
from sftqa_core.jobs.job_folder import FolderReporter, JobFolder
from sftqa_core.jobs.local import LocalExecutor
from sftqa_core.progress import Progress
from sftqa_core.workspace import Workspace

JOB = "train-20260101-000000-0123abcd"


@pytest.fixture
def folder(workspace: Workspace) -> JobFolder:
    return JobFolder(workspace, JOB)


def test_progress_is_thinned_but_keeps_each_phases_first_and_last(folder: JobFolder):
    """1,000 quick updates of two phases become a handful of lines."""
    reporter = FolderReporter(folder, per_s=0.001)
    for phase in ("probing", "training"):
        for done in range(1, 501):
            reporter.progress(Progress(phase, done, 1000, "steps"))
    reporter.flush()
    updates, _ = folder.progress_since(0)
    assert [(update.phase, update.done) for update in updates] == [("probing", 1), ("probing", 500), ("training", 1), ("training", 500)]


def test_a_finished_phase_is_written_at_once(folder: JobFolder):
    """Nobody is left at 499 of 500."""
    reporter = FolderReporter(folder, per_s=0.001)
    for done in (1, 499, 500):
        reporter.progress(Progress("training", done, 500, "steps"))
    assert folder.progress_since(0)[0][-1].done == 500


def test_a_cursor_reads_each_update_once_and_leaves_half_a_line(folder: JobFolder):
    """A chart asks for what is new; a line that is still being written comes whole the next time."""
    reporter = FolderReporter(folder, per_s=1e9)
    reporter.progress(Progress("training", 1, 9, "steps", values={"loss": 2.5}))
    updates, offset = folder.progress_since(0)
    assert [update.values for update in updates] == [{"loss": 2.5}]
    assert folder.progress_since(offset) == ([], offset)
    line = folder.progress.read_text()
    with folder.progress.open("a") as handle:
        handle.write(line[:20])
        handle.flush()
        assert folder.progress_since(offset) == ([], offset)
        handle.write(line[20:])
    updates, end = folder.progress_since(offset)
    assert [update.done for update in updates] == [1]
    assert end == folder.progress.stat().st_size


def test_a_line_cut_by_a_crash_is_passed_over(folder: JobFolder):
    """The next attempt's lines follow it."""
    folder.path.mkdir(parents=True)
    folder.progress.write_text('{"phase": "trai\n{"phase": "training", "done": 3, "total": 9, "unit": "steps"}\n{"pha\n')
    assert folder.progress_since(0)[0] == [Progress("training", 3, 9, "steps")]


def test_a_job_without_files_has_told_nothing(folder: JobFolder):
    """Before its process has started."""
    assert folder.progress_since(0) == ([], 0)
    assert folder.log_tail() == []


def test_a_log_shows_its_last_lines_and_a_progress_bars_last_word(folder: JobFolder):
    """Carriage returns overwrite, bytes that are no text do not hurt, and a huge log costs no more than its end."""
    folder.path.mkdir(parents=True)
    folder.log.write_bytes(b"x" * 2_000_000 + b"\nfirst\n 10%\r 50%\r100%\nbad \xff byte\r\nlast\n")
    assert folder.log_tail(4) == ["first", "100%", "bad \ufffd byte", "last"]
    assert folder.log_tail(1) == ["last"]
    assert folder.log_tail(0) == []
    assert sum(map(len, folder.log_tail())) < 300_000


def test_check_stops_once_it_was_asked_to(folder: JobFolder):
    """The stop file is the request."""
    reporter = FolderReporter(folder)
    reporter.check()
    folder.ask_to_stop()
    with pytest.raises(Stopped, match=r"^Stopped on request\.$"):
        reporter.check()


@pytest.mark.parametrize("name", ["../../etc", "", "train", "/tmp", "train-20260101-000000-0123abcd/..", "TRAIN-20260101-000000-0123abcd"])
def test_only_a_jobs_name_becomes_a_path(workspace: Workspace, name: str):
    """A query parameter cannot point elsewhere."""
    with pytest.raises(NotFound, match="There is no job"):
        LocalExecutor(workspace).log(name)
    assert not Path(workspace.state).exists()
