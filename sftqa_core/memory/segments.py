"""The two kinds of `packed.Segment`: texts that enter, and the next token of rows under way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from sftqa_core.memory.keys import KeyValues
from sftqa_core.memory.packed import AttentionForm, attention, fold_heads, unfold_heads
from sftqa_core.memory.tree import PrefixTree

_MOST = 0.5  # with a larger share of busy places, looking at all costs less than picking them out


class _Segment:
    """Puts queries into a grid of lines (places) and columns, and gets their attention out of it."""

    def __init__(self, keys: KeyValues, ids: np.ndarray, positions: np.ndarray, wanted: np.ndarray):
        self.keys, self.ids, self.positions, self.wanted = keys, ids, positions, wanted
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
        hidden = self._tensor(f"hidden {form.window}", query, lambda: _hidden(shape, grid, sees()))
        spread = query.new_zeros((*shape, *query.shape[1:]))  # [lines, columns, heads, size]
        spread[line, column] = query
        groups = query.shape[1] // keys.shape[1]
        hidden = (hidden.repeat(1, 1, groups, 1) if groups > 1 else hidden).to(query.dtype)
        result = attention(fold_heads(spread, keys.shape[1]), keys, values, hidden, form)
        return unfold_heads(result, shape[1])[line, column]

    def _tensor(self, name: str, like: torch.Tensor, make: Callable[[], np.ndarray]) -> torch.Tensor:
        """Made once for all layers, or once a device where they lie on several."""
        known = f"{name} {like.device}"
        if known not in self._on_device:
            self._on_device[known] = torch.from_numpy(np.ascontiguousarray(make())).to(like.device)
        return self._on_device[known]


def _hidden(shape: tuple[int, int], grid: tuple[np.ndarray, np.ndarray], sees: np.ndarray) -> np.ndarray:
    """0 for what a query sees and minus infinity for what it does not: float32 [lines, 1, columns, slots]; 0 where no query stands."""
    mask = np.zeros((shape[0], 1, shape[1], sees.shape[1]), dtype=np.float32)
    mask[grid[0], 0, grid[1]] = np.where(sees, np.float32(0), np.float32(-np.inf))
    return mask


class Texts(_Segment):
    """Whole texts; what they begin with in common is read once."""

    def __init__(self, keys: KeyValues, tree: PrefixTree, places: np.ndarray, wanted: np.ndarray):
        super().__init__(keys, tree.ids, tree.positions, wanted)
        self.tree, self.places = tree, places

    def attend(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, form: AttentionForm) -> torch.Tensor:
        """See `packed.Segment`."""
        paths = self._tensor("paths", query, lambda: self.tree.paths)
        places = self._tensor("places", query, lambda: self.places)
        keys, values = (states[paths].transpose(1, 2) for states in (key, value))  # [texts, heads, tokens, size]
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
        super().__init__(keys, ids, positions, np.arange(len(ids)))
        self.places, self.slots = places, slots
        self.busy, self.line = np.unique(places, return_inverse=True)
        self.column = np.arange(len(places)) - np.searchsorted(places, places)
        self.sees, self.key_positions = sees, key_positions
        self.all = len(self.busy) > _MOST * keys.places

    def attend(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, form: AttentionForm) -> torch.Tensor:
        """See `packed.Segment`."""
        places, slots = self._tensor("places", query, lambda: self.places), self._tensor("slots", query, lambda: self.slots)
        self.keys.put(layer, places, slots, self.sees.shape[1], (key, value))
        busy = None if self.all else self._tensor("busy", query, lambda: self.busy)
        keys, values = self.keys.at(layer, busy, self.sees.shape[1])
        grid = (self.places if self.all else self.line, self.column)
        return self._attended(query, keys, values, grid, lambda: self._sees(form.window), form)

    def _sees(self, window: int | None) -> np.ndarray:
        return self.sees if window is None else self.sees & (self.positions[:, None] - self.key_positions < window)
