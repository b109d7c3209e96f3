"""`sftqa compare`: runs and cells of studies beside each other; names of cells; whether what was made again is what was stored."""

from argparse import ArgumentParser, Namespace
from typing import Any

from sftqa_core import workflows
from sftqa_core.artifacts import write_bytes
from sftqa_core.cli.commands import new_file
from sftqa_core.cli.text import table
from sftqa_core.errors import NotFound, SettingsError
from sftqa_core.knowledge.tables.spreadsheet import protect_cell
from sftqa_core.records import DOMAIN_NAMES
from sftqa_core.records.amounts import points, span
from sftqa_core.records.comparison import UNTESTED
from sftqa_core.records.job import command_of


def add_options(parser: ArgumentParser) -> None:
    """`sftqa compare RUN RUN ...`."""
    runs = "a run's name, as 'sftqa runs' lists it, or a cell's (see --cells): amount-9203b502:atlas-llama:n60:s0"
    parser.add_argument("runs", nargs="*", metavar="RUN", help=runs)
    parser.add_argument("--pool", action="store_true", help="average the seeds of one setting, fact by fact")
    reference = "whose base model's memory levels are used (default: the first run's)"
    parser.add_argument("--reference", metavar="RUN", help=reference)
    against = "compare all others with this one (default: every pair); fewer comparisons need less correction"
    parser.add_argument("--against", metavar="RUN", help=against)
    parser.add_argument(
        "--items", metavar="FILE", help="write every fact in common with all answers to this CSV file, which must not exist"
    )
    parser.add_argument("--cells", metavar="STUDY", help="list the names of a study's finished cells instead")
    remade = "check a run that was made again against the stored numbers, fact by fact: --remade OLD NEW; with OLD alone: the command that "
    parser.add_argument("--remade", action="store_true", help=remade + "makes it again, and its cost")


def compare(options: Namespace) -> dict[str, Any]:
    """The comparison; with --cells the names of a study's cells, with --remade the check of a run that was made again."""
    if options.cells:
        return _cells(options.cells)
    if options.remade:
        return _remade(options.runs)
    out = new_file(options.items) if options.items else None
    compared = workflows.compare(options.runs, options.reference, options.pool, options.against)
    if out is None:
        return compared.comparison.to_dict()
    items = compared.items.assign(answers=[" | ".join(answers) for answers in compared.items["answers"]])
    safe = items.map(lambda cell: protect_cell(cell) if isinstance(cell, str) else cell)
    write_bytes(out, safe.to_csv(index=False).encode())
    return {**compared.comparison.to_dict(), "items": str(out)}


def _cells(name: str) -> dict[str, Any]:
    """The finished cells of a study: model -> names."""
    known = {study.name: study for study in workflows.shown_studies()}
    if name not in known:
        raise NotFound(f"There is no study {name!r} here. Studies: {', '.join(known) or 'none'}.")
    study = known[name]
    return {"study": name, "cells": {model: list(workflows.cell_names(study.settings, model, study.bundle)) for model in study.models}}


def _remade(names: list[str]) -> dict[str, Any]:
    """Of two names the check, new against old; of one what makes it again, and what that costs."""
    if len(names) == 2:
        remade = workflows.check_again(*names)
        return {"remade": remade.to_dict(), "ok": remade.equal}
    if len(names) != 1:
        raise SettingsError(f"--remade takes the stored run or cell and the new run, or the stored one alone, got {len(names)} names.")
    model = workflows.tested(names[0])
    settings = workflows.settings_again(model)
    cost = workflows.forecast(settings)
    again = {"old": model.name, "command": command_of(settings), "seconds": [cost.seconds_low, cost.seconds_high]}
    return {"again": {**again, "problems": list(cost.problems), "made": workflows.made_again(model)}}


def as_text(result: dict[str, Any]) -> str:
    """What the command prints."""
    if "cells" in result:
        return "\n".join(name for names in result["cells"].values() for name in names) or "No run of this study has finished yet."
    if "remade" in result:
        return str(result["remade"]["said"])
    if "again" in result:
        return _again_text(result["again"])
    lines = [f"{run['label']}  {', '.join(run['names'])}" for run in result["runs"]]
    lines += [f"{base['label']}  {base['model']} before tuning" for base in result["bases"]]
    lines += [f"{result['facts']:,} test facts in common; levels of {result['reference']}'s base model ({result['scheme']['name']})"]
    lines += [f"Note: {note}" for note in result["notes"]]
    if result["settings"]:
        rows = [(run["label"], *(_short(values[at]) for values in result["settings"].values())) for at, run in enumerate(result["runs"])]
        lines += ["", table(("", *result["settings"]), rows)]
    for domain, name in DOMAIN_NAMES.items():
        if result["runs"][0]["accuracy"][domain]["micro"]["n"]:
            lines += ["", *_accuracies(result, domain, name)]
    lines += ["", *_tests(result)] if result["tests"] else []
    return "\n".join([*lines, *([f"Fact by fact: {result['items']}"] if "items" in result else [])])


def _again_text(again: dict[str, Any]) -> str:
    low, high = again["seconds"]
    lines = [*again["problems"], f"About {span(low, high)}: {again['command']}"]
    lines.append(f"Then: sftqa compare --remade {again['old']} NEW_RUN")
    if again["made"]:
        lines.append(f"Made before: {', '.join(again['made'])}")
    return "\n".join(lines)


def _accuracies(result: dict[str, Any], domain: str, name: str) -> list[str]:
    sides = [(side["label"], side["accuracy"][domain]) for side in (*result["runs"], *result["bases"])]
    levels = sides[0][1]["per_level"]
    rows = [
        (label, *(_share(level) for level in means["per_level"]), _share(means["macro"], True), _share(means["micro"], True))
        for label, means in sides
    ]
    rows.append(("facts", *(level["n"] for level in levels), "", sides[0][1]["micro"]["n"]))
    return [table((name, *(level["level"] for level in levels), "mean over levels [95%]", "micro average [95%]"), rows)]


def _share(mean: dict[str, Any], interval: bool = False) -> str:
    if mean["value"] is None:
        return "-"
    words = f"{mean['value'] * 100:.1f}%"
    return f"{words} [{mean['low'] * 100:.1f}%, {mean['high'] * 100:.1f}%]" if interval else words


def _tests(result: dict[str, Any]) -> list[str]:
    rows = []
    for test in result["tests"]:
        pair, where = f"{test['run']} against {test['against']}", f"{DOMAIN_NAMES[test['domain']]}, {test['mean']}"
        if test["verdict"] == UNTESTED:
            rows.append((pair, where, f"{UNTESTED}: {test['why']}", "", "", "", ""))
            continue
        moved = f"{points(test['difference'])} ({points(test['low'])} to {points(test['high'])})"
        only = f"{test['only_run']:g} / {test['only_against']:g}" if test["test"].startswith("McNemar") else ""
        rows.append((pair, where, test["verdict"], moved, _p(test["p_holm"]), only, test["test"]))
    head = ("pair", "facts", "verdict", "points (corrected interval)", "Holm p", "only one right", "test")
    return [table(head, rows), f"Corrected for {result['counted']} comparisons (Holm). Facts are drawn anew, not seeds."]


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _short(value: Any) -> str:
    """A setting's value in a table of the terminal."""
    if isinstance(value, dict):
        return str(value.get("name", value))
    return ",".join(map(str, value)) if isinstance(value, list) else "-" if value is None else str(value)
