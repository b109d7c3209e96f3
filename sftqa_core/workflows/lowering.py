"""Which settings a job needs less memory with, one step after the other. Never loads torch."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from sftqa_core.errors import SftqaError
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.devices import SEPARATE, resolve_device
from sftqa_core.models.footprint import TuningStep, tuning
from sftqa_core.models.quantising import NF4, PACKAGE

_FEW_PROMPTS = 16  # for a probe that chose its own number and found no room
_USUAL_LENGTH = 32  # tokens of an example, where only a comparison is wanted
Settings = dict[str, Any]


def less_memory(kind: str, settings: Settings) -> Settings | None:
    """The settings to change so that a job needs less memory, filled in; None where nothing is left to lower.

    `kind` is a job's (probe, train, study or pretrain) and `settings` its record as JSON. One step at a time, what leaves the results
    as they are first: fewer prompts, or examples of a batch, at once; activations computed again. Then LoRA in place of full
    fine-tuning, which comes first where activations are little of what is needed; then, where bitsandbytes is installed, LoRA on
    weights in 4 bits; in the end the processor for a GPU.
    """
    batch, full = settings.get("batch_size"), settings.get("method") == "full"
    if kind not in ("train", "study"):
        if kind == "probe" and batch is None:
            return {"batch_size": _FEW_PROMPTS}
        return {"batch_size": batch // 2} if isinstance(batch, int) and batch > 1 else _processor(settings)
    if full and not _batch_weighs(settings):
        return _lora(settings)
    return _fewer_at_once(settings) or (_lora(settings) if full else _four_bits(settings) or _processor(settings))


def _fewer_at_once(settings: Settings) -> Settings | None:
    """The next smaller part of a batch, then gradient checkpointing; None where both are at their end."""
    batch, gpus = settings.get("batch_size"), _gpus(settings)
    at_once = settings.get("micro_batch") or batch
    if gpus > 1 and isinstance(batch, int) and batch > gpus:
        return {"batch_size": max(gpus, batch // 2 // gpus * gpus)}  # they share it evenly, and take no parts of it
    if gpus == 1 and isinstance(batch, int) and isinstance(at_once, int) and at_once > 1:
        return {"micro_batch": max(part for part in range(1, at_once // 2 + 1) if batch % part == 0)}
    return None if settings.get("gradient_checkpointing") else {"gradient_checkpointing": True}


def _lora(settings: Settings) -> Settings:
    """LoRA, at its own learning rate: one that suits full fine-tuning is too small for it."""
    return {"method": "lora", **({"learning_rate": None} if settings.get("learning_rate") is not None else {})}


def _four_bits(settings: Settings) -> Settings | None:
    """The base model's weights in 4 bits, on a device that can hold them so."""
    if settings.get("quantization") == NF4 or _gpus(settings) > 1 or find_spec(PACKAGE) is None:
        return None
    try:
        return None if resolve_device(str(settings.get("device", "auto"))) == "mps" else {"quantization": NF4}
    except SftqaError:
        return None


def _processor(settings: Settings) -> Settings | None:
    try:
        cpu = {"device": "cpu", **({"gpus": 1} if _gpus(settings) > 1 else {})}
        return cpu if resolve_device(str(settings.get("device", "auto"))) in SEPARATE else None
    except SftqaError:
        return None


def _gpus(settings: Settings) -> int:
    asked = settings.get("gpus", 1)
    return asked if isinstance(asked, int) and asked > 1 else 1


def _batch_weighs(settings: Settings) -> bool:
    """Whether what grows with the batch is most of what full fine-tuning of the largest model takes."""
    from sftqa_core.workflows.memory import model_shape  # which gives this module's advice

    try:
        device = resolve_device(str(settings.get("device", "auto")))
        found = [model_shape(find_model(name)) for name in settings.get("models") or [settings["model"]]]
    except (SftqaError, KeyError, OSError):
        return False
    largest = max((shape for shape in found if shape is not None), key=lambda shape: shape.parameters, default=None)
    if largest is None:
        return False
    used = tuning(largest, device, TuningStep("full", 0, settings.get("micro_batch") or settings.get("batch_size") or 1, _USUAL_LENGTH))
    return used.activations + used.logits > used.total / 2
