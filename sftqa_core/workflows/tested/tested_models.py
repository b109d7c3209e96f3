"""What was tested and can be compared: finished runs, and finished cells of studies. Never loads torch.

A run goes by its id. A cell goes by its study, model, number of examples (and training level, examples shown, or recipe with a hash of
its settings) and seed: `amount-9203b502:atlas-llama:n60:s0`, `level-d3d1f6ed:atlas-qwen:n240-level2:s1`,
`amount-...:atlas-llama:n0-k4:s0`, `recipe-1b0c55d2:atlas-llama:n240-repeat-5d0e:s2`. What was imported goes by import:BUNDLE: and its name
there. None holds a comma, so several of them are one value of an address.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from sftqa_core.artifacts import MANIFEST
from sftqa_core.errors import NotFound, SftqaError
from sftqa_core.knowledge import aliases, matching
from sftqa_core.records import StudySettings, TrainSettings
from sftqa_core.records.result_names import CELL, bundle_of, imported_name, is_cell, study_and_rest
from sftqa_core.training import runs
from sftqa_core.workflows.bundles import bundle_studies
from sftqa_core.workflows.study_reports import shown_studies, study_name
from sftqa_core.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.studies.statistics import Outcomes

_READ = (MANIFEST, "predictions.parquet", runs.LEVELS)  # of a run
_NEAR = 5  # names in an error


@dataclass(frozen=True)
class Tested:
    """One tested model and all that a comparison reads of it."""

    name: str
    settings: TrainSettings  # learning rate and n as they were; a time limit only where it ended the training
    # a row a test fact: fact_id, relation, subject, question, answers, domain, echo, level (by its own base model), correct, text (None
    # where no words are kept), base_correct, base_text
    facts: pd.DataFrame
    base: Mapping[str, Any]  # the base model's fingerprint: weights, adapter, dtype, device
    source: str  # fingerprint
    aliases: str  # fingerprint
    matching: int  # version of the matching rule that judged the answers
    created: str = ""
    weights: bool = False
    study: str = ""  # of a cell
    cut: str = ""  # what a time limit did to its training (`RunInfo.cut`): how far it got depended on the machine

    @property
    def words(self) -> bool:
        """Whether the answers' words are kept."""
        return not self.study

    @property
    def bundle(self) -> str:
        """The bundle that it was imported with; empty for one's own and what ships."""
        return bundle_of(self.name)

    @cached_property
    def setting(self) -> tuple[Any, ...]:
        """Equal for seeds of one setting, and for a model that was made again; one that a time limit cut has its own."""
        from sftqa_core.studies.cells import canonical

        run = canonical(self.settings)
        return (replace(run, seed=0), self.base_model, self.source, self.aliases, self.rule, self.name if self.cut else "")

    @property
    def base_model(self) -> tuple[Any, ...]:
        """What tells base models apart: their weights, and the numbers they are held in."""
        return (self.base.get("weights"), self.base.get("adapter"), self.base.get("dtype"), self.settings.quantization)

    @property
    def base_words(self) -> str:
        """The base model's name, with the hash of its weights and the numbers they are held in."""
        more = [str(part) for part in self.base_model[:3] if part]
        return f"{self.settings.model} ({', '.join(more)})" if more else self.settings.model

    @cached_property
    def rule(self) -> tuple[str, int]:
        """The matching rule, and the version of it that judged, where that makes a difference to these facts."""
        match = self.settings.match
        versioned = aliases.rule_of(self.facts, match, aliases.load_aliases()) != match
        return match, self.matching if versioned else matching.VERSION


def tested(name: str) -> Tested:
    """The run or cell of that name. Raises `NotFound` with names that come near."""
    return tested_models([name])[0]


def tested_models(names: Sequence[str]) -> list[Tested]:
    """The runs and cells of these names, in their order; each study is read once."""
    read: dict[tuple[str, str], ModelCells] = {}
    return [_cell(name, read) if is_cell(name) else _run(name) for name in names]


def stamp_of(names: Sequence[str]) -> tuple[Any, ...]:
    """Changes when a run of these names is written, removed or damaged; cells are looked after by their study's stamp."""
    place = Workspace.current()
    files = []
    for name in names:
        where, own = place.holding(name)
        files += [] if is_cell(name) else [layer / "runs" / own / file for layer in where.layers for file in _READ]
        files += [where.root / MANIFEST] if bundle_of(name) else []
    return tuple((str(path), _written(path)) for path in files)


