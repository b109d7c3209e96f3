"""Prompts as a tree of tokens: what several of them begin with stands, and is computed, once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


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
    def of(cls, texts: Sequence[Sequence[int]]) -> PrefixTree:
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
