"""The adaptive probe: the exact sampler, stopped for each fact as soon as its level is clear (METHOD 8.10).

Every template starts; of each, the first few samples are drawn to their ends, then a few more where the level is still
open. What is drawn is what the full probe draws, with the same numbers, so that a fact that goes all the way has the full
probe's completions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sftqa_core.memory.deciding import level_probabilities
from sftqa_core.memory.decoder import Load, Read
from sftqa_core.memory.drawing import StopWatch
from sftqa_core.memory.packed import PackedModel
from sftqa_core.memory.sampling import Prompt
from sftqa_core.memory.shared_prefix import SampleRows
from sftqa_core.records import LevelScheme

if TYPE_CHECKING:
    from sftqa_core.models.loading import LoadedModel

ROUNDS = (0.3, 0.6, 1.0)  # shares of a template's samples that are drawn before the level is looked at


@dataclass(frozen=True)
class Decided:
    """One fact's level."""

    fact_id: str
    hits: tuple[int, ...]  # of each template's first `seen` samples
    seen: int  # samples of each template that count
    score: float  # the memory score expected of the full probe
    level: int
    confidence: float  # probability that the full probe gives this level; 1 when it was drawn to its end


class AdaptiveProbe:
    """At most `batch_size` prompts, waiting ones among them, are under way together, whole facts at a time."""

    def __init__(self, loaded: LoadedModel, batch_size: int):
        self.model = PackedModel(loaded)
        self.batch_size = batch_size
        self.watch = StopWatch.of(loaded)

    def decide(self, facts: Iterable[list[Prompt]], scheme: LevelScheme) -> Iterator[list[Decided]]:
        """The levels of facts, some at a time. A fact is the list of all its prompts, in the templates' order."""
        load = Load(self.batch_size, max(1, self.batch_size // 8), self.batch_size)
        return _Deciding(self.model, load, scheme, self.watch).run(facts)


class _Deciding(SampleRows[list[Prompt]]):
    """Facts in rounds: `allowed` grows where the level is open, and rows go where it is clear."""

    def __init__(self, model: PackedModel, load: Load, scheme: LevelScheme, watch: StopWatch):
        self.scheme = scheme
        self.rounds = sorted({max(1, round(share * scheme.sampling.samples)) for share in ROUNDS})
        super().__init__(model, load, scheme.sampling, watch)

    def begin(self) -> None:
        """See `Decoder`."""
        super().begin()
        self.hit = np.zeros((self.load.places, self.settings.samples), dtype=bool)
        self._fact_at = np.zeros(self.load.places, dtype=np.int64)  # place -> first place of its fact

    def texts(self, item: list[Prompt]) -> list[tuple[int, ...]]:
        """See `Decoder`."""
        return [prompt.ids for prompt in item]

    def entered(self, items: list[tuple[list[Prompt], np.ndarray]]) -> None:
        """See `Decoder`."""
        places = np.concatenate([own for _, own in items])
        self.take([prompt for fact, _ in items for prompt in fact], places, self.rounds[0])
        self.hit[places] = False
        self._fact_at[places] = np.concatenate([np.full(len(own), own[0]) for _, own in items])

    def advance(self, reads: list[Read]) -> list[Decided]:
        """One more token of the samples that count; returns the facts whose level is clear."""
        self.draw(reads)
        decided: list[Decided] = []
        while settled := self._settled():
            found = self._judged(settled)
            over = [first for first, fact in found.items() if fact is not None]
            self.remove(np.flatnonzero(np.isin(self._fact_at[self.place], over)))
            for first in over:
                self.finish(first)
            decided += [fact for fact in found.values() if fact is not None]
        return decided

    def stopped(self, row: int, stop: str, text: str, samples: np.ndarray) -> None:
        """See `SampleRows`."""
        self.hit.ravel()[samples] = stop == "hit" or self.prompts[int(self.place[row])].answers.find(text) is not None

    def _settled(self) -> list[int]:
        """Open facts, by first place, of which no sample that counts is still under way."""
        busy = set(self._fact_at[self.place[self.ready()]].tolist())
        return [first for first in self.items if first not in busy]

    def _judged(self, facts: list[int]) -> dict[int, Decided | None]:
        """The level of each fact where it is clear; where it is not, None, and more samples are allowed."""
        alike: dict[tuple[int, int], list[int]] = defaultdict(list)
        for first in facts:
            alike[len(self.places_of[first]), int(self.allowed[first])].append(first)
        found: dict[int, Decided | None] = {}
        for (_, seen), group in alike.items():
            hits = np.stack([self.hit[self.places_of[first], :seen].sum(axis=1) for first in group])
            chances, scores = level_probabilities(hits, seen, self.scheme)
            found |= {f: self._judge(f, h, c, float(s), seen) for f, h, c, s in zip(group, hits, chances, scores, strict=True)}
        return found

    def _judge(self, first: int, hits: np.ndarray, chances: np.ndarray, score: float, seen: int) -> Decided | None:
        level, confidence = int(chances.argmax()), float(chances.max())
        if confidence >= self.scheme.confidence or seen == self.settings.samples:
            fact_id = self.items[first][0].fact_id
            return Decided(fact_id, tuple(map(int, hits)), seen, score, level, min(confidence, 1.0))
        self.allowed[self.places_of[first]] = next(size for size in self.rounds if size > seen)
        return None
