"""What every sampler and the greedy decoder share: choosing a token, seeing that a row has stopped, staying in memory."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from transformers import GenerationConfig

from sftqa_core.engine.randomness import GREEDY
from sftqa_core.errors import ModelUnavailable, OutOfMemory
from sftqa_core.knowledge.matching import CompiledAnswers, ExactAnswers
from sftqa_core.models.loading import LoadedModel, Reader, tokenizer_panics

T = TypeVar("T")
_CELLS = (1 << 26, 1 << 18)  # float64 numbers in hand while drawing, on a GPU and on the CPU, where 2 MB stay in its cache
_LARGE, _BLOCK = 8192, 256  # a vocabulary that a processor draws from by blocks, and tokens of each
_BLOCK_CELLS = 1 << 20  # float32 numbers in hand then
# How near to a border, of the total, the sums of blocks in float32 do not decide. They are off by 6e-8 at most where it was measured
# (vocabularies of 49,152 to 262,144, logits of a spread of 1 to 6).
_NEAR = 1e-6
_BELOW_FLOAT64 = (torch.float32, torch.bfloat16, torch.float16)


def draw_tokens(logits: torch.Tensor, temperature: float, uniform: torch.Tensor, top_k: int | None = None) -> torch.Tensor:
    """Tokens by inverse CDF in float64 (METHOD 8.1): logits [rows, vocabulary], uniforms [rows, draws] -> ids [rows, draws].

    Each row's draws are independent. With `top_k` only so many tokens of the largest logits can be drawn: exactly that many, of
    equal ones those that stand first in the vocabulary. The CDF runs in the vocabulary's order. Where `GREEDY` stands for a uniform
    number, the token of the largest logit, the first of equal ones. Raises `ModelUnavailable` when the logits are not numbers.
    """
    logits = in_reach_of_float64(logits)
    on_cpu, words = logits.device.type == "cpu", logits.shape[1]
    by_blocks = on_cpu and top_k is None and words >= _LARGE and logits.dtype in _BELOW_FLOAT64
    at_once = max(1, (_BLOCK_CELLS if by_blocks else _CELLS[on_cpu]) // words)
    pieces = zip(logits.split(at_once), uniform.to(logits.device).split(at_once), strict=True)
    draw = _drawn_by_blocks if by_blocks else _drawn
    return torch.cat([draw(some, temperature, numbers, top_k) for some, numbers in pieces])


def in_reach_of_float64(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor where float64 can be computed: Apple's GPUs have none, so their tensors move to the processor."""
    return tensor.cpu() if tensor.device.type == "mps" else tensor


def _drawn(logits: torch.Tensor, temperature: float, uniform: torch.Tensor, top_k: int | None) -> torch.Tensor:
    scaled = logits.to(torch.float64, copy=True)  # copied, since the steps after it work in place
    chances = scaled.sub_(scaled.amax(-1, keepdim=True)).div_(temperature).exp_()
    if top_k is not None and top_k < logits.shape[1]:
        least = logits.topk(top_k).values[:, -1:]
        above, level = logits > least, logits == least
        among = above | (level & (level.cumsum(-1) <= top_k - above.sum(-1, keepdim=True)))  # of equal ones the first
        chances.mul_(among)  # times 0, so that NaN stays NaN
    cdf = chances.cumsum_(-1)
    total = cdf[:, -1:]
    if not bool(torch.isfinite(total).all()):
        raise ModelUnavailable(
            "The model's logits are not numbers (NaN or infinite), so nothing can be drawn from it. Its weights are damaged, "
            "or overflow in this number format: load it in float32, or get the model again."
        )
    # below the total, or rounding could choose a token of probability 0 at the end of the vocabulary
    target = torch.minimum(uniform * total, torch.nextafter(total, torch.zeros_like(total)))
    drawn = torch.searchsorted(cdf, target.contiguous(), right=True)
    greedy = uniform == GREEDY
    return torch.where(greedy, logits.max(-1, keepdim=True).indices, drawn) if bool(greedy.any()) else drawn


def _drawn_by_blocks(logits: torch.Tensor, temperature: float, uniform: torch.Tensor, top_k: int | None) -> torch.Tensor:
    """The same tokens as `_drawn`, sooner where the vocabulary is large. `top_k` is None.

    The sums of blocks of tokens, in float32, tell in which block a number falls; only that block is added up in float64. Where a
    number falls so near to a border between two tokens that rounding might decide, its whole row is drawn by `_drawn`.
    """
    rows, words = logits.shape
    top = logits.amax(-1, keepdim=True)
    chances = (logits.float() - top.float()).div_(temperature).exp_()
    chances = (torch.nn.functional.pad(chances, (0, -words % _BLOCK)) if words % _BLOCK else chances).view(rows, -1, _BLOCK)
    cdf = torch.nn.functional.pad(chances.sum(-1).double().cumsum(-1), (1, 0))  # [rows, blocks + 1]
    total = cdf[:, -1:]
    if not bool(torch.isfinite(total).all()):
        return _drawn(logits, temperature, uniform, top_k)  # which says why nothing can be drawn
    target = uniform * total
    block = (torch.searchsorted(cdf, target, right=True) - 1).clamp_(0, cdf.shape[1] - 2)
    line = torch.arange(rows)[:, None]
    tokens = (block[..., None] * _BLOCK + torch.arange(_BLOCK)).clamp_max_(words - 1)
    exact = (logits[line[..., None], tokens].double() - top.double()[..., None]).div_(temperature).exp_()
    borders = torch.nn.functional.pad(exact.cumsum_(-1), (1, 0)) + cdf.gather(1, block)[..., None]  # [rows, draws, tokens + 1]
    inside = (torch.searchsorted(borders, target[..., None], right=True) - 1).clamp_(0, _BLOCK - 1)
    below, above = (borders.gather(2, inside + at)[..., 0] for at in (0, 1))
    unsure = (torch.minimum(target - below, above - target) <= _NEAR * total) | (uniform == GREEDY)
    drawn = block * _BLOCK + inside[..., 0]
    again = unsure.any(-1).nonzero()[:, 0]
    if len(again):
        drawn[again] = _drawn(logits[again], temperature, uniform[again], top_k)
    return drawn


