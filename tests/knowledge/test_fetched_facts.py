"""A dataset of the hub is fetched on request only: looking at it asks nobody, work that uses it fetches it once."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sftqa_core import workflows
from sftqa_core.errors import FactsError, FactsNotHere, SettingsError, Stopped
from sftqa_core.knowledge import sources
from sftqa_core.knowledge.sources import fetch_source, is_here, open_source
from sftqa_core.progress import Recorder
from sftqa_core.records import FetchFactsSettings, ProbeSettings, TrainSettings
from sftqa_core.workspace import Workspace

datasets = pytest.importorskip("datasets")
NAME = "hub:owner/towns?relation=prop&subject=name&object=value"
ROWS = {"prop": ["P17", "P17"], "name": ["Hull", "Qom"], "value": ["UK", "Iran"]}


class Library:
    """Stands for `datasets`: what it was asked, what it answers, and whether it waits meanwhile."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.rows = ROWS
        self.go_on = threading.Event()
        self.go_on.set()

    def builder(self, place: str, **options: Any) -> Any:
        self.asked.append(place)
        library = self

        class Builder:
            info = datasets.DatasetInfo(download_size=4_000)

            def download_and_prepare(self) -> None:
                library.go_on.wait(60)

            def as_dataset(self) -> Any:
                return datasets.DatasetDict({"train": datasets.Dataset.from_dict(library.rows)})

        return Builder()


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    sources._opened.clear()
    library = Library()
    monkeypatch.setattr(datasets, "load_dataset_builder", library.builder)
    yield library
    library.go_on.set()
    sources._opened.clear()


def test_looking_at_facts_that_are_not_here_asks_nobody(library: Library, fake_hub: Any) -> None:
    """Opening, a profile, forecasts and checks say that they have to be fetched, and no request leaves."""
    assert not is_here(NAME)
    with pytest.raises(FactsNotHere, match=r"is not on this machine yet\. Fetch it: sftqa facts --source 'hub:owner/towns"):
        open_source(NAME)
    with pytest.raises(FactsNotHere):
        workflows.profile("atlas-llama", NAME)
    for settings in (TrainSettings("atlas-llama", NAME), ProbeSettings("atlas-llama", NAME)):
        with pytest.raises(FactsNotHere):
            workflows.forecast(settings)
        assert "is not on this machine yet" in " ".join(check.said for check in workflows.preflight(settings).of("problem"))
    assert (library.asked, fake_hub.asked) == ([], [])


def test_fetched_facts_are_here_for_every_process(library: Library, workspace: Workspace) -> None:
    """The copy is the source, without the library and without the network, until it is fetched again."""
    before = workflows.profile_stamp("atlas-llama", NAME, None)
    assert workflows.download(NAME).facts == 2
    assert is_here(NAME)
    assert workflows.profile_stamp("atlas-llama", NAME, None) != before
    sources._opened.clear()
    assert open_source(NAME).facts["subject"].tolist() == ["Hull", "Qom"]
    assert library.asked == ["owner/towns"]
    library.rows = {"prop": ["P17"], "name": ["Bern"], "value": ["Switzerland"]}
    assert open_source(NAME).facts["subject"].tolist() == ["Hull", "Qom"]
    assert fetch_source(NAME).facts["subject"].tolist() == ["Bern"]
    assert open_source(NAME).facts["subject"].tolist() == ["Bern"]


def test_a_damaged_copy_is_fetched_again(library: Library, workspace: Workspace) -> None:
    """A copy with another checksum is no source; the sentence says what to do, and that mends it."""
    fetch_source(NAME)
    (copy,) = (workspace.root / "sources").glob("*/facts.parquet")
    copy.chmod(0o644)
    copy.write_bytes(copy.read_bytes()[:-1] + b"x")
    sources._opened.clear()
    with pytest.raises(FactsNotHere, match="Fetch it"):
        open_source(NAME)
    assert len(fetch_source(NAME).facts) == 2


def test_a_job_fetches_with_progress_and_can_be_stopped(library: Library) -> None:
    """The library tells nothing and can't be stopped; the job does and can."""
    library.go_on.clear()
    recorder = Recorder(stop_after=2)
    with pytest.raises(Stopped):
        workflows.run_job("facts", FetchFactsSettings(NAME).to_dict(), recorder, "facts-1")
    assert {(step.phase, step.total, step.unit) for step in recorder.updates} == {("download", 4_000, "bytes")}
    assert not is_here(NAME)
    library.go_on.set()
    assert workflows.run_job("facts", FetchFactsSettings(NAME).to_dict(), Recorder(), "facts-2") == NAME
    assert is_here(NAME)


def test_work_brings_its_facts_once(library: Library) -> None:
    """As it does a model: fetched where they are not here, else used as they are; entity-questions never by itself."""
    for _ in range(2):
        workflows.bring_facts(NAME)
    assert library.asked == ["owner/towns"]
    workflows.bring_facts("atlas")
    workflows.bring_facts("entity-questions")
    assert not is_here("entity-questions")


def test_what_is_never_fetched_is_refused(library: Library, tmp_path: Path) -> None:
    """Sources that are here anyway, and names that are no dataset's: those are opened to hear why."""
    with pytest.raises(SettingsError, match=r"source must be entity-questions or hub:owner/name, got 'atlas'"):
        FetchFactsSettings("atlas")
    with pytest.raises(FactsError, match=r"Only entity-questions and hub:owner/name are fetched, got '?atlas"):
        fetch_source("atlas")
    assert is_here("hub:../x")
    with pytest.raises(FactsError, match="is not a dataset id"):
        open_source("hub:../x")
    assert library.asked == []
