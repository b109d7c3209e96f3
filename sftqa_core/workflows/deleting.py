"""Deleting runs and studies, and bringing them back. Importing this loads neither torch nor pandas.

    cache/deleted/<id>.<8 digits>/entry.json   kind, id, when, the label, notes
                                  run/         the run's folder as it was
                                  studies/     of a study: its settings files, which were in cache/studies
                                  reports/     and its reports, kept
                                  cells/       and those of its cells that no other study here names
                                  cells.json   names of all its cells: undo also looks for them in the entries of other studies

One rename deletes a run. A study is off the list with the rename of its settings file (of several, the last): only then its reports and
cells follow, and what the process does not get to stays in its place, where the study finds it when it comes back. On undo they go first.
An entry without a run or a settings file is a leftover, which `sftqa cache gc` removes as it removes all entries when told to.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sftqa_core.artifacts import read_json, remove, size_bytes, write_json
from sftqa_core.artifacts.disk import flush, make_folder
from sftqa_core.artifacts.refusals import storing
from sftqa_core.errors import ArtifactDamaged, NotFound, SettingsError, SftqaError, StorageError
from sftqa_core.models.tuned import PREFIX
from sftqa_core.records import Deleted, Label, Labelled, StudySettings
from sftqa_core.studies.config import read_study
from sftqa_core.training.runs import list_runs, run_folders
from sftqa_core.workflows.label_files import label_file, locked, read_label, write_label
from sftqa_core.workflows.study_reports import study_name, whole_study
from sftqa_core.workspace import Workspace

ENTRY, RUN, STUDIES, REPORTS, CELLS, NAMED = "entry.json", "run", "studies", "reports", "cells", "cells.json"
InUse = Callable[[Labelled, Collection[str]], list[str]]  # what is deleted, and models (run:RUN) that need it -> who uses it now


def delete(thing: Labelled, in_use: InUse) -> Deleted:
    """Take a run or study of one's own off every list, with its label; `undelete` brings it back.

    Raises `SettingsError` for what ships or what `in_use` says is used now, `NotFound` for what is gone, `StorageError`.
    """
    place = Workspace.current()
    if thing.shipped:
        raise SettingsError(f"The {thing.kind} {thing.id} came with the program and can't be deleted. Its label is yours to change.")
    with locked(place):
        needing = tuned_from(thing.id) if thing.kind == "run" else []
        if users := in_use(thing, [PREFIX + run for run in (thing.id, *needing)] if thing.kind == "run" else []):
            raise SettingsError(
                f"The {thing.kind} {thing.id} is in use: {'; '.join(users)}. Wait until it is over, or cancel it; then delete."
            )
        return _delete_run(thing, needing, place) if thing.kind == "run" else _delete_study(thing, place)


def tuned_from(run: str) -> list[str]:
    """Runs that were tuned from this one, and from those in turn: an adapter can't be loaded without what it sits on."""
    bases = {info.id: info.model.removeprefix(PREFIX) for info in list_runs() if info.model.startswith(PREFIX)}
    found = [run]
    for base in found:
        found += [name for name, its_base in bases.items() if its_base == base and name not in found]
    return found[1:]


def _delete_run(thing: Labelled, needing: list[str], place: Workspace) -> Deleted:
    folder = place.runs / thing.id
    if not folder.is_dir():
        raise NotFound(f"The run {thing.id} is not here any more.")
    notes = []
    if needing:
        notes.append(f"Tuned from it and not loadable without it if they are adapters: {', '.join(needing)}.")
    if (place.shipped / "runs" / thing.id).is_dir():
        notes.append("A run of that name ships, and is listed from now on.")
    entry = _new_entry(thing, notes, place)
    try:
        _move(folder, place.deleted / entry.entry / RUN)
    except BaseException:
        if not holds_something(place.deleted / entry.entry):
            remove(place.deleted / entry.entry)
        raise
    return _deleted(thing, entry, place)


def _delete_study(thing: Labelled, place: Workspace) -> Deleted:
    files = {path: study for path, study in _study_files(place.root) if study_name(study) == thing.id}
    if not files:
        raise NotFound(f"The study {thing.id} is not here any more.")
    named, cells, notes = _its_cells(thing.id, next(iter(files.values())), place)
    if (place.shipped / STUDIES / f"{thing.id}.yaml").is_file():
        notes.append("The same study ships, and is listed from now on.")
    entry = _new_entry(thing, notes, place)
    folder = place.deleted / entry.entry
    try:
        write_json(folder / NAMED, named)
        for path in files:
            _move(path, folder / STUDIES / path.name)
    except BaseException:
        _files_back(files, folder)
        raise
    # only now that the study is gone from the list: one that is listed keeps its reports and cells
    for part, paths in ((REPORTS, _reports_of(thing.id, place)), (CELLS, cells)):
        for path in paths:
            with contextlib.suppress(OSError):  # it stays where it is, and can be used there
                _move(path, folder / part / path.name)
    return _deleted(thing, entry, place)


