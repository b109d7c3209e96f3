"""The command line that repeats a run, built from its frozen settings."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sftqa_core.records import PROMPTS, SLICK, LevelScheme, PromptFormat, TrainSettings, with_cutoffs, written_cutoffs
from sftqa_core.records.schemes import OWN

_VALUES = (  # flag, field: written when it differs from the default
    ("--balance", "balance"),
    ("--epochs", "epochs"),
    ("--batch", "batch_size"),
    ("--lora-rank", "lora_rank"),
    ("--test-limit", "test_limit"),
    ("--match", "match"),
    ("--max-answer-tokens", "max_answer_tokens"),
    ("--shots", "shots"),
    ("--device", "device"),
    ("--gpus", "gpus"),
    ("--sharding", "sharding"),
    ("--optimizer", "optimizer"),
    ("--quantize", "quantization"),
    ("--micro-batch", "micro_batch"),
    ("--eval-every", "eval_every"),
    ("--eval-facts", "eval_facts"),
    ("--patience", "patience"),
)
_LISTS = (("--levels", "levels"), ("--relations", "relations"), ("--more-shots", "more_shots"))
_SAMPLING = (("--samples", "samples"), ("--temperature", "temperature"), ("--max-new-tokens", "max_new_tokens"))


def command_of(settings: TrainSettings) -> str:
    """`sftqa train ...`, quoted for a POSIX shell; settings at their defaults are left out.

    Model, source, n, method and seed are always there. Lists are comma-separated. A prompt of one's own is its text with
    line breaks as \\n; an answer form or level scheme that has no flags is its JSON record.
    """
    plain = TrainSettings(model=settings.model)
    everything = settings.n == TrainSettings.ALL
    words = ["sftqa", "train", "--model", settings.model, "--source", settings.source, "--n", "all" if everything else str(settings.n)]
    words += ["--method", settings.method]
    for flag, name in _LISTS:
        if getattr(settings, name):
            words += [flag, ",".join(map(str, getattr(settings, name)))]
    if settings.learning_rate is not None:
        words += ["--lr", repr(settings.learning_rate)]
    words += _changed(_VALUES, settings, plain) + _prompt(settings.prompt) + _scheme(settings.scheme)
    words += ["--seed", str(settings.seed)]
    words += ["--gradient-checkpointing"] if settings.gradient_checkpointing else []
    return shlex.join([*words, *([] if settings.save_model else ["--no-save-model"])])


def _changed(flags: Iterable[tuple[str, str]], settings: Any, plain: Any) -> list[str]:
    changed = [(flag, getattr(settings, name)) for flag, name in flags if getattr(settings, name) != getattr(plain, name)]
    return [word for flag, value in changed for word in (flag, str(value))]


def _prompt(form: PromptFormat) -> list[str]:
    if form == PromptFormat():
        return []
    if PROMPTS.get(form.name) == form:
        return ["--prompt", form.name]
    if form.chat or form.name != "own" or form.answer != PromptFormat().answer:
        return ["--prompt", json.dumps(form.to_dict(), ensure_ascii=False)]
    return ["--prompt", form.prompt.replace("\n", "\\n")]


def _scheme(scheme: LevelScheme) -> list[str]:
    sampling = {name: getattr(scheme.sampling, name) for _, name in _SAMPLING}
    if scheme == replace(LevelScheme(), sampling=replace(LevelScheme().sampling, **sampling)):
        return _changed(_SAMPLING, scheme.sampling, LevelScheme().sampling)
    if scheme == SLICK:
        return ["--scheme", "slick"]
    if scheme.name == OWN and scheme == with_cutoffs(scheme.cutoffs):
        return ["--cutoffs", written_cutoffs(scheme)]
    return ["--scheme", json.dumps(scheme.to_dict(), ensure_ascii=False)]
