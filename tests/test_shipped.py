"""What ships is whole, small enough, and what its own model says."""

from __future__ import annotations

import pytest

from sftqa_core import workflows
from sftqa_core.artifacts import damaged_files, read_manifest
from sftqa_core.records import LevelScheme, ProbeSettings
from sftqa_core.workspace import shipped_folder

MODEL = "atlas-llama"
SAMPLE = 24  # facts that are probed again: one of each relation
MOST_BYTES = 9_000_000


def test_shipped_files_match_their_manifests():
    """The folder's manifest, the model's and the run's each name every file with its checksum."""
    folders = [shipped_folder(), shipped_folder() / "models" / MODEL, *sorted((shipped_folder() / "runs").iterdir())]
    assert len(folders) >= 3
    for folder in folders:
        assert damaged_files(folder) == []
        assert read_manifest(folder)["files"].keys() == {
            path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path != folder / "manifest.json"
        }


def test_shipped_files_stay_small():
    """All of it takes at most 9 MB."""
    assert sum(path.stat().st_size for path in shipped_folder().rglob("*") if path.is_file()) <= MOST_BYTES


@pytest.mark.parametrize("domain", ["in", "out"])
def test_every_level_holds_its_share(domain):
    """Each level has at least 5% of a domain's facts, 80 of its test facts and, in domain, 240 train facts."""
    table = workflows.profile(MODEL, "atlas", "all", domain).table
    assert table["level"].notna().all()
    assert table["level"].value_counts(normalize=True).reindex(range(5), fill_value=0).min() >= 0.05
    assert table[table["split"] == "test"]["level"].value_counts().reindex(range(5), fill_value=0).min() >= 80
    if domain == "in":
        assert table[table["split"] == "train"]["level"].value_counts().reindex(range(5), fill_value=0).min() >= 240


def test_probing_again_with_the_reloaded_file_gives_the_shipped_levels(workspace):
    """Facts of every relation, sampled anew from the shipped weights, get the shipped hits and levels.

    Another processor may add numbers in another order and tip a near-tie, so two hits of 210 may differ.
    """
    from sftqa_core.memory.probing import probe_facts
    from sftqa_core.models.catalogue import find_model
    from sftqa_core.models.loading import load_model
    from sftqa_core.workflows.probing import chosen_facts
    from sftqa_core.workflows.reading import open_for
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
