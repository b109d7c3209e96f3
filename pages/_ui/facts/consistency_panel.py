"""Does the model always give the same answer, right or wrong? On the Memory page for many facts, under a fact for one."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import address, drawn, panels, pickers, resources
from pages._ui.charts import draw
from pages._ui.facts import consistency_reads
from pages._ui.titles import model_name
from pages._ui.wording import interval, literal, percent
from sftqa_core.figures.answer_kinds import (
    MOST_SIGNS,
    answers_map,
    fact_answers_figure,
    kinds_figure,
    mapped_facts,
    reliability_figure,
)
from sftqa_core.figures.style import FEW
from sftqa_core.records import ANSWER_KINDS, LevelScheme
from sftqa_core.records.amounts import points, signed

_MEASURES = {
    "right": "Commonest answer is correct",
    "sure_wrong": "Sure and wrong",
    **{kind: kind.capitalize() for kind in ANSWER_KINDS},
    "agreement": "Templates agree",
    "entropy": "Entropy",
}
_HELP = "Compares the answers in the completions that are stored. No model runs."
_AGREE = "Of all pairs of a fact's templates, the share whose commonest answers are the same; the mean over facts."
_SURE = "More than three quarters of a fact's completions give one and the same wrong answer."
_CHANCE = "If each fact had the rival of another contested fact of its relation: what naming common objects would give."


def offered(scheme: LevelScheme) -> bool:
    """Whether these levels come from the completions of statements, which the answers are read from."""
    return scheme.by_statements and scheme.method == "sampling"


def consistency_panel(model: str, source: str, split: str, domain: str, scheme: LevelScheme) -> None:
    """A closed section; what is in it is computed when it is opened."""
    if not offered(scheme) or not pickers.linked_toggle("Does it always give the same answer?", "same", help=_HELP):
        return
    found = consistency_reads.consistency(model, source, split, domain, scheme)
    with st.container(border=True, key="consistency"):
        if not len(found.table):
            st.caption("The completions behind these levels are not stored here. Probe these facts again to store them.")
            return
        _headline(found)
        _charts(found, scheme)
        left, right = st.columns([2, 3], gap="large")
        with left:
            st.markdown("**When one answer leads, is it correct?**")
            draw(partial(reliability_figure, found.reliability), key="reliability", alt="Commonest answer correct, by its share", of=found)
            st.caption("On the dotted line, an answer given in 60% of a fact's completions is correct for 60% of such facts.")
        with right:
            if found.rivals is not None:
                _rivals(found.rivals)
        if base := resources.tuned_from(model, once=True):
            _change(consistency_reads.change(model, base, source, split, domain, scheme), base)


def _headline(found: Any) -> None:
    every = found.levels.iloc[-1]
    first, second, third, fourth = st.columns(4)
    known = f"{int(every['facts']):,} facts"
    first.metric("Commonest answer is correct", percent(every["right_share"]))
    first.caption(f"{int(every['right']):,} of {known} · 95%: {interval(every['right_low'], every['right_high'])}")
    second.metric("Sure and wrong", percent(every["sure_wrong_share"]), help=_SURE)
    ends = interval(every["sure_wrong_low"], every["sure_wrong_high"])
    second.caption(f"{int(every['sure_wrong']):,} of {known} · 95%: {ends}")
    third.metric("Templates agree", percent(every["agreement"]), help=_AGREE)
    third.caption(f"mean over {known}")
    fourth.metric("Name a known object", percent(found.named), help="An answer to some fact of the same relation.")
    fourth.caption(f"of all completions; {percent(found.silent)} say nothing, the others count by their first clause")
    if len(found.table) < found.of:
        st.caption(f"{len(found.table):,} of {found.of:,} facts with a level: of the others, the completions are not stored here.")


@panels.piece
def _charts(found: Any, scheme: LevelScheme) -> None:
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.markdown("**What the answers to a fact are like, by level**")
        rows = found.levels[found.levels["level"].isin([*scheme.labels, "all"])]
        point = draw(partial(kinds_figure, rows), key="answer-kinds", alt="Kinds of facts by level", of=found, clickable=True)
        if point is not None and point.at < len(rows) and point.trace < len(ANSWER_KINDS):
            level = str(rows["level"].iloc[point.at])
            address.put(level=level if level in scheme.labels else None, only=list(ANSWER_KINDS)[point.trace], page=None)
            st.rerun()
        st.caption("  \n".join(f"**{kind.capitalize()}**: {words}." for kind, words in ANSWER_KINDS.items()))
        st.caption("Click a bar to list its facts below.")
    with right:
        st.markdown("**Each fact: how well known, how mixed the answers**")
        shown = mapped_facts(found.table)
        point = draw(
            partial(answers_map, shown), key="answers-map", alt="Facts by score and by how mixed answers are", of=found, clickable=True
        )
        if point is not None and point.trace < len(shown):
            part = list(shown.values())[point.trace]
            if point.at < len(part):
                address.put(fact=str(part["fact_id"].iloc[point.at]), level=None, only=None, relation=None, search=None, page=None)
                st.rerun()
        drawn = sum(map(len, shown.values()))
        some = f" {MOST_SIGNS:,} of {len(found.table):,} facts, drawn at random." if drawn < len(found.table) else ""
        st.caption(
            f"The higher, the more mixed: at 5, as mixed as five answers that are equally common.{some} Click a sign to see its fact below."
        )


def _rivals(rivals: pd.DataFrame) -> None:
    """Planted rivals: how often a contested fact's wrong commonest answer is the rival, beside what chance would give."""
    every = rivals[rivals["part"] == "all"].iloc[0]
    st.markdown("**Is a wrong answer the planted rival?**")
    if not every["facts"]:
        st.caption("No contested fact here has a wrong commonest answer.")
        return
    kinds = rivals[rivals["part"].isin([*ANSWER_KINDS, "sure and wrong", "all"])]
    shown = pd.DataFrame(
        {
            "Answers are": [part.capitalize() if part != "all" else "All" for part in kinds["part"]],
            "Facts": kinds["facts"].tolist(),
            "The rival": [percent(share) if n else "–" for share, n in zip(kinds["rival_share"], kinds["facts"], strict=True)],
            "95%": [_ends(row) for row in kinds.to_dict("records")],
            "By chance": [percent(chance) if n else "–" for chance, n in zip(kinds["chance"], kinds["facts"], strict=True)],
        }
    )
    columns = {"By chance": st.column_config.TextColumn(help=_CHANCE)}
    drawn.note_table("rivals", lambda: shown)
    st.dataframe(shown, hide_index=True, column_config=columns)
    st.caption(
        "Contested facts, of which the pre-training text also states another answer, the rival. Counted are those whose commonest answer "
        "is wrong. Where one wrong answer leads, it should be the rival; where answers are vague, it is mostly a guess."
    )


