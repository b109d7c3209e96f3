"""How many steps a run takes, and the learning rate of each.

Cosine with 10% warm-up, at least one step. transformers' own schedule starts warming up at 0, so that with the 8 steps
of n = 60 the first step, and 8 of the 60 examples, would change nothing; here the warm-up climbs through the steps
between 0 and the peak (with one step of warm-up: half the peak), and the last step's rate is above 0.
"""

from __future__ import annotations

import math

WARMUP_SHARE = 0.1


def training_steps(examples: int, batch_size: int, epochs: int) -> int:
    """Optimizer steps: the last, smaller batch of an epoch counts."""
    return math.ceil(examples / batch_size) * epochs


def warmup_steps(steps: int) -> int:
    """10% of the steps, rounded, at least one."""
    return max(1, round(WARMUP_SHARE * steps))


def learning_rate_factor(step: int, steps: int) -> float:
    """The share of the peak rate in step `step` (counted from 0) of `steps`; 0 after the last one."""
    warm = warmup_steps(steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))
