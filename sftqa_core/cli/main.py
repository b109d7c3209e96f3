"""Entry of the `sftqa` command: run one command, print its result as text or as one JSON object."""

import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from sftqa_core.artifacts import in_sentence
from sftqa_core.cli import cache_commands, commands, text
from sftqa_core.cli.arguments import parse
from sftqa_core.errors import SftqaError, Stopped
from sftqa_core.records import KEPT

COMMANDS: dict[str, tuple[Callable[..., dict[str, Any]], Callable[[dict[str, Any]], str]]] = {
    "fetch": (commands.fetch, text.fetch),
    "facts": (commands.facts, text.facts),
    "models": (commands.models, commands.models_text),
    "probe": (commands.probe, text.probe),
    "trust": (commands.trust, text.trust),
    "train": (commands.train, text.run),
    "preflight": (commands.preflight, commands.preflight_text),
    "select": (commands.select, text.select),
    "study": (commands.study, text.study),
    "runs": (commands.runs, text.runs),
    "show": (commands.show, text.run),
    "export": (commands.export, text.export),
    "jobs": (commands.jobs, text.jobs),
    "cache": (cache_commands.cache, cache_commands.as_text),
    "pretrain": (commands.pretrain, text.pretrain),
    "doctor": (commands.doctor, text.doctor),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. Exits with 0, or with 1 and the reason: on standard error, or as JSON when --json was given."""
    options = parse(arguments)
    if options.command == "app":
        from sftqa_core.cli.serve import open_app

        raise SystemExit(open_app(options))
    run, as_text = COMMANDS[options.command]
    try:
        result = run(options)
    except KeyboardInterrupt:
        kept = f" {KEPT[options.command]} The same command resumes from there." if options.command in KEPT else ""
        _fail(f"Stopped.{kept}", options.json, 130)
    except Stopped as stopped:
        _fail(str(stopped), options.json, 130)
    except SftqaError as error:
        _fail(str(error), options.json, 1)
    except OSError as error:
        told = f"A file can't be used: {error}. Check the path, the disk's free space and your rights."
        _fail(str(in_sentence(error) or told), options.json, 1)
    except Exception as error:  # a fault of ours: the person gets one sentence, the traceback goes beside it
        traceback.print_exc()
        _fail(f"Something went wrong inside: {type(error).__name__}: {error}", options.json, 1)
    _print(json.dumps(result) if options.json else as_text(result))
    raise SystemExit(0 if result.get("ok", True) else 1)


def _fail(message: str, as_json: bool, status: int) -> NoReturn:
    if as_json:
        _print(json.dumps({"error": message}))
    else:
        print(message, file=sys.stderr)
    raise SystemExit(status)


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # the reader (head, say) has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
