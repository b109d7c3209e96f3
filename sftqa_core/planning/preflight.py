"""Preflight: everything that can be looked at before a job, in plain words, each finding with its fix.

It loads no model and, but for one short question about a model that is not on this machine, asks nobody. A page shows it before
Launch, a job writes what is not in order into its log, and `sftqa preflight` prints all of it. What it predicts is decided by the
rules that the work refuses by. What concerns a model and its texts is in preflight_model.py, the machine and the costs are here.
"""

import contextlib
import os
import shlex
import shutil
import tempfile
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from sftqa_core.artifacts import Kept
from sftqa_core.errors import MissingPackage, SettingsError, SftqaError
from sftqa_core.evaluation.predictions import held_out_facts
from sftqa_core.jsonrecord import fingerprint
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.memory.profiles import open_for
from sftqa_core.memory.stated_facts import stated_source
from sftqa_core.models import devices, footprint, makings, quantising, tokenizer_files
from sftqa_core.models.gguf import gguf_reading
from sftqa_core.models.hub import fetch, hub_cache
from sftqa_core.models.serving.addresses import KIND as SERVER
from sftqa_core.planning import preflight_model
from sftqa_core.planning.cluster_address import VARIABLE, goes_to, require_ways, warning
from sftqa_core.planning.fit import Fit, gigabytes, resource
from sftqa_core.planning.forecast import Forecast, forecast
from sftqa_core.planning.preflight_model import Looked
from sftqa_core.progress import Reporter
from sftqa_core.records import (
    Check,
    InsideSettings,
    Preflight,
    PretrainSettings,
    ProbeSettings,
    StudySettings,
    SweepSettings,
    TrainSettings,
)
from sftqa_core.records.amounts import span
from sftqa_core.records.probes import held_as
from sftqa_core.training import optimizers, recipes, trying
from sftqa_core.workspace import Workspace

Settings = TrainSettings | ProbeSettings | StudySettings
KINDS: dict[type, str] = {
    TrainSettings: "train",
    ProbeSettings: "probe",
    StudySettings: "study",
    SweepSettings: "sweep",
    InsideSettings: "inside",
    PretrainSettings: "pretrain",
}
PACKAGES = {
    "probe": ("torch", "transformers"),
    "train": ("torch", "transformers", "accelerate", "peft"),
    "pretrain": ("torch", "transformers"),
}
LITTLE = 1_000_000_000  # bytes that should be left beside what is written
_FREE_SOME = "Free some space, or set {} to a folder on another disk."
_MINUTE_S = 60.0  # a shorter training writes no checkpoint
LONG_S, LONGEST_S = 2 * 3600.0, 24 * 3600.0  # of a pre-training: worth knowing, and refused where it takes longer even at best
_kept: Kept[list[Check]] = Kept(64)  # a form asks again at every change, most of which change no text


def preflight(settings: Settings | SweepSettings | InsideSettings | PretrainSettings, cost: Forecast | None = None) -> Preflight:
    """Every point, for whatever `settings` ask for. `cost`: their forecast, where it is known already."""
    report, one = _looked_at(settings, cost), settings.run if isinstance(settings, SweepSettings | InsideSettings) else settings
    models = one.models if isinstance(one, StudySettings) else () if isinstance(one, PretrainSettings) else (one.model,)
    try:
        if address := goes_to(report.kind, models):
            require_ways(address)
    except SftqaError as error:
        return replace(report, checks=(Check.of_error("cluster", str(error), f"Change {VARIABLE}, or unset it."), *report.checks))
    return replace(report, checks=tuple(_elsewhere(check, address) for check in report.checks)) if address else report


def _elsewhere(check: Check, address: str) -> Check:
    """What a point says where a cluster computes: of its devices nothing is known here."""
    if check.name == "device" and check.state != "problem":
        return Check("device", "note", warning(address), "docs/cluster.md says how.")
    if check.name == "memory" and check.state != "ok":
        return Check("memory", "unknown", "Whether it fits the devices of the cluster is not known here: each worker finds out.")
    return check


