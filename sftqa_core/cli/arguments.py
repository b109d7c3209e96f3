"""`sftqa pretrain`: what can be typed, and the settings record it means.

Parsers of the commands that keep the house: the app, fetched and exported models, background jobs, the results on disk.

What can be typed: one parser a command, and the settings record each one means.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from sftqa_core.cli.values import DEVICES, count_or_all, cutoffs, json_scheme, names, numbers, port, prompt, shots, sizes
from sftqa_core.errors import SettingsError
from sftqa_core.records import (
    METHODS,
    MOVES,
    OPTIMIZERS,
    PROMPTS,
    QUANTIZATIONS,
    SCHEMES,
    SHARDINGS,
    STUDIES,
    CorpusSettings,
    LevelScheme,
    PretrainSettings,
    ProbeSettings,
    StudySettings,
    TrainSettings,
    with_cutoffs,
)

_NUMBERS = (
    "hidden_size", "layers", "heads", "intermediate_size", "vocabulary", "sequence_length", "batch_size", "accumulate", "epochs",
    "warmup_steps", "seed", "max_exposures",
)  # fmt: skip
_NO_SETTINGS = ("command", "json", "name", "qa_documents", "batch_tokens")


def add_pretrain(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    default = PretrainSettings("default")
    parser.add_argument("name", help="name of the new model; a built-in model's name, or atlas-100m, takes its settings")
    parser.add_argument("--source", help="atlas, atlas:8 (an invented world eight times as large; 2 to 16), entity-questions, or a path")
    parser.add_argument("--limit", type=int, help="at most this many facts, spread over relations")
    parser.add_argument("--relations", type=names, help="only these relations: P17,P19")
    parser.add_argument("--architecture", choices=("llama", "qwen2", "gpt_neox"))
    for name in _NUMBERS:
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help=f"default {getattr(default, name)}")
    parser.add_argument("--batch-tokens", type=int, help="tokens of a batch, in place of --batch-size: large ones keep a GPU busy")
    parser.add_argument("--optimizer", choices=("muon", "adamw"))
    parser.add_argument("--lr", type=float, dest="learning_rate", help=f"default {default.learning_rate}")
    parser.add_argument("--qa-documents", type=int, help=f"default {CorpusSettings().qa_documents}")
    parser.add_argument("--device", help=DEVICES)
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), help="auto: bfloat16 where the hardware has it")
    told = "compile the model first (torch.compile): minutes once, then faster steps; not tried on a GPU yet"
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=None, help=told)


def pretrain_settings(options: argparse.Namespace, recipes: dict[str, PretrainSettings]) -> PretrainSettings:
    """The options over the recipe of that name, or over the defaults."""
    start = recipes.get(options.name, PretrainSettings(options.name))
    given: dict[str, Any] = {k: v for k, v in vars(options).items() if v is not None and k not in _NO_SETTINGS}
    corpus = start.corpus if options.qa_documents is None else replace(start.corpus, qa_documents=options.qa_documents)
    return replace(start, corpus=corpus, **given | _batch(options, start))


def _batch(options: argparse.Namespace, start: PretrainSettings) -> dict[str, int]:
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


# ---- app ----
def add_app(parser: argparse.ArgumentParser) -> None:
    """`sftqa app`."""
    parser.add_argument("--port", type=port, default=8501)
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; the default is reachable from this machine only (and by ssh -L)"
    )
    parser.add_argument("--share", action="store_true", help="let other machines in on --host, after a login")
    login = "ask everyone for the token in SFTQA_TOKEN (with --share the default), or for your organisation's login ([auth] of Streamlit)"
    parser.add_argument("--login", choices=("token", "streamlit"), help=login)
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")


# ---- models ----
def add_models(parser: argparse.ArgumentParser) -> None:
    """`sftqa models`."""
    change = parser.add_mutually_exclusive_group()
    change.add_argument("--add", metavar="NAME", help="put a hub id (owner/name) or a folder on the lists; nothing is fetched")
    change.add_argument("--remove", metavar="NAME", help="take an added one off the lists; its files stay")
    parser.add_argument("--device", default="auto", help=f"whose memory is told, here or not: {DEVICES}")


# ---- fetch ----
def add_fetch(parser: argparse.ArgumentParser) -> None:
    """`sftqa fetch NAME`."""
    parser.add_argument("name", help="owner/name, or owner/name@revision with a branch, a tag or a commit of 40 digits")


# ---- export ----
def add_export(parser: argparse.ArgumentParser) -> None:
    """`sftqa export RUN`."""
    parser.add_argument("run", help="a run's name, as 'sftqa runs' lists it")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="folder to write; it must not exist")
    parser.add_argument("--merge", action="store_true", help="of LoRA: the adapter merged into its model (in float32), a model of its own")


# ---- jobs ----
def add_jobs(parser: argparse.ArgumentParser) -> None:
    """`sftqa jobs [ACTION ID]`."""
    told = "cancel: out of the queue, or stop; resume: queue what failed or was cancelled again, to go on; log: its output; "
    told += "first, up, down, last: move it in the queue; empty: cancel all that wait (needs no ID)"
    parser.add_argument("action", nargs="?", choices=("cancel", "resume", "log", *MOVES, "empty"), help=told)
    parser.add_argument("id", nargs="?", metavar="ID", help="a job's name, as 'sftqa jobs' lists it")


# ---- cache ----
def add_cache(parser: argparse.ArgumentParser) -> None:
    """`sftqa cache ls | verify | gc`."""
    parser.add_argument("action", choices=("ls", "verify", "gc"), help="what is there; is it whole; what can go")
    parser.add_argument("--set-aside", action="store_true", help="verify: rename what is damaged, so that it is made again")
    parser.add_argument("--yes", action="store_true", help="gc: really remove what it would only list")


QUANTIZE_HELP = "of the model's weights: nf4 holds them in 4 bits; to tune, with --method lora (QLoRA; unverified on a GPU)"
SHARDING_HELP = "with several GPUs: each holds the whole model (ddp, default), or a part of it (fsdp)"
_STUDY_OPTIONS = (
    "models", "source", "seeds", "sizes", "method", "learning_rate", "epochs", "batch_size", "prompt", "test_limit", "retest_limit",
    "device", "shots", "gpus", "sharding", "optimizer", "micro_batch", "gradient_checkpointing",
    "quantization",
)  # fmt: skip
_PROMPT = "qa, plain, chat (the model's own chat template), or your own text with {question}"


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
    """All commands; the README lists the same."""
    parser = Parser(prog="sftqa", description="What does fine-tuning do to what a language model knows?")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    output = Parser(add_help=False)
    output.add_argument("--json", action="store_true", help="print exactly one JSON object on standard output")

    add_app(commands.add_parser("app", help="open the explorer in the browser"))
    facts = commands.add_parser("facts", parents=[output], help="what a fact source holds")
    facts.add_argument("--source", default="atlas", help="atlas, a larger one (atlas:8), entity-questions, or a path")
    facts.add_argument("--download", action="store_true", help="fetch entity-questions from its official address first")

    add_models(commands.add_parser("models", parents=[output], help="models that can be picked, and what each needs; add one"))
    add_fetch(commands.add_parser("fetch", parents=[output], help="bring a model of the hub to this machine now"))
    _add_probe(commands.add_parser("probe", parents=[output], help="measure how much of a set of facts a model has memorised"))
    trust = commands.add_parser("trust", parents=[output], help="how far other ways of probing agree with the full probe, as far as made")
    trust.add_argument("--model", required=True, help="a built-in or pre-trained model, a folder, or a hub id")
    trust.add_argument("--source", default="atlas", help="atlas, a larger one (atlas:8), entity-questions, or a path")
    trust.add_argument("--split", default="test", choices=("train", "dev", "test", "all"))
    trust.add_argument("--domain", default="all", choices=("in", "out", "all"))
    _add_sampling(trust, None)
    _add_train(commands.add_parser("train", parents=[output], help="fine-tune on n facts and evaluate before and after"))
    preflight = commands.add_parser("preflight", parents=[output], help="look at whatever could stand in a run's way")
    _add_train(preflight, n=60)
    preflight.add_argument("--trial", action="store_true", help="also load the model and try one training step on the device")
    select = commands.add_parser("select", parents=[output], help="write the n examples a run would train on, as JSON Lines")
    _add_train(select)
    select.add_argument("--out", required=True, help="file to write; it must not exist")

    _add_study(commands.add_parser("study", parents=[output], help="many runs that answer one question together"))
    commands.add_parser("runs", parents=[output], help="finished runs, newest first")
    commands.add_parser("show", parents=[output], help="one run's results").add_argument("run")
    add_export(commands.add_parser("export", parents=[output], help="write a run's tuned model as a folder for other tools"))
    add_jobs(commands.add_parser("jobs", parents=[output], help="background jobs; cancel one or read its log"))
    add_cache(commands.add_parser("cache", parents=[output], help="which results are on the disk; check them, clear leftovers"))
    add_pretrain(commands.add_parser("pretrain", parents=[output], help="train a tiny model from nothing on a fact source"))
    commands.add_parser("doctor", parents=[output], help="check the installation, devices and folders")
    return parser


def _add_probe(parser: argparse.ArgumentParser) -> None:
    _add_subject(parser)
    parser.add_argument("--split", default="test", choices=("train", "dev", "test", "all"))
    parser.add_argument("--domain", default="all", choices=("in", "out", "all"))
    parser.add_argument("--limit", type=int, help="at most this many facts, spread over relations")
    parser.add_argument("--batch", type=int, help="prompts under way together (default: by model size and free memory)")
    parser.add_argument("--gpus", type=int, default=1, help="spread a model larger than one GPU over so many (unverified)")
    _add_sampling(parser, "--method")


def _add_sampling(parser: argparse.ArgumentParser, method: str | None) -> None:
    """Options that go before what --scheme says; `method` is the flag that chooses how levels are measured, where there is a choice."""
    plain = LevelScheme()
    parser.add_argument("--samples", type=int, help=f"completions per template (default: {plain.sampling.samples})")
    parser.add_argument("--temperature", type=float, help=f"default: {plain.sampling.temperature}")
    parser.add_argument("--max-new-tokens", type=int, help=f"default: {plain.sampling.max_new_tokens}")
    if method:
        told = "sampling: every sample (default); adaptive: until the level is clear; likelihood: none, an estimate"
        parser.add_argument(method, dest="level_method", choices=METHODS, help=told)
    parser.add_argument("--confidence", type=float, help=f"of adaptive: how sure a level must be (default: {plain.confidence})")
    _add_scheme(parser)


def _add_scheme(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scheme", type=json_scheme, help="paper (default), slick (SliCK's four levels), or a level scheme as JSON")
    parser.add_argument("--cutoffs", type=cutoffs, help="other levels of the same completions, by where R changes them: 0,0.2,0.4,0.6")


def _add_subject(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, help="a built-in or pre-trained model, a folder, or a hub id")
    parser.add_argument("--source", default="atlas", help="atlas, a larger one (atlas:8), entity-questions, or a path")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--match", default="tokens", choices=("tokens", "substring"), help="how an answer is found in a text")
    parser.add_argument("--device", default="auto", help=DEVICES)
    parser.add_argument("--quantize", dest="quantization", choices=QUANTIZATIONS, default="none", help=QUANTIZE_HELP)


def _add_train(parser: argparse.ArgumentParser, n: int | None = None) -> None:
    _add_subject(parser)
    usual = "" if n is None else f" (default: {n})"
    parser.add_argument("--n", required=n is None, default=n, type=count_or_all, help=f"examples to train on, or all{usual}")
    parser.add_argument("--levels", type=numbers, help="train only on facts of these levels: 0,1,2")
    parser.add_argument("--balance", default="relation", choices=("relation", "level", "matched"))
    parser.add_argument("--relations", type=names, help="topics to train on: P17,P19 (default: the in-domain ones)")
    parser.add_argument("--method", default="full", choices=("full", "lora"))
    parser.add_argument("--lr", type=float, help="learning rate (default: by method and model size)")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lora-rank", type=int, default=8)
    parser.add_argument("--prompt", type=prompt, default=PROMPTS["qa"], help=_PROMPT)
    parser.add_argument("--max-answer-tokens", type=int, default=16)
    parser.add_argument("--shots", type=shots, default="4", help="examples shown to the base model: 4, or 0,1,4,16; 0 alone: none")
    parser.add_argument("--more-shots", type=numbers, default=(), help="more such numbers, each a base line of its own")
    parser.add_argument("--gpus", type=int, default=1, help="GPUs that train together and share each batch (unverified)")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adamw", help="adamw_8bit needs bitsandbytes and a GPU (unverified)")
    parser.add_argument("--micro-batch", type=int, help="examples on the device at once; a step has --batch of them all the same")
    parser.add_argument("--gradient-checkpointing", action="store_true", help="compute activations twice: less memory, more time")
    parser.add_argument("--eval-every", type=int, help="look at dev facts every so many steps")
    parser.add_argument("--eval-facts", type=int, default=200, help="dev facts that are looked at")
    parser.add_argument("--patience", type=int, help="end after so many looks without an improvement, with the best weights")
    parser.add_argument("--sharding", choices=SHARDINGS, default="ddp", help=SHARDING_HELP)
    parser.add_argument("--no-save-model", action="store_true", help="do not keep the tuned weights")
    parser.add_argument("--test-limit", type=int, help="test facts a relation (default: all of a small source, 100 of a large one)")
    _add_sampling(parser, "--level-method")


def _add_study(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", choices=STUDIES, help="which question: how much data, which level, which model, what moves")
    parser.add_argument("--config", help="a study as YAML; the name and options given beside it go before what it says")
    parser.add_argument("--export", help="write the study as YAML to this file, which must not exist, and run nothing")
    parser.add_argument("--report-only", action="store_true", help="say what is known now and run nothing")
    parser.add_argument("--models", type=names, help="models, with commas (default: the built-in ones)")
    parser.add_argument("--source", help="atlas, entity-questions, or a path (default: atlas)")
    parser.add_argument("--seeds", type=numbers, help="seeds, with commas: 0,1,2")
    parser.add_argument("--sizes", type=sizes, help="numbers of examples, with commas: 0,60,240,all")
    parser.add_argument("--method", choices=("full", "lora"))
    parser.add_argument("--lr", type=float, dest="learning_rate", help="learning rate (default: by method and model size)")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--batch", type=int, dest="batch_size")
    parser.add_argument("--prompt", type=prompt, help=_PROMPT)
    parser.add_argument("--test-limit", type=int, help="test facts a relation")
    parser.add_argument("--gpus", type=int, help="GPUs that train together and share each batch (unverified)")
    parser.add_argument("--optimizer", choices=OPTIMIZERS)
    parser.add_argument("--micro-batch", type=int, help="examples on the device at once; a step has --batch of them all the same")
    parser.add_argument("--gradient-checkpointing", action="store_true", default=None, help="compute activations twice: less memory")
    parser.add_argument("--sharding", choices=SHARDINGS, help=SHARDING_HELP)
    parser.add_argument("--retest-limit", type=int, help="facts a relation that are probed again (default: 40)")
    parser.add_argument("--shots", type=_in_context, help="study amount: examples shown to the untouched model, with commas: 1,4,16")
    parser.add_argument("--device", help=DEVICES)
    _add_scheme(parser)
    parser.add_argument("--quantize", dest="quantization", choices=QUANTIZATIONS, help=QUANTIZE_HELP)


def _in_context(text: str) -> tuple[int, ...]:
    """Numbers of examples that are shown in place of tuning on them; 0 is the untouched model, which is there anyway."""
    return tuple(sorted({*numbers(text)} - {0}))


def probe_settings(options: argparse.Namespace) -> ProbeSettings:
    """`sftqa probe`'s options as a record."""
    return ProbeSettings(
        model=options.model,
        source=options.source,
        split=options.split,
        domain=options.domain,
        limit=options.limit,
        scheme=_scheme(options),
        match=options.match,
        device=options.device,
        batch_size=options.batch,
        gpus=options.gpus,
        quantization=options.quantization,
    )


