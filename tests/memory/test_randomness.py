"""Philox4x32-10 against its published answers, and the uniforms made from it."""

import numpy as np
import pytest

from sftqa_core.engine.randomness import keys_of, philox, uniforms

# philox4x32-10 lines of Random123's kat_vectors: counter, key, result
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_published_answers(counter, key, expected):
    """Philox4x32-10 gives the three published known answers."""
    words = philox(tuple(np.array([word], dtype=np.uint64) for word in counter), key)
    assert tuple(int(word[0]) for word in words) == expected


def test_element_is_independent_of_the_array_it_is_computed_in():
    """A number depends on its own counter only, and arguments broadcast."""
    key = int(keys_of(["00ff00ff12345678"])[0])
    block = uniforms(7, key, np.arange(21)[:, None, None], np.arange(10)[:, None], np.arange(32))
    assert block.shape == (21, 10, 32)
    assert block[20, 9, 31] == uniforms(7, key, 20, 9, 31)
    assert block[3, 4, 5] == uniforms(7, np.array([1, key], dtype=np.uint64), 3, 4, 5)[1]


def test_every_part_of_the_counter_matters():
    """Seed (low and high half), fact (low and high half), template, sample and step each change the number."""
    base = (5, 2**40 + 3, 1, 2, 3)
    changed = [(6, *base[1:]), (5 + 2**33, *base[1:]), (5, 2**40 + 4, 1, 2, 3), (5, 2**41 + 3, 1, 2, 3)]
    changed += [(5, base[1], 2, 2, 3), (5, base[1], 1, 3, 3), (5, base[1], 1, 2, 4)]
    values = [float(uniforms(*base))] + [float(uniforms(*c)) for c in changed]
    assert len(set(values)) == len(values)


def test_numbers_are_uniform_and_uncorrelated():
    """A million numbers have the mean, the spread and the evenness of uniforms and no correlation between steps or samples."""
    block = uniforms(0, keys_of(["c0ffee0000000001"]), np.arange(100)[:, None, None], np.arange(100)[:, None], np.arange(100))
    assert block.min() >= 0
    assert block.max() < 1
    assert abs(block.mean() - 0.5) < 0.0015
    assert abs(block.var() - 1 / 12) < 0.0008
    counts = np.histogram(block, bins=100, range=(0, 1))[0]
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 150  # chi-square with 99 degrees of freedom
    for axis in range(3):
        rolled = np.roll(block, 1, axis=axis)
        assert abs(np.corrcoef(block.ravel(), rolled.ravel())[0, 1]) < 0.005


def test_numbers_have_53_bits():
    """Every number is a multiple of 2^-53, and finer than 32 bits."""
    numbers = uniforms(0, np.arange(1000, dtype=np.uint64), 0, 0, 0) * 2.0**53
    assert (numbers == np.floor(numbers)).all()
    assert (numbers % 2**21 != 0).mean() > 0.99
