"""The last three steps: what the model knows, what tuning on 60 examples changes, and a second run beside it."""

from dataclasses import replace
from functools import partial
from typing import Any

import streamlit as st

from pages._ui import pickers, resources
from pages._ui.charts import draw
from pages._ui.links import page_link
from pages._ui.own_facts import own_reads
from pages._ui.own_facts.own_steps import Step, section, stands, work
from pages._ui.runs import forms
from pages._ui.runs.result_panels import accuracy_charts
from pages._ui.wording import sentence
from sftqa_core.figures.levels import level_shares_figure
from sftqa_core.records import PAPER, ProbeSettings, TrainSettings

USUAL = 60  # examples
_AMOUNTS = (10, 240, 960)
_ALL = "all"


def probe_step(made: ProbeSettings | None, stamp: str) -> Step:
    """Levels of the test facts, against how often they were stated."""
    levels, said = None, []
    if made is not None:
        known = resources.profile(made.model, made.source, "test", "all", PAPER)
        if known.facts and known.probed == known.facts:
            levels = own_reads.levels_by_mentions(made.model, made.source, stamp)
            said = [levels.said] if levels else ["The facts are probed."]
    step = stands(3, "probe", made, said)
    with section(step):
        if made is None:
            st.caption("Needs the model of step 2.")
            return step
        if levels is not None and step.done:
            st.markdown("**Memory level by how often the text states a fact**")
            figure = partial(level_shares_figure, levels.groups, levels.labels)
            draw(figure, key="own-levels", alt="Facts per memory level, by mentions", of=(repr(levels.groups), levels.labels))
            st.caption("Facts that were never stated show what guessing gives. A group of fewer than 30 facts is too small to tell.")
            to = {"model": made.model, "source": made.source}
            page_link("pages/memory.py", "Fact by fact in Memory", "own-memory", icon=":material/psychology:", to=to)
        work(step, "probe", made, "Probe the test facts", "Probing")
    return step


def tune_step(settings: TrainSettings | None, stamp: str) -> tuple[Step, str]:
    """Accuracy per level before and after; the step, and its run's id (empty: none yet)."""
    run = own_reads.finished_run(settings, stamp) if settings else ""
    step = stands(4, "train", settings, own_reads.tuned_words(run) if run else [])
    with section(step):
        if settings is None:
            st.caption("Needs the levels of step 3, and in-domain facts to tune on.")
            return step, ""
        if run and step.done:
            stored = resources.run(run)
            accuracy_charts(stored.summary, stored.settings, where="own", height=300)
            st.caption("Squares: before; circles: after. Bars: Wilson 95%. Hollow markers: fewer than 30 facts, too few to tell.")
            page_link("pages/results.py", "All of this run's results", "own-results", icon=":material/insights:", to={"run": run})
        work(step, "train", settings, f"Tune on {settings.n:,}", "Fine-tuning")
    return step, run


def second_choices(first: TrainSettings, most: int) -> dict[str, tuple[str, TrainSettings]]:
    """What a second run could be, by its name in the address: words and settings. `most`: train facts that are there."""
    amounts = {str(n): (f"{n:,} examples in place of {first.n:,}", replace(first, n=n)) for n in _AMOUNTS if n < most and n != first.n}
    every = {_ALL: (f"all {most:,} examples", replace(first, n=TrainSettings.ALL))}
    labels = first.scheme.labels
    levels = {label: (f"{first.n:,} examples of level {label} alone", replace(first, levels=(at,))) for at, label in enumerate(labels)}
    return amounts | every | levels


def compare_step(first: TrainSettings | None, run: str, most: int, stamp: str) -> Step:
    """A second number of examples, or one level alone, beside the first run."""
    if first is None or not run:
        step = Step(5)
        with section(step):
            st.caption("Needs the run of step 4.")
        return step
    choices = second_choices(first, most)
    title = st.empty()
    name = pickers.linked("A second run, with", list(choices), "second", lambda key: choices[key][0])
    settings = choices[name][1]
    other = own_reads.finished_run(settings, stamp)
    step = stands(5, "train", settings, own_reads.compared_words(other, run) if other else [])
    title.subheader(step.title, anchor=False)
    _links(settings, run, other, step)
    work(step, "train", settings, "Tune the second run", "Fine-tuning")
    return step


def _links(settings: TrainSettings, run: str, other: str, step: Step) -> None:
    for said in step.said:
        st.markdown(f":green[:material/check_circle:] {sentence(said)}")
    with st.container(horizontal=True):
        to: dict[str, Any] = {"runs": ",".join(filter(None, (run, other)))}
        page_link(
            "pages/compare.py",
            "Both in Compare" if other else "The first run in Compare",
            "own-compare",
            icon=":material/compare_arrows:",
            to=to,
        )
        page_link("pages/lab.py", "Fill in the Lab's form with it", "own-lab", icon=":material/science:", to=forms.lab_address(settings))
