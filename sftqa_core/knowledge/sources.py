"""Open a fact source by the name a user types.

| name | facts |
|---|---|
| `atlas` | the built-in invented world |
| `atlas:8` | another invented world, eight times as large (2 to 16) |
| `entity-questions-sample` | the part of EntityQuestions that comes with the program |
| `entity-questions` | the folder or zip in SFTQA_ENTITY_QUESTIONS, else the download |
| a path | EntityQuestions; CSV, TSV, JSON, JSON Lines or Parquet; a saved dataset; a folder or zip of these (tables/) |
| `hub:owner/name` | a dataset of the hub (hub_datasets.py) |

Paths and the hub's names take `?subject=column&...` behind them (layouts.py).

Large sources are kept once they were read: reading a million rows of a user's file takes a minute, reading its fact table seconds.
`<cache>/sources/<hash of the name>/` has the fact table as Parquet; its manifest names the files that it was read from, with size and
time, and has the rest of the source. When a file, a built-in template or the rules (SCHEMA) change, the source is read anew.

A dataset of the hub is kept likewise, whatever its size, once it was fetched: from then on the kept copy is the source, until it is
fetched again. Only `fetch_source` and `preview` go to the network.
"""

import contextlib
import gc
import io
import os
import shlex
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from sftqa_core.artifacts import MANIFEST, read_file, read_manifest, write_bytes, write_folder
from sftqa_core.errors import FactsError, FactsNotHere, OtherVersion, SftqaError
from sftqa_core.jsonrecord import fingerprint, shown
from sftqa_core.knowledge import atlas, entity_questions, entity_sample
from sftqa_core.knowledge.facts import FactSource, read_facts, write_facts
from sftqa_core.knowledge.relations import Relation, builtin_relations, generic_relation
from sftqa_core.knowledge.tables import archives, hub_datasets
from sftqa_core.knowledge.tables.files import READERS, brought, load_own, preview_own, sidecar, write_relations
from sftqa_core.progress import Reporter
from sftqa_core.records import SourcePreview, SourceReport
from sftqa_core.workspace import Workspace, typed_path

ENTITY_QUESTIONS = entity_questions.NAME
SCHEMA = 2  # raised when the same files would be read otherwise
LARGE = 50_000  # facts; smaller sources are read anew in no time
_FILE = "facts.parquet"
ENDINGS = (*READERS, ".zip")  # of files that can be a source, handed over in the browser or by path
_FILES = f"{', '.join(ENDINGS)}, EntityQuestions folder, saved dataset"
SAMPLE = entity_sample.NAME
KNOWN = f"Sources are {atlas.NAME}, {SAMPLE}, {ENTITY_QUESTIONS}, a path ({_FILES}) or {hub_datasets.PREFIX}owner/name."
_MOST_FILES = 5_000
_LONGEST_QUERY = 4_000  # characters
_SOME = 3  # subjects that stand for a relation's facts
_KEPT = 4  # sources held in memory; the largest takes about 200 MB
_opened: dict[tuple[object, ...], FactSource] = {}
_lock = threading.RLock()


def open_source(name: str, workspace: Workspace | None = None) -> FactSource:
    """The source called `name`; opened once in a process while its files stay as they are.

    Raises `FactsNotHere` for facts that have to be fetched first, `FactsError` for a name that is no source
    and for content that can't be used, `MissingPackage` for the hub without datasets.
    """
    workspace = workspace or Workspace.current()
    with _lock:  # two pages that ask at once wait for one reading
        stamp = source_stamp(name, workspace)
        key = (name, workspace.root, stamp)
        if key not in _opened:
            source = prepared(name, stamp, workspace)
            if source is None:
                source = _open(name, workspace)
                with contextlib.suppress(OSError, OtherVersion):  # a full or read-only disk, another version's: read anew next time
                    keep(source, stamp, workspace)
            while len(_opened) >= _KEPT:
                del _opened[next(iter(_opened))]
            _opened[key] = source
        return _opened[key]


def is_here(name: str, workspace: Workspace | None = None) -> bool:
    """Whether a source can be opened without the network; cheap, and asks nobody. Of a name that is no source True: opening it says why."""
    workspace = workspace or Workspace.current()
    if name == ENTITY_QUESTIONS:
        return entity_questions_path(workspace) is not None
    if not _is_hub(name) or _kept(name, (), workspace) is not None:
        return True
    try:
        hub_datasets.require_id(name)
    except FactsError:
        return True
    return False


