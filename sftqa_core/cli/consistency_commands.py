"""`sftqa consistency`: how consistently a model answers, by level, from stored completions; beside the model it was tuned from."""

from argparse import Namespace
from typing import Any

from sftqa_core import workflows
from sftqa_core.cli.setting_options import given
from sftqa_core.cli.text import LEAST, table
from sftqa_core.cli.typed_records import scheme_of
from sftqa_core.records import ANSWER_KINDS, ProbeSettings
from sftqa_core.records.amounts import signed

_MEASURES = {"right": "commonest answer correct", "sure_wrong": "sure and wrong", "agreement": "templates agree", "entropy": "entropy"}


def consistency(options: Namespace) -> dict[str, Any]:
    """The tables of `workflows.consistency`, and with --before those of `workflows.consistency_change`."""
    settings = ProbeSettings(**given(options, ProbeSettings) | {"scheme": scheme_of(options)})
    about = (settings.source, settings.split, settings.domain, settings.scheme)
    report = workflows.consistency(settings.model, *about)
    change = workflows.consistency_change(settings.model, options.before, *about) if options.before else None
    tables = {"levels": report.levels, "reliability": report.reliability, "rivals": report.rivals}
    tables |= {"change": change.both, "chance": change.noise} if change else {}
    return {
        "model": settings.model,
        "source": settings.source,
        "split": settings.split,
        "facts": len(report.table),
        "of": report.of,
        "named": report.named,
        "silent": report.silent,
        "before": options.before,
        **{name: [] if rows is None else _rows(rows) for name, rows in tables.items()},
    }


def _rows(frame: Any) -> list[dict[str, Any]]:
    """A table's rows as JSON has them."""
    return [{name: None if value != value else value for name, value in row.items()} for row in frame.to_dict("records")]


def as_text(result: dict[str, Any]) -> str:
    """What the command prints."""
    if not result["facts"]:
        command = f"sftqa probe --model {result['model']} --source {result['source']} --split {result['split']}"
        return f"No completions of {result['source']} ({result['split']}) by {result['model']} are stored. Run: {command}"
    counted = f"{result['facts']:,} of {result['of']:,} probed facts" if result["facts"] < result["of"] else f"{result['facts']:,} facts"
    lines = [f"{result['model']} on {result['source']}: {counted}; {_percent(result['named'])} of their completions name a known object, "]
    lines[0] += f"{_percent(result['silent'])} have no answer"
    rows = [
        (row["level"], row["facts"], *(row[kind] for kind in ANSWER_KINDS), *(_share(row, name) for name in ("right", "sure_wrong")),
         *(_number(row[name]) for name in ("agreement", "entropy")))
        for row in result["levels"]
    ]  # fmt: skip
    head = ("level", "facts", *ANSWER_KINDS, "commonest answer correct [95%]", "sure and wrong [95%]", "templates agree", "entropy")
    lines += [table(head, rows), *(f"{kind}: {words}" for kind, words in ANSWER_KINDS.items())]
    lines += ["", "How often the commonest answer is correct, by its share of the completions:", table(*_reliability(result))]
    if result["rivals"]:
        lines += ["", "Contested facts whose commonest answer is wrong: how often it is the planted rival:", table(*_rivals(result))]
    if result["before"]:
        lines += ["", f"Beside {result['before']}, on the facts that both answer:", table(*_changes(result))]
    return "\n".join(lines)


def _reliability(result: dict[str, Any]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    rows = [
        (f"{row['from_share']:.0%} to {row['to_share']:.0%}", row["facts"], _share(row, "right"), _few(row["facts"]))
        for row in result["reliability"]
    ]
    return ("share", "facts", "correct [95%]", ""), rows


def _rivals(result: dict[str, Any]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    rows = [
        (row["part"], row["facts"], _share(row, "rival"), _percent(row["chance"]), _few(row["facts"]))
        for row in result["rivals"]
        if row["facts"]
    ]
    return ("facts that are", "facts", "the rival [95%]", "by chance", ""), rows


def _changes(result: dict[str, Any]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Means before and after; what probing the base model twice changes stands in the last column."""
    chance = {row["measure"]: row for row in result["chance"]}
    rows = []
    for row in result["change"]:
        noise = chance.get(row["measure"])
        numbers = (_number(row[name]) for name in ("before", "after"))
        name = _MEASURES.get(row["measure"], row["measure"])
        rows.append((name, row["facts"], *numbers, _difference(row), _difference(noise) if noise else "-", _few(row["facts"])))
    return ("", "facts", "before", "after", "difference [95%]", "base probed twice", ""), rows


def _difference(row: dict[str, Any]) -> str:
    if row["difference"] is None:
        return "-"
    return f"{signed(row['difference'], 3)} [{signed(row['low'], 3)}, {signed(row['high'], 3)}]"


def _share(row: dict[str, Any], name: str) -> str:
    if row[f"{name}_share"] is None:
        return "-"
    return f"{_percent(row[f'{name}_share'])} [{_percent(row[f'{name}_low'])}, {_percent(row[f'{name}_high'])}]"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}%"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _few(facts: int) -> str:
    return "too few facts to tell" if facts < LEAST else ""
