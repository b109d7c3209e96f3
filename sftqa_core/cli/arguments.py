"""What can be typed: one parser a command, made of the settings it stands for, and the record its options mean.

A mistake in an option's text is reported as argparse reports its own. An option that was not given is None: then the
record's default, a recipe's or a file's value holds.

    python -m sftqa_core.cli.arguments > docs/command-line.md     the reference of all commands
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from sftqa_core import records
from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import Setting, declared

USUAL_SHOTS = records.TrainSettings(model="").shots


def reader_of(about: Setting) -> Callable[[str], Any]:
    """What makes a setting's value of an option's text."""
    if about.kind in (int, tuple[int, ...]):

        def number(text: str) -> int:
            if text in about.named:
                return about.named[text]
            value = whole(text)
            if about.named and value < (about.low or 0):
                raise argparse.ArgumentTypeError(f"must be {about.low or 0} or more, or {' or '.join(about.named)}, got {text!r}")
            return value

        return number if about.kind is int else lambda text: tuple(number(piece) for piece in names(text))
    others: dict[Any, Callable[[str], Any]] = {tuple[str, ...]: names, records.PromptFormat: prompt, float: float}
    return others.get(about.kind, str)


def port(text: str) -> int:
    """A port from 1 to 65535."""
    if not 1 <= (number := whole(text)) <= 65535:
        raise argparse.ArgumentTypeError(f"must be 1 to 65535, got {text!r}")
    return number


def numbers(text: str) -> tuple[int, ...]:
    """Whole numbers with commas between."""
    return tuple(whole(piece) for piece in names(text))


def shots(text: str) -> tuple[int, tuple[int, ...]]:
    """The shots of the k-shot baseline, and the additional shot counts: of several the usual one comes first where it is among
    them, else the first above 0; every run is evaluated with 0 shots anyway."""
    counts = list(dict.fromkeys(numbers(text)))
    if len(counts) == 1:
        return counts[0], ()
    some = [count for count in counts if count != 0]
    if not some:
        raise argparse.ArgumentTypeError(f"must be one or more numbers with commas between, got {text!r}")
    first = USUAL_SHOTS if USUAL_SHOTS in some else some[0]
    return first, tuple(sorted(count for count in some if count != first))


def names(text: str) -> tuple[str, ...]:
    """Names with commas between."""
    return tuple(piece.strip() for piece in text.split(",") if piece.strip())


def whole(text: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}") from None


def json_scheme(text: str) -> records.LevelScheme:
    """A level scheme: by name (paper, slick), or as JSON."""
    if text in records.SCHEMES:
        return records.SCHEMES[text]
    try:
        return records.LevelScheme.from_dict(json.loads(text))
    except (ValueError, SettingsError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def cutoffs(text: str) -> tuple[float, ...]:
    """Where levels change, with commas between."""
    try:
        return records.read_cutoffs(text)
    except SettingsError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def prompt(text: str) -> records.PromptFormat:
    """A prompt format: by name, as a text with {question}, or as JSON."""
    try:
        if text.startswith("{") and '"prompt"' in text:
            return records.PromptFormat.from_dict(json.loads(text))
        return records.prompt_format(text.replace("\\n", "\n"))
    except SettingsError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


_SAMPLING = ("samples", "temperature", "max_new_tokens")
_FORMS = {int: "N", float: "X", tuple[int, ...]: "N,N", tuple[str, ...]: "A,B", records.PromptFormat: "PROMPT"}  # what help calls a value


class Parser(argparse.ArgumentParser):
    """Says what is wrong as JSON on standard output when --json was asked for, else as argparse does."""

    def error(self, message: str) -> NoReturn:
        if "--json" in sys.argv[1:]:
            print(json.dumps({"error": f"{message}. Try: {self.prog} --help"}))
            raise SystemExit(2)
        super().error(message)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command and its options. Exits with status 2 and a message on a mistake."""
    return build_parser().parse_args(arguments)