class StopCriteria:
    """Says which rows have stopped, and why. Samplers ask it after every token, so they stop alike."""

    def __init__(self, tokenizer: Any, ends: Sequence[int], vocabulary: int):
        self.tokenizer = tokenizer
        self.ends = np.array(ends, dtype=np.int64)
        self._inside = np.zeros(vocabulary, dtype=bool)  # tokens that can't close a word: nothing but ASCII letters and digits
        pieces = decode(tokenizer, [[token] for token in range(min(vocabulary, len(tokenizer)))])
        markers = tokenizer.convert_ids_to_tokens(list(range(len(pieces))))
        for token, (piece, marker) in enumerate(zip(pieces, markers, strict=True)):
            # the raw marker must be plain too: some decoders drop the leading space of a lone piece
            self._inside[token] = all(part and part.isascii() and part.isalnum() for part in (piece, marker))

    @classmethod
    def of(cls, loaded: LoadedModel) -> "StopCriteria":
        """What stops the rows of a loaded model."""
        vocabulary = loaded.model.get_output_embeddings().weight.shape[0]
        return cls(loaded.tokenizer, loaded.end_ids, vocabulary)

    def check(
        self, drawn: np.ndarray, depth: np.ndarray, answers: Sequence[CompiledAnswers | ExactAnswers], max_new_tokens: int
    ) -> dict[int, tuple[str, str]]:
        """row -> (stop, text) of the rows that stopped with their last token: token ids [rows, room], of which `depth` [rows] are drawn."""
        last = drawn[np.arange(len(drawn)), depth - 1]
        ended = np.isin(last, self.ends)
        full = depth >= max_new_tokens
        inside = self._inside[last]
        look = [r for r in range(len(drawn)) if full[r] or ended[r] or not (inside[r] and answers[r].whole_words)]
        texts = decode(self.tokenizer, [drawn[r, : depth[r] - ended[r]].tolist() for r in look])
        stopped: dict[int, tuple[str, str]] = {}
        for r, text in zip(look, texts, strict=True):
            if ended[r]:
                stopped[r] = ("end", text)
            elif answers[r].find(text, closed=False) is not None:
                stopped[r] = ("hit", text)
            elif answers[r].over(text):
                stopped[r] = ("line", text)
            elif full[r]:
                stopped[r] = ("length", text)
        return stopped


def decode(tokenizer: Any, rows: list[list[int]]) -> list[str]:
    """Texts of rows of token ids, spaces left as they are; special tokens vanish."""
    if not rows:
        return []
    with tokenizer_panics():
        if tokenizer.is_fast:  # the same texts, in a third of the time
            return list(tokenizer.backend_tokenizer.decode_batch(rows, skip_special_tokens=True))
        return list(tokenizer.batch_decode(rows, skip_special_tokens=True, clean_up_tokenization_spaces=False))


@contextlib.contextmanager
def naming(loaded: Reader) -> Iterator[None]:
    """Put the model's name in front of its errors: several models may be at work."""
    name = loaded.card.name
    try:
        yield
    except ModelUnavailable as error:
        if name in str(error):
            raise
        raise ModelUnavailable(f"{name}: {error}") from error


@contextlib.contextmanager
def only_this_generation_config(model: Any, **settings: Any) -> Iterator[GenerationConfig]:
    """Put a generation_config of ours in the place of the model's own while `generate` runs (METHOD 8.2).

    Handing one to `generate` is not enough: it fills every value left open from the model's own.
    """
    before = model.generation_config
    config = GenerationConfig(top_k=0, top_p=1.0, temperature=1.0, repetition_penalty=1.0, num_beams=1, use_cache=True, **settings)
    model.generation_config = GenerationConfig()
    try:
        yield config
    finally:
        model.generation_config = before


def halving(batches: Sequence[list[T]], run: Callable[[list[T]], Any], settings_hint: str) -> Iterator[tuple[list[T], Any]]:
    """Run each batch; one that does not fit the memory is cut in two, and later ones are cut to that size from the start.

    Yields (batch, result). Raises `OutOfMemory` with `settings_hint` when a batch of one does not fit.
    """
    limit = max(map(len, batches), default=1)
    waiting = list(reversed(batches))
    while waiting:
        batch = waiting.pop()
        if len(batch) > limit:
            waiting += [batch[limit:], batch[:limit]]
            continue
        results = []
        try:
            results.append(run(batch))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(batch) == 1:
                raise OutOfMemory(f"The device has no room for a batch of one. {settings_hint}") from error
        if results:
            yield batch, results[0]
            continue
        limit = len(batch) // 2
        waiting.append(batch)
        empty_cache()  # outside the handler, which would keep the failed batch's tensors alive


def empty_cache() -> None:
    """Release the GPU memory that torch keeps for later."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that a device's memory was full."""
    text = str(error).lower()
    words = ("not enough memory", "out of memory", "can't allocate memory")
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(word in text for word in words)
