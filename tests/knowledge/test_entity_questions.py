"""EntityQuestions from a folder or a zip."""

import json
import os
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from sftqa_core.errors import FactsError
from sftqa_core.knowledge import entity_questions
from sftqa_core.knowledge.entity_questions import differing_files, load_entity_questions, published_checksums, read_entity_files
from sftqa_core.knowledge.tables import archives
from tests.amount import in_full

REAL = Path(os.environ.get("SFTQA_ENTITY_QUESTIONS") or Path(__file__).resolve().parents[3] / "shared" / "entity_questions")

Entry = tuple[str, list[str]]
SMALL: dict[str, list[Entry]] = {
    "train/P17.train.json": [("Which country is Hull located in?", ["UK"]), ("Which country is Qom located in?", ["Iran"])],
    "dev/P17.dev.json": [("Which country is Qom located in?", ["Persia"])],
    "test/P17.test.json": [("Which country is Iran Air located in?", ["Iran"]), ("Where is Oslo?", ["Norway"])],
    "train/P26.train.json": [("Who is Ann married to?", ["Bob", "Rob"])],
    "test/P26.test.json": [("Who is Hull married to?", ["No one"])],
}


def content(entries: Iterable[Entry]) -> str:
    return json.dumps([{"question": question, "answers": answers} for question, answers in entries], ensure_ascii=False)


def write_folder(folder: Path, files: dict[str, list[Entry]]) -> Path:
    for name, entries in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content(entries), encoding="utf-8")
    return folder