def build_parser() -> argparse.ArgumentParser:
    """All commands; docs/command-line.md lists the same."""
    parser = Parser(prog="sftqa", description="What does fine-tuning do to what a language model knows?")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    output = Parser(add_help=False)
    output.add_argument("--json", action="store_true", help="print exactly one JSON object on standard output")

    def add(name: str, help: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, parents=[output], help=help, description=f"{help[0].upper()}{help[1:]}.")

    _add_app(commands.add_parser("app", help="open the explorer in the browser"))
    facts = add("facts", "what a fact source holds")
    add_settings(facts, records.TrainSettings, "source")
    facts.add_argument("--preview", action="store_true", help="show how a file would be read: first rows, roles of its columns, problems")
    facts.add_argument(
        "--download",
        action="store_true",
        help="first fetch entity-questions from its official address, or a dataset of the hub as it is there now",
    )
    _add_models(add("models", "models that can be chosen, and the memory each needs; add or remove one"))
    fetch = add("fetch", "download a model of the hub to this machine now, or read a GGUF model into the cache")
    fetch.add_argument("name", help="owner/name, or owner/name@revision with a branch, a tag or a commit of 40 digits; or a GGUF file")
    probe = add("probe", "measure how much of a set of facts a model has memorised")
    add_settings(probe, records.ProbeSettings, required=("model",))
    add_setting(probe, declared(records.SamplerSettings)["seed"])
    _add_scheme(probe, "--method")
    complete = add("complete", "how a model completes texts of your own, for example templates that you write")
    add_settings(complete, records.CompleteSettings, required=("model",))
    complete.add_argument("prompts", nargs="+", metavar="PROMPT", help="a text that ends where the completion follows")
    trust = add("trust", "how well other ways of probing agree with the full probe, where they were run")
    add_settings(trust, records.ProbeSettings, "model", "source", "split", "domain", required=("model",))
    _add_scheme(trust, "")
    _add_train(add("train", "fine-tune on n facts and evaluate before and after"), required=("model", "n"))
    preflight = add("preflight", "check everything that could stop a run")
    _add_train(preflight, required=("model",))
    preflight.add_argument("--trial", action="store_true", help="also load the model and try one training step on the device")
    select = add("select", "write the n examples a run would train on, as JSON Lines")
    _add_train(select, required=("model", "n"))
    select.add_argument("--out", required=True, help="file to write; it must not exist")
    _add_study(add("study", "many runs that answer one question together"))
    add("runs", "finished runs, newest first")
    add("show", "one run's results").add_argument("run", help="a run's name, as 'sftqa runs' lists it")
    _add_export(add("export", "write a run's tuned model as a folder for other tools"))
    _add_jobs(add("jobs", "background jobs; cancel one or read its log"))
    _add_cache(add("cache", "which results are on the disk; check them, clear leftovers"))
    pretrain = add("pretrain", "train a tiny model from scratch on a fact source")
    add_settings(pretrain, records.PretrainSettings)
    add_settings(pretrain, records.CorpusSettings)
    tokens = "tokens of a batch, in place of --batch-size: large ones keep a GPU busy"
    pretrain.add_argument("--batch-tokens", type=int, metavar="N", help=tokens)
    add("doctor", "check the installation, devices and folders")
    return parser


# ---- options made of settings ----
def add_settings(
    parser: argparse.ArgumentParser, kind: type, *names: str, required: Sequence[str] = (), **readers: Callable[[str], Any]
) -> None:
    """The options of a record's settings: those of these names, or all that have a flag; `readers` replace a setting's own."""
    for name, about in declared(kind).items():
        if about.flag and (not names or name in names):
            add_setting(parser, about, required=name in required, reader=readers.get(name))


