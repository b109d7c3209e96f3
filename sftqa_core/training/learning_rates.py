"""Learning rates to start from, by method and model size.

| parameters | full | LoRA | where it comes from |
|---|---|---|---|
| under 50 million | 4e-4 | 3e-3 | measured on the miniature models (METHOD section 6) |
| under 400 million | 6e-5 | 8e-4 | geometric middle of the neighbours; not measured |
| under 30 billion | 1e-5 | 2e-4 | full: the paper's for 7B to 70B (METHOD section 2); LoRA: QLoRA's for 7B, 13B |
| more | 1e-5 | 1e-4 | full: as above; LoRA: QLoRA's for 33B and 65B (arXiv 2305.14314, appendix) |

They are defaults, not claims: tune on dev facts (METHOD 8.5).

How many steps a run takes, and the learning rate of each.

Cosine with 10% warm-up, at least one step. transformers' own schedule starts warming up at 0, so that with the 8 steps
of n = 60 the first step, and 8 of the 60 examples, would change nothing; here the warm-up climbs through the steps
between 0 and the peak (with one step of warm-up: half the peak), and the last step's rate is above 0.
"""

from __future__ import annotations

import math

from sftqa_core.errors import SettingsError

_RATES = ((50e6, 4e-4, 3e-3), (400e6, 6e-5, 8e-4), (30e9, 1e-5, 2e-4), (float("inf"), 1e-5, 1e-4))
_UNKNOWN_SIZE = 1_000_000_000  # a model whose size nobody wrote down is most likely a real one: be careful with it


def default_learning_rate(method: str, parameters: int | None) -> float:
    """The peak learning rate for "full" or "lora" on a model of so many parameters (None: not known)."""
    if method not in ("full", "lora"):
        raise SettingsError(f"method must be one of full, lora, got {method!r}.")
    size = parameters or _UNKNOWN_SIZE
    full, lora = next((full, lora) for limit, full, lora in _RATES if size < limit)
    return full if method == "full" else lora


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
