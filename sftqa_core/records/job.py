"""A piece of work: what it asks of the machine, its row in the queue, and the command line that repeats it."""

import json
import shlex
from dataclasses import dataclass, replace
from typing import Any

from sftqa_core.jsonrecord import Record, Setting, declared, setting
from sftqa_core.records.inside import FLAGS, InsideSettings
from sftqa_core.records.making import CorpusSettings, PretrainSettings
from sftqa_core.records.probes import ProbeSettings
from sftqa_core.records.recipes import Recipe
from sftqa_core.records.schemes import OWN, SCHEMES, LevelScheme, with_cutoffs
from sftqa_core.records.studying import StudySettings
from sftqa_core.records.sweeping import SweepSettings
from sftqa_core.records.tuning import PROMPTS, PromptFormat, TrainSettings

KEPT = {  # kind of work -> what is kept when it ends early
    "probe": "Finished facts are kept.",
    "train": "Probed facts, the base model's answers and the training's last checkpoint, if any, are kept.",
    "study": "Finished runs are kept, and the last checkpoint, if any, of the current run.",
    "sweep": "Finished runs are kept, and the last checkpoint, if any, of the current run.",
    "inside": "Measures that were taken are kept, and the last checkpoint, if any, of a training that was made again.",
    "pretrain": "The last checkpoint, if any, is kept.",
    "select": "Probed facts are kept.",
    "fetch": "Files that are complete are kept.",
    "facts": "Files that are complete are kept.",
    "exposures": "Counts that were told are kept.",
}
DEVICELESS = ("fetch", "facts")  # kinds of work that wait for the network: they take no device, and none has to be free for them
ACTIVE, OVER = ("queued", "running", "stopping"), ("done", "failed", "cancelled")  # states of a job
MOVES = ("first", "up", "down", "last")  # ways to change a queued job's place
REASONS = ("memory", "disk")  # why a job failed, where the program knows what to offer
_VERBS = {
    TrainSettings: "train",
    ProbeSettings: "probe",
    StudySettings: "study",
    SweepSettings: "sweep",
    InsideSettings: "inside",
    PretrainSettings: "pretrain",
}
_SAMPLING = ("samples", "temperature", "max_new_tokens")


@dataclass(frozen=True)
class Resources(Record):
    """What work needs of the machine; it starts when all of it is free at once. Memory is forecast, not leased."""

    gpus: int = setting(0, low=0)  # 0: the processor
    gpu: str = setting("", later=True)  # this very one, by its number; empty: any
    cluster: str = setting("", later=True)  # address of a cluster that computes; empty: this machine does


@dataclass(frozen=True)
class Job(Record):
    """One row of the queue. Progress and log are files in `folder`, not here."""

    id: str
    kind: str  # probe, train, study, sweep, inside, pretrain, fetch, facts or complete
    settings: dict[str, Any]  # the settings record as JSON, frozen at submission
    state: str  # queued, running, stopping, done, failed or cancelled
    created: str  # ISO 8601, UTC
    started: str | None = None
    finished: str | None = None
    folder: str = ""
    result: str | None = None  # run id, artefact or model name; of prompts to complete the texts themselves, as JSON
    error: str | None = None  # one sentence for people
    turn: int = 1  # how often it was put into the queue: a page that shows an earlier turn must not cancel this one
    gpus: int = 0  # how many it asks for; 0: the processor
    reason: str | None = None  # one of REASONS, of a failed job
    expected_s: tuple[float, ...] = ()  # seconds it was forecast to take at submission, at best and at worst
    cluster: str = ""  # address of the cluster that it goes to; empty: this machine computes


def command_of(settings: TrainSettings | ProbeSettings | StudySettings | SweepSettings | InsideSettings | PretrainSettings) -> str:
    """`sftqa train ...`, quoted for a POSIX shell; most settings at their defaults are left out (`Setting.rank`).

    Lists are comma-separated. A prompt without a name is its text with line breaks as \\n; an answer form or level scheme without
    flags is its JSON record.
    """
    if isinstance(settings, InsideSettings):  # what makes the run again follows from its name
        asked = [] if settings.measures == tuple(FLAGS) else [FLAGS[measure] for measure in settings.measures]
        return shlex.join(["sftqa", "inside", settings.name, *asked, *_options(settings)])
    usual = None
    if isinstance(settings, PretrainSettings) and settings.base:
        usual = replace(PretrainSettings.going_on(settings.name, settings.base), base=None)
    words = ["sftqa", _VERBS[type(settings)], *_options(settings.run if isinstance(settings, SweepSettings) else settings, usual)]
    if isinstance(settings, SweepSettings):
        words += _options(settings)
    return shlex.join(words)


def _options(settings: Record, usual: Record | None = None) -> list[str]:
    """Options for all but what is as `usual`, by default a setting's default."""
    words: list[str] = []
    for about in sorted(declared(type(settings)).values(), key=lambda about: 3 if about.kind is bool else about.rank):
        value, default = getattr(settings, about.name), about.default if usual is None else getattr(usual, about.name)
        if about.kind is LevelScheme:
            words += _scheme(value)
        elif about.kind is CorpusSettings:
            words += _options(value, None if usual is None else default)
        elif about.flag and (value != default or about.rank != 1):
            words += _written(about, value)
    return words


def _written(about: Setting, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [about.flag if value else f"--no-{about.flag.removeprefix('--')}"]
    if isinstance(value, PromptFormat):
        return [about.flag, _prompt(value)]
    if isinstance(value, Recipe):
        known = declared(type(value))
        return [about.flag, value.name, *(word for name, own in value.changed.items() for word in _written(known[name], own))]
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
        about = declared(type(scheme.sampling))
        return [word for name, value in drawn.items() if value != about[name].default for word in _written(about[name], value)]
    if named := [name for name, known in SCHEMES.items() if known == scheme]:
        return ["--scheme", *named]
    if scheme.name == OWN and scheme == with_cutoffs(scheme.cutoffs):
        return ["--cutoffs", scheme.written_cutoffs]
    return ["--scheme", json.dumps(scheme.to_dict(), ensure_ascii=False)]
