"""How fast this machine is: measurements into a result file, one after the other, and result files side by side.

    FOLDER/gpu-cuda.json    BenchSheet, written after each measurement; trial-cpu.json of a trial with tiny shapes
           study-amount.json, study-level.json    the studies' reports of the stage atlas

What is finished is not measured again, so a call that was cut off goes on. A file that came from somebody else is only read: its texts
are checked and shown, nothing in it is a path or is run.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftqa_core.artifacts import versions, write_json
from sftqa_core.errors import NotFound, SettingsError, SftqaError, Stopped
from sftqa_core.jsonrecord import parse_json, shown
from sftqa_core.models import amd, devices, nvidia
from sftqa_core.progress import Reporter, Silent
from sftqa_core.records import PAPER, CorpusSettings, PretrainSettings, ProbeSettings, StudySettings, with_cutoffs
from sftqa_core.records.benching import (
    BENCH_SCHEMA,
    LONGEST,
    NAMES,
    STAGES,
    BenchComparison,
    BenchSettings,
    BenchSheet,
    BenchValue,
    ComparedMeasurement,
    Measurement,
)
from sftqa_core.workflows.lookups import unmade_models
from sftqa_core.workflows.study_reports import study
from sftqa_core.workflows.work import pretrain, probe
from sftqa_core.workspace import Workspace

if TYPE_CHECKING:
    from sftqa_core.evaluation.device_speed import Peak

LARGEST = 1_000_000  # bytes of a result file
MOST_FILES = 8
OURS = "bench"  # folder of the shipped layer that holds results of ours
NO_OURS = "Not measured by us yet: no GPU was at hand, so there is no result of ours to compare with."
TRIAL = "a trial with tiny shapes, whose numbers say nothing about the device"
Rows = list[dict[str, Any]]


def bench_device(settings: BenchSettings) -> str:
    """The device that is measured, resolved. Raises `SettingsError` where there is none that can be, or it could take days."""
    device = devices.resolve_device(settings.device)
    if device == "cpu" and not settings.small:
        why = "the device is cpu" if settings.device == "cpu" else devices.why_no_gpu()
        tries = "`sftqa bench gpu --small --device cpu` tries the command with tiny shapes."
        raise SettingsError(f"There is no GPU to measure ({why}); nothing was measured. {tries}")
    return device


@dataclass
class Bench:
    """Measurements of one device, in a file."""

    settings: BenchSettings
    device: str  # resolved
    peak: Peak
    folder: Path
    reporter: Reporter
    sheet: BenchSheet

    @property
    def path(self) -> Path:
        """The result file."""
        return self.folder / f"{'trial' if self.settings.small else 'gpu'}-{self.device}.json"

    def measure(self, name: str, settings: dict[str, Any], work: Callable[[], Rows]) -> bool:
        """Do it unless it is there; a failure is kept as its sentence, and tried again the next time. Whether its rows are there."""
        from sftqa_core.engine.drawing import is_out_of_memory
        from sftqa_core.evaluation import device_speed

        self.reporter.check()
        kept = self.sheet.find(name)
        if kept is not None and kept.settings == settings and not kept.failed:
            self.reporter.log(f"{name}: measured before.")
            return True
        self.reporter.log(f"{name} ...")
        try:
            found = Measurement(name, settings, tuple(work()))
        except Stopped:
            raise
        except Exception as error:
            if not isinstance(error, SftqaError) and not is_out_of_memory(error):
                raise
            found = Measurement(name, settings, (), _one_line(error))
        others = tuple(one for one in self.sheet.measurements if one.name != name)
        self.sheet = replace(self.sheet, measurements=(*others, found))
        write_json(self.path, self.sheet.to_dict())
        device_speed.release()
        return not found.failed


def bench(settings: BenchSettings, folder: Path, reporter: Reporter | None = None) -> tuple[BenchSheet, Path]:
    """Measure what is left of the stages that are asked for; the result file, and where it lies.

    Raises `SettingsError` where there is nothing to measure on, or the folder holds results of another device or of other versions.
    """
    from sftqa_core.evaluation import device_speed

    device = bench_device(settings)
    if settings.small:
        device_speed.calm_threads(device)
    peak = device_speed.Peak.of(device)
    driver = nvidia.driver_version() if device == "cuda" else amd.driver_version() if device == "rocm" else ""
    fresh = BenchSheet(device_speed.device_name(device), device, driver, peak.flops, peak.told, settings.small, versions())
    work = Bench(settings, device, peak, folder, reporter or Silent(), fresh)
    if work.path.exists():
        work.sheet = kept = _goes_on(read_sheet(work.path), fresh, work.path)
        work.peak = device_speed.Peak(kept.peak_flops, kept.peak)
    stages = {"probe": _shapes, "tune": _shapes, "atlas": _atlas}
    for stage in STAGES if settings.stage == "all" else (settings.stage,):
        stages[stage](work, stage)
    return work.sheet, work.path


def _goes_on(kept: BenchSheet, fresh: BenchSheet, path: Path) -> BenchSheet:
    same = {"device": (kept.device, fresh.device), "driver": (kept.driver, fresh.driver), "versions": (kept.versions, fresh.versions)}
    if differ := [name for name, (before, now) in same.items() if before != now]:
        told = f"{path} holds measurements of another {' and of another '.join(name.removesuffix('s') for name in differ)}"
        raise SettingsError(f"{told} ({kept.device}). It is kept: name another folder with --out.")
    return replace(fresh, peak_flops=kept.peak_flops, peak=kept.peak, measurements=kept.measurements)


def _one_line(error: BaseException) -> str:
    line = "".join(sign if sign.isprintable() else " " for sign in str(error).partition("\n")[0])
    return line[:LONGEST] or type(error).__name__


# ---- random weights ----
def _shapes(work: Bench, stage: str) -> None:
    """Probe or tune a model of each shape with random weights."""
    from sftqa_core.evaluation import device_speed as speed

    small, like = work.settings.small, speed.lender(work.device)
    for name in speed.SHAPES:
        many = 1 if small else 24 if name.startswith("0.5B") else 8
        slow, sizes, examples = max(1, many // 8), (16,) if small else (16, 64), 32 if small else 160

        def probed(name: str = name, many: int = many, slow: int = slow, sizes: tuple[int, ...] = sizes) -> Rows:
            return speed.probe_rows(speed.random_model(name, small, like), work.peak, many, slow, sizes)

        def tuned(name: str = name, examples: int = examples) -> Rows:
            loaded = speed.random_model(name, small, like)
            return [speed.tune_row(loaded, work.peak, method, examples) for method in ("lora", "full")]

        how: dict[str, Any] = {"facts": many, "facts of generate": slow, "batches of generate": ", ".join(map(str, sizes))}
        if stage == "tune":
            how = {"examples": examples, "batch size": speed.BATCH, "LoRA rank": speed.RANK}
        work.measure(f"{stage}, {name}, random weights", how, probed if stage == "probe" else tuned)


# ---- the main job ----
def _atlas(work: Bench, stage: str) -> None:
    """Pre-train, probe, two studies. What a trial makes lies in its own folder, and goes when all is measured."""
    small = work.settings.small
    made, few = _pretraining(work.settings), 1 if small else 50
    sizes = {"amount": (0, 2) if small else (0, 60, 240, 960), "level": (2,) if small else (240,)}
    scratch = work.folder / "trial-cache"
    with _cache_at(scratch) if small else _here():
        done = [work.measure(f"{stage}: pre-training", {"pretraining": made.fingerprint()}, lambda: [_pretrained(made, work)])]
        facts = 12 if small else 24 * few
        done.append(work.measure(f"{stage}: probe of test facts", {"facts": facts}, lambda: [_probed(made, facts, work)]))
        for kind in ("amount", "level"):
            wanted = StudySettings(
                kind, (made.name,), made.source, sizes=sizes[kind], test_limit=few, device=work.settings.device, seeds=(0, 1, 2),
                scheme=with_cutoffs((0.0,)) if small else PAPER,  # a model so tiny has facts at two levels, not at five
            )  # fmt: skip

            how = {"sizes": ", ".join(map(str, sizes[kind])), "seeds": 3, "test facts per relation": few}
            done.append(work.measure(f"{stage}: study {kind}", how, lambda wanted=wanted: _studied(wanted, work)))  # type: ignore[misc]
    if small and all(done):
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def _here() -> Iterator[None]:
    yield


@contextmanager
def _cache_at(folder: Path) -> Iterator[None]:
    before = os.environ.get("SFTQA_CACHE")
    os.environ["SFTQA_CACHE"] = str(folder.absolute())
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("SFTQA_CACHE")
        else:
            os.environ["SFTQA_CACHE"] = before


def _pretraining(settings: BenchSettings) -> PretrainSettings:
    """atlas-100m, or a tiny model on the shipped world in its place."""
    if settings.small:
        corpus = CorpusSettings(qa_documents=100, filler_documents=20, exposure_scale=0.2)
        return PretrainSettings(
            "atlas-100m-trial", hidden_size=32, layers=1, heads=2, intermediate_size=64, limit=72, corpus=corpus, device=settings.device
        )
    return replace(unmade_models()["atlas-100m"], device=settings.device)


def _pretrained(made: PretrainSettings, work: Bench) -> dict[str, Any]:
    """Make the model, or go on making it; tokens a second and MFU of its steps."""
    card = pretrain(made, work.reporter)
    told = card.details["training"]
    rate = told["tokens"] / max(told["seconds"], 1e-9)
    found = {"model": made.name, "source": made.source, "parameters": card.parameters, "tokens": told["tokens"], "seconds": told["seconds"]}
    return {**found, "tokens/s": rate, "MFU": 6 * (card.parameters or 0) * rate / work.peak.flops, "final loss": told["final_loss"]}


def _probed(made: PretrainSettings, limit: int, work: Bench) -> dict[str, Any]:
    """Levels of test facts through the workflow, and how fast."""
    found = probe(ProbeSettings(made.name, made.source, limit=limit, device=work.settings.device), work.reporter)
    levels = {f"L{at}": count for at, count in enumerate(map(sum, zip(*found.levels.values(), strict=True)))}
    return {"model": made.name, "facts": found.facts, "facts/s": found.facts_per_s, **levels}


def _studied(settings: StudySettings, work: Bench) -> Rows:
    """Run what is left of a study; its report in a file beside, its findings as rows."""
    report = study(settings, work.reporter)
    write_json(work.folder / f"study-{settings.kind}.json", report.to_dict())
    return [{"about": one.about, "question": one.question, "verdict": one.verdict} for one in report.findings] or [{"runs": report.done}]


# ---- result files ----
def read_sheet(path: Path) -> BenchSheet:
    """A result file, from anybody. Raises `NotFound`, and `SettingsError` for one that is something else or holds what it must not."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise NotFound(f"There is no result file {path}. `sftqa bench gpu` writes one.") from error
    if len(content) > LARGEST:
        raise SettingsError(f"{path} is no result file: it has more than {LARGEST:,} bytes.")
    try:
        data = parse_json(content.decode("utf-8"))
    except ValueError as error:
        raise SettingsError(f"{path} is no result file: it is not JSON ({_one_line(error)}).") from error
    if not isinstance(data, dict) or "measurements" not in data or "schema" not in data:
        raise SettingsError(f"{path} is no result file of `sftqa bench gpu`: it has no schema and no measurements.")
    if data["schema"] != BENCH_SCHEMA or isinstance(data["schema"], bool):
        raise SettingsError(f"{path} has schema {shown(data['schema'])}; this program reads {BENCH_SCHEMA}. Use the version that wrote it.")
    try:
        return BenchSheet.from_dict(data)
    except SettingsError as error:
        raise SettingsError([f"{path}: {problem}" for problem in error.problems]) from error


