"""Step 4: the model is tuned on facts that it does not know, or on facts that it knows well; the reader predicts which is better."""

from collections.abc import Mapping
from functools import partial

import streamlit as st

from pages._ui import background, panels
from pages._ui.compare import compare_reads
from pages._ui.learn import guesses, learn_reads, lesson
from sftqa_core.evaluation.comparing import BETTER, FEW, WORSE
from sftqa_core.figures.overlaid import Line, overlaid_figure
from sftqa_core.jsonrecord import fingerprint
from sftqa_core.records import Comparison, PairTest
from sftqa_core.records.amounts import points
from sftqa_core.records.comparison import MICRO

QUESTION = "Should you teach it what it does not know?"
ABOUT = "unknown"  # of the guess
OPTIONS = {BETTER: "yes: more right answers", "none": "no difference", WORSE: "no: fewer right answers"}
WHY = (
    "Both sides are tuned on equally many questions of the same topics; only the memory level of their facts differs: all at the lowest "
    "level, or all at the highest. The test questions are the same and were trained on by neither.\n\n"
    "Every fact's result is averaged over the seeds first; then facts are drawn anew, the same ones for both sides (paired bootstrap). The "
    "interval is corrected for all comparisons made here (Holm). Nothing is called better while it holds 0.\n\n"
    "What is seen here is a planted world and a tiny model: it shows the mechanism. The papers report the same direction for models of "
    "billions of parameters."
)
TEACH = (
    "- Ask for both arguments first: 'it needs new facts' and 'it learns to make things up'. Vote.\n"
    "- At which test levels do the two sides part? Why there?\n"
    "- What would you do with a data set in which you cannot tell which facts the model knows? (Probe it first.)"
)


def draw() -> None:
    """A prediction, then accuracy per level after both trainings."""
    stamp = background.stamp()
    lowest, highest = learn_reads.level_cells(stamp)
    if not lowest:
        panels.empty("No finished study here has runs on single levels. The study makes them.", "pages/which_data.py", "Which data?")
        return
    st.markdown("Two trainings: one on facts that the model **never** completes rightly, one on facts that it knows **well**.")
    st.markdown("Is the training on unknown facts better?")
    taken = guesses.guess(ABOUT, OPTIONS)
    if taken is None:
        return
    comparison = compare_reads.compared((*highest, *lowest), None, True, None, stamp).comparison
    known, unknown = comparison.runs
    lines = [Line("before", base.accuracy["in"], base=True) for base in comparison.bases]
    low, high = comparison.scheme.labels[0], comparison.scheme.labels[-1]
    lines += [Line(f"tuned on known ({high})", known.accuracy["in"]), Line(f"on unknown ({low})", unknown.accuracy["in"])]
    figure = partial(overlaid_figure, lines, means={"micro": "all"})
    alt = "Accuracy per level after tuning on known and on unknown facts"
    with lesson.sides() as (words, chart):
        with words:
            lesson.outcome(_came_out(comparison, taken))
            st.caption(
                f"Test facts by how well the model knew them before, {low} (never right) to {high}, with their number; "
                "all: every test fact counts once. Bars: 95% intervals."
            )
        with chart:
            lesson.chart(figure, "learn-levels", alt, fingerprint([line.means.to_dict() for line in lines]))
    lesson.way_on("These runs, fact by fact", "learn-compare", (*highest, *lowest))


def micro_test(comparison: Comparison) -> PairTest | None:
    """The comparison of the second side with the first: in-domain facts as they come."""
    return next((test for test in comparison.tests if (test.domain, test.mean) == ("in", MICRO) and test.difference is not None), None)


def difference(test: PairTest, seeds: int) -> str:
    """-11.6 points (95% -13.8 to -9.5; 1,520 facts, 3 seeds)."""
    ends = f"95% {points(test.low or 0)} to {points(test.high or 0)}"
    return f"{points(test.difference or 0)} points ({ends}; {test.facts:,} facts, {seeds} seed{'' if seeds == 1 else 's'})"


def predicted(test: PairTest, taken: str, told: Mapping[str, str]) -> str:
    """Whether the guess `taken` came true, and what did: `told` has the words for better and for worse.

    Any other verdict judges no guess: where nobody can tell, "no difference" is no more right than the others.
    """
    if test.verdict not in told:
        why = "there are too few facts" if test.verdict == FEW else "the interval holds 0"
        return f"**Nobody can tell from these runs**, whatever was predicted: {why}"
    return f"{'You predicted it' if taken == test.verdict else 'Not what you predicted'}: {told[test.verdict]}"


def _came_out(comparison: Comparison, taken: str) -> str:
    test, (known, unknown) = micro_test(comparison), comparison.runs
    if test is None:
        return "Cannot tell: the two have no in-domain facts in common."
    low, high, seeds = comparison.scheme.labels[0], comparison.scheme.labels[-1], len(unknown.seeds)
    accuracies = f"{lesson.share(unknown.accuracy['in'].micro)} against {lesson.share(known.accuracy['in'].micro)}"
    told = {BETTER: "unknown facts are **better**", WORSE: "unknown facts are **worse**"}
    return (
        f"{predicted(test, taken, told)}. {unknown.settings.n:,} examples of {low} instead of {high} change accuracy by "
        f"{difference(test, seeds)}: {accuracies} right answers."
    )


SCREENS = (draw,)
