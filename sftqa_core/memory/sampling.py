"""What a sampler is: prompts in, counted completions out; and the scripted one that tests use.

The real ones need torch and stand in reference.py ("generate") and shared_prefix.py ("shared"); `make_sampler`
loads them by name. One contract test class runs on all of them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from sftqa_core.errors import SettingsError
from sftqa_core.knowledge.answers import CompiledAnswers
from sftqa_core.knowledge.exact import ExactAnswers
from sftqa_core.memory.randomness import GREEDY, fact_key, uniforms
from sftqa_core.memory.wanted import WantedFact
from sftqa_core.records import SamplerSettings

if TYPE_CHECKING:
    from sftqa_core.models.loading import LoadedModel

SAMPLERS = ("shared", "generate")
T = TypeVar("T")
_ENCODED = 64  # facts whose prompts are encoded together
WINDOW = 6  # batches whose prompts are ordered together


@dataclass(frozen=True)
class Prompt:
    """One prompt of one fact (a filled template, or a question after examples), as token ids."""

    fact_id: str
    template: int
    ids: tuple[int, ...]
    answers: CompiledAnswers | ExactAnswers  # a row stops as soon as they can be told of its text


@dataclass(frozen=True, order=True, slots=True)
class Completion:
    """One distinct outcome of one prompt and how many of its samples ended so."""

    fact_id: str
    template: int  # the prompt's; -1 - template for its greedy completion (see `place_of`)
    text: str  # without the end token
    count: int
    tokens: int  # drawn, the end token included
    stop: str  # "end" (end token), "hit" (an answer stands in the text), "line" (a line ended, where that counts) or "length"


class Sampler(Protocol):
    """Draws `settings.samples` completions of every prompt, and the greedy one where `settings.greedy` asks for it.

    A row stops only at the end token, at a certain hit (of exact answers: at the end of a line), or at `settings.max_new_tokens`
    (METHOD 8.1), and its tokens are drawn by inverse CDF from the counter's uniforms, so that two samplers can be compared row by row.
    """

    def sample(self, prompts: Iterable[Prompt], settings: SamplerSettings) -> Iterator[list[Completion]]:
        """Yield the completions of some whole prompts at a time, each prompt once, the earlier ones not much later than others."""
        ...


def make_sampler(name: str, loaded: LoadedModel, batch_size: int) -> Sampler:
    """The sampler called `name`, about `batch_size` prompts at a time. Raises `SettingsError` for an unknown name.

    A model that can't be read in packed form gets "generate" in place of "shared": both draw the same completions.
    """
    if name not in SAMPLERS:
        raise SettingsError(f"sampler must be one of {', '.join(SAMPLERS)}, got {name!r}.")
    from sftqa_core.memory.fitting import packs

    if name == "shared" and packs(loaded):
        from sftqa_core.memory.shared_prefix import SharedPrefixSampler

        return SharedPrefixSampler(loaded, batch_size)
    from sftqa_core.memory.reference import GenerateSampler

    return GenerateSampler(loaded, batch_size)


def fact_prompts(loaded: LoadedModel, facts: Sequence[WantedFact]) -> Iterator[list[Prompt]]:
    """Each fact's prompts in the templates' order, encoded when they are asked for: the ids of all would fill the memory."""
    from sftqa_core.models.loading import encode_prompts

    for start in range(0, len(facts), _ENCODED):
        some = facts[start : start + _ENCODED]
        ids = iter(encode_prompts(loaded, [text for w in some for text in w.prompts]))
        for w in some:
            yield [Prompt(w.fact_id, template, tuple(next(ids)), w.compiled) for template in range(w.count)]


def place_of(template: int, number: int, settings: SamplerSettings) -> int:
    """What a completion's `template` says of draw `number` of a prompt: the greedy one comes after all samples."""
    return template if number < settings.samples else -1 - template


def prompt_uniforms(prompts: Sequence[Prompt], settings: SamplerSettings) -> np.ndarray:
    """The numbers that draw these prompts' tokens: float64 [prompts, draws, max_new_tokens]; of a greedy completion `GREEDY`."""
    facts = np.array([fact_key(p.fact_id) for p in prompts], dtype=np.uint64)[:, None, None]
    templates = np.array([p.template for p in prompts], dtype=np.uint64)[:, None, None]
    samples = np.arange(settings.samples, dtype=np.uint64)[:, None]
    drawn = uniforms(settings.seed, facts, templates, samples, np.arange(settings.max_new_tokens, dtype=np.uint64))
    return np.pad(drawn, ((0, 0), (0, 1), (0, 0)), constant_values=GREEDY) if settings.greedy else drawn


def windows(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items, `size` at a time: within a window they may be ordered as suits the work, and none waits for the end."""
    source = iter(items)
    while window := list(islice(source, size)):
        yield window


def batches_by_length(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Positions in batches of one length each, so that nothing is padded; long ones first, to meet a full memory early."""
    buckets: dict[int, list[int]] = defaultdict(list)
    for position, length in enumerate(lengths):
        buckets[length].append(position)
    ordered = sorted(buckets.items(), reverse=True)
    return [bucket[start : start + batch_size] for _, bucket in ordered for start in range(0, len(bucket), batch_size)]


class FakeSampler:
    """A sampler without a model: `text_of(prompt, uniform)` writes each sample, and `prompts_seen` counts the work."""

    def __init__(self, text_of: Callable[[Prompt, float], str], batch_size: int = 64):
        self.text_of = text_of
        self.batch_size = batch_size
        self.prompts_seen = 0

    def sample(self, prompts: Iterable[Prompt], settings: SamplerSettings) -> Iterator[list[Completion]]:
        for window in windows(prompts, WINDOW * self.batch_size):
            for batch in batches_by_length([len(p.ids) for p in window], self.batch_size):
                self.prompts_seen += len(batch)
                yield [row for position in batch for row in self._complete(window[position], settings)]

    def _complete(self, prompt: Prompt, settings: SamplerSettings) -> list[Completion]:
        drawn = prompt_uniforms([prompt], settings)[0, :, 0]
        texts = Counter((place_of(prompt.template, at, settings), self.text_of(prompt, float(u))) for at, u in enumerate(drawn))
        return [
            replace(self._row(prompt, text, count, settings.max_new_tokens), template=template) for (template, text), count in texts.items()
        ]

    def _row(self, prompt: Prompt, text: str, count: int, limit: int) -> Completion:
        words = text.split()
        for used in range(1, min(len(words), limit) + 1):
            so_far = " ".join(words[:used])
            if prompt.answers.find(so_far + " ", closed=False):
                return Completion(prompt.fact_id, prompt.template, so_far + " ", count, used, "hit")
        if len(words) < limit:
            return Completion(prompt.fact_id, prompt.template, text, count, len(words) + 1, "end")
        return Completion(prompt.fact_id, prompt.template, " ".join(words[:limit]), count, limit, "length")
