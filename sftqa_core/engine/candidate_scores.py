"""How probable each of several given answers is behind each of many prompts, and the hidden states at the answers' ends.

Prompts are read packed, several at a time, each of them once whatever the number of its answers; a model that can't be read so reads one
text at a time. Answers of one prompt may begin alike, or with one another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sftqa_core.engine import decoder, drawing, packed
from sftqa_core.errors import ModelUnavailable
from sftqa_core.models.loading import LoadedModel
from sftqa_core.progress import Phase

FEWER = "Look at fewer wrong answers, use a smaller model, or run on the CPU (device 'cpu')."
_TEXTS = 256  # in one pass


@dataclass(frozen=True)
class Asked:
    """One prompt and what may follow it."""

    place: int  # among all that are asked
    ids: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]  # token ids, at least one each


@dataclass(frozen=True, eq=False)
class Scored:
    """The answers of one prompt, in their order."""

    place: int
    logprobs: np.ndarray  # [answers] mean over an answer's tokens of their log-probability (natural), float64
    states: np.ndarray  # [layers, answers, hidden] at an answer's last token, float32; no layers unless they are asked for


def block_count(model: Any) -> int:
    """How many layers a model has whose states can be read; 0 for a model that holds them otherwise."""
    return len(_blocks(model))


class CandidateScores:
    """One model; `tokens` counts what went through it. `layers`, counted from 1, are those whose states are kept."""

    def __init__(self, loaded: LoadedModel, layers: Sequence[int] = ()):
        self.loaded, self.layers, self.tokens = loaded, tuple(layers), 0

    @torch.no_grad()
    def of(self, items: Sequence[Asked], phase: Phase) -> list[Scored]:
        """All items, in the order of their places; `phase` counts them and lets the person stop after each pass.

        Raises `OutOfMemory` when there is no room for one prompt, `ModelUnavailable` for logits that are not numbers.
        """
        scored: list[Scored] = []
        with drawing.naming(self.loaded), _watched(self.loaded.model, self.layers) as states:
            for some in self._packed(items, states) if decoder.packs(self.loaded) else self._alone(items, states):
                scored += some
                phase.advance(len(some))
        return sorted(scored, key=lambda one: one.place)

    def _packed(self, items: Sequence[Asked], states: dict[int, torch.Tensor]) -> Iterator[list[Scored]]:
        model = packed.PackedModel(self.loaded)
        load = decoder.Load(_TEXTS, _TEXTS, 1)
        yield from _Scoring(model, load, self.layers, states).run(sorted(items, key=lambda item: item.ids))
        self.tokens += model.tokens

    def _alone(self, items: Sequence[Asked], states: dict[int, torch.Tensor]) -> Iterator[list[Scored]]:
        """A plain pass a text."""
        for item in items:
            found, ends = [], []
            for answer in item.answers:
                ids = torch.tensor([[*item.ids, *answer]], device=self.loaded.model.device)
                logits = self.loaded.model(input_ids=ids, use_cache=False).logits[0, len(item.ids) - 1 : -1].float()
                chosen = logits[torch.arange(len(answer)), torch.tensor(answer, device=logits.device)] - logits.logsumexp(-1)
                found.append(_numbers(chosen).mean())
                ends.append([_float(states[layer][-1]) for layer in self.layers])
                self.tokens += ids.shape[1]
            kept = np.array(ends, dtype=np.float32).reshape(len(found), len(self.layers), -1 if self.layers else 0)
            yield [Scored(item.place, np.array(found), kept.swapaxes(0, 1))]


class _Scoring(decoder.Decoder[Asked]):
    """Texts are prompts with an answer each; without states to keep, an answer's last token only has to be looked up."""

    def __init__(self, model: packed.PackedModel, load: decoder.Load, layers: tuple[int, ...], states: dict[int, torch.Tensor]):
        self.layers, self.states = layers, states
        super().__init__(model, load, 0, FEWER)

    def begin(self) -> None:
        """See `Decoder`."""
        super().begin()
        self._answer_at: dict[int, tuple[int, int, tuple[int, ...]]] = {}  # place -> first place of its item, number, answer

    def texts(self, item: Asked) -> list[tuple[int, ...]]:
        """See `Decoder`."""
        return [(*item.ids, *(answer if self.layers else answer[:-1])) for answer in item.answers]

    def entered(self, items: list[tuple[Asked, np.ndarray]]) -> None:
        """See `Decoder`."""
        for item, places in items:
            for number, (place, answer) in enumerate(zip(places.tolist(), item.answers, strict=True)):
                self._answer_at[place] = (int(places[0]), number, answer)

    def wanted(self, tree: packed.PrefixTree, places: np.ndarray) -> np.ndarray:
        """The nodes before each token of each answer."""
        self._entered = [self._answer_at.pop(place) for place in places.tolist()]  # in the order of the tree's texts
        sizes = np.array([len(answer) for _, _, answer in self._entered])
        self._text = np.repeat(np.arange(len(sizes)), sizes)
        self._token = np.array([token for _, _, answer in self._entered for token in answer])
        back = np.concatenate([np.arange(size)[::-1] for size in sizes]) + bool(self.layers)
        nodes, self._line = np.unique(tree.paths[self._text, tree.lengths[self._text] - 1 - back], return_inverse=True)
        self._ends = tree.paths[np.arange(len(sizes)), tree.lengths - 1]
        return nodes

    def advance(self, reads: list[decoder.Read]) -> list[Scored]:
        """The scores of all that entered."""
        ((_, logits),) = reads
        logits = logits.float()
        line, token = (torch.from_numpy(a).to(logits.device) for a in (self._line, self._token))
        each = _numbers(logits[line, token] - logits.logsumexp(-1)[line])
        means = np.bincount(self._text, weights=each) / np.bincount(self._text)
        ends = {layer: _float(self.states[layer][torch.from_numpy(self._ends).to(self.states[layer].device)]) for layer in self.layers}
        texts: dict[int, dict[int, int]] = {}  # first place of an item -> number of the answer -> text
        for text, (first, number, _) in enumerate(self._entered):
            texts.setdefault(first, {})[number] = text
        scored = []
        for first, own in texts.items():
            rows = [own[number] for number in range(len(own))]
            states = np.array([ends[layer][rows] for layer in self.layers], dtype=np.float32)
            scored.append(
                Scored(self.items[first].place, means[rows], states.reshape(len(self.layers), len(rows), -1 if self.layers else 0))
            )
            self.finish(first)
        self.keep(np.empty(0, dtype=np.int64))
        return scored


