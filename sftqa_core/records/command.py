"""The command line that repeats a piece of work, built from its frozen settings."""

import json
import shlex
from dataclasses import replace
from typing import Any

from sftqa_core.jsonrecord import Setting, declared
from sftqa_core.records.schemes import OWN, SCHEMES, LevelScheme, ProbeSettings, with_cutoffs, written_cutoffs
from sftqa_core.records.studying import StudySettings
from sftqa_core.records.tuning import PROMPTS, PromptFormat, TrainSettings

_VERBS = {TrainSettings: "train", ProbeSettings: "probe", StudySettings: "study"}
_SAMPLING = ("samples", "temperature", "max_new_tokens")


def command_of(settings: TrainSettings | ProbeSettings | StudySettings) -> str:
    """`sftqa train ...`, quoted for a POSIX shell; most settings at their defaults are left out (`Setting.rank`).

    Lists are comma-separated. A prompt of one's own is its text with line breaks as \\n; an answer form or level scheme that has no
    flags is its JSON record.
    """
    words = ["sftqa", _VERBS[type(settings)]]
    for about in sorted(declared(type(settings)).values(), key=lambda about: 3 if about.kind is bool else about.rank):
        value = getattr(settings, about.name)
        if about.kind is LevelScheme:
            words += _scheme(value)
        elif about.flag and (value != about.default or about.rank != 1):
            words += _written(about, value)
    return shlex.join(words)


def _written(about: Setting, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [about.flag if value else f"--no-{about.flag.removeprefix('--')}"]
    if isinstance(value, PromptFormat):
        return [about.flag, _prompt(value)]
    names = {number: name for name, number in about.named.items()}
    items = [names.get(item, str(item)) for item in (value if isinstance(value, tuple) else (value,))]
    return [*([about.flag] if about.flag.startswith("--") else []), ",".join(items)]


def _prompt(form: PromptFormat) -> str:
    if PROMPTS.get(form.name) == form:
        return form.name
    if form.chat or form.name != "own" or form.answer != PromptFormat().answer:
        return json.dumps(form.to_dict(), ensure_ascii=False)
    return form.prompt.replace("\n", "\\n")


def _scheme(scheme: LevelScheme) -> list[str]:
    drawn = {name: getattr(scheme.sampling, name) for name in _SAMPLING}
    if scheme == replace(LevelScheme(), sampling=replace(LevelScheme().sampling, **drawn)):
        known = declared(type(scheme.sampling))
        return [word for name, value in drawn.items() if value != known[name].default for word in _written(known[name], value)]
    if named := [name for name, known in SCHEMES.items() if known == scheme]:
        return ["--scheme", *named]
    if scheme.name == OWN and scheme == with_cutoffs(scheme.cutoffs):
        return ["--cutoffs", written_cutoffs(scheme)]
    return ["--scheme", json.dumps(scheme.to_dict(), ensure_ascii=False)]