def add_setting(
    parser: argparse.ArgumentParser,
    about: Setting,
    flag: str = "",
    dest: str = "",
    required: bool = False,
    reader: Callable[[str], Any] | None = None,
) -> None:
    """One setting's option; `dest` is where the value goes if not under the setting's name."""
    flag, help = flag or about.flag, about.help.replace("%", "%%")
    if not flag.startswith("--"):
        parser.add_argument(flag, help=help)
        return
    more: dict[str, Any] = {"dest": dest or about.name, "default": None, "help": help if required else _with_default(help, about)}
    if about.kind is bool:
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, **more)
    elif about.choices:
        parser.add_argument(flag, choices=tuple(about.choices), required=required, **more)
    else:
        form = about.unit.upper() if about.kind in (int, float) and about.unit else _FORMS.get(about.kind, "TEXT")
        parser.add_argument(flag, type=reader or reader_of(about), required=required, metavar=form, **more)


def _with_default(help: str, about: Setting) -> str:
    """What an option does, and what holds without it."""
    default, names = about.default, {number: name for name, number in about.named.items()}
    if default is None:
        return f"{help} (default: {about.unset})" if about.unset else help
    if about.kind is bool:
        return f"{help} (default: {'on' if default else 'off'})"
    if default is ... or isinstance(default, tuple) or about.kind is records.PromptFormat:
        return help
    return f"{help} (default: {names.get(default, default)})"


def given(options: argparse.Namespace, kind: type) -> dict[str, Any]:
    """The settings of this record that were typed."""
    return {name: value for name in declared(kind) if (value := getattr(options, name, None)) is not None}


def _add_scheme(parser: argparse.ArgumentParser, method: str = "--level-method") -> None:
    """Options that override --scheme; `method` is the flag that chooses how levels are measured, if there is a choice."""
    add_settings(parser, records.SamplerSettings, *_SAMPLING)
    settings = declared(records.LevelScheme)
    if method:
        add_setting(parser, settings["method"], method, "level_method")
    add_setting(parser, settings["confidence"])
    schemes = "paper (default), slick (SliCK's four levels), or a level scheme as JSON"
    parser.add_argument("--scheme", type=json_scheme, metavar="SCHEME", help=schemes)
    cuts = "cut-offs of R between the levels, for the same completions: 0,0.2,0.4,0.6"
    parser.add_argument("--cutoffs", type=cutoffs, metavar="R,R", help=cuts)


def _add_train(parser: argparse.ArgumentParser, required: Sequence[str]) -> None:
    add_settings(parser, records.TrainSettings, required=required, shots=shots)
    _add_scheme(parser)


def _add_study(parser: argparse.ArgumentParser) -> None:
    kinds = f"{', '.join(records.STUDIES)}: {declared(records.StudySettings)['kind'].help}"
    parser.add_argument("kind", nargs="?", choices=records.STUDIES, metavar="NAME", help=kinds)
    parser.add_argument("--config", metavar="FILE", help="a study as YAML; a name and options given beside it override the file")
    parser.add_argument("--export", metavar="FILE", help="write the study as YAML to this file, which must not exist, and run nothing")
    parser.add_argument("--report-only", action="store_true", help="report what is known now and run nothing")
    others = [name for name in declared(records.StudySettings) if name != "kind"]
    add_settings(parser, records.StudySettings, *others, shots=lambda text: tuple(sorted({*numbers(text)} - {0})))  # 0: there anyway
    _add_scheme(parser)


# ---- other commands ----
def _add_app(parser: argparse.ArgumentParser) -> None:
    """`sftqa app`."""
    parser.add_argument("--port", type=port, default=8501, help="port to listen on (default: 8501)")
    host = "address to listen on; the default is reachable from this machine only (and by ssh -L)"
    parser.add_argument("--host", default="127.0.0.1", help=host)
    parser.add_argument("--share", action="store_true", help="allow other machines to connect to --host, after a login")
    login = "ask everyone for the token in SFTQA_TOKEN (with --share the default), or for your organisation's login ([auth] of Streamlit)"
    parser.add_argument("--login", choices=("token", "streamlit"), help=login)
    origin = "address at which a proxy shows the explorer, without a path (https://NAME-8501.app.github.dev); may be given more than once"
    parser.add_argument("--origin", action="append", default=[], metavar="ADDRESS", help=origin)
    base = "what stands behind that address before every page (/user/NAME/proxy/8501), whether the proxy passes it on or not"
    parser.add_argument("--base-path", default="", metavar="PATH", help=base)
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")


