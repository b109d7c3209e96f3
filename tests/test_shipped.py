"""What ships is whole, small enough, and what its own model says."""

from __future__ import annotations

import pytest

from sftqa_core import workflows
from sftqa_core.artifacts import damaged_files, read_manifest
from sftqa_core.models.measured import measured_models
from sftqa_core.records import SLICK, STUDIES, LevelScheme, ProbeSettings, StudySettings
from sftqa_core.records.recipes import RECIPES
from sftqa_core.records.studying import CONTROL, OTHER_SEEDS, PLAIN_TUNING, recipe_study
from sftqa_core.workspace import shipped_folder

MODEL = "atlas-llama"
MODELS = tuple(workflows.built_in_models())
SAMPLE = 24  # facts that are probed again: one of each relation
MOST_BYTES = 40_000_000 + 5_000_000  # built-in models and their results, and what real models know
MOST_WEIGHTS = 25_000_000
ANOTHER_MACHINE = 0.01  # of the test facts may be answered otherwise where numbers are added in another order


def test_shipped_files_match_their_manifests():
    """The folder's manifest, each model's, run's and cell's name every file with its checksum."""
    folders = [shipped_folder(), *(path for kind in ("models", "runs", "cells") for path in sorted((shipped_folder() / kind).iterdir()))]
    of_recipes = 198
    weights = {about.weights for about in measured_models().values()}
    cells = sorted((shipped_folder() / "cells").iterdir())
    of_real = [cell for cell in cells if read_manifest(cell)["settings"]["model"]["weights"] in weights]
    # answers by amount and by level, levels afterwards
    assert len(folders) - len(of_real) == 1 + len(MODELS) + 1 + len(MODELS) * (28 + 15 + 6) + of_recipes
    for folder in folders:
        assert damaged_files(folder) == []
        assert read_manifest(folder)["files"].keys() == {
            path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path != folder / "manifest.json"
        }


def test_shipped_files_stay_small():
    """All of it takes at most 40 MB, the weights of all models at most 25 MB."""
    assert sum(path.stat().st_size for path in shipped_folder().rglob("*") if path.is_file()) <= MOST_BYTES
    assert sum(path.stat().st_size for path in shipped_folder().rglob("*.safetensors")) <= MOST_WEIGHTS


def test_shipped_models_are_what_their_settings_say():
    """Four models of three architectures; one pair differs in the architecture alone, one in the mixture alone."""
    from dataclasses import replace

    from sftqa_core.knowledge.sources import open_source
    from sftqa_core.models.makings import same_making

    made = workflows.built_in_models()
    cards = {card.name: card for card in workflows.models() if card.kind == "built-in"}
    assert cards.keys() == made.keys()
    assert {card.architecture for card in cards.values()} == {"llama", "qwen2", "gpt_neox"}
    assert all(same_making(cards[name], made[name], open_source("atlas").fingerprint) for name in made)
    named = ("atlas-llama", "atlas-llama-sparse", "atlas-qwen")
    llama, sparse, qwen = (replace(made[name], name="x", max_exposures=1) for name in named)
    assert replace(sparse, corpus=llama.corpus) == llama != sparse
    assert replace(qwen, architecture="llama", key_value_heads=None) == llama != qwen


@pytest.mark.parametrize("domain", ["in", "out"])
@pytest.mark.parametrize("model", MODELS)
def test_every_level_holds_its_share(model, domain):
    """Each level has at least 5% of a domain's facts, 80 of its test facts and, in domain, 240 train facts."""
    table = workflows.profile(model, "atlas", "all", domain).table
    assert table["level"].notna().all()
    assert table["level"].value_counts(normalize=True).reindex(range(5), fill_value=0).min() >= 0.05
    assert table[table["split"] == "test"]["level"].value_counts().reindex(range(5), fill_value=0).min() >= 80
    if domain == "in":
        assert table[table["split"] == "train"]["level"].value_counts().reindex(range(5), fill_value=0).min() >= 240


def test_probing_again_with_the_reloaded_file_gives_the_shipped_levels(workspace):
    """Facts of every relation, sampled anew from the shipped weights, get the shipped hits and levels.

    Another processor may add numbers in another order and tip a near-tie, so two hits of 210 may differ.
    """
    from sftqa_core.memory.prober import chosen_facts
    from sftqa_core.memory.probing import probe_facts
    from sftqa_core.memory.profiles import open_for
    from sftqa_core.models.catalogue import find_model
    from sftqa_core.models.loading import load_model
    from sftqa_core.workspace import Workspace

    settings = ProbeSettings(MODEL, limit=SAMPLE, device="cpu")
    source = open_for(MODEL, "atlas")
    facts = chosen_facts(source, settings)
    alone = Workspace(workspace.root, workspace.root / "nothing-shipped")
    fresh = probe_facts(load_model(find_model(MODEL), "cpu"), source, facts, settings, workspace=alone)
    shipped = workflows.profile(MODEL, "atlas").table.set_index("fact_id").loc[fresh["fact_id"]]
    assert facts["relation"].nunique() == SAMPLE
    assert (fresh["hits"].to_numpy() - shipped["hits"].to_numpy()).__abs__().max() <= 2
    assert (fresh["level"].to_numpy() == shipped["level"].to_numpy()).sum() >= SAMPLE - 1


def test_completions_ship_too():
    """A shipped fact's completions are 21 templates of 10 samples, and their hits are the fact's."""
    table = workflows.profile(MODEL, "atlas").table
    fact = table[table["level"] == 3].iloc[0]
    rows = workflows.completions(MODEL, "atlas", fact["fact_id"])
    assert rows.groupby("template")["count"].sum().tolist() == [10] * 21
    assert rows.loc[rows["matched"].notna(), "count"].sum() == fact["hits"]
    assert LevelScheme().labels[fact["level"]] == "L3"


