"""Heavy: pre-train a tiny causal language model on a corpus written from facts (METHOD section 6).

    sftqa pretrain atlas-llama

Minutes on two cores. Seeded; stopped at any step it goes on from its checkpoint and ends with the same weights.
"""

from __future__ import annotations

import hashlib
import math
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sftqa_core.artifacts import versions, write_folder
from sftqa_core.errors import SettingsError, Stopped
from sftqa_core.jsonrecord import fingerprint
from sftqa_core.knowledge.corpus import Corpus, corpus_of
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.models.catalogue import EXPOSURES, folder_card
from sftqa_core.models.checkpoint import Checkpoint
from sftqa_core.models.loading import no_progress_bar
from sftqa_core.models.stepping import Place, compiled, step
from sftqa_core.models.tiny import END_ID, build_model, save_tokenizer, train_tokenizer
from sftqa_core.progress import Phase, Reporter, Silent
from sftqa_core.records import ModelCard, PretrainSettings

CHECKPOINT_STEPS = 250
FINAL_RATE_SHARE = 0.03  # the cosine ends here, as a share of the learning rate
TOKENIZER_SAMPLE = 60_000  # documents the tokenizer is trained on
_ENCODED_AT_ONCE = 100_000  # documents; an encoding takes a hundred times the memory of its ids


def pretrain(settings: PretrainSettings, source: FactSource, target: Path, reporter: Reporter | None = None) -> ModelCard:
    """Pre-train as `settings` say on the facts of `source` and put the finished model at `target`.

    The folder holds fp16 safetensors, tokenizer, `exposures.parquet` (what the corpus said of each fact) and a
    manifest. Raises `Stopped` when asked to stop; the same call then goes on from the checkpoint.
    """
    reporter = reporter or Silent()
    preparing = Phase(reporter, "preparing the corpus", 3, "parts")
    corpus = corpus_of(settings, source)
    reporter.log(f"Corpus of {len(corpus.documents):,} documents from {len(corpus.facts):,} facts.")
    preparing.advance(1)
    tokenizer = train_tokenizer(_sample(corpus.documents, settings.seed), settings.vocabulary)
    preparing.advance(1)
    blocks = _blocks(settings, corpus.documents, tokenizer)
    preparing.advance(1)
    place = Place.choose(settings.device, settings.precision)
    digest = hashlib.sha256("\x1e".join(corpus.documents).encode()).hexdigest()[:16]
    work = fingerprint({"settings": settings.to_dict(), "corpus": digest, "place": vars(place), "versions": versions()})
    torch.manual_seed(settings.seed)
    model = build_model(settings, tokenizer.get_vocab_size(), place.attention).to(place.torch)
    checkpoint = Checkpoint.beside(target, work)
    seconds, loss = _train(model, blocks, settings, place, checkpoint, reporter)
    manifest = {
        "kind": "model",
        "settings": settings.to_dict(),
        "source": {"name": source.name, "fingerprint": source.fingerprint},
        "corpus": {"fingerprint": digest, "documents": corpus.counts, "seen_templates": corpus.seen_templates},
        "architecture": model.config.model_type,
        "parameters": model.num_parameters(),
        "training": {
            "tokens": len(blocks) // settings.batch_size * settings.batch_size * settings.sequence_length,
            "steps": len(blocks) // settings.batch_size,
            "seconds": round(seconds, 1),
            "final_loss": round(loss, 4),
            "device": place.device,
            "bfloat16": place.bfloat16,
            "attention": place.attention,
            "threads": torch.get_num_threads(),
        },
    }
    write_folder(target, lambda folder: _save(folder, model, tokenizer, corpus), manifest)
    checkpoint.forget()
    reporter.log(f"{settings.name}: {model.num_parameters():,} parameters, {blocks.size:,} tokens, {seconds:.0f} s.")
    return folder_card(target, settings.name, "pretrained")


