"""The table of known models: every number in it is counted again."""

from __future__ import annotations

import pytest

from sftqa_core.models import catalogue
from sftqa_core.models.lists import HubModel, hub_models

MODELS = list(hub_models().values())


def _count(model: HubModel, layers: int) -> int:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = dict(model.config)
    name = "n_layer" if "n_layer" in config else "num_hidden_layers"
    kind, _ = config.pop("model_type"), config.pop(name)
    with torch.device("meta"):
        built = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **config, **{name: layers}))
    return sum(parameter.numel() for parameter in built.parameters())


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_parameters_are_those_of_the_architecture(model: HubModel):
    """The library builds one and two layers from the settings, on no device; the rest are as the second."""
    one, two = _count(model, 1), _count(model, 2)
    assert one + (model.shape.layers - 1) * (two - one) == model.parameters


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_matrices_of_the_layers_are_most_of_what_they_hold(model: HubModel):
    """What is held in 4 bits: all of the layers but biases and norms, under a fiftieth."""
    one, two = _count(model, 1), _count(model, 2)
    layer = two - one
    assert 0.98 * layer < model.shape.linear / model.shape.layers <= layer


def test_the_papers_families_and_their_successors_are_known():
    """LLaMA-2 and -3, Qwen-2 and later, and models that fit a laptop; hub ids are such, chat models say so in their name."""
    families = {model.family for model in MODELS}
    assert {"Llama 2", "Llama 3", "Qwen 2", "Qwen 2.5", "Qwen 3"} <= families
    sizes = {model.name: model.parameters for model in MODELS}
    assert {round(sizes[f"meta-llama/Llama-2-{size}b-hf"] / 1e9) for size in (7, 13, 70)} == {7, 13, 69}
    assert sum(model.parameters < 600_000_000 for model in MODELS) >= 6
    assert all(catalogue.find_model(model.name).kind == "hub" for model in MODELS)
    assert {model.name for model in MODELS if model.chat} == {model.name for model in MODELS if model.name.endswith("Instruct")}


def test_terms_have_to_be_accepted_for_llama_and_gemma_alone():
    """As far as this table goes."""
    assert {model.family for model in MODELS if model.gated} == {"Llama 2", "Llama 3", "Gemma 2", "Gemma 3"}
    assert {model.licence for model in MODELS if not model.gated} == {"apache-2.0", "mit", "tongyi-qianwen"}


def test_context_and_download_are_read_from_the_settings():
    """GPT-2 names its context otherwise; float16 takes two bytes, what is not told four."""
    known = hub_models()
    assert (known["openai-community/gpt2"].context, known["meta-llama/Llama-2-7b-hf"].context) == (1_024, 4_096)
    assert known["meta-llama/Llama-2-7b-hf"].size_bytes == 2 * 6_738_415_616
    assert known["openai-community/gpt2"].size_bytes == 4 * 124_439_808


def test_a_known_model_has_its_size_before_it_is_here():
    """So its learning rate and its memory can be told."""
    card = catalogue.find_model("Qwen/Qwen2-0.5B")
    assert (card.available, card.parameters, card.revision) == (False, 494_032_768, None)
    assert catalogue.find_model("nobody/nothing").parameters is None