def write_zip(path: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


def test_a_folder_becomes_facts(tmp_path: Path) -> None:
    """Subjects are inverted from the questions, rows counted as they stand in the files, splits kept apart."""
    source = load_entity_questions(write_folder(tmp_path / "eq", SMALL))
    by_key = {(f.relation, f.subject): f for f in source.facts.itertuples()}
    assert {key: f.split for key, f in by_key.items()} == {
        ("P17", "Hull"): "train",
        ("P17", "Qom"): "dev",
        ("P26", "Ann"): "train",
        ("P17", "Iran Air"): "test",
        ("P26", "Hull"): "test",
    }
    assert by_key["P17", "Qom"].answers == ["Iran", "Persia"]
    assert by_key["P17", "Iran Air"].echo
    assert by_key["P26", "Hull"].subject_in_train
    assert by_key["P26", "Ann"].domain == "out"
    assert source.report.to_dict() == {
        "source": "entity-questions",
        "facts": 5,
        "relations": {"P17": {"train": 2, "dev": 1, "test": 2}, "P26": {"train": 1, "dev": 0, "test": 1}},
        "unparsed": 1,
        "unique": 5,
        "merged": 1,
        "excluded_from_train": 1,
        "echo": 1,
    }


def test_a_zip_with_a_top_folder_gives_the_same_facts(tmp_path: Path) -> None:
    """The official download's layout, dataset/train/..., equals the plain folder in facts and fingerprint."""
    folder = load_entity_questions(write_folder(tmp_path / "eq", SMALL))
    members = {f"dataset/{name}": content(entries) for name, entries in SMALL.items()} | {"__MACOSX/dataset/train/._P17.train.json": "junk"}
    zipped = load_entity_questions(write_zip(tmp_path / "dataset.zip", members), "my.zip")
    assert zipped.fingerprint == folder.fingerprint
    assert zipped.facts["fact_id"].tolist() == folder.facts["fact_id"].tolist()
    assert zipped.report.source == "my.zip"


def test_the_second_opening_reads_the_parsed_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unchanged files are not parsed again; a changed one is; a damaged table is made anew."""
    folder = write_folder(tmp_path / "eq", SMALL)
    first = load_entity_questions(folder)
    parsed = []
    real = entity_questions._parse

    def counted(*given: Any) -> Any:
        parsed.append(1)
        return real(*given)

    monkeypatch.setattr(entity_questions, "_parse", counted)
    again = load_entity_questions(folder)
    assert (again.facts.equals(first.facts), again.report, parsed) == (True, first.report, [])
    write_folder(folder, {"dev/P26.dev.json": [("Who is Eve married to?", ["Adam"])]})
    assert len(load_entity_questions(folder).facts) == 6
    assert parsed == [1]
    for table in Path(os.environ["SFTQA_CACHE"]).glob("datasets/parsed/*/facts.parquet"):
        table.write_bytes(b"broken")
    assert load_entity_questions(folder).report.unique == 6
    assert parsed == [1, 1]


def test_all_faults_are_told_by_file_and_row(tmp_path: Path) -> None:
    """Entries without a question or with unusable answers, and files that are no JSON, are each named."""
    folder = write_folder(tmp_path / "eq", SMALL)
    (folder / "dev/P26.dev.json").write_text('[{"question": "x"}, {"question": "Who is A married to?", "answers": [""]}, 3]')
    (folder / "dev/P19.dev.json").write_text("[{")
    (folder / "dev/P20.dev.json").write_text("{}")
    (folder / "dev/P36.dev.json").write_bytes(b'["\xff"]')
    with pytest.raises(FactsError) as caught:
        load_entity_questions(folder)
    text = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 6
    assert "dev/P26.dev.json, row 1: must be an object" in text
    assert "dev/P26.dev.json, row 2: answers must be a list of one or more texts, got ['']." in text
    assert "dev/P26.dev.json, row 3" in text
    assert "dev/P19.dev.json is not readable JSON" in text
    assert "dev/P20.dev.json must hold a list, got dict." in text
    assert "dev/P36.dev.json is not UTF-8" in text


def test_places_without_the_files_are_refused(tmp_path: Path) -> None:
    """A missing path, an empty folder and a file that is no zip are told apart, with the layout."""
    (tmp_path / "no.zip").write_text("hello")
    with pytest.raises(FactsError, match=r"does not exist.*train/P17\.train\.json"):
        read_entity_files(tmp_path / "absent")
    with pytest.raises(FactsError, match="holds no EntityQuestions files"):
        read_entity_files(tmp_path)
    with pytest.raises(FactsError, match=r"no\.zip is not a zip that can be read"):
        read_entity_files(tmp_path / "no.zip")


@pytest.mark.parametrize("name", ["../train/P17.train.json", "/train/P17.train.json", "a\\..\\b", "x/../../etc/passwd"])
def test_a_zip_that_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    """Names that leave the zip's own folder stop everything."""
    with pytest.raises(FactsError, match="leads out of the zip"):
        read_entity_files(write_zip(tmp_path / "bad.zip", {name: "[]"}))


def test_a_zip_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Contents above the limits stop the reading, also where the zip understates its sizes."""
    monkeypatch.setattr(entity_questions, "MAX_FILE_BYTES", 1000)
    bomb = write_zip(tmp_path / "bomb.zip", {"train/P17.train.json": " " * 100_000})
    with pytest.raises(FactsError, match="larger than a file of EntityQuestions may be"):
        read_entity_files(bomb)
    bomb.write_bytes(bomb.read_bytes().replace(struct.pack("<L", 100_000), struct.pack("<L", 10)))
    with pytest.raises(FactsError, match=r"bomb\.zip"):
        read_entity_files(bomb)
    monkeypatch.setattr(entity_questions, "MAX_TOTAL_BYTES", 1500)
    with pytest.raises(FactsError, match="1,500 together"):
        read_entity_files(write_zip(tmp_path / "b.zip", {"train/P17.train.json": " " * 900, "test/P17.test.json": " " * 900}))
    monkeypatch.setattr(archives, "MAX_MEMBERS", 1)
    with pytest.raises(FactsError, match="holds 2 files"):
        read_entity_files(tmp_path / "b.zip")


def test_two_copies_in_one_place_are_refused(tmp_path: Path) -> None:
    """The same file under two folders is ambiguous."""
    with pytest.raises(FactsError, match="twice, under different folders"):
        read_entity_files(write_zip(tmp_path / "two.zip", {"a/train/P17.train.json": "[]", "b/train/P17.train.json": "[]"}))


def test_other_relations_and_contents_are_noted(tmp_path: Path) -> None:
    """A relation without a question form is left out, files that differ from the published ones are counted, both with a note."""
    source = load_entity_questions(write_folder(tmp_path / "eq", SMALL | {"test/P30.test.json": [("Which continent?", ["Asia"])]}))
    assert source.notes[0] == "Relations without a question form were left out: P30."
    assert source.notes[1].startswith("72 of the 72 published files are missing here or differ: train/P106.train.json,")
    assert "P30" not in source.report.relations


def test_the_published_checksums_name_72_files() -> None:
    """24 relations, three splits each, a SHA-256 for every file."""
    known = published_checksums()
    assert len(known) == 72
    assert {len(digest) for digest in known.values()} == {64}
    assert sum(name.startswith("test/") for name in known) == 24


@in_full
@pytest.mark.skipif(not REAL.exists(), reason="the real dataset is not here")
def test_the_real_dataset_has_the_published_counts() -> None:
    """METHOD's figures come out: rows, keys, echoes; the second opening gives the same."""
    source = load_entity_questions(REAL)
    report, facts = source.report, source.facts
    totals = {split: sum(counts[split] for counts in report.relations.values()) for split in ("train", "dev", "test")}
    assert len(report.relations) == 24
    assert totals == {"train": 176_560, "dev": 22_068, "test": 22_075}
    assert (report.unparsed, report.unique, report.facts, report.echo) == (0, 218_166, 218_166, 14_371)
    assert (report.merged, report.excluded_from_train) == (2_537, 1_021)
    assert facts["split"].value_counts().to_dict() == {"train": 174_141, "test": 22_036, "dev": 21_978, "none": 11}
    assert source.large
    assert source.test_limit == 100
    if REAL.is_dir():
        assert differing_files(read_entity_files(REAL)) == []
        assert source.notes == ()
    trained = set(facts.loc[facts["split"] == "train", "question"])
    assert not trained & set(facts.loc[facts["split"].isin(["dev", "test"]), "question"])
    assert not set(facts.loc[facts["split"] == "dev", "question"]) & set(facts.loc[facts["split"] == "test", "question"])
    assert load_entity_questions(REAL).facts.equals(facts)
