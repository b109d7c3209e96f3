"""A study, or one run, as one YAML file: what the page writes the command line reads, and the other way round."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import yaml

from sftqa_core.errors import SettingsError, reason
from sftqa_core.jsonrecord import Record, shown
from sftqa_core.records import PROMPTS, STUDIES, StudySettings, TrainSettings, prompt_format
from sftqa_core.records.recipes import PLAIN

MAX_CHARACTERS = 100_000
_FOREIGN = (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError, LookupError, ArithmeticError)


def study_yaml(settings: StudySettings) -> str:
    """The study as text without what stands at its default; what the study is about is always there."""
    written = {"sizes": ["all" if n == TrainSettings.ALL else n for n in settings.examples]}
    usual = StudySettings(next(kind for kind, study in STUDIES.items() if not study.recipe), settings.models)  # what it is about is written
    return _STUDY.head + _written(settings, usual, written, _STUDY)


def run_yaml(settings: TrainSettings) -> str:
    """One run as text, likewise."""
    written = {"n": "all" if settings.n == TrainSettings.ALL else settings.n}
    return _RUN.head + _written(settings, TrainSettings(settings.model), written, _RUN)


def study_of(text: str) -> StudySettings:
    """The study that `study_yaml`, or a person, wrote. Raises `SettingsError` with every problem at once; nothing in it is executed."""
    values = _read(text, _STUDY)
    if isinstance(values.get("sizes"), list):
        values["sizes"] = [TrainSettings.ALL if n == "all" else n for n in values["sizes"]]
    return StudySettings.from_dict(values)


def run_of(text: str) -> TrainSettings:
    """The run that `run_yaml`, or a person, wrote; raises as `study_of` does."""
    values = _read(text, _RUN)
    if "kind" in values or "models" in values:
        raise SettingsError("This is a study's file, and one run was asked for: sftqa study --config FILE, or 'A study' in the Lab.")
    if values.get("n") == "all":
        values["n"] = TrainSettings.ALL
    return TrainSettings.from_dict(values)


def read_study(path: Path) -> StudySettings:
    """The study in a YAML file. Raises `SettingsError` for a file that can't be read or is none."""
    return study_of(_text(path, "a study"))


def read_run(path: Path) -> TrainSettings:
    """The run in a YAML file; raises as `read_study` does."""
    return run_of(_text(path, "a run"))


@dataclasses.dataclass(frozen=True)
class _Form:
    """What a file holds: how it is called, what always stands in it, which settings are lists though one value may be written."""

    name: str
    example: str
    always: tuple[str, ...]
    lists: tuple[str, ...]
    head: str


_STUDY = _Form(
    "A study's file", "'kind: amount'", ("kind", "models", "source", "seeds", "sizes"), ("models", "seeds", "sizes", "shots", "tried"),
    "# A study of SFT-QA Explorer. Run it with: sftqa study --config THIS_FILE\n",
)  # fmt: skip
_RUN = _Form(
    "A run's file", "'model: atlas-llama'", ("model", "source", "n", "method", "seed"), ("levels", "relations", "more_shots"),
    "# A run of SFT-QA Explorer. Run it with: sftqa train --config THIS_FILE\n",
)  # fmt: skip


def _written(settings: StudySettings | TrainSettings, plain: Record, instead: dict[str, Any], form: _Form) -> str:
    values, usual = settings.to_dict(), plain.to_dict()
    written = {f.name: values[f.name] for f in dataclasses.fields(settings) if f.name in values} | instead
    kept = {name: value for name, value in written.items() if name in form.always or value != usual.get(name)}
    if "prompt" in kept and PROMPTS.get(settings.prompt.name) == settings.prompt:
        kept["prompt"] = settings.prompt.name
    if (recipe := settings.recipe) is not None:
        changed = {name: values["recipe"][name] for name in recipe.changed}
        kept["recipe"] = {"name": recipe.name, **changed} if changed else recipe.name
    flow = None if any(isinstance(value, list | dict) for value in kept.values()) else False  # lists in one line, settings never
    return yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, default_flow_style=flow, width=120)


def _read(text: str, form: _Form) -> dict[str, Any]:
    """The settings in a text, with words for numbers and prompts made what they stand for."""
    if len(text) > MAX_CHARACTERS:
        raise SettingsError(f"{form.name} has at most {MAX_CHARACTERS:,} characters, got {len(text):,}.")
    try:
        values = yaml.load(text, _Loader)
    except _FOREIGN as error:
        raise SettingsError(f"{form.name.replace('A ', 'The ', 1)} is no YAML{_where_and_why(error)}.") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{form.name} must hold settings such as {form.example}, got {type(values).__name__}.")
    values = {name if isinstance(name, str) else shown(name): value for name, value in values.items()}
    for name in form.lists:
        if name in values and not isinstance(values[name], list | None):
            values[name] = [values[name]]
    if isinstance(values.get("learning_rate"), str):  # YAML takes 4e-4 for a word
        with contextlib.suppress(ValueError):
            values["learning_rate"] = float(values["learning_rate"])
    if isinstance(values.get("tried"), list):  # a recipe's values are read as texts, of whatever kind its main setting is
        values["tried"] = [str(value) if type(value) in (int, float) else value for value in values["tried"]]
    if isinstance(values.get("prompt"), str):
        values["prompt"] = prompt_format(values["prompt"]).to_dict()
    if isinstance(values.get("recipe"), str):
        values["recipe"] = None if values["recipe"] == PLAIN else {"name": values["recipe"]}
    return values


def _text(path: Path, what: str) -> str:
    try:
        with path.open("rb") as handle:
            return handle.read(4 * MAX_CHARACTERS + 4).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} can't be read as {what}: {reason(error)}. Give a YAML file in UTF-8.") from error


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
