"""Opening sources by name."""

import os
import re
from pathlib import Path

import pytest

from sftqa_core.errors import FactsError
from sftqa_core.knowledge.sources import open_source, source_names
from sftqa_core.workspace import Workspace

TEXT = "relation,subject,object,split\nP17,Hull,UK,test\n"


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No real dataset is pointed to."""
    monkeypatch.delenv("SFTQA_ENTITY_QUESTIONS", raising=False)


def entity_folder(folder: Path) -> Path:
    (folder / "test").mkdir(parents=True)
    (folder / "test" / "P17.test.json").write_text('[{"question": "Which country is Hull located in?", "answers": ["UK"]}]')
    return folder


def test_a_file_is_opened_once_until_it_changes(tmp_path: Path) -> None:
    """The same object comes back while the file stays; a changed file is read again."""
    path = tmp_path / "f.csv"
    path.write_text(TEXT)
    first = open_source(str(path))
    assert open_source(str(path)) is first
    path.write_text(TEXT + "P17,Qom,Iran,test\n")
    assert len(open_source(str(path)).facts) == 2


def test_new_templates_beside_a_file_count_as_a_change(tmp_path: Path) -> None:
    """Writing the sidecar makes the file be read again."""
    path = tmp_path / "f.csv"
    path.write_text(TEXT)
    assert open_source(str(path)).relations["P17"].label == "country"
    (tmp_path / "f.relations.toml").write_text('[P17]\nlabel = "land"\nquestion = "Where is {subject}?"\ntemplates = ["{subject} is in"]\n')
    assert open_source(str(path)).relations["P17"].label == "land"


def test_the_variable_points_to_entity_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SFTQA_ENTITY_QUESTIONS names a folder; a wrong one is said with its path."""
    monkeypatch.setenv("SFTQA_ENTITY_QUESTIONS", str(entity_folder(tmp_path / "eq")))
    source = open_source("entity-questions")
    assert (source.name, source.report.source, len(source.facts)) == ("entity-questions", "entity-questions", 1)
    assert source_names() == ["atlas", "entity-questions-sample", "entity-questions"]
    monkeypatch.setenv("SFTQA_ENTITY_QUESTIONS", str(tmp_path / "gone"))
    with pytest.raises(FactsError, match=r"SFTQA_ENTITY_QUESTIONS points to .*gone, which does not exist"):
        open_source("entity-questions")


def test_a_path_and_the_name_give_the_same_facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EntityQuestions opened by path has the ids it has by name."""
    folder = entity_folder(tmp_path / "eq")
    monkeypatch.setenv("SFTQA_ENTITY_QUESTIONS", str(folder))
    assert open_source(str(folder)).facts["fact_id"].tolist() == open_source("entity-questions").facts["fact_id"].tolist()
    assert open_source(str(folder)).name == str(folder)


def test_entity_questions_that_are_not_here_are_said_to_be_missing() -> None:
    """Without download and variable the message says how to get them."""
    assert source_names() == ["atlas", "entity-questions-sample"]
    with pytest.raises(FactsError, match=r"not on this machine yet\. Download it, or: .*SFTQA_ENTITY_QUESTIONS"):
        open_source("entity-questions")


@pytest.mark.parametrize("name", ["atlass", "", " ", "no/such.csv"])
def test_unknown_names_list_what_is_known(name: str) -> None:
    """A name that is no source is answered with the names that are."""
    with pytest.raises(
        FactsError,
        match=r"There is no source .* Sources are atlas, entity-questions-sample, entity-questions, a path \(.*\) or hub:owner/name",
    ):
        open_source(name)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    """A folder that is neither kind of dataset is said to be that."""
    with pytest.raises(FactsError, match="neither an EntityQuestions folder"):
        open_source(str(tmp_path))


def test_a_saved_dataset_is_recognised(tmp_path: Path) -> None:
    """A folder written by save_to_disk opens, with columns named behind a question mark."""
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"q": ["Who?"], "a": ["Ann"]}).save_to_disk(str(tmp_path / "saved"))
    source = open_source(f"{tmp_path / 'saved'}?question=q&answer=a")
    assert source.facts["question"].tolist() == ["Who?"]


def test_uploads_are_listed(workspace: Workspace) -> None:
    """Files handed over in the browser can be picked."""
    workspace.uploads.mkdir(parents=True)
    (workspace.uploads / "f.csv").write_text(TEXT)
    (workspace.uploads / "f.relations.toml").write_text("")
    assert source_names() == ["atlas", "entity-questions-sample", str(workspace.uploads / "f.csv")]


@pytest.mark.parametrize(
    "name",
    [
        "\0",
        "a\0b.csv",
        "~nosuchuser/x.csv",
        "x" * 5_000,
        "/" + "x" * 300 + "/y",
        "http://x/y",
        "file:///etc/passwd",
        "--help",
        "\ud800",
        "d?x=\0",
    ],
)
def test_hostile_names_are_no_sources(name: str) -> None:
    """Names of any length and kind are quoted in a sentence."""
    with pytest.raises(FactsError, match="There is no source ") as refused:
        open_source(name)
    assert len(str(refused.value)) < 500


def test_folders_that_must_not_be_looked_into_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of another user, or the system's own, is a sentence."""
    folder = tmp_path / "theirs"
    (folder / "in").mkdir(parents=True)

    def refused(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refused)
    with pytest.raises(FactsError, match=r"theirs can't be read: Permission denied\."):
        open_source(str(folder))


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_links_and_pipes_in_a_folder_of_questions_are_not_opened(tmp_path: Path, kind: str) -> None:
    """A file of EntityQuestions lies in its folder."""
    folder = tmp_path / "eq" / "train"
    folder.mkdir(parents=True)
    (tmp_path / "secret.json").write_text("[]")
    path = folder / "P17.train.json"
    path.symlink_to(tmp_path / "secret.json") if kind == "link" else os.mkfifo(path)
    said = "is a link that leads out of its folder. Copy the file it points to in its place." if kind == "link" else "is not a file."
    with pytest.raises(FactsError, match=re.escape(f"{path} {said}")):
        open_source(str(tmp_path / "eq"))
