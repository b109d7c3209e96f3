"""Entry of the `sftqa` command: run one command, print its result as text or as one JSON object."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from sftqa_core.cli import commands, text
from sftqa_core.cli.arguments import parse
from sftqa_core.errors import SftqaError, Stopped

COMMANDS: dict[str, tuple[Callable[..., dict[str, Any]], Callable[[dict[str, Any]], str]]] = {
    "facts": (commands.facts, text.facts),
    "models": (commands.models, text.models),
    "probe": (commands.probe, text.probe),
    "train": (commands.train, text.run),
    "select": (commands.select, text.select),
    "runs": (commands.runs, text.runs),
    "show": (commands.show, text.run),
    "jobs": (commands.jobs, text.jobs),
    "pretrain": (commands.pretrain, text.pretrain),
    "doctor": (commands.doctor, text.doctor),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. Exits with 0, or with 1 and the reason: on standard error, or as JSON when --json was given."""
    options = parse(arguments)
    if options.command == "app":
        from sftqa_core.cli.app import open_app

        raise SystemExit(open_app(options))
    run, as_text = COMMANDS[options.command]
    try:
        result = run(options)
    except KeyboardInterrupt:
        _fail("Stopped. What was finished is kept; the same command goes on from there.", options.json, 130)
    except Stopped as stopped:
        _fail(str(stopped), options.json, 130)
    except SftqaError as error:
        _fail(str(error), options.json, 1)
    print(json.dumps(result) if options.json else as_text(result))
    raise SystemExit(0 if result.get("ok", True) else 1)


def _fail(message: str, as_json: bool, status: int) -> None:
    print(json.dumps({"error": message}) if as_json else message, file=sys.stdout if as_json else sys.stderr)
    raise SystemExit(status)
