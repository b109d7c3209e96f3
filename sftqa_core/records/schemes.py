"""The level schemes that have a name: the paper's five levels, the same completions with other cut-offs, and SliCK's four levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import shown
from sftqa_core.records.measuring import LevelScheme, SamplerSettings

PAPER = LevelScheme()
SLICK = LevelScheme(
    name="slick",
    labels=("Unknown", "WeaklyKnown", "MaybeKnown", "HighlyKnown"),
    cutoffs=(),
    prompts="few-shot",
    sampling=SamplerSettings(samples=16, temperature=0.5, top_k=40, greedy=True),
)
SCHEMES = {"paper": PAPER, "slick": SLICK}  # by the name that a person types
OWN = "own-cutoffs"
MOST_CUTOFFS = 7  # of a scheme that a person sets by hand: eight levels
STEP = 0.01  # what hand-set cut-offs are multiples of


def with_cutoffs(cutoffs: Sequence[float], scheme: LevelScheme = PAPER) -> LevelScheme:
    """The same completions on other levels, L0 upwards; the paper's own cut-offs give the paper's scheme.

    Raises `SettingsError` unless there are one to seven, rising, from 0 to below 1; and for a scheme that has none.
    """
    if scheme.few_shot:
        raise SettingsError("SliCK's levels have no cut-offs: they follow from which answers were right. Choose the paper's levels.")
    if not 1 <= len(cutoffs) <= MOST_CUTOFFS:
        raise SettingsError(f"Give one to {MOST_CUTOFFS} cut-offs, for two to {MOST_CUTOFFS + 1} levels, got {len(cutoffs)}.")
    found = tuple(float(cut) for cut in cutoffs)
    if found == PAPER.cutoffs and scheme.labels == PAPER.labels:
        return scheme
    return replace(scheme, name=OWN, labels=tuple(f"L{at}" for at in range(len(found) + 1)), cutoffs=found)


def read_cutoffs(text: str) -> tuple[float, ...]:
    """Cut-offs as people and links write them: "0,0.2,0.4,0.6". Raises `SettingsError` for what is no number."""
    try:
        return tuple(float(piece) for piece in text.split(",") if piece.strip())
    except ValueError:
        raise SettingsError(f"Cut-offs are numbers with commas between, such as 0,0.25,0.5,0.75, got {shown(text)}.") from None


def written_cutoffs(scheme: LevelScheme) -> str:
    """A scheme's cut-offs as `read_cutoffs` reads them."""
    return ",".join(f"{cut:g}" if float(f"{cut:g}") == cut else repr(cut) for cut in scheme.cutoffs)
