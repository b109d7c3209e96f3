"""How a model reads answers that are given to it behind their questions, many at once: how probable each token is, teacher forced.

What prompts begin with in common is read once. The last token of an answer only has to be looked up, as nothing is predicted behind it,
unless somebody wants the model's state there (candidate_scores.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch

from sftqa_core.engine import capacity, drawing, packed
from sftqa_core.engine.decoder import Decoder, Load, Read, packs
from sftqa_core.errors import ModelUnavailable
from sftqa_core.models.loading import LoadedModel

HINT = "Use a smaller model, or run on the CPU (device 'cpu')."


class WithAnswers(Protocol):
    """A prompt and what may follow it, as token ids: at least one answer, none of them empty."""

    @property
    def ids(self) -> tuple[int, ...]: ...
    @property
    def answers(self) -> tuple[tuple[int, ...], ...]: ...


Item = TypeVar("Item", bound=WithAnswers)


class Reading(Decoder[Item]):
    """Texts are prompts with an answer each, but for its last token unless they are read `to_the_end`; everything is over when it has been
    read.

    While `advance` runs, `first`, `number`, `end`, `text`, `line` and `token` say what the logits are of: of each text the first place of
    its item, which of the item's answers it has, and the node at its end; of each token of each answer the text that it is in, the line of
    logits before it, and itself.
    """

    to_the_end = False
    first: tuple[int, ...]
    number: tuple[int, ...]
    end: np.ndarray
    text: np.ndarray
    line: np.ndarray
    token: np.ndarray

    def begin(self) -> None:
        """See `Decoder`."""
        super().begin()
        self._answer_at: dict[int, tuple[int, int, tuple[int, ...]]] = {}  # place -> first place of its item, number, answer

    def texts(self, item: Item) -> list[tuple[int, ...]]:
        """See `Decoder`."""
        return [(*item.ids, *(answer if self.to_the_end else answer[:-1])) for answer in item.answers]

    def entered(self, items: list[tuple[Item, np.ndarray]]) -> None:
        """See `Decoder`."""
        for item, places in items:
            for number, (place, answer) in enumerate(zip(places.tolist(), item.answers, strict=True)):
                self._answer_at[place] = (int(places[0]), number, answer)

    def wanted(self, tree: packed.PrefixTree, places: np.ndarray) -> np.ndarray:
        """The nodes before each token of each answer."""
        self.first, self.number, answers = zip(*(self._answer_at.pop(place) for place in places.tolist()), strict=True)
        sizes = np.array([len(answer) for answer in answers])
        self.text = np.repeat(np.arange(len(answers)), sizes)
        self.token = np.array([token for answer in answers for token in answer])
        back = np.concatenate([np.arange(size)[::-1] for size in sizes]) + self.to_the_end
        self.end = tree.paths[np.arange(len(answers)), tree.lengths - 1]
        nodes, self.line = np.unique(tree.paths[self.text, tree.lengths[self.text] - 1 - back], return_inverse=True)
        return nodes

    def logprob(self, logits: torch.Tensor) -> np.ndarray:
        """Of each token of each answer: float64, natural logarithms."""
        line, token = (torch.from_numpy(array).to(logits.device) for array in (self.line, self.token))
        scores: np.ndarray = (logits[line, token] - logits.logsumexp(-1)[line]).cpu().double().numpy()
        return scores

    def read(self) -> list[Item]:
        """The items that entered, in the order of their first places; they are done with."""
        firsts = sorted(set(self.first))
        items = [self.items[first] for first in firsts]
        for first in firsts:
            self.finish(first)
        self.keep(np.empty(0, dtype=np.int64))
        return items


@dataclass(frozen=True)
class GivenAnswer:
    """How one answer is read."""

    logprob: float  # sum over its tokens, natural logarithm
    tokens: int
    fits: bool  # each of its tokens is the most probable one behind those before it: greedy decoding would begin with this answer


@dataclass(frozen=True)
class _Item:
    at: int
    ids: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]


class _Forced(Reading[_Item]):
    def advance(self, reads: list[Read]) -> list[tuple[int, GivenAnswer]]:
        """Place among the questions, how its answer is read: of all that entered."""
        ((_, logits),) = reads
        best = logits.max(-1).indices.cpu().numpy()[self.line] == self.token  # of equal ones the one that greedy decoding takes
        logprob, texts = finite(self.logprob(logits.float())), len(self.first)
        totals, sizes = np.bincount(self.text, logprob, texts), np.bincount(self.text, minlength=texts)
        fits = np.bincount(self.text, best, texts) == sizes
        place = {first: at for at, first in enumerate(self.first)}
        told = [GivenAnswer(float(totals[at]), int(sizes[at]), bool(fits[at])) for at in range(texts)]
        items, order = self.read(), sorted(place)
        return [(item.at, told[place[first]]) for item, first in zip(items, order, strict=True)]


def given_answers(
    loaded: LoadedModel, questions: Sequence[tuple[Sequence[int], Sequence[int]]], batch_size: int | None = None
) -> list[GivenAnswer]:
    """How each answer is read behind its prompt: `questions` are (prompt's token ids, answer's, at least one), results in their order.

    At most `batch_size` are read together. Weights may change between two calls. Raises `OutOfMemory` when a single question has no
    room, `ModelUnavailable` for logits that are not numbers.
    """
    if not questions:
        return []
    items = [_Item(at, tuple(ids), (tuple(answer),)) for at, (ids, answer) in enumerate(questions)]
    items.sort(key=lambda item: (item.ids, item.answers))
    told: dict[int, GivenAnswer] = {}
    with drawing.naming(loaded):
        if packs(loaded):
            longest = max(len(item.ids) + len(item.answers[0]) for item in items)
            size = batch_size or capacity.at_once(loaded, longest, max(len(item.answers[0]) for item in items), 0)
            for some in _Forced(packed.PackedModel(loaded), Load(size, size, 1), 0, HINT).run(items):
                told.update(some)
        else:
            for batch, answer in drawing.halving([[item] for item in items], lambda batch: _alone(loaded, batch[0]), HINT):
                told[batch[0].at] = answer
    return [told[at] for at in range(len(questions))]


@torch.no_grad()
def _alone(loaded: LoadedModel, item: _Item) -> GivenAnswer:
    """By a plain pass, for models that can't be read in packed form."""
    (answer,) = item.answers
    ids: Any = torch.tensor([[*item.ids, *answer[:-1]]], device=loaded.model.device)
    logits = loaded.model(input_ids=ids, use_cache=False).logits[0, len(item.ids) - 1 :]
    tokens = torch.tensor(answer, device=logits.device)
    logprob = torch.log_softmax(logits.float(), -1).gather(1, tokens[:, None])
    total = finite(logprob.cpu().double().numpy()).sum()
    return GivenAnswer(float(total), len(answer), bool((logits.max(-1).indices == tokens).all()))


def finite(logprob: np.ndarray) -> np.ndarray:
    """The same log-probabilities. Raises `ModelUnavailable` unless they are numbers."""
    if not np.isfinite(logprob).all():
        raise ModelUnavailable(
            "The model's logits are not numbers (NaN or infinite), so it can't answer. Training may have diverged: lower the learning rate."
        )
    return logprob
