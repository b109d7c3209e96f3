"""What does the model know and not say, before and after tuning? A chapter of the page Inside."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st

from pages._ui.charts import draw
from pages._ui.columns import draw_table
from pages._ui.inside import chapter
from sftqa_core.artifacts import Kept
from sftqa_core.evaluation.inside import knowledge_tables as tables
from sftqa_core.evaluation.inside.look import Look
from sftqa_core.evaluation.inside.sentences import Sentence
from sftqa_core.figures.inside_knowledge import activation_figure, internal_figure, known_figure, moves_figure
from sftqa_core.records import DOMAIN_NAMES, DOMAINS

_ABOUT = (
    "For each fact the right answer is ranked among up to {wrong} wrong ones, by how likely the model finds them after the question. "
    "Wrong are what either model answered, the relation's commonest answers, and a contested fact's rival. **Known** means in "
    "this chapter: the right answer ranks first of all. That is not the memory level, which counts how often statements are completed "
    "rightly. **Said** means: the question is answered rightly. The **fixed set** holds the rival and the "
    "commonest answers alone: it is the same whatever a model answers, so what tuning changes is told by it."
)
_CONTROL = (
    "**What could fool:** a common answer ranks first whether the fact is known or not. So the same answers are ranked after a question "
    "about another subject, too (grey squares). Known is what lies above them. The dotted line is chance. All wrong answers are ranked "
    "here: the tuned model's are always among them, the base model's favourite often not, so before and after are compared by the fixed "
    "set, in the sentences above. Bars: 95% intervals. Hollow: fewer than 30 facts."
)
_PROBE = (
    "Pairs of a right and a wrong answer. A linear probe looks for the right one in the hidden state at an answer's end. It learns from "
    "dev facts and is read on test facts with other subjects and other answers. {layers} What it finds under another subject, too, is "
    "about the answer and not about the fact. The answer alone: how often it was right among dev facts; published: arXiv 2503.15299."
)
_ENOUGH = (
    "The papers say that 60 examples are enough to activate what is there. Facts are split by whether the base model knows them, in the "
    "fixed set. Those that it does not know are the control: their answers were not merely activated. Runs whose settings differ from "
    "the chosen ones in the number of examples and the seed only."
)
_FIXED = (
    "Both domains together. What the tuned model answers wrongly is always among the candidates, the base model's favourite often not: "
    "that makes facts look *erased*. Whether tuning changes how much is known is told by the fixed set. Control: facts that were not "
    "there to be activated, and are answered rightly all the same."
)
_METHOD = (
    "K is the share of a fact's wrong answers that are less likely than the right one, ties half; known is K = 1. Likelihood: mean "
    "log-probability of an answer's tokens, with the leading blank and without the end token. Replies that are given to questions of "
    "any relation ('No idea, sorry.') are no candidates. At most so many facts of each level and domain were looked at, so a total is "
    "not one over all test facts. Each fact is averaged over seeds, and one that only some seeds have is left out. Verdicts "
    "are corrected by Bonferroni. By chance a right answer ranks first for r / (r + m) of facts with r right and m wrong ones."
)
_TITLES = {
    "known": "knows", "said": "says", "other": "another subject", "excess": "above it, points", "known_low": "from", "known_high": "to",
    "excess_low": "from", "excess_high": "to",
}  # fmt: skip


@dataclass(frozen=True)
class _Found:
    """Everything that the panel shows."""

    sentences: list[Sentence]
    levels: Any
    moves: Any
    named: Any
    internal: Any
    answered: Any


_kept: Kept[_Found] = Kept(16)


def knowledge_panel(chosen: Sequence[Look], others: Sequence[Look]) -> None:
    """`chosen` are the seeds of one setting; `others` all looks on the same base model, of which those are compared whose
    settings differ in the number of examples and the seed at most."""
    st.subheader(chapter.QUESTIONS["knowledge"], anchor=False)
    seen = tuple(tables.stored(chosen))
    if not seen:
        st.caption("This was not measured on the chosen runs.")
        return
    alike = tuple(tables.alike(seen, tables.stored(others)))
    makers = tables.by_level, tables.moves, tables.named_moves, tables.internal
    found = _kept.get(
        (seen, alike),
        lambda: _Found(tables.sentences(seen, alike), *(make(seen) for make in makers), tables.against_examples(alike)),
    )
    if found.levels.empty:
        st.caption(tables.NOTHING)
        return
    st.markdown(_ABOUT.format(wrong=found.levels["wrong"].max()))
    chapter.told(found.sentences)
    _by_domain(found, seen)
    _moves(found, seen)
    left, right = st.columns(2, gap="large")
    with left:
        _activation(found, (seen, alike))
    with right:
        st.markdown("**Do its hidden states know more?**")
        draw(partial(internal_figure, found.internal, tables.PUBLISHED_IDENTITY), "knowledge-internal", "Pairs ranked rightly", of=seen)
        layers = found.internal["layers"].iloc[0] if len(found.internal) else ""
        st.caption(_PROBE.format(layers=f"Layer, chosen on dev facts: {layers}." if layers else "Too few dev facts for a probe."))
    with chapter.table_and_method():
        draw_table(
            found.levels.drop(columns=["seeds", "said_low", "said_high", "other_low", "other_high", "chance", "wrong"]),
            _TITLES,
            name="known by level",
        )
        st.caption(_METHOD)


def _by_domain(found: _Found, seen: tuple[Look, ...]) -> None:
    """The levels of both domains, side by side."""
    shown = [domain for domain in DOMAINS if (found.levels["domain"] == domain).any()]
    for domain, place in zip(shown, st.columns(max(1, len(shown)), gap="large"), strict=False):
        place.markdown(f"**{DOMAIN_NAMES[domain].capitalize()}**")
        figure = partial(known_figure, found.levels, domain, seen[0].labels)
        draw(figure, f"knowledge-{domain}", f"Facts known and said by level, {DOMAIN_NAMES[domain]}", place, of=(seen, domain))
    st.caption(_CONTROL)


def _moves(found: _Found, seen: tuple[Look, ...]) -> None:
    """How facts moved between the classes, and the moves that have a name."""
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.markdown("**Which facts moved?**")
        draw(partial(moves_figure, found.moves, tables.ALL, tables.CLASSES), "knowledge-moves", "Facts by class before and after", of=seen)
        st.caption(
            "Facts, mean over seeds. Rows: the base model; columns: the tuned model. The stronger the shade, the larger the share of its "
            "row: where the facts of a class went. Framed: did not move."
        )
    with right:
        st.markdown("**The moves by name**")
        rows = found.named[found.named["domain"] == tables.ALL]
        lines = []
        for row in rows.to_dict("records"):
            about = tables.MOVES[row["move"]][0]
            few = "too few facts to tell" if row["facts"] < tables.LEAST else f"{row['share']:.1%} ({row['low']:.1%} to {row['high']:.1%})"
            lines.append(f"- **{row['move'].capitalize()}** ({about}): {row['moved']:.0f} of {row['facts']:.0f} facts, {few}")
        st.markdown("\n".join(lines))
        st.caption(_FIXED)


def _activation(found: _Found, key: tuple[tuple[Look, ...], tuple[Look, ...]]) -> None:
    """Answers against the number of examples, over all looks of the base model."""
    st.markdown("**How many examples does it take?**")
    if len(found.answered) and found.answered["n"].nunique() > 1:
        draw(partial(activation_figure, found.answered), "knowledge-activation", "Facts answered against examples", of=key)
    st.caption(_ENOUGH)