def trust_scheme(options: argparse.Namespace) -> LevelScheme:
    """The full probe that `sftqa trust` compares with."""
    return _scheme(options, seeded=False)


def train_settings(options: argparse.Namespace) -> TrainSettings:
    """`sftqa train`'s options as a record; `--n all` is TrainSettings.ALL until the pool is known."""
    return TrainSettings(
        model=options.model,
        source=options.source,
        n=options.n,
        levels=options.levels,
        balance=options.balance,
        relations=options.relations,
        method=options.method,
        learning_rate=options.lr,
        epochs=options.epochs,
        batch_size=options.batch,
        lora_rank=options.lora_rank,
        prompt=options.prompt,
        seed=options.seed,
        test_limit=options.test_limit,
        scheme=_scheme(options, seeded=False),
        match=options.match,
        max_answer_tokens=options.max_answer_tokens,
        shots=options.shots[0],
        more_shots=tuple(sorted({*options.shots[1], *options.more_shots} - {0, options.shots[0]})),
        device=options.device,
        gpus=options.gpus,
        sharding=options.sharding,
        optimizer=options.optimizer,
        micro_batch=options.micro_batch,
        gradient_checkpointing=options.gradient_checkpointing,
        eval_every=options.eval_every,
        eval_facts=options.eval_facts,
        patience=options.patience,
        quantization=options.quantization,
        save_model=not options.no_save_model,
    )


