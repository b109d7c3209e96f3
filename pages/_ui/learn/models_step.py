"""Step 5: two models that differ only in what they read; the reader predicts which answers more after the same examples."""

from functools import partial

import streamlit as st

from pages._ui import background, panels, resources
from pages._ui.compare import compare_reads
from pages._ui.learn import guesses, learn_reads, lesson
from pages._ui.learn.learn_reads import MODEL, OTHER
from pages._ui.learn.unknown_step import difference, micro_test, predicted
from pages._ui.wording import literal
from sftqa_core.evaluation.comparing import BETTER, WORSE
from sftqa_core.figures.lesson import models_figure
from sftqa_core.figures.model_comparison import shares_figure
from sftqa_core.records import Comparison, MeanAccuracy

QUESTION = "Two models, the same examples: which answers more?"
ABOUT = "models"  # of the guess
EXAMPLES = 60
WHY = (
    "Both models have the same architecture and size. Only the text that they were pre-trained on is another mixture of the same world. "
    "Each is tuned on the same examples and asked the same test questions.\n\n"
    "What a model can answer after a few examples is mostly what it knew before: the bars show how its facts spread over the levels. So "
    "the levels belong to a model, never to a fact alone.\n\n"
    "The two texts differ in several ways at once: which of them makes the difference cannot be told from two models. "
    "Facts are averaged over seeds, then drawn anew for both (paired bootstrap), corrected for all comparisons made here (Holm). The means "
    "over levels are not compared: each model has its own levels."
)
TEACH = (
    "- Show the differences in what they read first, then vote.\n"
    "- One read more question documents. Does that help more than reading the facts more often?\n"
    "- A leaderboard compares two models after tuning. What would you want to know about what they read?"
)
READ = {  # of CorpusSettings -> in words
    "qa_documents": "documents of questions and answers",
    "exposure_scale": "how often facts are mentioned, against the first",
    "redealt_share": "share of facts that are common in one and not in the other",
    "contested_kept": "share of the contested facts whose other answer is named, too",
    "seed": "seed that drew the text",
}


def predict() -> None:
    """What the two read, a prediction, and their accuracies."""
    stamp = background.stamp()
    first, second, _ = learn_reads.model_cells(EXAMPLES, stamp)
    if not first:
        panels.empty("No finished study here has both models. The study makes their runs.", "pages/which_model.py", "Which model?")
        return
    taken = guesses.taken_of(ABOUT)
    if taken is None or not lesson.presents():  # a class has read it when the answer is shown
        st.markdown(_read())
    taken = guesses.guess(ABOUT, {WORSE: MODEL, "none": "no difference", BETTER: OTHER})
    if taken is None:
        return
    comparison = compare_reads.compared((*first, *second), None, True, None, stamp).comparison
    accuracies = _accuracies(comparison)
    with lesson.sides() as (words, chart):
        with words:
            lesson.outcome(_came_out(comparison, taken))
            st.caption(f"Right answers to all in-domain test questions, before and after {EXAMPLES} examples. Bars: 95% intervals.")
        with chart:
            lesson.chart(partial(models_figure, accuracies), "learn-accuracies", "Right answers of both models", repr(accuracies))
    lesson.way_on("These runs, fact by fact", "learn-models", (*first, *second))


def look_inside() -> None:
    """What both knew before they were tuned, once it was predicted which answers more."""
    stamp = background.stamp()
    first, _, study = learn_reads.model_cells(EXAMPLES, stamp)
    if not first or guesses.taken_of(ABOUT) is None:
        if first and lesson.presents():
            st.caption("What each knew before it was tuned is shown here after the prediction. Go back, and predict first.")
        return
    _, tables = resources.study_report(study, stamp)
    shares = tables["shares"]
    both = shares[shares["model"].isin([MODEL, OTHER])]
    st.markdown("What each knew **before** it was tuned: the share of its in-domain facts at each memory level.")
    figure = partial(shares_figure, both, "in", study.settings.scheme.labels)
    lesson.chart(figure, "learn-shares", "In-domain facts by level in both models", tables)


def _accuracies(comparison: Comparison) -> dict[str, dict[str, MeanAccuracy]]:
    """Micro averages by model, before and after."""
    before = {base.model: base.accuracy["in"].micro for base in comparison.bases}
    return {
        run.settings.model: {
            **({"before": before[run.settings.model]} if run.settings.model in before else {}),
            f"after {EXAMPLES} examples": run.accuracy["in"].micro,
        }
        for run in comparison.runs
    }


def _read() -> str:
    """The differences in what both were pre-trained on, from their own settings."""
    here, there = (learn_reads.made_from(name) for name in (MODEL, OTHER))
    if here is None or there is None:
        return "What the two were pre-trained on is not known here."
    rows = [
        f"- {READ.get(name, name.replace('_', ' '))}: **{value:,g}** and **{getattr(there.corpus, name):,g}**"
        for name, value in vars(here.corpus).items() if value != getattr(there.corpus, name)
    ]  # fmt: skip
    return f"What **{literal(MODEL)}** and **{literal(OTHER)}** read differs in:\n" + "\n".join(rows)


def _came_out(comparison: Comparison, taken: str) -> str:
    test, (here, there) = micro_test(comparison), comparison.runs
    if test is None:
        return "Cannot tell: the two have no in-domain facts in common."
    told = {BETTER: f"**{literal(OTHER)} answers more**", WORSE: f"**{literal(MODEL)} answers more**"}
    means = f"{lesson.share(there.accuracy['in'].micro)} right answers against {lesson.share(here.accuracy['in'].micro)}"
    return f"{predicted(test, taken, told)}. {literal(OTHER)} beside {literal(MODEL)}: {difference(test, len(there.seeds))}: {means}."


SCREENS = (predict, look_inside)
