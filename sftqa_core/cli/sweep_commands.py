"""`sftqa sweep`: learning rates tried on dev facts. Its options, what it does, and how it is told."""

import argparse
import sys
from typing import Any

from sftqa_core import workflows
from sftqa_core.cli.commands import checked, leased
from sftqa_core.cli.text import Console, table
from sftqa_core.cli.typed_records import train_settings
from sftqa_core.errors import SettingsError
from sftqa_core.records import SweepSettings
from sftqa_core.records.amounts import span


def sweep(options: argparse.Namespace) -> dict[str, Any]:
    """`sftqa sweep`: run what is missing and report, or report only."""
    settings = sweep_settings(options)
    if options.report_only:
        return workflows.sweep_report(settings).to_dict()
    cost = workflows.forecast(settings)
    told = f"{cost.runs:,} runs, {cost.test_facts:,} dev facts: about {span(cost.seconds_low, cost.seconds_high)}."
    print(f"{told} {' '.join(cost.notes)}", file=sys.stderr, flush=True)
    if cost.runs:
        checked(workflows.preflight(settings, cost))
    with leased(settings.run, "sweep"):
        return workflows.sweep(settings, Console()).to_dict()


def sweep_settings(options: argparse.Namespace) -> SweepSettings:
    """The options as a record: those of a run, rates and seeds."""
    if options.learning_rate is not None:
        raise SettingsError("A sweep tries several learning rates: name them with --rates, not with --lr.")
    typed = {name: value for name in ("rates", "seeds") if (value := getattr(options, f"sweep_{name}")) is not None}
    return SweepSettings(train_settings(options), **typed)


def sweep_text(result: dict[str, Any]) -> str:
    """A line a rate, then what it means."""
    head = ("learning rate", "seeds", "mean over levels [95%]", "micro average [95%]", "")
    rows = []
    for row in result["rates"]:
        means = [f"{_share(row[name])} [{_share(row[f'{name}_low'])}, {_share(row[f'{name}_high'])}]" for name in ("macro", "micro")]
        mark = "chosen" if row["rate"] == result["chosen"] else "within noise of it" if row["within_noise"] else ""
        rows.append((f"{row['rate']:g}", row["seeds"], *means, mark))
    run = result["settings"]["run"]
    first = f"sweep of {run['model']} on {result['facts']:,} dev facts of {run['source']}: "
    first += f"{result['done']:,} of {result['planned']:,} runs are done"
    return "\n".join([first, "", table(head, rows), "", *result["words"]])


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
