"""Bundles of other explorers: imported, listed, removed: `sftqa import`.

    imports/BUNDLE/runs/RUN/         as runs are stored here (training/runs.py)
                   studies/STUDY/    see bundle_studies.py
                   manifest.json     written last: before it is there, nothing of the bundle counts

Every table and every file of JSON is read within limits and written anew. Tables and findings of studies, and accuracies of runs, are
counted here from the answers; what they are counted from is what the bundle says.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftqa_core.artifacts import MANIFEST, read_manifest, remove, seal, write_folder, write_json
from sftqa_core.errors import BundleRefused, NotFound, SftqaError
from sftqa_core.jsonrecord import shown
from sftqa_core.records import StudySettings
from sftqa_core.records.bundles import BundleManifest, ImportedBundle
from sftqa_core.records.result_names import imported_name, is_bundle_name
from sftqa_core.workflows.bundles import bundle_checks, bundle_studies
from sftqa_core.workflows.bundles.bundle_checks import CONTENTS, PLAIN_NAME, Bundle, understood
from sftqa_core.workflows.bundles.bundle_packing import slug
from sftqa_core.workflows.bundles.bundle_runs import refuse_places, write_imported
from sftqa_core.workflows.study_reports import counted_report, study_name
from sftqa_core.workspace import Workspace

if TYPE_CHECKING:
    from sftqa_core.studies.statistics import Outcomes


def import_bundle(path: Path) -> ImportedBundle:
    """Check a bundle and import it, whole or not at all. Raises `BundleRefused` with what is wrong, `StorageError`."""
    if not path.is_file():
        raise NotFound(f"{path} is no file. Name a bundle that sftqa bundle wrote.")
    with bundle_checks.opened(path) as bundle:
        name = f"{slug(bundle.manifest.title)}-{hashlib.sha256(json.dumps(bundle.manifest.to_dict()).encode()).hexdigest()[:8]}"
        target = Workspace.current().imports / name
        if (target / MANIFEST).exists():
            raise BundleRefused(f"it was imported before, as {name}. Remove that first (sftqa import --remove {name}) to import it again.")
        about = {field: value for field, value in bundle.manifest.to_dict().items() if field != "files"}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        _check_about(bundle.manifest)
        write_folder(target, lambda work: _fill(work, bundle), {"kind": "import", "created": now, "bundle": about})
    return _known(name, target)


def import_upload(name: str, content: bytes) -> ImportedBundle:
    """The same of a file that was handed over in the browser."""
    imports = Workspace.current().imports
    imports.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=imports, prefix=".checking-") as folder:
        trial = Path(folder) / f"{slug(Path(name).stem)}.zip"
        trial.write_bytes(content)
        return import_bundle(trial)


def imported_bundles() -> list[ImportedBundle]:
    """What was imported, the latest first; what can't be read is left out (`sftqa cache verify` names it)."""
    known = []
    for name, folder in bundle_studies.bundles(Workspace.current()).items():
        with contextlib.suppress(SftqaError, OSError, KeyError, TypeError):
            known.append(_known(name, folder))
    return sorted(known, key=lambda bundle: bundle.imported, reverse=True)


def imported_bundle(name: str) -> ImportedBundle:
    """One of them. Raises `NotFound`."""
    folder = Workspace.current().imports / name
    if not is_bundle_name(name) or not (folder / MANIFEST).exists():
        known = ", ".join(bundle.name for bundle in imported_bundles()) or "none"
        raise NotFound(f"There is no imported bundle {shown(name)}. Imported: {known}.")
    return _known(name, folder)


def remove_bundle(name: str) -> ImportedBundle:
    """Remove an imported bundle with all that it brought. Raises `NotFound`."""
    bundle, folder = imported_bundle(name), Workspace.current().imports / name
    (folder / MANIFEST).unlink(missing_ok=True)  # from here on nothing of it counts, however much of it is left
    remove(folder)
    return bundle


def _known(name: str, folder: Path) -> ImportedBundle:
    manifest = read_manifest(folder)
    told = BundleManifest.from_dict({**manifest["bundle"], "files": {}})
    runs, studies = (tuple(imported_name(name, one) for one in some) for some in (told.runs, told.studies))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    when = str(manifest["created"])
    return ImportedBundle(name, told.title, told.made, when, told.program, runs, studies, size, told.licences)


