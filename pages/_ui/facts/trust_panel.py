"""How far levels can be trusted: other methods, smaller budgets and SliCK's levels, beside the full probe."""

from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import drawn, pickers, resources
from pages._ui.charts import draw
from pages._ui.facts.probe_panel import second_probe
from pages._ui.wording import percent
from sftqa_core.figures.matrices import budget_figure, confusion_figure
from sftqa_core.records import METHODS, PAPER, LevelScheme
from sftqa_core.records.amounts import signed

_NAMES = {
    "second probe": "a second full probe",
    "adaptive": "the adaptive probe",
    "likelihood": "the likelihood estimate",
    "4 bits": "the same weights in 4 bits",
    "bfloat16": "the same weights in bfloat16",
}
_KAPPA = (
    "Cohen's kappa with linear weights: 1 is full agreement, 0 what chance would give; a level one step off counts less "
    "than one further away. The interval is a 95% bootstrap over facts."
)
_SHIFT = "R by the other way less R of the full probe, fact by fact. The interval is 95%, Student's t over facts: 0 in it, no shift shown."
_TAU = (
    "Kendall's tau-b: concordant minus discordant pairs of facts, corrected for ties; 1 is the same order, 0 no common order. Unlike "
    "kappa it allows for different numbers of levels. The interval is a 95% bootstrap over facts."
)
_ASIDE = {  # what to make of each agreement
    "second probe": "Sampling noise alone: the same model, probed again. No other method can be expected to agree better.",
    "adaptive": "It counts the first samples of the same probe, so both share their sampling noise; they differ only where it stops early.",
    "likelihood": "It samples nothing, so the only sampling noise is the full probe's; between two full probes there is twice as much.",
    "4 bits": "The same prompts and random numbers, with the model's weights in 4 bits (NF4): a slightly different model.",
    "bfloat16": "The same prompts and random numbers, computed in bfloat16 on a processor: rounded more than in float32.",
}


def trust_panel(model: str, source: str, split: str, domain: str, scheme: LevelScheme, stamp: str) -> None:
    """A closed section; what is in it is computed when it is opened. `scheme`: the page's levels."""
    if not pickers.linked_toggle("How far can these levels be trusted?", "trust", help="Compares the probes of these facts."):
        return
    other_cutoffs = None if not scheme.by_statements or scheme.cutoffs == PAPER.cutoffs else scheme
    report = resources.trust(model, source, split, domain, stamp, other_cutoffs)
    with st.container(border=True):
        if not scheme.by_statements:
            st.caption("These are the paper's levels, from statements; the table compares them with SliCK's.")
        if not report.facts:
            st.caption("None of these facts has a full probe yet, so there is nothing to compare.")
            return
        left, right = st.columns([2, 3], gap="large")
        second = report.agreements.get("second probe")
        missing = report.facts - (second.facts if second else 0)
        with left:
            agreements(report, scheme.method)
            if report.slick is not None:
                crossed(report.slick)
            if missing:
                second_probe(model, source, split, domain, missing, second is not None)
        with right:
            _budget(report, missing)


def agreements(report: Any, method: str) -> None:
    """The full probe against another way, picked among those that were made: level against level, and how far they agree."""
    if not report.agreements:
        st.caption("Only the full probe has been run. Pick another method under 'Measured by' and probe to see how well it agrees.")
        return
    names = list(report.agreements)
    name = st.segmented_control(
        "compared", names, format_func=lambda key: METHODS.get(key, key), default=method if method in names else names[0],
        required=True, key=f"trust-other-{method}", label_visibility="collapsed",
    )  # fmt: skip
    agreement = report.agreements[name]
    counted = f"{agreement.facts:,}" + (f" of {report.facts:,}" if agreement.facts < report.facts else "")
    st.markdown(f"**The full probe against {_NAMES[name]}**, {counted} facts")
    figure = confusion_figure(agreement, "full probe", METHODS.get(name, name))
    draw(figure, key="trust-confusion", alt="Facts by level in both ways of measuring")
    kappa = "cannot tell: too few facts" if agreement.kappa is None else f"{agreement.kappa:z.3f}"
    span = "" if agreement.kappa_low is None else f" ({agreement.kappa_low:z.3f} to {agreement.kappa_high:z.3f})"
    rank = "" if agreement.spearman is None else f" · Spearman of R {agreement.spearman:z.3f}"
    st.caption(f"Same level {percent(agreement.same)} · kappa {kappa}{span}{rank}", help=_KAPPA)
    if agreement.score_difference is not None:
        shift = [signed(value, 4) for value in (agreement.score_difference, agreement.score_low, agreement.score_high)]
        st.caption(f"R differs by {shift[0]} on average ({shift[1]} to {shift[2]})", help=_SHIFT)
    st.caption(_ASIDE[name])


def crossed(cross: Any) -> None:
    """The paper's levels down, SliCK's across: facts, and how far the orders agree."""
    st.markdown(f"**Compared with SliCK's levels**, {cross.facts:,} facts")
    table = pd.DataFrame([list(row) for row in cross.counts], index=list(cross.rows), columns=list(cross.columns))
    totals = table.sum(axis=1)
    cells = {name: [f"{n:,} ({n / total:.0%})" if total else "0" for n, total in zip(table[name], totals, strict=True)] for name in table}
    shown = pd.DataFrame({"level": list(cross.rows), **cells, "all": totals.tolist()})
    drawn.note_table("levels two ways", lambda: shown)
    st.dataframe(shown, hide_index=True)
    tau = "cannot tell: too few facts" if cross.tau is None else f"{cross.tau:z.3f}"
    span = "" if cross.tau_low is None else f" ({cross.tau_low:z.3f} to {cross.tau_high:z.3f})"
    st.caption(f"Facts, and their share of the row · Kendall's tau-b {tau}{span}", help=_TAU)


def _budget(report: Any, missing: int) -> None:
    if report.budget is None:
        return
    st.markdown("**What a smaller probe would give**")
    if (words := _cheapest(report.budget)) is not None:
        st.markdown(words)
    reference = "another full probe" if report.floor_measured else "the full probe"
    figure = budget_figure(report.budget, report.floor if report.floor_measured else None, "two full probes", reference)
    draw(figure, key="trust-budget", alt="Agreement against completions per fact")
    if report.floor_measured:
        part = f" So far {report.facts - missing:,} of {report.facts:,} facts were probed twice." if missing else ""
        st.caption(
            "Part of one full probe's templates and samples, compared with another full probe. At the dotted line, a smaller probe "
            f"loses nothing.{part}"
        )
    else:
        st.caption(
            "Part of the templates and samples, compared with the probe they are taken from, which favours small probes. A second "
            "probe would show how far two full probes agree: no method can agree better."
        )


def _cheapest(curve: Any) -> str | None:
    """The best budget of at most a third of the completions, in words."""
    known = curve[curve["kappa"].notna()]
    small = known[known["completions"] * 3 <= known["completions"].max()] if len(known) else known
    if not len(small):
        return None
    best, full = small.loc[small["kappa"].idxmax()], known.loc[known["completions"].idxmax()]
    return (
        f"{best['templates']:.0f} templates × {best['samples']:.0f} samples: kappa {best['kappa']:z.3f} with {best['completions']:.0f} "
        f"completions per fact, against {full['kappa']:z.3f} with {full['completions']:.0f}."
    )
