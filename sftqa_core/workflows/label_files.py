"""Names, tags, notes and pins of runs and studies, as the person gave them. Importing this loads neither torch nor pandas.

    cache/labels/runs/RUN.json         {"schema": 1, "label": {"name": ..., "tags": [...], "note": ..., "pinned": ...}}
    cache/labels/studies/STUDY.json

Labels lie in the person's layer, also those of what ships. One that can't be read is left out and said; a new label sets it aside and
never overwrites it.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from sftqa_core.artifacts import changing, set_aside, write_json
from sftqa_core.errors import ArtifactDamaged, NotFound, SettingsError, StorageError
from sftqa_core.records import LABELLED, Label, Labelled
from sftqa_core.training.runs import run_folders
from sftqa_core.workflows.study_reports import studies
from sftqa_core.workspace import Workspace

SCHEMA = 1  # of every label's file
_NEAR = 5  # names in an error


@dataclass(frozen=True)
class Labels:
    """All labels that the person gave; what one is on may be gone."""

    runs: Mapping[str, Label] = field(default_factory=dict)  # by id
    studies: Mapping[str, Label] = field(default_factory=dict)  # by name
    problems: tuple[str, ...] = ()  # what can't be read, a sentence each

    def of(self, kind: str) -> Mapping[str, Label]:
        """Those of runs, or of studies."""
        return self.runs if kind == "run" else self.studies


def labels(workspace: Workspace | None = None) -> Labels:
    """All labels; each file is read once, until it changes."""
    place = workspace or Workspace.current()
    read: dict[str, dict[str, Label]] = {kind: {} for kind in LABELLED}
    problems = []
    for kind, folder in LABELLED.items():
        for path in sorted((place.labels / folder).glob("[!.]*.json")):
            try:
                read[kind][path.stem] = read_label(path)
            except FileNotFoundError:  # removed since it was listed
                continue
            except (ArtifactDamaged, OSError) as error:
                problems.append(str(error))
    return Labels(read["run"], read["study"], tuple(problems))


def read_label(path: Path) -> Label:
    """The label in a file. Raises `ArtifactDamaged` for what is none, OSError where it can't be read."""
    status = path.stat()
    return _read(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=20_000)
def _read(path: Path, written_ns: int, size: int) -> Label:
    try:
        told = json.loads(path.read_bytes())
        if not isinstance(told, dict) or told.get("schema") != SCHEMA:
            raise ArtifactDamaged(f"{path} is no label of this version of the program. A new label for {path.stem} sets it aside.")
        return Label.from_dict(told["label"])
    except (ValueError, KeyError, RecursionError, SettingsError) as error:
        raise ArtifactDamaged(f"{path} can't be read as a label ({error}). A new label for {path.stem} sets it aside.") from error


def stamp(workspace: Workspace | None = None) -> str:
    """Changes when a run is stored or removed, or when a label is written: part of the key of every list that a page keeps."""
    place = workspace or Workspace.current()
    return " ".join(str(_changed_ns(folder)) for folder in (place.runs, *(place.labels / name for name in LABELLED.values())))