def _files_back(files: Iterable[Path], folder: Path) -> None:
    """After a deletion that failed: the settings files to their places, and the entry away unless one of them can't leave it."""
    for path in files:
        with contextlib.suppress(OSError):
            os.rename(folder / STUDIES / path.name, path)
    if not holds_something(folder):
        remove(folder)


def _study_files(layer: Path) -> list[tuple[Path, StudySettings]]:
    """A layer's settings files that hold a study, whatever they are called."""
    found = []
    for path in sorted((layer / STUDIES).glob("*.yaml")):
        with contextlib.suppress(SettingsError, OSError):
            found.append((path, read_study(path)))
    return found


def _reports_of(study: str, place: Workspace) -> list[Path]:
    reports = []
    for path in sorted(place.reports.glob("[!.]*.json")):
        with contextlib.suppress(OSError):
            reports += [path] if whole_study(path, path.stat().st_mtime_ns) == study else []
    return reports


def _its_cells(name: str, settings: StudySettings, place: Workspace) -> tuple[list[str], list[Path], list[str]]:
    """Names of the study's cells in the person's layer, those that no other study here names, and what is told of those that stay."""
    mine: list[Path] = []
    try:
        mine = [cell for cell in cells_of(settings) if cell.parent == place.root / CELLS]  # what ships stays where it is
        others = {cell for _, study in _study_files(place.root) if study_name(study) != name for cell in cells_of(study)}
    except SftqaError as error:  # facts or a model that are gone: whose the cells are can't be told
        told = f"Its cells stay in the cache: which are its own can't be told now ({error})."
        return [cell.name for cell in mine], [], [told]
    shared = sum(cell in others for cell in mine)
    notes = [f"{shared:,} of its {len(mine):,} cells stay: another study names them."] if shared else []
    return [cell.name for cell in mine], [cell for cell in mine if cell not in others], notes


def cells_of(settings: StudySettings) -> list[Path]:
    """Folders of a study's finished cells, in whatever layer they lie. Raises `SftqaError` where a model or the facts are gone."""
    from sftqa_core.studies.model_study import ModelStudy

    return list(dict.fromkeys(folder for model in settings.models for folder in ModelStudy(settings, model).folders()))


def size_on_disk(thing: Labelled) -> int:
    """Bytes that a run's folder takes, or a study's settings, reports and cells, each in the layer it lies in; cells count in every study
    that names them. Raises `SftqaError` where a study's model or facts are gone."""
    place = Workspace.current()
    if thing.kind == "run":
        folder = run_folders(place).get(thing.id)
        return 0 if folder is None else size_bytes(folder)
    files = {path: study for layer in place.layers for path, study in _study_files(layer) if study_name(study) == thing.id}
    cells = cells_of(next(iter(files.values()))) if files else []
    return sum(size_bytes(path) for path in (*files, *_reports_of(thing.id, place), *cells))


def _new_entry(thing: Labelled, notes: Iterable[str], place: Workspace) -> Deleted:
    """A folder that what is deleted can be moved into; it says what that is."""
    path = label_file(thing.kind, thing.id, place)
    try:
        label = read_label(path)
    except (ArtifactDamaged, OSError):  # a damaged one stays in its place
        label = Label()
    when = datetime.now(UTC).isoformat(timespec="seconds")
    entry = Deleted(thing.kind, thing.id, f"{thing.id}.{secrets.token_hex(4)}", when, 0, label, tuple(notes))
    write_json(place.deleted / entry.entry / ENTRY, entry.to_dict())
    return entry


def _deleted(thing: Labelled, entry: Deleted, place: Workspace) -> Deleted:
    """What was moved is deleted: its label goes, of which the entry has a copy."""
    if entry.label != Label():
        label_file(thing.kind, thing.id, place).unlink(missing_ok=True)
    return replace(entry, size_bytes=size_bytes(place.deleted / entry.entry))


def _move(path: Path, target: Path) -> None:
    """One rename. Raises `StorageError` where the disk refuses, or the two lie on different disks."""
    with storing(target):
        make_folder(target.parent)
        try:
            os.rename(path, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            both = f"{path} and {target.parent} lie on different disks, so the first can't be moved in one step"
            raise StorageError(f"{both}. Put {path.parent} and the deleted ones on one disk.", errno.EXDEV) from error
        flush(path.parent)


# ---- what was deleted ----
def deleted(workspace: Workspace | None = None) -> list[Deleted]:
    """What can come back, deleted last first."""
    place = workspace or Workspace.current()
    found = [_entry(folder) for folder in sorted(place.deleted.glob("[!.]*/")) if holds_something(folder)]
    return sorted(found, key=lambda entry: (entry.when, entry.entry), reverse=True)


def holds_something(folder: Path) -> bool:
    """Whether an entry holds a run or a study: else it is what a deletion that was cut off left behind."""
    return (folder / RUN).is_dir() or any((folder / STUDIES).glob("*.yaml"))


def _kind(folder: Path) -> str:
    return "run" if (folder / RUN).is_dir() else "study"


def _entry(folder: Path) -> Deleted:
    """What an entry says of itself; where that is damaged, its folder's name and time say enough to bring it back.

    Its kind is told by what lies there: the file may have been changed, and undo moves what the kind says.
    """
    name, size, changed_s = folder.name.rpartition(".")[0], size_bytes(folder), 0.0
    kind = _kind(folder)
    try:
        told: dict[str, Any] = json.loads((folder / ENTRY).read_bytes())
        if told["id"] == name:  # where it comes back to is not left to a file that somebody may have changed
            return replace(Deleted.from_dict(told), kind=kind, entry=folder.name, size_bytes=size)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SettingsError):
        pass
    with contextlib.suppress(OSError):
        changed_s = folder.stat().st_mtime
    when = datetime.fromtimestamp(changed_s, UTC).isoformat(timespec="seconds")
    return Deleted(kind, name, folder.name, when, size, notes=("Its label can't be read.",))