def _add_models(parser: argparse.ArgumentParser) -> None:
    """`sftqa models`."""
    change = parser.add_mutually_exclusive_group()
    change.add_argument(
        "--add", metavar="NAME", help="add a hub id (owner/name), a folder or a GGUF file to the lists; nothing is downloaded"
    )
    base = "with --add: the model that the added adapter sits on, where its own files name a folder that is not here"
    parser.add_argument("--base", default="", metavar="MODEL", help=base)
    change.add_argument("--remove", metavar="NAME", help="remove an added model from the lists; its files stay")
    device = f"compare with the memory of this device, which need not be here: {declared(records.ProbeSettings)['device'].help}"
    parser.add_argument("--device", default="auto", help=device)


def _add_export(parser: argparse.ArgumentParser) -> None:
    """`sftqa export RUN`."""
    parser.add_argument("run", help="a run's name, as 'sftqa runs' lists it")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="folder to write; it must not exist")
    merge = "LoRA: merge the adapter into the base model (in float32), so that no other model is needed"
    parser.add_argument("--merge", action="store_true", help=merge)


def _add_jobs(parser: argparse.ArgumentParser) -> None:
    """`sftqa jobs [ACTION ID]`."""
    actions = "cancel: take it out of the queue, or stop it; resume: queue what failed or was cancelled again; log: its output; "
    actions += "first, up, down, last: move it in the queue; empty: cancel all queued jobs (needs no ID)"
    parser.add_argument("action", nargs="?", choices=("cancel", "resume", "log", *records.MOVES, "empty"), help=actions)
    parser.add_argument("id", nargs="?", metavar="ID", help="a job's name, as 'sftqa jobs' lists it")


def _add_cache(parser: argparse.ArgumentParser) -> None:
    """`sftqa cache ls | verify | gc`."""
    parser.add_argument("action", choices=("ls", "verify", "gc"), help="ls: list results; verify: check them; gc: list what can be removed")
    parser.add_argument("--set-aside", action="store_true", help="verify: rename damaged results, so that they are computed again")
    parser.add_argument("--yes", action="store_true", help="gc: remove what is listed")


# ---- options to records ----
def probe_settings(options: argparse.Namespace) -> records.ProbeSettings:
    """`sftqa probe`'s options as a record; --seed is the sampler's."""
    return records.ProbeSettings(**given(options, records.ProbeSettings) | {"scheme": scheme_of(options, seed=options.seed)})


def train_settings(options: argparse.Namespace) -> records.TrainSettings:
    """`sftqa train`'s options as a record; `--n all` is TrainSettings.ALL until the pool is known."""
    typed = given(options, records.TrainSettings)
    shots, others = typed.pop("shots", (USUAL_SHOTS, ()))
    more = tuple(sorted({*others, *typed.pop("more_shots", ())} - {0, shots}))
    return records.TrainSettings(**typed | {"shots": shots, "more_shots": more, "scheme": scheme_of(options)})


def study_settings(options: argparse.Namespace, builtin: Sequence[str]) -> records.StudySettings:
    """`sftqa study`'s file and options as a record; options override the file."""
    typed = given(options, records.StudySettings)
    if options.config is None:
        if not options.kind:
            raise SettingsError(f"Name a study ({', '.join(records.STUDIES)}), or a file with --config.")
        return records.StudySettings(**{"models": tuple(builtin)} | typed | {"scheme": scheme_of(options)})
    from sftqa_core.workflows import read_study

    start = read_study(Path(options.config))
    if options.kind and options.kind != start.kind:
        raise SettingsError(f"{options.config} holds a study of kind {start.kind}, and {options.kind} was asked for.")
    return replace(start, **typed | {"scheme": scheme_of(options, start.scheme)})


