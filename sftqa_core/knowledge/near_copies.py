"""Texts that say nearly what another one says: by their longest common subsequence of words (ROUGE-L), and by fingerprints (SimHash).

A few lines each, and so kept here: the package rouge-score needs nltk and absl, and drops every letter that is not ASCII.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

_WORD = re.compile(r"\w+")
_BITS, _BLOCKS = 64, 4  # two fingerprints that differ in less bits than there are blocks agree in a whole block


def words_of(text: str) -> tuple[str, ...]:
    """Words as they are compared: casefolded, without punctuation."""
    return tuple(_WORD.findall(text.casefold()))


def rouge_l(first: tuple[str, ...], second: tuple[str, ...]) -> float:
    """ROUGE-L's F: the harmonic mean of the shares of either text's words that their longest common subsequence holds; 0 without words."""
    row = [0] * (len(second) + 1)
    for word in first:
        before = 0  # of the place to the left, in the row above
        for place, other in enumerate(second, start=1):
            before, row[place] = row[place], before + 1 if word == other else max(row[place], row[place - 1])
    return 2 * row[-1] / (len(first) + len(second)) if row[-1] else 0.0


@dataclass
class Library:
    """Texts that others may not be near-copies of."""

    most: float  # F above this is a near-copy
    _texts: dict[int, dict[tuple[str, ...], frozenset[str]]] = field(default_factory=dict)  # by their number of words

    def add(self, text: str) -> None:
        """Keep a text."""
        words = words_of(text)
        self._texts.setdefault(len(words), {})[words] = frozenset(words)

    def holds_like(self, text: str) -> bool:
        """Whether there is a text of which this one is a near-copy."""
        words, count = words_of(text), len(words_of(text))
        distinct = frozenset(words)
        for length, others in self._texts.items():
            if not count or 2 * min(length, count) <= self.most * (length + count):
                continue  # F can't be higher than with the shorter one inside the longer one
            needed = self.most * (length + count) / 2 - (count - len(distinct))  # words in common; of those that repeat all may be
            if any(len(distinct & of) > needed and rouge_l(words, other) > self.most for other, of in others.items()):
                return True
        return False


def simhash(text: str) -> int:
    """A fingerprint of 64 bits over words and pairs of neighbours: texts that share most of them differ in few bits (Charikar 2002)."""
    words = words_of(text)
    votes = [0] * _BITS
    for feature in (*words, *(f"{first} {second}" for first, second in pairwise(words))):
        value = int.from_bytes(hashlib.blake2b(feature.encode(), digest_size=_BITS // 8).digest())
        for bit in range(_BITS):
            votes[bit] += 1 if value >> bit & 1 else -1
    return sum(1 << bit for bit, vote in enumerate(votes) if vote > 0)


def near_copies(texts: Iterable[str], most: int = _BLOCKS - 1) -> list[bool]:
    """Whether each text's fingerprint differs in at most `most` (up to 3) bits from that of an earlier one which is none itself."""
    if most >= _BLOCKS:
        raise ValueError(f"most must be at most {_BLOCKS - 1}, got {most}.")
    width = _BITS // _BLOCKS
    seen: dict[tuple[int, int], list[int]] = {}
    copies = []
    for text in texts:
        value = simhash(text)
        blocks = [(block, value >> block * width & (1 << width) - 1) for block in range(_BLOCKS)]
        copies.append(any((value ^ other).bit_count() <= most for block in blocks for other in seen.get(block, ())))
        if not copies[-1]:
            for block in blocks:
                seen.setdefault(block, []).append(value)
    return copies
