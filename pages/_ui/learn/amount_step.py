"""Step 3: how many examples are enough is guessed, then trained: one job for a class, whoever presses the button."""

from collections.abc import Sequence
from functools import partial

import streamlit as st

from pages._ui import background, panels, resources, state
from pages._ui.learn import guesses, learn_reads, lesson
from pages._ui.learn.learn_reads import TRIED
from pages._ui.runs.job_panel import RUNNING_S, counted_steps, job_panel, progress_line
from pages._ui.wording import duration, interval, percent, span
from sftqa_core.errors import SftqaError
from sftqa_core.figures.lesson import sizes_figure
from sftqa_core.jobs import current_executor, left_s
from sftqa_core.progress import Progress
from sftqa_core.records import ACTIVE, Job, PairTest
from sftqa_core.records.amounts import points

QUESTION = "How many examples does it take until it answers?"
ABOUT = "examples"  # of the guess
WHY = (
    "Each button trains the model anew on so many questions with their answers, spread evenly over the topics: one pass, all weights, "
    "batches of 8, so 60 examples are 8 steps. Then it answers all test questions, none of which it was trained on. All runs answer the "
    "same facts, so they are compared fact by fact: McNemar's exact test of each pair of numbers, corrected together (Holm); the interval "
    "of a difference is as wide as that correction asks.\n\n"
    "It is one seed: other examples may give another number. The study *How much data?* has several seeds and more numbers. "
    "Runs are kept: who asks for one that is there sees it at once, and who asks for one that is under way watches the same job."
)
TEACH = (
    "- Let everybody guess before the first button is pressed; count the hands for each number.\n"
    "- The model saw 10 of thousands of facts and now answers others. What did it learn from the ten?\n"
    "- More examples help little or not at all. What else would have to change for more right answers?"
)


def draw() -> None:
    """A guess, a button for each number, accuracy beside the guess as runs finish."""
    stamp = background.stamp()
    taken = guesses.guess(ABOUT, {str(n): "none" if not n else f"{n:,} examples" for n in TRIED})
    if taken is None:
        st.caption("Which is the smallest number that does as well as all larger ones here? Guess, then train.")
    if (trouble := state.kept_problem()) is not None:
        panels.problem(trouble)
    runs = {n: learn_reads.finished(n, stamp) for n in TRIED[1:]}
    known = {n: run_id for n, run_id in runs.items() if run_id is not None}
    sizes = learn_reads.sizes(tuple(known.values()), stamp) if known and taken is not None else None
    jobs = current_executor().jobs(kind="train")
    for n, column in zip(TRIED, st.columns(len(TRIED)), strict=True):
        with column, st.container(border=True, key=f"learn-n-{n}", height="stretch"):
            st.markdown(f"**{n:,} examples**" if n else "**Base model**")
            if sizes is not None and n in sizes.accuracy:
                mean = sizes.accuracy[n]
                st.metric("right answers", percent(mean.value), label_visibility="collapsed")
                st.caption(f"95% {interval(mean.low, mean.high)}; {mean.n:,} facts")
            elif not n:
                st.caption("It answers the same questions in every run: its share comes with the first.")
            elif n in known:
                st.caption("Trained. Guess first.")
            else:
                _train(n, _newest(jobs, n), taken is None)
    if sizes is None or taken is None:
        return
    figure = partial(sizes_figure, sizes.accuracy, TRIED, int(taken))
    with lesson.sides() as (words, chart):
        with words:
            lesson.outcome(_came_out(int(taken), *sizes.judge(int(taken), TRIED), len(known)))
        with chart:
            lesson.chart(figure, "learn-sizes", "Right answers by number of examples", (tuple(known.items()), taken))


def _train(n: int, job: Job | None, off: bool) -> None:
    """The button that starts the run; the progress of the job that somebody has started; what went wrong with it."""
    if job is not None and job.state in ACTIVE:
        st.fragment(_watch, run_every=RUNNING_S)(job.id)
        return
    if job is not None and job.state != "done":  # it failed, or somebody cancelled it
        job_panel(job, "learn", charts=False)
        return
    if resources.missing_torch():
        panels.needs_torch("Training")
        return
    expected = background.expected_s(learn_reads.settings(n))
    st.button(f"Train {n}", key=f"learn-train-{n}", icon=":material/play_arrow:", disabled=off, on_click=_start, args=(n, expected))
    st.caption(f"about {span(*expected)}" if expected else "seconds")


def _newest(jobs: Sequence[Job], n: int) -> Job | None:
    """The newest of these jobs that trains the lesson's run with `n` examples, whoever started it."""
    wanted = learn_reads.settings(n).to_dict()
    return next((job for job in jobs if job.settings == wanted), None)


def _start(n: int, expected: tuple[float, ...]) -> None:
    """A button's callback. Looks once more whether the run is there: another visitor's may have finished since this page was drawn."""
    try:
        if learn_reads.finished_now(n) is None:
            background.submit("train", learn_reads.settings(n), expected)
    except SftqaError as error:
        state.keep_problem(str(error))


def _watch(job_id: str) -> None:
    job = background.job(job_id)
    if job is None or job.state not in ACTIVE:
        st.rerun()
    steps = state.progress_history(job_id) if job.state != "queued" else []
    progress_line(job, steps, brief=lesson.presents())
    st.caption(_left(job, steps))


def _left(job: Job, steps: Sequence[Progress]) -> str:
    """How long the whole job still takes: by its forecast less what is spent, or by what it reports of its last step."""
    reported = steps[-1].left_s if steps else None
    if reported is not None and (at := counted_steps(job, steps)) and at[0] == at[1]:
        return f"about {duration(reported)} left in all"
    left = left_s(job, reported)
    if left is None:
        return ""
    if left[1] < 1:
        return "longer than forecast"
    return f"about {span(*left)} left in all" if left[0] >= 1 else f"up to about {duration(left[1])} left in all"


def _came_out(guess: int, verdict: str, test: PairTest | None, done: int) -> str:
    """Whether the guess holds, from the test that decides it."""
    if test is None:
        missing = len(TRIED) - 1 - done
        return f"Is {guess:,} enough? Cannot tell yet: {missing} of the runs {'is' if missing == 1 else 'are'} missing." if missing else (
            f"Is {guess:,} enough? Cannot tell: too few test facts."
        )  # fmt: skip
    change = (
        f"{points(test.difference or 0)} points (95% {points(test.low or 0)} to {points(test.high or 0)}; {test.facts:,} facts, one seed)"
    )
    larger, smaller = (int(name) for name in (test.run, test.against))
    if verdict == "too few":
        return f"**{guess:,} is too few**: with {larger:,} examples accuracy changes by {change}."
    if verdict == "fewer would do":
        return f"**{smaller:,} would do, as far as can be told**: from {smaller:,} to {larger:,} examples accuracy changes by {change}."
    if larger == guess:
        return f"**{guess:,} it is**: from {smaller:,} on accuracy changes by {change}, and no larger number was tried."
    return f"**{guess:,} is enough, as far as can be told**: {larger:,} are not seen to be better: accuracy changes by {change}."


SCREENS = (draw,)
