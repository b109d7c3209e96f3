"""Studies of imported bundles, read from where the import wrote them:

imports/BUNDLE/studies/STUDY/study.json      settings, and whether all of it was in the bundle
                             report.json     tables and findings, counted here from the answers when it was imported
                             K/              the K-th model's outcomes (studies/outcome_files.py), and identity.json
                             manifest.json   written last
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftqa_core.artifacts import MANIFEST, finished, read_file, read_manifest
from sftqa_core.errors import ArtifactDamaged, NotFound, SftqaError
from sftqa_core.records import StudyReport, StudySettings
from sftqa_core.records.result_names import bundle_of, is_bundle_name
from sftqa_core.workspace import Workspace

if TYPE_CHECKING:
    from sftqa_core.studies.statistics import Outcomes

FOLDER, STUDY, REPORT, IDENTITY = "studies", "study.json", "report.json", "identity.json"


@dataclass(frozen=True)
class ImportedPart:
    """One model's part of an imported study."""

    outcomes: Outcomes
    identity: Mapping[str, Any]  # what its numbers depend on, as it was where the study was done


def bundles(workspace: Workspace) -> dict[str, Path]:
    """Folders of the imported bundles by name."""
    return {name: folder for name, folder in finished([workspace.imports]).items() if is_bundle_name(name)}


def imported_studies(workspace: Workspace) -> Iterator[tuple[str, StudySettings, bool, tuple[str, ...]]]:
    """Of each imported study its bundle, its settings, whether all of it was in the bundle, and which models were; damaged ones are passed
    over."""
    for bundle, folder in bundles(workspace).items():
        for path in finished([folder / FOLDER]).values():
            with contextlib.suppress(OSError, SftqaError, ValueError, KeyError, TypeError):
                yield bundle, *_about(path, (path / MANIFEST).stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _about(folder: Path, written_ns: int) -> tuple[StudySettings, bool, tuple[str, ...]]:
    told = json.loads(read_file(folder, STUDY))
    return StudySettings.from_dict(told["settings"]), bool(told["whole"]), tuple(map(str, told["models"]))


def report_of(name: str) -> StudyReport:
    """The report of the imported study of that name. Raises `NotFound`, and `ArtifactDamaged` where it is not as it was imported."""
    told = _json(name, REPORT)
    tables = {str(title): list(rows) for title, rows in told["tables"].items()}  # rows are plain JSON, of columns without a type
    return replace(StudyReport.from_dict({**told, "tables": {}}), tables=tables, bundle=bundle_of(name))


def part_of(name: str, model: str) -> ImportedPart:
    """One model's part of the imported study of that name. Raises as `report_of`, and `NotFound` for another model."""
    from sftqa_core.studies.outcome_files import outcomes_in

    folder, models = _folder(name), _json(name, STUDY)["models"]
    if model not in models:
        raise NotFound(f"The bundle has nothing of {model} in the study {name}. It has {', '.join(models)}.")
    at, manifest = models.index(model), read_manifest(folder)
    return ImportedPart(outcomes_in(lambda file: read_file(folder, f"{at}/{file}", manifest)), _json(name, f"{at}/{IDENTITY}"))


def _folder(name: str) -> Path:
    place, own = Workspace.current().holding(name)
    if Path(own).name != own or not (place.root / FOLDER / own / MANIFEST).exists():
        raise NotFound(f"There is no imported study {name[:120]!r}: its bundle was removed. `sftqa import` lists bundles.")
    return place.root / FOLDER / own


def _json(name: str, file: str) -> Any:
    folder = _folder(name)
    try:
        return json.loads(read_file(folder, file))
    except ValueError as error:
        raise ArtifactDamaged(f"{folder / file} can't be read ({error}). Import the bundle again.") from error
