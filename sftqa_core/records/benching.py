"""How fast a machine is: what `sftqa bench gpu` measures, and the file that it writes."""

import math
from dataclasses import dataclass, field
from typing import Any

from sftqa_core.jsonrecord import Record, like, one_of, setting, shown
from sftqa_core.records.probes import ProbeSettings

BENCH_SCHEMA = 1
STAGES = ("probe", "tune", "atlas")
MOST = {"measurements": 100, "rows of a measurement": 200, "columns of a row": 40, "settings of a measurement": 40, "versions": 40}
LONGEST = 300  # characters of a text
NAMES = ("model", "way", "method", "source", "about", "question")  # columns that say what a row is; the others are what was measured


@dataclass(frozen=True)
class BenchSettings(Record):
    """Which measurements, and where."""

    stage: str = setting(
        "all", label="Stage", flag="--stage", choices={name: name for name in (*STAGES, "all")},
        help="probe and tune: models of 0.5B and 7B with random weights; atlas: pre-train atlas-100m, probe it, run two studies",
    )  # fmt: skip
    device: str = like(ProbeSettings, "device")
    small: bool = setting(
        False, label="Trial", flag="--small", help="a trial of the command with tiny shapes, on any device: its numbers say nothing"
    )


@dataclass(frozen=True)
class Measurement(Record):
    """One measurement: how it was made, and its rows. A failed one has no rows, and is tried again by the next call."""

    name: str  # "probe, 7B (Llama 2), random weights"
    settings: dict[str, Any]  # name -> number or text
    rows: tuple[dict[str, Any], ...]  # column -> number, text or None; the columns of NAMES say what a row is
    failed: str = ""  # one sentence

    def problems(self) -> list[str]:
        wrong = _too_many("rows of a measurement", self.rows) + _too_many("settings of a measurement", self.settings)
        wrong += [problem for row in self.rows for problem in _too_many("columns of a row", row)]
        wrong += _texts("name", self.name) + _texts("failed", self.failed)
        for cells in (self.settings, *self.rows):
            for name, value in cells.items():
                wrong += _texts("a name", name) + _cell(name, value)
        return wrong


@dataclass(frozen=True)
class BenchSheet(Record):
    """A result file: what was measured on, and the finished measurements."""

    device: str  # as its maker calls it
    kind: str  # cuda, rocm, mps or cpu
    driver: str  # its version; empty where it does not say
    peak_flops: float  # operations a second of which MFU is a share
    peak: str  # where that number comes from
    small: bool
    versions: dict[str, str]
    measurements: tuple[Measurement, ...] = ()
    schema: int = field(default=BENCH_SCHEMA)

    def problems(self) -> list[str]:
        wrong = _too_many("measurements", self.measurements) + _too_many("versions", self.versions)
        wrong += one_of("kind", self.kind, ("cuda", "rocm", "mps", "cpu"))
        told = {"device": self.device, "driver": self.driver, "peak": self.peak, **self.versions}
        wrong += [problem for name, text in told.items() for problem in (*_texts("a name", name), *_texts(name, text))]
        if not (math.isfinite(self.peak_flops) and self.peak_flops > 0):
            wrong.append(f"peak_flops must be above 0, got {shown(self.peak_flops)}.")
        names = [measurement.name for measurement in self.measurements]
        if len(set(names)) < len(names):
            wrong.append("A measurement may stand in it once.")
        return wrong

    def find(self, name: str) -> Measurement | None:
        """The measurement of that name."""
        return next((measurement for measurement in self.measurements if measurement.name == name), None)


def _too_many(what: str, items: Any) -> list[str]:
    return [] if len(items) <= MOST[what] else [f"There may be {MOST[what]} {what}, got {len(items):,}."]


def _texts(name: str, text: str) -> list[str]:
    """A terminal must be able to show it: no control signs, which could change what else stands there."""
    if len(text) <= LONGEST and text.isprintable():
        return []
    return [f"{shown(name)} must be a printable text of at most {LONGEST} characters, got {shown(text)}."]


def _cell(name: str, value: Any) -> list[str]:
    if isinstance(value, str):
        return _texts(name, value)
    if value is None or isinstance(value, bool) or (isinstance(value, int | float) and math.isfinite(value) and abs(value) < 1e300):
        return []
    return [f"{shown(name)} must be a text or a finite number, got {shown(value)}."]


@dataclass(frozen=True)
class BenchValue(Record):
    """One number of one row in every file that is compared."""

    row: str  # what the row is: "7B (Llama 2), exact"
    column: str
    values: tuple[Any, ...]  # one a file; None where that file has none
    ratios: tuple[float | None, ...]  # to the first file's; None where there is none to tell


@dataclass(frozen=True)
class ComparedMeasurement(Record):
    """One measurement of several files side by side."""

    name: str
    values: tuple[BenchValue, ...]
    notes: tuple[str, ...] = ()  # what stands against comparing: other settings, a failure


@dataclass(frozen=True)
class BenchComparison(Record):
    """Result files side by side: `sftqa bench show --json` prints it."""

    names: tuple[str, ...]  # of the files, in order; those of ours last
    sheets: tuple[BenchSheet, ...]  # without their measurements
    measurements: tuple[ComparedMeasurement, ...]
    notes: tuple[str, ...]
