"""Does packed reading give the numbers that the model gives by itself? Found out by comparing, once a model."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import torch

from sftqa_core.engine.decoder import Decoder, Load, Read
from sftqa_core.engine.packed import PackedModel
from sftqa_core.errors import OutOfMemory

if TYPE_CHECKING:
    from sftqa_core.models.loading import LoadedModel

_TEXTS = ((3, 14, 15, 9, 2, 6, 5, 35, 8), (3, 14, 15, 9, 2, 71))  # token ids that begin alike, sorted
_NEXT = ((97, 93), (27, 18))  # two tokens more for each
_KNOWN_LAYERS = {"full_attention", "sliding_attention"}
_SHARE = {torch.float32: 1e-3, torch.float64: 1e-3}  # of the logits' range that a difference may have; others round more
_ROUNDED = 5e-2
_checked: WeakKeyDictionary[torch.nn.Module, bool] = WeakKeyDictionary()


def packs(loaded: LoadedModel) -> bool:
    """Whether `PackedModel` can stand in for the model: the same logits for two texts, a shared beginning and two steps more.

    False for models without attention or with kinds of it that this program does not know, and for those that keep to
    their own attention. Costs three short passes, the first time.
    """
    model = loaded.model
    if model not in _checked:
        kinds = getattr(model.config.get_text_config(), "layer_types", None) or ()
        _checked[model] = set(kinds) <= _KNOWN_LAYERS and model._can_set_attn_implementation() and _agrees(loaded)
    return _checked[model]


def _agrees(loaded: LoadedModel) -> bool:
    trial = _Trial(PackedModel(loaded), _ids(loaded))
    try:
        found = dict(row for rows in trial.run(range(len(_TEXTS))) for row in rows)
    except OutOfMemory:
        raise
    except Exception:  # a family that can't be read like this may fail in any way
        return False
    packed = torch.stack([found[step, text] for step in (1, 2) for text in range(len(_TEXTS))])
    plain = _plain_logits(loaded)
    if not bool(torch.isfinite(plain).all()):
        return True  # a damaged model: reading it either way will say so
    allowed = _SHARE.get(loaded.model.dtype, _ROUNDED) * float(plain.max() - plain.min())
    return float((packed - plain).abs().max()) <= allowed and _tells_its_window(trial.model)


def _tells_its_window(packed: PackedModel) -> bool:
    """Whether attention was told of the sliding window that the configuration sets: the trial's texts are too short to show it."""
    config = packed.model.config.get_text_config()
    used = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    return not used or bool(packed.windows)


def _ids(loaded: LoadedModel) -> np.ndarray:
    """Every token id of the trial within the vocabulary, different ones still different."""
    return np.arange(128) % loaded.model.get_input_embeddings().weight.shape[0]


class _Trial(Decoder[int]):
    """Reads the texts together and then the tokens that are to follow."""

    def __init__(self, model: PackedModel, known: np.ndarray):
        self.known = known
        super().__init__(model, Load(2, 2, 1), 3, "Choose a smaller model, or device cpu.")

    def texts(self, item: int) -> list[list[int]]:
        """See `Decoder`."""
        return [self.known[list(_TEXTS[item])].tolist()]

    def advance(self, reads: list[Read]) -> list[tuple[tuple[int, int], torch.Tensor]]:
        """((tokens that followed, text), logits) of both."""
        ((_, logits),) = reads
        step, texts = int(self.depth[0]), [self.items[place] for place in self.place.tolist()]
        if step < 2:
            self.split(np.arange(2), self.known[[_NEXT[text][step] for text in texts]])
        else:
            for place in self.place.tolist():
                self.finish(place)
            self.keep(np.empty(0, dtype=np.int64))
        return [((step, text), line.float()) for text, line in zip(texts, logits, strict=True)]


@torch.no_grad()
def _plain_logits(loaded: LoadedModel) -> torch.Tensor:
    """The same from plain forward passes, a text at a time."""
    known, found = _ids(loaded), []
    for steps in (1, 2):
        for text, more in zip(_TEXTS, _NEXT, strict=True):
            ids = torch.from_numpy(known[[*text, *more[:steps]]])[None].to(loaded.model.device)
            found.append(loaded.model(input_ids=ids, use_cache=False).logits[0, -1].float())
    return torch.stack(found)
