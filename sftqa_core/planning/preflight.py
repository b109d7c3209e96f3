"""Preflight: everything that can be looked at before a job, in plain words, each finding with its fix.

It loads no model and, but for one short question about a model that is not on this machine, asks nobody. A page shows it before
Launch, a job writes what is not in order into its log, and `sftqa preflight` prints all of it.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from sftqa_core.artifacts.kept import Kept
from sftqa_core.errors import SftqaError
from sftqa_core.jsonrecord import fingerprint
from sftqa_core.memory.profiles import open_for
from sftqa_core.models.devices import NUMBER_FORMATS
from sftqa_core.models.footprint import BYTES, Shape
from sftqa_core.models.hub.hub_cache import hub_cache
from sftqa_core.models.tokenizer_files import tokenizer_stamp
from sftqa_core.planning.forecast import Forecast, forecast
from sftqa_core.planning.preflight_machine import Writing, device_check, disk_check, memory_check, packages_check, trial_check, tuned_files
from sftqa_core.planning.preflight_model import (
    CHAT_PROMPT,
    STATEMENTS,
    Looked,
    about,
    answer_points,
    chat_check,
    chat_layout,
    look_at,
    probing_context,
    question_pairs,
    statement_pairs,
    training_context,
)
from sftqa_core.progress import Reporter
from sftqa_core.records import Check, Preflight, ProbeSettings, StudySettings, TrainSettings
from sftqa_core.workspace import Workspace

if TYPE_CHECKING:
    from sftqa_core.knowledge.facts import FactSource

Settings = TrainSettings | ProbeSettings | StudySettings
KINDS: dict[type, str] = {TrainSettings: "train", ProbeSettings: "probe", StudySettings: "study"}
_MINUTE_S = 60.0  # a shorter training writes no checkpoint
_CHECKPOINT = 2 * 12  # bytes a trained parameter that must be free (training/unfinished.py)


def preflight(settings: Settings, cost: Forecast | None = None) -> Preflight:
    """Every point, for whatever `settings` ask for. `cost`: their forecast, where it is known already."""
    kind = KINDS[type(settings)]
    models = settings.models if isinstance(settings, StudySettings) else (settings.model,)
    looked = [look_at(name) for name in models]
    device, place = device_check(settings.device, settings.gpus, settings.quantization)
    checks: list[Check] = []
    for one in looked:
        own = [*one.checks, *_texts(one, settings)]
        checks += about(own, one.name) if len(looked) > 1 else own
    checks += [packages_check(kind, settings.quantization), device]
    if any(check.state == "problem" and check.name in ("model", "device", "chat") for check in checks):
        return Preflight(kind, tuple(checks))
    return Preflight(kind, (*checks, *_costs(settings, cost, looked, place)))


def tell(found: Preflight, reporter: Reporter) -> None:
    """Write what is not in order into a job's log, and one line where all is."""
    reporter.log(f"{found.headline()}.")
    for check in found.of("problem", "note"):
        reporter.log(f"{check.state}: {check.line}")


def _texts(looked: Looked, settings: Settings) -> list[Check]:
    """Answers, prompt, base or chat, context. Facts that can't be had are told with the costs."""
    if looked.card is None or any(check.state == "problem" and check.name == "model" for check in looked.checks):
        return []
    run = _run_of(settings, looked.name)
    trains = isinstance(run, TrainSettings)
    chat = chat_check(looked, trains, _in_chat(run))
    try:
        source = open_for(looked.name, settings.source)
        return [chat, *(_training_texts(looked, run, source) if isinstance(run, TrainSettings) else _probing_texts(looked, run, source))]
    except SftqaError:
        return [chat]


def _training_texts(looked: Looked, run: TrainSettings, source: FactSource) -> list[Check]:
    from sftqa_core.evaluation.predictions import held_out_facts
    from sftqa_core.training.selection import train_pool

    def look() -> list[Check]:
        pool, tests = train_pool(source, run), held_out_facts(source, run)
        chat = chat_layout(looked, _in_chat(run))
        pairs = [] if chat is None and _in_chat(run) else question_pairs(run, pool if len(pool) else tests, chat)
        n = len(pool) if run.n == TrainSettings.ALL else min(run.n, len(pool))
        return [*answer_points(looked, pairs, CHAT_PROMPT if chat else None), training_context(looked, run, pool, tests, n, chat)]

    texts = (run.prompt, run.n, run.seed, run.relations, run.test_limit, run.max_answer_tokens, run.shots, run.more_shots)
    return _kept.get((*_key(looked, source), *texts), look)


