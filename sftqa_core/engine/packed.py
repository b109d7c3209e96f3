"""A model that reads many texts as one flat sequence: nothing is padded where the work is, in its matrix products.

Every token has its own position, and this module computes attention in place of the model: each `Segment` of the sequence keeps its
own keys and values (`KeyValues`: each prompt at a place of its own) and decides what its tokens see. There are two kinds: `Texts`
that enter, as a tree of tokens, so that a shared beginning is stored and computed once (`PrefixTree`); and the `NextTokens` of rows
in progress. transformers' attention interface makes this possible for the model families that use it; `decoder.packs` compares
numbers, so that no family is trusted by name.
"""

import inspect
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from transformers import AttentionInterface

from sftqa_core.engine import products
from sftqa_core.models import loading, spreading

_GROWTH = 1.5  # new room over what was needed, when there was too little: all keys and values move then


class KeyValues:
    """Per layer two tensors [places, key heads, slots, head size], which keep their memory while prompts come and go.

    A slot that no row sees may hold any finite number: it has no weight. `more`: slots beside those of its text that a place may come
    to need. On a processor there is room for them from the start: the system gives memory where it is first written.
    """

    def __init__(self, places: int, more: int = 0):
        self.places, self.more = places, more
        self._layers: list[list[torch.Tensor]] = []
        self._reached: list[int] = []  # of each layer, slots that hold finite numbers

    def put(
        self, layer: int, places: torch.Tensor, slots: slice | torch.Tensor, needed: int, states: tuple[torch.Tensor, torch.Tensor]
    ) -> None:
        """Keep keys and values: whole texts [places, heads, tokens, size] at a slice of slots, or a token each [places, heads, size].

        `needed`: slots that there must be.
        """
        if layer == len(self._layers):
            self._layers.append([new.new_empty((self.places, new.shape[1], 0, new.shape[-1])) for new in states])
            self._reached.append(0)
        reached = self._reached[layer]
        for at, new in enumerate(states):
            kept = self._layers[layer][at]
            if needed > kept.shape[2]:
                room = needed + self.more if kept.device.type == "cpu" else int(_GROWTH * needed)
                wider = kept.new_empty((*kept.shape[:2], room, kept.shape[3]))
                wider[:, :, :reached] = kept[:, :, :reached]
                kept = self._layers[layer][at] = wider
            kept[:, :, reached:needed] = 0
            kept[places, :, slots] = new
        self._reached[layer] = max(reached, needed)

    def at(self, layer: int, places: torch.Tensor | slice, slots: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values [places, heads, slots, size] of these places, in the first slots. A slice of places copies nothing."""
        keys, values = (kept[places, :, :slots] for kept in self._layers[layer])
        return keys, values


@dataclass(frozen=True)
class PrefixTree:
    """Nodes are tokens, in the order of the sorted texts; a text is a path from a root to one of them."""

    ids: np.ndarray  # [nodes]
    positions: np.ndarray  # [nodes], from 0 at the beginning of a text
    owner: np.ndarray  # [nodes], the first text that a node belongs to
    rank: np.ndarray  # [nodes], place among the nodes of its owner
    paths: np.ndarray  # [texts, longest], the nodes of each text in turn; 0 behind its end
    lengths: np.ndarray  # [texts]

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]]) -> "PrefixTree":
        """The tree of these token ids, each at least one. They must be sorted, so that like stands beside like."""
        lengths = np.array([len(text) for text in texts])
        grid = np.full((len(texts), lengths.max()), -1, dtype=np.int64)
        within = np.arange(grid.shape[1]) < lengths[:, None]
        grid[within] = np.fromiter((token for text in texts for token in text), dtype=np.int64, count=int(lengths.sum()))
        same = np.zeros_like(within)
        same[1:] = np.logical_and.accumulate((grid[1:] == grid[:-1]) & within[1:], axis=1)
        new = within & ~same
        numbers = np.cumsum(new.ravel()).reshape(new.shape) - 1
        # a shared token's node is the newest one of its column, because texts that share stand together
        paths = np.maximum.accumulate(np.where(new, numbers, -1), axis=0)
        owner, positions = np.nonzero(new)
        rank = positions - same.sum(axis=1)[owner]
        return cls(grid[new], positions, owner, rank, np.where(within, paths, 0), lengths)


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

    def __init__(self, loaded: loading.LoadedModel, often: bool = False):
        """`often`: it will read so much that its weights are worth laying out for it (products.py)."""
        self.model = loaded.model
        self.products = products.of(loaded) if often else products.NONE
        self.tokens = 0  # that went through it so far
        self.outputs = 0  # of them, those after which logits were computed
        self.windows: set[int] = set()  # in which some layer attended
        parameters = inspect.signature(self.model.forward).parameters
        self._keeps_logits = "logits_to_keep" in parameters
        self._spread = spreading.is_spread(self.model)

    @torch.no_grad()
    def read(self, segments: Sequence[Segment]) -> list[torch.Tensor]:
        """Logits [tokens wanted, vocabulary] of each segment, in the model's number format."""
        ids, positions = (np.concatenate([getattr(s, name) for s in segments]) for name in ("ids", "positions"))
        starts = np.cumsum([0, *(len(s.ids) for s in segments)])
        wanted = np.concatenate([s.wanted + start for s, start in zip(segments, starts, strict=False)])
        self.tokens, self.outputs = self.tokens + len(ids), self.outputs + len(wanted)
        on_device = [torch.from_numpy(array).to(self.model.device) for array in (ids, positions, wanted)]
        inputs: dict[str, Any] = {"input_ids": on_device[0][None], "position_ids": on_device[1][None], "use_cache": False}
        if self._keeps_logits:  # the last layer's result may lie on another device than inputs: an array works on all, and is not moved
            inputs["logits_to_keep"] = wanted if self._spread else on_device[2]
        attention_before, now = self.model.config._attn_implementation, _Pass(segments)
        token = _PASS.set(now)
        try:
            self.model.set_attn_implementation(_NAME)
            with self.products.used():
                logits = self.model(**inputs).logits[0]
        finally:
            self.model.set_attn_implementation(attention_before)
            _PASS.reset(token)
            self.windows |= now.windows
        return list((logits if self._keeps_logits else logits[on_device[2]]).split([len(s.wanted) for s in segments]))


def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, hidden: torch.Tensor, form: AttentionForm) -> torch.Tensor:
    """Softmax attention of [batch, heads, queries, size] over [batch, heads, keys, size].

    `hidden` [batch, 1, queries, keys] is added to the scores: 0 for a key that is seen, minus infinity for one that is not.
    """
    # on a CPU, with so few queries each, plain products are faster; on Apple's GPUs they have fewer bugs
    if form.softcap is None and query.device.type == "cuda":
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=hidden, scale=form.scaling)
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


