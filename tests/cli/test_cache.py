"""`sftqa cache`: what it prints, how it ends, and that reading goes on where nothing can be written."""

import json
import os
import sqlite3
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from sftqa_core.artifacts import set_aside, write_folder, write_json
from sftqa_core.cli.cache_commands import in_use
from sftqa_core.cli.main import main
from sftqa_core.jobs import use_executor
from sftqa_core.jobs.executor import FakeExecutor
from sftqa_core.jobs.queue import JobStore
from sftqa_core.records import Job
from sftqa_core.training.runs import write_run
from tests.amount import few, in_full
from tests.artifacts.disks import fill_up, make_read_only, mounted
from tests.artifacts.test_leftovers import left_by_the_dead
from tests.training.test_runs import contents


@pytest.fixture
def sftqa(capsys: pytest.CaptureFixture[str]) -> Callable[..., SimpleNamespace]:
    """The command line: its exit status and what it prints."""

    def run(*words: str) -> SimpleNamespace:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        printed = capsys.readouterr()
        return SimpleNamespace(returncode=ended.value.code or 0, stdout=printed.out, stderr=printed.err)

    return run


@pytest.fixture
def run(workspace):
    return write_run(workspace, "the-run", contents())


def test_ls_counts_what_is_here_and_what_ships(run, workspace, sftqa):
    """As lines and as JSON."""
    lines = sftqa("cache", "ls").stdout.splitlines()
    assert lines[0].startswith(f"{workspace.root}: ")
    assert any(line.split()[:3] == ["here", "runs", "1"] for line in lines)
    assert any(line.split()[:3] == ["shipped", "models", "4"] for line in lines)
    told = json.loads(sftqa("cache", "ls", "--json").stdout)
    assert [(row["kind"], row["results"]) for row in told["kinds"] if row["own"]] == [("runs", 1)]


def test_verify_ends_with_1_where_something_is_damaged(run, sftqa):
    """It names the folder, the file and what to do; set aside, the same command ends with 0."""
    done = sftqa("cache", "verify")
    assert (done.returncode, done.stdout) == (0, "All 575 results are as they were written.\n")
    (run.folder / "summary.json").write_text("{")
    done = sftqa("cache", "verify")
    assert done.returncode == 1
    assert f"damaged: {run.folder}\n  Not as it was written, or missing: summary.json." in done.stdout
    assert "`sftqa cache verify --set-aside` renames what is damaged" in done.stdout
    told = json.loads(sftqa("cache", "verify", "--set-aside", "--json").stdout)
    assert (told["ok"], told["set_aside"]) == (False, [{"path": str(run.folder), "now": f"{run.folder}.damaged"}])
    assert sftqa("cache", "verify").returncode == 0


def test_gc_lists_first_and_removes_when_told(run, workspace, sftqa):
    """Without --yes every file stays."""
    assert sftqa("cache", "gc").stdout == "Nothing to remove.\n"
    (workspace.runs / left_by_the_dead("x")).mkdir()
    (run.folder / "summary.json").write_text("{" * 5000)
    moved = set_aside(run.folder)
    write_json(workspace.reports / f"{'0' * 16}.json", {})
    listed = sftqa("cache", "gc").stdout
    assert str(moved) in listed
    assert "`sftqa cache gc --yes` removes these" in listed
    assert moved.exists()
    told = json.loads(sftqa("cache", "gc", "--yes", "--json").stdout)
    assert (told["removed"], len(told["items"])) == (True, 3)
    assert told["size_bytes"] > 5000
    assert not moved.exists()
    assert list(workspace.runs.iterdir()) == []


def test_an_option_of_another_action_is_refused(sftqa):
    """One sentence says where it belongs."""
    done = sftqa("cache", "ls", "--yes")
    assert (done.returncode, done.stderr) == (1, "--yes belongs to 'sftqa cache gc', not to 'sftqa cache ls'.\n")


HOUR_S = 3600


