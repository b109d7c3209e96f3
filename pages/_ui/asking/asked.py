"""What the pages read for a question: which models can be asked, how each is, and what is known of the fact behind it.

Like background.py it calls the core's workflows; nothing here loads a model.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

import streamlit as st

from pages._ui import resources
from pages._ui.titles import model_name, run_title
from sftqa_core.errors import SftqaError
from sftqa_core.jobs.ask_files import current_ask_service
from sftqa_core.records import RUN, Column, Question

EXAMPLES = 3  # questions that an empty page offers


@st.cache_data(show_spinner=False, ttl=60)
def options(stamp: str) -> dict[str, str]:
    """Models that can be asked now, by name -> title: base models on this machine, then what runs kept: pinned, then newest first."""
    given = resources.labels().runs
    cards = [card for card in resources.models() if card.available and not card.name.startswith(RUN)]
    kept = [run for run in resources.runs(stamp) if (run.folder / "model").is_dir() and not run.bundle]
    kept.sort(key=lambda run: not (run.id in given and given[run.id].pinned))
    return {card.name: model_name(card.name, card.quantisation) for card in cards} | {RUN + run.id: _tuned(run) for run in kept}


@st.cache_data(show_spinner=False, ttl=60)
def titles(stamp: str) -> dict[str, str]:
    """The same, and runs that kept no weights: a link may name them, and their column says what to do."""
    return options(stamp) | {RUN + run.id: _tuned(run) for run in resources.runs(stamp)}


def _tuned(run: Any) -> str:
    """A run by the name that model pickers give to what it kept, else by its title."""
    return resources.model_names().get(RUN + run.id) or f"tuned: {run_title(run)}"


@st.cache_data(show_spinner=False, ttl=60)
def details(stamp: str) -> dict[str, str]:
    """By run: every setting that differs from the default, on one line."""
    return {RUN + run.id: run_title(run) for run in resources.runs(stamp)}


@st.cache_data(show_spinner=False, ttl=60)
def first_choice(stamp: str) -> list[str]:
    """What is asked where the address names nothing: the newest run that kept its weights beside its base model, else the first model."""
    from sftqa_core import workflows

    names = list(options(stamp))
    newest = next((RUN + run.id for run in resources.runs(stamp) if RUN + run.id in names), None)
    bases = [name for name in workflows.base_models([newest]) if name in names] if newest else names[:1]
    return [*bases, *([newest] if newest else [])]


def start_soon() -> None:
    """Start the process that answers, on a page whose first thing is to ask: it takes seconds, over by the time the question is read."""
    if not resources.missing_torch():
        with contextlib.suppress(SftqaError):  # the press says it
            current_ask_service().ensure()


def column(question: Question, model: str, beside: Sequence[str]) -> Column | str:
    """How a model is asked beside others; why it can't be, in a sentence."""
    from sftqa_core import workflows

    try:
        return workflows.column(question, model, beside)
    except SftqaError as error:
        return str(error)


@st.cache_data(show_spinner=False, ttl=60, max_entries=256)
def known_fact(question: Question, models: tuple[str, ...]) -> tuple[Question, Any]:
    """The question with the right answers as far as they are known, and the fact behind it or None."""
    from sftqa_core import workflows

    return workflows.with_right_answers(question, models)


@st.cache_data(show_spinner=False, ttl=60, max_entries=256)
def known_levels(fact: Any, models: tuple[str, ...], stamp: str) -> list[Any]:
    """The fact's level in the base models among these, and in those that runs were tuned from, where it was probed."""
    from sftqa_core import workflows

    levels = []
    for model in workflows.base_models(models):
        try:
            levels.append(workflows.known_level(model, fact))
        except SftqaError:  # the model or its probe is gone
            continue
    return [level for level in levels if level is not None]


@st.cache_data(show_spinner=False, ttl=600, max_entries=16)
def examples(models: tuple[str, ...]) -> list[str]:
    """Some questions that these models' facts ask."""
    from sftqa_core import workflows

    try:
        return workflows.example_questions(models, EXAMPLES)
    except SftqaError:
        return []
