"""Cached reads of the lesson: two-line wrappers over the core's workflows, as in resources.py. `stamp` changes when a job ends."""

from collections.abc import Iterator
from typing import Any

import streamlit as st

from pages._ui import background, resources
from sftqa_core.errors import SftqaError
from sftqa_core.evaluation.intervals import LEAST
from sftqa_core.records import PAPER, STUDIES, TrainSettings

MODEL, SOURCE = "atlas-llama", "atlas"  # tiny, and it ships: every step is a run of seconds or reads what is stored
OTHER = "atlas-llama-sparse"  # the same architecture; only what it read is another mixture
TRIED = (0, 10, 60, 240)  # numbers of examples; 0 is the base model
_ROUNDS = LEAST  # facts to guess at: after the last one the score can be told from blind guessing
_EXAMPLES = (4, 2, 0)  # levels of the questions that the first step offers


def settings(n: int) -> TrainSettings:
    """The lesson's run with `n` examples: the Lab's own defaults, so that whoever trains the same there shares the result."""
    return TrainSettings(model=MODEL, source=SOURCE, n=n)


def profile() -> Any:
    """Levels of the in-domain test facts."""
    return resources.profile(MODEL, SOURCE, "test", "in", PAPER)


def example_facts() -> list[str]:
    """A fact that the base model knows well, one that it half knows, one that it does not know, as far as they are here."""
    return _fact_ids(_levels_stamp())[0]


def quiz_facts() -> list[str]:
    """Facts to guess at, the same for everybody."""
    return _fact_ids(_levels_stamp())[1]


@st.cache_data(show_spinner=False, ttl=600, max_entries=2)
def _fact_ids(stamp: str) -> tuple[list[str], list[str]]:
    from sftqa_core import workflows

    return workflows.facts_of_levels(profile(), _EXAMPLES), workflows.quiz(profile(), _ROUNDS)


def _levels_stamp() -> str:
    from sftqa_core import workflows

    return workflows.profile_stamp(MODEL, SOURCE, PAPER)


@st.cache_data(show_spinner=False, ttl=60, max_entries=16)
def finished(n: int, stamp: str) -> str | None:
    """The id of a finished run of the lesson's settings with `n` examples: one that ships, or that anybody here has made."""
    return finished_now(n)


def finished_now(n: int) -> str | None:
    """The same, asked anew: before a job is started."""
    from sftqa_core import workflows

    info = workflows.finished_run(settings(n))
    return None if info is None else str(info.id)


@st.cache_resource(show_spinner="Comparing the runs…", ttl=600, max_entries=8)
def sizes(names: tuple[str, ...], stamp: str) -> Any:
    """Accuracy by number of examples, and which numbers differ."""
    from sftqa_core import workflows

    return workflows.compare_sizes(names)


@st.cache_data(show_spinner="Reading the study…", ttl=600, max_entries=4)
def level_cells(stamp: str) -> tuple[list[str], list[str]]:
    """Names of a study's cells that were tuned on the lowest level alone, and on the highest alone, with equally many examples."""
    for study in _studies(STUDIES["level"], MODEL):
        cells = _cells(study.settings, MODEL)
        last = len(study.settings.scheme.labels) - 1
        lowest, highest = ({run.seed: name for name, run in cells.items() if run.levels == (level,)} for level in (0, last))
        if seeds := sorted(lowest.keys() & highest.keys()):
            return [lowest[seed] for seed in seeds], [highest[seed] for seed in seeds]
    return [], []


@st.cache_data(show_spinner="Reading the study…", ttl=600, max_entries=4)
def model_cells(n: int, stamp: str) -> tuple[list[str], list[str], Any]:
    """Names of cells of MODEL and of OTHER that were tuned on the same `n` examples, and their study."""
    for study in _studies(STUDIES["models"], MODEL, OTHER):
        both = [_cells(study.settings, model) for model in (MODEL, OTHER)]
        first, second = ({run.seed: name for name, run in cells.items() if run.n == n and not run.more_shots} for cells in both)
        if seeds := sorted(first.keys() & second.keys()):
            return [first[seed] for seed in seeds], [second[seed] for seed in seeds], study
    return [], [], None


def _studies(kind: Any, *models: str) -> Iterator[Any]:
    """Own and shipped studies of this kind that have the lesson's facts and levels and these models."""
    for study in background.studies():
        settings = study.settings
        alike = STUDIES[settings.kind] == kind and settings.source == SOURCE and settings.scheme == PAPER
        if alike and not study.bundle and set(models) <= set(settings.models):
            yield study


def _cells(study: Any, model: str) -> dict[str, TrainSettings]:
    from sftqa_core import workflows

    try:
        return workflows.cell_names(study, model)
    except SftqaError:  # the model is gone, or its results are damaged: as if they were not there
        return {}


@st.cache_data(show_spinner=False)
def made_from(model: str) -> Any:
    """How a built-in model was pre-trained; None for others."""
    from sftqa_core import workflows

    return workflows.built_in_models().get(model)