def _numbers(logprobs: torch.Tensor) -> np.ndarray:
    """On the CPU in float64. Raises `ModelUnavailable` unless they are numbers."""
    found: np.ndarray = logprobs.cpu().double().numpy()
    if not np.isfinite(found).all():
        raise ModelUnavailable(
            "The model's logits are not numbers (NaN or infinite), so answers can't be ranked. Training may have diverged: lower the "
            "learning rate."
        )
    return found


def _float(states: torch.Tensor) -> np.ndarray:
    found: np.ndarray = states.float().cpu().numpy()
    return found


def _blocks(model: Any) -> list[Any]:
    """The layers: of the model's lists of modules the one with the most parameters."""
    lists: list[Any] = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    largest: Any = max(lists, key=lambda found: sum(parameter.numel() for parameter in found.parameters()), default=())
    return list(largest)


@contextmanager
def _watched(model: Any, layers: Sequence[int]) -> Iterator[dict[int, torch.Tensor]]:
    """What the newest pass left behind each of these layers: [tokens, hidden]."""
    states: dict[int, torch.Tensor] = {}
    blocks = _blocks(model) if layers else []

    def kept(layer: int) -> Any:
        def keep(_module: Any, _inputs: Any, output: Any) -> None:
            states[layer] = (output[0] if isinstance(output, tuple) else output)[0]

        return keep

    hooks = [blocks[layer - 1].register_forward_hook(kept(layer)) for layer in layers]
    try:
        yield states
    finally:
        for hook in hooks:
            hook.remove()
