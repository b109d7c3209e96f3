"""What the page on real models reads, made up: two cards, levels by two ways, answers, and a finished study of one model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

from sftqa_core.evaluation import real_tables
from sftqa_core.memory.agreement import agreement
from sftqa_core.models.measured import Measured, write_measured
from sftqa_core.records import (
    LevelScheme,
    PretrainSettings,
    RateAccuracy,
    StudySettings,
    SweepReport,
    SweepSettings,
    TrainSettings,
)
from sftqa_core.studies import amount, real_amounts
from sftqa_core.studies.cells import Cell
from sftqa_core.studies.models import planted_rows
from sftqa_core.studies.statistics import Outcomes
from sftqa_core.workflows.lookups import Trust
from sftqa_core.workflows.real_reports import SOURCE, RealModels, RealStudy, Taught
from sftqa_core.workflows.study_reports import published

ONE, OTHER = "one-real", "other-real"
CARDS = tuple(
    Measured(name, f"*{name}*, rounded to 4 bits", f"{name}.gguf", "ab" * 32, "Q4_1, from GGUF", "MIT", "llama", 135_000_000, weights)
    for name, weights in ((ONE, "1" * 16), (OTHER, "2" * 16))
)
LABELS = LevelScheme().labels


def write_cards(shipped: Path, results: bool = True) -> None:
    """The cards into what ships; with results of the first one beside them, as far as the first page looks."""
    for about in CARDS:
        write_measured(about, shipped)
    if results:
        store = shipped / "estimates" / "made-up"
        store.mkdir(parents=True)
        (store / "settings.json").write_text(json.dumps({"model": {"weights": CARDS[0].weights}}))


def add(module: ModuleType, facts: pd.DataFrame, finished: bool = True) -> None:
    """Put it into the module that stands in for the workflows. Only the first model is measured; its study is finished, or is not."""
    known = facts[facts["level"].notna()].astype({"level": int}).reset_index(drop=True)
    found = _found(known, finished)
    module.real_models, module.real_levels = (lambda: found), (lambda: found.tables["levels"])  # type: ignore[attr-defined]
    module.published = published  # type: ignore[attr-defined]
    module.real_stamp = lambda: (finished,)  # type: ignore[attr-defined]


def _found(known: pd.DataFrame, finished: bool) -> RealModels:
    likely = known.assign(level=(known["level"] - 1).clip(lower=0))
    again = agreement(known, likely, LevelScheme())
    common = pd.Series((np.arange(len(known)) % 10 == 0), index=known["fact_id"])
    part = _outcomes(known)
    answers = real_amounts.base_answers([part], {})
    settings = StudySettings("amount", (ONE,), source=SOURCE, sizes=(0, 60), seeds=(0, 1), shots=(4,))
    study = RealStudy(settings, 5 if finished else 3, 5, ("a:b:n60:s0", "a:b:n0-k4:s0") if finished else ())
    curve, shown = amount.curve(part), real_amounts.in_context(part, answers)
    tuned = real_amounts.tuned_stages(curve, shown, part, common)
    domains = known.set_index("fact_id")["domain"]
    levels = [real_tables.level_shares(ONE, way, some, LABELS) for way, some in (("likelihood", likely), ("full probe", known))]
    tables = {
        "levels": pd.concat(levels),
        "agreement": real_tables.agreement_row(ONE, "likelihood", again),
        "asked": real_tables.asked_by_level(ONE, "likelihood", likely.set_index("fact_id")["level"], answers, common, LABELS),
        "majority": pd.concat(
            [real_tables.majority_shares("", "all test facts", domains, common),
             real_tables.majority_shares(ONE, "right answers, plain prompt", domains, common)]
        ),
        "curve": curve, "in_context": shown, "tuned": tuned,
        "beside_shown": real_amounts.told_together(real_amounts.beside_shown(part, answers)),
    }  # fmt: skip
    if not finished:
        tables |= {name: tables[name].head(0) for name in ("curve", "in_context", "tuned", "beside_shown")}
    trust = Trust(len(known), {"likelihood": again}, None, None, None, False)
    return RealModels(CARDS, tables, {ONE: trust}, {ONE: study}, {ONE: (_sweep(),) if finished else ()}, (_taught(),) if finished else ())


def _taught() -> Taught:
    """A model that was told of 120 facts, a sixth of them never; what was told more often is known better, contested facts worse."""
    told = [(0, 1, 4, 16, 32, 64)[at % 6] for at in range(120)]
    contested = [count > 1 and at % 4 == 0 for at, count in enumerate(told)]
    score = [min(1.0, count / (100 if torn else 50) + at % 5 / 100) for at, (count, torn) in enumerate(zip(told, contested, strict=True))]
    facts = pd.DataFrame({"exposures": told, "contested": contested, "score": score, "seen_score": score, "unseen_score": score})
    facts = facts.assign(fact_id=[f"f{at}" for at in range(120)], relation="P19", subject="Ann", level=0)
    settings = PretrainSettings.going_on("one-real-taught", ONE)
    made = {"base": {"name": ONE}, "settings": settings.to_dict(), "source": {"name": SOURCE}}
    return Taught(replace(CARDS[0], name="one-real-taught", made=made), "full probe", facts, planted_rows("one-real-taught", facts))


def _sweep() -> SweepReport:
    """Of two rates; the higher one is chosen."""
    settings = SweepSettings(TrainSettings(ONE, SOURCE, n=60, method="lora"), (1e-3, 2e-3), (0, 1))
    rows = tuple(
        RateAccuracy(rate, 2, None, None, None, share, share - 0.05, share + 0.05, share > 0.1)
        for rate, share in ((1e-3, 0.1), (2e-3, 0.2))
    )
    return SweepReport(settings, 4, 4, 200, "in", "micro", rows, 2e-3, ("Learning rate 0.002 has the highest in-domain micro average.",))


def _outcomes(known: pd.DataFrame) -> Outcomes:
    """Right answers at random: few before, more with examples in the prompt, most after tuning."""
    draw = np.random.default_rng(0)

    def cell(share: float, n: int) -> Cell:
        return Cell(pd.DataFrame({"correct": draw.random(len(known)) < share, "rival": False}), n, {}, {})

    runs = {TrainSettings(ONE, SOURCE, n=0, shots=0): cell(0.05, 0)}
    for seed in (0, 1):
        runs[TrainSettings(ONE, SOURCE, n=60, seed=seed, shots=0)] = cell(0.6, 60)
        runs[TrainSettings(ONE, SOURCE, n=0, seed=seed, shots=0, more_shots=(4,))] = cell(0.2, 0)
    return Outcomes(ONE, LevelScheme(), known, runs, 5, done=5)