def _check_about(manifest: BundleManifest) -> None:
    """What bundle.json says of the bundle as a whole."""
    if not manifest.runs and not manifest.studies:
        raise BundleRefused("it holds no run and no study.")
    if wrong := [name for name in (*manifest.runs, *manifest.studies) if not PLAIN_NAME.fullmatch(name)]:
        raise BundleRefused(f"it holds a run or study called {shown(wrong[0])}, which is no name of one.")
    for names in (manifest.runs, manifest.studies):
        if len({name.casefold() for name in names}) < len(names):  # of which some disks make one folder
            raise BundleRefused("it lists a run or study twice.")
    parts = {f"runs/{name}" for name in manifest.runs} | {f"studies/{name}" for name in manifest.studies}
    if stray := [name for name in manifest.files if "/".join(name.split("/")[:2]) not in parts]:
        raise BundleRefused(f"it holds {shown(min(stray))}, which belongs to no run or study of it.")
    understood(CONTENTS, lambda: datetime.fromisoformat(manifest.made))


def _fill(work: Path, bundle: Bundle) -> None:
    for name in bundle.manifest.runs:
        write_imported(bundle, name, work / "runs" / name)
    for name in bundle.manifest.studies:
        folder = work / bundle_studies.FOLDER / name
        understood(f"{bundle_studies.FOLDER}/{name}", partial(_write_study, bundle, name, folder))


def _write_study(bundle: Bundle, name: str, folder: Path) -> None:
    """A study with the report that is counted from its outcomes. Raises `BundleRefused`."""
    from sftqa_core.studies.outcome_files import outcome_files

    place = f"{bundle_studies.FOLDER}/{name}"
    about = bundle.json(f"{place}/{bundle_studies.STUDY}")
    settings, whole, models = understood(f"{place}/{bundle_studies.STUDY}", lambda: _settings(about, name))
    parts = [_outcomes(bundle, f"{place}/{at}", settings, model) for at, model in enumerate(models)]
    folder.mkdir(parents=True)
    write_json(folder / bundle_studies.STUDY, {"settings": settings.to_dict(), "whole": whole, "models": models})
    if whole:
        report = understood(place, lambda: counted_report(settings, parts).to_dict())
        write_json(folder / bundle_studies.REPORT, report)
    for at, outcomes in enumerate(parts):
        for file, content in outcome_files(outcomes).items():
            (folder / str(at) / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / str(at) / file).write_bytes(content)
        write_json(folder / str(at) / bundle_studies.IDENTITY, _identity(bundle, f"{place}/{at}/{bundle_studies.IDENTITY}"))
    seal(folder, {"kind": "imported study"})


def _settings(about: dict[str, Any], name: str) -> tuple[StudySettings, bool, list[str]]:
    """The study's settings, whether all of it is in the bundle, and the models that are."""
    settings = StudySettings.from_dict(about["settings"])
    refuse_places(*settings.models, settings.source)
    if study_name(settings) != name:
        raise ValueError(f"is of the study {study_name(settings)}, and is called {shown(name)}")
    whole, models = bool(about["whole"]), [str(model) for model in about["models"]]
    if not set(models) <= set(settings.models) or len(set(models)) < len(models) or (whole and models != list(settings.models)):
        raise ValueError("names other models than its study has")
    return settings, whole, models


def _outcomes(bundle: Bundle, place: str, settings: StudySettings, model: str) -> Outcomes:
    from sftqa_core.studies.outcome_files import outcomes_in

    def read() -> Outcomes:
        outcomes = outcomes_in(lambda file: bundle.read(f"{place}/{file}"))
        tried = () if outcomes.trials is None else (run for runs in outcomes.trials.runs.values() for run in runs)
        for run in (*outcomes.runs, *outcomes.shifts, *tried):
            if (run.model, run.source, run.scheme) != (model, settings.source, settings.scheme):
                raise ValueError("holds runs of another model, of other facts or of other levels than the study")
        return outcomes

    return understood(place, read)


def _identity(bundle: Bundle, name: str) -> dict[str, Any]:
    """What its numbers depend on: fingerprints, which tell base models and facts apart."""

    def read() -> dict[str, Any]:
        told = bundle.json(name)
        model = {str(part): value for part, value in told["model"].items() if isinstance(value, str | int | float | None)}
        refuse_places(str(model.get("name", "")))
        return {"model": model, "source": str(told["source"]), "aliases": str(told["aliases"])}

    return understood(name, read)
