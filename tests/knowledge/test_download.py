"""Getting EntityQuestions from its official address."""

import hashlib
import io
import urllib.error
import zipfile
from types import SimpleNamespace
from typing import Any

import pytest

from sftqa_core.errors import FactsError, Stopped
from sftqa_core.knowledge import entity_questions
from sftqa_core.knowledge import entity_questions as module
from sftqa_core.knowledge.entity_questions import URL, download, downloaded_folder
from sftqa_core.knowledge.sources import entity_questions_path, fetch_source, open_source
from sftqa_core.progress import Silent
from sftqa_core.workspace import Workspace

MEMBERS = {
    "train/P17.train.json": '[{"question": "Which country is Hull located in?", "answers": ["UK"]}]',
    "test/P17.test.json": '[{"question": "Which country is Qom located in?", "answers": ["Iran"]}]',
}


class Answer(io.BytesIO):
    headers: Any = SimpleNamespace(get=lambda name: None)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The official zip, made small: its address hands out these bytes and their checksums are the published ones."""
    monkeypatch.delenv("SFTQA_ENTITY_QUESTIONS", raising=False)
    sums = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in MEMBERS.items()}
    monkeypatch.setattr(entity_questions, "published_checksums", lambda: sums)
    monkeypatch.setattr(module, "published_checksums", lambda: sums)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in (MEMBERS | {"one-off/x.json": "[]"}).items():
            archive.writestr(f"dataset/{name}", text)
    return packed.getvalue()


def test_a_checked_download_can_be_opened(workspace: Workspace, published: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files lie in the workspace and `entity-questions` opens them; asked again with fetch, nothing is downloaded."""
    asked: list[str] = []

    def connect(url: str) -> Answer:
        asked.append(url)
        return Answer(published)

    monkeypatch.setattr(module, "_connect", connect)
    source = fetch_source("entity-questions")
    assert source.facts["subject"].tolist() == ["Hull", "Qom"]
    assert source.notes == ()
    assert fetch_source("entity-questions") is open_source("entity-questions")
    assert asked == [URL]
    assert entity_questions_path(workspace) == downloaded_folder(workspace)
    assert not list(workspace.datasets.glob(".download*"))


def test_other_contents_are_refused_and_not_kept(workspace: Workspace, published: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that differs from the published one is named; nothing stays behind."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("train/P17.train.json", "[]")
    with pytest.raises(FactsError, match=r"not the published dataset: 2 files are missing or differ \(train/P17\.train\.json"):
        download(workspace, connect=lambda url: Answer(packed.getvalue()))
    assert list(workspace.datasets.iterdir()) == []


def test_offline_says_what_to_do(workspace: Workspace, published: bytes) -> None:
    """Without a network the variable, the layout and the address stand in the message."""

    def offline(url: str) -> Any:
        raise urllib.error.URLError("Name or service not known")

    with pytest.raises(FactsError) as caught:
        download(workspace, connect=offline)
    for part in (URL, "Name or service not known", "SFTQA_ENTITY_QUESTIONS", "train/P17.train.json"):
        assert part in str(caught.value)


def test_an_endless_answer_is_cut(workspace: Workspace, published: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """More bytes than the dataset can have end the download."""
    monkeypatch.setattr(module, "MAX_ZIP_BYTES", 10)
    with pytest.raises(FactsError, match="sends more than 10 bytes"):
        download(workspace, connect=lambda url: Answer(published))


def test_a_person_can_stop_it(workspace: Workspace, published: bytes) -> None:
    """Stopping leaves nothing behind."""

    class Impatient(Silent):
        def check(self) -> None:
            raise Stopped("Stopped.")

    with pytest.raises(Stopped):
        download(workspace, Impatient(), connect=lambda url: Answer(published))
    assert list(workspace.datasets.iterdir()) == []
