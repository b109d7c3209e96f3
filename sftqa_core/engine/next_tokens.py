"""What a model would say after one prompt: its greedy continuation with the likeliest tokens of each step, samples beside it, and how
probable given continuations are.

Greedy continuation and samples are one decoding (they share a row for as long as they agree), and one pass more reads all given
continuations behind the prompt, which it holds once.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np
import torch

from sftqa_core.engine import drawing, packed
from sftqa_core.engine.decoder import Load, Read, packs
from sftqa_core.engine.sampling import Completion, GenerateSampler, Prompt, SampleRows
from sftqa_core.errors import ModelUnavailable, OutOfMemory
from sftqa_core.jsonrecord import digest
from sftqa_core.knowledge.matching import CompiledAnswers
from sftqa_core.models.loading import LoadedModel
from sftqa_core.records import SamplerSettings

HINT = "Choose a smaller model, fewer samples or a shorter text."
_NO_ANSWERS = CompiledAnswers((), ())  # so that nothing but the model ends a text before the limit
_ROWS = 32  # of logits in hand as float64
_LEAST = -1e6  # in place of minus infinity, which JSON does not know
_stops: WeakKeyDictionary[torch.nn.Module, dict[tuple[int, ...], drawing.StopCriteria]] = WeakKeyDictionary()  # by end tokens


@dataclass(frozen=True)
class TokenStep:
    """One step of a greedy continuation."""

    token: int  # that was chosen
    logprob: float  # natural logarithm
    top: tuple[tuple[int, float], ...]  # the likeliest tokens and their log-probabilities, the likeliest first


@dataclass(frozen=True)
class Continued:
    """What follows one prompt."""

    text: str  # greedy, without the end token
    ended: bool  # by an end token; else at the limit
    steps: tuple[TokenStep, ...]  # the end token's included
    samples: tuple[tuple[str, int], ...]  # distinct texts and how often each was drawn, the most frequent first


def continue_prompt(
    loaded: LoadedModel, ids: Sequence[int], sampling: SamplerSettings, top: int, on_step: Callable[[], None] = lambda: None
) -> Continued:
    """The greedy continuation of a prompt (token ids) and `sampling.samples` drawn ones; `top` tokens are told of each step.

    The numbers that draw depend on the ids and `sampling.seed` alone. `on_step` is called once a token and may raise `Stopped`. Raises
    `OutOfMemory`, and `ModelUnavailable` for logits that are not numbers.
    """
    settings = replace(sampling, greedy=True)
    prompt = Prompt(digest(" ".join(map(str, ids))), 0, tuple(ids), _NO_ANSWERS)
    with drawing.naming(loaded), _memory():
        if not packs(loaded):
            return _generated(loaded, prompt, sampling, top, on_step)
        rows = _Continuing(loaded, settings, top, on_step)
        for _ in rows.run([prompt]):
            pass
    return rows.continued()


class _Continuing(SampleRows[Prompt]):
    """One prompt's samples and, as the last of its draws, the greedy continuation, whose steps are kept."""

    def __init__(self, loaded: LoadedModel, settings: SamplerSettings, top: int, on_step: Callable[[], None]):
        self.top, self.on_step, self.ends = top, on_step, loaded.end_ids
        super().__init__(packed.PackedModel(loaded), Load.of(1, enough=settings.draws), settings, _stopping(loaded))

    def begin(self) -> None:
        """See `Decoder`."""
        super().begin()
        self.steps: list[tuple[torch.Tensor, torch.Tensor]] = []  # log-probabilities and tokens of the likeliest
        self.sampled: Counter[str] = Counter()
        self.chosen: tuple[list[int], str] = ([], "")  # the greedy tokens and their text

    def texts(self, item: Prompt) -> list[tuple[int, ...]]:
        """See `Decoder`."""
        return [item.ids]

    def entered(self, items: list[tuple[Prompt, np.ndarray]]) -> None:
        """See `Decoder`."""
        self.take([prompt for prompt, _ in items], np.concatenate([places for _, places in items]), self.settings.draws)

    def advance(self, reads: list[Read]) -> list[Completion]:
        """Nothing comes out until the prompt is through."""
        self.on_step()
        (row,) = self.row_of[self.sample == self.settings.samples] if self.settings.samples in self.sample else (None,)
        for rows, logits in reads:
            if row is not None and len(line := np.flatnonzero(rows == row)):
                self.steps.append(_likeliest(logits[line[0]], self.top))
        self.draw(reads)
        for place in self.items.keys() - set(self.place.tolist()):
            self.finish(place)
        return []

    def stopped(self, row: int, stop: str, text: str, samples: np.ndarray) -> None:
        """See `SampleRows`."""
        if greedy := int((samples == self.settings.samples).sum()):
            self.chosen = (self.drawn[row, : self.depth[row]].tolist(), text)
        if len(samples) > greedy:
            self.sampled[text] += len(samples) - greedy

    def continued(self) -> Continued:
        """What came of it."""
        tokens, text = self.chosen
        return _continued(text, tokens, self.steps, self.sampled, self.ends)


def _stopping(loaded: LoadedModel) -> drawing.StopCriteria:
    """Kept with the model: it takes a look at the whole vocabulary."""
    kept = _stops.setdefault(loaded.model, {})
    if loaded.end_ids not in kept:
        kept[loaded.end_ids] = drawing.StopCriteria.of(loaded)
    return kept[loaded.end_ids]


