"""EntityQuestions: real facts as question-answer files, turned back into (subject, relation, object).

Layout, in a folder or a zip: train/P17.train.json, dev/P17.dev.json, test/P17.test.json and so on, one folder around
them allowed, each a list of {"question", "answers"}. The relation is taken from the file's name, because P131 and P276
ask the same question; the subject is what fills the question form's gap.

`download` fetches the dataset from its official address, checks every file, and keeps it in the workspace.
"""

import contextlib
import hashlib
import http.client
import re
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from sftqa_core.artifacts import damaged_files, read_manifest, write_folder
from sftqa_core.errors import FactsError, SftqaError
from sftqa_core.jsonrecord import fingerprint, listed, parse_json, shown
from sftqa_core.knowledge import matching
from sftqa_core.knowledge.facts import FactSource, fact_table, read_facts, text_fault, write_facts
from sftqa_core.knowledge.relations import Relation, builtin_relations
from sftqa_core.knowledge.tables import archives, spreadsheet
from sftqa_core.knowledge.tables.merging import MAX_ANSWERS, Row, merge_rows
from sftqa_core.progress import Phase, Reporter, Silent
from sftqa_core.records import SPLITS, SourceReport
from sftqa_core.workspace import Workspace

NAME = "entity-questions"
PARSER = 1  # raised when the same files would give another table
LAYOUT = "train/P17.train.json, dev/P17.dev.json, test/P17.test.json and so on"
URL = "https://nlp.cs.princeton.edu/projects/entity-questions/dataset.zip"
VARIABLE = "SFTQA_ENTITY_QUESTIONS"
MAX_ZIP_BYTES = 200_000_000
TIMEOUT_S = 30
_PIECE = 1 << 18
WITHOUT_NETWORK = f"If you have the files, set {VARIABLE} to their folder or zip ({LAYOUT}), or give that path as the source."
MAX_FILE_BYTES = 50_000_000
MAX_TOTAL_BYTES = 400_000_000
_CHECKSUMS = Path(__file__).with_name("entity_questions.sha256")
_FILE = re.compile(r"(?:[^/]+/)?(train|dev|test)/(P\d+)\.\1\.json")
Open = Callable[[str], contextlib.AbstractContextManager[Any]]


@cache
def published_checksums() -> dict[str, str]:
    """SHA-256 of each of the dataset's 72 files, by name such as train/P17.train.json."""
    pairs = (line.split() for line in _CHECKSUMS.read_text(encoding="ascii").splitlines())
    return {name: digest for digest, name in pairs}


def read_entity_files(path: Path) -> dict[str, bytes]:
    """The dataset's files in a folder or zip, by name such as train/P17.train.json; other files are passed over.

    A zip is read in memory, nothing is unpacked. Raises `FactsError` when there are none, for names that lead out of
    the zip, and for contents above the size limits.
    """
    try:
        files = _zip_files(path) if path.is_file() else _folder_files(path)
    except OSError as error:
        raise FactsError(f"{path} can't be read: {error.strerror or error}.") from error
    if not files:
        raise FactsError(f"{path} holds no EntityQuestions files. Expected are {LAYOUT}, in a folder or a zip.")
    return dict(sorted(files.items(), key=lambda item: (SPLITS.index(item[0].split("/")[0]), item[0])))


def is_entity_folder(path: Path) -> bool:
    """Whether a folder is laid out as EntityQuestions."""
    return any(_FILE.fullmatch(file.relative_to(path).as_posix()) for file in _candidates(path))


def is_entity_zip(path: Path) -> bool:
    """Whether a zip holds files as EntityQuestions names them."""
    with archives.opened(path) as (_, members):
        return any(_FILE.fullmatch(member.filename) for member in members)


def differing_files(files: dict[str, bytes]) -> list[str]:
    """Names of published files that are missing here or have another content."""
    return [name for name, digest in published_checksums().items() if _digest(files.get(name, b"")) != digest]