def _looked_at(settings: Settings | SweepSettings | InsideSettings | PretrainSettings, cost: Forecast | None) -> Preflight:
    kind = KINDS[type(settings)]
    if isinstance(settings, PretrainSettings):
        return Preflight(kind, tuple(_pretraining_points(settings, cost)))
    if isinstance(settings, SweepSettings | InsideSettings):
        rates = settings.rates if isinstance(settings, SweepSettings) else (settings.run.learning_rate,)
        one = replace(settings.run, learning_rate=min(filter(None, rates or ()), default=None))
        if cost is None:
            with contextlib.suppress(SftqaError):  # the run itself tells why
                cost = forecast(settings)
        return replace(_looked_at(one, cost), kind=kind)
    models = settings.models if isinstance(settings, StudySettings) else (settings.model,)
    looked = [preflight_model.look_at(name, _run_of(settings, name)) for name in models]
    device, place = device_check(settings.device, settings.gpus, held_as(settings))
    if looked and all(model.card is not None and model.card.kind == SERVER for model in looked):
        device, place = Check("device", "ok", "It runs on the server; no model is loaded on this machine."), "cpu"
    checks: list[Check] = []
    for model in looked:
        points = [*model.checks, *_texts(model, _run_of(settings, model.name))]
        checks += [replace(check, about=model.name) for check in points] if len(looked) > 1 else points
    checks += [packages_check(kind, held_as(settings)), device]
    run = _run_of(settings, models[0])
    if isinstance(run, TrainSettings) and device.state != "problem":
        checks += optimizer_check(run, place)
    if any(check.state == "problem" and check.name in ("model", "device", "chat") for check in checks):
        return Preflight(kind, tuple(checks))
    return Preflight(kind, (*checks, *_costs(settings, cost, looked, place)))


def _pretraining_points(settings: PretrainSettings, cost: Forecast | None) -> list[Check]:
    """Name, packages, device, facts, memory, time and disk of a model that is made from nothing; also the model that one goes on from."""
    device, place = device_check(settings.device)
    base = list(preflight_model.look_at(settings.base).checks) if settings.base else []
    checks = [*base, packages_check("pretrain"), device]
    if any(check.state == "problem" for check in base):
        return checks
    try:
        source = stated_source(settings)
        makings.refuse_other_making(settings, source.fingerprint)
        cost = cost or forecast(settings)
    except SettingsError as error:
        return [Check.of_error("model", str(error), "Choose another name."), *checks]
    except SftqaError as error:
        return [*checks, Check.of_error("facts", str(error), "Choose other facts.")]
    size = cost.pretraining
    if size is None or size.problems:
        return [*checks, Check.of_error("facts", " ".join(cost.problems), "Choose other facts or relations.")]
    said = f"{size.facts:,} facts of {size.relations:,} relations; {size.train:,} to tune on, {size.test:,} to test."
    checks += [Check("facts", "ok", said), *(Check("facts", "note", note) for note in size.notes)]
    checks += [Check("file", "note", " ".join(source.notes))] if source.notes else []
    checks += [footprint_check(cost.fit, place), _time_check(cost)]
    kept = footprint.checkpoint_bytes(size.parameters) if cost.seconds_high > _MINUTE_S else 0
    root = Workspace.current().root
    return [*checks, disk_check([Writing("the model", root, size.written_bytes)], root, kept)]


def _time_check(cost: Forecast) -> Check:
    """How long a pre-training takes: one that takes days is a slip far more often than a wish."""
    takes = f"It takes about {span(cost.seconds_low, cost.seconds_high)}"
    fewer = "Use fewer facts (--limit) or mentions (--max-exposures), a smaller model, or a GPU."
    if cost.seconds_low > LONGEST_S:
        return Check("time", "problem", f"{takes}: more than a day.", fewer)
    return Check("time", "note", f"{takes}.", fewer) if cost.seconds_high > LONG_S else Check("time", "ok", f"{takes}.")


def tell(report: Preflight, reporter: Reporter) -> None:
    """Write what is not in order into a job's log, and one line where all is."""
    reporter.log(f"{report.headline()}.")
    for check in report.of("problem", "note"):
        reporter.log(f"{check.state}: {check.line}")


def _run_of(settings: Settings, model: str) -> TrainSettings | ProbeSettings:
    """The settings themselves, or of a study its largest run of this model."""
    if not isinstance(settings, StudySettings):
        return settings
    sizes = settings.examples
    largest = TrainSettings.ALL if TrainSettings.ALL in sizes else max(sizes)
    recipe = {"recipe": settings.recipe} if settings.recipe else {}
    return settings.run(model, largest, settings.seeds[0], more_shots=settings.shots, **recipe)


