"""The likelihood estimate: how probable the answer is as the immediate continuation (METHOD 8.10).

One pass over the prompts with their answers, nothing sampled. It misses an answer that comes after other words, or in other
tokens or letters than those looked up, so it stands beside the sampled score and never for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sftqa_core.engine.decoder import Decoder, Load, Read
from sftqa_core.engine.packed import PackedModel, PrefixTree
from sftqa_core.engine.sampling import WINDOW, windows
from sftqa_core.errors import ModelUnavailable
from sftqa_core.models.loading import LINE_BREAK, continuation

if TYPE_CHECKING:
    from sftqa_core.models.loading import LoadedModel

FEWER = "Use a smaller model, or run on the CPU (device 'cpu')."


@dataclass(frozen=True)
class Question:
    """One filled template and what may follow it."""

    fact_id: str
    template: int
    ids: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]  # token ids, at least one; none begins with another


Estimate = tuple[str, int, float]  # fact id, template, probability


class Likelihood:
    """At most `batch_size` texts are read together."""

    def __init__(self, loaded: LoadedModel, batch_size: int):
        self.model = PackedModel(loaded)
        self.batch_size = batch_size

    def estimate(self, questions: Iterable[Question], temperature: float) -> Iterator[list[Estimate]]:
        """P(one of the answers comes next) of every question, some at a time, the earlier ones not much later than others.

        Raises `ModelUnavailable` for logits that are not numbers, `OutOfMemory` when there is no room for one question.
        """
        ordered = (q for window in windows(questions, WINDOW * self.batch_size) for q in sorted(window, key=lambda question: question.ids))
        return _Estimating(self.model, Load(self.batch_size, self.batch_size, 1), temperature).run(ordered)


class _Estimating(Decoder[Question]):
    """Texts are prompts with an answer each but for its last token, which only has to be looked up."""

    def __init__(self, model: PackedModel, load: Load, temperature: float):
        self.temperature = temperature
        super().__init__(model, load, 0, FEWER)

    def begin(self) -> None:
        """See `Decoder`."""
        super().begin()
        self._answer_at: dict[int, tuple[int, tuple[int, ...]]] = {}  # place -> first place of its question, answer

    def texts(self, item: Question) -> list[tuple[int, ...]]:
        """See `Decoder`."""
        return [(*item.ids, *answer[:-1]) for answer in item.answers]

    def entered(self, items: list[tuple[Question, np.ndarray]]) -> None:
        """See `Decoder`."""
        for question, places in items:
            self._answer_at.update(zip(places.tolist(), ((int(places[0]), answer) for answer in question.answers), strict=True))

    def wanted(self, tree: PrefixTree, places: np.ndarray) -> np.ndarray:
        """The nodes before each token of each answer."""
        self._first, answers = zip(*(self._answer_at.pop(place) for place in places.tolist()), strict=True)
        sizes = np.array([len(answer) for answer in answers])
        self._text = np.repeat(np.arange(len(answers)), sizes)
        self._token = np.array([token for answer in answers for token in answer])
        back = np.concatenate([np.arange(size)[::-1] for size in sizes])
        nodes, self._line = np.unique(tree.paths[self._text, tree.lengths[self._text] - 1 - back], return_inverse=True)
        return nodes

    def advance(self, reads: list[Read]) -> list[Estimate]:
        """The estimates of all that entered."""
        ((_, logits),) = reads
        of_text = np.exp(np.bincount(self._text, weights=self._logprob(logits)))
        firsts, text_of = np.unique(self._first, return_inverse=True)
        chances = np.bincount(text_of, weights=of_text).clip(0, 1)
        asked = [self.items[first] for first in firsts.tolist()]
        for first in firsts.tolist():
            self.finish(first)
        self.keep(np.empty(0, dtype=np.int64))
        return [(q.fact_id, q.template, float(chance)) for q, chance in zip(asked, chances, strict=True)]

    def _logprob(self, logits: torch.Tensor) -> np.ndarray:
        """Of each token of each answer."""
        scaled = logits.float() / self.temperature
        line, token = (torch.from_numpy(a).to(scaled.device) for a in (self._line, self._token))
        logprob = (scaled[line, token] - scaled.logsumexp(-1)[line]).cpu().double().numpy()
        if not np.isfinite(logprob).all():
            raise ModelUnavailable(
                "The model's logits are not numbers (NaN or infinite), so nothing can be estimated. Its weights are damaged, "
                "or overflow in this number format: load it in float32, or get the model again."
            )
        return logprob


def answer_ids(tokenizer: Any, answers: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Token ids of the answers as they follow a text; one that begins with another is left out, since that one counts it.

    Empty where no answer has anything but spaces.
    """
    encoded = {tuple(continuation(tokenizer, LINE_BREAK, f" {answer.strip()}")) for answer in answers if answer.strip()}
    kept: list[tuple[int, ...]] = []
    for ids in sorted(encoded, key=len):
        if not any(ids[: len(shorter)] == shorter for shorter in kept):
            kept.append(ids)
    return tuple(kept)
