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

from sftqa_core.engine import decoder, drawing, given_answers, packed
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
                found.append(given_answers.finite(chosen.cpu().double().numpy()).mean())
                ends.append([_float(states[layer][-1]) for layer in self.layers])
                self.tokens += ids.shape[1]
            kept = np.array(ends, dtype=np.float32).reshape(len(found), len(self.layers), -1 if self.layers else 0)
            yield [Scored(item.place, np.array(found), kept.swapaxes(0, 1))]


class _Scoring(given_answers.Reading[Asked]):
    """Without states to keep, an answer's last token is not read."""

    def __init__(self, model: packed.PackedModel, load: decoder.Load, layers: tuple[int, ...], states: dict[int, torch.Tensor]):
        self.layers, self.states, self.to_the_end = layers, states, bool(layers)
        super().__init__(model, load, 0, FEWER)

    def advance(self, reads: list[decoder.Read]) -> list[Scored]:
        """The scores of all that entered."""
        ((_, logits),) = reads
        each = given_answers.finite(self.logprob(logits.float()))
        means = np.bincount(self.text, weights=each) / np.bincount(self.text)
        ends = {layer: _float(self.states[layer][torch.from_numpy(self.end).to(self.states[layer].device)]) for layer in self.layers}
        texts: dict[int, dict[int, int]] = {}  # first place of an item -> number of the answer -> text
        for text, (first, number) in enumerate(zip(self.first, self.number, strict=True)):
            texts.setdefault(first, {})[number] = text
        scored = []
        for item, first in zip(self.read(), sorted(texts), strict=True):
            rows = [texts[first][number] for number in range(len(item.answers))]
            states = np.array([ends[layer][rows] for layer in self.layers], dtype=np.float32)
            states = states.reshape(len(self.layers), len(rows), -1 if self.layers else 0)
            scored.append(Scored(item.place, means[rows], states))
        return scored


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
