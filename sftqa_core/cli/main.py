"""Entry of the `sftqa` command: run one command, print its result as text or as one JSON object; or start the explorer (`sftqa app`)."""

import argparse
import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn
from urllib.parse import urlsplit

from sftqa_core.artifacts import in_sentence
from sftqa_core.cli import (
    bench_commands,
    bundle_commands,
    cache_commands,
    commands,
    compare_commands,
    consistency_commands,
    delete_commands,
    doctor_commands,
    exposure_commands,
    import_commands,
    inside_commands,
    label_commands,
    push_commands,
    real_commands,
    report_commands,
    site_commands,
    sweep_commands,
    text,
)
from sftqa_core.cli.arguments import parse
from sftqa_core.errors import OutOfTime, SettingsError, SftqaError, Stopped
from sftqa_core.models.serving.addresses import allow_typed
from sftqa_core.planning.cluster_address import VARIABLE as CLUSTER
from sftqa_core.planning.cluster_address import cluster_address, warning
from sftqa_core.records import KEPT
from sftqa_core.server.access import LOGIN_VARIABLE, Access, check_token, checked, checked_base, checked_origin
from sftqa_core.workspace import app_folder


def open_app(options: argparse.Namespace) -> int:
    """Become the explorer's server; returns only when that is not possible.

    The server takes this process's place, so that whoever ends `sftqa app` ends the server and not only its parent. It
    reads the token from the environment itself: what stands in a command, everyone on the machine can read.
    """
    missing = [name for name in ("streamlit", "plotly") if importlib.util.find_spec(name) is None]
    if missing:
        print(f"The explorer needs {' and '.join(missing)}. Install: pip install {' '.join(missing)}", file=sys.stderr)
        return 1
    try:
        access = wanted_access(options)
        if address := cluster_address():
            print(warning(address), flush=True)
        if access.login == "token":
            check_token(os.environ, sys.stdout)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    # Streamlit reads .streamlit/config.toml beside app.py, whatever the current folder is.
    command = [sys.executable, "-m", "streamlit", "run", str(app_folder() / "app.py")]
    command += [f"--server.port={options.port}", f"--server.address={access.host}", f"--server.headless={str(options.no_browser).lower()}"]
    command += [f"--server.baseUrlPath={access.base}"] if access.base else []
    command += [f"--server.corsAllowedOrigins={origin}" for origin in access.origins]
    if access.origins and access.login == "streamlit":
        # Its login needs the true origin (see middleware.py); with this, it asks nobody for this machine's outer address first.
        command.append(f"--browser.serverAddress={urlsplit(access.origins[0]).hostname}")
    os.execve(sys.executable, command, {**os.environ, LOGIN_VARIABLE: access.login})


def wanted_access(options: argparse.Namespace) -> Access:
    """What the options ask for. Raises `SettingsError` when it is not safe, or when they contradict one another."""
    login = options.login or ("token" if options.share else "none")
    origins = tuple(dict.fromkeys(map(checked_origin, options.origin)))
    access = Access(options.host, login, checked_base(options.base_path), origins)
    if options.share and access.local:
        raise SettingsError("--share lets other machines in, and --host is still this machine alone. Add the address: --host 0.0.0.0")
    if not options.share and not access.local:
        checked(Access(options.host), options.port)  # never without the flag, whatever else was asked for
    return checked(access, options.port)


COMMANDS: dict[str, tuple[Callable[..., dict[str, Any]], Callable[[dict[str, Any]], str]]] = {
    "fetch": (commands.fetch, text.fetch),
    "facts": (commands.facts, text.facts),
    "models": (commands.models, commands.models_text),
    "probe": (commands.probe, text.probe),
    "complete": (commands.complete, text.complete),
    "ask": (commands.ask, text.ask),
    "trust": (commands.trust, text.trust),
    "consistency": (consistency_commands.consistency, consistency_commands.as_text),
    "exposures": (exposure_commands.exposures, exposure_commands.as_text),
    "real": (real_commands.real, real_commands.as_text),
    "train": (commands.train, text.run),
    "preflight": (commands.preflight, commands.preflight_text),
    "select": (commands.select, text.select),
    "study": (commands.study, text.study),
    "sweep": (sweep_commands.sweep, sweep_commands.sweep_text),
    "runs": (commands.runs, text.runs),
    "show": (commands.show, text.run),
    "compare": (compare_commands.compare, compare_commands.as_text),
    "inside": (inside_commands.inside, inside_commands.as_text),
    "label": (label_commands.label, label_commands.as_text),
    "delete": (delete_commands.delete, delete_commands.as_text),
    "undelete": (delete_commands.undelete, delete_commands.undelete_text),
    "bundle": (bundle_commands.bundle, bundle_commands.as_text),
    "import": (import_commands.import_, import_commands.as_text),
    "report": (report_commands.report, report_commands.as_text),
    "site": (site_commands.site, site_commands.as_text),
    "push": (push_commands.push, push_commands.as_text),
    "export": (commands.export, text.export),
    "jobs": (commands.jobs, text.jobs),
    "cache": (cache_commands.cache, cache_commands.as_text),
    "pretrain": (commands.pretrain, text.pretrain),
    "bench": (bench_commands.bench, bench_commands.bench_text),
    "doctor": (doctor_commands.doctor, text.doctor),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. Exits with 0, or with 1 and the reason: on standard error, or as JSON when --json was given."""
    options = parse(arguments)
    if getattr(options, "cluster", None) is not None:  # for what is started from here, too
        os.environ[CLUSTER] = options.cluster
    if options.command == "app":
        raise SystemExit(open_app(options))
    for value in vars(options).values():  # a server whose address a person types here may be asked
        for typed in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(typed, str):
                allow_typed(typed)
    run, as_text = COMMANDS[options.command]
    try:
        label_commands.with_ids(options)
        result = run(options)
    except KeyboardInterrupt:
        kept = f" {KEPT[options.command]} The same command resumes from there." if options.command in KEPT else ""
        _fail(f"Stopped.{kept}", options.json, 130)
    except OutOfTime as late:
        _fail(f"{late} {KEPT[options.command]}", options.json, 1)
    except Stopped as stopped:
        _fail(str(stopped), options.json, 130)
    except SftqaError as error:
        _fail(str(error), options.json, 1)
    except OSError as error:
        advice = "Check the path, the disk's free space and your rights."
        _fail(str(in_sentence(error) or f"A file can't be used: {error}. {advice}"), options.json, 1)
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
