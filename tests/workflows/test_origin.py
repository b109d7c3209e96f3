"""Every result of a hub model says at which commit it was, and what was tuned at one goes on from that one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants

from sftqa_core import workflows
from sftqa_core.errors import SettingsError
from sftqa_core.models.catalogue import base_card, find_model, origin
from sftqa_core.models.hub.hub_cache import hub_cache
from sftqa_core.models.loading import load_model
from sftqa_core.records import FetchSettings, LevelScheme, ProbeSettings, SamplerSettings, StudySettings, TrainSettings
from tests.families.checkpoints import write_checkpoint, write_facts

NAME = "owner/name"
SCHEME = LevelScheme(sampling=SamplerSettings(samples=1, max_new_tokens=2))
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft asks transformers for it


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint("qwen2", tmp_path_factory.mktemp("checkpoint"))


def tuned(model: str, facts: str) -> TrainSettings:
    return TrainSettings(
        model, facts, n=4, method="lora", learning_rate=0.02, scheme=SCHEME, shots=0, max_answer_tokens=2, test_limit=2, device="cpu"
    )


def test_results_tell_the_commit_and_their_keys_do_not(fake_hub, checkpoint, workspace, tmp_path):
    """A probe, the base model's answers, a run and its adapter; the same weights under another name find the same probe."""
    facts, commit = write_facts(tmp_path / "facts.csv"), fake_hub.put(NAME, checkpoint).branches["main"]
    told = {"name": NAME, "kind": "hub", "revision": commit}
    run = workflows.run(workflows.train(tuned(NAME, facts)).run)
    assert {key: run.manifest["model"][key] for key in told} == told
    assert [json.loads(path.read_text()) for path in workspace.root.glob("completions/*/origin.json")] == [[told]]
    assert [json.loads(path.read_text())["origin"] for path in workspace.root.glob("answers/*/manifest.json")] == [told]
    assert commit not in "".join(path.read_text() for path in workspace.root.glob("completions/*/settings.json"))
    config = json.loads((run.folder / "model" / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == (NAME, commit)
    probing = ProbeSettings(str(checkpoint), facts, split="test", limit=2, scheme=SCHEME, device="cpu")
    assert workflows.forecast(probing).probes_needed == 0
    assert workflows.unreadable_results() == []
    tuned_card = find_model(str(run.folder / "model"))
    assert origin(tuned_card)["base"] == {**told, "name": f"{NAME}@{commit}"}


def test_what_was_tuned_at_a_commit_goes_on_from_it(fake_hub, checkpoint, tmp_path, monkeypatch):
    """The branch moves on: the adapter is loaded, exported and merged with the base that it was trained on; without it, that is told."""
    facts, repository = write_facts(tmp_path / "facts.csv"), fake_hub.put(NAME, checkpoint)
    first = repository.branches["main"]
    run = workflows.run(workflows.train(tuned(f"{NAME}@main", facts)).run)
    files = {path.name: path.read_bytes() for path in checkpoint.iterdir()}
    repository.move({**files, "config.json": files["config.json"] + b"\n"})
    assert workflows.fetch(FetchSettings(NAME)).revision == repository.branches["main"] != first
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    adapter = find_model(str(run.folder / "model"))
    base = base_card(adapter)
    assert base is not None
    assert (base.name, base.revision) == (f"{NAME}@{first}", first)
    load_model(adapter, "cpu")
    workflows.export(run.id, tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == (NAME, first)
    text = (tmp_path / "adapter" / "README.md").read_text()
    assert text.startswith(f"---\nbase_model: {NAME}\n")
    assert f"A LoRA adapter for `{NAME}`, revision `{first}`" in text
    workflows.export(run.id, tmp_path / "merged", merge=True)
    assert find_model(str(tmp_path / "merged")).available
    shutil.rmtree(hub_cache() / "models--owner--name" / "snapshots" / first)
    with pytest.raises(SettingsError, match=rf"was trained on {NAME}@{first}, which is not on this machine: sftqa fetch {NAME}@{first}"):
        workflows.export(run.id, tmp_path / "again")


def test_the_cells_of_a_study_tell_the_commit(fake_hub, checkpoint, workspace, tmp_path):
    """Of a model that was pinned by its name."""
    facts, commit = write_facts(tmp_path / "facts.csv"), fake_hub.put(NAME, checkpoint).branches["main"]
    name = f"{NAME}@{commit}"
    study = StudySettings(
        "amount", (name,), source=facts, sizes=(0, 4), seeds=(0,), scheme=SCHEME, shots=(), test_limit=2, epochs=1, device="cpu"
    )
    workflows.study(study)
    found = [json.loads(path.read_text())["origin"] for path in workspace.root.glob("cells/*/manifest.json")]
    assert found == [{"name": name, "kind": "hub", "revision": commit}] * 2


def test_an_adapter_whose_base_is_not_here_is_probed_all_the_same(fake_hub, checkpoint, workspace, tmp_path):
    """Its base is fetched at the commit that it names."""
    facts, commit = write_facts(tmp_path / "facts.csv"), fake_hub.put(NAME, checkpoint).branches["main"]
    run = workflows.run(workflows.train(tuned(NAME, facts)).run)
    adapter = str(shutil.copytree(run.folder / "model", tmp_path / "adapter"))
    shutil.rmtree(hub_cache())
    probing = ProbeSettings(adapter, facts, split="test", limit=2, scheme=SCHEME, device="cpu")
    assert sum(map(sum, workflows.probe(probing).levels.values())) == 2
    assert find_model(f"{NAME}@{commit}").available
