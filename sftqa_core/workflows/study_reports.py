"""Studies from settings to report: run what is missing, say what is known. Importing this loads neither torch nor pandas."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftqa_core.artifacts import keep_json, set_aside, write_bytes
from sftqa_core.errors import ArtifactDamaged, ModelUnavailable, SettingsError
from sftqa_core.jsonrecord import fingerprint
from sftqa_core.knowledge.atlas import is_atlas
from sftqa_core.knowledge.matching import judged_earlier
from sftqa_core.progress import Reporter, Silent
from sftqa_core.records import STUDIES, StudyReport, StudySettings
from sftqa_core.records.recipes import Recipe
from sftqa_core.records.result_names import imported_name
from sftqa_core.records.studying import next_seeds
from sftqa_core.studies.config import read_study, study_yaml
from sftqa_core.workflows.bundles import bundle_studies
from sftqa_core.workflows.lookups import bring_facts
from sftqa_core.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.studies.statistics import Outcomes

_DIGEST = "digest"  # in a kept report: the fingerprint of all else in it
_log = logging.getLogger(__name__)
REPORT_SCHEMA = 1  # raised when the same cells are counted or worded otherwise
UNFINISHED = "The study is not finished: some settings have more seeds than others, and some of the questions can't be asked yet."
JUDGED_BEFORE = "Cells keep no texts, so they stay as they were counted; new ones are judged by the rule of today."
CORRECTION = (
    "Yes and no follow intervals that are corrected for asking the same of several models and domains (Bonferroni), or p-values after "
    "Holm's correction; everything else is 'cannot tell'. "
)
OVER_FACTS = "Each fact is averaged over seeds first, then facts are resampled."
OVER_SEEDS = (
    "Differences have intervals over facts and seeds (two-way, Student's t), so they are wide where three seeds differ. Of single settings "
    "each fact is averaged over seeds first, then facts are resampled."
)
PLANTED = (
    "In the built-in world some things are true by construction: contested facts make L1 to L3 mean conflicting evidence, so accuracy "
    "rises with the level; questions with junk replies make the untouched model answer badly and learn quickly. It shows the mechanism "
    "and is no evidence about large models."
)


@dataclass(frozen=True)
class KnownStudy:
    """A study that was started here, ships, or was imported."""

    name: str  # of its file; tells apart
    settings: StudySettings
    shipped: bool
    bundle: str = ""  # that it was imported with
    whole: bool = True  # else only some of its cells were imported, and it has no report
    packed: tuple[str, ...] = ()  # models that were imported

    @property
    def models(self) -> tuple[str, ...]:
        """Those of which there may be cells."""
        return self.packed or self.settings.models


def study(settings: StudySettings, reporter: Reporter | None = None) -> StudyReport:
    """Run every cell that is not done, then report. Stopped at any cell, the same call goes on from there.

    The study is listed by `studies` from its start.
    """
    from sftqa_core.workflows.study_runs import run_study

    path, text = Workspace.current().studies / f"{study_name(settings)}.yaml", study_yaml(settings).encode()
    if path.exists() and path.read_bytes() != text:  # the name is a hash of the settings: this is no longer what was written
        set_aside(path)
    write_bytes(path, text)
    bring_facts(settings.source, reporter)
    run_study(settings, reporter or Silent())
    return study_report(settings)


def study_name(settings: StudySettings) -> str:
    """A name that tells studies apart: kind and settings."""
    return f"{settings.kind}-{settings.fingerprint()[:8]}"


def studies() -> list[KnownStudy]:
    """Studies that were started here, the latest first, then those that ship, of the built-in world before others, by name; files that
    hold none are passed over."""
    known: dict[str, KnownStudy] = {}
    workspace = Workspace.current()
    for layer in workspace.layers:
        files, found = sorted((layer / workspace.studies.name).glob("*.yaml")), list[StudySettings]()
        if layer == workspace.root:  # what ships was written when it was checked out: its times mean nothing
            files.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in files:
            with contextlib.suppress(SettingsError):
                found.append(read_study(path))
        if layer == workspace.shipped:
            found.sort(key=lambda settings: not is_atlas(settings.source))
        for settings in found:
            known.setdefault(study_name(settings), KnownStudy(study_name(settings), settings, layer == workspace.shipped))
    return list(known.values())


def shown_studies() -> list[KnownStudy]:
    """`studies`, then imported ones: for people to look at and compare."""
    imported = [
        KnownStudy(imported_name(bundle, study_name(settings)), settings, False, bundle, whole, models)
        for bundle, settings, whole, models in bundle_studies.imported_studies(Workspace.current())
    ]
    return [*studies(), *imported]


def known_report(known: KnownStudy) -> StudyReport:
    """What is known of a study; of an imported one what was counted when it was imported."""
    return bundle_studies.report_of(known.name) if known.bundle else study_report(known.settings)


def study_report(settings: StudySettings) -> StudyReport:
    """What is known of a study now, finished or not; runs nothing and never loads torch.

    The report of a finished study is kept, since counting it takes longer than a person wants to wait.
    """
    name = report_name(settings)
    if name and (kept := _kept_report(name, _rule(settings))):
        return kept
    report = counted_report(settings, study_outcomes(settings))
    if name and 0 < report.planned == report.done:
        content = report.to_dict()
        keep_json(Workspace.current().reports / f"{name}.json", {**content, _DIGEST: fingerprint(content)})
    return report


def counted_report(settings: StudySettings, outcomes: Sequence[Outcomes]) -> StudyReport:
    """What these outcomes of a study's models say: tables, findings, and how they were decided."""
    from sftqa_core.studies.registry import find_study

    kind = find_study(settings.kind)
    planned, done = sum(part.planned for part in outcomes), sum(part.done for part in outcomes)
    planted = [PLANTED] if is_atlas(settings.source) else []
    unfinished = [UNFINISHED] if done < planned else []
    before = sum(part.judged_before for part in outcomes)
    earlier = [judged_earlier(f"{before:,} cells were", JUDGED_BEFORE)] if before else []
    cited = [] if (recipe := settings.recipe) is None else [cited_words(recipe)]
    notes = (_rule(settings), *unfinished, *earlier, kind.papers, *cited, *planted, *(part.mixture for part in outcomes if part.mixture))
    tables, findings = kind.counted(settings, outcomes)
    return StudyReport(settings, done, planned, findings, notes, {title: _plain(table) for title, table in tables.items()})


