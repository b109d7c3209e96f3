"""Runs, cells and studies as one zip that another explorer imports: `sftqa bundle`. It names no place, person or machine."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tempfile
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from sftqa_core.artifacts import program_version, versions, write_bytes
from sftqa_core.errors import NotEnoughFacts, NotFound, SettingsError
from sftqa_core.jsonrecord import shown
from sftqa_core.records import StudySettings
from sftqa_core.records.bundles import BundleManifest
from sftqa_core.records.result_names import bundle_of, is_cell, study_and_rest
from sftqa_core.training.runs import read_run
from sftqa_core.workflows.bundles import bundle_checks, bundle_studies
from sftqa_core.workflows.bundles.bundle_names import PublicNames, licence_of_facts, licence_of_model
from sftqa_core.workflows.bundles.bundle_runs import run_files
from sftqa_core.workflows.study_reports import studies, study_name
from sftqa_core.workflows.tested.tested_models import ModelCells, find_cell, model_cells

_TITLE = re.compile(r"[^a-z0-9]+")
_LONGEST_TITLE = 40


def pack(names: Sequence[str], out: Path, weights: bool = False) -> BundleManifest:
    """Write runs, cells and studies of these names as a bundle to `out`, whole or not at all; of several, what they say beside each other.

    `weights`: with the adapters of runs. Raises `NotFound`, `SettingsError` for what can't be packed, `StorageError`, and `BundleRefused`
    for what is larger than others would import.
    """
    names = list(dict.fromkeys(names))
    if imported := [name for name in names if bundle_of(name)]:
        raise SettingsError(f"{imported[0]} was imported. Pass on the bundle {bundle_of(imported[0])} as it came to you.")
    known = {study.name: study.settings for study in studies()}
    runs = [read_run(name) for name in names if name not in known and not is_cell(name)]
    wanted = _wanted_studies(names, known)
    parts = {head: _parts(known[head], cells) for head, cells in wanted.items()}
    settings = [run.settings for run in runs] + [known[head].run(model, 0, 0) for head in parts for model in known[head].models]
    public = PublicNames({name for one in settings for name in (one.model, one.source)})
    files: dict[str, bytes] = {}
    for run in runs:
        files |= {f"runs/{run.id}/{file}": content for file, content in run_files(run, public, weights).items()}
    packed = []
    for head, some in parts.items():
        own = StudySettings.from_dict(public.of(known[head].to_dict()))
        packed.append(study_name(own))
        files |= {f"studies/{packed[-1]}/{file}": content for file, content in _study_files(own, not wanted[head], some, public).items()}
    licences = {f"model {public.of(one.model)}": licence_of_model(one.model) for one in settings}
    licences |= {f"facts {public.of(one.source)}": licence_of_facts(one.source) for one in settings}
    manifest = BundleManifest(
        bundle_checks.SCHEMA, slug(out.stem), datetime.now(UTC).isoformat(timespec="seconds"), program_version(), versions(), licences,
        tuple(run.id for run in runs), tuple(packed),
        {name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)} for name, content in files.items()},
    )  # fmt: skip
    _write(out, {bundle_checks.CONTENTS: json.dumps(manifest.to_dict(), indent=1, ensure_ascii=False).encode(), **files})
    return manifest


def slug(title: str) -> str:
    """A title as part of a name: small letters, digits and dashes."""
    return _TITLE.sub("-", title.casefold()).strip("-")[:_LONGEST_TITLE].strip("-") or "bundle"


def _wanted_studies(names: Sequence[str], known: Collection[str]) -> dict[str, list[str]]:
    """The studies that are wanted, or cells of: name -> the cells, none where all of it is wanted. Raises `NotFound`."""
    wanted: dict[str, list[str]] = {name: [] for name in names if name in known}
    whole = set(wanted)
    for name in names:
        if is_cell(name) and (head := study_and_rest(name)[0]) not in whole:
            wanted.setdefault(head, []).append(name)
    if unknown := [head for head in wanted if head not in known]:
        raise NotFound(f"There is no study {shown(unknown[0])} here, so no cell of it. Studies: {', '.join(known) or 'none'}.")
    return wanted


def _parts(study: StudySettings, cells: Sequence[str]) -> dict[str, ModelCells]:
    """A study's models with the cells of these names and their untouched model, or with all cells.

    Raises `NotFound`, `ModelUnavailable`, `NotEnoughFacts`.
    """
    if not cells:
        whole = {model: model_cells(study, model) for model in study.models}
        if not any(part.outcomes.done for part in whole.values()):
            raise NotEnoughFacts("No run of this study has finished yet, so there is nothing to pack.")
        return whole
    read: dict[tuple[str, str], ModelCells] = {}
    chosen = {run for name in cells for run in (find_cell(name, read)[1],)}
    parts = {}
    for part in read.values():
        wanted = {run: cell for run, cell in part.outcomes.runs.items() if run in chosen or (run.n == 0 and not run.more_shots)}
        some = replace(part.outcomes, runs=wanted, planned=len(wanted), done=len(wanted), retest=None, shifts={}, trials=None)
        parts[part.outcomes.model] = replace(part, outcomes=some)
    return parts


def _study_files(settings: StudySettings, whole: bool, parts: dict[str, ModelCells], public: PublicNames) -> dict[str, bytes]:
    from sftqa_core.studies.outcome_files import outcome_files

    about = {"settings": settings.to_dict(), "whole": whole, "models": [public.of(model) for model in parts]}
    files = {bundle_studies.STUDY: json.dumps(about, ensure_ascii=False).encode()}
    for at, part in enumerate(parts.values()):
        files |= {f"{at}/{name}": content for name, content in outcome_files(part.outcomes, public.of).items()}
        files[f"{at}/{bundle_studies.IDENTITY}"] = json.dumps(public.of(dict(part.identity)), ensure_ascii=False).encode()
    return files


def _write(out: Path, files: dict[str, bytes]) -> None:
    """The zip, once it is certain that it can be imported."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(_plain_member(name), content)
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / out.name
        trial.write_bytes(packed.getvalue())
        with bundle_checks.opened(trial):
            pass
    write_bytes(out.absolute(), packed.getvalue())


def _plain_member(name: str) -> zipfile.ZipInfo:
    """A file that tells no time, owner or system."""
    member = zipfile.ZipInfo(name)
    member.external_attr, member.compress_type = 0o100644 << 16, zipfile.ZIP_DEFLATED
    return member
