"""Samplers: prompts in, counted completions out. One contract test class runs on all three.

"shared" (`SharedPrefixSampler`), for everyday use: samples of a prompt that have drawn the same tokens so far share one row.
Exact, not an approximation (METHOD 8.1): each sample draws with its own uniform from the shared row's distribution, and
a row splits where its samples differ. What prompts begin with in common is read once, a row that has stopped leaves, and
new prompts enter in its place.

"generate" (`GenerateSampler`), the reference: transformers' `generate`, every choice of a token taken from it (METHOD 8.1, 8.2).

`FakeSampler` follows a script, for tests.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from sftqa_core.engine import drawing, packed, products, randomness, wanted_facts
from sftqa_core.engine.decoder import Decoder, Load, Read, T, UnderWay, Watch, packs
from sftqa_core.errors import SettingsError
from sftqa_core.knowledge.matching import CompiledAnswers, ExactAnswers
from sftqa_core.models.loading import LoadedModel, Reader, encode_prompts
from sftqa_core.records import SamplerSettings

SAMPLERS = ("shared", "generate")
_ENCODED = 64  # facts whose prompts are encoded together
_UNUSED = 0.5  # in place of a number that nothing is drawn with: any but 0, which lies on a border (drawing.py)
WINDOW = 6  # batches whose prompts are ordered together


@dataclass(frozen=True)
class Prompt:
    """One prompt of one fact (a filled template, or a question after examples), as token ids."""

    fact_id: str
    template: int
    ids: tuple[int, ...]
    answers: CompiledAnswers | ExactAnswers  # a row stops as soon as they can be told of its text
    text: str = ""  # what the ids were made of; a server whose tokenizer is not known is sent it, and `ids` are empty


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


def make_sampler(name: str, loaded: LoadedModel, batch_size: int, watch: Watch | None = None) -> Sampler:
    """The sampler called `name`, about `batch_size` prompts at a time. Raises `SettingsError` for an unknown name.

    `watch` hears after every forward pass how far the prompts in progress are: the first of them may take minutes.

    A model that can't be read in packed form gets "generate" in place of "shared": both draw the same completions.
    """
    if name not in SAMPLERS:
        raise SettingsError(f"sampler must be one of {', '.join(SAMPLERS)}, got {name!r}.")
    return (SharedPrefixSampler if name == "shared" and packs(loaded) else GenerateSampler)(loaded, batch_size, watch)


def fact_prompts(loaded: Reader, facts: Sequence[wanted_facts.WantedFact]) -> Iterator[list[Prompt]]:
    """Each fact's prompts in the templates' order, encoded when they are asked for: the ids of all would fill the memory."""
    for start in range(0, len(facts), _ENCODED):
        some = facts[start : start + _ENCODED]
        texts = [text for w in some for text in w.prompts]
        read = zip(encode_prompts(loaded, texts), texts, strict=True)
        for w in some:
            numbered = zip(range(w.count), islice(read, w.count), strict=True)
            yield [Prompt(w.fact_id, template, tuple(ids), w.compiled, text) for template, (ids, text) in numbered]


def place_of(template: int, number: int, settings: SamplerSettings) -> int:
    """What a completion's `template` says of draw `number` of a prompt: the greedy one comes after all samples."""
    return template if number < settings.samples else -1 - template


def prompt_uniforms(prompts: Sequence[Prompt], settings: SamplerSettings) -> np.ndarray:
    """The numbers that draw these prompts' tokens: float64 [prompts, draws, max_new_tokens]; of a greedy completion `GREEDY`."""
    facts = randomness.keys_of([p.fact_id for p in prompts])[:, None, None]
    templates = np.array([p.template for p in prompts], dtype=np.uint64)[:, None, None]
    samples = np.arange(settings.samples, dtype=np.uint64)[:, None]
    drawn = randomness.uniforms(settings.seed, facts, templates, samples, np.arange(settings.max_new_tokens, dtype=np.uint64))
    return np.pad(drawn, ((0, 0), (0, 1), (0, 0)), constant_values=randomness.GREEDY) if settings.greedy else drawn


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
                rows = []
                for prompt in (window[position] for position in batch):
                    drawn = prompt_uniforms([prompt], settings)[0, :, 0]
                    texts = Counter((place_of(prompt.template, at, settings), self.text_of(prompt, float(u))) for at, u in enumerate(drawn))
                    rows += [self._row(prompt, *drawn_as, count, settings.max_new_tokens) for drawn_as, count in texts.items()]
                yield rows

    def _row(self, prompt: Prompt, template: int, text: str, count: int, limit: int) -> Completion:
        words = text.split()
        for used in range(1, min(len(words), limit) + 1):
            so_far = " ".join(words[:used])
            if prompt.answers.find(so_far + " ", closed=False):
                return Completion(prompt.fact_id, template, so_far + " ", count, used, "hit")
        if len(words) < limit:
            return Completion(prompt.fact_id, template, text, count, len(words) + 1, "end")
        return Completion(prompt.fact_id, template, " ".join(words[:limit]), count, limit, "length")


