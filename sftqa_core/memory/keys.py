"""Keys and values of the prompts under way, each prompt at a place of its own."""

from __future__ import annotations

import torch

_GROWTH = 1.5  # room that there is, to what was needed, when there was too little: all keys and values move then


class KeyValues:
    """Per layer two tensors [places, key heads, slots, head size], which keep their memory while prompts come and go.

    What stands in a slot that no row sees is anything finite: it counts for nothing.
    """

    def __init__(self, places: int):
        self.places = places
        self._layers: list[list[torch.Tensor]] = []

    def put(
        self, layer: int, places: torch.Tensor, slots: slice | torch.Tensor, needed: int, states: tuple[torch.Tensor, torch.Tensor]
    ) -> None:
        """Keep keys and values: whole texts [places, heads, tokens, size] at a slice of slots, or a token each [places, heads, size].

        `needed`: slots that there must be.
        """
        if layer == len(self._layers):
            self._layers.append([new.new_zeros((self.places, new.shape[1], 0, new.shape[-1])) for new in states])
        for at, new in enumerate(states):
            self._with_room(layer, at, needed)[places, :, slots] = new

    def at(self, layer: int, places: torch.Tensor | None, slots: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values [places, heads, slots, size] of these places (None: of all) in the first slots."""
        keys, values = (kept[:, :, :slots] if places is None else kept[places, :, :slots] for kept in self._layers[layer])
        return keys, values

    def _with_room(self, layer: int, at: int, slots: int) -> torch.Tensor:
        kept = self._layers[layer][at]
        if slots > kept.shape[2]:
            wider = kept.new_zeros((*kept.shape[:2], int(_GROWTH * slots), kept.shape[3]))
            wider[:, :, : kept.shape[2]] = kept
            kept = self._layers[layer][at] = wider
        return kept
