"""Real checkpoint folders, written by `save_pretrained`: tiny random models of each family with a tokenizer of its kind."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

from sftqa_core.knowledge.relations import builtin_relations, fill
from sftqa_core.models.loading import no_progress_bar
from tests.memory.family_models import FAMILIES
from tests.tiny import END, byte_level_tokenizer

BOS, PAD, UNKNOWN = "<s>", "<pad>", "<unk>"
RELATIONS = ("P17", "P19", "P26")
PLACES = ("Velora", "Tamis")
HOSTILE = {  # what a folder's generation settings may hold, none of which may be in force
    "do_sample": True, "temperature": 9.0, "top_k": 1, "top_p": 0.01, "repetition_penalty": 5.0, "min_new_tokens": 9, "max_length": 3,
    "num_beams": 4, "no_repeat_ngram_size": 1, "forced_eos_token_id": 5, "suppress_tokens": [1, 2, 3], "eos_token_id": 7,
}  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """How one folder is made."""

    family: str  # in tests.memory.family_models: architecture, widths, windows of five tokens
    words: str  # "bytes" (GPT-2's kind), "qwen" (with Qwen's pattern), "metaspace" (SentencePiece's BPE) or "unigram"
    start: bool = True  # the tokenizer puts a beginning token in front
    pad: str | None = PAD  # None: there is none; END: the end token is it
    shard: str | None = None  # at most so large a file each, with an index
    dtype: torch.dtype = torch.float32
    hostile: bool = False  # generation_config.json full of settings
    options: dict[str, Any] = field(default_factory=dict)


CHECKPOINTS = {
    "llama": Checkpoint("llama-grouped-untied", "metaspace", pad=None, shard="60KB"),
    "llama-3": Checkpoint("llama", "bytes", pad=END, dtype=torch.bfloat16, hostile=True),
    "qwen2": Checkpoint("qwen2-window", "qwen", start=False, hostile=True),
    "qwen3": Checkpoint("qwen3", "qwen", start=False, dtype=torch.bfloat16),
    "gpt-neox": Checkpoint("gpt-neox", "bytes", start=False, pad=END),
    "gemma2": Checkpoint("gemma2-softcap", "unigram"),
    "gemma3": Checkpoint("gemma3", "unigram", hostile=True),
    "mistral": Checkpoint("mistral-window", "metaspace", pad=None),
    "phi": Checkpoint("phi", "bytes", start=False, pad=None),
    "phi3": Checkpoint("phi3-window", "metaspace", pad=END),
    "gpt2": Checkpoint("gpt2", "bytes", start=False, pad=END, options={"n_positions": 512}),
}


def write_facts(path: Path) -> str:
    """A dozen facts of three relations in a file; P26 is out of domain. Returns the source's name."""
    lines = ["relation,subject,object,split"]
    for relation in RELATIONS:
        splits = ["dev", "test", "test"] if relation == "P26" else ["train", "train", "train", "test", "test"]
        lines += [f"{relation},{relation.lower()} {split} {n},{PLACES[n % 2]},{split}" for n, split in enumerate(splits)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def write_checkpoint(name: str, folder: Path) -> Path:
    """The checkpoint `name` in a folder of this name; the same weights at every call."""
    made = CHECKPOINTS[name]
    family, target = FAMILIES[made.family], folder / name
    tokenizer = tokenizer_of(made.words, made.start, made.pad)
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    room = {} if made.family == "gpt2" else {"max_position_embeddings": 512}
    options = {**family.options, **room, **ids, **made.options, "vocab_size": len(tokenizer)}
    torch.manual_seed(1)
    model = getattr(transformers, family.model)(getattr(transformers, family.config)(**options)).to(made.dtype)
    with no_progress_bar():
        model.save_pretrained(target, **({"max_shard_size": made.shard} if made.shard else {}))
    tokenizer.save_pretrained(target)
    if made.hostile:
        (target / "generation_config.json").write_text(json.dumps(HOSTILE), encoding="utf-8")
    return target


@cache
def tokenizer_of(words: str, start: bool, pad: str | None) -> PreTrainedTokenizerFast:
    """Some 400 tokens, learned from the statements and questions that are asked."""
    named = {name: token for name, token in (("bos_token", BOS if start else None), ("pad_token", pad)) if token}
    if words in ("bytes", "qwen"):
        tokenizer = byte_level_tokenizer(_texts(), 420, eos_token=END, **named)
        tokenizer.add_special_tokens(named)
        if words == "qwen":  # transformers reads the tokenizer of a Qwen2 model with this pattern, whatever its file says
            split = pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated")
            level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
            tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, level])
    else:
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=_sentence_pieces(words), eos_token=END, unk_token=UNKNOWN, **named)
    if start:
        first = tokenizer.convert_tokens_to_ids(BOS)
        template = processors.TemplateProcessing(single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, first)])
        tokenizer.backend_tokenizer.post_processor = template
    return tokenizer


def _sentence_pieces(words: str) -> Tokenizer:
    """Words begin with a mark, as SentencePiece writes them; a text's first word, too."""
    special: dict[str, Any] = {"special_tokens": [UNKNOWN, BOS, END, PAD], "vocab_size": 420, "show_progress": False}
    if words == "unigram":
        raw, trainer = Tokenizer(models.Unigram()), trainers.UnigramTrainer(unk_token=UNKNOWN, **special)
    else:
        raw, trainer = Tokenizer(models.BPE(unk_token=UNKNOWN)), trainers.BpeTrainer(**special)
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    raw.train_from_iterator(_texts(), trainer)
    return raw


def _texts() -> list[str]:
    """Everything that is asked and answered here, and all letters and signs, so that no text has an unknown token."""
    known = builtin_relations()
    said = [fill(text, subject=f"{name.lower()} test 1") for name in RELATIONS for text in (*known[name].templates, known[name].question)]
    letters = " ".join(map(chr, range(33, 127)))
    return [*said, *(f"Q: {text}\nA: {place}" for text in said for place in PLACES), letters, "\n"]