def _probing_texts(looked: Looked, run: ProbeSettings, source: FactSource) -> list[Check]:
    from sftqa_core.memory.prober import chosen_facts

    def look() -> list[Check]:
        facts = chosen_facts(source, run)
        if facts.empty:
            return []
        pairs = statement_pairs(source, facts)
        border = None if any(prompt[-1:].isspace() for prompt, _ in pairs) else STATEMENTS
        return [*answer_points(looked, pairs, border), probing_context(looked, run, source, facts)]

    return _kept.get((*_key(looked, source), run.split, run.domain, run.limit, run.facts_seed, run.scheme), look)


_kept: Kept[list[Check]] = Kept(64)  # a form asks again at every change, most of which change no text


def _key(looked: Looked, source: FactSource) -> tuple[Hashable, ...]:
    stamp = tokenizer_stamp(looked.words) if looked.words else ()  # of the chat template, too
    return looked.name, str(looked.words), stamp, fingerprint(looked.config), source.name, source.fingerprint


def _in_chat(run: TrainSettings | ProbeSettings) -> bool:
    """Whether the questions are put in the model's own chat template."""
    return isinstance(run, TrainSettings) and run.prompt.chat


def _run_of(settings: Settings, model: str) -> TrainSettings | ProbeSettings:
    """The settings themselves, or of a study its largest run of this model."""
    if not isinstance(settings, StudySettings):
        return settings
    sizes = settings.examples
    return settings.run(
        model, TrainSettings.ALL if TrainSettings.ALL in sizes else max(sizes), settings.seeds[0], more_shots=settings.shots
    )


def _costs(settings: Settings, cost: Forecast | None, looked: list[Looked], device: str) -> list[Check]:
    """Facts, memory, trial and disk."""
    try:
        cost = cost or forecast(settings)
    except SftqaError as error:
        return [Check.of_error("facts", str(error), "Choose other facts.")]
    run = _run_of(settings, looked[0].name)
    trains = isinstance(run, TrainSettings) and run.n != 0
    method = run.method if isinstance(run, TrainSettings) and trains else None
    largest = max((one.parameters or 0 for one in looked), default=0) or None
    return [
        _facts(settings, cost),
        memory_check(cost.memory, device, method, largest, settings.quantization),
        trial_check(device, largest, trains, getattr(run, "gpus", 1)),
        _disk(settings, run, cost, looked, device),
    ]


def _facts(settings: Settings, cost: Forecast) -> Check:
    against = cost.memory.stands_against if cost.memory else ""
    problems = [problem for problem in cost.problems if problem != against]
    if problems:
        return Check.of_error("facts", " ".join(problems), "Choose other facts, fewer examples, or other levels.")
    if isinstance(settings, ProbeSettings):
        return Check("facts", "ok", f"{cost.probes_needed:,} facts have to be probed.")
    return Check("facts", "ok", f"{settings.source} has the {cost.examples:,} examples and {cost.test_facts:,} test facts.")


def _disk(settings: Settings, run: TrainSettings | ProbeSettings, cost: Forecast, looked: list[Looked], device: str) -> Check:
    root = Workspace.current().root
    fetched = [Writing(f"{one.name}'s download", hub_cache(), one.hub.size_bytes, "HF_HOME") for one in looked if one.hub]
    if not isinstance(run, TrainSettings) or not run.n:
        return disk_check(fetched, root)
    trained = max((_trained(one, run) for one in looked), default=0)
    number = BYTES[NUMBER_FORMATS[device]] if run.method == "full" else BYTES["float32"]
    saved = tuned_files(root, number * trained) if run.save_model else []
    long = cost.seconds_high > _MINUTE_S
    return disk_check([*fetched, *saved], root, _CHECKPOINT * trained if long else 0)


def _trained(looked: Looked, run: TrainSettings) -> int:
    """Parameters that are trained and kept, as far as they can be told."""
    if run.method == "full":
        return looked.parameters or 0
    shape = Shape.of(looked.config, looked.parameters or 0) if looked.config else None
    return shape.adapter(run.lora_rank) if shape else 0
