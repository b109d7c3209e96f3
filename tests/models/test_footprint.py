"""Footprints from a configuration: arithmetic that follows what torch really keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sftqa_core.errors import SettingsError
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.footprint import NF4, Shape, TuningStep, answering, coarse, decoding, prompts_at_once, tuning, weight_bytes
from sftqa_core.models.model_files import ModelFolder
from tests.amount import spread

LLAMA = {
    "model_type": "llama", "hidden_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 2,
    "intermediate_size": 1_376, "vocab_size": 8_000, "rms_norm_eps": 1e-6, "hidden_act": "silu", "dtype": "float32",
}  # fmt: skip
NEOX = {
    "model_type": "gpt_neox", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3_072,
    "vocab_size": 50_304, "layer_norm_eps": 1e-5, "hidden_act": "gelu", "use_parallel_residual": True, "torch_dtype": "float16",
}  # fmt: skip


def shape(config: dict[str, Any] = LLAMA, parameters: int = 29_000_000) -> Shape:
    found = Shape.of(config, parameters)
    assert found is not None
    return found


def test_the_widths_are_read_from_a_configuration():
    """Llama and GPT-NeoX name the same widths, GPT-2 others; what a number takes in the file, and gates, are told apart."""
    assert (shape().queries, shape().keys, shape().gated, shape().stored_bytes) == (512, 128, True, 4)
    neox = shape(NEOX)
    assert (neox.keys, neox.gated, neox.parallel, neox.fused, neox.stored_bytes) == (768, False, True, True, 2)
    gpt2 = shape({"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50_257})
    assert (gpt2.hidden, gpt2.layers, gpt2.head_size, gpt2.intermediate) == (768, 12, 64, 3_072)
    assert shape({"model_type": "seeing", "text_config": LLAMA}) == shape()


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"hidden_size": "512"},
        {**LLAMA, "num_local_experts": 8},
        {"model_type": "mamba", "hidden_size": 9},
        {**LLAMA, "hidden_size": 10**400},
    ],
)
def test_a_shape_that_is_not_told_is_not_made_up(config):
    """Without widths, or with experts of which some work at a time, there is none."""
    assert Shape.of(config, 1_000) is None


def test_full_fine_tuning_takes_twenty_bytes_a_parameter_and_lora_the_adapter():
    """On a processor: base and copy 8, gradients 4, moments 8; the optimizer steps with two of the largest tensor (32.8 MB) in hand."""
    full = tuning(shape(), "cpu", TuningStep("full", 8, 8, 18))
    largest = 4 * 512 * 8_000
    assert (full.weights, full.gradients, full.optimizer) == (8 * 29_000_000, 4 * 29_000_000, 8 * 29_000_000 + 2 * largest)
    lora = tuning(shape(), "cpu", TuningStep("lora", 8, 8, 18))
    adapter = 8 * 8 * (2 * (512 + 512) + 2 * (512 + 128) + 3 * (512 + 1_376))
    assert (lora.weights, lora.gradients, lora.optimizer) == (4 * (29_000_000 + adapter), 4 * adapter, 8 * adapter + 8 * 8 * 1_376)
    assert lora.total < full.total / 2
    assert tuning(shape(), "cpu", TuningStep("lora", 8, 16, 18)).activations == 2 * lora.activations


def test_a_gpu_holds_the_base_in_half_and_steps_with_all_roots_at_once():
    """bfloat16 base 2 bytes, float32 copy 4; the optimizer's moments 8 and temporaries 4 a parameter."""
    full = tuning(shape(), "cuda", TuningStep("full", 8, 8, 18))
    assert (full.weights, full.optimizer) == (6 * 29_000_000, 12 * 29_000_000)
    assert full.total >= 22 * 29_000_000


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft reads a deprecated name
@pytest.mark.parametrize(("kind", "method"), spread(["llama", "qwen2", "gpt_neox"], ["full", "lora"]))
def test_activations_are_what_autograd_keeps(kind: str, method: str):
    """On a small model, what a forward pass saves for the backward one is within 5% of the formula, without its holes."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    keys = {} if kind == "gpt_neox" else {"num_key_value_heads": 2}
    config = AutoConfig.for_model(
        kind, vocab_size=300, hidden_size=64, intermediate_size=192, num_hidden_layers=6, num_attention_heads=4, **keys
    )
    model = AutoModelForCausalLM.from_config(config).train()
    if method == "lora":
        model = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    saved: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            saved[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    ids = torch.zeros(8, 24, dtype=torch.int64)
    mask = torch.ones_like(ids)
    mask[0, 20:] = 0
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(input_ids=ids, attention_mask=mask, labels=ids, use_cache=False)
    kept = sum(tensor.untyped_storage().nbytes() for tensor in saved.values()) - 4 * 8 * 24 * 300  # without the log-probabilities
    told = tuning(shape(config.to_dict(), 500_000), "cpu", TuningStep(method, 8, 8, 24)).activations / 2
    assert kept == pytest.approx(told, rel=0.05)


def test_probing_counts_keys_logits_and_what_grows():
    """24 prompts, ten rows of 32 tokens: 396 slots a place, 240 rows of logits; where rows stop early, a third of those and fewer slots."""
    all_open = decoding(shape(), "cuda", 24, 10, 24, 32)
    assert all_open.keys_values == 2 * 2 * 8 * 128 * 24 * 396
    assert all_open.logits == 240 * 8_000 * (2 + 8)
    some = decoding(shape(), "cuda", 24, 10, 24, 32, 1 / 3)
    assert some.logits == 80 * 8_000 * (2 + 8)
    assert some.keys_values < all_open.keys_values / 3
    assert decoding(shape(), "cpu", 24, 10, 24, 32).total > decoding(shape(), "cpu", 12, 10, 24, 32).total


def test_answering_counts_one_row_a_question():
    """Logits take 20 bytes on a processor, as log-probabilities are taken in float64; a file's pages are there while it is read."""
    found = answering(shape(), "cpu", 128, 40, 16)
    assert (found.weights, found.logits, found.reading) == (4 * 29_000_000, 128 * 8_000 * 20, 0)
    big = answering(replace(shape(NEOX), parameters=3_000_000_000), "cpu", 1, 8, 1)
    assert (big.reading, big.total, big.least < 12_100_000_000) == (6_000_000_000, 18_000_000_000, True)
    assert answering(shape(NEOX), "cuda", 1, 8, 1).reading == 0