_MOST = 0.5  # with a larger share of busy places up to the last one, looking at all of those costs less than picking them out


class _Segment:
    """Puts queries into a grid of lines (places) and columns, and gets their attention out of it."""

    def __init__(self, ids: np.ndarray, positions: np.ndarray, wanted: np.ndarray):
        self.ids, self.positions, self.wanted = ids, positions, wanted
        self._on_device: dict[str, torch.Tensor] = {}

    def _attended(
        self,
        query: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        grid: tuple[np.ndarray, np.ndarray],
        sees: Callable[[], np.ndarray],
        form: AttentionForm,
    ) -> torch.Tensor:
        """Attention of [tokens, heads, size] queries at their place in the grid; `sees` [tokens, slots] is made at most once."""
        shape = (len(keys), int(grid[1].max()) + 1)
        line, column = (self._tensor(name, query, lambda a=a: a) for name, a in zip(("line", "column"), grid, strict=True))  # type: ignore[misc]

        groups = query.shape[1] // keys.shape[1]

        def hidden() -> torch.Tensor:
            """[lines, 1, groups x columns, slots]: 0 for what a query sees and where none stands, minus infinity for the rest."""
            seen = sees()
            mask = np.zeros((shape[0], 1, shape[1], seen.shape[1]), dtype=np.float32)
            mask[grid[0], 0, grid[1]] = np.where(seen, np.float32(0), np.float32(-np.inf))
            return torch.from_numpy(mask).to(query.device).repeat(1, 1, groups, 1).to(query.dtype)

        unseen = self._kept(f"hidden {form.window} {groups} {query.dtype}", query, hidden)
        # [lines, columns, heads, size]; every layer writes to the same places of it
        spread = self._kept(f"spread {query.shape[1:]} {query.dtype}", query, lambda: query.new_zeros((*shape, *query.shape[1:])))
        spread[line, column] = query
        result = attention(fold_heads(spread, keys.shape[1]), keys, values, unseen, form)
        return unfold_heads(result, shape[1])[line, column]

    def _tensor(self, name: str, like: torch.Tensor, make: Callable[[], np.ndarray]) -> torch.Tensor:
        return self._kept(name, like, lambda: torch.from_numpy(np.ascontiguousarray(make())).to(like.device))

    def _kept(self, name: str, like: torch.Tensor, make: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Made once for all layers, or once a device where they lie on several."""
        key = f"{name} {like.device}"
        if key not in self._on_device:
            self._on_device[key] = make()
        return self._on_device[key]


class Texts(_Segment):
    """Whole texts; what they begin with in common is read once."""

    def __init__(self, keys: KeyValues | None, tree: PrefixTree, places: np.ndarray, wanted: np.ndarray):
        """`keys` None: nothing will follow these texts, so their keys and values need not be kept."""
        super().__init__(tree.ids, tree.positions, wanted)
        self.keys, self.tree, self.places = keys, tree, places

    def attend(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, form: AttentionForm) -> torch.Tensor:
        """See `Segment`."""
        paths = self._tensor("paths", query, lambda: self.tree.paths)
        places = self._tensor("places", query, lambda: self.places)
        keys, values = (states[paths].transpose(1, 2) for states in (key, value))  # [texts, heads, tokens, size]
        if self.keys is not None:
            self.keys.put(layer, places, slice(0, paths.shape[1]), paths.shape[1], (keys, values))
        return self._attended(query, keys, values, (self.tree.owner, self.tree.rank), lambda: self._sees(form.window), form)

    def _sees(self, window: int | None) -> np.ndarray:
        back = self.positions[:, None] - np.arange(self.tree.paths.shape[1])
        return (back >= 0) & (back < (window or back.shape[1]))


class NextTokens(_Segment):
    """One token of each of some rows."""

    def __init__(
        self,
        keys: KeyValues,
        ids: np.ndarray,
        positions: np.ndarray,
        places: np.ndarray,
        slots: np.ndarray,
        sees: np.ndarray,
        key_positions: np.ndarray,
    ):
        """Of each row its place (ascending), the slot that its token's key and value go to, the slots that it `sees`, and the
        positions of the tokens in them."""
        super().__init__(ids, positions, np.arange(len(ids)))
        self.keys, self.places, self.slots = keys, places, slots
        self.busy, self.line = np.unique(places, return_inverse=True)
        self.column = np.arange(len(places)) - np.searchsorted(places, places)
        self.sees, self.key_positions = sees, key_positions
        self.reach = int(self.busy[-1]) + 1  # new prompts take the first free places, so those behind the last busy one cost nothing
        self.all = len(self.busy) > _MOST * self.reach

    def attend(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, form: AttentionForm) -> torch.Tensor:
        """See `Segment`."""
        places, slots = self._tensor("places", query, lambda: self.places), self._tensor("slots", query, lambda: self.slots)
        self.keys.put(layer, places, slots, self.sees.shape[1], (key, value))
        busy = slice(self.reach) if self.all else self._tensor("busy", query, lambda: self.busy)
        keys, values = self.keys.at(layer, busy, self.sees.shape[1])
        grid = (self.places if self.all else self.line, self.column)
        return self._attended(query, keys, values, grid, lambda: self._sees(form.window), form)

    def _sees(self, window: int | None) -> np.ndarray:
        return self.sees if window is None else self.sees & (self.positions[:, None] - self.key_positions < window)