def _texts(looked: Looked, run: TrainSettings | ProbeSettings) -> list[Check]:
    """Answers, prompt, base or chat, context. Facts that can't be had are reported with the costs."""
    if looked.card is None or any(check.state == "problem" and check.name == "model" for check in looked.checks):
        return []
    trains = isinstance(run, TrainSettings)
    chat = preflight_model.chat_check(looked, trains, _in_chat(run))
    try:
        source = open_for(looked.name, run.source)
        return [chat, *(_training_texts(looked, run, source) if isinstance(run, TrainSettings) else _probing_texts(looked, run, source))]
    except SftqaError:
        return [chat]


def _training_texts(looked: Looked, run: TrainSettings, source: FactSource) -> list[Check]:
    from sftqa_core.training.selection import train_pool

    def look() -> list[Check]:
        pool, tests = train_pool(source, run), held_out_facts(source, run)
        chat = preflight_model.chat_layout(looked, _in_chat(run))
        pairs = [] if chat is None and _in_chat(run) else preflight_model.question_pairs(run, pool if len(pool) else tests, chat)
        n = len(pool) if run.n == TrainSettings.ALL else min(run.n, len(pool))
        return [
            *preflight_model.answer_points(looked, pairs, preflight_model.CHAT_PROMPT if chat else None),
            preflight_model.training_context(looked, run, source, pool, tests, n, chat),
        ]

    texts = (run.prompt, run.n, run.seed, run.relations, run.test_limit, run.max_answer_tokens, run.shots, run.more_shots)
    levels = (run.scheme, run.levels, run.balance)
    return _kept.get((*_key(looked, source), *texts, *levels), look)


def _probing_texts(looked: Looked, run: ProbeSettings, source: FactSource) -> list[Check]:
    from sftqa_core.memory.prober import chosen_facts

    def look() -> list[Check]:
        facts = chosen_facts(source, run)
        if facts.empty:
            return []
        pairs = preflight_model.statement_pairs(source, facts)
        border = None if any(prompt[-1:].isspace() for prompt, _ in pairs) else preflight_model.STATEMENTS
        return [*preflight_model.answer_points(looked, pairs, border), preflight_model.probing_context(looked, run, source, facts)]

    return _kept.get((*_key(looked, source), run.split, run.domain, run.limit, run.facts_seed, run.scheme), look)


def _key(looked: Looked, source: FactSource) -> tuple[Hashable, ...]:
    stamp = tokenizer_files.tokenizer_stamp(looked.words) if looked.words else ()  # of the chat template, too
    return looked.name, str(looked.words), stamp, fingerprint(looked.config), source.name, source.fingerprint


def _in_chat(run: TrainSettings | ProbeSettings) -> bool:
    """Whether the questions are put in the model's own chat template."""
    return isinstance(run, TrainSettings) and run.prompt.chat


def packages_check(kind: str, quantization: str = "none") -> Check:
    """Whether what the work imports is installed. It is looked for, not imported."""
    missing = [name for name in PACKAGES.get(kind, PACKAGES["train"]) if find_spec(name) is None]
    if missing:
        return Check("packages", "problem", f"{', '.join(missing)} must be installed first.", f"pip install {' '.join(missing)}")
    try:
        quantising.require_quantiser(quantization, "cpu")
    except MissingPackage:
        return Check(
            "packages", "problem", f"Weights in 4 bits need {quantising.PACKAGE}, which must be installed first.", quantising.INSTALL
        )
    return Check("packages", "ok", "Everything that models need is installed.")


def device_check(setting: str, gpus: int = 1, quantization: str = "none") -> tuple[Check, str]:
    """What the device setting stands for here, and the device ("cpu" where it can't be used); whether there are so many GPUs."""
    try:
        device = quantising.usable_device(setting, gpus, quantization)
    except MissingPackage:  # reported under packages
        device = devices.resolve_device(setting)
    except SettingsError as error:
        return Check.of_error("device", str(error), "Choose device cpu."), "cpu"
    form = quantising.computed_in(device, quantization) + (", its weights in 4 bits" if quantization == quantising.NF4 else "")
    if device == "cpu" and quantization == quantising.BFLOAT16 and not (native := devices.processor_bfloat16()):
        how = "may be computed in software" if native is None else "is computed in software here"
        said = f"It runs on the CPU, in {form}, which {how}, slower than float32."
        return Check("device", "note", said, "Leave the number format at its default for float32."), device
    if device == "cpu":
        why = "as chosen" if setting == "cpu" else devices.why_no_gpu() or "no GPU can be used"
        return Check("device", "ok", f"It runs on the CPU, in {form} ({why})."), device
    gpu = devices.numbered(setting)[1]
    where = f"{gpus} GPUs" if gpus > 1 else f"GPU number {gpu}" if gpu else "the GPU"
    if quantization == quantising.NF4:
        said = f"It runs on {where} ({device}), in {form}, which has not been verified on a GPU."
        return Check("device", "note", said, "Compare levels with those of the unquantised model on some facts first."), device
    return Check("device", "ok", f"It runs on {where} ({device}), in {form}."), device