def study_settings(options: argparse.Namespace, builtin: Sequence[str]) -> StudySettings:
    """`sftqa study`'s file and options as a record; options go before the file."""
    given = {name: value for name in _STUDY_OPTIONS if (value := getattr(options, name)) is not None}
    if options.config is not None:
        from sftqa_core.workflows import read_study

        start = read_study(Path(options.config))
        if options.name and options.name != start.kind:
            raise SettingsError(f"{options.config} holds a study of kind {start.kind}, and {options.name} was asked for.")
        return replace(start, scheme=_study_scheme(options, start.scheme), **given)
    if not options.name:
        raise SettingsError(f"Name a study ({', '.join(STUDIES)}), or a file with --config.")
    return StudySettings(options.name, **{"models": tuple(builtin), "scheme": _study_scheme(options, LevelScheme()), **given})


def _study_scheme(options: argparse.Namespace, start: LevelScheme) -> LevelScheme:
    """`start`, or what options give in its place."""
    scheme = options.scheme or start
    return scheme if options.cutoffs is None else with_cutoffs(options.cutoffs, scheme)


def _scheme(options: argparse.Namespace, seeded: bool = True) -> LevelScheme:
    """The scheme that --scheme gives, or the paper's, with what the other options say in place of its own."""
    scheme = options.scheme or LevelScheme()
    if options.cutoffs is not None:
        scheme = with_cutoffs(options.cutoffs, scheme)
    drawn = {name: value for name in ("samples", "temperature", "max_new_tokens") if (value := getattr(options, name)) is not None}
    if seeded and options.scheme in (None, *SCHEMES.values()):
        drawn["seed"] = options.seed  # train --seed draws examples; the levels keep the probe's own seed
    told = {"method": getattr(options, "level_method", None), "confidence": options.confidence}
    measured = {name: value for name, value in told.items() if value is not None}
    return replace(scheme, sampling=replace(scheme.sampling, **drawn), **measured)