def _written(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size


def known_settings(names: Sequence[str]) -> dict[str, TrainSettings]:
    """Settings of those of these names that are here; reads no answers, and each study once."""
    known: dict[str, TrainSettings] = {}
    read: dict[tuple[str, str], ModelCells] = {}
    for name in names:
        with contextlib.suppress(SftqaError):  # a study whose model is gone, too: it can't be compared
            known[name] = find_cell(name, read)[1] if is_cell(name) else runs.read_run(name).settings
    return known


# ---- runs ----
def _run(name: str) -> Tested:
    run = runs.read_run(name)
    predictions = run.predictions()
    stages = {stage: predictions[predictions["stage"] == stage].set_index("fact_id") for stage in ("before", "after")}
    facts = run.facts()
    facts = facts[facts["fact_id"].isin(stages["after"].index)].reset_index(drop=True)
    answers = {
        f"{prefix}{column}": stages[stage][column].reindex(facts["fact_id"]).to_numpy()
        for stage, prefix in (("after", ""), ("before", "base_")) for column in ("correct", "text")
    }  # fmt: skip
    manifest = run.manifest
    settings = replace(run.settings, n=run.summary.n, time_limit_min=run.settings.time_limit_min if run.cut else None)
    return Tested(
        run.id, settings, facts.assign(**answers), manifest.get("model", {}), manifest.get("source", {}).get("fingerprint", ""),
        manifest.get("aliases", ""), manifest.get("matching", 1), str(manifest.get("created", "")), run.model is not None, cut=run.cut,
    )  # fmt: skip


# ---- cells ----
@dataclass(frozen=True)
class ModelCells:
    """One model's part of a study, started here or imported."""

    outcomes: Outcomes
    identity: Mapping[str, Any]
    runs: Mapping[str, TrainSettings]  # by name: those that are finished


def cell_name(study: StudySettings, run: TrainSettings) -> str:
    """What a study's cell is called."""
    part = f"n{'all' if run.n == TrainSettings.ALL else run.n}"
    part += f"-level{'+'.join(map(str, run.levels))}" if run.levels is not None else ""
    part += f"-k{run.more_shots[0]}" if run.more_shots else ""
    part += _recipe_part(study, run)
    return CELL.join((study_name(study), _quoted(run.model), part, f"s{run.seed}"))


def _recipe_part(study: StudySettings, run: TrainSettings) -> str:
    """What tells a recipe's run, or its control, from plain tuning: "-sftmix-3fa2"; nothing for all other cells."""
    if study.recipe is None or run == study.run(run.model, run.n, run.seed):
        return ""
    return f"{f'-{run.recipe.name}' if run.recipe else ''}-{replace(run, seed=0).fingerprint()[:4]}"


def cell_names(study: StudySettings, model: str, bundle: str = "") -> dict[str, TrainSettings]:
    """The finished cells of one of a study's models, of the study that was imported with `bundle` where one is named: name -> settings.
    Raises `ModelUnavailable`, `NotFound`."""
    return dict(model_cells(study, model, bundle).runs)


def model_cells(study: StudySettings, model: str, bundle: str = "") -> ModelCells:
    """One model's part of a study that was started here or ships, or was imported with `bundle`. Raises `ModelUnavailable`, `NotFound`."""
    from sftqa_core.studies.model_study import ModelStudy

    if bundle:
        imported = bundle_studies.part_of(imported_name(bundle, study_name(study)), model)
        outcomes, identity = imported.outcomes, imported.identity
    else:
        part = ModelStudy(study, model)
        outcomes, identity = part.outcomes(), part.identity()
    return ModelCells(outcomes, identity, {imported_name(bundle, cell_name(study, run)): run for run in outcomes.runs})


def _cell(name: str, read: dict[tuple[str, str], ModelCells]) -> Tested:
    cells, _ = find_cell(name, read)
    return _tested_cell(name, cells)


def find_cell(name: str, read: dict[tuple[str, str], ModelCells]) -> tuple[ModelCells, TrainSettings]:
    """The part of the study that a cell belongs to, and its settings. Raises `NotFound`, `ModelUnavailable`."""
    head, rest = study_and_rest(name)
    known = {study.name: study.settings for study in shown_studies()}
    if head not in known:
        raise NotFound(f"There is no study {head[:80]!r} here, so no cell {name[:80]!r}. Studies: {', '.join(known) or 'none'}.")
    study, wanted = known[head], rest.partition(CELL)[0]
    model = next((model for model in study.models if _quoted(model) == wanted), None)
    if model is None:
        raise NotFound(f"The study {head} has no model {wanted[:80]!r}. It has {', '.join(study.models)}.")
    if (head, model) not in read:
        read[head, model] = model_cells(study, model, bundle_of(name))
    cells = read[head, model]
    if name not in cells.runs:
        near = difflib.get_close_matches(name, cells.runs, _NEAR, 0.3) or list(cells.runs)[:_NEAR]
        raise NotFound(f"The study has no finished cell {name[:120]!r}. Cells that come near: {', '.join(near) or 'none is finished'}.")
    return cells, cells.runs[name]


def _tested_cell(name: str, cells: ModelCells) -> Tested:
    outcomes, run = cells.outcomes, cells.runs[name]
    cell = outcomes.runs[run]
    untouched = next((one for one in outcomes.runs if one.n == 0 and not one.more_shots), None)
    base = np.full(len(outcomes.facts), None) if untouched is None else outcomes.runs[untouched].table["correct"].to_numpy()
    facts = outcomes.facts.assign(correct=cell.table["correct"].to_numpy(), text=None, base_correct=base, base_text=None)
    settings = replace(run, n=cell.n, learning_rate=cell.numbers.get("learning_rate", run.learning_rate) or run.learning_rate)
    same = cells.identity
    return Tested(
        name, settings, facts, same["model"], same["source"], same["aliases"], cell.matching, study=study_and_rest(name)[0]
    )  # fmt: skip


def _quoted(model: str) -> str:
    """A model's name without the signs that part names from each other."""
    return quote(model, safe="/@")
