"""The most probable continuation, batched: how questions are answered in evaluation (METHOD section 2)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sftqa_core.engine import capacity, drawing, packed
from sftqa_core.engine.decoder import Decoder, Load, Read, packs
from sftqa_core.errors import ModelUnavailable
from sftqa_core.models.loading import LoadedModel
from sftqa_core.progress import Phase

FEWER = "Use a smaller model or fewer test facts, or run on the CPU (device 'cpu')."
_OFTEN = 64  # prompts that are worth laying weights out for them
_CELLS = 1 << 18  # logits in hand while their exponentials are added up, which stay in a processor's cache


@dataclass(frozen=True)
class Answer:
    """One greedy continuation."""

    text: str  # without the end token
    mean_logprob: float  # mean natural log-probability of the tokens, the end token included where it was chosen
    tokens: int  # chosen, the end token included


_Item = tuple[int, Sequence[int]]  # position among the prompts, token ids
_Continuation = tuple[int, list[int], float]  # position, tokens chosen, sum of their log-probabilities


def greedy(
    loaded: LoadedModel, prompts: Sequence[Sequence[int]], max_new_tokens: int, batch_size: int | None = None, phase: Phase | None = None
) -> list[Answer]:
    """Continue each prompt (token ids) with the most probable tokens until an end token or `max_new_tokens`.

    Answers come in the prompts' order and do not depend on the model's generation_config. At most `batch_size` prompts are in
    progress together. `phase` counts finished prompts, hears of every pass and lets the person stop after each. Raises `OutOfMemory`
    when a single prompt has no room, `ModelUnavailable` for logits that are not numbers.
    """
    if not prompts:
        return []
    by_position: dict[int, _Continuation] = {}
    items = sorted(enumerate(prompts), key=lambda item: tuple(item[1]))
    watch = (lambda now: phase.within(now.prompts)) if phase else None
    with drawing.naming(loaded):
        done: Iterable[list[_Continuation]]
        if packs(loaded):
            size = batch_size or capacity.at_once(loaded, max(len(ids) for _, ids in items), 1, max_new_tokens)
            model = packed.PackedModel(loaded, often=len(items) >= _OFTEN)
            done = _Greedy(model, Load.of(size, enough=size), max_new_tokens, loaded.end_ids).run(items, watch)
        else:
            alone = drawing.halving([[item] for item in items], lambda batch: [_generated(loaded, batch[0], max_new_tokens)], FEWER)
            done = (continued for _, continued in alone)
        for some in done:
            by_position.update((row[0], row) for row in some)
            if phase:
                phase.advance(len(some))
    rows = [by_position[position] for position in range(len(prompts))]
    texts = drawing.decode(loaded.tokenizer, [ids[:-1] if ids[-1] in loaded.end_ids else ids for _, ids, _ in rows])
    return [Answer(text, total / len(ids), len(ids)) for text, (_, ids, total) in zip(texts, rows, strict=True)]


class _Greedy(Decoder[_Item]):
    """One row a prompt."""

    def __init__(self, model: packed.PackedModel, load: Load, max_new_tokens: int, ends: tuple[int, ...]):
        self.ends = ends
        super().__init__(model, load, max_new_tokens, FEWER)

    def begin(self) -> None:
        """See `Decoder`."""
        super().begin()
        self._total: dict[int, float] = {}  # place -> log-probability of the tokens so far

    def texts(self, item: _Item) -> list[Sequence[int]]:
        """See `Decoder`."""
        return [item[1]]

    def entered(self, items: list[tuple[_Item, np.ndarray]]) -> None:
        """See `Decoder`."""
        self._total.update((int(places[0]), 0.0) for _, places in items)

    def advance(self, reads: list[Read]) -> list[_Continuation]:
        """The next token of every row; returns those that ended."""
        tokens, logprob = np.empty(len(self.place), dtype=np.int64), np.empty(len(self.place))
        for rows, logits in reads:
            tokens[rows], logprob[rows] = most_probable(logits)
        for place, more in zip(self.place.tolist(), logprob.tolist(), strict=True):
            self._total[place] += more
        self.split(np.arange(len(tokens)), tokens)
        over = np.isin(tokens, self.ends) | (self.depth >= self.max_new_tokens)
        ended = [(int(self.place[row]), self.drawn[row, : self.depth[row]].tolist()) for row in np.flatnonzero(over)]
        self.keep(np.flatnonzero(~over))
        answered = [(self.items[place][0], ids, self._total.pop(place)) for place, ids in ended]
        for place, _ in ended:
            self.finish(place)
        return answered


def most_probable(logits: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Of logits [rows, vocabulary] the best token ids and their log-probabilities. Raises `ModelUnavailable` for NaN."""
    logits = drawing.in_reach_of_float64(logits)
    best = logits.max(-1)
    rows = max(1, _CELLS // logits.shape[1]) if logits.device.type == "cpu" else len(logits)
    pieces = zip(logits.split(rows), best.values[:, None].split(rows), strict=True)
    # exponentials in float32, as exact as the logits are, and their sum in float64
    logprob = torch.cat([(some.float() - top.float()).exp_().sum(-1, dtype=torch.float64).log_().neg_() for some, top in pieces])
    if not bool(torch.isfinite(logprob).all()):
        raise ModelUnavailable(
            "The model's logits are not numbers (NaN or infinite), so it can't answer. Training may have diverged: lower the learning rate."
        )
    return best.indices.cpu().numpy(), logprob.cpu().numpy()


def _generated(loaded: LoadedModel, item: _Item, max_new_tokens: int) -> _Continuation:
    """By transformers' `generate`, for models that can't be read in packed form."""
    ids = torch.tensor([list(item[1])], device=loaded.model.device)
    options = {"do_sample": False, "max_new_tokens": max_new_tokens, "eos_token_id": list(loaded.end_ids)}
    with torch.no_grad(), drawing.only_this_generation_config(loaded.model, pad_token_id=loaded.pad_id, **options) as config:
        out = loaded.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config, output_logits=True, return_dict_in_generate=True
        )
    logprob = [most_probable(logits)[1][0] for logits in out.logits]
    return item[0], out.sequences[0, ids.shape[1] :].tolist(), float(sum(logprob))
