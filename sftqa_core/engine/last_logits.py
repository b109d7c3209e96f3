"""What a model predicts right after each of many prompts, which are read once."""

from collections.abc import Sequence

import numpy as np
import torch

from sftqa_core.engine import capacity, drawing, packed
from sftqa_core.engine.decoder import packs
from sftqa_core.models.loading import LoadedModel

_OFTEN = 64  # prompts that are worth laying weights out for them


class LastLogits:
    """Reads some prompts in a pass: those that begin alike belong together."""

    def __init__(self, loaded: LoadedModel, prompts: int, longest: int):
        """`prompts` that will be read in all, `longest` in tokens."""
        self.loaded = loaded
        self._packed = packed.PackedModel(loaded, often=prompts >= _OFTEN) if packs(loaded) else None
        self.at_once = capacity.at_once(loaded, longest, 1, 0) if self._packed else 1  # prompts of a pass

    @torch.no_grad()
    def read(self, prompts: Sequence[Sequence[int]]) -> torch.Tensor:
        """Logits [prompts, vocabulary] of sorted prompts (token ids, at least one each), in the model's number format."""
        with drawing.naming(self.loaded):
            if self._packed is None:
                alone = [torch.tensor([list(ids)], device=self.loaded.model.device) for ids in prompts]
                return torch.cat([self.loaded.model(input_ids=ids, use_cache=False).logits[:, -1] for ids in alone])
            tree, places = packed.PrefixTree.of(prompts), np.arange(len(prompts))
            wanted = tree.paths[places, tree.lengths - 1]
            (logits,) = self._packed.read([packed.Texts(None, tree, places, wanted)])
            return logits
