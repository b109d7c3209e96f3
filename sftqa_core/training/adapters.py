"""What is trained: a copy of the whole model, or LoRA's small matrices beside the model's own; with which dropout.

LoRA goes to every linear layer but the output head, as QLoRA found best (arXiv 2305.14314, section 4). The layers are found by
walking the model, never guessed from its family's name: transformers' families call them differently, join some of them, and GPT-2
stores them the other way round (Conv1D). Layers in 4 bits (models/quantising.py) are linear layers like others: their weights are
read, and gradients go through them to the adapter.

What is written loads with plain libraries: `AutoModelForCausalLM.from_pretrained(folder)` after full fine-tuning, and
`PeftModel.from_pretrained(base, folder)` after LoRA. The tokenizer lies beside it.
"""

import copy
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from transformers import TrainerCallback
from transformers.pytorch_utils import Conv1D

from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import fingerprint
from sftqa_core.models import catalogue, loading, quantising
from sftqa_core.records import TrainSettings
from sftqa_core.training.objectives import PLAIN, Objective

LORA_ALPHA_PER_RANK = 2  # alpha = 2 r, as in the miniature study (METHOD section 6: r = 8, alpha 16)


def trainable(base: Any, settings: TrainSettings, objective: Objective = PLAIN, *, copied: bool = True) -> Any:
    """A model to train beside `base`, which stays as it is: a float32 copy, or a copy that shares the base model's tensors.

    Without `copied` full fine-tuning takes `base` itself, for a process in which nobody else needs it.
    """
    if settings.method == "full":
        model = (copy.deepcopy(base) if copied else base).requires_grad_(True).float()
    else:
        shared = {id(tensor): tensor for tensor in (*base.parameters(), *base.buffers(), *quantising.scales(base))}
        with loading.without_stale_warning():
            model = get_peft_model(copy.deepcopy(base, shared), lora_config(base, settings.lora_rank, settings.lora_dropout))
    objective.prepare(model)
    return model


def take_weights(model: Any, start: Any) -> None:
    """Give a trainable model the weights of one that was tuned by the same method: its adapter, or all of them."""
    if isinstance(model, PeftModel):
        set_peft_model_state_dict(model, get_peft_model_state_dict(start))
    else:
        model.load_state_dict(start.state_dict())


def trained_parameters(model: Any) -> int:
    """How many numbers the optimizer moves."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


@contextmanager
def own_gradients(base: Any) -> Iterator[None]:
    """Give the base model's parameters their requires_grad flags back: peft freezes the shared ones."""
    flags = [(parameter, parameter.requires_grad) for parameter in base.parameters()]
    try:
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


def lora_config(model: Any, rank: int, dropout: float = 0.0) -> LoraConfig:
    """LoRA of this rank on all of `linear_layers`. Raises `SettingsError` for a model without any."""
    layers = linear_layers(model)
    if not layers:
        raise SettingsError(f"{type(model).__name__} has no linear layers that LoRA could sit on. Choose method full.")
    return LoraConfig(
        r=rank,
        lora_alpha=LORA_ALPHA_PER_RANK * rank,
        lora_dropout=dropout,
        target_modules=short_names(model, layers),
        fan_in_fan_out=loading.transposed(model),
        task_type="CAUSAL_LM",
    )


