"""The way of a person with a checkpoint of each family: pick, preflight, forecast, probe, tune, evaluate, read the tuned model again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from sftqa_core import workflows
from sftqa_core.engine.decoder import packs
from sftqa_core.knowledge.sources import open_source
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.loading import LoadedModel, encode_prompts, load_model
from sftqa_core.records import LevelScheme, ProbeSettings, SamplerSettings, TrainSettings
from sftqa_core.training.adapters import state_sha256
from sftqa_core.training.fine_tuning import fine_tune
from tests.amount import FULL
from tests.families.checkpoints import CHECKPOINTS, HOSTILE, tokenizer_of, write_checkpoint, write_facts
from tests.memory.family_models import FAMILIES

# Two that differ in everything: words, beginning and padding, shards, windows, generation settings. The others are loaded and read packed.
WHOLE_WAY = list(CHECKPOINTS) if FULL else ["llama", "qwen2"]
pytestmark = pytest.mark.filterwarnings("error")  # a deprecation is a fault
SCHEME = LevelScheme(sampling=SamplerSettings(samples=2, max_new_tokens=4))


@pytest.fixture(scope="module", params=CHECKPOINTS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(request.param, tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="module")
def loaded(folder: Path) -> LoadedModel:
    return load_model(find_model(str(folder)), "cpu")


@pytest.mark.parametrize("folder", WHOLE_WAY, indirect=True)
def test_a_checkpoint_goes_the_whole_way(folder: Path, tmp_path: Path):
    """Nothing stands in its way, every fact gets a level, both methods train it, and the tuned model answers alike when read again."""
    facts, model = write_facts(tmp_path / "facts.csv"), str(folder)
    card = find_model(model)
    assert (card.kind, card.available) == ("folder", True)
    probing = ProbeSettings(model, facts, split="all", scheme=SCHEME, device="cpu")
    tuning = TrainSettings(
        model, facts, n=6, epochs=2, learning_rate=1e-3, scheme=SCHEME, shots=1, max_answer_tokens=4, batch_size=3, device="cpu"
    )
    for settings in (probing, tuning):
        assert [check.line for check in workflows.preflight(settings).of("problem")] == []
        assert workflows.forecast(settings).problems == ()
    probed = workflows.probe(probing)
    assert (probed.facts, sum(map(sum, probed.levels.values()))) == (13, 13)
    assert workflows.forecast(probing).probes_needed == 0
    for method in ("lora", "full"):
        summary = workflows.train(replace(tuning, method=method))
        assert summary.n == 6
        assert {stage: set(part) for stage, part in (("before", summary.before), ("after", summary.after))} == {
            "before": {"in", "out"}, "after": {"in", "out"},
        }  # fmt: skip
        run = workflows.run(summary.run)
        assert run.manifest["training"]["steps"] == 4
        again = workflows.run(workflows.train(replace(tuning, model=str(run.folder / "model"), n=0, shots=0, save_model=False)).run)
        tuned, read = run.predictions("after"), again.predictions("before")
        assert read["fact_id"].tolist() == tuned["fact_id"].tolist()
        assert read["text"].tolist() == tuned["text"].tolist()


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("folder", WHOLE_WAY, indirect=True)
def test_the_same_settings_give_the_same_weights(loaded: LoadedModel, tmp_path: Path, method: str):
    """Tuned twice with one seed every number is the same; the base model is left alone."""
    facts = open_source(write_facts(tmp_path / "facts.csv")).facts.query("split == 'train'").reset_index(drop=True)
    settings = TrainSettings("any", n=6, method=method, learning_rate=1e-2, batch_size=3, save_model=False, device="cpu")
    before = state_sha256(loaded.model.state_dict())

    first, second = (fine_tune(loaded, facts, settings, tmp_path / "run").loaded for _ in range(2))
    assert state_sha256(first.model.state_dict()) == state_sha256(second.model.state_dict()) != before
    assert state_sha256(loaded.model.state_dict()) == before


def test_what_is_in_the_folder_is_what_is_loaded(folder: Path, loaded: LoadedModel):
    """Beginning, end and padding are the tokenizer's, numbers are float32 whatever the file holds, heads are tied or not as it says;
    read in packed form it gives its own logits."""
    made = CHECKPOINTS[folder.name]
    assert loaded.card.parameters == sum(parameter.numel() for parameter in loaded.model.parameters())
    words = tokenizer_of(made.words, made.start, made.pad)
    assert loaded.bos_ids == ([words.bos_token_id] if made.start else [])
    assert loaded.end_ids[0] == words.eos_token_id
    assert loaded.pad_id == (words.eos_token_id if words.pad_token_id is None else words.pad_token_id)
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}
    assert encode_prompts(loaded, ["p17 test 1"])[0] == [*loaded.bos_ids, *words("p17 test 1", add_special_tokens=False)["input_ids"]]
    head, embeddings = loaded.model.get_output_embeddings().weight, loaded.model.get_input_embeddings().weight
    assert (head.data_ptr() == embeddings.data_ptr()) == bool(loaded.model.config.tie_word_embeddings)
    assert packs(loaded) is FAMILIES[made.family].packs


def test_the_checkpoints_hold_what_real_ones_do(tmp_path: Path):
    """Several files with an index, bfloat16 numbers, tied and untied heads, and windows shorter than the prompts are among them."""
    sharded = write_checkpoint("llama", tmp_path)
    index = json.loads((sharded / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 2
    assert not (sharded / "model.safetensors").exists()
    with safe_open(write_checkpoint("llama-3", tmp_path) / "model.safetensors", "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.bfloat16}  # noqa: SIM118 - no mapping
    config = json.loads((write_checkpoint("mistral", tmp_path) / "config.json").read_text())
    assert config["sliding_window"] == 5


@pytest.mark.parametrize("name", [name for name, made in CHECKPOINTS.items() if made.hostile])
def test_a_folders_generation_settings_change_nothing(name: str, tmp_path: Path):
    """Temperatures, penalties, beams, suppressed and forced tokens of the folder are replaced before anything is generated."""
    loaded = load_model(find_model(str(write_checkpoint(name, tmp_path))), "cpu")
    left = loaded.model.generation_config
    assert {key for key, value in HOSTILE.items() if key != "eos_token_id" and getattr(left, key, None) == value} == set()
    assert left.eos_token_id == list(loaded.end_ids)
