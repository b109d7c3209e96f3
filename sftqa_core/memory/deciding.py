"""Which level would the full probe give? Predicted from the first samples of every template (METHOD 8.10).

The model: a fact has a mean hit rate m and a concentration c; each of its templates has a rate of its own from
Beta(cm, c(1 - m)), and its samples hit at that rate. What the samples still to come will hit is then beta-binomial for each
template, and their sum over the templates, mixed over what m and c may be, says how likely each level is. The prior over
m and c is the same for every fact and every model, so a fact's result does not depend on its company.
"""

from __future__ import annotations

from functools import lru_cache
from math import lgamma

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sftqa_core.memory.scores import level_of
from sftqa_core.records import LevelScheme

# Mean rates, the small ones close together because level 0 means no hit at all; rates of templates spread wide or less so.
_MEANS = np.array([0.0005, 0.002, 0.006, 0.015, 0.03, *np.arange(0.06, 0.95, 0.04), 0.97, 0.99, 0.998])
_WEIGHTS = np.array([1.0, 1.0, 2.0, 2.0, 1.5, *np.ones(len(_MEANS) - 5)])  # set on atlas-llama's train facts
_CONCENTRATIONS = np.array([0.4, 1.2, 4.0])
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
    found = np.stack([np.where(levels == level, more, 0).sum(axis=1) for level in range(len(scheme.labels))], axis=1)
    return found, (more * scores).sum(axis=1)


def _hits_to_come(counts: NDArray[np.int64], seen: int, samples: int) -> NDArray[np.float64]:
    """P(hits among the samples still to come, over all templates): [facts, templates x (samples - seen) + 1]."""
    most = counts.shape[1] * (samples - seen)
    length = 1 << most.bit_length()
    loglikelihood, transforms = _tables(seen, samples, length)
    templates = (counts[:, :, None] == np.arange(seen + 1)).sum(axis=1)  # [facts, hits]: how many templates had so many
    posterior = templates @ loglikelihood.T + np.log(_prior())
    posterior = np.exp(posterior - posterior.max(axis=1, keepdims=True))
    posterior /= posterior.sum(axis=1, keepdims=True)
    fact, point = np.nonzero(posterior > _NEGLIGIBLE)
    # the sum of independent numbers: the product of their transforms, each as often as there are templates like it
    products = np.exp(np.einsum("pt,ptf->pf", templates[fact].astype(np.complex64), transforms[point]))
    starts = np.flatnonzero(np.diff(fact, prepend=-1))
    spectrum = np.add.reduceat(posterior[fact, point, None] * products, starts, axis=0)
    chances = np.fft.irfft(spectrum, length, axis=1)[:, : most + 1].clip(0)
    return chances / chances.sum(axis=1, keepdims=True)


def _prior() -> NDArray[np.float64]:
    """Weights of all (m, c), m by m."""
    return np.repeat(_WEIGHTS / _WEIGHTS.sum() / len(_CONCENTRATIONS), len(_CONCENTRATIONS))


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
