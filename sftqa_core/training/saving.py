"""Tuned weights on disk and their fingerprint.

What is written loads with plain libraries: `AutoModelForCausalLM.from_pretrained(folder)` after full fine-tuning, and
`PeftModel.from_pretrained(base, folder)` after LoRA. The tokenizer lies beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import PeftModel, get_peft_model_state_dict

from sftqa_core.jsonrecord import fingerprint
from sftqa_core.models.loading import no_progress_bar
from sftqa_core.models.origin import repository

if TYPE_CHECKING:
    from sftqa_core.models.catalogue import ModelFingerprint
    from sftqa_core.models.loading import LoadedModel


def save_tuned(tuned: LoadedModel, folder: Path) -> Path:
    """Write the adapter or the weights (safetensors, in the precision they run in), and the tokenizer."""
    with no_progress_bar():
        _save_model(tuned, folder)
        tuned.tokenizer.save_pretrained(folder)
    return folder


def _save_model(tuned: LoadedModel, folder: Path) -> None:
    model = tuned.model
    if isinstance(model, PeftModel):
        # Built-in models are told by name: where they lie differs from machine to machine.
        portable = tuned.card.path is None or tuned.card.kind in ("built-in", "hub")
        config = model.peft_config["default"]
        config.base_model_name_or_path = repository(tuned.card.name, tuned.card.kind) if portable else tuned.card.path
        config.revision = tuned.card.revision  # None unless it is the hub's
        model.save_pretrained(folder, save_embedding_layers=False)  # "auto" would ask the hub about the vocabulary
        (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card
    else:
        model.save_pretrained(folder)


def tuned_fingerprint(model: Any, base: LoadedModel) -> ModelFingerprint:
    """The base model's fingerprint with the tuned part's hash: `adapter` for LoRA, else `weights`."""
    if isinstance(model, PeftModel):
        state = state_sha256(get_peft_model_state_dict(model))
        under = base.fingerprint.adapter  # a base that was loaded with an adapter of its own, merged
        return replace(base.fingerprint, adapter=state if under is None else fingerprint([under, state]))
    return replace(base.fingerprint, weights=state_sha256(model.state_dict()), adapter=None)


def state_sha256(state: Mapping[str, torch.Tensor]) -> str:
    """16 hex digits of SHA-256 over names, shapes, types and bytes of a state dict, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
