"""`sftqa models`: the table, and models that are added to it."""

import json

import pytest

from sftqa_core.cli.main import main
from sftqa_core.models import devices
from sftqa_core.models.devices import DeviceRam


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """16 GB of which 6 are free, no GPU, an empty hub cache."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(devices, "device_ram", lambda device: DeviceRam(6 * 10**9, 16 * 10**9) if device == "cpu" else None)


def run(capsys, *words, status=0):
    with pytest.raises(SystemExit) as ended:
        main(["models", *words])
    assert ended.value.code == status
    return capsys.readouterr().out


def test_what_is_here_stands_first_with_marks_for_what_does_not_fit(capsys):
    """A line a model: parameters, licence, memory; a star where memory must be freed, two where there is too little."""
    lines = run(capsys, "--device", "cpu").splitlines()
    assert lines[1].split()[:3] == ["atlas-llama", "built-in", "2.3M"]
    found = {words[0]: words for line in lines if (words := line.split())}
    assert found["meta-llama/Llama-2-7b-hf"][1:4] == ["gated", "6.7B", "llama2"]
    assert "".join(found["meta-llama/Llama-2-7b-hf"][-2:]) == "139GB**"
    assert "".join(found["Qwen/Qwen2-0.5B"][-2:]) == "12GB*"
    assert "6.0 GB of 16 GB are free" in "\n".join(lines)
    assert "gated: accept the model's terms" in lines[-1]


def test_memory_of_another_device_is_told_in_4_bits_too(capsys):
    """Llama-2 7B by LoRA in 4 bits on a GPU that this machine does not have."""
    told = json.loads(run(capsys, "--device", "cuda", "--json"))
    assert (told["device"], told["total"]) == ("cuda", None)
    llama = next(model for model in told["models"] if model["name"] == "meta-llama/Llama-2-7b-hf")
    assert [need["work"] for need in llama["needs"]] == ["probe", "lora", "lora_4bit", "full"]
    assert 6e9 < llama["needs"][2]["size_bytes"] < 7e9
    assert "must be" in json.loads(run(capsys, "--device", "toaster", "--json", status=1))["error"]


def test_a_model_is_added_and_taken_off(capsys):
    """Both say what they did; what can be no model is refused."""
    assert "owner/small was added to the list (not on this machine yet" in run(capsys, "--add", "owner/small")
    listed = {model["name"]: model for model in json.loads(run(capsys, "--json"))["models"]}
    assert (listed["owner/small"]["state"], listed["owner/small"]["added"], listed["owner/small"]["revision"]) == ("not asked", True, None)
    assert "owner/small not asked ? ? - - - -" in " ".join(run(capsys).split())
    assert json.loads(run(capsys, "--remove", "owner/small", "--json")) == {"removed": "owner/small", "notes": []}
    assert "not among the added models" in json.loads(run(capsys, "--remove", "owner/small", "--json", status=1))["error"]
    assert "There is no model named" in json.loads(run(capsys, "--add", "no such", "--json", status=1))["error"]


def test_a_damaged_list_is_told(capsys, workspace):
    """Under the table, and again with its new name when a model is added."""
    workspace.root.mkdir(parents=True)
    workspace.added_models.write_text("{")
    assert "added_models.json, the list of added models, can't be read" in run(capsys)
    assert "kept unchanged as added_models.json.damaged" in run(capsys, "--add", "owner/small")


def adapter(folder, base):
    """An adapter for a built-in model, whose files name a folder that is not here."""
    weights = {
        "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": {"dtype": "F32", "shape": [1, 192], "data_offsets": [0, 768]}
    }
    header = json.dumps(weights).encode()
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(768))
    settings = {"peft_type": "LORA", "base_model_name_or_path": base, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


def test_the_base_of_an_adapter_can_be_named(capsys, tmp_path):
    """The list says what is missing and how to name it; with --base the adapter is usable."""
    folder = adapter(tmp_path / "adapter", "/gone/base")
    assert "was added to the list" in run(capsys, "--add", str(folder))
    told = run(capsys)
    assert f"{folder} is an adapter, and its base model is not at /gone/base" in told
    assert f"sftqa models --add {folder} --base FOLDER" in told
    run(capsys, "--add", str(folder), "--base", "atlas-llama")
    (row,) = (model for model in json.loads(run(capsys, "--json"))["models"] if model["name"] == str(folder))
    assert row["state"] == "here"
    with pytest.raises(SystemExit):
        main(["models", "--base", "atlas-llama"])
    assert "Name the adapter: --add FOLDER --base MODEL." in capsys.readouterr().err
