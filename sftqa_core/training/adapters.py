"""What is trained: a copy of the whole model, or LoRA's small matrices beside the model's own.

LoRA goes to every linear layer but the output head, as QLoRA found best (arXiv 2305.14314, section 4). The layers are found by
walking the model, never guessed from its family's name: transformers' families call them differently, join some of them, and GPT-2
stores them the other way round (Conv1D). Layers in 4 bits (models/quantising.py) are linear layers like others: their weights are
read, and gradients go through them to the adapter.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers.pytorch_utils import Conv1D

from sftqa_core.errors import SettingsError
from sftqa_core.models.adapter import transposed, without_stale_warning
from sftqa_core.models.quantising import scales
from sftqa_core.records import TrainSettings

LORA_ALPHA_PER_RANK = 2  # alpha = 2 r, as in the miniature study (METHOD section 6: r = 8, alpha 16)


def trainable_copy(base: Any, settings: TrainSettings) -> Any:
    """A model to train beside `base`, which stays as it is: a float32 copy, or a copy that shares the base model's tensors."""
    if settings.method == "full":
        model = copy.deepcopy(base)
        for parameter in model.parameters():
            parameter.requires_grad_(True)
        return model.float()
    shared = {id(own): own for own in (*base.parameters(), *base.buffers(), *scales(base))}
    with without_stale_warning():
        return get_peft_model(copy.deepcopy(base, shared), lora_config(base, settings.lora_rank))


def lora_config(model: Any, rank: int) -> LoraConfig:
    """LoRA of this rank on all of `linear_layers`. Raises `SettingsError` for a model without any."""
    found = linear_layers(model)
    if not found:
        raise SettingsError(f"{type(model).__name__} has no linear layers that LoRA could sit on. Choose method full.")
    return LoraConfig(
        r=rank,
        lora_alpha=LORA_ALPHA_PER_RANK * rank,
        lora_dropout=0.0,
        target_modules=short_names(model, found),
        fan_in_fan_out=transposed(model),
        task_type="CAUSAL_LM",
    )


def lora_modules(model: Any) -> tuple[str, ...]:
    """What LoRA sits on, as `lora_config` named it; empty for a model without an adapter."""
    return tuple(name for config in getattr(model, "peft_config", {}).values() for name in sorted(config.target_modules))


def linear_layers(model: Any) -> list[str]:
    """Full names of the model's linear layers but the output head, in the model's order."""
    head = model.get_output_embeddings()
    return [name for name, module in model.named_modules() if isinstance(module, (torch.nn.Linear, Conv1D)) and module is not head]


def short_names(model: Any, found: list[str]) -> list[str]:
    """The last parts of these names, in order, each once, where they name nothing else in the model; else the full names.

    An adapter that says q_proj, k_proj and so on can be read, and fits the same family with more layers.
    """
    ends = list(dict.fromkeys(name.rpartition(".")[2] for name in found))
    meant = [name for name, _ in model.named_modules() if name.rpartition(".")[2] in ends]
    return ends if meant == found else found