def fetch_source(name: str, workspace: Workspace | None = None, reporter: Reporter | None = None) -> FactSource:
    """Bring `entity-questions` to this machine where it is not here, or a dataset of the hub as it is there now; the source.

    Raises `FactsError` for any other name, when it can't be had and when it can't be used; `Stopped` when the person stops it.
    """
    workspace = workspace or Workspace.current()
    if name == ENTITY_QUESTIONS:
        if entity_questions_path(workspace) is None:
            entity_questions.download(workspace, reporter)
    elif _is_hub(name):
        keep(hub_datasets.load_hub(name, reporter), (), workspace)
    else:
        raise FactsError(f"Only {ENTITY_QUESTIONS} and {hub_datasets.PREFIX}owner/name are fetched, got {shown(name)}.")
    return open_source(name, workspace)


def is_built_in(name: str) -> bool:
    """Whether a source comes with the program: an invented world, or the part of EntityQuestions."""
    return atlas.is_atlas(name) or name == SAMPLE


def _is_hub(name: str) -> bool:
    return name.startswith(hub_datasets.PREFIX)


def source_stamp(name: str, workspace: Workspace | None = None) -> tuple[object, ...]:
    """What changes when the files behind a source do: sizes and times; empty for what has no files here."""
    if is_built_in(name):
        return ()
    if _is_hub(name):
        try:
            kept = (_folder(name, workspace or Workspace.current()) / MANIFEST).stat()
        except OSError:
            return ()
        return (kept.st_ino, kept.st_size, kept.st_mtime_ns)
    path, kind = typed_path(str(entity_questions_path(workspace) or "")) if name == ENTITY_QUESTIONS else _path_and_query(name)[::2]
    if not kind:
        return ()
    try:
        # of a folder with far more files than facts need (someone's home) only the first ones
        inside = islice(chain(path.glob("*"), path.glob("*/*"), path.glob("*/*/P*.json")), _MOST_FILES)
        files = sorted(inside) if kind == "folder" else [path, sidecar(path)]
        return (path, *((file, stat.st_size, stat.st_mtime_ns) for file in files if file.is_file() and (stat := file.stat())))
    except OSError as error:
        raise FactsError(f"{path} can't be read: {error.strerror or error}.") from error


def source_names(workspace: Workspace | None = None) -> list[str]:
    """What can be opened by name now: the built-in world, EntityQuestions (a part of it, and all of it if it is here), uploaded files."""
    workspace = workspace or Workspace.current()
    here = [ENTITY_QUESTIONS] if entity_questions_path(workspace) else []
    uploaded = [f"{path}{_query_beside(path)}" for path in sorted(workspace.uploads.glob("*")) if path.suffix.casefold() in ENDINGS]
    return [atlas.NAME, SAMPLE, *here, *uploaded]


def remember_query(path: Path, query: str) -> None:
    """Keep beside an uploaded file how its columns were named, so that it is listed under the name that opens it."""
    if query:
        write_bytes(_beside(path), query.encode())
    else:
        _beside(path).unlink(missing_ok=True)


def _query_beside(path: Path) -> str:
    try:
        return _beside(path).read_text(encoding="utf-8")[:_LONGEST_QUERY].strip()
    except (OSError, ValueError):
        return ""


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.columns")


@dataclass(frozen=True)
class OwnRelation:
    """A relation that a file brings along, with some subjects of its facts."""

    relation: Relation | None  # None: it has no templates yet
    subjects: tuple[str, ...]
    column: bool = False  # its templates stand in a column of the file, so far


def own_file(name: str) -> Path | None:
    """The file behind a source that may have relations of its own beside it: a single file of facts. None for any other source."""
    if is_built_in(name) or name == ENTITY_QUESTIONS or _is_hub(name):
        return None
    path, _, kind = _path_and_query(name)
    return path if kind == "file" and path.suffix.casefold() in READERS else None


