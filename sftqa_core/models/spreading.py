"""Heavy: one model over several GPUs, whole layers on each, so that models larger than one GPU can be read.

accelerate's hooks hand what a layer works on to the layer's own GPU, one GPU at a time; keys and values stay with their layer
(engine/packed.py). Inputs go to the first GPU, and logits come back to it. The numbers are those of one GPU.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import dispatch_model, init_empty_weights

Device = int | str  # accelerate's names: GPUs by number, else "cpu" or "disk"


def layer_places(model: Any, devices: Sequence[Device]) -> dict[str, Device]:
    """Name of a module -> device, so that every device gets about the same bytes, in the order in which the model runs.

    What has no parameters (rotary angles) and an output layer that shares its numbers with the embeddings stay with these, on the
    first. `model` may be without numbers (`init_empty_weights`).
    """
    units = list(_units(model, "", set(model._no_split_modules or ())))
    head = model.get_output_embeddings()
    shared = head is not None and head.weight is model.get_input_embeddings().weight
    tied = next((name for name, module in model.named_modules() if module is head), None) if shared else None
    sizes = [0 if name == tied else sum(p.numel() * p.element_size() for p in module.parameters()) for name, module in units]
    places, before, total = {}, 0, max(1, sum(sizes))
    for (name, _), size in zip(units, sizes, strict=True):
        places[name] = devices[int(len(devices) * (before + size / 2) / total) if size else 0]
        before += size
    return places


def places_of(config: Any, devices: Sequence[Device]) -> dict[str, Device]:
    """The same for a model of which only the configuration is there."""
    from transformers import AutoModelForCausalLM

    with init_empty_weights():
        model = AutoModelForCausalLM.from_config(config)
    model.tie_weights()
    return layer_places(model, devices)


def spread(model: Any, places: dict[str, Device], offload: Path | None = None) -> Any:
    """Divide a model whose numbers are in main memory; returns the same object. `offload`: folder for layers placed on "disk"."""
    main = next(iter(places.values()))
    skipped = model._skip_keys_device_placement  # a model's own cache finds its devices itself
    return dispatch_model(model, places, main_device=main, offload_dir=offload, skip_keys=skipped, force_hooks=True)


def is_spread(model: Any) -> bool:
    """Whether parts of a model lie on different devices."""
    return len(set(getattr(model, "hf_device_map", {}).values())) > 1


def _units(module: Any, name: str, whole: set[str]) -> Iterator[tuple[str, Any]]:
    """Modules that stay whole, in the order of the model: its layers (classes in `whole`), and the modules outside them."""
    for child_name, child in module.named_children():
        full = f"{name}.{child_name}" if name else child_name
        layers = isinstance(child, torch.nn.ModuleList) or any(isinstance(part, torch.nn.ModuleList) for part in child.children())
        if type(child).__name__ not in whole and layers:
            yield from _units(child, full, whole)
        else:
            yield full, child