def test_other_ways_of_probing_ship_with_what_they_are_worth():
    """On the test facts adaptive levels agree with the full probe as well as a second full probe does, and the likelihood nearly so."""
    trust = workflows.trust(MODEL, "atlas")
    assert trust.facts >= 2_000
    assert {name: found.facts for name, found in trust.agreements.items()} == dict.fromkeys(
        ("second probe", "adaptive", "likelihood"), trust.facts
    )
    assert trust.floor_measured
    assert trust.adaptive_margin[1] > -0.02
    assert trust.agreements["likelihood"].spearman > 0.95
    assert trust.agreements["likelihood"].kappa > 0.85


@pytest.mark.parametrize("model", MODELS)
def test_slicks_levels_ship_with_their_completions(model):
    """600 test facts of each model; a fact of the highest level is one whose ten greedy answers are right."""
    table = workflows.profile(model, "atlas", "test", "all", SLICK).table
    known = table[table["level"].notna()]
    assert len(known) == 600
    assert known["level"].nunique() == len(SLICK.labels)
    fact = known[known["level"] == len(SLICK.labels) - 1].iloc[0]
    rows = workflows.completions(model, "atlas", fact["fact_id"], SLICK)
    assert rows[rows["greedy"]].groupby("template")["count"].sum().tolist() == [1] * 10
    assert rows[rows["greedy"]]["matched"].notna().all()
    assert rows[~rows["greedy"]].groupby("template")["count"].sum().tolist() == [SLICK.sampling.samples] * 10


def test_the_example_run_is_complete():
    """The shipped run has both domains, both baselines, and the command that repeats it."""
    (info,) = [run for run in workflows.runs() if run.shipped]
    run = workflows.run(info.id)
    assert (run.summary.n, run.settings.model, run.settings.source) == (60, MODEL, "atlas")
    assert run.summary.baselines.keys() == {"few_shot", "majority"}
    assert (
        run.manifest["command"]
        == "sftqa train --model atlas-llama --source atlas --n 60 --method full --lr 0.0004 --seed 0 --no-save-model"
    )
    assert len(run.predictions("after")) == len(run.facts())


@pytest.mark.parametrize("kind", [kind for kind, study in STUDIES.items() if not study.recipe])
def test_every_study_ships_whole(kind):
    """All four models, three seeds, every run done; it is found without asking for it by its settings."""
    settings = StudySettings(kind, MODELS)
    assert settings in [study.settings for study in workflows.studies() if study.shipped]
    report = workflows.study_report(settings)
    assert report.done == report.planned > 0
    assert len(settings.seeds) == 3
    assert {finding.about.split(",")[0].split(" and ")[0] for finding in report.findings} <= set(MODELS)
    assert len(report.findings) >= len(MODELS)


@pytest.mark.parametrize("kind", RECIPES.values(), ids=list(RECIPES))
def test_every_recipe_ships_with_its_grid(kind):
    """On one model with three seeds, every run done: whether it beats plain tuning and each control, and chance by the same test."""
    settings = recipe_study(kind(), (MODEL,))
    assert settings in [study.settings for study in workflows.studies() if study.shipped]
    report = workflows.study_report(settings)
    assert report.done == report.planned > 0
    pairs = {(row["setting"], row["against"]) for row in report.tables["claims"]}
    assert {(kind.title, PLAIN_TUNING), (OTHER_SEEDS, PLAIN_TUNING)} <= pairs
    questions = [finding.question for finding in report.findings]
    assert all(any(against.removeprefix(CONTROL) in question for question in questions) for _, against in pairs)
    assert any("Does chance alone do as much?" in question for question in questions)
    assert report.tables["by_level"] or report.tables["own_rows"]


def test_a_shipped_report_is_what_its_cells_say(monkeypatch):
    """Counted anew from the shipped cells and levels the numbers and the words are the same."""
    from sftqa_core.workflows import study_reports

    settings = StudySettings("shift", MODELS)
    kept = workflows.study_report(settings)
    monkeypatch.setattr(study_reports, "_kept_report", lambda name, rule: None)
    fresh = study_reports.study_report(settings)
    assert [finding.verdict for finding in fresh.findings] == [finding.verdict for finding in kept.findings]
    for name, rows in fresh.tables.items():
        for one, other in zip(rows, kept.tables[name], strict=True):
            assert {key: pytest.approx(value) for key, value in one.items()} == other


def test_a_shipped_cell_is_made_again_by_its_settings(workspace):
    """Trained anew from the shipped weights and settings the same test facts are answered rightly."""
    from sftqa_core.progress import Silent
    from sftqa_core.studies.model_study import ModelStudy
    from sftqa_core.workflows.study_runs import StudyRuns

    part = ModelStudy(StudySettings("amount", (MODEL,), device="cpu"), MODEL)
    run = next(run for run in part.grid() if run.n == 10)
    shipped = part.cells.read(run)
    StudyRuns(part, Silent()).finish(run)
    assert not part.cells.folder(run).is_relative_to(workspace.root)  # what is there is not written again
    alone = type(part.cells)(type(workspace)(workspace.root, workspace.root / "nothing"), *list(vars(part.cells).values())[1:])
    part.__dict__["cells"] = alone
    StudyRuns(part, Silent()).finish(run)
    fresh = alone.read(run)
    assert (fresh.n, fresh.counts) == (shipped.n, shipped.counts)
    assert (fresh.table["correct"] != shipped.table["correct"]).mean() <= ANOTHER_MACHINE
