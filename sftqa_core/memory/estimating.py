"""Levels that are not fully sampled: by the adaptive probe, or by the likelihood of the answers (METHOD 8.10).

The adaptive probe is the exact sampler, stopped for each fact as soon as its level is clear.

Every template starts; of each, the first few samples are drawn to their ends, then a few more where the level is still
open. What is drawn is what the full probe draws, with the same numbers, so that a fact that goes all the way has the full
probe's completions.

Which level the full probe would give is predicted from these samples (`level_probabilities`). The model: a fact has a mean hit
rate m and a concentration c; each of its templates has a rate of its own from Beta(cm, c(1 - m)), and its samples hit at that
rate. What the samples still to come will hit is then beta-binomial for each template, and their sum over the templates, mixed
over what m and c may be, says how likely each level is. The prior over m and c is the same for every fact and every model, so a
fact's result does not depend on the other facts.

The likelihood estimate is how probable the answer is as the immediate continuation. One pass over the prompts with their answers,
nothing sampled. It misses an answer that comes after other words, or in other tokens or letters than those looked up, so it
never replaces the sampled score.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import lgamma
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sftqa_core.engine import decoder, drawing, given_answers, packed, sampling
from sftqa_core.errors import ModelUnavailable
from sftqa_core.memory.scores import level_of
from sftqa_core.models.loading import LINE_BREAK, LoadedModel, continuation
from sftqa_core.records import LevelScheme

# Mean rates, the small ones close together because level 0 means no hit at all; rates of templates spread wide or less so.
_MEANS = np.array([0.0005, 0.002, 0.006, 0.015, 0.03, *np.arange(0.06, 0.95, 0.04), 0.97, 0.99, 0.998])
_WEIGHTS = np.array([1.0, 1.0, 2.0, 2.0, 1.5, *np.ones(len(_MEANS) - 5)])  # set on atlas-llama's train facts
_CONCENTRATIONS = np.array([0.4, 1.2, 4.0])
_PRIOR = np.repeat(_WEIGHTS / _WEIGHTS.sum() / len(_CONCENTRATIONS), len(_CONCENTRATIONS))  # of all (m, c), m by m
ROUNDS = (0.3, 0.6, 1.0)  # shares of a template's samples that are drawn before the level is looked at
_NEGLIGIBLE = 1e-3  # posterior weight of a (m, c) that is passed over


def level_probabilities(hits: ArrayLike, seen: int, scheme: LevelScheme) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """P(level of the full probe) [facts, levels] and the expected memory score R [facts].

    `hits` [facts, templates] are those among each template's first `seen` samples of `scheme.sampling.samples`.
    """
    counts = np.asarray(hits, dtype=np.int64)
    samples = scheme.sampling.samples
    more = _hits_to_come(counts, seen, samples)
    totals = counts.sum(axis=1)[:, None] + np.arange(more.shape[1])
    scores = totals / (counts.shape[1] * samples)
    levels = level_of(scores, scheme)
    chances = np.stack([np.where(levels == level, more, 0).sum(axis=1) for level in range(len(scheme.labels))], axis=1)
    return chances, (more * scores).sum(axis=1)


def _hits_to_come(counts: NDArray[np.int64], seen: int, samples: int) -> NDArray[np.float64]:
    """P(hits among the samples still to come, over all templates): [facts, templates x (samples - seen) + 1]."""
    most = counts.shape[1] * (samples - seen)
    length = 1 << most.bit_length()
    loglikelihood, transforms = _tables(seen, samples, length)
    templates = (counts[:, :, None] == np.arange(seen + 1)).sum(axis=1)  # [facts, hits]: how many templates had so many
    posterior = templates @ loglikelihood.T + np.log(_PRIOR)
    posterior = np.exp(posterior - posterior.max(axis=1, keepdims=True))
    posterior /= posterior.sum(axis=1, keepdims=True)
    fact, point = np.nonzero(posterior > _NEGLIGIBLE)
    # the sum of independent numbers: the product of their transforms, each as often as there are templates like it
    products = np.exp(np.einsum("pt,ptf->pf", templates[fact].astype(np.complex64), transforms[point]))
    starts = np.flatnonzero(np.diff(fact, prepend=-1))
    spectrum = np.add.reduceat(posterior[fact, point, None] * products, starts, axis=0)
    chances = np.fft.irfft(spectrum, length, axis=1)[:, : most + 1].clip(0)
    return chances / chances.sum(axis=1, keepdims=True)


@lru_cache(maxsize=64)
def _tables(seen: int, samples: int, length: int) -> tuple[NDArray[np.float64], NDArray[np.complex64]]:
    """For each (m, c) and each number of hits in `seen`: its log-probability, and the logs of the Fourier transform of the
    distribution of the hits to come."""
    grid = [(c * m, c * (1 - m)) for m in _MEANS for c in _CONCENTRATIONS]
    rest = samples - seen
    likelihood = np.array([[_beta_binomial(hits, seen, a, b) for hits in range(seen + 1)] for a, b in grid])
    to_come = [
        [[_beta_binomial(more, rest, a + hits, b + seen - hits) for more in range(rest + 1)] for hits in range(seen + 1)] for a, b in grid
    ]
    transforms = np.fft.rfft(np.exp(to_come), length, axis=2)
    return likelihood, np.log(transforms + 1e-30).astype(np.complex64)


def _beta_binomial(hits: int, of: int, a: float, b: float) -> float:
    """Log-probability of `hits` of `of` when the rate is from Beta(a, b)."""
    ways = lgamma(of + 1) - lgamma(hits + 1) - lgamma(of - hits + 1)
    return ways + lgamma(hits + a) + lgamma(of - hits + b) - lgamma(of + a + b) + lgamma(a + b) - lgamma(a) - lgamma(b)


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

    def __init__(self, loaded: LoadedModel, batch_size: int, watch: decoder.Watch | None = None):
        self.model = packed.PackedModel(loaded, often=True)
        self.batch_size, self.watch = batch_size, watch
        self.stopping = drawing.StopCriteria.of(loaded)

    def decide(self, facts: Iterable[list[sampling.Prompt]], scheme: LevelScheme) -> Iterator[list[Decided]]:
        """The levels of facts, some at a time. A fact is the list of all its prompts, in the templates' order."""
        load = decoder.Load(self.batch_size, max(1, self.batch_size // 8), self.batch_size)
        return _Deciding(self.model, load, scheme, self.stopping).run(facts, self.watch)


class _Deciding(sampling.SampleRows[list[sampling.Prompt]]):
    """Facts in rounds: `allowed` grows where the level is open, and rows go where it is clear."""

    def __init__(self, model: packed.PackedModel, load: decoder.Load, scheme: LevelScheme, stopping: drawing.StopCriteria):
        self.scheme = scheme
        self.rounds = sorted({max(1, round(share * scheme.sampling.samples)) for share in ROUNDS})
        super().__init__(model, load, scheme.sampling, stopping)

    def begin(self) -> None:
        """See `Decoder`."""
        super().begin()
        self.hit = np.zeros((self.load.places, self.settings.samples), dtype=bool)
        self._fact_at = np.zeros(self.load.places, dtype=np.int64)  # place -> first place of its fact

    def texts(self, item: list[sampling.Prompt]) -> list[tuple[int, ...]]:
        """See `Decoder`."""
        return [prompt.ids for prompt in item]

    def entered(self, items: list[tuple[list[sampling.Prompt], np.ndarray]]) -> None:
        """See `Decoder`."""
        places = np.concatenate([at for _, at in items])
        self.take([prompt for fact, _ in items for prompt in fact], places, self.rounds[0])
        self.hit[places] = False
        self._fact_at[places] = np.concatenate([np.full(len(at), at[0]) for _, at in items])

    def advance(self, reads: list[decoder.Read]) -> list[Decided]:
        """One more token of the samples that count; returns the facts whose level is clear."""
        self.draw(reads)
        decided: list[Decided] = []
        while settled := self._settled():
            over = self._judged(settled)
            self.remove(np.flatnonzero(np.isin(self._fact_at[self.place], list(over))))
            for first in over:
                self.finish(first)
            decided += over.values()
        return decided

    def stopped(self, row: int, stop: str, text: str, samples: np.ndarray) -> None:
        """See `SampleRows`."""
        self.hit.ravel()[samples] = stop == "hit" or self.prompts[int(self.place[row])].answers.find(text) is not None

    def _settled(self) -> list[int]:
        """Open facts, by first place, of which no sample that counts is still under way."""
        busy = set(self._fact_at[self.place[self.ready()]].tolist())
        return [first for first in self.items if first not in busy]

    def _judged(self, facts: list[int]) -> dict[int, Decided]:
        """The facts whose level is clear; of the others more samples are allowed."""
        alike: dict[tuple[int, int], list[int]] = defaultdict(list)
        for first in facts:
            alike[len(self.places_of[first]), int(self.allowed[first])].append(first)
        clear: dict[int, Decided] = {}
        for (_, seen), group in alike.items():
            hits = np.stack([self.hit[self.places_of[first], :seen].sum(axis=1) for first in group])
            chances, scores = level_probabilities(hits, seen, self.scheme)
            for first, counts, chance, score in zip(group, hits.tolist(), chances, scores.tolist(), strict=True):
                level, confidence = int(chance.argmax()), float(chance.max())
                if confidence >= self.scheme.confidence or seen == self.settings.samples:
                    fact_id = self.items[first][0].fact_id
                    clear[first] = Decided(fact_id, tuple(counts), seen, score, level, min(confidence, 1.0))
                else:
                    self.allowed[self.places_of[first]] = next(size for size in self.rounds if size > seen)
        return clear


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
        self.model = packed.PackedModel(loaded, often=True)
        self.batch_size = batch_size

    def estimate(self, questions: Iterable[Question], temperature: float) -> Iterator[list[Estimate]]:
        """P(one of the answers comes next) of every question, some at a time, the earlier ones not much later than others.

        Raises `ModelUnavailable` for logits that are not numbers, `OutOfMemory` when there is no room for one question.
        """
        windows = sampling.windows(questions, sampling.WINDOW * self.batch_size)
        ordered = (q for window in windows for q in sorted(window, key=lambda question: question.ids))
        return _Estimating(self.model, decoder.Load(self.batch_size, self.batch_size, 1), temperature).run(ordered)


class _Estimating(given_answers.Reading[Question]):
    """P(one of a question's answers)."""

    def __init__(self, model: packed.PackedModel, load: decoder.Load, temperature: float):
        self.temperature = temperature
        super().__init__(model, load, 0, FEWER)

    def advance(self, reads: list[decoder.Read]) -> list[Estimate]:
        """The estimates of all that entered."""
        ((_, logits),) = reads
        logprob = self.logprob(logits.float() / self.temperature)
        if not np.isfinite(logprob).all():
            raise ModelUnavailable(
                "The model's logits are not numbers (NaN or infinite), so nothing can be estimated. Its weights are damaged, "
                "or overflow in this number format: load it in float32, or get the model again."
            )
        of_text = np.exp(np.bincount(self.text, weights=logprob))
        _, text_of = np.unique(self.first, return_inverse=True)
        chances = np.bincount(text_of, weights=of_text).clip(0, 1)
        return [(q.fact_id, q.template, float(chance)) for q, chance in zip(self.read(), chances, strict=True)]


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
