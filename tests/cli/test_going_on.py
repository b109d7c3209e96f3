"""`sftqa pretrain --from MODEL`: a model goes on reading, and learns facts that it did not know."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from safetensors import safe_open

from sftqa_core import workflows
from sftqa_core.artifacts import read_manifest
from sftqa_core.cli.arguments import parse
from sftqa_core.cli.main import main
from sftqa_core.cli.typed_records import pretrain_settings
from sftqa_core.errors import NotEnoughFacts, SettingsError, Stopped
from sftqa_core.memory import profiles
from sftqa_core.memory.stated_facts import stated_source
from sftqa_core.models import catalogue, makings
from sftqa_core.models.serving.server_limits import refuse_on_server
from sftqa_core.records import LevelScheme, PretrainSettings, ProbeSettings, SamplerSettings
from sftqa_core.records.job import command_of
from tests.models.toy import StopsAfter, weights

TOLD = "--min-exposures 1 --max-exposures 24 --unstated-share 0.2 --contested-share 0.3 --lr 0.002 --batch-size 4"
FEW = LevelScheme(sampling=SamplerSettings(samples=3, max_new_tokens=12))


@pytest.fixture
def facts(tmp_path: Path) -> str:
    """Forty made-up births, half of them test facts."""
    rows = [
        {"relation": "P19", "subject": f"Rudo Malk {at}", "object": f"Port {name}", "split": ("train", "test")[at % 2]}
        for at, name in enumerate(["Amel", "Borin", "Cato", "Dunes", "Elm", "Farro", "Gast", "Hull"] * 5)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "births.csv", index=False)
    return str(tmp_path / "births.csv")


def settings(*words: str) -> PretrainSettings:
    return pretrain_settings(parse(["pretrain", *words]), workflows.built_in_models())


def test_it_keeps_what_the_model_is_and_learns_what_it_reads(facts, workspace, capsys):
    """Architecture and tokenizer are the base's; facts that the text states are known better than before; the record says what was
    stated, in which wordings, and what was gone on from."""
    with pytest.raises(SystemExit) as ended:
        main(["pretrain", "taught", "--from", "atlas-llama", "--source", facts, *TOLD.split(), "--epochs", "6", "--json"])
    out = capsys.readouterr()
    assert ended.value.code == 0, out.err
    assert "40 facts, " in out.err.splitlines()[0]
    made, base = catalogue.find_model("taught"), catalogue.find_model("atlas-llama")
    assert json.loads(out.out)["parameters"] == made.parameters == base.parameters
    tokenizers = [(Path(card.path or "") / "tokenizer.json").read_bytes() for card in (made, base)]
    assert json.loads(tokenizers[0])["model"] == json.loads(tokenizers[1])["model"]
    with safe_open(Path(made.path or "") / "model.safetensors", "np") as tensors:
        assert {tensors.get_slice(name).get_dtype() for name in tensors.keys()} == {"F32"}  # noqa: SIM118, it is no mapping
    manifest = read_manifest(Path(made.path or ""))
    assert manifest["base"]["name"] == "atlas-llama"
    assert manifest["base"]["weights"] == catalogue.model_fingerprint(base, "", "").weights
    assert manifest["corpus"]["documents"] == {"statements": manifest["corpus"]["documents"]["statements"], "questions": 0, "filler": 0}
    read = catalogue.exposures(made)
    assert read is not None
    own = read[read["fact_id"].isin(profiles.open_source(facts).facts["fact_id"])]
    assert not own["carrier"].any()
    assert 0 < own["contested"].sum() < 20
    assert len(catalogue.seen_templates(made)["P19"]) >= 14  # with those that the base model's text used
    scores = {}
    for name in ("taught", "atlas-llama"):
        workflows.probe(ProbeSettings(name, facts, "all", scheme=FEW))
        scores[name] = profiles.level_table(name, facts, FEW).table.set_index("fact_id")["score"]
    before = catalogue.exposures(base)
    assert before is not None
    assert len(read) == len(before) + 40  # what the base model had read it has read, too
    read = read[~read["fact_id"].isin(before["fact_id"])]
    often = read.loc[(read["exposures"] >= 8) & ~read["contested"], "fact_id"]
    assert scores["taught"][often].mean() > scores["atlas-llama"][often].mean() + 0.1


def test_stopped_and_resumed_gives_the_same_weights(facts, workspace):
    """As from nothing."""
    whole = replace(settings("whole", "--from", "atlas-llama", "--source", facts, *TOLD.split()), warmup_steps=2)
    stopped = replace(whole, name="stopped")
    workflows.pretrain(whole)
    with pytest.raises(Stopped):
        workflows.pretrain(stopped, StopsAfter(5))
    workflows.pretrain(stopped)
    assert weights(workspace.models / "whole") == weights(workspace.models / "stopped")


def test_only_facts_of_some_levels_are_stated(workspace):
    """Those that were probed and lie there, with an identity of their own; a level that there is not, or that is empty, is told."""
    wanted = PretrainSettings.going_on("taught", "atlas-llama")
    unknown = stated_source(replace(wanted, base_levels=("L0",)))
    known = profiles.level_table("atlas-llama", "atlas").table
    assert set(unknown.facts["fact_id"]) == set(known.loc[known["level"] == 0, "fact_id"])
    assert unknown.fingerprint != stated_source(wanted).fingerprint
    with pytest.raises(SettingsError, match="Levels are L0, L1, L2, L3, L4, got"):
        stated_source(replace(wanted, base_levels=("L9",)))
    nothing = replace(wanted, source="entity-questions-sample", base_levels=("L0",))
    with pytest.raises(NotEnoughFacts, match=r"None of the 0 facts .* Probe it first: sftqa probe --model atlas-llama"):
        stated_source(nothing)


def test_sizes_are_the_base_models(workspace):
    """They can't be typed beside it; levels need a model that they are levels of."""
    with pytest.raises(SettingsError, match="hidden_size and layers can't be set for a model that goes on from atlas-llama"):
        settings("taught", "--from", "atlas-llama", "--hidden-size", "64", "--layers", "2")
    with pytest.raises(SettingsError, match=r"name it \(--from\)"):
        settings("taught", "--from-levels", "L0")


