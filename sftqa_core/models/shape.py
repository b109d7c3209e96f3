"""A decoder's widths, from its config.json alone: what memory is counted from (footprint.py). No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# Bytes of a number in 4-bit NormalFloat with double quantisation (QLoRA, section 3): a scale of 8 bits to 64 numbers, and one of 32
# bits to 256 of those scales, 0.127 bits a number
NF4 = (4 + 8 / 64 + 32 / (64 * 256)) / 8


@dataclass(frozen=True)
class Shape:
    """A decoder's widths."""

    parameters: int  # in the weight files, so tied embeddings count once
    hidden: int
    layers: int
    heads: int
    key_heads: int
    head_size: int
    intermediate: int
    vocabulary: int
    gated: bool  # three matrices in the feed-forward layer
    rms_norm: bool  # norms written in single steps, of which autograd keeps one more
    parallel: bool  # attention and feed-forward layer read the same residual stream
    fused: bool  # queries, keys and values are one matrix
    stored_bytes: int  # of a number in the weight files
    nf4: bool = False  # the matrices of the layers are held in 4 bits

    @classmethod
    def of(cls, config: Mapping[str, Any], parameters: int) -> Shape | None:
        """From a model's config.json; None where it does not name the widths, or has experts, of which only some work at a time."""
        config = {**config, **(config.get("text_config") or {})}
        if any(config.get(name) for name in ("num_local_experts", "num_experts", "n_routed_experts")):
            return None
        widths = {name: _first(config, names) for name, names in _NAMES.items()}
        hidden, layers, heads, vocabulary = (widths[name] for name in ("hidden", "layers", "heads", "vocabulary"))
        if not (hidden and layers and heads and vocabulary):
            return None
        key_heads, size = widths["key_heads"] or heads, widths["head_size"] or hidden // heads
        inner = widths["intermediate"] or 4 * hidden
        rms = config.get("rms_norm_eps") is not None
        return cls(
            parameters, hidden, layers, heads, key_heads, size, inner, vocabulary,
            gated=rms or str(config.get("hidden_act")) in ("silu", "swish"),
            rms_norm=rms,
            parallel=bool(config.get("use_parallel_residual", config.get("parallel_attn"))),
            fused=config.get("model_type") in ("gpt_neox", "gpt2", "bloom", "falcon", "phi3"),
            stored_bytes=BYTES.get(str(config.get("dtype") or config.get("torch_dtype")), 4),
        )  # fmt: skip

    @property
    def queries(self) -> int:
        """Numbers in all heads' queries of a token."""
        return self.heads * self.head_size

    @property
    def keys(self) -> int:
        """Numbers in all heads' keys of a token; as many are in its values."""
        return self.key_heads * self.head_size

    @property
    def matrices(self) -> int:
        """Matrices of a layer."""
        return (2 if self.fused else 4) + (3 if self.gated else 2)

    @property
    def linear(self) -> int:
        """Numbers in the matrices of all layers: what is held in 4 bits, where a model is."""
        attention = 2 * self.hidden * (self.queries + self.keys)
        return self.layers * (attention + (3 if self.gated else 2) * self.hidden * self.intermediate)

    @property
    def largest(self) -> int:
        """Numbers in the largest tensor."""
        return self.hidden * max(self.vocabulary, self.intermediate)

    def in_4_bits(self) -> Shape:
        """The same model, loaded in 4 bits: for all that is asked here but full fine-tuning, which needs whole weights."""
        return replace(self, nf4=True)

    def adapter(self, rank: int) -> int:
        """Parameters of a LoRA adapter of this rank on every matrix but the output head: rank x (in + out) each."""
        attention = 2 * (self.hidden + self.queries) + 2 * (self.hidden + self.keys)
        if self.fused:
            attention -= 2 * self.hidden
        return rank * self.layers * (attention + (3 if self.gated else 2) * (self.hidden + self.intermediate))


_MOST = 10**9  # of anything that makes a width: memory is reckoned in floats, too, and a configuration can say anything
_NAMES = {
    "hidden": ("hidden_size", "n_embd", "d_model"),
    "layers": ("num_hidden_layers", "n_layer", "n_layers"),
    "heads": ("num_attention_heads", "n_head", "n_heads"),
    "key_heads": ("num_key_value_heads",),
    "head_size": ("head_dim",),
    "intermediate": ("intermediate_size", "n_inner", "ffn_dim"),
    "vocabulary": ("vocab_size",),
}


def _first(config: Mapping[str, Any], names: tuple[str, ...]) -> int:
    """The first of these settings that is a positive whole number no larger than any model's, else 0."""
    found = (config.get(name) for name in names)
    return next((value for value in found if type(value) is int and 0 < value <= _MOST), 0)
