"""Heavy: how far each parameter was moved by tuning, a ranking of that, and the first of them put back (METHOD sections 5, 10.2).

p is a parameter before, s after tuning. Differences are taken in float32; a tensor that stands in a model twice (tied weights) counts
once. Where p = 0 the relative change |s - p| / |p| has no value: a changed one ranks first, and is left out of sums. All parameters are
sorted once. Beside the two models this takes 16 bytes of RAM a parameter, as gradients and the optimizer did before, and 24 more where
chance undoes as large an update.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from peft import PeftModel

from sftqa_core.models import loading

SHARES = (0.01, 0.03, 0.05, 0.1, 0.2, 0.4, 0.6)  # of all parameters, as the paper has them
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]  # a tensor's, flat


def whole(model: Any) -> Any:
    """A tuned model with its adapter in its weights, a copy in float32 (the base's own tensors stay as they are); others as they are."""
    if not isinstance(model, PeftModel):
        return model
    with loading.without_stale_warning():
        return copy.deepcopy(model).float().merge_and_unload().eval()


@torch.no_grad()
def put_back(model: Any, base: Any, masks: dict[str, Mask]) -> None:
    """Give the chosen parameters of `model` their values in `base`, in place."""
    before = dict(base.named_parameters())
    for name, parameter in model.named_parameters():
        mask = torch.from_numpy(masks[name]).view(parameter.shape).to(parameter.device)
        parameter.copy_(torch.where(mask, before[name].to(parameter), parameter))


def largest(values: dict[str, Floats], ordered: Floats, count: int) -> dict[str, Mask]:
    """The `count` largest of all values; `ordered` are the same, ascending. Equal ones go by their place."""
    if count <= 0:
        return {name: np.zeros(len(each), dtype=bool) for name, each in values.items()}
    least = ordered[-count]
    ties = count - (len(ordered) - int(np.searchsorted(ordered, least, side="right")))
    masks = {}
    for name, each in values.items():
        mask = each > least
        equal = np.flatnonzero(each == least)[:ties]
        mask[equal] = True
        ties -= len(equal)
        masks[name] = mask
    return masks


def relative(change: Floats, before: Floats) -> Floats:
    """|s - p| / |p|; where p = 0 infinite, or 0 for one that did not change."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(change == 0, np.float32(0), change / np.abs(before))


@dataclass
class Changed:
    """|s - p| and p of every parameter tensor by name, flat float32, ranked by a measure: `relative` or `absolute` change."""

    change: dict[str, Floats]
    before: dict[str, Floats]
    measure: str

    @classmethod
    def of(cls, base: Any, model: Any, measure: str) -> Changed:
        """Of two models with parameters of the same names."""
        before = {name: _flat(tensor) for name, tensor in base.named_parameters()}
        return cls({name: np.abs(_flat(tensor) - before[name]) for name, tensor in model.named_parameters()}, before, measure)

    @cached_property
    def relative(self) -> dict[str, Floats]:
        """|s - p| / |p| by name."""
        return {name: relative(each, self.before[name]) for name, each in self.change.items()}

    @property
    def ranked(self) -> dict[str, Floats]:
        """What is ranked, by name."""
        return self.relative if self.measure == "relative" else self.change

    @cached_property
    def ordered(self) -> Floats:
        """The same of all tensors, ascending."""
        ordered = np.concatenate(list(self.ranked.values()))
        ordered.sort()
        return ordered

    @property
    def from_zero(self) -> int:
        """Changed parameters that were exactly 0."""
        return sum(int(((self.before[name] == 0) & (each > 0)).sum()) for name, each in self.change.items())

    def first(self, share: float) -> dict[str, Mask]:
        """The top share of all parameters."""
        return largest(self.ranked, self.ordered, round(share * len(self.ordered)))

    def by_chance(self, share: float, draw: np.random.Generator) -> dict[str, Mask]:
        """Changed parameters by chance, as many in each tensor as its top share has."""
        drawn = {}
        for name, mask in self.first(share).items():
            changed = self.change[name] > 0
            drawn[name] = np.zeros(len(mask), dtype=bool)
            drawn[name][draw.choice(np.flatnonzero(changed), size=int((mask & changed).sum()), replace=False)] = True
        return drawn

    def as_much_by_chance(self, share: float, draw: np.random.Generator) -> dict[str, Mask]:
        """Changed parameters in an order by chance, until as much of the squared update is theirs as is the top share's."""
        mask = np.concatenate(list(self.first(share).values()))
        squares = np.concatenate(list(self.change.values())).astype(np.float64) ** 2
        order = draw.permutation(np.flatnonzero(squares))
        missing = squares[mask].sum() - np.cumsum(squares[order])
        count = int((missing > 1e-9 * squares.sum()).sum()) + 1 if squares[mask].any() else 0
        drawn = np.zeros(len(squares), dtype=bool)
        drawn[order[:count]] = True
        borders = np.cumsum([len(change) for change in self.change.values()])[:-1]
        return dict(zip(self.change, np.split(drawn, borders), strict=True))

    def top(self, share: float) -> pd.DataFrame:
        """share, measure, module, parameters, change_share: what the top of the ranking consists of, for `SHARES` and this one.

        `change_share` is of the whole sum of what is ranked, so a share's rows add up to what its top holds.
        """
        total = sum(map(_sum, self.ranked.values())) or 1.0
        rows: dict[tuple[float, str], tuple[int, float]] = {}
        for part in sorted({*SHARES, share} - {0.0}):
            for name, mask in self.first(part).items():
                key = part, _module(name)
                count, held = rows.get(key, (0, 0.0))
                rows[key] = count + int(mask.sum()), held + _sum(self.ranked[name][mask]) / total
        table = [(part, self.measure, module, *row) for (part, module), row in rows.items()]
        return pd.DataFrame(table, columns=["share", "measure", "module", "parameters", "change_share"])

    def by_layer(self, masks: dict[str, Mask]) -> pd.DataFrame:
        """module, layer (null outside of layers), parameters, changed, restored, relative_share, squared_share, restored_squared_share.

        Shares are of the whole model's relative change and squared update; the last one is what is undone of the latter.
        """
        rows = []
        for name, each in self.change.items():
            changed, squares = each > 0, each.astype(np.float64) ** 2
            counts = len(each), int(changed.sum()), int((changed & masks[name]).sum())
            rows.append((_module(name), layer_of(name), *counts, _sum(self.relative[name]), squares.sum(), squares[masks[name]].sum()))
        sums = ["parameters", "changed", "restored", "relative_share", "squared_share", "restored_squared_share"]
        table = pd.DataFrame(rows, columns=["module", "layer", *sums]).astype({"layer": "Int64"})
        table = table.groupby(["module", "layer"], sort=False, dropna=False)[sums].sum().reset_index()
        whole = table[["relative_share", "squared_share", "squared_share"]].sum().to_numpy()
        table[sums[3:]] = table[sums[3:]] / np.where(whole == 0, 1.0, whole)
        return table


def _flat(tensor: torch.Tensor) -> Floats:
    flat: Floats = tensor.detach().float().flatten().cpu().numpy()
    return flat


def _sum(values: Floats) -> float:
    return float(values[np.isfinite(values)].sum(dtype=np.float64))


def _module(name: str) -> str:
    """ "q_proj" of model.layers.0.self_attn.q_proj.weight."""
    return name.split(".")[-2] if "." in name else name


def layer_of(name: str) -> int | None:
    """0 of model.layers.0.self_attn.q_proj.weight; None outside of layers."""
    return next((int(part) for part in name.split(".") if part.isdecimal()), None)
