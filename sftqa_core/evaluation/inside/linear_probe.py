"""A linear probe: can a right answer be told from a wrong one by the model's hidden state (METHOD 10.3, internal K)?

Rows are candidates, each with the hidden state at its last token. The probe is a direction in which the right answer of a fact lies
farther than its wrong ones: ridge regression of the differences right - wrong on 1, features scaled to one standard deviation. It is read
as it is learned: which share of a fact's pairs has the right answer farther.

What it is read on it has seen nothing of. Objects are in two halves, and a probe that learned from pairs of one half is read on pairs of
the other, both answers of a pair in the same half; the facts that it learns from have other subjects than those that it is read on. Layer
and strength of the penalty are chosen so on dev facts alone, which are cut in two by subject.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

STRENGTHS = (0.01, 0.1, 1.0, 10.0)  # of the penalty, in shares of the differences' mean square
LEAST_PAIRS = 60  # to learn a direction from
_Floats = NDArray[np.floating[Any]]
_Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Rows:
    """Candidates of facts, one right one a fact."""

    fact: _Numbers  # [rows] position of the fact
    right: NDArray[np.bool_]  # [rows]
    half: _Numbers  # [rows] which half of all objects the answer belongs to
    states: _Floats  # [layers, rows, hidden]

    def pairs(self, half: int | None = None, facts: NDArray[np.bool_] | None = None) -> tuple[_Numbers, _Numbers]:
        """Rows of the right and of the wrong answers of all pairs of one fact with both in the same half: in this one, if one is named,
        and of these `facts` [facts]."""
        right = np.flatnonzero(self.right)
        right_of = np.full(int(self.fact.max(initial=-1)) + 1, -1, dtype=np.int64)
        right_of[self.fact[right]] = right
        wrong = np.flatnonzero(~self.right)
        wrong = wrong[right_of[self.fact[wrong]] >= 0]
        partner = right_of[self.fact[wrong]]
        kept = self.half[wrong] == self.half[partner]
        if half is not None:
            kept &= self.half[wrong] == half
        if facts is not None:
            kept &= facts[self.fact[wrong]]
        return partner[kept], wrong[kept]


@dataclass(frozen=True, eq=False)
class Probe:
    """A learned probe."""

    layer: int  # position among the layers of the rows that it was learned from
    dev_share: float  # of pairs of dev facts that a probe with these settings ranks rightly, learned without their subjects and objects
    directions: _Floats  # [halves, hidden], of the half that it is to be read on

    def scores(self, states: _Floats, half: _Numbers) -> _Floats:
        """How far candidates [rows, hidden] with answers of these halves [rows] lie in the direction: [rows]."""
        scores: _Floats = np.einsum("rh,rh->r", states, self.directions[half])
        return scores


def learned(rows: Rows, first: NDArray[np.bool_]) -> Probe | None:
    """The probe of these dev facts; `first` [facts] says which part a fact's subject is in, of two. None where there are too few pairs."""
    trials = {}
    for layer, states in enumerate(rows.states):
        shares = np.zeros((len(STRENGTHS), 2))
        for half in (0, 1):
            for part in (first, ~first):
                directions = _directions(states, *rows.pairs(half, part))
                if directions is None:
                    return None
                right, wrong = rows.pairs(1 - half, ~part)
                ahead = (states[right] - states[wrong]) @ directions.T
                shares[:, 0] += (ahead > 0).sum(axis=0)
                shares[:, 1] += len(ahead)
        trials.update({(layer, at): ranked / max(of, 1) for at, (ranked, of) in enumerate(shares.tolist())})
    if not trials:
        return None
    layer, strength = max(trials, key=lambda trial: (trials[trial], trial))
    found = [_directions(rows.states[layer], *rows.pairs(1 - half)) for half in (0, 1)]  # to be read on `half`
    known = [directions[strength] for directions in found if directions is not None]
    return Probe(layer, trials[layer, strength], np.stack(known)) if len(known) == len(found) else None


def _directions(states: _Floats, right: _Numbers, wrong: _Numbers) -> _Floats | None:
    """A direction for each of STRENGTHS [strengths, hidden]; None where the pairs are too few."""
    if len(right) < LEAST_PAIRS:
        return None
    spread = states[np.concatenate([right, wrong])].std(axis=0).astype(np.float64) + 1e-6
    differences = (states[right] - states[wrong]) / spread
    left, sizes, axes = np.linalg.svd(differences, full_matrices=False)
    along = left.sum(axis=0) * sizes  # of a regression on 1
    mean_square = (sizes**2).mean()
    found: _Floats = np.stack([(along / (sizes**2 + strength * mean_square)) @ axes / spread for strength in STRENGTHS])
    return found


def pair_shares(scores: _Floats, pairs: tuple[_Numbers, _Numbers], facts: _Numbers, count: int) -> _Floats:
    """Of each of `count` facts the share of its pairs whose right answer has the higher score, ties half; NaN without pairs. `facts`
    [rows] as in `Rows`."""
    right, wrong = pairs
    won = (scores[right] > scores[wrong]) + 0.5 * (scores[right] == scores[wrong])
    of = np.bincount(facts[wrong], minlength=count)
    with np.errstate(invalid="ignore"):
        shares: _Floats = np.bincount(facts[wrong], won, count) / of
    return shares