def find_deleted(text: str) -> Deleted:
    """What was deleted under that id, name or entry; of one that was deleted several times the last. Raises `NotFound`, and
    `SettingsError` for a name that several have."""
    entries = deleted()
    for fits in (lambda entry: text in (entry.entry, entry.id), lambda entry: bool(text) and entry.label.name == text):
        found = [entry for entry in entries if fits(entry)]
        if len(ids := dict.fromkeys(entry.id for entry in found)) > 1:
            raise SettingsError(f"{len(ids)} of what was deleted are called {text!r}: {', '.join(ids)}. Type an id.")
        if found:
            return found[0]
    raise NotFound(f"Nothing called {text[:120]!r} was deleted, or it was removed for good. `sftqa undelete` lists what can come back.")


def undelete(entry: Deleted) -> tuple[str, ...]:
    """Bring back what was deleted, with its label; what has to be told. A label that was given since then stays, and so does an
    entry that still holds something.

    Raises `SettingsError` where a run of that id is there again, `NotFound` where the entry has gone, `StorageError`.
    """
    place = Workspace.current()
    folder = place.deleted / entry.entry
    with locked(place):
        if not holds_something(folder):
            raise NotFound(f"{entry.id} can't come back: it was brought back already, or removed for good.")
        entry = replace(entry, kind=_kind(folder))  # not what the caller was told: that may be older, or changed
        target = place.runs / entry.id
        if entry.kind == "run" and target.exists():
            raise SettingsError(f"A run {entry.id} is here again, so the deleted one stays in {folder}. Delete that one, then undelete.")
        notes = _label_back(entry, place)
        if entry.kind == "run":
            _move(folder / RUN, target)
        else:
            notes += _study_back(folder, place)
        if any(any((folder / part).glob("[!.]*")) for part in (RUN, STUDIES, REPORTS, CELLS)):
            notes.append(f"More lies in {folder}, which stays.")
        else:
            remove(folder)
    return tuple(notes)


def _label_back(entry: Deleted, place: Workspace) -> list[str]:
    path = label_file(entry.kind, entry.id, place)
    if path.exists() and entry.label != Label():
        return ["It was labelled again since; that label stays."]
    if entry.label != Label():
        write_label(path, entry.label)
    return []


def _study_back(folder: Path, place: Workspace) -> list[str]:
    """Cells and reports first, the settings files last: they put the study on the list. What is there again stays as it is."""
    again, notes = False, list[str]()
    for part, target in ((CELLS, place.root / CELLS), (REPORTS, place.reports), (STUDIES, place.studies)):
        for path in sorted((folder / part).glob("[!.]*")):
            if (target / path.name).exists():
                again |= part == STUDIES
                remove(path)
            else:
                _move(path, target / path.name)
        if part == CELLS:
            notes += _other_cells_back(folder, place)
    return [*notes, "It was started again since, so it was on the list already."] if again else notes


def _other_cells_back(folder: Path, place: Workspace) -> list[str]:
    """Cells that stayed when the study was deleted, and then went with another one; what is told of them.

    They are moved: the other study finds them in the cache when it comes back, or in this one's entry when that is deleted again.
    """
    told = read_json(folder / NAMED)  # names of folders, and only those that are found are touched: a changed file leads nowhere else
    named = [name for name in told if isinstance(name, str)] if isinstance(told, list) else []
    here = {path.name for layer in place.layers for path in (layer / CELLS).glob("[!.]*/")}
    away = {path.name: path for path in sorted(place.deleted.glob(f"[!.]*/{CELLS}/[!.]*/"))}
    missing = [name for name in named if name not in here]
    back = [name for name in missing if name in away]
    for name in back:
        _move(away[name], place.root / CELLS / name)
    notes = [f"{len(back):,} of its {len(named):,} cells had been deleted with another study, and came back too."] if back else []
    if gone := len(missing) - len(back):
        notes.append(f"{gone:,} of its {len(named):,} cells are gone: its next start runs them again.")
    return notes
