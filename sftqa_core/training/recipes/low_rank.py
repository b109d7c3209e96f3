"""Heavy: LoRA's matrices as numbers: their averages over clients, what an average loses, and models that have them in their weights.

An adapter adds s B A to each of its layers' weights, with B [out, r], A [r, in] and s = alpha / r. Everything is computed in float64.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict

from sftqa_core.models import loading
from sftqa_core.models.loading import LoadedModel
from sftqa_core.records import TrainSettings
from sftqa_core.training import adapters

SCALE = float(adapters.LORA_ALPHA_PER_RANK)  # alpha / r
_BEFORE, _A, _B = "base_model.model.", ".lora_A.weight", ".lora_B.weight"  # of peft's names

Factors = dict[str, tuple[torch.Tensor, torch.Tensor]]  # layer -> A [r, in] and B [out, r], on the CPU
Update = dict[str, torch.Tensor]  # layer -> what is added to its weight, [out, in], float64


def factors_of(tuned: LoadedModel) -> Factors:
    """The matrices of a model with an adapter."""
    state = {name: value.detach().float().cpu().clone() for name, value in get_peft_model_state_dict(tuned.model).items()}
    layers = [name.removeprefix(_BEFORE).removesuffix(_A) for name in state if name.endswith(_A)]
    return {layer: (state[f"{_BEFORE}{layer}{_A}"], state[f"{_BEFORE}{layer}{_B}"]) for layer in layers}


def adapter_on(base: LoadedModel, settings: TrainSettings, factors: Factors) -> LoadedModel:
    """`base` with an adapter of these matrices beside its weights."""
    with adapters.own_gradients(base.model):
        model = adapters.trainable(base.model, settings)
        both = [(f"{_BEFORE}{layer}{end}", matrix) for layer, pair in factors.items() for end, matrix in zip((_A, _B), pair, strict=True)]
        set_peft_model_state_dict(model, dict(both))
    model.eval()
    return replace(base, model=model, fingerprint=adapters.tuned_fingerprint(model, base))


def averaged(clients: Sequence[Factors], weights: Sequence[float]) -> Factors:
    """The weighted means of A and of B, apart, in float64. `weights` add up to 1."""

    def mean(matrices: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack([weight * matrix.double() for weight, matrix in zip(weights, matrices, strict=True)]).sum(0)

    return {layer: (mean([own[layer][0] for own in clients]), mean([own[layer][1] for own in clients])) for layer in clients[0]}


def as_held(factors: Factors) -> Factors:
    """The matrices in float32, as an adapter holds them."""
    return {layer: (a.float(), b.float()) for layer, (a, b) in factors.items()}


def update_of(factors: Factors) -> Update:
    """s B A of every layer."""
    return {layer: SCALE * (b.double() @ a.double()) for layer, (a, b) in factors.items()}


def mean_update(clients: Sequence[Factors], weights: Sequence[float]) -> Update:
    """The weighted mean of s B A."""
    total: Update = {}
    for weight, own in zip(weights, clients, strict=True):
        for layer, update in update_of(own).items():
            total[layer] = total[layer] + weight * update if layer in total else weight * update
    return total


def difference(first: Update, second: Update) -> Update:
    """`first` minus `second`, layer by layer."""
    return {layer: first[layer] - second[layer] for layer in first}


def relative(part: Update, whole: Update) -> float:
    """Frobenius norm of `part` over all layers, relative to that of `whole`; 0 where both are 0."""
    norm = norm_of(whole)
    return norm_of(part) / norm if norm else 0.0


def norm_of(update: Update) -> float:
    """Frobenius norm over all layers."""
    return math.sqrt(sum(float((matrix**2).sum()) for matrix in update.values()))


def weights_of(base: LoadedModel, layers: Iterable[str]) -> Update:
    """The layers' weights as they are now, [out, in]."""
    transposed = loading.transposed(base.model)
    found = {layer: base.model.get_submodule(layer).weight.detach().double().cpu() for layer in layers}
    return {layer: weight.T if transposed else weight for layer, weight in found.items()}


def with_update(base: LoadedModel, update: Mapping[str, torch.Tensor], *, copied: bool = True) -> LoadedModel:
    """A model with `update` in its weights, in float32. Without `copied` it is `base` itself that changes."""
    model, transposed = (copy.deepcopy(base.model).float() if copied else base.model), loading.transposed(base.model)
    with torch.no_grad():
        for layer, change in update.items():
            weight = model.get_submodule(layer).weight
            weight.copy_(weight.cpu().double() + (change.T if transposed else change))  # on the CPU: not every device has float64
    return replace(base, model=model.eval(), fingerprint=adapters.tuned_fingerprint(model, base))


def merged(base: LoadedModel, factors: Factors, number_format: torch.dtype, *, copied: bool = True) -> LoadedModel:
    """A whole model with the adapter in its weights, added in float32, then in `number_format`. `copied`: see `with_update`."""
    whole = with_update(base, update_of(factors), copied=copied)
    whole.model.to(number_format)
    return replace(whole, fingerprint=adapters.tuned_fingerprint(whole.model, base))


def stored(clients: Sequence[Factors]) -> pd.DataFrame:
    """Matrices as a table: client, layer, rank, a, b (bytes of float32)."""
    rows = [
        (at, layer, len(a), a.numpy().tobytes(), b.numpy().tobytes()) for at, own in enumerate(clients) for layer, (a, b) in own.items()
    ]
    return pd.DataFrame(rows, columns=["client", "layer", "rank", "a", "b"])


def read(table: pd.DataFrame) -> list[Factors]:
    """What `stored` made a table of."""
    clients: dict[int, Factors] = {}
    for client, layer, rank, a, b in table.itertuples(index=False):
        first, second = (torch.from_numpy(np.frombuffer(matrix, dtype=np.float32).copy()) for matrix in (a, b))
        clients.setdefault(client, {})[layer] = (first.reshape(rank, -1), second.reshape(-1, rank))
    return list(clients.values())