def _generated(loaded: LoadedModel, prompt: Prompt, sampling: SamplerSettings, top: int, on_step: Callable[[], None]) -> Continued:
    """By transformers' `generate`, for models that can't be read in packed form."""
    on_step()
    ids = torch.tensor([list(prompt.ids)], device=loaded.model.device)
    options = {"do_sample": False, "max_new_tokens": sampling.max_new_tokens, "eos_token_id": list(loaded.end_ids)}
    with torch.no_grad(), drawing.only_this_generation_config(loaded.model, pad_token_id=loaded.pad_id, **options) as config:
        out = loaded.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config, output_logits=True, return_dict_in_generate=True
        )
    tokens = out.sequences[0, ids.shape[1] :].tolist()
    on_step()
    sampled: Counter[str] = Counter()
    for batch in GenerateSampler(loaded, sampling.samples).sample([prompt], sampling):
        sampled.update({row.text: row.count for row in batch})
    (text,) = drawing.decode(loaded.tokenizer, [tokens[:-1] if tokens[-1] in loaded.end_ids else tokens])
    return _continued(text, tokens, [_likeliest(logits[0], top) for logits in out.logits], sampled, loaded.end_ids)


def _continued(
    text: str, tokens: list[int], steps: list[tuple[torch.Tensor, torch.Tensor]], sampled: Counter[str], ends: Sequence[int]
) -> Continued:
    told = []
    for token, (logprob, likeliest) in zip(tokens, steps, strict=True):
        pairs = tuple(zip(likeliest.tolist(), map(_bounded, logprob.tolist()), strict=True))
        told.append(TokenStep(token, dict(pairs).get(token, pairs[0][1]), pairs))
    ordered = sorted(sampled.items(), key=lambda pair: (-pair[1], pair[0]))
    return Continued(text, bool(tokens) and tokens[-1] in ends, tuple(told), tuple(ordered))


def _likeliest(logits: torch.Tensor, top: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of logits [vocabulary] the `top` largest log-probabilities and their tokens: first the token that greedy decoding takes."""
    logits = drawing.in_reach_of_float64(logits)
    scores = logits.double()
    logprob = scores - _finite(scores.logsumexp(-1))
    best = logprob.topk(min(top, len(logprob)))
    first = logits.max(-1).indices  # of equal ones that which is drawn, where topk may take another
    others = best.indices[best.indices != first][: len(best.indices) - 1]
    tokens = torch.cat([first[None], others])
    return logprob[tokens].cpu(), tokens.cpu()


@dataclass(frozen=True)
class Likelihood:
    """How probable a continuation is. Natural logarithms."""

    tokens: tuple[float, ...]  # of each of its tokens, given all before
    end: float  # of any of the model's end tokens right behind it


@torch.no_grad()
def likelihoods(loaded: LoadedModel, ids: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[Likelihood]:
    """Log-probabilities of continuations (token ids, at least one each) of one prompt, in their order.

    Raises `OutOfMemory`, and `ModelUnavailable` for logits that are not numbers.
    """
    if not continuations:
        return []
    texts = sorted({(*ids, *more) for more in continuations})
    with drawing.naming(loaded), _memory():
        read = _read_together(loaded, texts, len(ids)) if packs(loaded) else _read_alone(loaded, texts, len(ids))
        known = dict(zip(texts, read, strict=True))
    return [known[(*ids, *more)] for more in continuations]


def _read_together(loaded: LoadedModel, texts: list[tuple[int, ...]], start: int) -> list[Likelihood]:
    """One pass over all texts; the nodes of their tree at which something is predicted are read off it."""
    tree = packed.PrefixTree.of(texts)
    nodes = [tree.paths[at, start - 1 : length] for at, length in enumerate(tree.lengths)]
    wanted = np.unique(np.concatenate(nodes))
    places = np.arange(len(texts))
    (logits,) = packed.PackedModel(loaded).read([packed.Texts(packed.KeyValues(len(texts)), tree, places, wanted)])
    lines = [torch.from_numpy(np.searchsorted(wanted, path)).to(logits.device) for path in nodes]
    return [_likelihood(logits[line], text[start:], loaded.end_ids) for line, text in zip(lines, texts, strict=True)]


def _read_alone(loaded: LoadedModel, texts: list[tuple[int, ...]], start: int) -> list[Likelihood]:
    """A plain pass a text."""
    told = []
    for text in texts:
        logits = loaded.model(input_ids=torch.tensor([text], device=loaded.model.device)).logits[0, start - 1 :]
        told.append(_likelihood(logits, text[start:], loaded.end_ids))
    return told


def _likelihood(logits: torch.Tensor, tokens: Sequence[int], ends: Sequence[int]) -> Likelihood:
    """Of logits [tokens + 1, vocabulary]: before each token and after the last one."""
    logits = drawing.in_reach_of_float64(logits)
    each: list[float] = []
    for at in range(0, len(tokens), _ROWS):
        some = logits[at : min(at + _ROWS, len(tokens))].double()
        chosen = torch.tensor(list(tokens[at : at + _ROWS]), device=logits.device)
        each += (some.gather(1, chosen[:, None])[:, 0] - _finite(some.logsumexp(-1))).tolist()
    last = logits[len(tokens)].double()
    end = last[list(ends)].logsumexp(-1) - _finite(last.logsumexp(-1))
    return Likelihood(tuple(map(_bounded, each)), _bounded(float(end)))


def _finite(total: torch.Tensor) -> torch.Tensor:
    if not bool(torch.isfinite(total).all()):
        raise ModelUnavailable(
            "The model's logits are not numbers (NaN or infinite), so it can't answer. Training may have diverged: lower the learning rate."
        )
    return total


def _bounded(logprob: float) -> float:
    return max(logprob, _LEAST)


@contextmanager
def _memory() -> Iterator[None]:
    """Says in words that the device is full."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not drawing.is_out_of_memory(error):
            raise
        raise OutOfMemory(f"The device has no room for this question. {HINT}") from error
