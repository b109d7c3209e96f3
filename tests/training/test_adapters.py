"""LoRA sits on the linear layers that a model has, whatever its family calls them."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers.pytorch_utils import Conv1D

from sftqa_core.errors import SettingsError
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.loading import load_model
from sftqa_core.records import TrainSettings
from sftqa_core.training.adapters import linear_layers, lora_config, lora_modules, short_names, trainable
from tests.memory.family_models import FAMILIES, build

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
GATED = [*ATTENTION, "gate_proj", "up_proj", "down_proj"]
NAMES = {
    "llama": GATED,
    "llama-grouped-untied": GATED,
    "mistral-window": GATED,
    "qwen2-window": GATED,
    "qwen3": GATED,
    "gemma": GATED,
    "gemma2-softcap": GATED,
    "gemma3": GATED,
    "gpt-neox": ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"],
    "phi": ["q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"],
    "phi3-window": ["o_proj", "qkv_proj", "gate_up_proj", "down_proj"],
    "gpt2": ["c_attn", "c_proj", "c_fc"],
    "falcon": ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"],
}


@pytest.mark.parametrize("family", NAMES)
def test_every_familys_own_names_are_found(family):
    """Queries, keys, values, outputs and feed-forward layers, joined or apart; never the output head."""
    model = build(family).model
    assert sorted(short_names(model, linear_layers(model))) == sorted(NAMES[family])


@pytest.mark.parametrize("family", [name for name, one in FAMILIES.items() if one.packs or name.startswith(("falcon", "bloom"))])
def test_all_linear_layers_but_the_head_are_trained_and_nothing_else(family):
    """Each has two small matrices that get gradients; every number of the base model is frozen."""
    loaded = build(family)
    model = trainable(loaded.model, TrainSettings("m", method="lora", lora_rank=2))
    trained = {name.partition("base_model.model.")[2].partition(".lora_")[0] for name, p in model.named_parameters() if p.requires_grad}
    head = loaded.model.get_output_embeddings()
    linear = {n for n, module in loaded.model.named_modules() if isinstance(module, (torch.nn.Linear, Conv1D)) and module is not head}
    assert trained == linear == set(linear_layers(loaded.model))
    assert sorted(lora_modules(model)) == sorted(short_names(loaded.model, linear_layers(loaded.model)))
    assert all(parameter.requires_grad == (".lora_" in name) for name, parameter in model.named_parameters())


@pytest.mark.parametrize("name", ["atlas-llama", "atlas-qwen", "atlas-neox"])
def test_adapters_begin_as_those_did_that_ship(name):
    """The same seed gives the same small matrices as peft's own choice of all linear layers, with which the studies were made."""
    model = load_model(find_model(name), "cpu").model
    starts = []
    for config in (lora_config(model, 8), LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")):
        torch.manual_seed(5)
        adapted = get_peft_model(model, config)
        starts.append({key: value.clone() for key, value in adapted.state_dict().items() if ".lora_" in key})
        model = adapted.unload()
    assert starts[0].keys() == starts[1].keys()
    assert all(torch.equal(starts[0][key], starts[1][key]) for key in starts[0])


def test_a_name_that_means_something_else_too_is_told_in_full():
    """Where a layer that must stay out ends in the same word, whole names are used."""

    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.ModuleDict({"proj": torch.nn.Linear(2, 2)})
            self.head = torch.nn.ModuleDict({"proj": torch.nn.Linear(2, 2)})

        def get_output_embeddings(self):
            return self.head["proj"]

    model = Odd()
    assert linear_layers(model) == ["inner.proj"]
    assert short_names(model, ["inner.proj"]) == ["inner.proj"]


def test_a_model_without_linear_layers_is_told():
    """In a sentence with what to choose instead."""

    class Bare(torch.nn.Module):
        def get_output_embeddings(self):
            return None

    with pytest.raises(SettingsError, match=r"Bare has no linear layers that LoRA could sit on\. Choose method full"):
        lora_config(Bare(), 8)