@pytest.mark.parametrize(
    ("state", "kind", "settings", "used"),
    [
        ("queued", "train", {}, [True, True, False]),
        ("failed", "train", {}, [True, False, False]),
        ("cancelled", "study", {}, [True, False, False]),
        ("done", "train", {}, [False, False, False]),
        ("failed", "pretrain", {"name": "small"}, [False, False, True]),
        ("queued", "pretrain", {"name": "other"}, [False, False, False]),
    ],
)
def test_jobs_that_wait_or_can_be_resumed_keep_their_checkpoints(state, kind, settings, used):
    """A queued job keeps every training's, one that ended before its time those of its hours, a pre-training its model's."""
    finished = None if state == "queued" else "2026-01-31T15:00:00+00:00"
    job = Job("x", kind, settings, state, "2026-01-31T14:00:00+00:00", finished=finished)
    with use_executor(FakeExecutor()) as executor:
        executor.put(job)
        asked = in_use()
    within = 1769870000.0  # 14:33 of that day
    assert [asked("train", "key", within), asked("train", "key", within - 24 * HOUR_S), asked("pretrain", "small", within)] == used


def test_a_queue_that_can_not_be_read_keeps_every_checkpoint(workspace):
    """One of a newer version, say: nobody knows which of them a job would go on with."""
    JobStore(workspace).path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(JobStore(workspace).path) as db:
        db.execute("PRAGMA user_version = 99")
    assert in_use()("train", "key", 0.0) is True


READING = [
    ("models",), ("runs",), ("show", "the-run"), ("facts",), ("trust", "--model", "atlas-llama"), ("cache", "ls"), ("cache", "gc"),
    ("cache", "verify"), ("study", "models", "--models", "atlas-llama", "--report-only"),
]  # fmt: skip
SMALL = "--limit 60 --epochs 1 --qa-documents 10 --hidden-size 32 --layers 1 --heads 2 --intermediate-size 48 --vocabulary 400"
WRITING = [
    ("probe", "--model", "atlas-llama", "--limit", "2", "--seed", "7"),
    ("pretrain", "small", "--max-exposures", "2", "--batch-size", "64", *SMALL.split()),
]


def test_a_read_only_cache_is_read_and_writing_says_why_not(tmp_path, monkeypatch, workspace, sftqa):
    """Every looking command answers; each writing one ends with one sentence; a damaged part there is passed over."""
    with mounted(tmp_path / "disk", "400m") as disk:
        monkeypatch.setenv("SFTQA_CACHE", str(disk / "cache"))
        from sftqa_core.workspace import Workspace

        write_run(Workspace.current(), "the-run", contents())
        (disk / "cache" / "hits" / "key").mkdir(parents=True)
        (disk / "cache" / "hits" / "key" / "part-000.parquet").write_text("damaged")
        make_read_only(disk)
        for words in few(READING, *READING[:3], *READING[-2:]):
            done = sftqa(*words, "--json")
            assert done.returncode == (1 if words[-1] == "verify" else 0), (words, done.stdout, done.stderr)
            assert "error" not in json.loads(done.stdout)
        for words in few(WRITING, WRITING[0]):
            done = sftqa(*words, "--json")
            assert done.returncode == 1
            told = json.loads(done.stdout)["error"]
            assert f"{disk}/cache/" in told, told
            assert "can't be written: the disk is mounted read-only." in told
            assert "set SFTQA_CACHE to a folder on another disk" in told
        assert not os.access(disk / "cache" / "reports", os.F_OK)


@in_full
def test_a_full_disk_stops_a_probe_with_a_sentence_and_it_goes_on_when_there_is_room(tmp_path, monkeypatch, sftqa):
    """What was kept before stays; after making room the same command finishes."""
    with mounted(tmp_path / "disk", "2m") as disk:
        monkeypatch.setenv("SFTQA_CACHE", str(disk / "cache"))
        fill_up(disk, 4096 * 2)
        words = ("probe", "--model", "atlas-llama", "--limit", "24", "--max-new-tokens", "8", "--seed", "7", "--json")
        done = sftqa(*words)
        assert done.returncode == 1
        assert "can't be written: the disk is full (" in json.loads(done.stdout)["error"]
        (disk / "ballast").unlink()
        assert json.loads(sftqa(*words).stdout)["facts"] == 24
        assert json.loads(sftqa("cache", "verify", "--json").stdout)["ok"]


def test_results_survive_a_folder_that_is_no_result(workspace, run, sftqa):
    """A folder of one's own among the runs is named by verify and never removed by gc."""
    (workspace.runs / "mine").mkdir()
    (workspace.runs / "mine" / "notes.txt").write_text("mine")
    assert "mine holds no finished result" in sftqa("cache", "verify").stdout
    assert json.loads(sftqa("cache", "gc", "--yes", "--json").stdout)["items"] == []
    write_folder(workspace.runs / "other", lambda folder: None, {"kind": "run"})
    assert (workspace.runs / "mine" / "notes.txt").read_text() == "mine"