FEWER = "Use a smaller model, fewer samples or fewer new tokens, or run on the CPU (device 'cpu')."


class GenerateSampler:
    """Plain `generate` with one row a sample: slow, and what every faster sampler is compared with."""

    def __init__(self, loaded: LoadedModel, batch_size: int = 64, watch: Watch | None = None):
        self.loaded, self.batch_size, self.watch = loaded, batch_size, watch
        self.stopping = drawing.StopCriteria.of(loaded)

    def sample(self, prompts: Iterable[Prompt], settings: SamplerSettings) -> Iterator[list[Completion]]:
        for window in windows(prompts, WINDOW * self.batch_size):
            batches = batches_by_length([len(p.ids) for p in window], self.batch_size)
            for _, rows in drawing.halving(batches, lambda batch, some=window: self._batch([some[i] for i in batch], settings), FEWER):  # type: ignore[misc]
                if self.watch:
                    self.watch(UnderWay())
                yield rows

    def _batch(self, prompts: list[Prompt], settings: SamplerSettings) -> list[Completion]:
        device = self.loaded.model.device
        ids = torch.tensor([p.ids for p in prompts], device=device)
        uniform = torch.from_numpy(prompt_uniforms(prompts, settings)).flatten(0, 1)  # [prompts x draws, steps]
        rows = _RowsStop(self.stopping, [p for p in prompts for _ in range(settings.draws)], settings, ids.shape[1], self.watch)
        config = {"do_sample": True, "num_return_sequences": settings.draws, "max_new_tokens": settings.max_new_tokens}
        with (
            torch.no_grad(),
            products.of(self.loaded).used(),  # those of the shared sampler, so that both round alike
            torch.random.fork_rng(devices=[]),  # the forced choice still takes a number from torch's generator
            drawing.only_this_generation_config(self.loaded.model, pad_token_id=self.loaded.pad_id, **config) as generation_config,
        ):
            self.loaded.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),  # else a start token equal to the pad token would be masked
                generation_config=generation_config,
                logits_processor=LogitsProcessorList([_CounterDraw(uniform, settings, ids.shape[1])]),
                stopping_criteria=StoppingCriteriaList([rows]),
            )
        return [Completion(*row[:3], count, *row[3:]) for row, count in Counter(rows.finished(settings)).items()]


class _CounterDraw(LogitsProcessor):
    """Draws each row's token with its own uniform and leaves `generate` no other choice."""

    def __init__(self, uniform: torch.Tensor, settings: SamplerSettings, prompt_length: int):
        self.uniform, self.settings, self.prompt_length = uniform, settings, prompt_length

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        step = input_ids.shape[1] - self.prompt_length
        chosen = drawing.draw_tokens(scores, self.settings.temperature, self.uniform[:, step : step + 1], self.settings.top_k)
        forced = torch.full_like(scores, -torch.inf)
        return forced.scatter_(1, chosen.to(scores.device), 0.0)  # type: ignore[return-value]


