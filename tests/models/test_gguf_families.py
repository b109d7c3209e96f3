"""Models written to a GGUF file and read back say the same: every architecture that is read here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from sftqa_core.errors import ModelUnavailable
from sftqa_core.models.gguf.gguf_models import FAMILIES, gguf_at, refuse_unreadable
from sftqa_core.models.gguf.gguf_reading import read_model
from tests.amount import few
from tests.made_gguf import ROPE, tiny_model, write_gguf

GEMMA = {"head_dim": 16, "tie_word_embeddings": True, "sliding_window": 8}
GEMMA_ROPES = {"full_attention": ROPE, "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0}}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "qwen2": ("qwen2", {"tie_word_embeddings": True}),
    "qwen3": ("qwen3", {"head_dim": 32}),
    "gemma2": ("gemma2", {**GEMMA, "rope_parameters": ROPE}),
    "gemma3": ("gemma3_text", {**GEMMA, "rope_parameters": GEMMA_ROPES, "num_hidden_layers": 7}),
    "phi3": ("phi3", {}),
    "gpt2": ("gpt2", {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128, "tie_word_embeddings": True}),
}


def logits(model: Any) -> torch.Tensor:
    ids = torch.randint(1, 320, (2, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return model.eval()(ids).logits


def read_back(path: Path) -> Any:
    model = gguf_at(path)
    assert model is not None
    return AutoModelForCausalLM.from_pretrained(read_model(model, "tiny"))


def test_every_family_is_tried():
    """The list of what is read holds nothing that is not compared here."""
    assert set(MODELS) == set(FAMILIES)


@pytest.mark.parametrize("architecture", few(MODELS, "llama", "gemma3", "gpt2"))
def test_the_logits_are_the_same(architecture: str, tmp_path: Path):
    """In float32: settings that decide them (positions, norms, windows, heads) are all carried over."""
    kind, changes = MODELS[architecture]
    model = tiny_model(kind, **changes)
    again = read_back(write_gguf(tmp_path / "tiny.gguf", model, architecture))
    torch.testing.assert_close(logits(again), logits(model), rtol=1e-4, atol=1e-4)
    assert again.config.tie_word_embeddings == model.config.tie_word_embeddings


def test_llama_3s_stretched_positions_are_recognised(tmp_path: Path):
    """The file keeps them as a tensor of factors; others than Llama 3's are refused."""
    ropes = {"rope_type": "llama3", "rope_theta": 500_000.0, "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    model = tiny_model(head_dim=64, rope_parameters={**ropes, "original_max_position_embeddings": 8_192})
    plain = 1.0 / 500_000.0 ** (np.arange(0, 64, 2) / 64)
    factors = (plain / model.model.rotary_emb.inv_freq.numpy()).astype(np.float32)
    path = with_tensor(tmp_path / "tiny.gguf", model, factors)
    again = read_back(path)
    assert again.config.rope_parameters["rope_type"] == "llama3"
    assert again.config.rope_parameters["factor"] == 32.0
    torch.testing.assert_close(logits(again), logits(model), rtol=1e-4, atol=1e-4)
    odd = gguf_at(with_tensor(tmp_path / "odd.gguf", model, factors[::-1].copy()))
    assert odd is not None
    with pytest.raises(ModelUnavailable, match="stretches positions by factors of its own"):
        read_model(odd, "odd")


def with_tensor(path: Path, model: Any, factors: np.ndarray) -> Path:
    """`write_gguf` with Llama 3's tensor in it."""
    original = gguf.GGUFWriter.write_header_to_file

    def add_first(writer: Any, *values: Any) -> None:
        writer.add_tensor("rope_freqs.weight", factors)
        original(writer, *values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gguf.GGUFWriter, "write_header_to_file", add_first)
        return write_gguf(path, model)


def test_positions_that_are_stretched_linearly(tmp_path: Path):
    """Gemma 3 from 4B on does it in its layers of full attention."""
    kind, changes = MODELS["gemma3"]
    ropes = {**GEMMA_ROPES, "full_attention": {**ROPE, "rope_type": "linear", "factor": 8.0}}
    model = tiny_model(kind, **{**changes, "rope_parameters": ropes})
    scaling = {"gemma3__rope__scaling__type": "linear", "gemma3__rope__scaling__factor": 8.0}
    path = write_gguf(tmp_path / "tiny.gguf", model, "gemma3", **scaling)
    torch.testing.assert_close(logits(read_back(path)), logits(model), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"llama__rope__scaling__type": "yarn"}, "stretches positions by 'yarn'"),
        ({"llama__expert_count": 8}, "it has experts"),
        ({"llama__logit_scale": 0.5}, "sets llama.logit_scale"),
        ({"llama__pooling_type": 3}, "embedding model"),
        ({"llama__attention__causal": False}, "embedding model"),
        ({"general__type": "adapter"}, "LoRA adapter in a GGUF file"),
        ({"general__type": "mmproj"}, "reads images"),
        ({"general__architecture": "mamba"}, "architecture 'mamba' is not read from GGUF here; llama, qwen2"),
        ({"tokenizer__ggml__model": "bert"}, "its tokenizer ('bert') is not read"),
    ],
)
def test_what_transformers_would_misread_is_refused(settings: dict[str, Any], said: str, tmp_path: Path):
    """Before anything is read, with the reason."""
    model = gguf_at(write_gguf(tmp_path / "tiny.gguf", tiny_model(num_hidden_layers=1), **settings))
    assert model is not None
    with pytest.raises(ModelUnavailable, match="can't be read: ") as refused:
        refuse_unreadable(model, "tiny")
    assert said in str(refused.value)


def test_a_tensor_that_would_be_left_out_is_named(tmp_path: Path):
    """A bias that Llama's reader does not know."""
    model = tiny_model("qwen2", num_hidden_layers=1)
    path = write_gguf(tmp_path / "tiny.gguf", model, "qwen2")
    raw = path.read_bytes().replace(b"qwen2", b"llama")
    path.write_bytes(raw)
    read = gguf_at(path)
    assert read is not None
    with pytest.raises(ModelUnavailable, match=r"3 tensors that transformers would leave out, such as 'blk\.0\.attn_k\.bias'"):
        refuse_unreadable(read, "tiny")
