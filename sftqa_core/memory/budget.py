"""Levels with fewer templates or samples, from hits that are stored: what a cheaper probe would have said. No inference.

Every smaller budget is a part of a larger one of the same repeat: the templates are put in an order of chance, anew for
each fact, and the samples of each template too; a budget takes the first of both. One cell of the curve is then what a
free draw of that size gives, and differences between cells are not blurred by separate draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sftqa_core.memory.agreement import confusion_of, kappa_interval, weighted_kappa
from sftqa_core.memory.scores import level_of
from sftqa_core.records import LevelScheme

COLUMNS = ("templates", "samples", "completions", "kappa", "low", "high", "same")
_TEMPLATES = (1, 2, 3, 5, 7, 10, 14, 21)
_SAMPLES = (1, 2, 3, 5, 7, 10)


def budget_curve(hits: ArrayLike, samples: int, reference: ArrayLike, scheme: LevelScheme, seed: int = 0, repeats: int = 5) -> pd.DataFrame:
    """How the levels of smaller probes agree with `reference`: hits [facts, templates] of `samples`, levels [facts].

    A row a budget, by templates, then samples: templates, samples, completions (templates x samples, per fact), kappa
    (linear weights, mean over repeats), low, high, same (share of facts on the same level). low and high are a 95%
    bootstrap over facts of the confusion pooled over repeats, each resample with as many facts as there are: what one
    probe of that size may show, so a little wider than the mean over repeats needs.

    A budget's hits are part of the full probe's. Where `reference` was made from the same hits the full budget's kappa is
    1, and a smaller one agrees better than a separate probe of its size would: `simulated_floor` says how far two probes
    agree. NaN with fewer than 2 facts and where kappa is undefined (`weighted_kappa`). Raises ValueError if hits are not 0
    to `samples`.
    """
    counts, rng = _checked(hits, samples), np.random.default_rng(seed)
    levels = len(scheme.labels)
    found: dict[tuple[int, int], list[NDArray[np.int64]]] = {}
    for _ in range(repeats):
        for templates, drawn, hit in _smaller(counts, samples, rng):
            confusion = confusion_of(reference, level_of(hit / (templates * drawn), scheme), levels)
            found.setdefault((templates, drawn), []).append(confusion)
    rows = [(t, s, t * s, *_row(np.stack(found[t, s]), rng)) for t, s in sorted(found)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def simulated_floor(hits: ArrayLike, samples: int, scheme: LevelScheme, seed: int = 0, repeats: int = 5) -> float:
    """Kappa between two full probes of an unchanged model, simulated: hits [facts, templates] of `samples`.

    Not measured: each template's rate is drawn from Beta(hits + 1/2, samples - hits + 1/2), and both probes from that
    rate; mean over repeats. The added halves lift nearly every fact that never hit above R = 0, so that the simulated
    probes hold hardly an L0: good for kappa, not for shares. NaN with fewer than 2 facts and where kappa is undefined.
    Raises ValueError if hits are not 0 to `samples`.
    """
    counts, rng = _checked(hits, samples), np.random.default_rng(seed)
    if len(counts) < 2 or not counts.size:
        return float("nan")
    kappas = []
    for _ in range(repeats):
        rate = rng.beta(counts + 0.5, samples - counts + 0.5)
        first, second = (level_of(rng.binomial(samples, rate).sum(1) / (samples * counts.shape[1]), scheme) for _ in range(2))
        kappas.append(weighted_kappa(confusion_of(first, second, len(scheme.labels))))
    return float(np.mean(kappas))


def _smaller(counts: NDArray[np.int64], samples: int, rng: np.random.Generator) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    """One repeat's budgets: templates, samples, hits within them [facts].

    Samples are taken one by one without putting back, so that after s of them a template has a hypergeometric count.
    """
    left = np.take_along_axis(counts, rng.random(counts.shape).argsort(1), 1)
    taken = np.zeros_like(left)
    for drawn in range(1, samples + 1):
        hit = rng.random(left.shape) * (samples - drawn + 1) < left
        taken += hit
        left -= hit
        if drawn in _up_to(samples, _SAMPLES):
            sums = taken.cumsum(1)
            yield from ((templates, drawn, sums[:, templates - 1]) for templates in _up_to(counts.shape[1], _TEMPLATES))


def _row(confusions: NDArray[np.int64], rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Confusions [repeats, levels, levels] of the same facts -> kappa, low, high, same."""
    pooled = confusions.sum(0)
    facts = int(pooled.sum()) // len(confusions)
    if facts < 2:
        return (float("nan"),) * 4
    kappa, same = float(weighted_kappa(confusions).mean()), float(np.trace(pooled) / pooled.sum())
    low, high = kappa_interval(pooled, rng, facts) if np.isfinite(kappa) else (kappa, kappa)
    return kappa, low, high, same


def _up_to(most: int, grid: Sequence[int]) -> list[int]:
    """The grid's numbers below `most`, and `most` itself if there is any."""
    return [number for number in grid if number < most] + [most] * (most > 0)


def _checked(hits: ArrayLike, samples: int) -> NDArray[np.int64]:
    counts = np.asarray(hits, dtype=np.int64)
    if counts.shape == (0,):
        return counts.reshape(0, 0)  # no facts, so no templates either
    if counts.size and not 0 <= counts.min() <= counts.max() <= samples:
        raise ValueError(f"Hits must be 0 to {samples} of each template, got {counts.min()} to {counts.max()}.")
    return counts
