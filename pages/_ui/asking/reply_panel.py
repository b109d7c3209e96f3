"""What one model said: its greedy answer, the tokens that might have come, samples, and how probable given answers are.

Everything that models wrote is shown as text or in tables, which draw it as it stands.
"""

from math import exp

import pandas as pd
import streamlit as st

from pages._ui import drawn
from pages._ui.wording import literal
from sftqa_core.models.serving.addresses import KIND as SERVER
from sftqa_core.records import Column, Reply
from sftqa_core.records.asking import TOP

_ROW, _HEAD = 28, 38  # pixels of a table's row, and of its head with the frame
MOST_TOLD = 10  # rows of a table before it scrolls
_STEPS = 8  # rows of the tables that differ in length, so that columns stay in line
_SHARE = st.column_config.ProgressColumn("Probability", format="%.1f%%", min_value=0, max_value=100, width=110)


def reply_panel(reply: Reply, key: str, way: Column, wide: bool = False) -> None:
    """Draw a reply; `key` keeps its widgets apart from other replies'. `wide`: there is room for two tables side by side."""
    _who(reply)
    with st.container(horizontal=True, vertical_alignment="center"):
        greedy_answer(reply)
    _samples(reply, way)
    if reply.scored:
        _scores(reply)
    elif reply.device == SERVER and way.question.scored:
        st.caption("How probable the right answers are is not known: nobody has named the served model's tokenizer.")
    _steps(reply, key, wide)
    with st.expander("What it read", icon=":material/short_text:", key=f"read-{key}"):
        st.code(reply.prompt, language=None, wrap_lines=True)
        st.caption(f"{reply.prompt_tokens:,} tokens. Answered in {reply.answering_s:.2f} s" + _loaded_words(reply))


def greedy_answer(reply: Reply) -> None:
    """The most probable answer, and what there is to say of it, where the script stands."""
    st.text(reply.answer.strip() or "(nothing: it ended at once)")
    if reply.right is not None:
        st.badge("right" if reply.right else "wrong", color="green" if reply.right else "red")
    if not reply.ended:
        st.badge(f"cut off after {len(reply.steps)} tokens", color="gray")


def _loaded_words(reply: Reply) -> str:
    if reply.device == SERVER:
        return ", on its server."
    return f", loaded in {reply.loading_s:.2f} s before." if reply.loading_s else "; it was loaded already."


def _who(reply: Reply) -> None:
    """Whose weights these are, by their hash."""
    if reply.device == SERVER:
        st.caption(f"model {reply.weights} · on its server", help="By its answers to fixed prompts and what the server says of it: a "
                   "server does not give its weights. The samples are drawn with its own random numbers.")  # fmt: skip
        return
    adapter = f" + adapter {reply.adapter}" if reply.adapter else ""
    st.caption(literal(f"weights {reply.weights}{adapter} · {reply.dtype} · {reply.device}"), help="SHA-256 over weights, configuration "
               "and tokenizer, its first 16 digits. Two columns with the same hash are the same model.")  # fmt: skip


def _scores(reply: Reply) -> None:
    rows = [
        {
            "answer": f"{scored.answer} {'✓' if scored.right else ''}".strip(),
            "probability": _share(exp(scored.logprob)),
            "total": scored.logprob,
            "per token": scored.mean_logprob,
            "tokens": scored.tokens,
        }
        for scored in reply.scored
    ]
    config = {
        "answer": st.column_config.TextColumn("Answer", help="✓: known to be right."),
        "probability": st.column_config.TextColumn("Probability", width=90, help="Of these words as what follows."),
        "total": st.column_config.NumberColumn("Log-prob.", format="%.2f", width=75, help="Natural logarithm, summed over the tokens."),
        "per token": st.column_config.NumberColumn("Per token", format="%.2f", width=75),
        "tokens": st.column_config.NumberColumn("Tokens", width=60),
    }
    st.markdown("**How probable these answers are**")
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config=config,
        height=_height(len(rows)),
        row_height=_ROW,
        alt="Log-probability of given answers",
    )


def _steps(reply: Reply, key: str, wide: bool) -> None:
    """The greedy answer's tokens; one that is picked shows what else might have come there."""
    st.markdown("**Token by token**", help=f"Pick a row to see the {TOP} likeliest tokens at that place.")
    left, right = st.columns(2) if wide else (st.container(), st.container())
    table = pd.DataFrame(
        {"token": [_token(step.text) for step in reply.steps], "probability": [100 * step.probability for step in reply.steps]}
    )
    config = {"token": st.column_config.TextColumn("Greedy token"), "probability": _SHARE}
    rows = TOP if wide else _STEPS
    drawn.note_table(f"tokens {key}", lambda: table)
    picked = left.dataframe(
        table, hide_index=True, column_config=config, height=_height(rows), row_height=_ROW, key=f"steps-{key}",
        on_select="rerun", selection_mode="single-row-required", alt="Probability of each token of the greedy answer",
    )  # fmt: skip
    chosen = picked.selection.rows
    at = chosen[0] if chosen and chosen[0] < len(reply.steps) else 0
    if not reply.steps:
        return
    top = reply.steps[at].top
    likely = pd.DataFrame({"token": [_token(one.text) for one in top], "probability": [100 * one.probability for one in top]})
    config = {"token": st.column_config.TextColumn(f"At token {at + 1}"), "probability": _SHARE}
    right.dataframe(
        likely, hide_index=True, column_config=config, height=_height(len(top)), row_height=_ROW, alt="The likeliest tokens at this place"
    )


def _samples(reply: Reply, way: Column) -> None:
    total = sum(sample.count for sample in reply.samples)
    st.markdown(f"**{total} samples** at temperature {way.question.temperature:g}")
    marks = {True: "✓", False: "", None: ""}
    table = pd.DataFrame(
        {
            "count": [sample.count for sample in reply.samples],  # first: it is seen beside three other models, too
            "text": [f"{sample.text.strip()} {marks[sample.right]}".strip() for sample in reply.samples],
        }
    )
    config = {
        "text": st.column_config.TextColumn("Sampled answer"),
        "count": st.column_config.ProgressColumn("Count", format="%d", min_value=0, max_value=total, width=90),
    }
    st.dataframe(
        table,
        hide_index=True,
        column_config=config,
        height=_height(_STEPS),
        row_height=_ROW,
        alt="Distinct samples and how often each was drawn",
    )


def _share(probability: float) -> str:
    """Percent with one digit, as everywhere; what would be 0.0% so has two digits that count."""
    return f"{probability:.1%}" if probability >= 0.0005 or not probability else f"{100 * probability:.2g}%"


def _height(rows: int) -> int:
    return _HEAD + _ROW * min(rows, MOST_TOLD)


def _token(text: str) -> str:
    """A token with its blanks to be seen; the end of the answer by name."""
    return text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥") if text else "(end)"
