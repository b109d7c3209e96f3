"""What Memory shows of SliCK's levels where the paper's have a memory score: which answers are right, and the table of both."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from pages._ui.charts import draw
from sftqa_core.figures.levels import right_answers_figure

_TAU = (
    "Kendall's tau-b: of all pairs of facts, those that both kinds of levels order alike less those ordered the other way round; 1 is "
    "the same order, 0 none in common. It allows for ties and for different numbers of levels, where a kappa would say nothing. The "
    "interval is a 95% bootstrap over facts."
)


def right_answers(profile: Any) -> None:
    """Facts by how many of their greedy answers, and which share of their samples, are right."""
    scheme = profile.scheme
    known = profile.take(profile.rows, ["hits_per_template", "score", "level"]).dropna(subset="level")
    greedy = [round(sum(hits[scheme.contexts :])) for hits in known["hits_per_template"]]
    shares = (known["score"] * 10).round().astype(int)
    levels = known["level"].astype(int)
    for name, told, found, most in (
        ("greedy", "Right greedy answers", greedy, scheme.contexts),
        ("sampled", "Right samples, tenths", shares, 10),
    ):
        counts = [[0] * (most + 1) for _ in scheme.labels]
        for level, at in zip(levels, found, strict=True):
            counts[level][at] += 1
        st.markdown(f"**{told}**")
        draw(partial(right_answers_figure, counts, scheme.labels), key=f"right-{name}", alt=told, of=(repr(counts), scheme.labels))
    st.caption(
        f"{scheme.contexts} prompts a fact, each answered once greedily and {scheme.sampling.samples} times by chance. All greedy answers "
        f"right: {scheme.labels[3]}; some: {scheme.labels[2]}; none, but a sample: {scheme.labels[1]}; nothing: {scheme.labels[0]}."
    )


def crossed(cross: Any) -> None:
    """The paper's levels down, SliCK's across: facts, and how far the orders agree."""
    st.markdown(f"**Beside SliCK's levels**, {cross.facts:,} facts")
    table = pd.DataFrame([list(row) for row in cross.counts], index=list(cross.rows), columns=list(cross.columns))
    totals = table.sum(axis=1)
    cells = {name: [_cell(n, total) for n, total in zip(table[name], totals, strict=True)] for name in table}
    st.dataframe(pd.DataFrame({"level": list(cross.rows), **cells, "all": totals.tolist()}), hide_index=True)
    tau = "too few facts to tell" if cross.tau is None else f"{cross.tau:.3f}"
    span = "" if cross.tau_low is None else f" ({cross.tau_low:.3f} to {cross.tau_high:.3f})"
    st.caption(f"Facts, and their share of the row · Kendall's tau-b {tau}{span}", help=_TAU)


def _cell(count: int, total: int) -> str:
    return f"{count:,} ({count / total:.0%})" if total else "0"
