"""A link to facts that are not on this machine opens nothing: the page offers to fetch them."""

import dataclasses

import pytest

from tests.pages.conftest import words

SOURCE = "hub:owner/towns"


@pytest.mark.parametrize("page", ["memory", "lab", "fact"])
def test_a_link_to_facts_elsewhere_offers_to_fetch_them(explorer, jobs, page):
    """No job, no levels, no cost and nothing to launch; the button queues the fetching once and its job is shown."""
    app = explorer(page, query={"source": SOURCE})
    assert f"These facts are not on this machine yet: {SOURCE}" in words(app).replace("\\", "").replace("\u2060", "")
    assert jobs.kept == {}
    launch = [button for button in app.button if button.label == "Launch"]
    assert all(button.disabled for button in launch)
    assert not app.metric
    app.button(key=f"fetch-{page}").click().run()
    (job,) = jobs.kept.values()
    assert (job.kind, job.settings) == ("facts", {"source": SOURCE})
    assert app.query_params["job"] == job.id
    assert f"Fetch the facts {SOURCE}" in words(app)
    assert f"fetch-{page}" not in {button.key for button in app.button}


def test_what_went_wrong_is_told_and_can_be_tried_again(explorer, jobs):
    """The failed job stands under the offer, with its sentence."""
    job = jobs.submit("facts", {"source": SOURCE})
    jobs.kept[job.id] = dataclasses.replace(job, state="failed", error="The hub has no dataset owner/towns.", finished=job.created)
    app = explorer("memory", query={"source": SOURCE, "job": job.id})
    assert "The hub has no dataset owner/towns" in words(app).replace("\\", "").replace("\u2060", "")
    assert {f"again-memory-{job.id}", "fetch-memory"} <= {button.key for button in app.button}


def test_a_finished_fetch_leads_to_the_levels(explorer, jobs):
    """From the Jobs page."""
    job = jobs.submit("facts", {"source": SOURCE})
    jobs.kept[job.id] = dataclasses.replace(job, state="done", result=SOURCE, finished=job.created)
    app = explorer("jobs")
    (link,) = [link for link in app.get("page_link") if "Open in Memory" in link.proto.label]
    assert "source=hub" in link.proto.query_string
