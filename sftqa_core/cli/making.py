"""`sftqa pretrain`: what can be typed, and the settings record it means."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from sftqa_core.cli.values import DEVICES, names
from sftqa_core.errors import SettingsError
from sftqa_core.records import CorpusSettings, PretrainSettings

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