class Dropout(TrainerCallback):
    """Keeps the dropout of the model's own layers, and of LoRA's, at what the settings say, in each step.

    A model's own are its dropout layers, and the probabilities that attention and other layers hold as numbers, whatever its family
    calls them. Afterwards all are as they were. Raises `SettingsError` for a model without any.
    """

    def __init__(self, model: Any, settings: TrainSettings):
        self._settings = settings
        self._own: list[tuple[Any, str, float]] = []
        self._lora: list[tuple[Any, str, float]] = []
        for name, module in model.named_modules():
            for attribute, value in vars(module).items():
                if isinstance(value, float) and ("dropout" in attribute or (attribute == "p" and isinstance(module, torch.nn.Dropout))):
                    (self._lora if ".lora_dropout." in name else self._own).append((module, attribute, value))
        if settings.dropout is not None and not self._own:
            raise SettingsError(f"{type(model).__name__} has no dropout in its layers: leave dropout out.")

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called before each step is made."""
        done, settings = state.global_step / state.max_steps, self._settings
        held = settings.dropout if done >= settings.dropout_from else None
        for module, attribute, before in self._own:
            setattr(module, attribute, before if held is None else held)
        for module, attribute, _ in self._lora:
            setattr(module, attribute, settings.lora_dropout if done >= settings.lora_dropout_from else 0.0)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called after the last step."""
        for module, attribute, before in (*self._own, *self._lora):
            setattr(module, attribute, before)


def lora_modules(model: Any) -> tuple[str, ...]:
    """What LoRA sits on, as `lora_config` named it; empty for a model without an adapter."""
    return tuple(name for config in getattr(model, "peft_config", {}).values() for name in sorted(config.target_modules))


def linear_layers(model: Any) -> list[str]:
    """Full names of the model's linear layers but the output head, in the model's order."""
    head = model.get_output_embeddings()
    return [name for name, module in model.named_modules() if isinstance(module, (torch.nn.Linear, Conv1D)) and module is not head]


def layer_parts(model: Any) -> dict[str, list[str]]:
    """Names of the parameters of attention and of the feed-forward part ("ffn") in all of a model's layers, adapters on them included.

    Found by walking the layers: what is called attention, or is of such a class, is attention; what else holds parameters and is no
    norm is the feed-forward part, whether its family puts it into a module of its own or not. Both are empty where there is no attention.
    """
    lists = [module for module in model.named_modules() if isinstance(module[1], torch.nn.ModuleList)]
    parts: dict[str, list[str]] = {"attention": [], "ffn": []}
    if not lists:
        return parts
    place, layers = max(lists, key=lambda found: sum(parameter.numel() for parameter in found[1].parameters()))
    for number, layer in enumerate(layers):
        for name, child in layer.named_children():
            kind = type(child).__name__.lower()
            if "norm" in kind:
                continue
            part = "attention" if "att" in name.lower() or "attention" in kind else "ffn"
            parts[part] += [f"{place}.{number}.{name}.{own}" for own, _ in child.named_parameters()]
    return parts if parts["attention"] else {part: [] for part in parts}


def short_names(model: Any, names: list[str]) -> list[str]:
    """The last parts of these names, in order, each once, where they name nothing else in the model; else the full names.

    An adapter that says q_proj, k_proj and so on can be read, and fits the same family with more layers.
    """
    ends = list(dict.fromkeys(name.rpartition(".")[2] for name in names))
    meant = [name for name, _ in model.named_modules() if name.rpartition(".")[2] in ends]
    return ends if meant == names else names


def save_tuned(tuned: loading.LoadedModel, folder: Path) -> Path:
    """Write the adapter or the weights (safetensors, in the precision they run in), and the tokenizer."""
    model, card = tuned.model, tuned.card
    with loading.no_progress_bar():
        if isinstance(model, PeftModel):
            config = model.peft_config["default"]
            # built-in models are named, not located: where they lie differs from machine to machine
            portable = card.path is None or card.kind in ("built-in", "hub")
            place = card.details.get("gguf", {}).get("file") or card.path  # what was read from GGUF can be read again
            config.base_model_name_or_path = catalogue.repository(card.name, card.kind) if portable else place
            config.revision = card.revision  # None unless it is the hub's
            model.save_pretrained(folder, save_embedding_layers=False)  # "auto" would ask the hub about the vocabulary
            (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card
        else:
            model.save_pretrained(folder)
        tuned.tokenizer.save_pretrained(folder)
    return folder


def tuned_fingerprint(model: Any, base: loading.LoadedModel) -> catalogue.ModelFingerprint:
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
