"""Settings at their defaults and with each field changed: what test_golden_keys.py makes keys of."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

from sftqa_core.jsonrecord import Record
from sftqa_core.models.catalogue import ModelFingerprint
from sftqa_core.records import (
    PROMPTS,
    SLICK,
    CorpusSettings,
    FetchSettings,
    LevelScheme,
    PretrainSettings,
    ProbeSettings,
    PromptFormat,
    Resources,
    RunSummary,
    SamplerSettings,
    StudySettings,
    TrainSettings,
    with_cutoffs,
)
from sftqa_core.records.recipes import Continue, Federated, Keep, Llm2Llm, OffTask, Preprocess, Repeat, Restore, SelfGuide, SftMix

MODEL = ModelFingerprint("0123456789abcdef", None, "float32", "cpu")
DEFAULTS = "defaults"
FEW_SHOT: dict[str, Any] = {field.name: getattr(SLICK, field.name) for field in dataclasses.fields(SLICK)}
OWN_PROMPT = PromptFormat("own", "Ask: {question}\nSay:")
NF4: dict[str, Any] = {"quantization": "nf4", "method": "lora"}

# A record at its defaults, and every field of it changed: to a value, or with what it can't be changed without. More than one change of
# a field has a word behind a colon.
_FROM = {"base": "atlas-llama", "hidden_size": 192, "layers": 4, "intermediate_size": 512, "vocabulary": 3_000}  # sizes are the base's

VARIED: dict[str, tuple[Record, dict[str, Any]]] = {
    "SamplerSettings": (
        SamplerSettings(),
        {
            "samples": 5, "temperature": 1.0, "max_new_tokens": 8, "seed": 1, "sampler": "generate", "top_k": 5, "greedy": True,
        },
    ),
    "LevelScheme": (
        LevelScheme(),
        {
            "name": "other",
            "labels": ("A", "B", "C", "D", "E"),
            "cutoffs": (0.0, 0.2, 0.4, 0.6),
            "prompts": FEW_SHOT,
            "sampling": SamplerSettings(seed=1),
            "method": "adaptive",
            "method: likelihood": "likelihood",
            "confidence": 0.9,
            "contexts": 3,
            "contexts: few-shot": FEW_SHOT | {"contexts": 3},
            "shots": 2,
            "shots: few-shot": FEW_SHOT | {"shots": 2},
        },
    ),
    "ProbeSettings": (
        ProbeSettings("m"),
        {
            "model": "other", "source": "facts.csv", "split": "all", "domain": "in", "limit": 100, "scheme": SLICK, "match": "substring",
            "device": "cpu", "batch_size": 4, "facts_seed": 1, "gpus": 2, "quantization": "nf4", "number_format": "bfloat16",
        },
    ),
    "PromptFormat": (
        PromptFormat(),
        {
            "name": "other", "prompt": "Ask: {question}", "answer": "\n{answer}",
            "chat": {"chat": True, "prompt": "{question}", "answer": "{answer}"},
        },
    ),
    "TrainSettings": (
        TrainSettings("m"),
        {
            "model": "other",
            "source": "facts.csv",
            "n": 120,
            "n: all": -1,
            "n: none": 0,
            "levels": (1, 2),
            "balance": "level",
            "balance: matched": "matched",
            "relations": ("P17", "P19"),
            "method": "lora",
            "learning_rate": 1e-3,
            "epochs": 2,
            "batch_size": 4,
            "lora_rank": 16,
            "lora_rank: lora": {"lora_rank": 16, "method": "lora"},
            "prompt": OWN_PROMPT,
            "prompt: plain": PROMPTS["plain"],
            "prompt: chat": PROMPTS["chat"],
            "prompt: answer": PromptFormat("own", answer=" It is {answer}."),
            "seed": 1,
            "test_limit": 10,
            "scheme": SLICK,
            "scheme: levels": {"scheme": SLICK, "levels": (1, 2)},
            "scheme: samples": LevelScheme(sampling=SamplerSettings(samples=5, temperature=1.0, max_new_tokens=8)),
            "scheme: cut-offs": with_cutoffs((0.0, 0.3, 0.6)),
            "scheme: adaptive": LevelScheme(method="adaptive"),
            "match": "substring",
            "max_answer_tokens": 8,
            "shots": 2,
            "device": "cpu",
            "save_model": False,
            "more_shots": (8, 16),
            "gpus": 2,
            "sharding": "fsdp",
            "sharding: of 2": {"sharding": "fsdp", "gpus": 2},
            "optimizer": "adafactor",
            "micro_batch": 2,
            "gradient_checkpointing": True,
            "eval_every": 5,
            "eval_facts": 50,
            "patience": {"patience": 3, "eval_every": 5},
            "time_limit_min": 5,
            "quantization": NF4,
            "dropout": 0.1,
            "dropout_from": 0.5,
            "dropout_from: dropout": {"dropout": 0.1, "dropout_from": 0.5},
            "lora_dropout": 0.1,
            "lora_dropout: lora": {"lora_dropout": 0.1, "method": "lora"},
            "lora_dropout_from": 0.5,
            "lora_dropout_from: lora": {"lora_dropout": 0.1, "lora_dropout_from": 0.5, "method": "lora"},
            "recipe": Repeat(),
            "recipe: repeat": Repeat(passes=4, dropout=0.1),
            "recipe: sftmix": SftMix(),
            "recipe: sftmix, mu": SftMix(mu=0.5),
            "recipe: keep": Keep(),
            "recipe: keep, part": Keep(part="ffn", unknown="refusal"),
            "recipe: self-guide": SelfGuide(draws=4, labels="gold"),
            "recipe: off-task": OffTask(share=0.5, kind="code", counted="tokens"),
            "recipe: restore": Restore(share=0.2, ranked="random", draw=1),
            "recipe: federated": {"recipe": Federated(), "method": "lora"},
            "recipe: federated, fedex": {"recipe": Federated(aggregation="fedex", partition="iid", clients=5, rounds=2), "method": "lora"},
            "recipe: llm2llm": Llm2Llm(),
            "recipe: llm2llm, random": Llm2Llm(teacher="fact", additions="random", rounds=3),
            "recipe: continue": Continue(),
            "recipe: continue, swapped": Continue(order="questions", replay=0.1),
            "recipe: preprocess": Preprocess(corrupted=0.4, treatment="dropped", flagged_by="yes-no"),
        },
    ),
    "StudySettings": (
        StudySettings("amount", ("m",)),
        {
            "kind": "level", "kind: models": "models", "kind: shift": "shift", "models": ("m", "n"), "source": "facts.csv",
            "seeds": (0, 1), "sizes": (0, 60, -1), "method": "lora", "learning_rate": 1e-3, "epochs": 2, "batch_size": 4, "lora_rank": 16,
            "prompt": OWN_PROMPT, "prompt: plain": PROMPTS["plain"], "scheme": SLICK, "match": "substring", "max_answer_tokens": 8,
            "test_limit": 10, "retest_limit": 20, "device": "cpu", "shots": (4, 16), "gpus": 2, "sharding": "fsdp",
            "optimizer": "adafactor", "micro_batch": 2, "gradient_checkpointing": True, "quantization": NF4,
            "recipe": {"kind": "recipe", "recipe": Repeat()},
            "tried": {"kind": "recipe", "recipe": Repeat(), "tried": ("1", "8")},
        },
    ),
    "CorpusSettings": (
        CorpusSettings(),
        {
            "seed": 1, "seen_templates": 7, "worn_share": 0.1, "qa_documents": 30, "qa_list_share": 0.5, "qa_answered_share": 0.5,
            "filler_documents": 30, "exposure_scale": 0.5, "redealt_share": 0.5, "contested_kept": 0.5, "unstated_share": 0.5,
            "contested_share": 0.5,
        },
    ),
    "PretrainSettings": (
        PretrainSettings("m"),
        {
            "name": "other", "source": "facts.csv", "architecture": "qwen2", "hidden_size": 96, "layers": 2, "heads": 2,
            "key_value_heads": 2, "intermediate_size": 256, "vocabulary": 400, "sequence_length": 32, "batch_size": 2,
            "optimizer": "adamw", "learning_rate": 1e-3, "warmup_steps": 10, "weight_decay": 0.1, "epochs": 2, "seed": 1,
            "corpus": CorpusSettings(seed=1), "max_exposures": 40, "min_exposures": 2, "limit": 40, "relations": ("P17",), "device": "cpu",
            "precision": "float32", "compile": True, "accumulate": 2, "base": _FROM, "base_levels": _FROM | {"base_levels": ("L0",)},
        },
    ),
    "FetchSettings": (FetchSettings("owner/name"), {"model": "owner/other@main"}),
    "Resources": (Resources(), {"gpus": 1, "gpu": {"gpus": 1, "gpu": "1"}, "cluster": "192.0.2.7:6379"}),
    "ModelFingerprint": (
        MODEL, {"weights": "fedcba9876543210", "adapter": "0" * 16, "dtype": "nf4", "device": "cuda", "template": "1" * 16, "beginning": 2},
    ),
    "RunSummary": (
        RunSummary("r", 60, {}, {}, {}, {}),
        {
            "run": "other", "n": 10, "before": {"before": {"in": {}}}, "after": {"after": {"in": {}}},
            "baselines": {"baselines": {"majority": {}}}, "seconds": {"seconds": {"train": 1.0}},
            "without_echo": {"without_echo": {"after": {}}}, "shown": {"shown": {"few_shot_16": 12.5}},
        },
    ),
}  # fmt: skip


def varied(name: str, base: Record | None = None) -> dict[str, Any]:
    """The record at its defaults, or `base`, and with each field changed, by the field's name."""
    plain = base or VARIED[name][0]
    changes = {label: change if isinstance(change, dict) else {field_of(label): change} for label, change in VARIED[name][1].items()}
    return {DEFAULTS: plain} | {label: replace(plain, **change) for label, change in changes.items()}  # type: ignore[type-var]


def field_of(label: str) -> str:
    """The field that a change is of."""
    return label.partition(":")[0]