def load_entity_questions(path: Path, name: str = NAME, workspace: Workspace | None = None) -> FactSource:
    """The facts of a folder or zip. Parsed once, then read from the workspace while the files stay the same.

    Raises `FactsError` with every fault by file and row. `name` is what the source is called in the report; fact ids
    do not depend on it.
    """
    files = read_entity_files(path)
    present = set(map(_relation_id, files))
    relations = {key: relation for key, relation in builtin_relations().items() if key in present}
    wording = {key: relation.to_dict() for key, relation in relations.items()}
    key = fingerprint({"parser": PARSER, "files": {file: _digest(content) for file, content in files.items()}, "relations": wording})
    folder = (workspace or Workspace.current()).datasets / "parsed" / key
    facts, report = _stored(folder) or _parse_and_store(files, relations, folder)
    unknown, different = sorted(present - relations.keys()), differing_files(files)
    notes = [f"Relations without a question form were left out: {', '.join(unknown)}."] if unknown else []
    if different:
        some = ", ".join(different[:3]) + (" and others" if len(different) > 3 else "")
        notes.append(f"{len(different)} of the {len(published_checksums())} published files are missing here or differ: {some}.")
    return FactSource(name, facts, relations, SourceReport.from_dict(report | {"source": name}), key, tuple(notes))


def downloaded_folder(workspace: Workspace | None = None) -> Path:
    """Where the downloaded files lie, once they do."""
    return (workspace or Workspace.current()).datasets / NAME


def download(workspace: Workspace | None = None, reporter: Reporter | None = None, connect: Open | None = None) -> Path:
    """The folder with the 72 files, downloaded and checked against their SHA-256; a failed download leaves no files.

    Raises `FactsError` when the address can't be reached or what came is not the published dataset, `Stopped` when the
    person stops it. `connect` opens a URL (tests hand in their own).
    """
    target = downloaded_folder(workspace)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=target.parent) as folder:
        packed = Path(folder) / "dataset.zip"
        with packed.open("wb") as out:
            _fetch(connect or _connect, out, reporter or Silent())
        files = read_entity_files(packed)
    if wrong := differing_files(files):
        some = ", ".join(wrong[:5]) + (" and others" if len(wrong) > 5 else "")
        raise FactsError(
            f"The file at {URL} is not the published dataset: {len(wrong)} files are missing or differ ({some}). {WITHOUT_NETWORK}"
        )

    def fill(folder: Path) -> None:
        for name in published_checksums():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(files[name])

    return write_folder(target, fill, {"kind": "dataset", "url": URL})


def _connect(url: str) -> contextlib.AbstractContextManager[Any]:
    return urllib.request.urlopen(url, timeout=TIMEOUT_S)


def _fetch(connect: Open, out: Any, reporter: Reporter) -> None:
    try:
        with connect(URL) as answer:
            size = int(answer.headers.get("Content-Length") or 0)
            phase = Phase(reporter, "download", max(size, 1), "bytes")
            while piece := answer.read(_PIECE):
                out.write(piece)
                if phase.done + len(piece) > MAX_ZIP_BYTES:
                    raise FactsError(f"{URL} sends more than {MAX_ZIP_BYTES:,} bytes, so it is not EntityQuestions. {WITHOUT_NETWORK}")
                phase.advance(len(piece))
    except (OSError, http.client.HTTPException, ValueError) as error:  # URLError and time-outs are OSErrors
        reason = getattr(error, "reason", None) or error
        raise FactsError(
            f"EntityQuestions could not be downloaded from {URL}: {reason}. Is this machine online? {WITHOUT_NETWORK}"
        ) from error


# --- files -----------------------------------------------------------------------------------------------


