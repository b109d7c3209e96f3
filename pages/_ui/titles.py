"""What tells a run or a job apart from others: every setting that is not the default, in plain words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pages._ui import resources
from pages._ui.wording import moment
from sftqa_core.errors import SftqaError
from sftqa_core.records import (
    DOMAIN_NAMES,
    PROMPTS,
    SLICK,
    STUDIES,
    Job,
    LevelScheme,
    PretrainSettings,
    ProbeSettings,
    PromptFormat,
    StudySettings,
    TrainSettings,
)

METHODS = {"full": "all weights", "lora": "LoRA"}
SHARDINGS = {"ddp": "the whole model", "fsdp": "a part of it"}
OPTIMIZER_NAMES = {"adamw": "AdamW", "adafactor": "Adafactor", "sgd": "SGD", "adamw_8bit": "AdamW in 8 bits (unverified)"}
BALANCES = {
    "relation": "equal counts per relation",
    "level": "equal counts per level too",
    "matched": "the topics that every level has",
}
PROMPT_NAMES = {"qa": "The paper's prompt", "plain": "Question/Answer prompt", "chat": "Model's chat template", "own": "Own prompt"}
FIELDS = {  # a setting's name -> what the pages call it
    "levels": "Memory levels to train on",
    "balance": "Balance",
    "relations": "Relations",
    "method": "Train",
    "learning_rate": "Learning rate",
    "epochs": "Epochs",
    "batch_size": "Batch size",
    "lora_rank": "LoRA rank",
    "prompt": "Prompt",
    "seed": "Seed",
    "test_limit": "Test facts per relation",
    "match": "How an answer is found",
    "shots": "Examples shown to the base model",
    "more_shots": "Other numbers of them",
    "max_answer_tokens": "Answer length in tokens",
    "device": "Device",
    "gpus": "GPUs",
    "sharding": "Each GPU holds",
    "quantization": "The model's weights in 4 bits",
    "optimizer": "Optimizer",
    "micro_batch": "Micro-batch size",
    "gradient_checkpointing": "Gradient checkpointing",
    "eval_every": "Look at dev facts every ... steps",
    "eval_facts": "Dev facts looked at",
    "patience": "Patience (looks)",
    "save_model": "Keep the tuned weights",
    "scheme": "Level scheme",
    "limit": "At most this many facts",
    "facts_seed": "Seed of the order",
    "seeds": "Seeds",
    "sizes": "Examples (n)",
    "retest_limit": "Facts per relation probed again",
}
_SHORT: dict[str, Callable[[Any], str]] = {  # as part of a title
    "balance": lambda value: "balanced by level",
    "relations": lambda value: "+".join(value) if len(value) < 4 else f"{len(value)} relations",
    "method": lambda value: METHODS.get(value, value),
    "prompt": lambda value: PROMPT_NAMES[prompt_kind(value)].lower(),
    "learning_rate": lambda value: f"learning rate {value:g}",
    "epochs": lambda value: f"{value} epochs",
    "test_limit": lambda value: f"{value:,} test facts a relation",
    "match": lambda value: f"matching by {value}",
    "shots": lambda value: _shown(value),
    "more_shots": lambda value: f"{_shown(value)} too",
    "lora_rank": lambda value: f"LoRA rank {value}",
    "gpus": lambda value: f"{value} GPUs",
    "sharding": lambda value: f"each with {SHARDINGS.get(value, value)}",
    "quantization": lambda value: "weights in 4 bits",
    "optimizer": lambda value: OPTIMIZER_NAMES.get(value, value),
    "micro_batch": lambda value: f"micro-batches of {value}",
    "gradient_checkpointing": lambda value: "gradient checkpointing",
    "eval_every": lambda value: f"dev facts looked at every {value:,} steps",
    "eval_facts": lambda value: f"{value:,} dev facts",
    "patience": lambda value: f"patience {value}",
    "limit": lambda value: f"at most {value:,} facts",
    "scheme": lambda value: _scheme_words(value),
    "corpus": lambda value: "own text settings",
}
_ALWAYS_SAID = ("model", "source", "n", "split", "name", "kind", "models", "seeds", "sizes")


def prompt_kind(form: PromptFormat) -> str:
    """Which of PROMPT_NAMES a prompt is."""
    return form.name if PROMPTS.get(form.name) == form else "own"


def _shown(shots: int | tuple[int, ...]) -> str:
    """Examples shown: of a run, or of a study."""
    counts = shots if isinstance(shots, tuple) else (shots,)
    return f"{', '.join(map(str, counts))} example{'' if counts == (1,) else 's'} shown"


def differing(settings: Any) -> dict[str, Any]:
    """Settings that are not the default: name -> value. A learning rate that is the model's own default is none of them."""
    about = (
        (settings.kind, settings.models) if isinstance(settings, StudySettings) else (getattr(settings, "model", None) or settings.name,)
    )
    plain = type(settings)(*about)
    found = {name: value for name, value in vars(settings).items() if name not in _ALWAYS_SAID and value != getattr(plain, name)}
    if isinstance(settings, TrainSettings) and settings.learning_rate is not None and _is_default_rate(settings):
        found.pop("learning_rate", None)
    if isinstance(settings, TrainSettings | StudySettings) and settings.method != "lora":
        found.pop("lora_rank", None)
    return found


