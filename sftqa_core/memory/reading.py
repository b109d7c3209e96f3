"""Reading a batch token by token while its rows split and leave."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from sftqa_core.errors import SettingsError

_ROOM = 8  # tokens


class CachedReader:
    """Feeds a model token by token; its keys and values follow the rows as they split and leave."""

    def __init__(self, model: Any):
        self.model = model
        self.cache = DynamicCache(config=model.config)
        self.cache.layers = [_RoomyLayer() if type(layer) is DynamicLayer else layer for layer in self.cache.layers]
        self.rows = 0  # of the last read
        self.options = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}

    def read(self, ids: np.ndarray) -> torch.Tensor:
        """Logits [rows, vocabulary] (float32) after these tokens [rows, new tokens], continuing what was read before."""
        self.rows = len(ids)
        given = torch.from_numpy(ids).to(self.model.device)
        output = self.model(input_ids=given, past_key_values=self.cache, use_cache=True, **self.options)
        return output.logits[:, -1].float()

    def select(self, rows: np.ndarray) -> None:
        """Continue with these rows of the last read, repeated or left out. Raises `SettingsError` if the model can't."""
        if len(rows) == self.rows and (rows == np.arange(self.rows)).all():
            return
        try:
            self.cache.batch_select_indices(torch.from_numpy(rows).to(self.model.device))
        except AttributeError as error:
            raise SettingsError(
                f"{type(self.model).__name__} keeps a state that can't be split by rows. Probe it with the sampler 'generate'."
            ) from error


class _RoomyLayer(DynamicLayer):
    """Keys and values in buffers with room for some tokens more, where the plain layer copies everything at every token."""

    buffers: tuple[torch.Tensor, ...]  # keys, values: [rows, heads, tokens and room, head size]
    length: int  # tokens in them

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.buffers, self.length = (key_states[:, :, :0], value_states[:, :, :0]), 0
        end = self.length + key_states.shape[-2]
        if end > self.buffers[0].shape[-2]:
            self.buffers = tuple(_with_room(buffer[:, :, : self.length], end + _ROOM) for buffer in self.buffers)
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[:, :, self.length : end] = states
        self.length = end
        return self._show()

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        self.buffers = tuple(buffer.index_select(0, indices) for buffer in self.buffers)
        self._show()

    def _show(self) -> tuple[torch.Tensor, torch.Tensor]:
        self.keys, self.values = (buffer[:, :, : self.length] for buffer in self.buffers)
        return self.keys, self.values


def _with_room(states: torch.Tensor, length: int) -> torch.Tensor:
    roomy = states.new_empty(*states.shape[:2], length, states.shape[3])
    roomy[:, :, : states.shape[2]] = states
    return roomy
