"""What can be typed: one parser a command, made of the settings it stands for.

A mistake in an option's text is reported as argparse reports its own.

    python -m sftqa_core.cli.arguments > docs/command-line.md     the reference of all commands
"""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import NoReturn

from sftqa_core import records
from sftqa_core.cli import (
    bench_commands,
    bundle_commands,
    cache_commands,
    compare_commands,
    delete_commands,
    exposure_commands,
    import_commands,
    inside_commands,
    label_commands,
    push_commands,
    report_commands,
    site_commands,
)
from sftqa_core.cli.option_texts import numbers, port, shots
from sftqa_core.cli.recipe_options import add_recipe
from sftqa_core.cli.setting_options import add_scheme, add_setting, add_settings
from sftqa_core.jsonrecord import declared
from sftqa_core.records.presets import PRESETS


class Parser(argparse.ArgumentParser):
    """Says what is wrong as JSON on standard output when --json was asked for, else as argparse does."""

    def error(self, message: str) -> NoReturn:
        if "--json" in sys.argv[1:]:
            print(json.dumps({"error": f"{message}. Try: {self.prog} --help"}))
            raise SystemExit(2)
        super().error(message)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command and its options. Exits with status 2 and a message on a mistake."""
    options = build_parser().parse_args(arguments)
    lacking = [name for name in getattr(options, "needed", ()) if getattr(options, name) is None]
    if lacking and options.config is None and (options.preset is None or lacking != ["n"]):  # a file, or a preset, may name them
        options.complain(f"the following arguments are required: {', '.join(f'--{name}' for name in lacking)}")
    return options


def build_parser() -> argparse.ArgumentParser:
    """All commands; docs/command-line.md lists the same."""
    parser = Parser(prog="sftqa", description="What does fine-tuning do to what a language model knows?")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    output = Parser(add_help=False)
    output.add_argument("--json", action="store_true", help="print exactly one JSON object on standard output")

    def add(name: str, help: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, parents=[output], help=help, description=f"{help[0].upper()}{help[1:]}.")

    _add_app(commands.add_parser("app", help="open the explorer in the browser"))
    _add_facts(add("facts", "what a fact source holds"))
    _add_models(add("models", "models that can be chosen, and the memory each needs; add or remove one"))
    fetch = add("fetch", "download a model of the hub to this machine now, or read a GGUF model into the cache")
    fetch.add_argument("name", help="owner/name, or owner/name@revision with a branch, a tag or a commit of 40 digits; or a GGUF file")
    _add_probe(add("probe", "measure how much of a set of facts a model has memorised"))
    complete = add("complete", "how a model completes texts of your own, for example templates that you write")
    add_settings(complete, records.CompleteSettings, required=("model",))
    complete.add_argument("prompts", nargs="+", metavar="PROMPT", help="a text that ends where the completion follows")
    _add_ask(add("ask", "put one question to models and tuned runs, side by side"))
    against = "another model whose full probe is compared, too, such as the same one on a server (http://host:8000/v1#model)"
    _add_beside(add("trust", "how well other ways of probing agree with the full probe, where they were run"), "--against", against)
    before = "another model beside it, such as the one that it was tuned from: what changed on the facts that both were probed on"
    _add_beside(add("consistency", "whether a model always gives the same answer, right or wrong, as stored"), "--before", before)
    exposure_commands.add_options(add("exposures", "how often facts stand in a model's training corpus, asked of a public service"))
    add("real", "what is known of the real models whose results come with the program, and what examples do to them")
    train = add("train", "fine-tune on n facts and evaluate before and after")
    _add_train(train, required=("model", "n"))
    train.add_argument("--export", metavar="FILE", help="write the run as YAML to this file, which must not exist, and run nothing")
    preflight = add("preflight", "check everything that could stop a run")
    _add_train(preflight, required=("model",))
    preflight.add_argument("--trial", action="store_true", help="also load the model and try one training step on the device")
    select = add("select", "write the n examples a run would train on, as JSON Lines")
    _add_train(select, required=("model", "n"))
    select.add_argument("--out", required=True, help="file to write; it must not exist")
    _add_study(add("study", "many runs that answer one question together"))
    _add_sweep(add("sweep", "try learning rates around the default, measured on dev facts only"))
    add("runs", "finished runs, pinned ones first, then newest first")
    add("show", "one run's results").add_argument("run", help="a run's name, as 'sftqa runs' lists it")
    compare_commands.add_options(
        add("compare", "runs and cells of studies beside each other: settings that differ, accuracy, tests, fact by fact")
    )
    inside_commands.add_options(add("inside", "what tuning changed inside a run's model; without RUN: what was looked at"))
    label_commands.add_options(add("label", "name, tags, note and pin of a run or study; without one: all of them with their sizes"))
    delete_commands.add_options(add("delete", "take a run or study of your own off every list; it can come back"))
    delete_commands.add_undelete_options(add("undelete", "bring back a run or study that was deleted; without one: what can come back"))
    bundle_commands.add_options(add("bundle", "runs, cells and studies as one file that another explorer imports"))
    import_commands.add_options(add("import", "a bundle of another explorer, checked and kept apart; without FILE: what was imported"))
    report_commands.add_options(add("report", "a run, a study, or runs and cells beside each other as one HTML file that works offline"))
    site_commands.add_options(add("site", "all studies and runs as a folder of static pages that need no server"))
    push_commands.add_options(add("push", "put a run's tuned model on the hub, private by default; first shows what would be sent"))
    _add_export(add("export", "write a run's tuned model as a folder for other tools"))
    _add_jobs(add("jobs", "background jobs; cancel one or read its log"))
    cache_commands.add_options(add("cache", "which results are on the disk; check them, clear leftovers"))
    _add_pretrain(add("pretrain", "train a tiny model from scratch on a fact source, or go on with another model's pre-training"))
    bench_commands.add_options(add("bench", "measure this machine's GPU into a file that can be shared, or show such files side by side"))
    add("doctor", "check the installation, devices and folders")
    return parser


def _add_probe(parser: argparse.ArgumentParser) -> None:
    _add_cluster(parser)
    add_settings(parser, records.ProbeSettings, required=("model",))
    add_setting(parser, declared(records.SamplerSettings)["seed"])
    add_scheme(parser, "--method")


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    """For work that is made of pieces, and for the explorer, whose jobs it is for."""
    words = "head of a running Ray cluster, machine:port, on whose devices the pieces are done (docs/cluster.md); default: SFTQA_CLUSTER"
    parser.add_argument("--cluster", metavar="ADDRESS", help=words)


def _add_facts(parser: argparse.ArgumentParser) -> None:
    """`sftqa facts`."""
    add_settings(parser, records.TrainSettings, "source")
    parser.add_argument("--preview", action="store_true", help="show how a file would be read: first rows, roles of its columns, problems")
    fetched = "first fetch entity-questions from its official address, or a dataset of the hub as it is there now"
    parser.add_argument("--download", action="store_true", help=fetched)


def _add_ask(parser: argparse.ArgumentParser) -> None:
    """`sftqa ask QUESTION --model A --model run:ID`."""
    add_settings(parser, records.Question)
    names = f"a model, or {records.RUN}ID for the weights that a run kept; give it again for each model"
    parser.add_argument("--model", action="append", required=True, metavar="MODEL", help=names)
    parser.add_argument("--statement", action="store_true", help="complete the text as it stands, as a probe would")
    scored = "an answer whose probability is wanted; may be given more than once"
    parser.add_argument("--answer", action="append", default=[], metavar="TEXT", help=scored)
    add_setting(parser, declared(records.ProbeSettings)["device"])


def _add_train(parser: argparse.ArgumentParser, required: Sequence[str]) -> None:
    """Options of one run. `required` ones may stand in a file."""
    parser.add_argument("--config", metavar="FILE", help="a run as YAML; options given beside it override the file")
    presets = "; ".join(f"{name}: {preset.title}" for name, preset in PRESETS.items())
    parser.add_argument("--preset", choices=tuple(PRESETS), help=f"a paper's settings; options given beside it override them. {presets}")
    parser.add_argument("--skip-baselines", action="store_true", help="a quick look without k-shot baselines: the same as --shots 0")
    add_settings(parser, records.TrainSettings, *(name for name in declared(records.TrainSettings) if name != "recipe"), shots=shots)
    add_recipe(parser)
    add_scheme(parser)
    parser.set_defaults(needed=tuple(required), complain=parser.error)


def _add_study(parser: argparse.ArgumentParser) -> None:
    kinds = f"{', '.join(records.STUDIES)}: {declared(records.StudySettings)['kind'].help}"
    parser.add_argument("kind", nargs="?", choices=records.STUDIES, metavar="NAME", help=kinds)
    parser.add_argument("--config", metavar="FILE", help="a study as YAML; a name and options given beside it override the file")
    parser.add_argument("--export", metavar="FILE", help="write the study as YAML to this file, which must not exist, and run nothing")
    parser.add_argument("--report-only", action="store_true", help="report what is known now and run nothing")
    others = [name for name in declared(records.StudySettings) if name not in ("kind", "recipe")]
    add_settings(parser, records.StudySettings, *others, shots=lambda text: tuple(sorted({*numbers(text)} - {0})))  # 0: there anyway
    add_recipe(parser, records.StudySettings)
    add_scheme(parser)
    _add_cluster(parser)


def _add_sweep(parser: argparse.ArgumentParser) -> None:
    known = declared(records.SweepSettings)
    _add_train(parser, required=("model", "n"))
    add_setting(parser, known["rates"], dest="sweep_rates")
    add_setting(parser, known["seeds"], dest="sweep_seeds")
    parser.add_argument("--report-only", action="store_true", help="report what is known now and run nothing")
    _add_cluster(parser)


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
    _add_cluster(parser)


def _add_models(parser: argparse.ArgumentParser) -> None:
    """`sftqa models`."""
    change = parser.add_mutually_exclusive_group()
    change.add_argument(
        "--add",
        metavar="NAME",
        help="add a hub id (owner/name), a folder, a GGUF file or a model on a server (http://host:8000/v1#model) to the lists; nothing is "
        "downloaded",
    )
    base = "with --add: the model that the added adapter sits on, where its own files name a folder that is not here"
    parser.add_argument("--base", default="", metavar="MODEL", help=base)
    words = "with --add of a server: a folder, or a model on this machine, with the served model's tokenizer; then token ids are sent, "
    words += "and likelihood and chat templates can be used"
    parser.add_argument("--tokenizer", default="", metavar="NAME", help=words)
    change.add_argument("--remove", metavar="NAME", help="remove an added model from the lists; its files stay")
    device = f"compare with the memory of this device, which need not be here: {declared(records.ProbeSettings)['device'].help}"
    parser.add_argument("--device", default="auto", help=device)


def _add_beside(parser: argparse.ArgumentParser, flag: str, help: str) -> None:
    """What is stored of a model's memory, and another model beside it."""
    add_settings(parser, records.ProbeSettings, "model", "source", "split", "domain", required=("model",))
    add_scheme(parser, "")
    parser.add_argument(flag, metavar="MODEL", help=help)


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


def _add_pretrain(parser: argparse.ArgumentParser) -> None:
    """`sftqa pretrain`."""
    add_settings(parser, records.PretrainSettings)
    add_settings(parser, records.CorpusSettings)
    tokens = "tokens of a batch, in place of --batch-size: large ones keep a GPU busy"
    parser.add_argument("--batch-tokens", type=int, metavar="N", help=tokens)


# ---- reference ----
_LIKE_TRAIN = ("preflight", "select", "sweep")
_REFERENCE = """# Command line

<!-- made by: python -m sftqa_core.cli.arguments > docs/command-line.md -->

Wherever the id of a run or study can be typed, so can the name that `sftqa label` gave it, as long as no other has it; `run:` and the
name stand for the weights that a run kept.

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
    value = str(action.metavar or "|".join(action.choices or ()) or action.dest.upper()).replace("|", "\\|")
    flags = [flag if action.nargs == 0 else f"{flag} {value}" for flag in action.option_strings] or [str(value)]
    required = "; required" if action.required and action.option_strings else ""
    return f"| {', '.join(f'`{flag}`' for flag in flags)} | {(action.help or '').replace('%%', '%')}{required} |"


if __name__ == "__main__":
    print(reference(), end="")