def _ends(row: dict[Any, Any]) -> str:
    if not row["facts"]:
        return ""
    return f"{interval(row['rival_low'], row['rival_high'])}{' (too few to tell)' if row['facts'] < FEW else ''}"


def _change(found: Any, base: str) -> None:
    """Before and after tuning, on the facts that both models have completions of."""
    rows = found.both.to_dict("records")
    st.markdown(f"**Before and after tuning** (before: {literal(model_name(base))})")
    facts = max(row["facts"] for row in rows)
    if facts < FEW:
        st.caption(f"{facts:,} facts have completions of both models: too few to tell. Probe the same facts with both.")
        return
    noise = {row["measure"]: row for row in found.noise.to_dict("records")} if found.noise is not None else {}
    table = pd.DataFrame(
        {
            "": [_MEASURES[row["measure"]] for row in rows],
            "Facts": [row["facts"] for row in rows],
            "Before": [_amount(row, row["before"]) for row in rows],
            "After": [_amount(row, row["after"]) for row in rows],
            "Difference (95%)": [_difference(row) for row in rows],
            "Base probed twice": [_difference(noise[row["measure"]]) if row["measure"] in noise else "–" for row in rows],
        }
    )
    drawn.note_table("consistency before and after", lambda: table)
    st.dataframe(table, hide_index=True)
    more = (
        "" if noise else " What chance alone moves is unknown: probe the base model a second time (How far can these levels be trusted?)."
    )
    st.caption(f"Differences of shares are in percentage points. Facts that both models have completions of.{more}")


def _amount(row: dict[Any, Any], value: float) -> str:
    return f"{value:.2f}" if row["measure"] == "entropy" else percent(value)


def _difference(row: dict[Any, Any]) -> str:
    ends: Sequence[float] = [row[name] for name in ("difference", "low", "high")]
    value, low, high = (signed(end, 2) if row["measure"] == "entropy" else points(end) for end in ends)
    return f"{value} ({low} to {high})"


def one_fact(model: str, source: str, fact: Any, scheme: LevelScheme) -> None:
    """The answers to one fact: what leads, how far templates agree, and the commonest answers."""
    found = consistency_reads.fact(model, source, str(fact["fact_id"]), scheme) if offered(scheme) else None
    if found is None or not found.row["kind"]:
        return
    row, rival = found.row, fact.get("rival")
    st.markdown(f"**Answers: {row['kind']}** ({ANSWER_KINDS[row['kind']]})")
    right = "correct" if row["right"] else "wrong"
    silent = f" Without an answer: {row['silent']:,}." if row["silent"] else ""
    agree = (
        ""
        if row["agreement"] != row["agreement"]
        else f" {percent(row['agreement'], 0)} of pairs of templates have the same commonest answer."
    )
    st.text(
        f"Commonest: {row['modal']}, {percent(row['modal_share'], 0)} of {row['answered']:,} completions, {right}.{agree} "
        f"{row['different']:,} different answers.{silent}"
    )
    shown = found.answers.to_dict("records")
    figure = partial(fact_answers_figure, shown, rival if isinstance(rival, str) else "")
    draw(figure, key="fact-answers", alt="The commonest answers", of=repr((shown, rival)))
    named = isinstance(rival, str) and any(answer["answer"] == rival for answer in shown[:8])
    st.caption("Teal: a correct answer." + (" Red: the other answer that the pre-training text states." if named else ""))
