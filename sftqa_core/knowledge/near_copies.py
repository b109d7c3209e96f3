"""Texts that say nearly what another one says: by their longest common subsequence of words (ROUGE-L), and by fingerprints (SimHash).

ROUGE-L is RapidFuzz's, since the package rouge-score drops every letter that is not ASCII. SimHash has no package that is still kept.
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
    from rapidfuzz.distance import LCSseq

    common = LCSseq.similarity(first, second)
    return 2 * common / (len(first) + len(second)) if common else 0.0


@dataclass
class Library:
    """Texts that others may not be near-copies of."""

    most: float  # F above this is a near-copy
    _texts: dict[tuple[str, ...], None] = field(default_factory=dict)  # each once

    def add(self, text: str) -> None:
        """Keep a text."""
        self._texts[words_of(text)] = None

    def holds_like(self, text: str) -> bool:
        """Whether there is a text of which this one is a near-copy."""
        from rapidfuzz import process
        from rapidfuzz.distance import Indel

        words = words_of(text)  # Indel's similarity of two sequences is ROUGE-L's F
        best = process.extractOne(words, list(self._texts), scorer=Indel.normalized_similarity, score_cutoff=self.most) if words else None
        return best is not None and rouge_l(words, best[0]) > self.most


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