def compare_sheets(paths: Sequence[Path]) -> BenchComparison:
    """Result files side by side, measurement by measurement, with ratios to the first; results of ours, where there are any, come last.

    Raises what `read_sheet` does, and `SettingsError` for none or too many.
    """
    if not 1 <= len(paths) <= MOST_FILES:
        raise SettingsError(f"Name 1 to {MOST_FILES} result files, got {len(paths):,}.")
    sheets = [(str(path), read_sheet(path)) for path in paths]
    ours = [(f"ours: {path.stem}", read_sheet(path)) for path in sorted((Workspace.current().shipped / OURS).glob("*.json"))]
    notes = [f"{name} is {TRIAL}." for name, sheet in sheets if sheet.small]
    notes += [] if ours else [NO_OURS]
    sheets += ours
    names = dict.fromkeys(one.name for _, sheet in sheets for one in sheet.measurements)
    compared = tuple(_compared(name, sheets) for name in names)
    bare = tuple(replace(sheet, measurements=()) for _, sheet in sheets)
    return BenchComparison(tuple(name for name, _ in sheets), bare, compared, tuple(notes))


def _compared(name: str, sheets: Sequence[tuple[str, BenchSheet]]) -> ComparedMeasurement:
    """Rows are matched by what they are; ratios only between files that measured in the same way, trials apart."""
    found = [sheet.find(name) for _, sheet in sheets]
    notes = [f"{file} failed: {one.failed}" for (file, _), one in zip(sheets, found, strict=True) if one and one.failed]
    first, small = found[0], sheets[0][1].small
    alike = [
        one is not None and first is not None and one.settings == first.settings and sheet.small == small
        for one, (_, sheet) in zip(found, sheets, strict=True)
    ]
    for (file, _), one, same in zip(sheets, found, alike, strict=True):
        if first is not None and one is not None and not same:
            ways = f"{_told(one.settings)}; the first: {_told(first.settings)}"
            notes.append(f"{file} measured in another way ({ways}), so no ratio is told.")
    tables = [{_what(row): row for row in one.rows} if one else {} for one in found]
    values = []
    for what in dict.fromkeys(what for table in tables for what in table):
        for column in dict.fromkeys(column for table in tables for column in table.get(what, {}) if column not in NAMES):
            cells = tuple(table.get(what, {}).get(column) for table in tables)
            ratios = tuple(_ratio(cells[0], cell) if same else None for cell, same in zip(cells, alike, strict=True))
            values.append(BenchValue(what, column, cells, ratios))
    return ComparedMeasurement(name, tuple(values), tuple(notes))


def _what(row: dict[str, Any]) -> str:
    return ", ".join(str(row[name]) for name in NAMES if row.get(name) is not None)


def _told(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def _ratio(first: Any, other: Any) -> float | None:
    """Of measured numbers; whole ones count something, and have none."""
    return other / first if isinstance(first, float) and isinstance(other, float) and first else None
