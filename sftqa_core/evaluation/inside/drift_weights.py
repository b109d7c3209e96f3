"""Which weights moved, from the tables LAYERS and TOP of drift.py: by module, and what the most changed parameters hold. Light."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

PUBLISHED_TOP = (0.7059, 0.7882, 0.8235, 0.8706, 0.9176, 0.9647, 0.9912)  # of LLaMA-3-8B, n = 240, trained on L0; at restoring.SHARES
PUBLISHED_MODULES = {  # where LLaMA-3-8B's redundant updates sit, and (by its published sizes) that share of these modules' parameters
    "down_proj": (0.2891, 0.2692), "up_proj": (0.2826, 0.2692), "gate_proj": (0.2337, 0.2692), "o_proj": (0.0940, 0.0769),
    "q_proj": (0.0641, 0.0769), "v_proj": (0.0255, 0.0192), "k_proj": (0.0109, 0.0192),
}  # fmt: skip
_SHARES = ["parameters", "top", "relative_share", "squared_share"]


def modules(layers: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Of the seeds' LAYERS: module, layer (null outside of layers), and shares of the model's: parameters, relative_share, squared_share,
    and top (of the parameters that changed most, relatively); means over seeds."""
    every = pd.concat([table.astype({"module": "str", "layer": "Int64"}) for table in layers])
    shares = every.groupby(["module", "layer"], sort=False, dropna=False)[_SHARES].sum().astype(float).reset_index()
    shares[_SHARES] = shares[_SHARES] / shares[_SHARES].sum().replace(0, 1)
    return shares


def by_module(shares: pd.DataFrame) -> pd.DataFrame:
    """Of `modules`: module, parameters, top, relative_share, squared_share, of all modules of layers, all layers together; published and
    published_parameters: PUBLISHED_MODULES, null for others."""
    inside = shares[shares["layer"].notna()].groupby("module", sort=False)[_SHARES].sum()
    inside = inside / inside.sum().replace(0, 1)
    published = [PUBLISHED_MODULES.get(str(name), (np.nan, np.nan)) for name in inside.index]
    inside[["published", "published_parameters"]] = np.array(published, dtype=float).reshape(-1, 2)
    return inside.reset_index()


def top(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Of the seeds' TOP: measure, share, held (means over seeds)."""
    every = pd.concat([table.astype({"measure": "str", "held": "float64"}) for table in tables])
    return every.groupby(["measure", "share"], sort=False)["held"].mean().reset_index()


def words(changes: pd.DataFrame) -> str:
    """What the largest relative changes hold, and what small |p| alone would, from `top`."""
    held, least = changes.set_index(["measure", "share"])["held"], changes["share"].min()
    if not held.max():
        return "No parameter changed."
    return (
        f"The {least:.0%} of parameters that changed most, relatively, hold {held['relative', least]:.1%} of the summed relative "
        f"change. The same changes dealt out by chance give {held['shuffled', least]:.1%}, so it says how small those parameters "
        f"were; by size of the change alone, the top {least:.0%} hold {held['absolute', least]:.1%}."
    )