class _RowsStop(StoppingCriteria):
    """Keeps for each row how it stopped; `generate` goes on until all have."""

    def __init__(
        self, stopping: drawing.StopCriteria, prompts: list[Prompt], settings: SamplerSettings, prompt_length: int, watch: Watch | None
    ):
        self.stopping, self.prompts, self.settings = stopping, prompts, settings
        self.prompt_length, self.watch = prompt_length, watch
        self.stops: list[tuple[str, str, int] | None] = [None] * len(prompts)

    def __call__(self, input_ids: torch.LongTensor, scores: Any, **kwargs: Any) -> torch.BoolTensor:
        drawn = np.asarray(input_ids[:, self.prompt_length :].cpu())
        live = [row for row, stop in enumerate(self.stops) if stop is None]
        depth = np.full(len(live), drawn.shape[1])
        stops = self.stopping.check(drawn[live], depth, [self.prompts[r].answers for r in live], self.settings.max_new_tokens)
        for at, stop in stops.items():
            self.stops[live[at]] = (*stop, drawn.shape[1])
        if self.watch:
            over = len(self.stops) - len(live) + len(stops)
            self.watch(_done(over, (len(live) - len(stops)) * drawn.shape[1], self.settings))
        return torch.tensor([stop is not None for stop in self.stops], device=input_ids.device)  # type: ignore[return-value]

    def finished(self, settings: SamplerSettings) -> list[tuple[str, int, str, int, str]]:
        """(fact id, template, text, tokens, stop) of every row."""
        assert all(self.stops), "generate returned before every row had stopped"
        rows = enumerate(zip(self.prompts, [stop for stop in self.stops if stop], strict=True))
        return [
            (p.fact_id, place_of(p.template, row % settings.draws, settings), text, tokens, stop) for row, (p, (stop, text, tokens)) in rows
        ]


def _done(over: int, tokens: int, settings: SamplerSettings) -> UnderWay:
    """Of prompts in progress: `over` draws at their end, and so many tokens drawn of the others. A draw is at most `max_new_tokens`."""
    return UnderWay(over, (over + tokens / settings.max_new_tokens) / settings.draws)


class SharedPrefixSampler:
    """Rows carry the set of their samples. At most `batch_size` prompts are under way together."""

    def __init__(self, loaded: LoadedModel, batch_size: int, watch: Watch | None = None):
        self.model = packed.PackedModel(loaded, often=True)
        self.batch_size, self.watch = batch_size, watch
        self.stopping = drawing.StopCriteria.of(loaded)

    def sample(self, prompts: Iterable[Prompt], settings: SamplerSettings) -> Iterator[list[Completion]]:
        """See `Sampler`. Prompts that begin alike go together."""
        ordered = (p for window in windows(prompts, WINDOW * self.batch_size) for p in sorted(window, key=lambda prompt: prompt.ids))
        load = Load.of(self.batch_size, enough=self.batch_size * settings.draws)
        return _Sampling(self.model, load, settings, self.stopping).run(ordered, self.watch)


