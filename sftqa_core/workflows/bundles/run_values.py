"""What run.json of a bundle may say: each value of the kind that this program writes, and nothing that it does not write.

Every function raises ValueError, in words that follow the file's name, for a value of another kind. Names that are not known are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from sftqa_core.jsonrecord import shown
from sftqa_core.records import TrainSettings
from sftqa_core.workflows.bundles.bundle_names import is_place

_Judge = Callable[[str, Any], Any]
# of peft's LoraConfig what `lora_config` (training/adapters.py) sets, and what loading looks at besides
LORA_KEYS = (
    "peft_type", "task_type", "base_model_name_or_path", "revision", "inference_mode", "r", "lora_alpha", "lora_dropout",
    "target_modules", "fan_in_fan_out", "bias", "init_lora_weights",
)  # fmt: skip


def whole(name: str, value: Any) -> int:
    """A whole number that counts something."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise ValueError(f"{name} must be a whole number of 0 or more, got {shown(value)}")
    return value


def number(name: str, value: Any) -> float:
    """A finite number of 0 or more."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a finite number of 0 or more, got {shown(value)}")
    return float(value)


def text(name: str, value: Any) -> str:
    """A text."""
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a text, got {shown(value)}")
    return value


def trained_on(about: Mapping[str, Any], settings: TrainSettings, examples: int) -> int:
    """The run's n: as many as `examples` has lines, or as the settings ask for."""
    n = whole("n", about["n"])
    if n not in (examples, settings.n):
        raise ValueError(f"n is {n:,}, and the run has {examples:,} examples and settings for {settings.n:,}")
    return n


def moved(value: Any) -> list[int] | None:
    """How many levels moved, of how many; None where that was not measured."""
    if value is None:
        return None
    counts = [whole("moved_levels", count) for count in _list("moved_levels", value)]
    if len(counts) != 2 or not counts[0] <= counts[1] or not counts[1]:
        raise ValueError(f"moved_levels must be how many moved, of how many, got {shown(value)}")
    return counts


def told(about: Mapping[str, Any]) -> dict[str, Any]:
    """What is told of examples, training, guesses and recipe, as far as the run has it."""
    return {name: judge(name, about[name]) for name, judge in _TOLD.items() if name in about}


def lora(config: Any) -> dict[str, Any]:
    """An adapter's configuration with `LORA_KEYS` alone: others name code and servers that loading would ask for."""
    kept = _fields("adapter", config, _LORA)
    if kept.get("peft_type") != "LORA":
        raise ValueError(f"holds an adapter of type {shown(kept.get('peft_type'))}; this program writes LORA")
    if wrong := [value for value in (kept["base_model_name_or_path"], kept.get("revision")) if value is not None and is_place(value)]:
        raise ValueError(f"names {shown(wrong[0])}, a place on another machine")
    return kept


# ---- kinds ----
def _object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be an object, got {shown(value)}")
    return value


def _list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{name} must be a list, got {shown(value)}")
    return value


def _fields(name: str, value: Any, known: Mapping[str, _Judge]) -> dict[str, Any]:
    """Of an object the fields that are known."""
    there = _object(name, value)
    return {field: judge(f"{name}.{field}", there[field]) for field, judge in known.items() if field in there}


def _each(judge: _Judge) -> _Judge:
    """Of every value of an object."""
    return lambda name, value: {field: judge(f"{name}.{field}"[:80], item) for field, item in _object(name, value).items()}


def _every(judge: _Judge) -> _Judge:
    """Of every value of a list."""
    return lambda name, value: [judge(name, item) for item in _list(name, value)]


def _or_none(judge: _Judge) -> _Judge:
    return lambda name, value: None if value is None else judge(name, value)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, got {shown(value)}")
    return value


def _loss(name: str, value: Any) -> float:
    """NaN, too: a training may diverge."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"{name} must be a number, got {shown(value)}")
    return float(value)


def _modules(name: str, value: Any) -> Any:
    return value if isinstance(value, str) else _every(text)(name, value)


_TRAINING: dict[str, _Judge] = {
    "steps": whole, "planned_steps": whole, "kept_step": _or_none(whole), "cut": _flag, "trained_parameters": whole,
    "modules": _every(text), "final_loss": _or_none(_loss),
}  # fmt: skip
_STAGE: dict[str, _Judge] = {
    "name": text, "examples": whole, "steps": whole, "planned_steps": whole, "seconds": number, "learning_rate": number,
    "final_loss": _or_none(_loss), "last": _flag,
}  # fmt: skip
_RECIPE: dict[str, _Judge] = {
    "stages": _every(lambda name, value: _fields(name, value, _STAGE)), "tables": _each(whole), "notes": _every(text),
}  # fmt: skip
_GUESS: dict[str, _Judge] = {"answer": text, "split": text, "facts": whole, "of": whole}
_EXAMPLES: dict[str, _Judge] = {"counts": _each(_each(whole)), "probed": whole, "echo": whole, "seen": whole}
_TOLD: dict[str, _Judge] = {
    "examples": lambda name, value: _fields(name, value, _EXAMPLES),
    "training": lambda name, value: _fields(name, value, _TRAINING),
    "majority": _each(lambda name, value: _fields(name, value, _GUESS)),
    "recipe": lambda name, value: _fields(name, value, _RECIPE),
}
_LORA: dict[str, _Judge] = dict.fromkeys(("peft_type", "base_model_name_or_path", "bias"), text) | {
    "task_type": _or_none(text), "revision": _or_none(text), "r": whole, "lora_alpha": number, "lora_dropout": number,
    "target_modules": _or_none(_modules), **dict.fromkeys(("inference_mode", "fan_in_fan_out", "init_lora_weights"), _flag),
}  # fmt: skip
