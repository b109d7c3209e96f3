"""`sftqa jobs`: the queue from a terminal."""

from __future__ import annotations

import json

import pytest

from sftqa_core.cli.main import main
from sftqa_core.jobs import use_executor
from sftqa_core.jobs.executor import FakeExecutor


@pytest.fixture
def executor():
    """Runs nothing."""
    with use_executor(FakeExecutor()) as executor:
        yield executor


@pytest.fixture
def queue(executor):
    """Four queued jobs."""
    return [executor.submit("train", {"n": number}).id for number in range(4)]


def told(capsys, *words):
    """What a command prints as JSON."""
    with pytest.raises(SystemExit):
        main(["jobs", *words, "--json"])
    return json.loads(capsys.readouterr().out)


def test_jobs_are_moved_cancelled_and_continued(queue, executor, capsys):
    """Each action answers with the job as it stands then."""
    assert told(capsys, "first", queue[2])["position"] == 1
    assert told(capsys, "down", queue[2])["position"] == 2
    assert [waiting.job.id for waiting in executor.queue()] == [queue[0], queue[2], queue[1], queue[3]]
    assert told(capsys, "cancel", queue[0])["job"]["state"] == "cancelled"
    again = told(capsys, "resume", queue[0])["job"]
    assert (again["state"], again["turn"]) == ("queued", 2)
    assert told(capsys, "empty")["cancelled"] == [queue[2], queue[1], queue[3], queue[0]]
    assert {job["state"] for job in told(capsys)["jobs"]} == {"cancelled"}


def test_an_action_without_a_job_is_told(queue, capsys):
    """Only emptying needs no id."""
    assert told(capsys, "resume")["error"] == "'sftqa jobs resume' needs a job's id; 'sftqa jobs' lists them."
    assert told(capsys, "first", "nope")["error"].startswith("There is no job 'nope'.")


def test_the_answers_read_like_sentences(queue, capsys):
    """For people, without --json."""
    for words, line in (
        (("last", queue[0]), f"{queue[0]}: queued, position 4 in the queue"),
        (("empty",), "4 queued jobs were cancelled."),
    ):
        with pytest.raises(SystemExit):
            main(["jobs", *words])
        assert capsys.readouterr().out.strip() == line