def _rule(settings: StudySettings) -> str:
    """How its claims are decided."""
    return CORRECTION + (OVER_SEEDS if STUDIES[settings.kind].recipe else OVER_FACTS)


def cited_words(recipe: Recipe) -> str:
    """What a recipe's paper reports, as a citation, and what is different here."""
    claim = f"{recipe.source} reports: {recipe.claim}" if recipe.claim else f"After {recipe.source}; its figures are not cited."
    return f"{recipe.title}. {claim} What is different here: {recipe.differs}"


def finished_studies() -> set[str]:
    """Names of the studies of which every run was done when their report was kept."""
    workspace, names = Workspace.current(), set()
    for layer in workspace.layers:
        for path in (layer / workspace.reports.name).glob("*.json"):
            with contextlib.suppress(OSError):
                names.add(whole_study(path, path.stat().st_mtime_ns))
    return names - {""}


@lru_cache(maxsize=512)
def whole_study(path: Path, changed_ns: int) -> str:
    """The name of the study that a kept report is of; empty for a file that is none."""
    try:
        return study_name(StudySettings.from_dict(json.loads(path.read_bytes())["settings"]))
    except (ValueError, KeyError, TypeError, RecursionError, SettingsError):
        return ""


def study_progress(settings: StudySettings) -> tuple[int, int]:
    """Runs that are done, of how many; counts files and reads no answers. Raises `SftqaError` for a study that can't be opened here."""
    from sftqa_core.studies.model_study import ModelStudy

    parts = []
    for model in settings.models:
        with contextlib.suppress(ModelUnavailable):
            parts.append(ModelStudy(settings, model).progress())
    return sum(done for done, _ in parts), sum(planned for _, planned in parts)


def report_name(settings: StudySettings) -> str | None:
    """A hash of everything that a finished study's report depends on; None where a model is not on this machine."""
    from sftqa_core.studies.model_study import ModelStudy

    try:
        parts = [ModelStudy(settings, model).identity() for model in settings.models]
    except ModelUnavailable:
        return None
    return fingerprint({"schema": REPORT_SCHEMA, "study": replace(settings, device="auto").to_dict(), "models": parts})


def _kept_report(name: str, rule: str) -> StudyReport | None:
    """The first one that is whole; of a recipe's study, the first that followed this rule for its claims, which is among its notes."""
    from sftqa_core.studies.earlier_words import worded_today

    workspace = Workspace.current()
    for layer in workspace.layers:
        path = layer / workspace.reports.name / f"{name}.json"
        try:
            report = read_report(path)
            if report.settings.recipe is None or rule in report.notes:
                return worded_today(report)
        except ArtifactDamaged as error:
            moved = set_aside(path) if layer == workspace.root else None
            _log.warning("%s It is computed again%s.", error, f"; the file was set aside as {moved.name}" if moved else "")
        except OSError:
            continue  # missing or not readable: it is counted again
    return None


def read_report(path: Path) -> StudyReport:
    """The kept report in a file. Raises `ArtifactDamaged` for one that is not what was written, OSError when it can't be read."""
    content = path.read_bytes()
    try:
        report = json.loads(content)
        digest = report.pop(_DIGEST, None)  # those of the first version have none
        if digest not in (None, fingerprint(report)):
            raise ArtifactDamaged(f"{path} is not what was written: its checksum differs.")
        tables = {str(name): list(rows) for name, rows in report["tables"].items()}
        return replace(StudyReport.from_dict({**report, "tables": {}}), tables=tables)  # rows are plain JSON, of columns without a type
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError, SettingsError) as error:
        raise ArtifactDamaged(f"{path} is no report of a study ({error}).") from error


def study_outcomes(settings: StudySettings) -> list[Outcomes]:
    """The tables that a study's analyses start from, a model each; models that are not on this machine are left out."""
    from sftqa_core.studies.model_study import ModelStudy

    outcomes = []
    for model in settings.models:
        with contextlib.suppress(ModelUnavailable):
            outcomes.append(ModelStudy(settings, model).outcomes())
    return outcomes


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON has them: numbers of Python, what is missing null."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records") if len(table) else []
    return [{str(name): value.item() if hasattr(value, "item") else value for name, value in row.items()} for row in rows]


def published(name: str) -> tuple[pd.DataFrame, str]:
    """A published table (a name in published.TABLE_OF) to lay beside one's own, and which paper and table it is."""
    from sftqa_core.studies import published as tables

    return tables.TABLES[name](), tables.TABLE_OF[name]


def told_apart(tables: Mapping[str, pd.DataFrame]) -> dict[tuple[str, str, str], str]:
    """Where the report of a study of levels tells one training level from all others: (model, domain, test level) -> training level."""
    from sftqa_core.studies import level

    return level.told_apart(tables["matrix"], tables["best"]) if {"matrix", "best"} <= set(tables) else {}


def more_seeds(settings: StudySettings, count: int) -> StudySettings:
    """The same study with `count` seeds more, the next numbers that are not taken."""
    return replace(settings, seeds=(*settings.seeds, *next_seeds(settings.seeds, count)))
