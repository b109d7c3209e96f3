"""How well a model still predicts text of the kind it was pre-trained on: forgetting beyond question answering."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sftqa_core.engine.sampling import batches_by_length
from sftqa_core.models.loading import LoadedModel, encode_prompts

BATCH = 64  # documents


@dataclass(frozen=True)
class Perplexity:
    """How a model predicts documents, one by one."""

    nats: np.ndarray  # negative log-probability of each document, its end token included: float64 [documents]
    tokens: np.ndarray  # predicted in each: int64 [documents]

    @property
    def value(self) -> float:
        """exp of the mean a token; infinite for a model that has diverged, NaN without text."""
        if not self.tokens.sum():
            return float("nan")
        mean = float(self.nats.sum() / self.tokens.sum())
        return math.exp(mean) if mean < 700 else math.inf

    def log_ratio(self, before: "Perplexity") -> tuple[float, float]:
        """ln(perplexity / the one before) of the same documents, and its standard error over documents (a ratio estimate)."""
        change = self.nats - before.nats
        value = float(change.sum() / self.tokens.sum())
        spread = change - value * self.tokens
        return value, float(np.sqrt(len(spread) / max(1, len(spread) - 1) * (spread**2).sum()) / self.tokens.sum())


def perplexity_of(loaded: LoadedModel, documents: Sequence[str]) -> Perplexity:
    """Each document by itself, as in pre-training: the model's start, the text, its end."""
    rows = [[*ids, loaded.end_ids[0]] for ids in encode_prompts(loaded, [text for text in documents if text])]
    nats, tokens = np.zeros(len(rows)), np.array([len(row) - 1 for row in rows], dtype=np.int64)
    for batch in batches_by_length([len(row) for row in rows], BATCH):
        ids = torch.tensor([rows[place] for place in batch], device=loaded.model.device)
        with torch.no_grad():
            logits = loaded.model(input_ids=ids, use_cache=False).logits[:, :-1].float()
        each = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
        nats[batch] = each.cpu().double().sum(1).numpy()
    return Perplexity(nats, tokens)
