"""What changed inside the runs that are compared: a line for each that was looked at, and the way to look at the others."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import panels
from pages._ui.columns import draw_table
from pages._ui.inside import inside_reads
from pages._ui.links import page_link
from pages._ui.wording import percent
from sftqa_core.evaluation.intervals import LEAST
from sftqa_core.records import DOMAIN_NAMES, Comparison
from sftqa_core.records.amounts import points

_TITLES = {
    "run": "", "kl": "KL after the question", "known": "knows (fixed set), before → after", "moved": "change, points",
    "activated": "activated", "control": "unknown before, said now",
}  # fmt: skip
_ABOUT = (
    "KL: how far the first token after the question moved from the base model, in nats. Knows: the right answer ranks first among the "
    "rival and the relation's commonest answers; memory levels have no part in it. Activated: of the facts that the base model knew so and "
    "did not say, the share that is said now; beside it the same of the facts that it neither knew nor said. Intervals are 95%, not "
    "corrected; each fact is averaged over seeds first."
)


def inside_panel(comparison: Comparison, stamp: str) -> None:
    """Drawn alone, and only while it is unfolded: reading looks takes a moment."""
    tuned = [run for run in comparison.runs if run.settings.n]
    if tuned:
        panels.folded("What changed inside", "inside", ":material/search:", lambda: _looks(tuned, stamp))


def _looks(runs: list[Any], stamp: str) -> None:
    seen: dict[str, Any] = {}
    for look in inside_reads.kept(stamp):  # of two with one name the newer first
        for name in look.names:
            seen.setdefault(name, look)
    rows = []
    for run in runs:
        looks = [seen[name] for name in run.names if name in seen]
        if len(looks) == len(run.names):
            rows += [_row(run.label, one) for one in inside_reads.summary(looks, stamp)]
    if rows:
        draw_table(pd.DataFrame(rows), _TITLES, name="inside")
        st.caption(_ABOUT)
    with st.container(horizontal=True):
        for run in runs:
            to = {"run": run.names[0]}
            page_link("pages/inside.py", f"{run.label}: look inside", f"inside-{run.label}", icon=":material/search:", to=to)


def _row(label: str, one: dict[str, Any]) -> dict[str, Any]:
    """Every number with its own n: KL is on all test facts, knowledge on some of each level."""

    def told(facts: float, text: Callable[[], str]) -> str:
        return f"too few facts to tell ({facts:.0f})" if facts < LEAST else f"{text()} of {facts:,.0f}"

    row = {"run": label, "domain": DOMAIN_NAMES[one["domain"]], "kl": "", "known": "", "moved": "", "activated": "", "control": ""}
    if "kl" in one:
        row["kl"] = told(one["facts"], lambda: f"{one['kl']:.2f} ({one['kl_low']:.2f} to {one['kl_high']:.2f})")
    if one.get("known_change") is not None:
        row["known"] = told(one["asked"], lambda: f"{percent(one['known_before'])} → {percent(one['known_after'])}")
        ends = f"{points(one['known_low'])} to {points(one['known_high'])}"
        row["moved"] = "" if one["asked"] < LEAST else f"{points(one['known_change'])} ({ends})"
    for name in ("activated", "control"):
        if one.get(name) is not None:
            row[name] = told(one[f"{name}_starts"], partial(_share, one, name))
    return row


def _share(one: dict[str, Any], name: str) -> str:
    return f"{percent(one[name])} ({percent(one[f'{name}_low'])} to {percent(one[f'{name}_high'])})"
