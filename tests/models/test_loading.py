"""A model is loaded in one way whatever its folder holds."""

import json
import sys
from pathlib import Path

import pytest

from sftqa_core.errors import MissingPackage, ModelUnavailable, OutOfMemory, SettingsError
from sftqa_core.models.catalogue import find_model, model_fingerprint
from sftqa_core.models.loading import encode_prompts, explained, load_model, without_stale_warning

HOSTILE = {"do_sample": True, "top_p": 0.9, "top_k": 5, "repetition_penalty": 1.1, "no_repeat_ngram_size": 2, "min_new_tokens": 9}


def _change_config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def test_half_precision_file_is_loaded_as_float32(tiny_folder: Path):
    """On CPU the weights are float32 though the file holds fp16, and the identity says so."""
    loaded = load_model(find_model(str(tiny_folder)), "cpu")
    assert str(next(loaded.model.parameters()).dtype) == "torch.float32"
    assert not loaded.model.training
    assert (loaded.dtype, loaded.device) == ("float32", "cpu")
    assert loaded.fingerprint == model_fingerprint(loaded.card, "float32", "cpu")


def test_prompts_start_with_what_the_tokenizer_puts_there(tiny_folder: Path):
    """Each prompt is the beginning token and the text, as the tokenizer alone would give it."""
    loaded = load_model(find_model(str(tiny_folder)), "cpu")
    assert loaded.bos_ids == [0]
    assert encode_prompts(loaded, ["Velor was", ""]) == [loaded.tokenizer("Velor was")["input_ids"], [0]]
    assert encode_prompts(loaded, []) == []
    assert (loaded.end_ids, loaded.pad_id) == ((0,), 1)


def test_tokenizer_without_a_beginning_token_adds_none(tiny_folder: Path):
    """A model whose tokenizer puts nothing in front, and even an end token behind, gets the bare text."""
    content = json.loads((tiny_folder / "tokenizer.json").read_text())
    content["post_processor"]["single"].reverse()
    (tiny_folder / "tokenizer.json").write_text(json.dumps(content))
    loaded = load_model(find_model(str(tiny_folder)), "cpu")
    assert loaded.tokenizer("Velor")["input_ids"][-1] == 0
    assert loaded.bos_ids == []
    assert 0 not in encode_prompts(loaded, ["Velor"])[0]


def test_hostile_generation_settings_are_replaced(tiny_folder: Path):
    """Nothing of the model's own generation settings is left: greedy output equals the plain argmax."""
    import torch

    (tiny_folder / "generation_config.json").write_text(json.dumps(HOSTILE))
    loaded = load_model(find_model(str(tiny_folder)), "cpu")
    left = {key: value for key, value in loaded.model.generation_config.to_diff_dict().items() if key != "transformers_version"}
    assert left == {"eos_token_id": [0], "pad_token_id": 1, "do_sample": False}
    ids = torch.tensor(encode_prompts(loaded, ["Velor was born"]))
    made = loaded.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=6)[0].tolist()
    plain = ids[0].tolist()
    while len(plain) < len(made):
        plain.append(int(loaded.model(torch.tensor([plain])).logits[0, -1].argmax()))
    assert made == plain


def test_program_code_in_a_folder_is_never_run(tiny_folder: Path, tmp_path: Path):
    """A model type that only the folder's own code knows is refused, and the code stays unread."""
    trace = tmp_path / "ran"
    (tiny_folder / "code.py").write_text(f"open({str(trace)!r}, 'w')")
    _change_config(tiny_folder, auto_map={"AutoConfig": "code.C", "AutoModelForCausalLM": "code.M"}, model_type="never-heard")
    with pytest.raises(ModelUnavailable, match="brings its own program code"):
        load_model(find_model(str(tiny_folder)), "cpu")
    assert not trace.exists()


def test_known_type_with_extra_code_loads_without_it(tiny_folder: Path, tmp_path: Path):
    """auto_map on a type that transformers knows is ignored."""
    trace = tmp_path / "ran"
    (tiny_folder / "code.py").write_text(f"open({str(trace)!r}, 'w')")
    _change_config(tiny_folder, auto_map={"AutoModelForCausalLM": "code.M"})
    assert type(load_model(find_model(str(tiny_folder)), "cpu").model).__name__ == "LlamaForCausalLM"
    assert not trace.exists()


@pytest.mark.parametrize("kind", ["t5", "never-heard", None])
def test_other_kinds_of_model_are_refused(tiny_folder: Path, kind: str | None):
    """A type that is no causal language model is named."""
    _change_config(tiny_folder, model_type=kind)
    with pytest.raises(ModelUnavailable, match=f"of type {kind!r}"):
        load_model(find_model(str(tiny_folder)), "cpu")


def test_missing_weights_are_not_made_up(tiny_folder: Path):
    """A layer that the file does not hold is an error: transformers would fill it with random numbers."""
    _change_config(tiny_folder, num_hidden_layers=2, layer_types=["full_attention"] * 2)
    with pytest.raises(ModelUnavailable, match=r"lacks 9 of the model's weights \(model\.layers\.1"):
        load_model(find_model(str(tiny_folder)), "cpu")


def test_model_without_tokenizer_is_told(tiny_folder: Path):
    """A missing tokenizer gives one sentence, not a traceback."""
    for path in tiny_folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ModelUnavailable, match="could not be loaded"):
        load_model(find_model(str(tiny_folder)), "cpu")


def test_unknown_hub_model_offline_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Offline, a hub id that is not here says so and what helps."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelUnavailable, match=r"not on this machine and the hub can't be reached.*pick the folder"):
        load_model(find_model("nobody-owns-this/model-at-all"), "cpu")


def test_missing_torch_names_the_command(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Without torch the message is the command that installs it."""
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingPackage, match="pip install torch"):
        load_model(find_model(str(tiny_folder)), "cpu")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")])
def test_no_room_becomes_out_of_memory(error: Exception):
    """Both of torch's and Python's ways to say it give the same advice."""
    with pytest.raises(OutOfMemory, match="smaller model"), explained("big"):
        raise error


def test_unknown_device_is_refused(tiny_folder: Path):
    """A device must be one of three words."""
    with pytest.raises(SettingsError, match="auto, cpu, cuda, rocm or mps, got 'tpu'"):
        load_model(find_model(str(tiny_folder)), "tpu")


def test_adapter_is_merged_into_its_base(tiny_folder: Path, tmp_path: Path):
    """A folder that peft wrote loads as base plus adapter."""
    import torch
    from peft import LoraConfig, get_peft_model

    base = load_model(find_model(str(tiny_folder)), "cpu")
    ids = torch.tensor([[0, 5, 6]])
    before = base.model(ids).logits
    with without_stale_warning():
        tuned = get_peft_model(base.model, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    tuned.peft_config["default"].base_model_name_or_path = str(tiny_folder)
    expected = tuned(ids).logits
    tuned.save_pretrained(tmp_path / "adapter")
    loaded = load_model(find_model(str(tmp_path / "adapter")), "cpu")
    assert loaded.fingerprint.adapter is not None
    assert torch.allclose(loaded.model(ids).logits, expected, atol=1e-5)
    assert not torch.allclose(before, expected, atol=1e-3)