def optimizer_check(run: TrainSettings, device: str) -> list[Check]:
    """The problem of an optimizer that can't be had on the device or has no learning rate; nothing where it can be used."""
    try:
        optimizers.learning_rate(run, 1)
        optimizers.require_optimizer(run.optimizer, devices.torch_device(device))
    except SftqaError as error:
        return [Check.of_error("optimizer", str(error), "Choose optimizer adamw, or give a learning rate.")]
    return []


def _costs(settings: Settings, cost: Forecast | None, looked: list[Looked], device: str) -> list[Check]:
    """Facts, RAM, trial and disk."""
    try:
        cost = cost or forecast(settings)
    except SftqaError as error:
        return [Check.of_error("facts", str(error), "Choose other facts.")]
    run = _run_of(settings, looked[0].name)
    trains = isinstance(run, TrainSettings) and run.n != 0
    method = run.method if isinstance(run, TrainSettings) and trains else None
    largest = max((model.parameters or 0 for model in looked), default=0) or None
    notes = open_for(looked[0].name, run.source).notes
    return [
        _facts(settings, cost),
        *([Check("file", "note", " ".join(notes), f"sftqa facts --source {shlex.quote(run.source)} says it again.")] if notes else []),
        footprint_check(cost.fit, _chosen(settings, device), method, largest, held_as(settings)),
        trial_check(device, largest, trains, getattr(run, "gpus", 1)),
        _disk_points(run, cost, looked, device),
    ]


def _chosen(settings: Settings, device: str) -> str:
    """The device with the number that was asked for; without where it can't be used."""
    gpu = devices.numbered(settings.device)[1]
    return f"{device}:{gpu}" if gpu and device != "cpu" else device


def _facts(settings: Settings, cost: Forecast) -> Check:
    against = cost.fit.stands_against if cost.fit else ""
    problems = [problem for problem in cost.problems if problem != against]
    if problems:
        return Check.of_error("facts", " ".join(problems), "Choose other facts, fewer examples, or other levels.")
    if isinstance(settings, ProbeSettings):
        return Check("facts", "ok", f"{cost.probes_needed:,} facts have to be probed.")
    return Check("facts", "ok", f"{settings.source} has the {cost.examples:,} examples and {cost.test_facts:,} test facts.")


def footprint_check(
    fit: Fit | None, device: str, method: str | None = None, parameters: int | None = None, quantization: str = "none"
) -> Check:
    """The estimate beside what there is on a resolved or chosen device; for a model that is not here, by the size that the hub tells."""
    if fit is None:
        return Check("memory", "ok", "Nothing has to be computed, so no RAM is needed.")
    if fit.needed is None or fit.least is None:
        ram, (device, _) = devices.device_ram(device), devices.numbered(device)
        what = resource(device)
        if not parameters or ram is None:
            return Check("memory", "unknown", f"How much {what} it needs is unknown until the model is downloaded.")
        nf4, half = (quantization == how for how in (quantising.NF4, quantising.BFLOAT16))
        least = footprint.coarse(parameters, device, method, nf4, half).total
        said = f"Judged by its size alone, it needs at least {gigabytes(least)} of {what}"
        if least > ram.total:
            fix = "Choose a smaller model" + (" or LoRA." if method == "full" else ".")
            return Check("memory", "problem", f"{said}; there is {gigabytes(ram.total)} in total.", fix)
        return Check("memory", "note", f"{said}; {gigabytes(ram.free)} is free.", "The estimate is exact once the model is downloaded.")
    if fit.stands_against:
        said, _, fix = fit.stands_against.partition(". ")
        return Check("memory", "problem" if fit.least > (fit.total or 0) else "note", f"{said}.", fix or "Choose a smaller model.")
    return Check("memory", "ok", f"{fit.resource}: {fit.line().rstrip('.')}.")


