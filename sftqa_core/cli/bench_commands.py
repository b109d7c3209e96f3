"""`sftqa bench gpu | show`: its options, what it does, and how it is told."""

import argparse
from pathlib import Path
from typing import Any

from sftqa_core.cli.commands import leased
from sftqa_core.cli.setting_options import add_setting, given
from sftqa_core.cli.text import Console, table
from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import declared
from sftqa_core.records.benching import NAMES, BenchSettings
from sftqa_core.workflows import benchmarking

_OPTIONS = ("stage", "device", "small", "out")
FOLDER = "gpu-results"


def add_options(parser: argparse.ArgumentParser) -> None:
    """`sftqa bench gpu | show`."""
    actions = "gpu: measure, or go on measuring; show: print result files side by side, with ratios to the first"
    parser.add_argument("action", choices=("gpu", "show"), help=actions)
    parser.add_argument("files", nargs="*", metavar="FILE", help="show: result files, which may be of other machines")
    known = declared(BenchSettings)
    for name in ("stage", "device"):
        add_setting(parser, known[name])
    parser.add_argument("--small", action="store_true", default=None, help=known["small"].help)
    folder = "folder of the result file; what is in it already is not measured again (default: gpu-results)"
    parser.add_argument("--out", metavar="FOLDER", help=folder)


def bench(options: argparse.Namespace) -> dict[str, Any]:
    """The command."""
    if options.action == "show":
        for name in _OPTIONS:
            if getattr(options, name) is not None:
                raise SettingsError(f"--{name} belongs to 'sftqa bench gpu', not to 'sftqa bench show'.")
        return benchmarking.compare_sheets([Path(name) for name in options.files]).to_dict()
    if options.files:
        raise SettingsError(f"'sftqa bench gpu' reads no files, got {options.files[0]!r}. To read one: sftqa bench show FILE.")
    settings = BenchSettings(**given(options, BenchSettings))
    benchmarking.bench_device(settings)  # what can't be measured is refused before the device is waited for
    with leased(settings, "bench"):
        sheet, path = benchmarking.bench(settings, Path(options.out or FOLDER), Console())
    return {"ok": not any(one.failed for one in sheet.measurements), "file": str(path), **sheet.to_dict()}


def bench_text(result: dict[str, Any]) -> str:
    """Every measurement as a table; files side by side with ratios to the first."""
    return _comparison(result) if "sheets" in result else _sheet(result)


def _sheet(result: dict[str, Any]) -> str:
    trial = [f"This is {benchmarking.TRIAL}."] if result["small"] else []
    lines = [*_about(result), *trial]
    for one in result["measurements"]:
        lines += ["", one["name"], f"failed: {one['failed']}" if one["failed"] else _rows(one["rows"])]
    file = result["file"]
    share = f"Written: {file}. It holds the device's name, versions and these numbers as plain JSON: read it before you share it. "
    return "\n".join([*lines, "", f"{share}Whoever has it compares it with theirs: sftqa bench show THEIRS {Path(file).name}"])


def _rows(rows: list[dict[str, Any]]) -> str:
    columns = sorted(dict.fromkeys(name for row in rows for name in row), key=lambda name: name not in NAMES)
    return table(columns, [[_number(row.get(name)) for name in columns] for row in rows])


def _about(sheet: dict[str, Any]) -> list[str]:
    driver = f", driver {sheet['driver']}" if sheet["driver"] else ""
    told = ", ".join(f"{name} {version}" for name, version in sheet["versions"].items())
    return [f"{sheet['device']} ({sheet['kind']}{driver}); peak: {sheet['peak']}", told]


def _comparison(result: dict[str, Any]) -> str:
    lines = []
    letters = [chr(ord("A") + at) for at in range(len(result["names"]))]
    for letter, name, sheet in zip(letters, result["names"], result["sheets"], strict=True):
        lines += [f"{letter}: {name}", *(f"   {line}" for line in _about(sheet))]
    for one in result["measurements"]:
        rows = [
            (value["row"], value["column"], *(_beside(*pair) for pair in zip(value["values"], value["ratios"], strict=True)))
            for value in one["values"]
        ]
        lines += ["", one["name"], *([table(("", "", *letters), rows)] if rows else []), *one["notes"]]
    return "\n".join([*lines, "", *result["notes"]])


def _beside(value: Any, ratio: float | None) -> str:
    return _number(value) if ratio is None or ratio == 1 else f"{_number(value)} ({ratio:.2f}x)"


def _number(value: Any) -> str:
    """Three digits of a number, "-" where there is none."""
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
