"""The way of a person with a model of the hub: pick, preflight, fetch, find, load; from the command line and in the background."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import constants

from sftqa_core import workflows
from sftqa_core.cli.main import main
from sftqa_core.errors import ModelUnavailable, SettingsError
from sftqa_core.jobs.lease import device_lease
from sftqa_core.jobs.local import LocalExecutor
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.loading import load_model
from sftqa_core.planning.preflight_model import look_at
from sftqa_core.records import FetchSettings
from tests.families.checkpoints import write_checkpoint
from tests.jobs.job_processes import FAST, end_processes, until

NAME = "owner/name"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint("qwen2", tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def adapter(checkpoint: Path) -> dict[str, bytes]:
    """Files of an adapter of zeros on a revision of `NAME` that the test fills in."""
    import torch
    from safetensors.torch import save

    shape = json.loads((checkpoint / "config.json").read_text())["hidden_size"]
    layer = "base_model.model.model.layers.0.self_attn.q_proj"
    weights = {f"{layer}.lora_A.weight": torch.zeros(2, shape), f"{layer}.lora_B.weight": torch.zeros(shape, 2)}
    config = {"peft_type": "LORA", "base_model_name_or_path": NAME, "r": 2, "lora_alpha": 2, "target_modules": ["0.self_attn.q_proj"]}
    return {"adapter_config.json": json.dumps(config).encode(), "adapter_model.safetensors": save(weights)}


def printed(capsys, *words: str) -> tuple[int, dict]:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--json"])
    return int(ended.value.code or 0), json.loads(capsys.readouterr().out)


def test_a_model_goes_from_the_hub_into_memory(fake_hub, checkpoint, capsys):
    """Before, the hub's page is looked at; afterwards nothing has to be asked, at the command line neither."""
    commit = fake_hub.put(NAME, checkpoint).branches["main"]
    before = {check.name: check.said for check in look_at(NAME).checks}
    assert before["model"].startswith(f"{NAME} is not on this machine yet; the hub has it")
    status, told = printed(capsys, "fetch", NAME)
    assert (status, told["revision"], told["available"]) == (0, commit, True)
    fake_hub.asked.clear()
    assert "is on this machine with all its weights" in {check.name: check.said for check in look_at(NAME).checks}["model"]
    assert load_model(find_model(NAME), "cpu").card.revision == commit
    assert fake_hub.asked == []


def test_what_cannot_be_fetched_is_told(fake_hub, checkpoint, capsys):
    """A model that is no hub's, one the hub does not have, one that is no model's name."""
    for name, message in {
        "atlas-llama": "model must be a hub id",
        str(checkpoint): "is on this machine already (folder)",
        "owner/missing": "The hub has no model",
        f"{NAME}@../x": "a branch, a tag or a commit of 40 digits must follow @",
    }.items():
        status, told = printed(capsys, "fetch", name)
        assert status == 1
        assert message in told["error"]
    with pytest.raises(SettingsError, match="model must be a hub id"):
        FetchSettings("gpt2")


def test_a_model_that_is_here_stays_usable_whatever_the_hub_says(fake_hub, checkpoint, monkeypatch):
    """A branch is asked for anew; a commit never; a hub out of reach or out of patience is only logged."""
    repository = fake_hub.put(NAME, checkpoint)
    first = repository.branches["main"]
    workflows.fetch(FetchSettings(NAME))
    repository.trouble = "limited"
    assert workflows.fetch(FetchSettings(NAME)).revision == first
    fake_hub.asked.clear()
    assert workflows.fetch(FetchSettings(f"{NAME}@{first}")).revision == first
    assert fake_hub.asked == []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert workflows.fetch(FetchSettings(NAME)).revision == first
    with pytest.raises(ModelUnavailable, match="hub can't be reached"):
        workflows.fetch(FetchSettings("owner/other"))


def test_an_adapter_brings_the_revision_of_its_base_that_it_names(fake_hub, checkpoint, adapter, tmp_path, monkeypatch):
    """Not main, which has moved on; where that revision can't be had, the sentence names both."""
    repository = fake_hub.put(NAME, checkpoint)
    first = repository.branches["main"]
    repository.move({"config.json": b"{}", "model.safetensors": b""})
    config = json.loads(adapter["adapter_config.json"])
    fake_hub.put("owner/adapter", {**adapter, "adapter_config.json": json.dumps({**config, "revision": first}).encode()})
    card = workflows.fetch(FetchSettings("owner/adapter"))
    assert (card.kind, card.architecture, card.note) == ("hub", "lora adapter", f"Adapter for {NAME} at {first}.")
    assert find_model(NAME).path is None
    assert find_model(f"{NAME}@{first}").available
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert load_model(card, "cpu").card.name == "owner/adapter"
    mine = tmp_path / "mine"
    mine.mkdir()
    for name, content in {**adapter, "adapter_config.json": json.dumps({**config, "revision": "v2"}).encode()}.items():
        (mine / name).write_bytes(content)
    with pytest.raises(ModelUnavailable, match=r"mine is an adapter on owner/name@v2, which is not on this machine"):
        load_model(find_model(str(mine)), "cpu")


def test_a_download_in_the_background_waits_for_no_device(fake_hub, checkpoint, workspace):
    """The processor is held by someone else meanwhile, and three can go at once."""
    fake_hub.put(NAME, checkpoint)
    executor = LocalExecutor(workspace, FAST)
    try:
        with device_lease("cpu", "someone else", workspace=workspace):
            job = executor.submit("fetch", FetchSettings(NAME).to_dict())
            assert all(queued.holder is None for queued in executor.queue())
            until(lambda: executor.status(job.id).state in ("done", "failed"))
        done = executor.status(job.id)
        assert (done.state, done.result, done.gpus) == ("done", NAME, 0), done.error
        assert executor.queue() == []
        last = executor.progress_since(job.id)[0][-1]
        assert (last.phase, last.done, last.unit) == ("download", last.total, "bytes")
        assert find_model(NAME).available
    finally:
        end_processes(workspace)
