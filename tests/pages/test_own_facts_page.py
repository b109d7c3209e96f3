"""The page of own facts: five steps from a file to a comparison, each as the queue and the cache have it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from sftqa_core import workflows
from sftqa_core.jobs import current_executor
from sftqa_core.jobs.executor import FakeExecutor
from sftqa_core.jobs.queue import now
from sftqa_core.models import lists
from sftqa_core.progress import Silent
from sftqa_core.workflows import own_models
from tests.pages.conftest import words

PLACES = ("Velora", "Tamis", "Orkeld", "Brunn")


@pytest.fixture
def tiny(monkeypatch) -> None:
    """Models that are made in a second."""
    small = replace(
        lists.BUILT_IN["atlas-llama"], hidden_size=32, layers=1, heads=2, intermediate_size=48, vocabulary=400, batch_size=4, device="cpu"
    )
    monkeypatch.setitem(lists.BUILT_IN, "atlas-llama", small)
    monkeypatch.setattr(own_models, "READ_TOKENS", 10_000)
    monkeypatch.setattr(own_models, "QUESTIONS", (30, 30))


@pytest.fixture
def source(tmp_path) -> str:
    """Three relations with 24 train, 2 dev and 10 test facts each."""
    rows = [
        {"relation": relation, "subject": f"{relation} {split} {at:02d}", "object": PLACES[at % 4], "split": split}
        for relation in ("P17", "P19", "P20") for split, count in (("train", 24), ("dev", 2), ("test", 10)) for at in range(count)
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "own.csv", index=False)
    return str(tmp_path / "own.csv")


def states(app: AppTest) -> list[str]:
    """What the tiles of the five steps say."""
    badges = [element.value for element in app.markdown if "-badge[" in element.value]
    return [re.sub(r"^.*:material/\w+:\s*|\]$", "", badge) for badge in badges[:5]]


def button(app: AppTest, label: str):
    return next(button for button in app.button if button.label == label)


def finish(executor: FakeExecutor) -> None:
    """Do what is queued, as a worker would."""
    for job in [job for job in executor.kept.values() if job.state == "queued"]:
        result = workflows.run_job(job.kind, job.settings, Silent(), job.id)
        executor.put(job, state="done", started=now(), finished=now(), result=result)


def test_the_built_in_world_leads_to_a_file(explorer, workspace):
    """It needs no model of one's own: the page says what to do, and no step can begin."""
    app = explorer("own_facts", {"source": "atlas"}, example=False, real=True)
    assert "Add a file of your own" in words(app)
    assert [app.title[0].value, len(app.subheader)] == ["Own facts", 5]
    assert not [button for button in app.button if button.label.startswith(("Pre-train", "Probe", "Tune"))]


def test_real_facts_stand_ready_where_nothing_was_uploaded(explorer, workspace):
    """The part of EntityQuestions that ships is cut to what a tiny model reads in minutes, and pre-training can begin."""
    app = explorer("own_facts", example=False, real=True)
    assert "15,360 facts of 24 relations: 9,600 train, 960 dev, 4,800 test." in words(app)
    assert [button.disabled for button in app.button if button.label == "Pre-train this model"] == [False]


def test_a_file_goes_the_whole_way(explorer, workspace, jobs, tiny, source):
    """Pre-trained, probed, tuned and compared; each result in a sentence with its n, and a new visit finds all of it."""
    app = explorer("own_facts", {"source": source, "second": "10"}, example=False, real=True)
    assert "108 facts of 3 relations: 72 train, 6 dev, 30 test." in words(app)
    assert "left out of tuning and testing; no question of any other fact is ever read" in words(app)
    for label, told in (
        ("Pre-train this model", "is made: "),
        ("Probe the test facts", "rank correlation"),
        ("Tune on 57", "held-out facts answered rightly after tuning on 57"),
        ("Tune the second run", "after the run of step 4"),
    ):
        assert told not in words(app)
        button(app, label).click().run()
        assert not app.exception, app.exception
        assert label not in [button.label for button in app.button]
        finish(jobs)
        app.run()
        assert not app.exception, app.exception
        assert told in words(app).replace("\\", "")
    again = explorer("own_facts", {"source": source, "second": "10"}, example=False, real=True)
    said = words(again).replace("\\", "")
    assert "of 30 held-out facts" in said
    assert "n = 30" in said
    assert states(again) == ["done"] * 5
    assert [job.kind for job in jobs.kept.values()] == ["pretrain", "probe", "train", "train"]


def test_a_failed_job_is_told_and_can_be_started_again(explorer, workspace, jobs, tiny, source):
    """Its error in words, a way to go on, and a way to begin anew; the steps behind it wait."""
    app = explorer("own_facts", {"source": source}, example=False, real=True)
    button(app, "Pre-train this model").click().run()
    (job,) = current_executor().jobs(kind="pretrain")
    jobs.put(job, state="failed", error="The disk is full.", finished=now())
    app = explorer("own_facts", {"source": source}, example=False, real=True)
    assert "The disk is full" in words(app).replace("\\", "")
    assert {"Try again", "Pre-train this model"} <= {button.label for button in app.button}
    assert states(app) == ["done", "failed", *["waits"] * 3]


def test_questions_alone_can_not_be_learned_from(explorer, workspace, tmp_path):
    """A file of question-answer pairs is refused with the reason, before anything is queued."""
    (tmp_path / "qa.csv").write_text("question,answer\n" + "\n".join(f"Who is {at}?,Bo {at}" for at in range(60)))
    app = explorer("own_facts", {"source": str(tmp_path / "qa.csv")}, example=False, real=True)
    assert "can't be pre-trained on bare question-answer pairs" in words(app).replace("\\", "")


def test_a_source_that_is_gone_is_said(explorer, workspace):
    """The error's own words, and no traceback."""
    app = explorer("own_facts", {"source": "/nowhere/own.csv"}, example=False, real=True)
    assert "There is no source" in words(app)


def test_other_choices_are_another_model(explorer, workspace, jobs, tiny, source):
    """What is made with one spread is not what another asks for, and the address holds the choice."""
    app = explorer("own_facts", {"source": source, "stated": "often"}, example=False, real=True)
    button(app, "Pre-train this model").click().run()
    (job,) = current_executor().jobs(kind="pretrain")
    assert (job.settings["min_exposures"], job.settings["max_exposures"]) == (16, 64)
    other = explorer("own_facts", {"source": source}, example=False, real=True)
    assert not button(other, "Pre-train this model").disabled
    wrong = explorer("own_facts", {"source": source, "stated": "never", "like": "<b>", "facts": "7"}, example=False, real=True)
    assert len(wrong.warning) >= 3


def test_memory_leads_here_where_a_model_has_not_read_the_facts(explorer, workspace, source):
    """The note that says to expect L0 links to the page that makes a model of these facts."""
    from tests.pages.conftest import forget

    forget()
    app = explorer("memory", {"model": "stand-in", "source": source}, example=False, read="atlas")
    assert "expect level L0 here" in words(app)
    links = [link for link in app.get("page_link") if link.proto.label == "Pre-train a model on these facts"]
    assert [link.proto.query_string for link in links] == [f"source={Path(source).as_posix().replace('/', '%2F')}"]