def learning_rate(settings: PretrainSettings, step: int, steps: int) -> float:
    """The rate of step `step` of `steps` (from 0): linear warm-up times a cosine that ends at 3%."""
    warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * step / max(1, steps)))
    return settings.learning_rate * warm * (FINAL_RATE_SHARE + (1 - FINAL_RATE_SHARE) * cosine)


def _sample(documents: list[str], seed: int) -> list[str]:
    return documents if len(documents) <= TOKENIZER_SAMPLE else random.Random(f"tokenizer {seed}").sample(documents, TOKENIZER_SAMPLE)


def _blocks(settings: PretrainSettings, documents: list[str], tokenizer: Any) -> np.ndarray:
    """Token ids [blocks, sequence_length]: each epoch's documents in an order of their own, packed without gaps."""
    encoded = [
        np.array(encoding.ids, dtype=np.int32)
        for start in range(0, len(documents), _ENCODED_AT_ONCE)
        for encoding in tokenizer.encode_batch(documents[start : start + _ENCODED_AT_ONCE])
    ]
    order = random.Random(f"order {settings.seed}")
    parts = []
    for _ in range(settings.epochs):
        order.shuffle(encoded)
        stream = np.concatenate([*encoded, np.array([END_ID], dtype=np.int32)])
        parts.append(stream[: len(stream) // settings.sequence_length * settings.sequence_length])
    blocks = np.concatenate(parts).reshape(-1, settings.sequence_length)
    if len(blocks) < settings.batch_size:
        raise SettingsError(
            f"The corpus fills {len(blocks)} sequences of {settings.sequence_length} tokens, one batch needs {settings.batch_size}. "
            "Use more facts or exposures, or a smaller batch_size."
        )
    return blocks


def _train(
    model: Any, blocks: np.ndarray, settings: PretrainSettings, place: Place, checkpoint: Checkpoint, reporter: Reporter
) -> tuple[float, float]:
    """Run all steps. Returns seconds spent (with those before a stop) and the last steps' mean loss."""
    steps = len(blocks) // settings.batch_size
    optimizers = build_optimizers(model, settings)
    first, before_s = checkpoint.restore(model, optimizers)
    started = time.monotonic()
    phase = Phase(reporter, "pre-training", steps, "steps", done=first, started_s=started - before_s)
    recent: list[float] = []
    model.train()
    with compiled(model, settings.compile) as called:
        for at in range(first, steps):
            batch = torch.from_numpy(blocks[at * settings.batch_size : (at + 1) * settings.batch_size]).long().to(place.torch)
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(settings, at, steps)
            recent = [*recent[-49:], step(called, optimizers, batch, place, settings.accumulate)]
            spent = before_s + time.monotonic() - started
            if (at + 1) % CHECKPOINT_STEPS == 0 and at + 1 < steps:
                checkpoint.save(at + 1, spent, model, optimizers)
            try:
                phase.advance(1, loss=sum(recent) / len(recent))
            except Stopped:
                checkpoint.save(at + 1, spent, model, optimizers)
                raise
    return before_s + time.monotonic() - started, sum(recent) / max(1, len(recent))


def build_optimizers(model: Any, settings: PretrainSettings) -> list[torch.optim.Optimizer]:
    """AdamW; with `optimizer` "muon" only for embeddings and norms, and Muon for the layers' matrices.

    Muon remembers rare facts from far fewer mentions. Its rate is scaled to AdamW's, so one learning rate serves both.
    """
    layers = [p for name, p in model.named_parameters() if settings.optimizer == "muon" and p.ndim == 2 and "embed" not in name]
    taken = {id(p) for p in layers}
    others = [p for p in model.parameters() if id(p) not in taken]
    decay = settings.weight_decay
    found: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(others, lr=settings.learning_rate, betas=(0.9, 0.95), weight_decay=decay, fused=True)
    ]
    if layers:
        found.append(torch.optim.Muon(layers, lr=settings.learning_rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))
    return found


def _save(folder: Path, model: Any, tokenizer: Any, corpus: Corpus) -> None:
    with no_progress_bar():
        model.half().save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    corpus.facts.to_parquet(folder / EXPOSURES, index=False)