def trial_check(device: str, parameters: int | None, trains: bool, gpus: int = 1) -> Check:
    """Whether one step is tried on the device before the work (training/trying.py)."""
    if trains and trying.tried_first(device, parameters, gpus):
        place = "the CPU" if device == "cpu" else "the GPU"
        said = f"One step is tried on {place} first, so that a lack of {resource(device)} shows early."
        return Check("trial", "ok", said)
    if trains and gpus > 1:
        return Check("trial", "ok", f"No step is tried first: one GPU's step says little about {gpus} that share the work.")
    why = "the model is small and runs on the CPU" if trains else f"a probe short of {resource(device)} reads fewer prompts at once"
    return Check("trial", "ok", f"No step is tried first: {why}.")


@dataclass(frozen=True)
class Writing:
    """Bytes that the work writes somewhere."""

    what: str
    folder: Path
    size: int
    variable: str = "SFTQA_CACHE"  # that names another folder


def _disk_points(run: TrainSettings | ProbeSettings, cost: Forecast, looked: list[Looked], device: str) -> Check:
    root, tmp = Workspace.current().root, Path(tempfile.gettempdir())
    writings = [
        Writing(f"{model.name}'s download", hub_cache.hub_cache(), model.hub.size_bytes, "HF_HOME") for model in looked if model.hub
    ]
    writings += [
        Writing(f"{model.name} in float32", root, wanted.disk + wanted.disk_beside)
        for model in looked
        if model.gguf and (wanted := gguf_reading.need(model.gguf))
    ]
    if not isinstance(run, TrainSettings) or not run.n:
        return disk_check(writings, root)
    trained = max((_trained(model, run) for model in looked), default=0)
    if run.save_model:  # first written beside other temporary files, then moved
        size = trained * footprint.BYTES[devices.NUMBER_FORMATS[device] if run.method == "full" else "float32"]
        writings += [Writing("the tuned model", root, size)]
        writings += [] if _disk(tmp) == _disk(root) else [Writing("the tuned model's temporary copy", tmp, size, "TMPDIR")]
    kept = footprint.checkpoint_bytes(trained) * len(recipes.costs(run, 1))  # the last one of every stage
    return disk_check(writings, root, kept if cost.seconds_high > _MINUTE_S else 0)


def _trained(looked: Looked, run: TrainSettings) -> int:
    """Parameters that are trained and kept, as far as they can be told."""
    if run.method == "full":
        return looked.parameters or 0
    shape = footprint.Shape.of(looked.config, looked.parameters or 0) if looked.config else None
    return shape.adapter(run.lora_rank) if shape else 0


def disk_check(writings: Sequence[Writing], root: Path, checkpoint: int = 0) -> Check:
    """Room for all of it, disk by disk. `checkpoint`: bytes beside the cache that a training can do without, but not go on from."""
    by_disk: dict[int, list[Writing]] = {}
    for writing in [Writing("results", root, 0), *writings]:
        by_disk.setdefault(_disk(writing.folder), []).append(writing)
    left = []
    for same_disk in by_disk.values():
        size, free = sum(writing.size for writing in same_disk), shutil.disk_usage(_existing(same_disk[0].folder)).free
        if fetch.lacks_room(free, size):
            most = max(same_disk, key=lambda writing: writing.size)
            said = f"The disk of {most.folder} has {gigabytes(free)} free, but {most.what} needs {gigabytes(size)}."
            return Check("disk", "problem", said, _FREE_SOME.format(most.variable))
        left.append(free - size)
    if min(left) < LITTLE:
        return Check("disk", "note", f"Only {gigabytes(min(left))} will be left on the disk of {root}.", _FREE_SOME.format("SFTQA_CACHE"))
    if checkpoint >= min(left):
        said = f"There is no room for a checkpoint ({gigabytes(checkpoint)}), so an interrupted training would start from the beginning."
        return Check("disk", "note", said, _FREE_SOME.format("SFTQA_CACHE"))
    size = sum(writing.size for writing in writings)
    written = f"{gigabytes(size)} will be written, and " if size >= LITTLE / 10 else ""
    return Check("disk", "ok", f"Disk: {written}{gigabytes(min(left))} remain free.")


def _existing(folder: Path) -> Path:
    return next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))


def _disk(folder: Path) -> int:
    return os.stat(_existing(folder)).st_dev
