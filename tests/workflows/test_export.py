"""A tuned model as a folder: it loads with plain libraries and with --model, and answers what the run recorded."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml

from sftqa_core import workflows
from sftqa_core.errors import ArtifactDamaged, NotFound, SettingsError
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.chat_templates import chat_template
from sftqa_core.records import PROMPTS, TrainSettings
from tests.amount import few
from tests.chats import FAMILIES
from tests.workflows.test_training import SCHEME, settings

TEMPLATE = FAMILIES["chatml with a default system text"].template


def train(world, **changes):
    return workflows.run(workflows.train(settings(world, **{"save_model": True, "shots": 0, "learning_rate": 0.02, **changes})).run)


def answers(run, stage):
    return run.predictions(stage).set_index("fact_id")["text"]


WAYS = [("full", False, "qa"), ("full", False, "chat"), ("lora", False, "qa"), ("lora", True, "qa")]


@pytest.mark.parametrize(("method", "merge", "prompt"), few(WAYS, ("full", False, "chat"), ("lora", True, "qa")))
def test_an_exported_model_answers_as_the_run_recorded(world, workspace, tmp_path, method, merge, prompt):
    """Full, adapter and merged adapter alike, by the prompt of the run; the base model answers otherwise."""
    (workspace.models / "tiny" / "chat_template.jinja").write_text(TEMPLATE)
    run = train(world, method=method, prompt=PROMPTS[prompt], epochs=3)
    told = workflows.export(run.id, tmp_path / "out", merge)
    assert ("model.safetensors" in told["files"]) == (method == "full" or merge)
    again = TrainSettings(str(tmp_path / "out"), world, n=0, scheme=SCHEME, shots=0, max_answer_tokens=4, test_limit=99, device="cpu")
    found = workflows.run(workflows.train(TrainSettings(**{**vars(again), "prompt": PROMPTS[prompt]})).run)
    here = answers(run, "after")
    assert len(here) == 8
    assert answers(found, "before").loc[here.index].tolist() == here.tolist() != answers(run, "before").tolist()
    assert chat_template(find_model(str(tmp_path / "out"))).text == TEMPLATE


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft asks transformers for it
def test_plain_libraries_read_it(world, workspace, tmp_path):
    """A model by transformers, an adapter by peft, which names its base; weights are safetensors that others may read."""
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    run = train(world, method="lora")
    workflows.export(run.id, tmp_path / "merged", merge=True)
    workflows.export(run.id, tmp_path / "adapter")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert GenerationConfig.from_pretrained(tmp_path / "merged").eos_token_id == [
        AutoTokenizer.from_pretrained(tmp_path / "merged").eos_token_id
    ]
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == (find_model("tiny").path, None)
    adapted = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "adapter").merge_and_unload()
    name = "model.layers.0.mlp.up_proj.weight"
    assert adapted.state_dict()[name].float().allclose(merged.state_dict()[name].float(), atol=1e-3)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "merged").glob("*.safetensors")} == {0o644}


def test_the_card_tells_what_it_is(world, workspace, tmp_path):
    """Base model, licence, data, accuracy and the command, with a head that model hubs read."""
    run = train(world)
    workflows.export(run.id, tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text()
    head = yaml.safe_load(text.split("---")[1])
    assert head == {"base_model": "tiny", "library_name": "transformers", "pipeline_tag": "text-generation"}
    for told in (
        "# `tiny` tuned on 4 questions",
        "All weights of `tiny`",
        "**Licence.**",
        run.manifest["command"],
        "| in-domain, after | ",
    ):
        assert told in text
    assert json.loads(text.split("```json\n")[1].split("```")[0]) == run.settings.to_dict()
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["kind"], manifest["run"]) == ("export", run.id)


def test_nothing_is_overwritten_and_nothing_is_left_half_written(world, workspace, tmp_path, monkeypatch):
    """A folder that is there stays; when writing fails there is none."""
    run = train(world)
    (tmp_path / "out").mkdir()
    with pytest.raises(SettingsError, match="out exists already and is left as it is"):
        workflows.export(run.id, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    monkeypatch.setattr("sftqa_core.training.exporting.model_card", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        workflows.export(run.id, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_can_not_be_exported_says_why(world, workspace, tmp_path):
    """No weights kept, no adapter to merge, a base model that changed, a damaged run."""
    bare, full, lora = train(world, save_model=False), train(world), train(world, method="lora")
    with pytest.raises(
        NotFound, match=r"did not keep its weights. Train again with them kept: sftqa train --model tiny(?!.*--no-save-model)"
    ):
        workflows.export(bare.id, tmp_path / "out")
    with pytest.raises(SettingsError, match="there is no adapter to merge"):
        workflows.export(full.id, tmp_path / "out", merge=True)
    config = workspace.models / "tiny" / "config.json"
    config.write_text(config.read_text() + "\n")
    with pytest.raises(SettingsError, match=r"tiny is not what run .* was trained on any more: its files have changed"):
        workflows.export(lora.id, tmp_path / "out")
    (full.folder / "model" / "config.json").write_text("{}")
    with pytest.raises(ArtifactDamaged, match=r"not as it was written: model/config.json. Train again: sftqa train"):
        workflows.export(full.id, tmp_path / "out")
    shutil.rmtree(full.folder)
    with pytest.raises(NotFound):
        workflows.export(full.id, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_writes_it(world, workspace, tmp_path, capsys):
    """`sftqa export RUN --out FOLDER --json` prints where and what."""
    from sftqa_core.cli.main import main

    run = train(world)
    with pytest.raises(SystemExit) as stop:
        main(["export", run.id, "--out", str(tmp_path / "out"), "--json"])
    assert stop.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["run"], told["folder"], told["merged"]) == (run.id, str(tmp_path / "out"), False)
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json", "generation_config.json"} <= set(told["files"])
