"""What consistency says of many facts at once: by level, how often a leading answer is right, planted rivals, before and after tuning.

All take CONSISTENCY (consistency.py) with the columns `level` and `score` of the same facts, and return tables in which every share
stands with its number of facts and Wilson's 95% interval. Facts without an answer are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sftqa_core.memory.agreement import mean_difference
from sftqa_core.memory.consistency import SURE_ABOVE
from sftqa_core.memory.shares import share_interval
from sftqa_core.records import ANSWER_KINDS

ALL = "all"
BETWEEN = "between"  # all levels but the lowest and the highest: there the kinds tell why a fact is known in part
_BINS = 10


def sure_and_wrong(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Which facts one wrong answer leads with a share above `SURE_ABOVE` (METHOD 10.1: confidently wrong)."""
    return ((table["modal_share"] > SURE_ABOVE) & ~table["right"]).to_numpy(dtype=bool)


def by_level(table: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """A row a level, one for those between the lowest and the highest (BETWEEN) where there are several, and one for all facts.

    level; facts; a count for each of ANSWER_KINDS; `right`, facts whose modal answer is correct, with `right_share`, `right_low` and
    `right_high`; `sure_wrong` likewise; means of `agreement` (over those that have one) and `entropy`, None without facts.
    """
    levels = table["level"].to_numpy(dtype=float)
    parts = {label: levels == at for at, label in enumerate(labels)}
    if len(labels) > 3:
        parts[BETWEEN] = (levels > 0) & (levels < len(labels) - 1)
    parts[ALL] = np.ones(len(table), dtype=bool)
    answered = (table["kind"] != "").to_numpy()
    return pd.DataFrame([{"level": name, **_summed(table[inside & answered])} for name, inside in parts.items()])


def _summed(part: pd.DataFrame) -> dict[str, float | int | None]:
    counts = part["kind"].value_counts()
    means = {name: float(part[name].mean()) if part[name].notna().any() else None for name in ("agreement", "entropy")}
    shares = {**_share("right", int(part["right"].sum()), len(part)), **_share("sure_wrong", int(sure_and_wrong(part).sum()), len(part))}
    return {"facts": len(part), **{kind: int(counts.get(kind, 0)) for kind in ANSWER_KINDS}, **shares, **means}


def _share(name: str, count: int, of: int) -> dict[str, float | int | None]:
    """A count, its share and the interval: `name`, `name`_share, `name`_low, `name`_high; None where there is nothing to share."""
    if not of:
        return {name: count, f"{name}_share": None, f"{name}_low": None, f"{name}_high": None}
    low, high = (float(end) for end in share_interval(count, of))
    return {name: count, f"{name}_share": count / of, f"{name}_low": low, f"{name}_high": high}


def reliability(table: pd.DataFrame) -> pd.DataFrame:
    """How often the modal answer is correct, by its share: a row a tenth that has facts. from_share, to_share, mean_share, facts, right,
    right_share, right_low, right_high."""
    answered = table[table["kind"] != ""]
    # the tenth (0.1, 0.2] holds 0.2, which 21 of 105 completions may miss by a rounding
    bins = np.ceil(answered["modal_share"].to_numpy() * _BINS - 1e-9).clip(1, _BINS).astype(int)
    rows = []
    for at in np.unique(bins).tolist():
        part = answered[bins == at]
        ends = {"from_share": (at - 1) / _BINS, "to_share": at / _BINS, "mean_share": float(part["modal_share"].mean())}
        rows.append({**ends, "facts": len(part), **_share("right", int(part["right"].sum()), len(part))})
    columns = ["from_share", "to_share", "mean_share", "facts", "right", "right_share", "right_low", "right_high"]
    return pd.DataFrame(rows, columns=columns)


def rivals(table: pd.DataFrame, labels: Sequence[str], standing: Callable[[str], str]) -> pd.DataFrame | None:
    """How often the modal answer of contested facts is the planted rival, where it is wrong. None without contested facts.

    Takes the fact table's columns `relation`, `contested`, `rival` too; `standing` is the name by which two names are compared. A row for
    each level, for BETWEEN, for each kind with a wrong modal answer, and for ALL: part, facts (contested, modal answer wrong), rival,
    rival_share, rival_low, rival_high, and `chance`, the share to be expected if every fact had the rival of another contested fact of its
    relation: what naming common objects would give.
    """
    if "contested" not in table or not table["contested"].fillna(False).any():
        return None
    known = table[table["contested"].fillna(False).astype(bool) & table["rival"].notna()].reset_index(drop=True)
    rival, modal = (known[name].map(standing) for name in ("rival", "modal"))
    pairs = pd.crosstab(known["relation"].astype("str"), rival)
    others = pairs.stack().reindex(pd.MultiIndex.from_arrays([known["relation"].astype("str"), modal])).fillna(0).to_numpy()
    hit = (rival == modal).to_numpy()
    peers = known.groupby(known["relation"].astype("str"))["fact_id"].transform("size").to_numpy() - 1
    known = known.assign(hit=hit, chance=np.where(peers > 0, (others - hit) / np.maximum(peers, 1), np.nan))
    wrong = known[(known["kind"] != "") & ~known["right"]]
    level = wrong["level"].to_numpy(dtype=float)
    parts = {label: level == at for at, label in enumerate(labels)}
    if len(labels) > 3:
        parts[BETWEEN] = (level > 0) & (level < len(labels) - 1)
    parts |= {kind: (wrong["kind"] == kind).to_numpy() for kind in ANSWER_KINDS if kind != "settled"}
    parts["sure and wrong"] = sure_and_wrong(wrong)
    parts[ALL] = np.ones(len(wrong), dtype=bool)
    rows = []
    for name, inside in parts.items():
        part = wrong[inside]
        chance = float(part["chance"].mean()) if part["chance"].notna().any() else None
        rows.append({"part": name, "facts": len(part), **_share("rival", int(part["hit"].sum()), len(part)), "chance": chance})
    return pd.DataFrame(rows)


MEASURES = ("right", "sure_wrong", *ANSWER_KINDS, "agreement", "entropy")


def changes(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Two CONSISTENCY tables on the facts with an answer in both, a row each of MEASURES: measure, facts, before, after (means; of right,
    sure_wrong and kinds: shares), difference, low, high (95%, Student's t over the facts' differences), None with fewer than 2 facts.
    """
    wanted = ["fact_id", "modal", "modal_share", "right", "agreement", "entropy", "kind"]
    both = before.loc[before["kind"] != "", wanted].merge(after.loc[after["kind"] != "", wanted], on="fact_id", suffixes=("", "_after"))
    first, second = both[wanted], both[[name if name == "fact_id" else f"{name}_after" for name in wanted]].set_axis(wanted, axis=1)
    rows = []
    for measure in MEASURES:
        values = np.stack([_values(part, measure) for part in (first, second)])
        values = values[:, np.isfinite(values).all(axis=0)]
        difference, low, high = mean_difference(*values)
        enough = values.shape[1] >= 2
        means = [float(value) for value in values.mean(axis=1)] if enough else [None, None]
        ends = (difference, low, high) if enough else (None,) * 3
        rows.append((measure, values.shape[1], *means, *ends))
    return pd.DataFrame(rows, columns=["measure", "facts", "before", "after", "difference", "low", "high"])


def _values(table: pd.DataFrame, measure: str) -> NDArray[np.float64]:
    if measure == "sure_wrong":
        return sure_and_wrong(table).astype(float)
    values = table["kind"] == measure if measure in ANSWER_KINDS else table[measure]
    return np.asarray(values, dtype=np.float64)
