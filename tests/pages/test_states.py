"""Every page on which work is watched, while it runs and after it failed; every study page where there is no study.

Empty and full pages, and each page's own troubles, are tested where the page is.
"""

import pytest

from sftqa_core.artifacts import write_bytes
from sftqa_core.progress import Progress, Recorder
from sftqa_core.records import STUDIES, FetchFactsSettings, FetchSettings, ProbeSettings, StudySettings, TrainSettings
from sftqa_core.studies.config import study_yaml
from tests.pages.conftest import words

WORK = {  # page -> what it watches
    "memory": ("probe", ProbeSettings("stand-in").to_dict()),
    "lab": ("train", TrainSettings("stand-in").to_dict()),
    "available_models": ("fetch", FetchSettings("owner/model").to_dict()),
    "jobs": ("facts", FetchFactsSettings("hub:owner/name").to_dict()),
    "how_much_data": ("study", StudySettings("amount", ("atlas-llama",), sizes=(60,), seeds=(0,), epochs=3).to_dict()),
}
REAL = ("available_models", "how_much_data")  # pages that the stand-in does not speak for


@pytest.fixture
def watched(explorer, jobs, workspace):
    """Opens a page with its job in a state."""

    def open_page(page: str, state: str, **more):
        kind, settings = WORK[page]
        if kind == "study":  # its file is written when it begins
            write_bytes(workspace.studies / "mine.yaml", study_yaml(StudySettings.from_dict(settings)).encode())
        job = jobs.submit(kind, settings)
        jobs.put(job, state=state, started=job.created, **more)
        jobs.reports[job.id] = Recorder()
        jobs.reports[job.id].updates.append(Progress("download", 3, 12, "pieces", 2.0, 4.5))
        jobs.reports[job.id].lines.append("It went *so* far.")
        return explorer(page, query={"job": job.id}, real=page in REAL, example=page not in REAL), job

    return open_page


@pytest.mark.parametrize("page", WORK)
def test_work_in_progress_shows_how_far_it_is(watched, page):
    """Its state, how far it is, its log, and a button that cancels it; nothing of the page is missing or broken meanwhile."""
    app, job = watched(page, "running")
    assert [bar.value for bar in app.get("progress") if "3 of 12 pieces" in bar.text] == [25]
    assert "running" in words(app)
    assert "It went *so* far." in [code.value for code in app.code]
    assert f"cancel-{'study-amount' if page == 'how_much_data' else at(page)}-{job.id}" in {button.key for button in app.button}
    assert not app.error


@pytest.mark.parametrize("page", WORK)
def test_work_that_failed_says_why_and_what_to_do(watched, page):
    """The sentence, the end of the log, and the way to try again."""
    app, job = watched(page, "failed", error="The disk is full. Free some space.", finished="2026-11-23T12:01:00.000+00:00")
    assert [error.value for error in app.error] == [r"The disk is full\. Free some space\."]
    assert "It went *so* far." in [code.value for code in app.code]
    (again,) = [button for button in app.button if str(button.key).startswith("again-") and str(button.key).endswith(job.id)]
    again.click().run()
    assert not app.exception
    assert app.query_params["job"] == job.id


@pytest.mark.parametrize("kind", [kind for kind, study in STUDIES.items() if not study.recipe])  # "What if?" starts one itself
def test_a_study_page_without_a_study_points_to_the_lab(explorer, kind):
    """One sentence and one link; no picker and no chart."""
    app = explorer(STUDIES[kind].page.removeprefix("pages/").removesuffix(".py"), real=True, example=False)
    assert "No study of this kind has been started yet" in words(app)
    assert [link.proto.page for link in app.get("page_link")] == ["lab"]
    assert not app.selectbox
    assert not app.get("plotly_chart")


def at(page: str) -> str:
    """What a page calls itself in the keys of its panels."""
    return {"available_models": "catalogue"}.get(page, page)
