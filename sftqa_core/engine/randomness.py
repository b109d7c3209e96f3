"""One uniform number per (seed, fact, template, sample, step), whatever is computed beside it (METHOD 8.1).

The generator is Philox4x32 with 10 rounds (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011):
it has no state, so a completion is the same in any batch, order, or sampler.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_ROUNDS = 10
GREEDY = -1.0  # in place of a uniform number: asks for the most probable token


def keys_of(names: Sequence[str]) -> NDArray[np.uint64]:
    """Names of up to 16 hex digits, like the ids of facts (16), as numbers of 64 bits."""
    return np.frombuffer(bytes.fromhex("".join(f"{name:0>16}" for name in names)), dtype=">u8").astype(np.uint64)


def uniforms(seed: int, fact: ArrayLike, template: ArrayLike, sample: ArrayLike, step: ArrayLike) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1) with 53 random bits, one per broadcast element.

    `fact` holds 64-bit keys (`keys_of`); `template` and `sample` must be below 2^16, `step` below 2^32.
    """
    facts = np.asarray(fact, dtype=np.uint64)
    stratum = (np.asarray(template, dtype=np.uint64) << np.uint64(16)) | np.asarray(sample, dtype=np.uint64)
    counter = np.broadcast_arrays(facts & _LOW, facts >> _HALF, stratum, np.asarray(step, dtype=np.uint64))
    first, second, _, _ = philox(tuple(counter), (seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF))
    bits = (first << _HALF) | second
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def philox(counter: tuple[NDArray[np.uint64], ...], key: tuple[int, int]) -> tuple[NDArray[np.uint64], ...]:
    """Philox4x32-10: four counter words and two key words (32 bits each, in uint64 arrays) to four random words."""
    a, b, c, d = counter
    for turn in range(_ROUNDS):
        keys = [np.uint64((word + turn * step) & 0xFFFFFFFF) for word, step in zip(key, _WEYL, strict=True)]
        left, right = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = (right >> _HALF) ^ b ^ keys[0], right & _LOW, (left >> _HALF) ^ d ^ keys[1], left & _LOW
    return a, b, c, d
