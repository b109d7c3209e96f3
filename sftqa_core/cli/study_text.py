"""A study's report as people read it on the terminal: what was found, then the numbers."""

from __future__ import annotations

from typing import Any

from sftqa_core.cli.text import DOMAINS, table

MEAN = "mean over levels"


def study(result: dict[str, Any]) -> str:
    """What `sftqa study` prints; of an export the file's name."""
    if "file" in result:
        return f"Written to {result['file']}. Run it with: sftqa study --config {result['file']}"
    settings = result["settings"]
    head = f"study {settings['kind']} of {', '.join(settings['models'])} on {settings['source']}: "
    lines = [f"{head}{result['done']:,} of {result['planned']:,} runs are done, seeds {', '.join(map(str, settings['seeds']))}", ""]
    lines += _numbers(settings["kind"], result["tables"])
    question = ""
    for finding in sorted(result["findings"], key=lambda finding: finding["question"]):
        if finding["question"] != question:
            lines += ["", question := finding["question"]]
        lines.append(f"  {finding['verdict']:<12}{finding['about']}: {finding['text']}")
    return "\n".join([*lines, "", *(f"- {note}" for note in result["notes"])])


def _numbers(kind: str, tables: dict[str, list[dict[str, Any]]]) -> list[str]:
    if kind == "amount":
        return [_wide([row for row in tables.get("curve", []) if row["level"] == MEAN], "n", "accuracy", ("model", "domain"))]
    if kind == "level":
        return [_wide(tables.get("matrix", []), "test", "accuracy", ("model", "domain", "train"))]
    if kind == "models":
        rows = tables.get("ranks", [])
        pairs = [(row["model"], row["other"], f"{row['facts']:,}", _number(row["spearman"]), _percent(row["same_level"])) for row in rows]
        shares = _wide(tables.get("shares", []), "level", "share", ("model", "domain"))
        return [shares, "", table(("model", "other", "facts", "Spearman", "same level"), pairs)] if pairs else [shares]
    return [_wide(tables.get("moves", []), "move", "share", ("model", "domain", "after"))]


def _wide(rows: list[dict[str, Any]], across: str, value: str, down: tuple[str, ...]) -> str:
    """One line for each combination of `down`, one column for each value of `across`."""
    columns = list(dict.fromkeys(row[across] for row in rows))
    lines: dict[tuple, dict[Any, Any]] = {}
    for row in rows:
        lines.setdefault(tuple(DOMAINS.get(row[name], row[name]) for name in down), {})[row[across]] = row[value]
    return table(
        (*down, *map(str, columns)), [(*key, *(_percent(cells.get(column)) for column in columns)) for key, cells in lines.items()]
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
