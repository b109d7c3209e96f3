"""A study as one YAML file: what the page exports the command line reads, and the other way round."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import yaml

from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import shown
from sftqa_core.records import PROMPTS, StudySettings, TrainSettings, prompt_format

MAX_CHARACTERS = 100_000
_FOREIGN = (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError, LookupError, ArithmeticError)
_ALWAYS = ("kind", "models", "source", "seeds", "sizes")
_HEAD = "# A study of SFT-QA Explorer. Run it with: sftqa study --config THIS_FILE\n"


def study_yaml(settings: StudySettings) -> str:
    """The study as text without what stands at its default; what the study is about is always there."""
    values = settings.to_dict()
    plain = StudySettings(settings.kind, settings.models).to_dict()
    written: dict[str, Any] = {f.name: values[f.name] for f in dataclasses.fields(settings) if f.name in values}
    written["sizes"] = ["all" if n == TrainSettings.ALL else n for n in settings.examples]
    kept = {name: value for name, value in written.items() if name in _ALWAYS or value != plain.get(name)}
    if "prompt" in kept and PROMPTS.get(settings.prompt.name) == settings.prompt:
        kept["prompt"] = settings.prompt.name
    return _HEAD + yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)


def study_of(text: str) -> StudySettings:
    """The study that `study_yaml`, or a person, wrote. Raises `SettingsError` with every problem at once; nothing in it is executed."""
    if len(text) > MAX_CHARACTERS:
        raise SettingsError(f"A study's file has at most {MAX_CHARACTERS:,} characters, got {len(text):,}.")
    try:
        values = yaml.load(text, _Loader)
    except _FOREIGN as error:
        raise SettingsError(f"The study's file is no YAML{_where_and_why(error)}.") from error
    if not isinstance(values, dict):
        raise SettingsError(f"A study's file must hold settings such as 'kind: amount', got {type(values).__name__}.")
    values = {name if isinstance(name, str) else shown(name): value for name, value in values.items()}
    for name in ("models", "seeds", "sizes"):
        if name in values and not isinstance(values[name], list | None):
            values[name] = [values[name]]
    if isinstance(values.get("sizes"), list):
        values["sizes"] = [TrainSettings.ALL if n == "all" else n for n in values["sizes"]]
    if isinstance(values.get("learning_rate"), str):  # YAML takes 4e-4 for a word
        with contextlib.suppress(ValueError):
            values["learning_rate"] = float(values["learning_rate"])
    if isinstance(values.get("prompt"), str):
        values["prompt"] = prompt_format(values["prompt"]).to_dict()
    return StudySettings.from_dict(values)


def read_study(path: Path) -> StudySettings:
    """The study in a YAML file. Raises `SettingsError` for a file that can't be read or is none."""
    try:
        with path.open("rb") as handle:
            text = handle.read(4 * MAX_CHARACTERS + 4).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} can't be read as a study: {error}. Give a YAML file in UTF-8.") from error
    return study_of(text)


class _Loader(yaml.SafeLoader):
    """Plain values only, and no setting twice, since it is unclear which was meant. No `<<` either: merges of merges
    double with every line."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, "'<<' can't be used here, write the settings out", key.start_mark)
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{shown(key.value)} stands there twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _where_and_why(error: Exception) -> str:
    place = getattr(error, "problem_mark", None)
    where = f" in line {place.line + 1}" if place else ""
    if isinstance(error, RecursionError):
        return f"{where}: it is nested too deeply"
    if "integer string conversion" in str(error):
        return f"{where}: it holds a number of thousands of digits"
    if not isinstance(error, (yaml.YAMLError, ValueError)):  # what a tag such as !!bool raises for a value that does not fit it
        return f"{where}: a value does not fit the tag (!!...) in front of it"
    return f"{where}: {getattr(error, 'problem', None) or str(error).split(chr(10))[0]}"
