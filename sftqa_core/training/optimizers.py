"""Optimizers to choose from.

| name | what | its state, bytes a trained parameter | learning rate |
|---|---|---|---|
| adamw | AdamW, betas 0.9 and 0.999 (the paper's, METHOD section 2) | 8 | learning_rates.py |
| adamw_8bit | the same with its moments in 8 bits (arXiv 2110.02861), from bitsandbytes; needs CUDA | 2 | as adamw |
| adafactor | second moments by rows and columns (arXiv 1804.04235), steps relative to the weights' size | next to none | give one |
| sgd | plain, momentum 0.9 | 4 | give one |

None decays weights. Where the last column says "give one" no rate is known that suits fine-tuning on questions in general: a
default would be a guess. adamw_8bit has never run on a GPU here.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

from sftqa_core.errors import MissingPackage, SettingsError
from sftqa_core.records import TrainSettings
from sftqa_core.training.learning_rates import default_learning_rate

if TYPE_CHECKING:
    import torch

MOMENTUM = 0.9
_LACKING = "Optimizer adamw_8bit needs bitsandbytes: pip install bitsandbytes. Or choose adamw."


def learning_rate(settings: TrainSettings, parameters: int) -> float:
    """The run's peak rate. Raises `SettingsError` where none was given and none is known."""
    if settings.learning_rate is not None:
        return settings.learning_rate
    if not settings.optimizer.startswith("adamw"):
        raise SettingsError(f"No learning rate is known that suits {settings.optimizer} in general: give one.")
    return default_learning_rate(settings.method, parameters)


def require_optimizer(name: str, torch_device: str) -> None:
    """Raise `SettingsError` or `MissingPackage` where the optimizer of that name can't be had on a device, by torch's name."""
    if name != "adamw_8bit":
        return
    if torch_device != "cuda":
        raise SettingsError("Optimizer adamw_8bit needs a GPU with CUDA. Choose adamw.")
    if find_spec("bitsandbytes") is None:
        raise MissingPackage(_LACKING)


def make_optimizer(name: str, parameters: list[Any], rate: float) -> torch.optim.Optimizer:
    """The optimizer of that name. Heavy. Raises what `require_optimizer` does."""
    import torch

    require_optimizer(name, parameters[0].device.type if name == "adamw_8bit" else "")
    if name == "adafactor":
        return torch.optim.Adafactor(parameters, lr=rate, weight_decay=0.0)
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=MOMENTUM, weight_decay=0.0)
    if name == "adamw_8bit":
        try:
            optimizers = import_module("bitsandbytes.optim")
        except ImportError as error:  # installed, and broken
            raise MissingPackage(_LACKING) from error
        return cast(torch.optim.Optimizer, optimizers.AdamW8bit(parameters, lr=rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0))
    return torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
