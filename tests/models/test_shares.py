"""What each of several GPUs needs."""

from __future__ import annotations

import pytest

from sftqa_core.models.footprint import Shape, TuningStep, decoding, spread_over, tuning, tuning_together

CONFIG = {
    "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336,
    "vocab_size": 128_256, "rms_norm_eps": 1e-5, "dtype": "bfloat16",
}  # fmt: skip
PARAMETERS = 8_030_261_248  # LLaMA-3 8B
SHAPE = Shape.of(CONFIG, PARAMETERS)


def test_a_spread_model_divides_weights_keys_and_values():
    """What one layer has in hand stays whole; on one GPU nothing changes."""
    whole = decoding(SHAPE, "cuda", 16, 10, 40, 32)
    half = spread_over(whole, 2)
    assert spread_over(whole, 1) == whole
    assert (half.weights, half.keys_values) == (whole.weights // 2, whole.keys_values // 2)
    assert (half.activations, half.logits) == (whole.activations, whole.logits)
    assert whole.total - half.total == pytest.approx((whole.weights + whole.keys_values) / 2, abs=2)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_ddp_needs_what_one_gpu_needs_for_its_part_of_the_batch(method):
    """And the gradients once more, in buckets; one GPU alone needs none."""
    part, together = (
        tuning(SHAPE, "cuda", TuningStep(method, 8, 4, 64)),
        tuning_together(SHAPE, "cuda", TuningStep(method, 8, 8, 64), 2, "ddp"),
    )
    assert together.total == part.total + part.gradients
    assert (together.weights, together.optimizer, together.activations) == (part.weights, part.optimizer, part.activations)
    assert tuning_together(SHAPE, "cuda", TuningStep(method, 8, 8, 64), 1, "ddp") == tuning(SHAPE, "cuda", TuningStep(method, 8, 8, 64))


def test_fsdp_divides_weights_gradients_and_moments():
    """Full fine-tuning of 8B parameters: 16 bytes each over eight GPUs, and no base model beside it."""
    eight = tuning_together(SHAPE, "cuda", TuningStep("full", 0, 8, 64), 8, "fsdp")
    assert (eight.weights, eight.gradients) == (4 * PARAMETERS // 8, 4 * PARAMETERS // 8)
    assert eight.total < tuning(SHAPE, "cuda", TuningStep("full", 0, 1, 64)).total / 3
    assert eight.total >= eight.weights + 8 * PARAMETERS // 8 + eight.activations


def test_fsdp_of_an_adapter_divides_the_base_model():
    """It is most of what LoRA needs."""
    four, part = (
        tuning_together(SHAPE, "cuda", TuningStep("lora", 8, 8, 64), 4, "fsdp"),
        tuning(SHAPE, "cuda", TuningStep("lora", 8, 2, 64)),
    )
    assert four.weights == part.weights // 4
    assert four.activations == part.activations
