"""Finished results as what ships holds them: studies with every cell that they are made of, and the facts that a probe was about."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from sftqa_core import workflows
from sftqa_core.artifacts import read_manifest, write_folder
from sftqa_core.engine.wanted_facts import WantedFact, wanted_facts
from sftqa_core.knowledge.aliases import load_aliases
from sftqa_core.memory import prober, profiles
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
    for study in studies:
        (target / "studies" / f"{workflows.study_name(study)}.yaml").write_text(workflows.study_yaml(study), encoding="utf-8")
        reports = [layer / "reports" / f"{report_name(study)}.json" for layer in Workspace.current().layers]
        shutil.copy(next(report for report in reports if report.exists()), target / "reports")
        for model in study.models:
            part = ModelStudy(study, model)
            trials = part.outcomes().trials if study.recipe else None
            told = {part.cells.folder(run) for run in trials.tables} if trials else set()
            for cell in part.folders():
                if not (kept := target / FOLDER / cell.name).exists():
                    _pack_cell(cell, kept, cell in told)


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
