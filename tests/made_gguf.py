"""GGUF files of tiny models, written by the package gguf as llama.cpp's converter would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.tiny import END, byte_level_tokenizer

TEXTS = ["The capital of France is Paris.", "Q: Where was Ann born in 1990?\nA: London"] * 3
ROPE = {"rope_type": "default", "rope_theta": 5_000.0}


def tiny_model(kind: str = "llama", **changes: Any) -> Any:
    """A random two-layer model of transformers' type `kind`, in float32, whose norms are not trivial."""
    widths: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    plain = {"num_key_value_heads": 2, "max_position_embeddings": 128, "rope_parameters": ROPE, "tie_word_embeddings": False}
    settings = {"vocab_size": 320, **widths, **plain, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, **changes}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **settings)).float().eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            centre = 1.0 if "norm" in name and name.endswith("weight") and "gemma" not in kind else 0.0
            weight.copy_(centre + 0.2 * torch.randn_like(weight))
    return model


def write_gguf(path: Path, model: Any, architecture: str = "llama", quantised: str | None = None, **settings: Any) -> Path:
    """`model` in one file, its matrices stored as `quantised` ("Q8_0"); `settings`: more of its own, with _ for each dot."""
    writer = gguf.GGUFWriter(path, architecture)
    config = model.config
    writer.add_name("Tiny")
    _widths(writer, config)
    _tokenizer(writer, byte_level_tokenizer(TEXTS, config.vocab_size), config.vocab_size)
    writer.add_file_type(int(gguf.LlamaFileType[f"MOSTLY_{quantised}"]) if quantised else 0)
    for name, value in settings.items():
        _set(writer, name.replace("__", "."), value)
    for name, numbers in tensors_of(model, architecture).items():
        whole = quantised is None or numbers.ndim == 1
        kind = gguf.GGMLQuantizationType.F32 if whole else gguf.GGMLQuantizationType[quantised or ""]
        writer.add_tensor(name, numbers if whole else gguf.quantize(numbers, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def tensors_of(model: Any, architecture: str) -> dict[str, np.ndarray]:
    """As convert_hf_to_gguf.py lays them out: names, Llama's rotated halves, Gemma's norms, GPT-2's transposed matrices."""
    config = model.config
    number = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(number, config.num_hidden_layers)
    tensors = {}
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        stem, ending = name.rsplit(".", 1)
        numbers, there = weight.float().numpy(), names.get_name(stem)
        assert there is not None, name
        if architecture == "llama" and there.endswith(("attn_q", "attn_k")):
            numbers = _rotated(numbers, config.num_attention_heads if there.endswith("q") else config.num_key_value_heads)
        if architecture.startswith("gemma") and there.endswith("norm"):
            numbers = numbers + 1
        if architecture == "gpt2" and ending == "weight" and there.endswith(("attn_qkv", "attn_output", "ffn_up", "ffn_down")):
            numbers = numbers.T
        tensors[f"{there}.{ending}"] = np.ascontiguousarray(numbers)
    return tensors


def _rotated(numbers: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp rotates neighbours, transformers the two halves of a head."""
    return numbers.reshape(heads, 2, numbers.shape[0] // heads // 2, *numbers.shape[1:]).swapaxes(1, 2).reshape(numbers.shape)


def _widths(writer: Any, config: Any) -> None:
    ropes = getattr(config, "rope_parameters", None) or {}
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_context_length(getattr(config, "max_position_embeddings", 128))
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(getattr(config, "intermediate_size", None) or 4 * config.hidden_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(getattr(config, "num_key_value_heads", config.num_attention_heads))
    writer.add_rope_dimension_count(size)
    writer.add_key_length(size)
    writer.add_value_length(size)
    if theta := ropes.get("rope_theta") or ropes.get("full_attention", {}).get("rope_theta"):
        writer.add_rope_freq_base(theta)
    if getattr(config, "rms_norm_eps", None):
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    else:
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    if getattr(config, "sliding_window", None):
        writer.add_sliding_window(config.sliding_window)


def _tokenizer(writer: Any, tokenizer: Any, size: int) -> None:
    words = {number: token for token, number in tokenizer.get_vocab().items()}
    tokens = [words.get(number, f"[PAD{number}]") for number in range(size)]
    pairs = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token == END else 5 if number not in words else 1 for number, token in enumerate(tokens)])
    writer.add_token_merges([" ".join(pair) for pair in pairs])
    for add in (writer.add_bos_token_id, writer.add_eos_token_id, writer.add_pad_token_id):
        add(tokenizer.convert_tokens_to_ids(END))


def _set(writer: Any, key: str, value: Any) -> None:
    writer.kv_data[0].pop(key, None)
    add = {str: writer.add_string, bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32}
    add[type(value)](key, value)
