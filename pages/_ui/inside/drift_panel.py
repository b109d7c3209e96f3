"""Drift: where a run's answers and weights moved to, as a chapter of the page Inside."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import streamlit as st

from pages._ui import panels
from pages._ui.charts import draw
from pages._ui.columns import draw_table
from pages._ui.inside import chapter
from pages._ui.wording import literal
from sftqa_core.artifacts import Kept
from sftqa_core.evaluation.inside.drift_tables import QUESTIONS, STATEMENTS, Drift, looked_at
from sftqa_core.evaluation.inside.drift_weights import PUBLISHED_TOP
from sftqa_core.evaluation.inside.drift_words import sentences
from sftqa_core.evaluation.inside.look import Look
from sftqa_core.evaluation.inside.sentences import Sentence
from sftqa_core.figures import inside_drift
from sftqa_core.records import DOMAIN_NAMES

_KINDS = {QUESTIONS: "After the question", STATEMENTS: "After a statement"}
_NAMES = {"low": "kl_low", "high": "kl_high", "changed": "share"}  # of columns, so that nats are not shown as per cent, and a share is
_TITLES = {
    "kind": "at", "kl": "KL, mean", "kl_low": "95% from", "kl_high": "to", "median": "median", "median_low": "95% from ",
    "median_high": "to ", "kl10": "KL, top 10", "share": "another token", "entropy_base": "entropy before", "entropy_tuned": "after",
    "logprob_base": "log P before", "logprob_tuned": "after ",
}  # fmt: skip
_METHOD = (
    "One forward pass a prompt and model; p is the tuned model, p' the base, KL = sum of p log(p / p') over the whole vocabulary, in nats. "
    "Top 10, as published: over the tuned model's ten likeliest tokens, both models' logits of these brought to a sum of 1. A statement is "
    "made by its relation's template with most hits among the base model's stored completions of test facts (the first one where none are "
    "stored), for the first test facts of each level and domain. log P is of the right answer's first token. Per-fact values are stored "
    "rounded: KL to two digits, the others to 0.05 nats. Over seeds, each fact is averaged, then facts are resampled."
)
_drifts: Kept[Drift] = Kept(8)
_said: Kept[list[Sentence]] = Kept(8)


def drift_panel(chosen: Sequence[Look], others: Sequence[Look]) -> None:
    """The whole chapter; `chosen` are the seeds of one setting, `others` all looks on the same base model."""
    st.subheader(chapter.QUESTIONS["drift"], anchor=False)
    st.markdown(
        "Both models read the same prompts, and their probabilities of the very next token are compared: **KL divergence**, 0 where they "
        "are the same. After a question much of it is the model learning to answer at all; only after a statement, which no run was "
        "trained on, does KL say that something else moved. Below: which weights moved, layer by layer."
    )
    chosen, others = looked_at(chosen), looked_at(others)
    if not chosen:
        panels.empty("Drift was not measured of this run.")
        return
    drift = _drifts.get((tuple(chosen), tuple(others)), lambda: Drift(chosen, others))
    chapter.told(_said.get(drift, lambda: sentences(drift)))
    _side_by_side(drift, "levels", "KL by memory level", lambda kind: inside_drift.levels_figure(drift.by_level, kind, drift.labels))
    st.caption(
        "Test facts by memory level of the base model. Signs: means with 95% intervals; short lines: medians. The two scales differ."
    )
    for part in (_lost, _settings, _weights):
        part(drift)
    with chapter.table_and_method():
        draw_table(
            drift.by_level.assign(domain=drift.by_level["domain"].map(DOMAIN_NAMES)).rename(columns=_NAMES), _TITLES, name="drift by level"
        )
        st.caption(_METHOD)


def _side_by_side(drift: Drift, name: str, alt: str, figure: Callable[[str], Any]) -> None:
    """A figure for each kind of prompt."""
    for kind, column in zip(_KINDS, st.columns(2, gap="large"), strict=True):
        with column:
            st.markdown(f"**{_KINDS[kind]}**")
            draw(partial(figure, kind), key=f"drift-{name}-{kind}", alt=f"{alt}, {_KINDS[kind].lower()}", of=drift)


def _lost(drift: Drift) -> None:
    if not len(drift.lost_and_kept):
        return
    st.markdown("##### Did it move more where an answer was lost?")
    _side_by_side(
        drift, "lost", "KL of facts lost and kept", lambda kind: inside_drift.lost_figure(drift.lost_and_kept, kind, drift.labels)
    )
    st.caption(
        "Facts that the base model answers rightly, 95% intervals. Below each level: how many were lost | stayed right, means over seeds. "
        "Hollow: fewer than 30, too few for an interval. "
        "After a question a lost fact has another answer, so its distribution must have moved: only statements, which no run was trained "
        "on, say more than that. More facts are lost at low levels: compare within a level."
    )


def _settings(drift: Drift) -> None:
    """Against n and training level, and over runs."""
    last, settings = drift.labels[-1], drift.by_setting.drop_duplicates(["trained", "n"])
    if len(settings) > 1:
        differ = {"number of examples": settings["n"].nunique() > 1, "level of the examples": settings["trained"].nunique() > 1}
        st.markdown(f"##### Does {literal(last)} drift with the {' and the '.join(name for name, two in differ.items() if two)}?")
        figure = partial(inside_drift.amounts_figure, drift.by_setting, labels=drift.labels)
        _side_by_side(drift, "amounts", f"KL of {last} against n", lambda kind: figure(kind=kind))
        st.caption(
            f"Facts of {literal(last)}, 95% intervals; a line a training level. After a statement: the published measure, top-10 KL where "
            "the base model's likeliest token begins the right answer. The paper reports that it falls, then rises with n, most for "
            f"training on L0 and L1 (as a chart, without numbers).{literal(_left_out(drift))}"
        )
    if len(drift.runs) > 1:
        st.markdown(f"##### Are runs that drift more worse on {literal(last)}?")
        figure = partial(inside_drift.runs_figure, drift.runs, last, drift.labels)
        draw(figure, key="drift-runs", alt="Accuracy against KL, a point a run", of=drift)
        st.caption(
            f"A point a run: all {len(drift.runs):,} on this base model that were looked at; the pointer tells its seed and 95% intervals. "
            "Colours: what it was trained on; signs: how many examples. Sentences count the seeds of a setting as one, as they are alike, "
            "and only settings that differ from this one in nothing but the number of examples and their levels. The paper reports lower "
            "accuracy with higher KL."
        )


def _left_out(drift: Drift) -> str:
    """Which settings are on no line, since more than the examples differs."""
    others = drift.runs[~drift.runs["comparable"].astype(bool)].drop_duplicates(["trained", "n"])
    if others.empty:
        return ""
    names = [f"{row.trained} with n = {row.n:,}" for row in others.itertuples()]
    which = ", ".join(names) if len(names) <= inside_drift.SETTINGS_NAMED else f"{len(names):,} settings"
    return f" On no line, as more than their examples differs (the learning rate, say): {which}."


def _weights(drift: Drift) -> None:
    st.markdown("##### Which weights moved?")
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Share of the squared update, by layer and module**")
        draw(partial(inside_drift.update_figure, drift.modules), key="drift-update", alt="Squared update by layer and module", of=drift)
        outside = drift.modules[drift.modules["layer"].isna()].nlargest(1, "squared_share")
        also = "".join(f" {literal(row.module)}, outside of layers: {row.squared_share:.1%}." for row in outside.itertuples())
        st.caption(f"The stronger the shade, the more for its share of the parameters.{also} Tied weights count once.")
    with right:
        st.markdown("**The same over all layers, beside the size of each module**")
        draw(partial(inside_drift.modules_figure, drift.by_module), key="drift-modules", alt="Shares of the update by module", of=drift)
        st.caption(
            "Top 20%: of all parameters, by relative change. A module that holds as much of it as of the parameters was not singled out: "
            "by the sizes of LLaMA-3-8B, parameters alone give down, up, gate 26.9% each, o and q 7.7%, v and k 1.9%."
        )
    st.markdown("**How much of all change do the most changed parameters hold?**")
    draw(partial(inside_drift.top_figure, drift.top, PUBLISHED_TOP), key="drift-top", alt="Share of change in the top parameters", of=drift)
    st.caption(
        "Relative change is |s - p| / |p|. Dealt out by chance: the same |s - p| on other parameters. Where both lines agree, the top is "
        "where parameters were near 0, whatever the training did."
    )
