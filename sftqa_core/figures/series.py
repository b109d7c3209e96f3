"""A logarithmic axis for numbers that start at 0."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import plotly.graph_objects as go

ZERO_GAP = 0.45  # on a log axis, in powers of ten: how far left of the smallest number 0 stands


class LogAxis:
    """Numbers of examples or mentions on a logarithmic axis where 0 has a place of its own at the left."""

    def __init__(self, numbers: Iterable[float]):
        self.numbers = sorted(set(numbers))
        positive = [number for number in self.numbers if number > 0]
        self._zero = math.log10(positive[0]) - ZERO_GAP if positive else 0.0

    def place(self, number: float) -> float:
        """Where a number stands."""
        return math.log10(number) if number > 0 else self._zero

    def draw(self, figure: go.Figure, ticks: Sequence[float]) -> None:
        """Label these numbers; where two stand too close the later one goes without."""
        kept: list[float] = []
        for tick in sorted(ticks):
            if not kept or self.place(tick) - self.place(kept[-1]) > 0.17:
                kept.append(tick)
        ends = [self.place(number) for number in (self.numbers[0], self.numbers[-1])] if self.numbers else [0.0, 1.0]
        figure.update_xaxes(
            tickvals=[self.place(tick) for tick in kept], ticktext=[f"{tick:,.0f}" for tick in kept], range=[ends[0] - 0.15, ends[1] + 0.15]
        )
