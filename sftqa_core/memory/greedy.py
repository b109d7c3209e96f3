"""The most probable continuation, batched: how questions are answered in evaluation (METHOD section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from sftqa_core.errors import ModelUnavailable
from sftqa_core.memory.drawing import decode, halving
from sftqa_core.memory.reading import CachedReader
from sftqa_core.memory.sampling import batches_by_length
from sftqa_core.progress import Phase

if TYPE_CHECKING:
    from sftqa_core.models.loading import LoadedModel

FEWER = "Use a smaller model or fewer test facts, or run on the CPU (device 'cpu')."


@dataclass(frozen=True)
class Answer:
    """One greedy continuation."""

    text: str  # without the end token
    mean_logprob: float  # mean natural log-probability of the tokens, the end token included where it was chosen
    tokens: int  # chosen, the end token included


def greedy(
    loaded: LoadedModel, prompts: Sequence[Sequence[int]], max_new_tokens: int, batch_size: int = 256, phase: Phase | None = None
) -> list[Answer]:
    """Continue each prompt (token ids) with the most probable tokens until an end token or `max_new_tokens`.

    Answers come in the prompts' order and do not depend on the model's generation_config. Prompts of one length share a
    batch, so nothing is padded. `phase` counts finished prompts and lets the person stop between batches. Raises
    `OutOfMemory` when a single prompt has no room, `ModelUnavailable` for logits that are not numbers.
    """
    answers: dict[int, Answer] = {}
    batches = batches_by_length([len(p) for p in prompts], batch_size)
    for batch, found in halving(batches, lambda batch: _continue(loaded, [prompts[i] for i in batch], max_new_tokens), FEWER):
        answers.update(zip(batch, found, strict=True))
        if phase:
            phase.advance(len(batch))
    return [answers[position] for position in range(len(prompts))]


@torch.no_grad()
def _continue(loaded: LoadedModel, prompts: list[Sequence[int]], max_new_tokens: int) -> list[Answer]:
    reader = CachedReader(loaded.model)
    chosen = np.full((len(prompts), max_new_tokens), -1, dtype=np.int64)
    logprob = np.zeros(len(prompts))
    live = np.arange(len(prompts))
    logits = reader.read(np.array(prompts))
    for step in range(max_new_tokens):
        best = logits.max(-1)
        taken = best.values.double() - logits.double().logsumexp(-1)
        if not bool(torch.isfinite(taken).all()):
            raise ModelUnavailable(
                "The model's logits are not numbers (NaN or infinite), so it can't answer. Training may have diverged: "
                "lower the learning rate."
            )
        chosen[live, step] = best.indices.cpu().numpy()
        logprob[live] += taken.cpu().numpy()
        going = np.flatnonzero(~np.isin(chosen[live, step], loaded.end_ids))
        if not len(going) or step == max_new_tokens - 1:
            break
        live = live[going]
        reader.select(going)
        logits = reader.read(chosen[live, step][:, None])
    tokens = (chosen >= 0).sum(1)
    texts = decode(loaded.tokenizer, [_text_ids(row[:n], loaded.end_ids) for row, n in zip(chosen, tokens, strict=True)])
    return [Answer(text, float(total / n), int(n)) for text, total, n in zip(texts, logprob, tokens, strict=True)]


def _text_ids(ids: np.ndarray, ends: tuple[int, ...]) -> list[int]:
    return [int(token) for token in (ids[:-1] if ids[-1] in ends else ids)]