def own_relations(name: str, workspace: Workspace | None = None) -> dict[str, OwnRelation]:
    """The relations of one's own in a file of facts: those that stand beside it, those of a column, and new ones without templates.

    Raises `FactsError` for a source that is no file of facts, and for a file that can't be read for another reason than missing templates.
    """
    path = _require_own_file(name)
    beside = brought(path)
    try:
        source = open_source(name, workspace)
    except FactsError:
        missing = preview(name).new_relations
        if not missing:
            raise
        kept = {relation: OwnRelation(known, ()) for relation, known in beside.items()}
        return kept | {relation: OwnRelation(None, tuple(subjects)) for relation, subjects in missing.items()}
    facts, used = source.facts, {key: one for key, one in source.relations.items() if key in beside or not _is_ours(one)}
    firsts = facts[facts["relation"].isin(list(used))].groupby("relation").head(_SOME).groupby("relation")["subject"]
    some = {str(key): tuple(subjects) for key, subjects in firsts}
    own = {key: OwnRelation(beside.get(key, one), some.get(key, ()), key not in beside) for key, one in used.items()}
    return own | {key: OwnRelation(one, ()) for key, one in beside.items() if key not in own}


def _is_ours(relation: Relation) -> bool:
    """Whether its templates are the program's: of a built-in relation, or of question-answer pairs."""
    return relation.templates in {known.templates for known in (*builtin_relations().values(), generic_relation(relation.id))}


def save_relations(name: str, relations: Mapping[str, Relation], workspace: Workspace | None = None) -> FactSource:
    """Put these relations beside a file of facts, in place of those that stand there; the source with them.

    The file is opened with them first, so relations that it can't be read with change nothing. Raises `FactsError`.
    """
    path = _require_own_file(name)
    load_own(path, name, _path_and_query(name)[1], relations)
    write_relations(path, relations)
    return open_source(name, workspace)


def _require_own_file(name: str) -> Path:
    path = own_file(name)
    if path is None:
        raise FactsError(f"{shown(name)} has no relations of its own: only a file of facts ({', '.join(READERS)}) brings any along.")
    return path


def entity_questions_path(workspace: Workspace | None = None) -> Path | None:
    """Where EntityQuestions is: SFTQA_ENTITY_QUESTIONS (whether it exists or not), else the download, else None."""
    chosen = os.environ.get(entity_questions.VARIABLE)
    if chosen:
        return typed_path(chosen)[0]
    folder = entity_questions.downloaded_folder(workspace)
    return folder if (folder / "manifest.json").exists() else None


def prepared(name: str, stamp: tuple[object, ...], workspace: Workspace) -> FactSource | None:
    """The source as it was read from these very files, or fetched; None where it was not, or what was kept can't be used."""
    try:
        folder, manifest = _folder(name, workspace), _kept(name, stamp, workspace)
        if manifest is None:
            return None
        relations = {key: Relation.from_dict(value) for key, value in manifest["relations"].items()}
        report = SourceReport.from_dict(manifest["report"])
        facts = read_facts(io.BytesIO(read_file(folder, _FILE, manifest)))  # its checksum first: damage can look like other facts
        gc.freeze()  # a million lists that live as long as the process need not be walked through by every collection
        return FactSource(name, facts, relations, report, manifest["fingerprint"], tuple(manifest["notes"]))
    except (SftqaError, KeyError, OSError, ValueError, TypeError, AttributeError):
        return None


def _kept(name: str, stamp: tuple[object, ...], workspace: Workspace) -> dict[str, Any] | None:
    """The manifest of what was kept of the source as it is now; None where nothing was."""
    try:
        manifest = read_manifest(_folder(name, workspace))
        return manifest if manifest["of"] == _of(name, stamp) else None
    except (SftqaError, KeyError, OSError, ValueError, TypeError, AttributeError):
        return None


def keep(source: FactSource, stamp: tuple[object, ...], workspace: Workspace) -> None:
    """Keep a large source that was read from files, and any of the hub; a small one, or one without files, is left alone."""
    if not _is_hub(source.name) and (not stamp or len(source.facts) < LARGE):
        return
    manifest = {
        "kind": "source",
        "of": _of(source.name, stamp),
        "relations": {key: relation.to_dict() for key, relation in source.relations.items()},
        "report": source.report.to_dict(),
        "fingerprint": source.fingerprint,
        "notes": list(source.notes),
    }
    write_folder(_folder(source.name, workspace), lambda folder: write_facts(source.facts, folder / _FILE), manifest)


def _folder(name: str, workspace: Workspace) -> Path:
    return workspace.root / "sources" / fingerprint(name)


