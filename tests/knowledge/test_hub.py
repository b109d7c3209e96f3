"""Facts from datasets, saved or on the hub."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sftqa_core.errors import FactsError, MissingPackage
from sftqa_core.knowledge import sources
from sftqa_core.knowledge.tables.hub_datasets import load_hub, load_saved

Serve = Callable[..., list[tuple]]
datasets = pytest.importorskip("datasets")

COLUMNS = {"prop": ["P17", "P17"], "name": ["Hull", "Qom"], "value": ["UK", "Iran"]}
QUERY = "relation=prop&subject=name&object=value"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Make the hub answer with a dataset, or with an error."""

    def serve(answer: Any, size: int = 100) -> list[tuple]:
        asked: list[tuple] = []

        class Builder:
            info = datasets.DatasetInfo(download_size=size)

            def download_and_prepare(self) -> None:
                if isinstance(answer, Exception):
                    raise answer

            def as_dataset(self) -> Any:
                return answer

        def load_dataset_builder(place: str, **options: Any) -> Builder:
            asked.append((place, options))
            return Builder()

        monkeypatch.setattr(datasets, "load_dataset_builder", load_dataset_builder)
        return asked

    return serve


def test_named_columns_and_options_are_used(hub: Serve) -> None:
    """The query maps columns to roles and picks config and revision."""
    asked = hub(datasets.DatasetDict({"train": datasets.Dataset.from_dict(COLUMNS)}))
    source = load_hub(f"hub:owner/name?{QUERY}&config=en&revision=abc")
    assert asked == [("owner/name", {"name": "en", "revision": "abc"})]
    assert source.facts["subject"].tolist() == ["Hull", "Qom"]
    assert source.facts["source"].tolist() == ["owner/name"] * 2
    assert source.name == f"hub:owner/name?{QUERY}&config=en&revision=abc"


def test_a_datasets_own_splits_become_the_facts(hub: Serve) -> None:
    """Two or more splits are kept; validation is dev."""
    parts = {
        name: datasets.Dataset.from_dict({"question": [f"{name}?"], "answers": [["x", "y"]]}) for name in ("train", "validation", "test")
    }
    hub(datasets.DatasetDict(parts))
    facts = load_hub("hub:owner/qa").facts
    assert facts["split"].tolist() == ["train", "dev", "test"]
    assert facts["answers"].tolist() == [["x", "y"]] * 3


def test_reading_comprehension_answers_are_understood(hub: Serve) -> None:
    """Answers in the form {"text": [...]} give their texts."""
    hub(datasets.Dataset.from_dict({"question": ["Who?"], "answers": [{"text": ["Ann", "Anna"], "answer_start": [1, 2]}]}))
    assert load_hub("hub:squad-like").facts["answers"].tolist() == [["Ann", "Anna"]]


def test_a_saved_dataset_is_read(tmp_path: Path) -> None:
    """save_to_disk's folder works with the same query."""
    datasets.Dataset.from_dict(COLUMNS).save_to_disk(str(tmp_path / "saved"))
    source = load_saved(tmp_path / "saved", query=QUERY)
    assert source.facts["answers"].tolist() == [["UK"], ["Iran"]]
    assert source.facts["source"].tolist() == ["saved", "saved"]


def test_a_saved_dataset_is_previewed_and_read_out_of_a_zip(tmp_path: Path) -> None:
    """As it is handed over in a browser; a layout of the field is known there, too, and pictures are not looked at."""
    rows = [{"question": "Who?", "answer": {"value": "Bo", "aliases": ["B."]}, "picture": {"bytes": b"x", "path": "/etc/passwd"}}]
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "saved"))
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "saved")
    for name in (str(tmp_path / "saved"), packed):
        view = sources.preview(name)
        assert (view.layout, view.facts, view.ignored) == ("TriviaQA", 1, ("picture",))
        assert sources.open_source(name).facts["answers"].tolist() == [["Bo", "B."]]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConnectionError("no route"), "this machine is offline and has no copy of it"),
        (RuntimeError("Dataset scripts are no longer supported, but found x.py"), "brings code of its own, which is not run here"),
        (datasets.exceptions.DatasetNotFoundError("absent"), "The hub has no dataset owner/name, or it asks for a login"),
        (ValueError("Config name is missing.\nPick one"), r"owner/name can't be read \(ValueError: Config name is missing\)"),
    ],
)
def test_the_hubs_errors_become_sentences(hub: Serve, error: Exception, message: str) -> None:
    """Offline, unknown, scripted and other failures are told apart."""
    hub(error)
    with pytest.raises(FactsError, match=message):
        load_hub("hub:owner/name")