def test_a_processor_may_read_a_second_copy_of_the_matrices():
    """Those of the layers and the output head, in models that are neither small nor large; on a GPU, and in training, there is none."""
    matrices = shape().linear + shape().hidden * shape().vocabulary
    for parameters, copied in ((20_000_000, 0), (29_000_000, 4 * matrices), (600_000_000, 4 * matrices), (600_000_001, 0)):
        sized = replace(shape(), parameters=parameters)
        probing = decoding(sized, "cpu", 24, 10, 24, 32)
        assert (probing.packed, answering(sized, "cpu", 8, 40, 16).packed) == (copied, copied)
        assert probing.total == probing.least == sum((probing.weights, copied, probing.keys_values, probing.activations, probing.logits))
    assert decoding(shape(), "cuda", 24, 10, 24, 32).packed == 0
    assert tuning(shape(), "cpu", TuningStep("full", 8, 8, 24)).packed == 0
    nf4 = decoding(replace(shape(), nf4=True), "cpu", 24, 10, 24, 32)
    assert nf4.packed == 4 * shape().hidden * shape().vocabulary


def test_of_a_number_of_parameters_only_what_it_decides_is_told():
    """Weights; with full fine-tuning the copy, gradients and moments."""
    assert coarse(1_000, "cuda").total == 2_000
    assert coarse(1_000, "cpu", "lora").total == 4_000
    assert coarse(1_000, "cpu", "full").total == 20_000


LLAMA_7B = {
    "model_type": "llama", "hidden_size": 4_096, "num_hidden_layers": 32, "num_attention_heads": 32, "intermediate_size": 11_008,
    "vocab_size": 32_000, "rms_norm_eps": 1e-5, "hidden_act": "silu", "torch_dtype": "float16",
}  # fmt: skip


def test_in_4_bits_the_matrices_take_half_a_byte_and_their_scales():
    """4.127 bits a number of the layers' matrices; Llama-2 7B: 3.34 GB of them, and 0.52 GB of embeddings and norms in 16 bits."""
    assert round(8 * NF4 - 4, 3) == 0.127
    whole = shape(LLAMA_7B, 6_738_415_616)
    assert whole.linear == 32 * (4 * 4_096**2 + 3 * 4_096 * 11_008) == 6_476_005_376
    rest = 2 * (6_738_415_616 - 6_476_005_376)
    assert weight_bytes(whole, "cuda") == 2 * 6_738_415_616
    assert weight_bytes(whole.in_4_bits(), "cuda") == rest + round(6_476_005_376 * (4 + 1 / 8 + 1 / 512) / 8)
    assert round(weight_bytes(whole.in_4_bits(), "cuda") / 1e9, 2) == 3.87


def test_lora_on_4_bits_saves_the_matrices_and_holds_one_of_them_widened():
    """Gradients and moments are the adapter's as ever; full fine-tuning of weights in 4 bits is refused, with the way out."""
    whole = shape(LLAMA_7B, 6_738_415_616)
    lora, in_4_bits = tuning(whole, "cuda", TuningStep("lora", 8, 8, 32)), tuning(whole.in_4_bits(), "cuda", TuningStep("lora", 8, 8, 32))
    saved = weight_bytes(whole, "cuda") - weight_bytes(whole.in_4_bits(), "cuda")
    widened = 2 * 4_096 * 11_008
    assert (in_4_bits.gradients, in_4_bits.optimizer) == (lora.gradients, lora.optimizer)
    assert in_4_bits.activations == lora.activations + widened
    assert lora.weights - in_4_bits.weights == saved
    probing, probed = decoding(whole, "cuda", 24, 10, 24, 32), decoding(whole.in_4_bits(), "cuda", 24, 10, 24, 32)
    assert (probing.weights - probed.weights, probed.keys_values) == (saved, probing.keys_values)
    with pytest.raises(SettingsError, match=r"4 bits can't be tuned themselves\. Choose method lora"):
        tuning(whole.in_4_bits(), "cuda", TuningStep("full", 8, 8, 32))


PROMPTS = [(24, 10, 32), (90, 1, 16), (400, 10, 100), (20_000, 1, 1)]  # length, rows, new tokens


@pytest.mark.parametrize(("name", "prompts"), spread(["atlas-llama", "atlas-qwen", "atlas-neox"], PROMPTS))
def test_as_many_prompts_are_foretold_as_the_probe_takes(name, prompts, monkeypatch):
    """One rule decides for both, by the widths of the configuration or of the loaded model: with much RAM free, and with little."""
    from sftqa_core.engine import capacity
    from sftqa_core.models.loading import load_model

    folder = ModelFolder(Path(find_model(name).path or ""))
    known = shape(folder.config(), folder.parameters())
    loaded = load_model(find_model(name), "cpu")
    for free in (10**11, 10**8):
        monkeypatch.setattr(capacity, "_free_bytes", lambda device, gpus, free=free: free)
        assert prompts_at_once(known, "cpu", *prompts, free) == capacity.at_once(loaded, *prompts)