def _of(name: str, stamp: tuple[object, ...]) -> dict[str, Any]:
    stamp = () if _is_hub(name) else stamp  # which is that of the kept copy itself
    files = [list(map(str, entry)) if isinstance(entry, tuple) else str(entry) for entry in stamp]
    return {"name": name, "files": files, "rules": SCHEMA, "wording": _wording()}


def _wording() -> str:
    """Changes with the built-in relations, whose templates a source may have taken over."""
    return fingerprint({name: relation.to_dict() for name, relation in builtin_relations().items()})


def _open(name: str, workspace: Workspace) -> FactSource:
    if atlas.is_atlas(name):
        return atlas.atlas_source(name)
    if name == SAMPLE:
        return entity_sample.load_sample(workspace)
    if name == ENTITY_QUESTIONS:
        path = entity_questions_path(workspace)
        if path is None:
            raise FactsNotHere(f"EntityQuestions is not on this machine yet. Download it, or: {entity_questions.WITHOUT_NETWORK}")
        if not path.exists():
            raise FactsError(f"{entity_questions.VARIABLE} points to {path}, which does not exist. {entity_questions.WITHOUT_NETWORK}")
        return entity_questions.load_entity_questions(path, name, workspace)
    if _is_hub(name):
        hub_datasets.require_id(name)
        raise FactsNotHere(f"{shown(name)} is not on this machine yet. Fetch it: sftqa facts --source {shlex.quote(name)} --download")
    path, query, kind = _found(name)
    if kind == "folder":
        return _folder_source(path, path.name, name, query, workspace)
    if path.suffix.casefold() != ".zip":
        return load_own(path, name, query)
    if entity_questions.is_entity_zip(path):
        return entity_questions.load_entity_questions(path, name, workspace)
    with archives.unpacked(path) as folder:
        return _folder_source(folder, path.name, name, query, workspace)


def preview(name: str) -> SourcePreview:
    """How a file, folder or dataset of facts would be read. Raises `FactsError` for what is none, and for sources with a layout of their
    own (atlas, EntityQuestions), which need no preview."""
    if _is_hub(name):
        return hub_datasets.preview_hub(name)
    if is_built_in(name) or name == ENTITY_QUESTIONS:
        raise FactsError(f"{name} has a layout of its own: there is nothing to choose.")
    path, query, kind = _found(name)
    if kind == "folder":
        return _folder_preview(path, path.name, name, query)
    if path.suffix.casefold() != ".zip":
        return preview_own(path, name, query)
    with archives.unpacked(path) as folder:
        return _folder_preview(folder, path.name, name, query)


def _folder_source(path: Path, label: str, name: str, query: str, workspace: Workspace) -> FactSource:
    if hub_datasets.is_saved_dataset(path):
        return hub_datasets.load_saved(path, name, query)
    if entity_questions.is_entity_folder(path):
        return entity_questions.load_entity_questions(path, name, workspace)
    _require_files(path, label)
    return archives.load_files(path, label, name, query)


def _folder_preview(path: Path, label: str, name: str, query: str) -> SourcePreview:
    if hub_datasets.is_saved_dataset(path):
        return hub_datasets.preview_saved(path, name, query)
    if entity_questions.is_entity_folder(path):
        raise FactsError(f"{label} is EntityQuestions, which has a layout of its own: there is nothing to choose.")
    _require_files(path, label)
    return archives.preview_files(path, label, name, query)


def _require_files(path: Path, label: str) -> None:
    if not archives.fact_files(path):
        layout = "an EntityQuestions folder (train/P17.train.json and so on)"
        raise FactsError(f"{label} is neither {layout} nor a saved dataset, and holds no file of facts. {KNOWN}")


def _found(name: str) -> tuple[Path, str, str]:
    path, query, kind = _path_and_query(name)
    if not kind:
        raise FactsError(f"There is no source {shown(name)}: it is neither built in nor an existing file or folder. {KNOWN}")
    return path, query, kind


def _path_and_query(name: str) -> tuple[Path, str, str]:
    """The path, what follows its question mark, and what is there (see `typed_path`)."""
    path, kind = typed_path(name)
    if kind or "?" not in name:
        return path, "", kind
    place, _, query = name.partition("?")
    path, kind = typed_path(place)
    return path, query, kind
