"""How large a pre-training is, before it starts: what its corpus will hold, how many steps it takes, what it needs. Never loads torch."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sftqa_core.artifacts import Kept, finished, read_manifest
from sftqa_core.errors import FactsError, NotEnoughFacts, SftqaError
from sftqa_core.evaluation.intervals import LEAST
from sftqa_core.jsonrecord import declared, fingerprint
from sftqa_core.knowledge import corpus
from sftqa_core.knowledge.facts import UNUSED, FactSource
from sftqa_core.knowledge.sources import open_source
from sftqa_core.models import devices, footprint
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.footprint import Shape, TuningStep
from sftqa_core.planning.fit import PROCESS_BYTES, Fit, model_shape
from sftqa_core.records import PretrainSettings, TrainSettings
from sftqa_core.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

BYTES_A_TOKEN = 3.9  # of a corpus, by a tokenizer of 3,000 entries trained on it: the built-in world's 3.9, EntityQuestions' 3.7, of a
# few made-up names 4.4; more entries hold longer pieces, so a larger model's text is shorter than told
DOCUMENT_S = (2e-5, 1e-4)  # writing, tokenizing and packing one document: 75 s for 2.4 million on two cores
DOCUMENT_BYTES = 700  # of RAM: a document's text and its token ids
ENOUGH_S = 20  # a shorter pre-training says little of how fast this machine is
FEW_STEPS = 300
_SAMPLE = 400  # facts and questions whose text is written to see how long documents are
_FILES_BYTES = 1_000_000  # tokenizer, exposures, manifest
_kept: Kept[PretrainingSize] = Kept(32)


@dataclass(frozen=True)
class PretrainingSize:
    """What a corpus will hold, counted but for the tokens, which are estimated."""

    facts: int = 0  # that the corpus is written from
    relations: int = 0
    unstated: int = 0  # of them never stated
    carriers: int = 0  # of them stated in question form, and so left out of tuning and testing
    train: int = 0  # left for tuning: in-domain
    dev: int = 0
    test: int = 0
    statements: int = 0
    documents: int = 0  # with questions and filler
    tokens: int = 0  # about, over all epochs
    steps: int = 0
    parameters: int = 0
    written_bytes: int = 0  # of the finished model
    problems: tuple[str, ...] = ()  # why no corpus can be written of these facts
    notes: tuple[str, ...] = ()  # why the result may say little


def pretraining_size(settings: PretrainSettings, source: FactSource) -> PretrainingSize:
    """Counts every mention; of the texts a sample is written. Kept: a page asks at every click."""
    key = (fingerprint(replace(settings, name="size", device="auto").to_dict()), source.name, source.fingerprint)
    return _kept.get(key, lambda: _counted(settings, source))


def _counted(settings: PretrainSettings, source: FactSource) -> PretrainingSize:
    try:
        facts = corpus.stated(settings, corpus.pick_corpus_facts(source.facts, settings.relations, settings.limit))
        length = _mean_bytes(settings, facts, source)
    except (FactsError, NotEnoughFacts) as error:
        return PretrainingSize(problems=(str(error),))
    own, statements = settings.corpus, int(facts["exposures"].sum())
    documents = statements + own.qa_documents + own.filler_documents
    tokens = round(documents * (length / BYTES_A_TOKEN + 1)) * settings.epochs
    split, domain = facts["split"].where(~facts["carrier"], UNUSED), facts["domain"]
    if settings.base is not None:  # it may know facts that this text does not state: all of them can be tuned on and asked
        whole = open_source(settings.source).facts
        split, domain = whole["split"].where(~whole["fact_id"].isin(facts.loc[facts["carrier"], "fact_id"]), UNUSED), whole["domain"]
    train = int(((split == "train") & (domain == "in")).sum())
    dev, test = (int((split == name).sum()) for name in ("dev", "test"))
    steps, weights = tokens // (settings.sequence_length * settings.batch_size), parameters(settings)
    number = 2 if settings.base is None else 4  # bytes (models/pretraining.py)
    return PretrainingSize(
        facts=len(facts),
        relations=facts["relation"].nunique(),
        unstated=int((facts["exposures"] == 0).sum()),
        carriers=int(facts["carrier"].sum()),
        train=train,
        dev=dev,
        test=test,
        statements=statements,
        documents=documents,
        tokens=tokens,
        steps=steps,
        parameters=weights,
        written_bytes=number * weights + _FILES_BYTES,
        problems=() if steps else ("The corpus would not fill one batch. Use more facts, more mentions, or a smaller batch size.",),
        notes=tuple(_notes(train, test, FEW_STEPS if settings.base else steps)),
    )


def _mean_bytes(settings: PretrainSettings, facts: pd.DataFrame, source: FactSource) -> float:
    """Bytes of a document on average, of each kind as many as there will be. Raises what writing the corpus does."""
    own, count = settings.corpus, len(facts)
    few = facts if count <= _SAMPLE else facts.loc[sorted(random.Random(0).sample(range(count), _SAMPLE))]
    some = facts[facts["carrier"]].head(_SAMPLE) if own.qa_documents else facts.head(0)
    kinds = {
        "statements": (few, replace(own, qa_documents=0, filler_documents=0), int(facts["exposures"].sum())),
        "questions": (some.assign(exposures=0), replace(own, qa_documents=_SAMPLE, filler_documents=0), own.qa_documents),
        "filler": (few.assign(exposures=0), replace(own, qa_documents=0, filler_documents=_SAMPLE), own.filler_documents),
    }
    corpus.refuse_bare_pairs(facts, source.relations)
    size = total = 0.0
    for rows, wanted, times in kinds.values():
        if times:
            texts = corpus.write_corpus(rows, source.relations, wanted).documents
            size, total = size + times * sum(len(text.encode()) for text in texts) / max(len(texts), 1), total + times
    return size / max(total, 1)


def _notes(train: int, test: int, steps: int) -> Iterator[str]:
    usual = declared(TrainSettings)["n"].default
    if test < LEAST:
        yield f"With {test:,} test facts nothing can be told: at least {LEAST} are needed. Give it more facts."
    if train < usual:
        yield f"Only {train:,} in-domain train facts are left to tune on, fewer than the {usual} examples of a usual run."
    if steps < FEW_STEPS:
        yield f"About {steps:,} steps are few: below {FEW_STEPS} a model learns little. Read the corpus several times (--epochs)."


def parameters(settings: PretrainSettings) -> int:
    """Of the model, with tied embeddings; a tokenizer that finds fewer words makes it a little smaller. 0 where it goes on from a model
    of unknown size. Raises `ModelUnavailable` where that model is not there."""
    if settings.base is not None:
        return find_model(settings.base).parameters or 0
    hidden, inner, heads = settings.hidden_size, settings.intermediate_size, settings.heads
    keys = hidden // heads * (settings.key_value_heads or heads)
    embeddings = settings.vocabulary * hidden
    if settings.architecture == "gpt_neox":  # biases everywhere, two matrices in the feed-forward layer, norms with two vectors
        return embeddings + 2 * hidden + settings.layers * (4 * hidden * hidden + 2 * hidden * inner + inner + 9 * hidden)
    biases = hidden + 2 * keys if settings.architecture == "qwen2" else 0
    return embeddings + hidden + settings.layers * (2 * hidden * (hidden + keys) + biases + 3 * hidden * inner + 2 * hidden)


def shape(settings: PretrainSettings) -> Shape | None:
    """Widths of the model, which its footprint is computed from; None where it goes on from a model whose widths are not known."""
    if settings.base is not None:
        return model_shape(find_model(settings.base))
    neox = settings.architecture == "gpt_neox"
    config: dict[str, Any] = {
        "model_type": settings.architecture, "hidden_size": settings.hidden_size, "num_hidden_layers": settings.layers,
        "num_attention_heads": settings.heads, "num_key_value_heads": settings.key_value_heads or settings.heads,
        "intermediate_size": settings.intermediate_size, "vocab_size": settings.vocabulary,
        **({"use_parallel_residual": True} if neox else {"rms_norm_eps": 1e-6}),
    }  # fmt: skip
    return Shape.of(config, parameters(settings))


def pretraining_fit(settings: PretrainSettings, size: PretrainingSize, batch_size: int) -> Fit:
    """The footprint of a step, with the corpus beside it, and what the device has, for settings of which `shape` knows the widths.
    `batch_size`: sequences on the device at once."""
    setting = devices.chosen_device(settings.device)
    device = devices.numbered(setting)[0]
    widths = shape(settings)
    assert widths is not None
    used = footprint.tuning(widths, device, TuningStep("full", 0, batch_size, settings.sequence_length))
    texts = size.documents * DOCUMENT_BYTES + 8 * size.tokens  # the ids of all epochs, and a copy while they are joined
    beside = PROCESS_BYTES[device] + (texts if device not in devices.SEPARATE else 0) - footprint.weight_bytes(widths, device)
    ram = devices.device_ram(setting)
    free, total = (ram.free, ram.total) if ram else (None, None)
    return Fit(device, used.total + beside, used.least + beside, free, total, parts=used)


def measured_flops(device: str) -> tuple[float, str] | None:
    """Operations a second of the fastest pre-training that was done here on such a device, and of which model; None where none was."""
    known = []
    for name, folder in finished([Workspace.current().models]).items():
        with contextlib.suppress(SftqaError, KeyError, TypeError, ValueError):  # a damaged model says nothing
            manifest = read_manifest(folder)
            told = manifest["training"]
            if told["device"] == device and float(told["seconds"]) >= ENOUGH_S:
                known.append((6.0 * manifest["parameters"] * told["tokens"] / told["seconds"], name))
    return max(known, default=None)
