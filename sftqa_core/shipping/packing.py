"""Finished results as what ships holds them: studies with every cell that they are made of, the facts that a probe was about, and what is
kept when the rest is made anew."""

import shutil
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from sftqa_core import workflows
from sftqa_core.artifacts import MANIFEST, read_json, read_manifest, write_folder
from sftqa_core.engine.wanted_facts import WantedFact, wanted_facts
from sftqa_core.knowledge.aliases import load_aliases
from sftqa_core.memory import prober, profiles
from sftqa_core.models import measured
from sftqa_core.records import ProbeSettings, StudySettings
from sftqa_core.studies.cells import FOLDER, RECIPE
from sftqa_core.studies.model_study import ModelStudy
from sftqa_core.workflows.study_reports import report_name
from sftqa_core.workspace import Workspace

OF_STUDIES = ("studies", "reports", FOLDER)  # folders of what ships


def pack_studies(studies: Iterable[StudySettings], target: Path) -> None:
    """The studies' files and every cell that one of them is made of."""
    for folder in OF_STUDIES:
        (target / folder).mkdir(exist_ok=True)
    known = [(study, [ModelStudy(study, model) for model in study.models]) for study in studies]
    told = set[Path | None]()  # cells whose recipe's own tables a study tells
    for study, parts in known:
        for part in parts:
            trials = part.outcomes().trials if study.recipe else None
            told |= {part.cells.folder(run) for run in trials.tables} if trials else set()
    for study, parts in known:
        (target / "studies" / f"{workflows.study_name(study)}.yaml").write_text(workflows.study_yaml(study), encoding="utf-8")
        reports = [layer / "reports" / f"{report_name(study)}.json" for layer in Workspace.current().layers]
        shutil.copy(next(report for report in reports if report.exists()), target / "reports")
        for cell in (cell for part in parts for cell in part.folders()):
            if not (kept := target / FOLDER / cell.name).exists():
                _pack_cell(cell, kept, cell in told)


def keep_measured(ships: Path, target: Path) -> None:
    """What `ships` holds of real models and `target` lacks: their cards, stores, studies and cells. Who makes the rest anew may not have
    their weights. Raises `SftqaError` for a card that can't be read, since its model's results would be lost."""
    cards = [measured.read_card(path) for path in measured.card_files(ships)]
    known = {about.name: about for about in cards}
    weights = {about.weights for about in known.values()}
    wanted = [ships / measured.FOLDER] if known else []
    for kind in ("completions", "estimates"):
        stores = [folder for folder in ships.glob(f"{kind}/*") if _weights_of(folder / "settings.json") in weights]
        wanted += [*stores, *(ships / "hits" / store.name for store in stores if kind == "completions")]
    wanted += [cell for cell in ships.glob(f"{FOLDER}/*") if _weights_of(cell / MANIFEST) in weights]
    wanted += [study for study in ships.glob("studies/*.yaml") if _only_of(yaml.safe_load(study.read_text(encoding="utf-8")), known)]
    wanted += [report for report in ships.glob("reports/*.json") if _only_of((read_json(report) or {})["settings"], known)]
    for path in wanted:
        kept = target / path.relative_to(ships)
        kept.parent.mkdir(exist_ok=True)
        shutil.copytree(path, kept, dirs_exist_ok=True) if path.is_dir() else shutil.copy(path, kept)


def _weights_of(settings: Path) -> str | None:
    """Of the model that a store or a cell is about."""
    about = read_json(settings) or {}
    return about.get("settings", about).get("model", {}).get("weights")


def _only_of(study: Mapping[str, Any], models: Container[str]) -> bool:
    return all(model in models for model in study["models"])


def _pack_cell(cell: Path, target: Path, told: bool) -> None:
    """A cell; a recipe's own tables only where its study tells them, and smaller."""
    if not (cell / RECIPE).is_dir():
        shutil.copytree(cell, target)
        return

    def fill(work: Path) -> None:
        for table in cell.glob("*.parquet"):
            shutil.copy(table, work)
        if told:
            (work / RECIPE).mkdir()
            for table in (cell / RECIPE).glob("*.parquet"):
                pd.read_parquet(table).to_parquet(work / RECIPE / table.name, index=False, compression="zstd")

    write_folder(target, fill, read_manifest(cell))


def wanted_of(settings: ProbeSettings) -> list[WantedFact]:
    """The facts that these settings probe."""
    source = profiles.open_for(settings.model, settings.source)
    return wanted_facts(source, prober.chosen_facts(source, settings), load_aliases(Workspace.current()), settings.match, settings.scheme)
