"""Optimizers to choose from, learning rates to start from, and the schedule. Loads torch only to make an optimizer.

| name | what | its state, bytes a trained parameter | learning rate |
|---|---|---|---|
| adamw | AdamW, betas 0.9 and 0.999 (the paper's, METHOD section 2) | 8 | see below |
| adamw_8bit | the same with its moments in 8 bits (arXiv 2110.02861), from bitsandbytes; needs CUDA | 2 | as adamw |
| adafactor | second moments by rows and columns (arXiv 1804.04235), steps relative to the weights' size | next to none | give one |
| sgd | plain, momentum 0.9 | 4 | give one |

None decays weights. Where the last column says "give one" no rate is known that suits fine-tuning on questions in general: a
default would be a guess. adamw_8bit has never run on a GPU here.

| parameters | full | LoRA | where AdamW's rate comes from |
|---|---|---|---|
| under 50 million | 4e-4 | 3e-3 | measured on the miniature models (METHOD section 6) |
| under 400 million | 1.2e-4 | 3.2e-3 | dev facts of EntityQuestions, 60 examples: the best mean of two models (docs/results.md) |
| under 30 billion | 1e-5 | 2e-4 | full: the paper's for 7B to 70B (METHOD section 2); LoRA: QLoRA's for 7B, 13B |
| more | 1e-5 | 1e-4 | full: as above; LoRA: QLoRA's for 33B and 65B (arXiv 2305.14314, appendix) |

They are defaults, not claims: tune on dev facts (METHOD 8.5).

The schedule is a cosine with 10% warm-up, at least one step. transformers' own starts warming up at 0, so that with the 8 steps
of n = 60 the first step, and 8 of the 60 examples, would change nothing; here the warm-up climbs through the steps
between 0 and the peak (with one step of warm-up: half the peak), and the last step's rate is above 0.
"""

from __future__ import annotations

import math
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

from sftqa_core.errors import MissingPackage, SettingsError
from sftqa_core.records import TrainSettings

if TYPE_CHECKING:
    import torch

MOMENTUM = 0.9
WARMUP_SHARE = 0.1
_LACKING = "Optimizer adamw_8bit needs bitsandbytes: pip install bitsandbytes. Or choose adamw."
_RATES = ((50e6, 4e-4, 3e-3), (400e6, 1.2e-4, 3.2e-3), (30e9, 1e-5, 2e-4), (float("inf"), 1e-5, 1e-4))
_UNKNOWN_SIZE = 1_000_000_000  # a model whose size nobody wrote down is most likely a real one: be careful with it


def default_learning_rate(method: str, parameters: int | None) -> float:
    """The peak learning rate for "full" or "lora" on a model of so many parameters (None: not known)."""
    if method not in ("full", "lora"):
        raise SettingsError(f"method must be one of full, lora, got {method!r}.")
    size = parameters or _UNKNOWN_SIZE
    full, lora = next((full, lora) for limit, full, lora in _RATES if size < limit)
    return full if method == "full" else lora


def learning_rate(settings: TrainSettings, parameters: int) -> float:
    """The run's peak rate. Raises `SettingsError` where none was given and none is known."""
    if settings.learning_rate is not None:
        return settings.learning_rate
    if not settings.optimizer.startswith("adamw"):
        raise SettingsError(f"Optimizer {settings.optimizer} has no default learning rate: set one.")
    return default_learning_rate(settings.method, parameters)


def training_steps(examples: int, batch_size: int, epochs: int) -> int:
    """Optimizer steps: the last, smaller batch of an epoch counts."""
    return math.ceil(examples / batch_size) * epochs


def examples_in(steps: int, examples: int, settings: TrainSettings) -> int:
    """How many examples that many steps have seen; the last step of an epoch may be a short one."""
    epochs, rest = divmod(steps, training_steps(examples, settings.batch_size, 1))
    return epochs * examples + min(examples, rest * settings.batch_size)


def warmup_steps(steps: int) -> int:
    """10% of the steps, rounded, at least one."""
    return max(1, round(WARMUP_SHARE * steps))


def learning_rate_factor(step: int, steps: int) -> float:
    """The share of the peak rate in step `step` (counted from 0) of `steps`; 0 after the last one."""
    warm = warmup_steps(steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))


def require_optimizer(name: str, torch_device: str) -> None:
    """Raise `SettingsError` or `MissingPackage` where the optimizer of that name can't be had on a device, by torch's name."""
    if name != "adamw_8bit":
        return
    if torch_device != "cuda":
        raise SettingsError("Optimizer adamw_8bit needs a GPU with CUDA. Choose adamw.")
    if find_spec("bitsandbytes") is None:
        raise MissingPackage(_LACKING)


def make_optimizer(name: str, parameters: list[Any], rate: float) -> torch.optim.Optimizer:
    """The optimizer of that name. Raises what `require_optimizer` does."""
    from torch import optim

    if name == "adafactor":
        return optim.Adafactor(parameters, lr=rate, weight_decay=0.0)
    if name == "sgd":
        return optim.SGD(parameters, lr=rate, momentum=MOMENTUM, weight_decay=0.0)
    adamw: Any = optim.AdamW
    if name == "adamw_8bit":
        require_optimizer(name, parameters[0].device.type)
        try:
            adamw = import_module("bitsandbytes.optim").AdamW8bit
        except ImportError as error:  # installed, and broken
            raise MissingPackage(_LACKING) from error
    return cast("optim.Optimizer", adamw(parameters, lr=rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0))
