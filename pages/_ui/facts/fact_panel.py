"""One fact: what it asks, its score, its flags, and every completion. Memory shows it under the list, a fact's own page in full."""

from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import drawn, resources
from pages._ui.charts import draw
from pages._ui.facts.consistency_panel import one_fact
from pages._ui.wording import between, in_badge, percent, score
from sftqa_core.figures.levels import template_hits_figure
from sftqa_core.figures.style import level_colours
from sftqa_core.knowledge.matching import Matcher


def fact_detail(model: str, source: str, fact: Any, scheme: Any, stamp: str, read: bool) -> None:
    """One fact: its score with both intervals, hits per template, and the model's completions."""
    read = read and pd.notna(fact.get("exposures")) and scheme.by_statements  # only then did these very sentences stand in its text
    with st.container(border=True):
        st.text(fact["question"])
        st.text(f"Correct: {' | '.join(fact['answers'])}")
        _flags(fact)
        if pd.isna(fact["score"]):
            st.caption("This fact has not been probed. Use the Probe button above.")
            return
        if scheme.few_shot:
            greedy = round(sum(list(fact["hits_per_template"])[scheme.contexts :]))
            right = f"{greedy} of {scheme.contexts} greedy answers and {int(fact['hits'])} of {int(fact['completions'])} samples correct"
            st.caption(f"{right} · level {fact['level']}")
        else:
            _score_row(fact, read)
        counted = scheme.method == "sampling"
        rows = resources.completions(model, source, fact["fact_id"], stamp, None if scheme.by_statements else scheme)
        prompts = rows.drop_duplicates("template").set_index("template")["prompt"].to_dict() if len(rows) else {}
        hits = list(fact["hits_per_template"])[: scheme.contexts if scheme.few_shot else None]  # without the greedy answers
        samples = round(fact["completions"] / max(len(hits), 1)) or scheme.sampling.samples  # a likelihood: hits to be expected of these
        colour = level_colours(len(scheme.labels))[list(scheme.labels).index(fact["level"])]
        seen = rows.drop_duplicates("template").set_index("template")["seen"].to_dict() if read and "seen" in rows else {}
        order = range(len(hits))
        unit = "hits" if scheme.method != "likelihood" else "expected hits"
        bars = (hits, samples, [prompts.get(at, "") for at in order], colour, [seen.get(at) for at in order], unit)
        each = "template" if scheme.by_statements else "prompt"
        draw(partial(template_hits_figure, *bars, each), key="fact-templates", alt="Hits per prompt", of=repr((bars, each)))
        one_fact(model, source, fact, scheme)
        if not len(rows):
            st.caption("The completions behind these levels are not stored here. Probe these facts again to store them.")
            return
        if counted and (named := _rival_words(fact, rows)):
            st.text(named)
        if not counted:
            st.caption("For comparison, the completions of the full probe:")
        if scheme.few_shot:
            st.caption("A prompt starts with its examples; its last two lines are the question.")
        drawn.note_table("completions", lambda: rows)
        st.dataframe(
            rows.assign(hit=rows["matched"].notna(), matched=rows["matched"].fillna(""), template=rows["template"] + 1),
            hide_index=True,
            height=300,
            column_order=["template", "text", *(["greedy"] if scheme.few_shot else []), "count", "hit", "prompt", "matched", "stop"],
            column_config=COMPLETION_COLUMNS,
        )


def _rival_words(fact: Any, rows: Any) -> str:
    """How often a contested fact's rival came up: the model may be sure, and wrong."""
    rival = fact.get("rival")
    if not isinstance(rival, str) or not rival:
        return ""
    says = Matcher()
    named = int(sum(count for text, count in zip(rows["text"], rows["count"], strict=True) if says.find(text, (rival,)) is not None))
    total = int(rows["count"].sum())
    return f"The pre-training text also says {rival}: {named:,} of {total:,} completions name it, {int(fact['hits']):,} a correct answer."


COMPLETION_COLUMNS = {  # what was said and whether it is right stand where a telephone shows them
    "template": st.column_config.NumberColumn("Template", width=75),
    "text": st.column_config.TextColumn("Completion", width=150),
    "greedy": st.column_config.CheckboxColumn("Greedy", width="small"),
    "count": st.column_config.NumberColumn("Count", width=60),
    "hit": st.column_config.CheckboxColumn("Hit", width=50),
    "prompt": st.column_config.TextColumn("Prompt"),
    "matched": st.column_config.TextColumn("Matched answer", width="small"),
    "stop": st.column_config.TextColumn("Stopped at", width="small", help="End token, hit, end of the line (few-shot) or length limit."),
}


def _score_row(fact: Any, read: bool) -> None:
    first, second, third, fourth = st.columns(4)
    if pd.isna(fact["low_samples"]):
        _estimate(first, second, fact)
    else:
        first.metric("Memory score R", score(fact["score"]), help=f"{int(fact['hits'])} hits in {int(fact['completions'])} completions")
        first.caption(f"{int(fact['hits'])} of {int(fact['completions'])} completions · level {fact['level']}")
        second.metric("Interval over samples", between(fact["low_samples"], fact["high_samples"]))
        second.caption("95%, if the same templates were sampled again")
        third.metric("Interval over templates", between(fact["low_templates"], fact["high_templates"]))
        third.caption("95%, if other templates had been written (bootstrap)")
    seen, unseen = fact.get("seen_score"), fact.get("unseen_score")
    if read and pd.notna(seen):
        fourth.metric("Seen / unseen templates", f"{seen:.2f} / {unseen:.2f}")
        fourth.caption("R on templates that the pre-training text used, and on others")


def _estimate(first: Any, second: Any, fact: Any) -> None:
    """A score that was not fully sampled: what the full probe is expected to give, and how sure its level is."""
    first.metric("Expected R", score(fact["score"]), help="What the full probe is expected to give. An estimate has no intervals.")
    if pd.isna(fact["confidence"]):
        first.caption(f"likelihood estimate · level {fact['level']}")
        return
    first.caption(f"adaptive, {int(fact['completions'])} completions counted · level {fact['level']}")
    second.metric("Confidence", percent(fact["confidence"]))
    second.caption("probability that the full probe gives this level")


def _flags(fact: Any) -> None:
    with st.container(horizontal=True):
        if bool(fact["echo"]):
            st.badge("echo: the answer is in the subject", color="orange")
        if pd.notna(fact.get("contested")) and fact["contested"]:
            rival = fact.get("rival")
            st.badge(f"contested: the text also says {in_badge(rival)}" if isinstance(rival, str) else "contested", color="violet")
        if pd.notna(fact.get("exposures")):
            st.badge(f"stated {int(fact['exposures'])} times in pre-training", color="gray")