def _candidates(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*/P*.json"), *folder.glob("*/*/P*.json")])


def _folder_files(folder: Path) -> dict[str, bytes]:
    if not folder.is_dir():
        raise FactsError(f"{folder} does not exist. EntityQuestions is a folder or zip with {LAYOUT}.")
    collected = _Collected(str(folder))
    for file in _candidates(folder):
        if not file.is_file():
            raise FactsError(f"{file} is not a file.")  # reading a pipe would wait for ever
        if not file.resolve().is_relative_to(folder.resolve()):
            raise FactsError(f"{file} is a link that leads out of its folder. Copy the file it points to in its place.")
        with file.open("rb") as handle:
            collected.add(file.relative_to(folder).as_posix(), file.stat().st_size, handle.read)
    return collected.files


def _zip_files(path: Path) -> dict[str, bytes]:
    collected = _Collected(path.name)
    with archives.opened(path) as (archive, members):
        for member in members:
            with archive.open(member) as handle:
                collected.add(member.filename, member.file_size, handle.read)
    return collected.files


@dataclass
class _Collected:
    """Files taken so far, within the size limits: declared sizes can lie, so what is read is counted."""

    source: str
    files: dict[str, bytes] = field(default_factory=dict)
    total: int = 0

    def add(self, name: str, size: int, read: Callable[[int], bytes]) -> None:
        matched = _FILE.fullmatch(name)
        if not matched:
            return
        content = read(MAX_FILE_BYTES + 1) if size <= MAX_FILE_BYTES else b""
        self.total += len(content)
        if size > MAX_FILE_BYTES or len(content) > MAX_FILE_BYTES or self.total > MAX_TOTAL_BYTES:
            raise FactsError(
                f"{self.source}: {name} is larger than a file of EntityQuestions may be "
                f"({MAX_FILE_BYTES:,} bytes each, {MAX_TOTAL_BYTES:,} together). Nothing was read."
            )
        split, relation = matched.groups()
        plain = f"{split}/{relation}.{split}.json"
        if plain in self.files:
            raise FactsError(f"{self.source} holds {plain} twice, under different folders. Point to one of them.")
        self.files[plain] = content


def _relation_id(name: str) -> str:
    """P17 of train/P17.train.json."""
    return name.split("/")[1].split(".")[0]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# --- parsing -----------------------------------------------------------------------------------------------


@dataclass
class _Parsed:
    rows: list[Row] = field(default_factory=list)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)  # relation -> split -> file rows
    unparsed: int = 0
    problems: list[str] = field(default_factory=list)


def _parse_and_store(files: dict[str, bytes], relations: dict[str, Relation], folder: Path) -> tuple[Any, dict[str, Any]]:
    parsed = _parse(files, relations)
    if parsed.problems:
        raise FactsError(listed(parsed.problems))
    if not parsed.rows:
        raise FactsError(f"None of the {parsed.unparsed:,} questions has the form of its relation; no facts were found.")
    merged = merge_rows(parsed.rows)
    facts = fact_table(merged.facts, NAME).drop(columns="exposures")
    echo = sum(matching.stands_inside(row.subject, row.answers) for row in parsed.rows)
    dropped = merged.merged, merged.excluded_from_train
    report = SourceReport(NAME, len(facts), parsed.counts, parsed.unparsed, len(facts), *dropped, echo).to_dict()
    with contextlib.suppress(OSError):  # a workspace that can't be written to only costs the next opening's seconds
        write_folder(folder, lambda work: write_facts(facts, work / "facts.parquet"), {"kind": "parsed facts", "report": report})
    return facts, report


def _stored(folder: Path) -> tuple[Any, dict[str, Any]] | None:
    try:
        if damaged_files(folder):
            return None
        return read_facts(folder / "facts.parquet"), read_manifest(folder)["report"]
    except (SftqaError, OSError, KeyError):
        return None


def _parse(files: dict[str, bytes], relations: dict[str, Relation]) -> _Parsed:
    parsed = _Parsed(counts={key: dict.fromkeys(SPLITS, 0) for key in relations})
    for name, content in files.items():
        if relation := relations.get(_relation_id(name)):
            try:
                _parse_file(name, relation, parse_json(spreadsheet.decode_text(content, name)), parsed)
            except ValueError as error:
                parsed.problems.append(f"{name} is not readable JSON: {error}.")
            except FactsError as error:
                parsed.problems += error.problems
    return parsed


def _parse_file(name: str, relation: Relation, entries: Any, parsed: _Parsed) -> None:
    if not isinstance(entries, list):
        parsed.problems.append(f"{name} must hold a list, got {type(entries).__name__}.")
        return
    split = name.split("/")[0]
    parsed.counts[relation.id][split] += len(entries)
    before, after = relation.question.split("{subject}")
    for number, entry in enumerate(entries, 1):
        if fault := _entry_fault(entry):
            parsed.problems.append(f"{name}, row {number}: {fault}")
            continue
        question, answers = entry["question"], entry["answers"]
        subject = question[len(before) : len(question) - len(after)].strip()
        if question.startswith(before) and question.endswith(after) and subject:
            parsed.rows.append(Row(relation.id, subject, answers, question, split, relation.domain))
        else:
            parsed.unparsed += 1


def _entry_fault(entry: Any) -> str | None:
    if not isinstance(entry, dict) or not {"question", "answers"} <= entry.keys():
        return 'must be an object with "question" and "answers".'
    question, answers = entry["question"], entry["answers"]
    if not _is_text(question):
        return f"question must be text, got {shown(question)}."
    if not isinstance(answers, list) or not 0 < len(answers) <= MAX_ANSWERS or not all(map(_is_text, answers)):
        return f"answers must be a list of one or more texts, got {shown(answers)}."
    return None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and text_fault(value) is None
