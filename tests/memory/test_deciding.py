"""The prediction of the full probe's level from its first samples."""

import numpy as np
import pytest

from sftqa_core.memory.estimating import level_probabilities
from sftqa_core.memory.scores import level_of
from sftqa_core.records import LevelScheme, SamplerSettings

SCHEME = LevelScheme()


def drawn(facts, seed=0):
    """Facts with a rate of their own for each template; which of 10 samples hit: bool [facts, 21, 10]."""
    rng = np.random.default_rng(seed)
    means = rng.choice([0.001, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99], size=(facts, 1))
    rates = rng.beta(means, 1 - means, size=(facts, 21))
    return rng.random((facts, 21, 10)) < rates[..., None]


def test_probabilities_are_those_of_levels():
    """They add up to 1, and the expected score lies between what is certain and what is possible."""
    hits = drawn(50)[:, :, :3].sum(axis=2)
    chances, scores = level_probabilities(hits, 3, SCHEME)
    assert chances.shape == (50, 5)
    assert np.allclose(chances.sum(axis=1), 1, atol=1e-4)
    assert (scores >= hits.sum(axis=1) / 210 - 1e-6).all()
    assert (scores <= (hits.sum(axis=1) + 21 * 7) / 210 + 1e-6).all()


def test_with_every_sample_seen_the_level_is_certain():
    """After all samples the one level with probability 1 is the full probe's."""
    hits = drawn(80).sum(axis=2)
    chances, scores = level_probabilities(hits, 10, SCHEME)
    assert np.allclose(chances.max(axis=1), 1)
    assert (chances.argmax(axis=1) == level_of(hits.sum(axis=1) / 210, SCHEME)).all()
    assert np.allclose(scores, hits.sum(axis=1) / 210)


def test_clear_facts_are_clear_early_and_silent_ones_late():
    """Three hits of three everywhere are L4 at once; that no sample will ever hit is not sure after three misses each."""
    chances, _ = level_probabilities([[3] * 21, [0] * 21], 3, SCHEME)
    assert chances[0, 4] > 0.999
    assert 0.3 < chances[1, 0] < 0.95
    assert chances[1, :2].sum() > 0.999
    assert level_probabilities([[0] * 21], 8, SCHEME)[0][0, 0] > 0.9


@pytest.mark.parametrize("seen", [3, 5])
def test_confidence_is_honest(seen):
    """Levels called 95% sure are those of the full probe in at least 95 of 100 simulated facts, and many are called."""
    samples = drawn(1_500, seed=seen)
    full = level_of(samples.sum(axis=(1, 2)) / 210, SCHEME)
    chances, _ = level_probabilities(samples[:, :, :seen].sum(axis=2), seen, SCHEME)
    sure = chances.max(axis=1) >= 0.95
    assert sure.mean() > 0.3
    assert (chances.argmax(axis=1) == full)[sure].mean() >= 0.95


def test_other_schemes_and_numbers_of_templates():
    """Four levels, three templates and five samples: the labels' number and the borders are the scheme's."""
    scheme = LevelScheme("thirds", ("a", "b", "c", "d"), (0.0, 1 / 3, 2 / 3), sampling=SamplerSettings(samples=5))
    chances, scores = level_probabilities([[5, 5, 0], [0, 0, 0]], 5, scheme)
    assert chances.argmax(axis=1).tolist() == [2, 0]
    assert scores.tolist() == pytest.approx([2 / 3, 0])