def _changed_ns(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


def change_label(
    thing: Labelled, *, name: str | None = None, add: Iterable[str] = (), remove: Iterable[str] = (), note: str | None = None,
    pinned: bool | None = None,
) -> Label:  # fmt: skip
    """Change what is named here and nothing else, so that two people can change one label at once; the label as it is then.

    Spaces at the ends go. Raises `SettingsError` for what a label can't hold, `NotFound` for a tag to remove that is not there,
    `StorageError` where the disk refuses.
    """
    place = Workspace.current()
    with locked(place):
        path = label_file(thing.kind, thing.id, place)
        before = _label_to_change(path)
        gone = [_tidy(tag).casefold() for tag in remove]
        if missing := [tag for tag in gone if tag not in map(str.casefold, before.tags)]:
            raise NotFound(f"{thing.id} has no tag {missing[0][:80]!r}. It has {', '.join(before.tags) or 'none'}.")
        kept = [tag for tag in before.tags if tag.casefold() not in gone]
        fresh = {tag.casefold(): tag for tag in map(_tidy, add) if tag.casefold() not in map(str.casefold, kept)}
        label = Label(
            before.name if name is None else _tidy(name), (*kept, *fresh.values()), before.note if note is None else note.strip(),
            before.pinned if pinned is None else pinned,
        )  # fmt: skip
        if label.name and label.name != before.name and label.name != thing.id and label.name in _ids(place):
            raise SettingsError(f"{label.name} is the id of another run or study. Choose another name.")
        write_label(path, label)
    return label


def _tidy(text: str) -> str:
    return " ".join(text.split(" ")).strip()


def _label_to_change(path: Path) -> Label:
    """What the file holds; one that is damaged is set aside, so that nothing of it is lost."""
    try:
        return read_label(path)
    except FileNotFoundError:
        return Label()
    except ArtifactDamaged as error:
        if set_aside(path) is None:
            raise StorageError(f"{error} It could not be set aside, so nothing was changed.") from error
        return Label()


def write_label(path: Path, label: Label) -> None:
    """Write a label whole; an empty one takes its file away. Call it inside `locked`."""
    if label == Label():
        path.unlink(missing_ok=True)
    else:
        write_json(path, {"schema": SCHEMA, "label": label.to_dict()})


def label_file(kind: str, name: str, workspace: Workspace) -> Path:
    """Where the label of a run or study lies."""
    return workspace.labels / LABELLED[kind] / f"{name}.json"


def locked(workspace: Workspace) -> AbstractContextManager[None]:
    """Inside, no other process changes labels, deletes or brings back. Raises `StorageError`."""
    return changing(workspace.labels / "labels")


# ---- what a person types ----
def find(text: str) -> Labelled:
    """The run or study of that id, or of that name where it is unique; else what only a label is left of.

    Raises `NotFound` with what comes near, `SettingsError` for a name that several have.
    """
    place = Workspace.current()
    folders, known = run_folders(place), {study.name: study for study in studies()}
    for kind in LABELLED:
        wanted = text if text in (folders if kind == "run" else known) else _named(text, kind, place)
        if wanted is not None and kind == "run":
            return Labelled(kind, wanted, folders[wanted].parent == place.shipped / "runs")
        if wanted is not None:
            return Labelled(kind, wanted, known[wanted].shipped)
    given = labels(place)
    for kind in LABELLED:
        if text in given.of(kind):
            return Labelled(kind, text, gone=True)
    names = [label.name for kind in LABELLED for label in given.of(kind).values() if label.name]
    near = difflib.get_close_matches(text, [*folders, *known, *names], _NEAR, 0.3)
    come = f" What comes near: {', '.join(near)}." if near else ""
    raise NotFound(f"There is no run or study {text[:120]!r}.{come} `sftqa label` lists all of them.")


def id_of(text: str, kind: str) -> str:
    """The id of what has that name, where one has; else the text itself: it is an id, or what looks it up says what is wrong.

    Raises `SettingsError` for a name that several have.
    """
    place = Workspace.current()
    if text in (run_folders(place) if kind == "run" else {study.name for study in studies()}):
        return text
    return _named(text, kind, place) or text


def _named(text: str, kind: str, place: Workspace) -> str | None:
    named = [name for name, label in labels(place).of(kind).items() if label.name and label.name == text]
    if not named:
        return None
    here = run_folders(place) if kind == "run" else {study.name for study in studies()}
    there = [name for name in named if name in here]
    if len(there) > 1:
        what = "runs" if kind == "run" else "studies"
        raise SettingsError(f"{len(there)} {what} are called {text!r}: {', '.join(there)}. Type an id.")
    return there[0] if there else None


def _ids(place: Workspace) -> set[str]:
    return {*run_folders(place), *(study.name for study in studies())}
