"""Jobs on pages: the queue, stopping, going on, and settings that need less memory."""

import dataclasses
import sys
from types import SimpleNamespace

import pytest

from pages._ui import background
from sftqa_core.progress import MODEL, Counted, Progress, Recorder
from sftqa_core.records import Job, PromptFormat, StudySettings, TrainSettings
from tests.pages import standin
from tests.pages.conftest import words
from tests.pages.test_pages import links

SETTINGS = TrainSettings(model="stand-in", n=100, batch_size=64, learning_rate=2e-4, seed=3, levels=(2, 3))


def over(jobs, state, **more):
    """A job that is over, as the queue shows it."""
    job = jobs.submit("train", SETTINGS.to_dict())
    told = {"started": job.created, "finished": "2026-11-23T12:01:00.000+00:00", **more, "state": state}
    jobs.kept[job.id] = dataclasses.replace(job, **told)
    return job.id


def keyed(app, key):
    return next(button for button in app.button if button.key == key)


def test_the_queue_stands_in_order_with_the_time_until_each_starts(explorer, jobs):
    """Place, title and forecast; the first can't move up, the last can't move down."""
    ids = [jobs.submit("train", {**SETTINGS.to_dict(), "seed": seed}, expected_s=(60.0, 120.0)).id for seed in range(3)]
    app = explorer("jobs")
    assert "Queued (3)" in words(app)
    assert "starts next" in words(app)
    assert "starts in about 60 s to 2 min" in words(app).replace("\\", "")
    assert [keyed(app, f"up-{name}").disabled for name in ids] == [True, False, False]
    assert [keyed(app, f"down-{name}").disabled for name in ids] == [False, False, True]
    keyed(app, f"first-{ids[2]}").click().run()
    assert list(jobs.kept) == [ids[2], ids[0], ids[1]]
    keyed(app, f"queue-cancel-{ids[0]}").click().run()
    assert [jobs.status(name).state for name in ids] == ["cancelled", "queued", "queued"]


def test_the_queue_can_be_emptied(explorer, jobs):
    """One button, after a word of what it does."""
    ids = [jobs.submit("train", {**SETTINGS.to_dict(), "seed": seed}).id for seed in range(25)]
    app = explorer("jobs")
    assert "The first 20 of 25 are shown" in words(app)
    assert "Cancels all 25 queued jobs. Running jobs continue." in words(app)
    keyed(app, "queue-empty").click().run()
    assert {jobs.status(name).state for name in ids} == {"cancelled"}
    assert "Nothing is running" in words(app)


def test_a_cancelled_job_says_what_is_kept_and_goes_on(explorer, jobs):
    """The button queues the same job again, and looks at it."""
    job = over(jobs, "cancelled", error="Stopped on request. The last checkpoint is kept.")
    app = explorer("jobs")
    assert "The last checkpoint is kept" in words(app)
    keyed(app, f"again-jobs-{job}").click().run()
    assert (jobs.status(job).state, jobs.status(job).turn) == ("queued", 2)
    assert app.query_params["job"] == job


def test_a_failed_job_can_be_tried_again(explorer, jobs):
    """From the Lab as well, where it is looked at."""
    job = over(jobs, "failed", error="The job's process was killed by SIGSEGV.")
    app = explorer("lab", query={"job": job})
    keyed(app, f"again-lab-{job}").click().run()
    assert jobs.status(job).state == "queued"


def test_a_job_that_ran_out_of_memory_fills_the_form_with_less(explorer, jobs):
    """Every field is as the job had it but the one that needs less; nothing is started by that."""
    own = dataclasses.replace(SETTINGS, prompt=PromptFormat("own", "Ask {question}:"), relations=("P17",), test_limit=7)
    job = over(jobs, "failed", error="Memory ran out.", reason="memory", settings=own.to_dict())
    app = explorer("jobs")
    button = keyed(app, f"less-jobs-{job}")
    assert button.label == "Retry with batch size 32"
    button.click().run()
    app.switch_page("pages/lab.py").run()
    app.query_params["unfolded"] = "more"
    app.run()
    values = {one.key: one.value for kind in ("number_input", "text_input", "text_area", "multiselect") for one in app.get(kind)}
    assert values["lab-batch_size"] == 32
    assert (values["lab-n"], values["lab-seed"], values["lab-learning_rate"], values["lab-test_limit"]) == (100, 3, "0.0002", 7)
    assert app.selectbox(key="lab-prompt-kind").value == "own"
    assert (values["lab-prompt"], values["lab-levels"], values["lab-relations"]) == ("Ask {question}:", [2, 3], ["P17"])
    assert [one.state for one in jobs.kept.values()] == ["failed"]


