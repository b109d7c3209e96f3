"""What settings are called and how their values read, in titles, tables and reports: the same on pages and in files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sftqa_core.jsonrecord import declared, has_effect
from sftqa_core.records.schemes import SCHEME_NAMES, SCHEMES, LevelScheme
from sftqa_core.records.studying import StudySettings
from sftqa_core.records.tuning import PROMPTS, PromptFormat, TrainSettings

PROMPT_NAMES = {
    "qa": "Q/A prompt", "plain": "Question/Answer prompt", "paper": "The papers' prompt", "chat": "Model's chat template",
    "own": "Custom prompt",
}  # fmt: skip
_ALWAYS_SAID = (  # by the titles themselves
    "model", "source", "n", "split", "name", "kind", "models", "seeds", "sizes", "prompts", "samples", "run", "measures",
)  # fmt: skip
DefaultRate = Callable[[TrainSettings], float | None]  # the learning rate that a run has where none is given; None where it is unknown
ModelName = Callable[[str], str]  # what people call a model


def label(kind: type, name: str) -> str:
    """What a setting is called."""
    about = declared(kind).get(name)
    return (about.label if about else "") or name.replace("_", " ").capitalize()


def source_name(source: str) -> str:
    """A source as people call it: of an uploaded file its name, not where it is kept."""
    path = Path(source.partition("?")[0])
    return path.name if path.is_absolute() else source


def prompt_kind(form: PromptFormat) -> str:
    """Which of PROMPT_NAMES a prompt is."""
    return form.name if PROMPTS.get(form.name) == form else "own"


def differing(settings: Any, default_rate: DefaultRate) -> dict[str, Any]:
    """Settings that are not the default: name -> value. A learning rate equal to the model's own default is left out."""
    kind, values = type(settings), vars(settings)
    differ = {name: values[name] for name, about in declared(kind).items() if values[name] != about.default}
    differ = {name: value for name, value in differ.items() if name not in _ALWAYS_SAID and has_effect(kind, values, name)}
    rate = settings.learning_rate if isinstance(settings, TrainSettings) else None
    if rate is not None and rate == default_rate(settings):
        del differ["learning_rate"]
    return differ


def differences(settings: Any, default_rate: DefaultRate, but: str = "") -> list[str]:
    """The same as short words: "LoRA", "levels L2+L3", "learning rate 0.001"; `but` is a setting that stands elsewhere."""
    left_out = ("save_model", but)  # saving the model changes no number
    return [_short(name, value, settings) for name, value in differing(settings, default_rate).items() if name not in left_out]


def shown_value(name: str, value: Any, settings: Any, model_name: ModelName = str) -> str:
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


def study_words(settings: StudySettings, default_rate: DefaultRate, model_name: ModelName = str) -> str:
    """What tells a study apart from others of its kind: models, facts, sizes, seeds, and every setting that differs."""
    seeds = len(settings.seeds)
    sizes = ", ".join("all" if n == TrainSettings.ALL else f"{n:,}" for n in settings.examples)
    models = counted_names(settings.models, model_name)
    pieces = [models, source_name(settings.source), f"n = {sizes}", f"{seeds} seed{'' if seeds == 1 else 's'}"]
    return " · ".join([*pieces, *differences(settings, default_rate)])


def counted_names(models: Sequence[str], model_name: ModelName = str) -> str:
    """One or two names; of more how many."""
    return ", ".join(map(model_name, models)) if len(models) < 3 else f"{len(models)} models"


def cell_words(run: TrainSettings, seed: bool = True) -> str:
    """What a cell of a study was tuned on."""
    if run.n == 0:
        words = f"untouched, {run.more_shots[0]}-shot" if run.more_shots else "untouched"
    else:
        words = f"n = {'all' if run.n == TrainSettings.ALL else f'{run.n:,}'}"
        words += f", level {' + '.join(run.scheme.labels[at] for at in run.levels)}" if run.levels is not None else ""
    return f"{words}, seed {run.seed}" if seed else words


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
