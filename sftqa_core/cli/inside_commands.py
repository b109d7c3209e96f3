"""`sftqa inside`: look inside the model of a run or of a study's cell, and say what was seen; or list what was looked at."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sftqa_core import workflows
from sftqa_core.cli.commands import checked, leased
from sftqa_core.cli.setting_options import add_settings, given
from sftqa_core.cli.text import Console, table
from sftqa_core.errors import SettingsError
from sftqa_core.evaluation.inside.sentences import INTERVALS
from sftqa_core.records import MEASURES, InsideSettings
from sftqa_core.records.amounts import span
from sftqa_core.records.inside import FLAGS


def add_options(parser: argparse.ArgumentParser) -> None:
    """`sftqa inside RUN`."""
    parser.add_argument("run", nargs="?", metavar="RUN", help="a run's name, as 'sftqa runs' lists it, or a cell's (sftqa compare --cells)")
    for measure, flag in FLAGS.items():
        parser.add_argument(flag, action="store_true", help=f"{measure}: {MEASURES[measure].lower()}; without one of these all four")
    add_settings(parser, InsideSettings)
    parser.add_argument("--tables", metavar="FOLDER", help="also write every table as Parquet into this folder, which must not exist")


def inside(options: argparse.Namespace) -> dict[str, Any]:
    """Without a name what was looked at; else what is missing is taken, and all of it told."""
    if options.run is None:
        return {"looks": [{"run": look.name, "measures": list(look.measures), "shipped": look.shipped} for look in workflows.looks()]}
    out = _new_folder(options.tables) if options.tables else None
    measures = [measure for measure, flag in FLAGS.items() if getattr(options, flag.removeprefix("--"))]
    own = {name: value for name, value in given(options, InsideSettings).items() if name != "run"}
    settings = workflows.inside_settings(options.run, measures or None, **own)
    cost = workflows.forecast(settings)
    checked(workflows.preflight(settings, cost))
    print(
        f"At most about {span(cost.seconds_low, cost.seconds_high)}; measures that were taken before are read from the results.",
        file=sys.stderr,
        flush=True,
    )
    with leased(settings.run, "inside"):
        kept = workflows.inside(settings, Console())
    look = workflows.read_look(kept, settings.measures)
    words: dict[str, list[str]] = {}
    for measure in settings.measures:
        others = [other for other in workflows.beside(kept, measure) if other.run != kept.run]
        words |= workflows.inside_words([look], [look, *workflows.read_looks(others, (measure,))], measure)
    result: dict[str, Any] = {
        "run": look.name, "settings": look.settings.to_dict(), "made": look.made, "facts": len(look.facts),
        "words": words,
    }  # fmt: skip
    return result if out is None else {**result, "tables": _written(look.tables, out)}


def _new_folder(name: str) -> Path:
    out = Path(name).expanduser()
    if out.exists():
        raise SettingsError(f"{out} exists already. Name a new folder.")
    return out


def _written(tables: Mapping[str, Mapping[str, Any]], out: Path) -> list[str]:
    """Every table as a Parquet file; their names."""
    out.mkdir(parents=True)
    for measure, some in tables.items():
        for name, frame in some.items():
            frame.to_parquet(out / f"{measure}-{name}.parquet", index=False)
    return sorted(str(path) for path in out.iterdir())


def as_text(result: dict[str, Any]) -> str:
    """What the command prints."""
    if "looks" in result:
        rows = [(look["run"], ", ".join(look["measures"]), "shipped" if look["shipped"] else "") for look in result["looks"]]
        named = ", ".join(f"{measure} {flag}" for measure, flag in FLAGS.items())
        return f"{table(('run', 'measures', ''), rows)}\n\nOptions: {named}" if rows else "No run was looked at yet. Run: sftqa inside RUN"
    lines = [f"{result['run']}: {result['facts']:,} test facts. {result['made']}"]
    for measure, words in result["words"].items():
        lines += ["", f"{MEASURES[measure]} ({measure}, {FLAGS[measure]}):", *(f"  {sentence}" for sentence in words)]
    return "\n".join([*lines, "", INTERVALS, *(["", "Tables:", *result["tables"]] if "tables" in result else [])])