def test_offline_is_said_by_the_real_library() -> None:
    """Without network and copy the message is about that (the test session is offline)."""
    with pytest.raises(FactsError, match="owner/never-seen"):
        load_hub("hub:owner/never-seen")


def test_bad_names_columns_and_sizes_are_refused(hub: Serve, tmp_path: Path) -> None:
    """No id, an unknown option, a missing column, a huge dataset and an unreadable folder each have their message."""
    hub(datasets.Dataset.from_dict(COLUMNS), size=3_000_000_000)
    with pytest.raises(FactsError, match="is not a dataset id"):
        load_hub("hub:../x")
    with pytest.raises(FactsError, match="'colour' is not allowed after the question mark"):
        load_hub("hub:a/b?colour=red")
    with pytest.raises(FactsError, match="3,000,000,000 bytes to download"):
        load_hub("hub:a/b")
    hub(datasets.Dataset.from_dict(COLUMNS))
    with pytest.raises(FactsError, match=r"a/b has no column 'town' \(wanted as subject\)"):
        load_hub("hub:a/b?subject=town&relation=prop&object=value")
    with pytest.raises(FactsError, match=r"no column for the answers .* its columns are prop, name, value"):
        load_hub("hub:a/b")
    with pytest.raises(FactsError, match="is not a dataset that can be read"):
        load_saved(tmp_path)


def test_without_the_library_its_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing datasets library is said with the command that installs it."""
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingPackage, match="pip install datasets"):
        load_hub("hub:a/b")


def test_pictures_are_not_opened(hub: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell of type image names a file or an address that decoding would open: it is a fault like any other."""
    pytest.importorskip("PIL")
    monkeypatch.setattr(datasets.Image, "decode_example", lambda *a, **k: pytest.fail("a picture was opened"))
    table = datasets.Dataset.from_dict({"question": ["Who?"], "answer": [{"path": "http://example.invalid/x.png", "bytes": None}]})
    hub(table.cast_column("answer", datasets.Image()))
    with pytest.raises(FactsError, match=r"row 1, answer: must be text, got \{"):
        load_hub("hub:owner/pictures")


def test_a_saved_dataset_names_files_of_its_own_only(tmp_path: Path) -> None:
    """state.json could name any file of this machine."""
    datasets.Dataset.from_dict(COLUMNS).save_to_disk(str(tmp_path / "saved"))
    state = tmp_path / "saved" / "state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "_data_files": [{"filename": "../../secret.arrow"}]}))
    with pytest.raises(FactsError, match=r"names the file '\.\./\.\./secret\.arrow', which lies outside of the dataset"):
        load_saved(tmp_path / "saved", query=QUERY)
    state.write_text("[" * 50_000)
    with pytest.raises(FactsError, match="it is nested too deeply"):
        load_saved(tmp_path / "saved", query=QUERY)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hub:" + "a" * 5_000, "is not a dataset id"),
        ("hub:--help", "is not a dataset id"),
        ("hub:a/b?revision=../../x", r"'\.\./\.\./x' is not a config or revision"),
        ("hub:a/b?config=/etc", "'/etc' is not a config or revision"),
        ("hub:tests", r"tests is a file or folder here\. Give it as a path, without hub:"),
    ],
)
def test_hostile_ids_are_refused_before_the_library_sees_them(name: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths, options, folders that lie here: none becomes a download."""
    monkeypatch.chdir(Path(__file__).parents[2])
    monkeypatch.setattr(datasets, "load_dataset_builder", lambda *a, **k: pytest.fail("asked the hub"))
    with pytest.raises(FactsError, match=message):
        load_hub(name)


def test_revisions_of_the_hubs_own_form_are_taken(hub: Serve) -> None:
    """refs/convert/parquet is where the hub keeps Parquet copies."""
    asked = hub(datasets.Dataset.from_dict(COLUMNS))
    load_hub(f"hub:owner/name?{QUERY}&revision=refs/convert/parquet")
    assert asked[0][1]["revision"] == "refs/convert/parquet"