def scheme_of(options: argparse.Namespace, start: records.LevelScheme | None = None, seed: int | None = None) -> records.LevelScheme:
    """The scheme that --scheme gives, else `start` or the paper's, with the other options in place of its own values.

    `seed` is the sampler's, where the scheme has a name (train's --seed draws examples; the levels keep the probe's own seed).
    """
    scheme = options.scheme or start or records.LevelScheme()
    if options.cutoffs is not None:
        scheme = records.with_cutoffs(options.cutoffs, scheme)
    drawn = {name: value for name in _SAMPLING if (value := getattr(options, name)) is not None}
    if seed is not None and options.scheme in (None, *records.SCHEMES.values()):
        drawn["seed"] = seed
    measured = {"method": getattr(options, "level_method", None), "confidence": options.confidence}
    given_here = {name: value for name, value in measured.items() if value is not None}
    return replace(scheme, sampling=replace(scheme.sampling, **drawn), **given_here)


def pretrain_settings(options: argparse.Namespace, recipes: dict[str, records.PretrainSettings]) -> records.PretrainSettings:
    """The options over the recipe of that name, or over the defaults."""
    start = recipes.get(options.name, records.PretrainSettings(options.name))
    typed, corpus = given(options, records.PretrainSettings), start.corpus
    if options.qa_documents is not None:
        corpus = replace(corpus, qa_documents=options.qa_documents)
    return replace(start, **typed | {"corpus": corpus} | _batch(options, start))


def _batch(options: argparse.Namespace, start: records.PretrainSettings) -> dict[str, int]:
    """--batch-tokens as a number of sequences; a remainder is left out, so that a batch never has more."""
    if options.batch_tokens is None:
        return {}
    if options.batch_size is not None:
        raise SettingsError("Give --batch-tokens or --batch-size, not both: one is the other times --sequence-length.")
    length, parts = options.sequence_length or start.sequence_length, options.accumulate or start.accumulate
    sequences = options.batch_tokens // length // parts * parts if length > 0 and parts > 0 else 0
    if sequences < 1:
        raise SettingsError(f"--batch-tokens must hold a sequence ({length} tokens) for each of {parts} parts, got {options.batch_tokens}.")
    return {"batch_size": sequences}


# ---- reference ----
_LIKE_TRAIN = ("preflight", "select")
_REFERENCE = """# Command line

<!-- made by: python -m sftqa_core.cli.arguments > docs/command-line.md -->

Every command but `app` takes `--json`: exactly one JSON object on standard output, also on failure (`{"error": ...}` and a non-zero
exit status); progress goes to standard error. [facts.md](facts.md) says which models and sources of facts can be named.
"""


def reference() -> str:
    """All commands with their options, as Markdown: docs/command-line.md."""
    parser = build_parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    about = {choice.dest: choice.help or "" for choice in commands._choices_actions}
    lines = [_REFERENCE]
    for name, command in commands.choices.items():
        lines += [f"## sftqa {name}", "", f"{about[name][0].upper()}{about[name][1:]}.", ""]
        actions = [action for action in command._actions if action.dest not in ("help", "json")]
        if name in _LIKE_TRAIN:
            trained = {action.dest for action in commands.choices["train"]._actions}
            actions = [action for action in actions if action.dest not in trained or action.dest == "n"]
            lines += ["All options of `sftqa train`, and:", ""]
        lines += ["| option | meaning |", "|---|---|", *map(_row, actions), ""] if actions else []
    return "\n".join(lines)


def _row(action: argparse.Action) -> str:
    value = action.metavar or "\\|".join(action.choices or ()) or action.dest.upper()
    flags = [flag if action.nargs == 0 else f"{flag} {value}" for flag in action.option_strings] or [str(value)]
    required = "; required" if action.required and action.option_strings else ""
    return f"| {', '.join(f'`{flag}`' for flag in flags)} | {(action.help or '').replace('%%', '%')}{required} |"


if __name__ == "__main__":
    print(reference(), end="")