class SampleRows(Decoder[T]):
    """Rows with their samples: `sample` lists the live ones, place x draws + number, and `row_of` the row of each, ascending.

    A prompt's greedy completion is the last of its draws. Rows without a sample below their place's number in `allowed` wait. Samples
    from that number on that have drawn the same as one below it come along at no cost.
    """

    def __init__(self, model: packed.PackedModel, load: Load, settings: SamplerSettings, stopping: drawing.StopCriteria):
        self.settings, self.stopping = settings, stopping
        self.rows = settings.draws
        super().__init__(model, load, settings.max_new_tokens, FEWER)

    def begin(self) -> None:
        """See `Decoder`."""
        super().begin()
        self.prompts: dict[int, Prompt] = {}  # place -> prompt
        self.sample, self.row_of = np.empty((2, 0), dtype=np.int64)
        self.allowed = np.zeros(self.load.places, dtype=np.int64)
        self.uniform = np.empty((self.load.places * self.settings.draws, self.max_new_tokens))  # [places x draws, steps]

    def take(self, prompts: Sequence[Prompt], places: np.ndarray, allowed: int) -> None:
        """Prompts have got these places, with all their samples in the row that is there."""
        samples = self.settings.draws
        numbers = (places[:, None] * samples + np.arange(samples)).ravel()
        self.uniform[numbers] = prompt_uniforms(prompts, self.settings).reshape(-1, self.max_new_tokens)
        self.allowed[places] = allowed
        self.prompts.update(zip(places.tolist(), prompts, strict=True))
        self.sample = np.concatenate([self.sample, numbers])
        self.row_of = np.concatenate([self.row_of, np.repeat(np.searchsorted(self.place, places), samples)])

    def moved(self, position: np.ndarray) -> None:
        """See `Decoder`."""
        self.row_of = position[self.row_of]

    def under_way(self) -> UnderWay:
        """See `Decoder`."""
        draws = sum(map(len, self.places_of.values())) * self.settings.draws
        return _done(draws - len(self.sample), int(self.depth[self.row_of].sum()), self.settings)

    def ready(self) -> np.ndarray:
        """See `Decoder`."""
        samples = self.settings.draws
        return np.unique(self.row_of[self.sample % samples < self.allowed[self.sample // samples]])

    def remove(self, rows: np.ndarray) -> None:
        """These rows and their samples end here."""
        going = np.ones(len(self.place), dtype=bool)
        going[rows] = False
        position = np.cumsum(going) - 1
        stay = going[self.row_of]
        self.sample, self.row_of = self.sample[stay], position[self.row_of[stay]]
        self.keep(np.flatnonzero(going))

    def stopped(self, row: int, stop: str, text: str, samples: np.ndarray) -> None:
        """A row has stopped with these samples."""
        raise NotImplementedError

    def draw(self, reads: list[Read]) -> None:
        """One more token of every sample whose row was read; rows split where they differ, and those that stop are gone."""
        order = np.argsort(self.row_of, kind="stable")
        self.sample, self.row_of = self.sample[order], self.row_of[order]
        token = np.full(len(self.sample), -1)  # of each sample; -1: its row waits
        for rows, logits in reads:
            line = np.searchsorted(rows, self.row_of)
            due = np.flatnonzero(rows[np.minimum(line, len(rows) - 1)] == self.row_of)
            line = line[due]
            column = np.arange(len(line)) - np.searchsorted(line, line)
            numbers = np.full((len(logits), int(column.max()) + 1), _UNUSED)
            numbers[line, column] = self.uniform[self.sample[due], self.depth[self.row_of[due]]]
            drawn = drawing.draw_tokens(logits, self.settings.temperature, torch.from_numpy(numbers), self.settings.top_k)
            token[due] = drawn.cpu().numpy()[line, column]
        choices = int(token.max()) + 2
        pairs, row_of = np.unique(self.row_of * choices + token + 1, return_inverse=True)
        order = np.argsort(row_of, kind="stable")
        self.sample, self.row_of = self.sample[order], row_of[order]
        self.split(pairs // choices, pairs % choices - 1)
        grown = np.flatnonzero(pairs % choices)
        answers = [self.prompts[place].answers for place in self.place[grown].tolist()]
        stops = self.stopping.check(self.drawn[grown], self.depth[grown], answers, self.max_new_tokens)
        starts = np.searchsorted(self.row_of, np.arange(len(self.place) + 1))
        for at, (stop, text) in stops.items():
            row = grown[at]
            self.stopped(row, stop, text, self.sample[starts[row] : starts[row + 1]])
        self.remove(grown[list(stops)])


class _Sampling(SampleRows[Prompt]):
    """All samples of every prompt."""

    def begin(self) -> None:
        """See `Decoder`."""
        super().begin()
        self._counted: dict[int, Counter[tuple[int, str, int, str]]] = {}  # place -> (template, text, tokens, stop) -> samples

    def texts(self, item: Prompt) -> list[tuple[int, ...]]:
        """See `Decoder`."""
        return [item.ids]

    def entered(self, items: list[tuple[Prompt, np.ndarray]]) -> None:
        """See `Decoder`."""
        self.take([prompt for prompt, _ in items], np.concatenate([places for _, places in items]), self.settings.draws)
        self._counted.update((int(places[0]), Counter()) for _, places in items)

    def advance(self, reads: list[Read]) -> list[Completion]:
        """Completions of the prompts that are through."""
        self.draw(reads)
        over = self.items.keys() - set(self.place.tolist())
        completions: list[Completion] = []
        for place in sorted(over):
            fact_id, counted = self.prompts[place].fact_id, self._counted.pop(place)
            self.finish(place)
            completions += [Completion(fact_id, at, text, n, tokens, stop) for (at, text, tokens, stop), n in counted.items()]
        return completions

    def stopped(self, row: int, stop: str, text: str, samples: np.ndarray) -> None:
        """See `SampleRows`."""
        place, template = int(self.place[row]), self.prompts[int(self.place[row])].template
        greedy = int((samples % self.settings.draws >= self.settings.samples).sum())
        for number, count in ((0, len(samples) - greedy), (self.settings.samples, greedy)):
            if count:
                self._counted[place][place_of(template, number, self.settings), text, int(self.depth[row]), stop] += count
