"""A model that reads many texts as one flat sequence: nothing is padded where the work is, in its matrix products.

Every token says its own position, and attention is taken out of the model's hands: each `Segment` of the sequence keeps its
own keys and values and says what its tokens see. transformers' attention interface makes this possible for the model
families that use it; `fitting.packs` finds out by comparing numbers, so that no family is trusted by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone knows it by
from transformers import AttentionInterface

from sftqa_core.models.spreading import is_spread

if TYPE_CHECKING:
    from sftqa_core.models.loading import LoadedModel

_NAME = "sftqa_packed"


@dataclass(frozen=True)
class AttentionForm:
    """How one layer of the model attends."""

    scaling: float | None
    window: int | None  # a token sees the keys of fewer than this many positions before it, itself included
    softcap: float | None


class Segment(Protocol):
    """Some tokens of one pass. Arrays are one entry a token."""

    ids: np.ndarray
    positions: np.ndarray
    wanted: np.ndarray  # indexes of the tokens after which logits are needed, in the order in which they are handed back

    def attend(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, form: AttentionForm) -> torch.Tensor:
        """Take in the tokens' keys and values, [tokens, heads, size], and return [tokens, heads, size] of attention."""
        ...


@dataclass
class _Pass:
    segments: Sequence[Segment]
    layer: int = 0
    windows: set[int] = field(default_factory=set)  # that layers attended within


_PASS: ContextVar[_Pass] = ContextVar("sftqa_pass")


class PackedModel:
    """Runs segments through a loaded model. The model is as it was before and after each pass."""

    def __init__(self, loaded: LoadedModel):
        self.model = loaded.model
        self.tokens = 0  # that went through it so far
        self.windows: set[int] = set()  # in which some layer attended
        parameters = inspect.signature(self.model.forward).parameters
        self._keeps_logits = "logits_to_keep" in parameters
        self._spread = is_spread(self.model)

    @torch.no_grad()
    def read(self, segments: Sequence[Segment]) -> list[torch.Tensor]:
        """Logits [tokens wanted, vocabulary] of each segment, in the model's number format."""
        ids, positions = (np.concatenate([getattr(s, name) for s in segments]) for name in ("ids", "positions"))
        starts = np.cumsum([0, *(len(s.ids) for s in segments)])
        wanted = np.concatenate([s.wanted + start for s, start in zip(segments, starts, strict=False)])
        device = self.model.device
        self.tokens += len(ids)
        output = self._forward(
            segments,
            input_ids=torch.from_numpy(ids)[None].to(device),
            position_ids=torch.from_numpy(positions)[None].to(device),
            **({"logits_to_keep": self._index(wanted)} if self._keeps_logits else {}),
        )
        logits = output.logits[0] if self._keeps_logits else output.logits[0, torch.from_numpy(wanted).to(device)]
        return list(logits.split([len(s.wanted) for s in segments]))

    def _index(self, wanted: np.ndarray) -> torch.Tensor | np.ndarray:
        """Of the last layer's result, which may lie on another device than inputs: an array works on all, and is not moved."""
        return wanted if self._spread else torch.from_numpy(wanted).to(self.model.device)

    def _forward(self, segments: Sequence[Segment], **inputs: Any) -> Any:
        own, now = self.model.config._attn_implementation, _Pass(segments)
        token = _PASS.set(now)
        try:
            self.model.set_attn_implementation(_NAME)
            return self.model(**inputs, use_cache=False)
        finally:
            self.model.set_attn_implementation(own)
            _PASS.reset(token)
            self.windows |= now.windows


def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, hidden: torch.Tensor, form: AttentionForm) -> torch.Tensor:
    """Softmax attention of [batch, heads, queries, size] over [batch, heads, keys, size].

    `hidden` [batch, 1, queries, keys] is added to the scores: 0 for a key that is seen, minus infinity for one that is not.
    """
    # on a CPU, with so few queries each, plain products are faster; on Apple's GPUs they have fewer bugs
    if form.softcap is None and query.device.type == "cuda":
        return F.scaled_dot_product_attention(query, key, value, attn_mask=hidden, scale=form.scaling)
    scores = (query * (query.shape[-1] ** -0.5 if form.scaling is None else form.scaling)) @ key.transpose(-1, -2)
    if form.softcap is not None:
        scores = form.softcap * torch.tanh(scores / form.softcap)
    return torch.softmax(scores.add_(hidden), dim=-1, dtype=torch.float32).to(value.dtype) @ value


def fold_heads(query: torch.Tensor, key_heads: int) -> torch.Tensor:
    """[batch, queries, heads, size] -> [batch, key heads, groups x queries, size]: query heads of one key head as more queries."""
    batch, queries, heads, size = query.shape
    folded = query.view(batch, queries, key_heads, heads // key_heads, size).permute(0, 2, 3, 1, 4)
    return folded.reshape(batch, key_heads, heads // key_heads * queries, size)


def unfold_heads(result: torch.Tensor, queries: int) -> torch.Tensor:
    """What `fold_heads` did, undone: [batch, key heads, groups x queries, size] -> [batch, queries, heads, size]."""
    batch, key_heads, folded, size = result.shape
    groups = folded // queries
    return result.view(batch, key_heads, groups, queries, size).permute(0, 3, 1, 2, 4).reshape(batch, queries, key_heads * groups, size)


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **ignored: Any,
) -> tuple[torch.Tensor, None]:
    """The attention function that transformers calls in every layer: [1, heads, tokens, size] in, [1, tokens, heads, size] out."""
    now = _PASS.get()
    layer, now.layer = now.layer, now.layer + 1
    form = AttentionForm(scaling, sliding_window, softcap)
    now.windows |= {sliding_window} if sliding_window else set()
    states = [s[0].transpose(0, 1).split([len(segment.ids) for segment in now.segments]) for s in (query, key, value)]
    parts = [segment.attend(layer, *s, form) for segment, *s in zip(now.segments, *states, strict=True)]
    return (parts[0] if len(parts) == 1 else torch.cat(parts))[None], None


AttentionInterface.register(_NAME, _attend)
