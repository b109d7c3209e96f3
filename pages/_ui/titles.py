"""What tells a run or a job apart from others: every setting that is not the default, in plain words."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from pages._ui import resources
from pages._ui.wording import counted, moment
from sftqa_core.errors import SftqaError
from sftqa_core.jsonrecord import Setting, declared
from sftqa_core.models.model_names import plain_name
from sftqa_core.models.tuned import is_tuned_name
from sftqa_core.records import (
    MEASURES,
    STUDIES,
    CompleteSettings,
    InsideSettings,
    Job,
    PretrainSettings,
    ProbeSettings,
    StudySettings,
    SweepSettings,
    TrainSettings,
    setting_words,
)
from sftqa_core.records.setting_words import PROMPT_NAMES as PROMPT_NAMES
from sftqa_core.records.setting_words import prompt_kind as prompt_kind
from sftqa_core.records.setting_words import source_name as source_name

PINNED = "★"
JOB_SETTINGS = {
    "train": TrainSettings,
    "probe": ProbeSettings,
    "pretrain": PretrainSettings,
    "study": StudySettings,
    "sweep": SweepSettings,
    "inside": InsideSettings,
    "complete": CompleteSettings,
}


def differing(settings: Any) -> dict[str, Any]:
    """Settings that are not the default: name -> value. A learning rate equal to the model's own default is left out."""
    return setting_words.differing(settings, _default_rate)


def differences(settings: Any, but: str = "") -> list[str]:
    """The same as short words: "LoRA", "levels L2+L3", "learning rate 0.001"; `but` is a setting that stands elsewhere."""
    return setting_words.differences(settings, _default_rate, but)


def shown_value(name: str, value: Any, settings: Any) -> str:
    """A setting's value for a table."""
    return setting_words.shown_value(name, value, settings, model_name)


def changed_words(settings: dict[str, Any]) -> str:
    """Settings of a run by the names that the pages use: "LoRA, its default learning rate"."""
    known, words = declared(TrainSettings), []
    for name, value in settings.items():
        about = known.get(name, Setting(label=name))
        words.append(
            "its default learning rate" if name == "learning_rate" and value is None
            else about.choices[value] if value in about.choices
            else about.label.lower() + ("" if value is True else f" {value}")
        )  # fmt: skip
    return ", ".join(words)


def run_title(run: Any) -> str:
    """Model, facts, n, what is trained, every setting that differs, and when (or that it came with the program)."""
    settings = getattr(run, "settings", None)
    method, seed = declared(TrainSettings)["method"].choices.get(run.method, run.method), getattr(run, "seed", 0)
    more = [f"seed {seed}"] if seed else []
    if settings is not None:
        more = differences(settings, but="method")
    if cut := getattr(run, "cut", ""):
        more.append(cut.partition(" by ")[0])  # the limit itself is among the settings that differ
    bundle = getattr(run, "bundle", "")
    when = "shipped example" if run.shipped else f"{f'imported: {bundle}, ' if bundle else ''}{moment(run.created)}"
    return " · ".join(
        [
            model_name(run.model, None if is_tuned_name(run.model) else getattr(run, "quantisation", "")),
            source_name(run.source),
            f"n = {run.n:,}",
            method,
            *more,
            when,
        ]
    )


def run_names(stamp: str) -> dict[str, str]:
    """Title of each run by its id, with its name and tags first, and pinned runs first; titles that stand twice end in the id's last
    signs."""
    return _run_names(resources.listed(stamp))


@st.cache_resource(show_spinner=False, ttl=60)
def _run_names(stamp: str) -> dict[str, str]:
    return labelled(run_titles(stamp), "run")


def run_titles(stamp: str) -> dict[str, str]:
    """The same without name, tags and pins, the newest first."""
    titles = {run.id: run_title(run) for run in resources.runs(stamp)}
    twice = {title for title, times in Counter(titles.values()).items() if times > 1}
    return {key: f"{title} · {key[-4:]}" if title in twice else title for key, title in titles.items()}