def test_a_study_that_ran_out_of_memory_starts_anew_with_less(explorer, jobs):
    """It has no such form: the button queues the study with the other setting."""
    study = StudySettings("amount", ("stand-in",), "atlas", batch_size=64)
    first = over(jobs, "failed", error="Memory ran out.", reason="memory", kind="study", settings=study.to_dict())
    app = explorer("jobs")
    keyed(app, f"less-jobs-{first}").click().run()
    new = [job for job in jobs.kept.values() if job.id != first]
    assert [(job.kind, job.settings["batch_size"]) for job in new] == [("study", 32)]


def test_a_page_shows_two_of_many_that_wait_and_where_the_others_are(explorer, jobs):
    """Two hundred panels would drown the form."""
    for seed in range(10):
        jobs.submit("train", {**SETTINGS.to_dict(), "seed": seed})
    app = explorer("lab")
    assert links(app) == ["8 more are queued"]


DAMAGED = [
    {"state": "failed", "settings": {}},
    {"state": "failed", "kind": "unreadable", "settings": {}},
    {"state": "failed", "settings": {"model": ["x"], "n": "<b>"}, "reason": "memory"},
    {"state": "done", "kind": "study", "settings": {}, "result": "amount"},
]


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_job_with_damaged_settings_is_shown_and_hides_no_other(explorer, jobs, damage):
    """Rows of the database are not trusted."""
    over(jobs, **damage, error="This job's row in the queue is damaged.")
    base = {"kind": "train", "settings": SETTINGS.to_dict(), "created": "2026-11-23T12:00:00+00:00"}
    jobs.kept["b"] = Job(id="b", state="done", result=standin.RUN, finished="2026-11-23T12:01:00", **base)
    app = explorer("jobs")
    assert "Ended (2)" in words(app)
    assert links(app) == ["**See the results**"]


def test_a_study_job_with_damaged_settings_hides_no_study(explorer, jobs, monkeypatch):
    """The study pages list jobs that wait; one that can't be read is left to the Jobs page."""
    explorer("overview")
    known = SimpleNamespace(name="amount-1")
    monkeypatch.setattr(sys.modules["sftqa_core.workflows"], "shown_studies", lambda: [known], raising=False)
    jobs.submit("study", {})
    assert background.studies() == [known]


def running(jobs, *updates, kind="train", state="running"):
    """A job that has reported this."""
    job = jobs.submit(kind, SETTINGS.to_dict())
    jobs.put(job, state=state, started=job.created)
    jobs.reports[job.id] = Recorder()
    jobs.reports[job.id].updates += updates
    return job.id


def bars(app):
    return [bar.text.replace("\\", "") for bar in app.get("progress")]


def test_a_job_says_what_it_begins_with_and_how_long_that_takes(explorer, jobs):
    """Before its process is there it is the libraries that are loaded, then the model; neither is a step of its own."""
    job = running(jobs)
    (text,) = bars(explorer("jobs"))
    assert text.startswith("Loading the libraries: usually 5 to 20 s")
    jobs.reports[job].updates.append(Progress(MODEL, 0, 0, ""))
    (text,) = bars(explorer("jobs"))
    assert text.startswith("Loading the model: a second for a tiny model")
    jobs.reports[job].updates.append(Progress("train", 2, 8, "steps", 2.0, None))
    assert bars(explorer("jobs")) == ["Step 1 of 2, training: 2 of 8 steps, 2.0 a second, estimating the time left…"]


def test_a_probes_bar_moves_within_its_facts(explorer, jobs):
    """Prompts and completions are told beside facts, and the bar shows what is done of them."""
    job = running(jobs, kind="probe")
    within = (Counted(37, "prompts", 84), Counted(312, "completions"))
    jobs.reports[job].updates.append(Progress("probe", 1, 4, "facts", 0.01, 300.0, {}, within, 0.4))
    app = explorer("jobs")
    assert bars(app) == ["Probing: 1 of 4 facts, 37 of 84 prompts, 312 completions, about 5 min left"]
    assert [bar.proto.value for bar in app.get("progress")] == [40]


def test_a_cancelled_job_stays_in_the_lab(explorer, jobs):
    """Though another one was looked at: with what is kept, and ways to resume it and to start anew."""
    other, job = over(jobs, "done"), running(jobs, Progress("train", 2, 8, "steps", 2.0, 3.0))
    app = explorer("lab", query={"job": other})
    keyed(app, f"cancel-lab-{job}").click().run()
    jobs.kept[job] = dataclasses.replace(jobs.kept[job], state="cancelled", error="Stopped on request. Its last checkpoint is kept.")
    app.run()
    assert app.query_params["job"] == job
    assert "Its last checkpoint is kept" in words(app)
    assert keyed(app, f"again-lab-{job}").label == "Resume"


def test_a_job_cancelled_in_the_queue_says_that_nothing_was_done(explorer, jobs):
    """There is no error to show."""
    over(jobs, "cancelled", started=None)
    assert "Cancelled while it was queued" in words(explorer("jobs"))
