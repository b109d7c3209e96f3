"""A tuned model's levels beside those of the model that it was tuned from."""

from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import address, resources
from pages._ui.facts import tuned_reads
from pages._ui.links import page_link
from pages._ui.titles import model_name
from pages._ui.wording import literal, percent
from sftqa_core.errors import SftqaError
from sftqa_core.records import Agreement, LevelScheme

_KAPPA = "Cohen's kappa with linear weights: 1 is full agreement, 0 what chance would give."


def beside_base(model: str, source: str, split: str, domain: str, scheme: LevelScheme) -> None:
    """Two rows of shares, base and tuned, on the facts that both were probed on, and how many moved; nothing for other models."""
    base = resources.tuned_from(model, once=True)
    if not base:
        return
    with st.container(border=True, key="beside-base"):
        st.markdown(f"**Tuned from {literal(model_name(base))}**")
        try:
            stamps = tuned_reads.profile_stamp(base, source, scheme), tuned_reads.profile_stamp(model, source, scheme)
            found = tuned_reads.beside_base(model, base, source, split, domain, scheme, stamps)
        except SftqaError as error:
            st.caption(f"Its levels can't be compared with the base model's: {literal(str(error))}")
            return
        if found.both.facts:
            _table(found)
            return
        waiting = [name for name, facts in (("The base model", found.facts), ("The tuned model", found.tuned_facts)) if not facts]
        said = " ".join(f"{name} is not probed on these facts yet." for name in waiting)
        st.caption(said or "No fact was probed with both models yet.")
        if not found.facts:
            # without the list's filters, which change without this being drawn again
            to = {key: text for key, text in address.with_values(model=base).items() if key in address.SHARED}
            page_link("pages/memory.py", "Open the base model, to probe it", "base", to=to, icon=":material/network_intelligence:")


def _table(found: Any) -> None:
    both: Agreement = found.both
    counts = {"base": [sum(row) for row in both.confusion], "tuned": [sum(column) for column in zip(*both.confusion, strict=True)]}
    shares = {
        name: {literal(label): percent(count / both.facts) for label, count in zip(both.labels, levels, strict=True)}
        for name, levels in counts.items()
    }
    st.table(pd.DataFrame(shares).T, width="content")
    kappa = "cannot tell" if both.kappa is None else f"{both.kappa:.3f}"
    words = f"{both.facts:,} facts probed with both; {_moved(both)} moved to another level, kappa {kappa}."
    noise: Agreement | None = found.noise
    if noise is None:
        words += " How many move by chance alone is unknown: probe the base model a second time (How far can these levels be trusted?)."
    else:
        words += f" A second probe of the base model alone moves {_moved(noise)} ({noise.facts:,} facts)."
    st.caption(words, help=_KAPPA)


def _moved(agreement: Agreement) -> str:
    return percent(None if agreement.same is None else 1 - agreement.same)