def labelled(titles: dict[str, str], kind: str) -> dict[str, str]:
    """Titles of runs or studies by id with what the person calls them first: "★ my best · #paper · atlas-llama · …". Pinned ones, which
    have the star, come first; else the order stays."""
    given = resources.labels().of(kind)
    named = {key: " · ".join(filter(None, [given[key].words, title])) if key in given else title for key, title in titles.items()}
    pinned = {key: f"{PINNED} {named[key]}" for key in named if key in given and given[key].pinned}
    return pinned | {key: title for key, title in named.items() if key not in pinned}


def job_title(job: Job) -> str:
    """One line of plain text: what the job does."""
    s, more = job.settings, _differing_words(job)
    if job.kind == "train":
        n = _examples(s)
        return f"Fine-tune {model_name(str(s.get('model')))} on {n} examples of {source_name(str(s.get('source')))}{more}"
    if job.kind == "probe":
        split = "all splits" if s.get("split") == "all" else s.get("split", "test")
        return f"Probe {model_name(str(s.get('model')))} on {source_name(str(s.get('source')))} ({split}){more}"
    if job.kind == "study":
        return _study_words(s) + more
    if job.kind == "sweep":
        run = s.get("run") if isinstance(s.get("run"), dict) else {}
        n = _examples(run)
        return (
            f"Sweep learning rates of {model_name(str(run.get('model')))} with {n} examples of {source_name(str(run.get('source')))}{more}"
        )
    if job.kind == "inside":
        run = s.get("run") if isinstance(s.get("run"), dict) else {}
        tuned = f"{model_name(str(run.get('model')))} tuned on {_examples(run)} examples of {source_name(str(run.get('source')))}"
        return f"Look inside {tuned}{more}"
    if job.kind == "pretrain":
        return f"Pre-train {s.get('name')} on {source_name(str(s.get('source')))}{more}"
    if job.kind == "fetch":
        name = str(s.get("model"))
        return f"Read {model_name(name)} from GGUF" if Path(name).is_absolute() else f"Download {name}"
    if job.kind == "facts":
        return f"Fetch the facts {source_name(str(s.get('source')))}"
    if job.kind == "complete":
        prompts = len(s.get("prompts") or ())
        return f"Complete {prompts} prompt{'' if prompts == 1 else 's'} with {model_name(str(s.get('model')))}{more}"
    return f"{job.kind.capitalize()} {s.get('name', '')}".strip() + more


def study_title(settings: StudySettings) -> str:
    """What tells a study apart from others of its kind: models, facts, sizes, seeds, and every setting that differs."""
    return setting_words.study_words(settings, _default_rate, model_name)


def _study_words(settings: dict[str, Any]) -> str:
    models = setting_words.counted_names([str(name) for name in settings.get("models") or []], model_name)
    kind = str(settings.get("kind"))
    return f"Study {STUDIES[kind].title if kind in STUDIES else kind} with {models}"


def _examples(settings: dict[str, Any]) -> str:
    """How many, as a job's row says it: anything may stand there."""
    n = settings.get("n")
    return "all" if n == TrainSettings.ALL else counted(n)


def model_name(model: str, quantisation: str | None = None) -> str:
    """A model as people call it: of a GGUF file its name, not where it is kept, and its quantisation (None: that of the listed model); of
    what a run kept what it was tuned from, how and when."""
    if quantisation is None:
        if (named := resources.model_names().get(model)) is not None:
            return named
        quantisation = ""
    return plain_name(model, quantisation)


def with_names(text: str, models: Sequence[str]) -> str:
    """A sentence about these models that calls those that runs kept by their names."""
    for model in sorted(filter(is_tuned_name, models), key=len, reverse=True):
        text = text.replace(model, model_name(model))
    return text


def _differing_words(job: Job) -> str:
    try:
        settings = JOB_SETTINGS[job.kind].from_dict(job.settings)
        words = differences(settings.run, but="shots") if isinstance(settings, SweepSettings | InsideSettings) else differences(settings)
        if isinstance(settings, InsideSettings):
            words += [*([] if settings.measures == tuple(MEASURES) else [" and ".join(settings.measures)]), *differences(settings)]
    except (KeyError, SftqaError):  # a kind or a setting of another version: the title leaves them out
        return ""
    return "".join(f" · {word}" for word in words)


def _default_rate(settings: TrainSettings) -> float | None:
    try:
        return resources.default_learning_rate(settings.method, settings.model)
    except SftqaError:  # the model is gone: the title says its rate
        return None