@pytest.mark.parametrize("words", ["", "--optimizer muon", "--qa-documents 10000", "--from-levels L0,L1 --seed 3", "--lr 0.008"])
def test_the_command_of_settings_gives_them_again(words):
    """Also where a value is another model's usual one."""
    made = settings("taught", "--from", "atlas-llama", *words.split())
    assert settings(*shlex.split(command_of(made))[2:]) == made


def test_another_base_makes_another_model(facts, workspace):
    """A model of the same settings whose base has changed since is another one, and is not replaced."""
    made = settings("taught", "--from", "atlas-llama", "--source", facts, *TOLD.split())
    workflows.pretrain(made)
    card, of = catalogue.find_model("taught"), stated_source(made).fingerprint
    assert makings.same_making(card, made, of)
    changed = replace(card, details={**card.details, "base": {**card.details["base"], "weights": "other"}})
    assert not makings.same_making(changed, made, of)
    with pytest.raises(SettingsError, match="was made with other settings or facts"):
        workflows.pretrain(replace(made, base="atlas-llama-sparse"))


def test_what_it_takes_is_told_before(facts, workspace):
    """Size, memory and time of the base model; one that is not there stops it before any work."""
    made = settings("taught", "--from", "atlas-llama", "--source", facts)
    cost = workflows.forecast(made)
    assert cost.pretraining is not None
    assert cost.pretraining.parameters == catalogue.find_model("atlas-llama").parameters
    assert cost.fit is not None
    report = workflows.preflight(replace(made, base="nobody/nothing-here"))
    assert [check.name for check in report.checks if check.state == "problem"] == ["model"]
    served = catalogue.ModelCard("http://localhost:8000/v1#m", catalogue.SERVER, None, True)
    with pytest.raises(SettingsError, match="does not give its weights, so no model can go on from it"):
        refuse_on_server(served, made)