def differences(settings: Any) -> list[str]:
    """The same as short words: "LoRA", "levels L2+L3", "learning rate 0.001"."""
    return [_short(name, value, settings) for name, value in differing(settings).items() if name != "save_model"]  # changes no number


def shown_value(name: str, value: Any, settings: Any) -> str:
    """A setting's value for a table."""
    if name == "levels":
        return ", ".join(settings.scheme.labels[at] for at in value)
    if name == "prompt":
        told = f"{value.prompt}{value.answer}{' (as a chat)' if value.chat else ''}"
        return PROMPT_NAMES["chat"] if prompt_kind(value) == "chat" else told
    if name in ("method", "balance", "sharding"):
        return {**METHODS, **BALANCES, **SHARDINGS}.get(value, value)
    if name == "scheme":
        return _scheme_words(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _scheme_words(scheme: LevelScheme) -> str:
    """What a level scheme does otherwise than the paper's."""
    plain, drawn = LevelScheme(), scheme.sampling
    if scheme.few_shot:
        return "SliCK's levels" if scheme == SLICK else f"SliCK's levels, other settings ({scheme.fingerprint()[:4]})"
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
    if name == "levels":
        return f"levels {'+'.join(settings.scheme.labels[at] for at in value)}"
    if name == "domain":
        return DOMAIN_NAMES.get(value, value)
    if name in _SHORT:
        return _SHORT[name](value)
    label = FIELDS.get(name, name.replace("_", " "))
    return f"{label[0].lower() + label[1:] if label[1:2].islower() else label} {value}"


def changed_words(settings: dict[str, Any]) -> str:
    """Settings by the names that the pages use: "LoRA, default learning rate"."""
    words = {name: FIELDS.get(name, name).lower() + ("" if value is True else f" {value}") for name, value in settings.items()}
    words |= {"method": METHODS.get(str(settings.get("method")), "")} if "method" in settings else {}
    words |= {"learning_rate": "its default learning rate"} if settings.get("learning_rate", 0) is None else {}
    return ", ".join(words.values())


def run_title(run: Any) -> str:
    """Model, facts, n, what is trained, every setting that differs, and when (or that it came with the program)."""
    settings = getattr(run, "settings", None)
    method, seed = METHODS.get(run.method, run.method), getattr(run, "seed", 0)
    more = [f"seed {seed}"] if seed else []
    if settings is not None:
        more = [words for words in differences(settings) if words not in METHODS.values()]
    when = "shipped example" if run.shipped else moment(run.created)
    return " · ".join([run.model, source_name(run.source), f"n = {run.n}", method, *more, when])


def job_title(job: Job) -> str:
    """One line of plain text: what the job does."""
    s, more = job.settings, _told_apart(job)
    if job.kind == "train":
        n = "all" if s.get("n") == TrainSettings.ALL else s.get("n")
        return f"Fine-tune {s.get('model')} on {n} examples of {source_name(str(s.get('source')))}{more}"
    if job.kind == "probe":
        split = s.get("split", "test")
        return f"Probe {s.get('model')} on {source_name(str(s.get('source')))} ({'all splits' if split == 'all' else split}){more}"
    if job.kind == "study":
        return _study_words(s) + more
    if job.kind == "pretrain":
        return f"Pre-train {s.get('name')} on {source_name(str(s.get('source')))}{more}"
    if job.kind == "fetch":
        return f"Download {s.get('model')}"
    return f"{job.kind.capitalize()} {s.get('name', '')}".strip() + more


def study_title(settings: StudySettings) -> str:
    """What tells a study apart from others of its kind: models, facts, sizes, seeds, and every setting that differs."""
    seeds = len(settings.seeds)
    sizes = ", ".join("all" if n == TrainSettings.ALL else f"{n:,}" for n in settings.examples)
    more = [words for words in differences(settings) if words not in METHODS.values() or settings.method != "full"]
    told = [_counted_names(settings.models), source_name(settings.source), f"n = {sizes}", f"{seeds} seed{'' if seeds == 1 else 's'}"]
    return " · ".join([*told, *more])


def _study_words(settings: dict[str, Any]) -> str:
    models = _counted_names([str(name) for name in settings.get("models") or []])
    kind = str(settings.get("kind"))
    return f"Study {STUDIES[kind].title if kind in STUDIES else kind} with {models}"


def _counted_names(models: Sequence[str]) -> str:
    return ", ".join(models) if len(models) < 3 else f"{len(models)} models"


def source_name(source: str) -> str:
    """A source as people call it: of an uploaded file its name, not where it is kept."""
    return Path(source).name if Path(source).is_absolute() else source


def _told_apart(job: Job) -> str:
    kinds = {"train": TrainSettings, "probe": ProbeSettings, "pretrain": PretrainSettings, "study": StudySettings}
    try:
        words = differences(kinds[job.kind].from_dict(job.settings))
    except (KeyError, SftqaError):  # a kind or a setting of another version: the title goes without
        return ""
    return "".join(f" · {word}" for word in words)


def _is_default_rate(settings: TrainSettings) -> bool:
    try:
        return settings.learning_rate == resources.default_learning_rate(settings.method, settings.model)
    except SftqaError:  # the model is gone: its rate is told
        return False
