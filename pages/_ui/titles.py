"""What tells a run or a job apart from others: every setting that is not the default, in plain words."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from pages._ui import resources
from pages._ui.fields import label
from pages._ui.model_names import plain_name
from pages._ui.wording import counted, moment
from sftqa_core.errors import SftqaError
from sftqa_core.jsonrecord import Setting, declared, has_effect
from sftqa_core.models.tuned import is_tuned_name
from sftqa_core.records import (
    MEASURES,
    PROMPTS,
    SCHEMES,
    STUDIES,
    CompleteSettings,
    InsideSettings,
    Job,
    LevelScheme,
    PretrainSettings,
    ProbeSettings,
    PromptFormat,
    StudySettings,
    SweepSettings,
    TrainSettings,
)
from sftqa_core.records.schemes import SCHEME_NAMES

PINNED = "★"
PROMPT_NAMES = {
    "qa": "Q/A prompt", "plain": "Question/Answer prompt", "paper": "The papers' prompt", "chat": "Model's chat template",
    "own": "Custom prompt",
}  # fmt: skip
JOB_SETTINGS = {
    "train": TrainSettings,
    "probe": ProbeSettings,
    "pretrain": PretrainSettings,
    "study": StudySettings,
    "sweep": SweepSettings,
    "inside": InsideSettings,
    "complete": CompleteSettings,
}
_ALWAYS_SAID = (
    "model",
    "source",
    "n",
    "split",
    "name",
    "kind",
    "models",
    "seeds",
    "sizes",
    "prompts",
    "samples",
    "run",
    "measures",
)  # by the titles themselves


def prompt_kind(form: PromptFormat) -> str:
    """Which of PROMPT_NAMES a prompt is."""
    return form.name if PROMPTS.get(form.name) == form else "own"


def differing(settings: Any) -> dict[str, Any]:
    """Settings that are not the default: name -> value. A learning rate equal to the model's own default is left out."""
    kind, values = type(settings), vars(settings)
    differ = {name: values[name] for name, about in declared(kind).items() if values[name] != about.default}
    differ = {name: value for name, value in differ.items() if name not in _ALWAYS_SAID and has_effect(kind, values, name)}
    if isinstance(settings, TrainSettings) and settings.learning_rate is not None and _is_default_rate(settings):
        del differ["learning_rate"]
    return differ


def differences(settings: Any, but: str = "") -> list[str]:
    """The same as short words: "LoRA", "levels L2+L3", "learning rate 0.001"; `but` is a setting that stands elsewhere."""
    left_out = ("save_model", but)  # saving the model changes no number
    return [_short(name, value, settings) for name, value in differing(settings).items() if name not in left_out]


def shown_value(name: str, value: Any, settings: Any) -> str:
    """A setting's value for a table."""
    about = declared(type(settings))[name]
    if name == "levels":
        return ", ".join(settings.scheme.labels[at] for at in value)
    if name == "prompt":
        custom = f"{value.prompt}{value.answer}{' (as a chat)' if value.chat else ''}"
        return PROMPT_NAMES["chat"] if prompt_kind(value) == "chat" else custom
    if name == "scheme":
        return _scheme_words(value)
    if name in ("model", "source"):
        return (model_name if name == "model" else source_name)(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else about.choices.get(value, str(value))


def _scheme_words(scheme: LevelScheme) -> str:
    """How a level scheme differs from the paper's."""
    plain, drawn = LevelScheme(), scheme.sampling
    if not scheme.by_statements:
        name = next((SCHEME_NAMES[name] for name, known in SCHEMES.items() if known.prompts == scheme.prompts), scheme.name)
        return f"{name}'s levels" + ("" if scheme in SCHEMES.values() else f", other settings ({scheme.fingerprint()[:4]})")
    words = {
        f"levels {'/'.join(scheme.labels)}": scheme.labels != plain.labels,
        f"cut-offs {'/'.join(f'{cut:.0%}' for cut in scheme.cutoffs)}": scheme.cutoffs != plain.cutoffs,
        f"{drawn.samples} samples a template": drawn.samples != plain.sampling.samples,
        f"temperature {drawn.temperature:g}": drawn.temperature != plain.sampling.temperature,
        f"completions of at most {drawn.max_new_tokens} tokens": drawn.max_new_tokens != plain.sampling.max_new_tokens,
        f"levels sampled with seed {drawn.seed}": drawn.seed != plain.sampling.seed,
        f"sampler {drawn.sampler}": drawn.sampler != plain.sampling.sampler,
        "levels estimated by the likelihood": scheme.method == "likelihood",
        f"levels by the adaptive probe, confidence {scheme.confidence:g}": scheme.method == "adaptive",
    }
    return ", ".join(word for word, differs in words.items() if differs) or scheme.name


def _short(name: str, value: Any, settings: Any) -> str:
    about = declared(type(settings))[name]
    if name == "levels":
        return f"levels {'+'.join(settings.scheme.labels[at] for at in value)}"
    if name == "relations":
        return "+".join(value) if len(value) < 4 else f"{len(value)} relations"
    if name == "prompt":
        return PROMPT_NAMES[prompt_kind(value)].lower()
    if name == "scheme":
        return _scheme_words(value)
    if name == "shots" and value == 0:
        return "no k-shot baseline"
    if name in ("shots", "more_shots"):
        return f"{', '.join(f'{shots}-shot' for shots in (value if isinstance(value, tuple) else (value,)))} baseline"
    value = about.choices.get(value, value) if about.choices else ", ".join(value) if name == "tried" else value
    if about.title:
        return about.title.format(value=value)
    words = label(type(settings), name)
    return f"{words[0].lower() + words[1:] if words[1:2].islower() else words} {value}"


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
    seeds = len(settings.seeds)
    sizes = ", ".join("all" if n == TrainSettings.ALL else f"{n:,}" for n in settings.examples)
    more = differences(settings)
    pieces = [_counted_names(settings.models), source_name(settings.source), f"n = {sizes}", f"{seeds} seed{'' if seeds == 1 else 's'}"]
    return " · ".join([*pieces, *more])


def _study_words(settings: dict[str, Any]) -> str:
    models = _counted_names([str(name) for name in settings.get("models") or []])
    kind = str(settings.get("kind"))
    return f"Study {STUDIES[kind].title if kind in STUDIES else kind} with {models}"


def _examples(settings: dict[str, Any]) -> str:
    """How many, as a job's row says it: anything may stand there."""
    n = settings.get("n")
    return "all" if n == TrainSettings.ALL else counted(n)


def _counted_names(models: Sequence[str]) -> str:
    return ", ".join(map(model_name, models)) if len(models) < 3 else f"{len(models)} models"


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


def source_name(source: str) -> str:
    """A source as people call it: of an uploaded file its name, not where it is kept."""
    path = Path(source.partition("?")[0])
    return path.name if path.is_absolute() else source


def _differing_words(job: Job) -> str:
    try:
        settings = JOB_SETTINGS[job.kind].from_dict(job.settings)
        words = differences(settings.run, but="shots") if isinstance(settings, SweepSettings | InsideSettings) else differences(settings)
        if isinstance(settings, InsideSettings):
            words += [*([] if settings.measures == tuple(MEASURES) else [" and ".join(settings.measures)]), *differences(settings)]
    except (KeyError, SftqaError):  # a kind or a setting of another version: the title leaves them out
        return ""
    return "".join(f" · {word}" for word in words)


def _is_default_rate(settings: TrainSettings) -> bool:
    try:
        return settings.learning_rate == resources.default_learning_rate(settings.method, settings.model)
    except SftqaError:  # the model is gone: the title says its rate
        return False
