"""The headline of looks in one table, a row a setting and domain: on Compare, and on Inside for two settings side by side."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import pickers
from pages._ui.columns import draw_table
from pages._ui.inside import inside_reads
from pages._ui.inside.inside_picks import words_of
from pages._ui.links import page_link
from pages._ui.wording import percent
from sftqa_core.evaluation.intervals import LEAST
from sftqa_core.records import DOMAIN_NAMES
from sftqa_core.records.amounts import points

_NONE = "none"  # of the address: no other setting
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


def beside(name: str, looks: Sequence[Any], stamp: str) -> None:
    """Another setting that was looked at, to pick, and both in one table; nothing where there is no other. `looks`: those of `name`."""
    runs = {look.run for look in looks}
    settings = {some[0].name: some for some in inside_reads.groups(stamp)}
    own = next((first for first, some in settings.items() if runs & {look.run for look in some}), name)
    others = {first: some for first, some in settings.items() if first != own}
    if not looks or not others:
        return
    titles = {_NONE: "no other", **{other: words_of(some[0].settings) for other, some in others.items()}}
    picked = pickers.linked("Beside it", list(titles), "beside", titles.__getitem__)
    if picked == _NONE:
        return
    both = [(words_of(some[0].settings), list(some)) for some in (looks, others[picked])]
    draw([row for title, some in both for row in rows_of(title, some, stamp)])
    names = ",".join(look.name for _, some in both for look in some)
    to = {"runs": names, "pool": "1"}
    with st.container(horizontal=True):
        page_link("pages/compare.py", "Test the difference", "inside-beside", icon=":material/compare_arrows:", to=to)
        page_link(
            "pages/inside.py", "Look inside the other one", "inside-other", icon=":material/search:", to={"run": picked, "beside": own}
        )


def rows_of(title: str, looks: list[Any], stamp: str) -> list[dict[str, Any]]:
    """A row a domain of the seeds of one setting; none where neither drift nor knowledge was measured."""
    return [_row(title, one) for one in inside_reads.summary(looks, stamp)]


def draw(rows: list[dict[str, Any]]) -> None:
    """The table, and what its columns mean; nothing without rows."""
    if rows:
        draw_table(pd.DataFrame(rows), _TITLES, name="inside")
        st.caption(_ABOUT)


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
