"""Step 1: the base model is asked a question, live, and mostly fails, also where it knows the fact."""

from functools import partial
from typing import Any

import streamlit as st

from pages._ui import address, background, panels, resources
from pages._ui.asking import asked
from pages._ui.asking.ask_panel import ask_panel
from pages._ui.asking.reply_panel import greedy_answer
from pages._ui.facts.fact_list import one_fact
from pages._ui.learn import guesses, learn_reads, lesson
from pages._ui.learn.learn_reads import MODEL
from pages._ui.wording import literal, percent
from sftqa_core.figures.lesson import samples_figure
from sftqa_core.records import Reply

QUESTION = "You ask a model that has read the answer. Does it tell you?"
WHY = (
    "The model was only pre-trained: it writes on from what it is given. Its text held facts as statements ('The country of X is Y') and a "
    "few questions, many of them without an answer. So to a question it often writes something else, such as the next question.\n\n"
    "The question is put as 'Q: ... A:', and the most probable answer is taken, at most 16 tokens. It is right if it contains the right "
    "answer or one of its aliases. The model runs here, in a process of its own; nothing leaves this machine."
)
TEACH = (
    "- Before you press Ask: what will it write?\n"
    "- It failed on a fact at the highest level. Does it not *know*, or does it not *say*? How could you tell the two apart?\n"
    "- Which other ways than training might make it answer? (Answered questions in front of the question: the few-shot line.)"
)
PICKED = "ask"  # of the address
ABOUT = "answers"  # of the guess
OPTIONS = {"few": "fewer than a quarter", "half": "about half", "most": "more than three quarters"}


def ask_one() -> None:
    """Three questions to choose from, and the model's reply."""
    facts = [fact for fact_id in learn_reads.example_facts() if (fact := one_fact(learn_reads.profile(), fact_id)) is not None]
    if not facts:
        panels.empty(f"No fact of {MODEL} has a level here yet.", "pages/memory.py", "Open Memory")
        return
    names = [str(at + 1) for at in range(len(facts))]
    wanted = address.value(PICKED) or names[0]
    picked = names.index(wanted) if wanted in names else 0
    with st.container(horizontal=True, key="learn-questions"):
        for at, fact in enumerate(facts):
            st.button(
                literal(fact["question"]), key=f"learn-question-{at}", type="primary" if at == picked else "secondary",
                help=f"Memory level {fact['level']} in {MODEL}", on_click=address.put, kwargs={PICKED: names[at] if at else None},
            )  # fmt: skip
    asked.start_soon()
    presented = _presented_reply if lesson.presents() else None
    ask_panel(str(facts[picked]["question"]), (MODEL,), where="learn", drawn_by=presented)


def _presented_reply(reply: Reply) -> None:
    """What a class has to see of it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        greedy_answer(reply)
        st.caption(f"{MODEL}'s most probable answer; below, {sum(sample.count for sample in reply.samples)} drawn by chance")
    lesson.chart(partial(samples_figure, reply.samples), "learn-samples", "Distinct samples and how often each was drawn", reply)


def ask_all() -> None:
    """How often it is right over all test questions."""
    st.markdown("And of all the questions like these, how many does it answer rightly?")
    taken = guesses.guess(ABOUT, OPTIONS)
    if taken is not None:
        lesson.outcome(_came_out(background.stamp(), taken))


def _came_out(stamp: str, taken: str) -> str:
    """How often the base model answers rightly, from any finished run of the lesson: each asks it all test questions first."""
    run_id = next(filter(None, (learn_reads.finished(n, stamp) for n in learn_reads.TRIED[1:])), None)
    if run_id is None:
        return "How often it is right over all questions: cannot tell yet. Step 3 asks it all of them."
    run = resources.run(run_id)
    summary = run.summary
    before, shown = summary.before["in"], summary.baselines.get("few_shot", {}).get("in")
    if before.natural is None:
        return "Cannot tell: there are no test questions of these topics."
    right = _judged(taken, before.natural_low or 0, before.natural_high or 1)
    text = f"{right}: of all test questions of these topics the base model answers {_share(before)} rightly."
    if shown is not None and shown.natural is not None:
        text += f" With {_in_front(run.settings.shots, (summary.shown or {}).get('few_shot'))} in front of each: {_share(shown)}."
    return text


def _judged(taken: str, low: float, high: float) -> str:
    """Whether the guess is right, from the share's interval: open where the guess is one of several that it reaches into."""
    parts = list(OPTIONS)
    reached = parts[parts.index(_part(low)) : parts.index(_part(high)) + 1]
    if taken not in reached:
        return "Not what you guessed"
    return "You are right" if len(reached) == 1 else "Too close to tell whether you are right"


def _in_front(shots: int, mean: float | None) -> str:
    """How many answered questions stood in front; `mean`: how many fitted on average, where not all of the `shots` did."""
    if mean is not None:
        return f"{mean:g} answered questions on average (of {shots}: no more fitted)"
    return f"{shots} answered question{'' if shots == 1 else 's'}"


def _part(share: float) -> str:
    """Which of OPTIONS a share belongs to."""
    return "few" if share < 0.25 else "half" if share <= 0.75 else "most"


def _share(accuracy: Any) -> str:
    low, high = accuracy.natural_low * 100, accuracy.natural_high * 100
    return f"**{percent(accuracy.natural)}** ({low:.1f} to {high:.1f}%; {accuracy.natural_n:,} facts)"


SCREENS = (ask_one, ask_all)
