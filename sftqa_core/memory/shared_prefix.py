"""The sampler for everyday use: samples of a prompt that have drawn the same tokens so far share one row.

Exact, not an approximation (METHOD 8.1): each sample draws with its own uniform from the shared row's distribution, and
a row splits where its samples differ. What prompts begin with in common is read once, a row that has stopped leaves, and
new prompts enter in its place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from sftqa_core.memory.decoder import Decoder, Load, Read, T
from sftqa_core.memory.drawing import StopWatch, draw_tokens
from sftqa_core.memory.packed import PackedModel
from sftqa_core.memory.reference import FEWER
from sftqa_core.memory.sampling import WINDOW, Completion, Prompt, place_of, prompt_uniforms, windows
from sftqa_core.records import SamplerSettings

if TYPE_CHECKING:
    from sftqa_core.models.loading import LoadedModel


class SharedPrefixSampler:
    """Rows carry the set of their samples. At most `batch_size` prompts are under way together."""

    def __init__(self, loaded: LoadedModel, batch_size: int):
        self.model = PackedModel(loaded)
        self.batch_size = batch_size
        self.watch = StopWatch.of(loaded)

    def sample(self, prompts: Iterable[Prompt], settings: SamplerSettings) -> Iterator[list[Completion]]:
        """See `Sampler`. Prompts that begin alike go together."""
        ordered = (p for window in windows(prompts, WINDOW * self.batch_size) for p in sorted(window, key=lambda prompt: prompt.ids))
        load = Load.of(self.batch_size, enough=self.batch_size * settings.draws)
        return _Sampling(self.model, load, settings, self.watch).run(ordered)


class SampleRows(Decoder[T]):
    """Rows with their samples: `sample` lists the live ones, place x draws + number, and `row_of` the row of each, ascending.

    A prompt's greedy completion is the last of its draws. Rows without a sample below their place's number in `allowed` wait. Samples
    from that number on that have drawn the same as one below it come along at no cost.
    """

    def __init__(self, model: PackedModel, load: Load, settings: SamplerSettings, watch: StopWatch):
        self.settings, self.watch = settings, watch
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
            drawing = np.flatnonzero(rows[np.minimum(line, len(rows) - 1)] == self.row_of)
            token[drawing] = self._tokens(logits, line[drawing], drawing)
        choices = int(token.max()) + 2
        pairs, row_of = np.unique(self.row_of * choices + token + 1, return_inverse=True)
        order = np.argsort(row_of, kind="stable")
        self.sample, self.row_of = self.sample[order], row_of[order]
        self.split(pairs // choices, pairs % choices - 1)
        self._stop(np.flatnonzero(pairs % choices))

    def _tokens(self, logits: torch.Tensor, line: np.ndarray, drawing: np.ndarray) -> np.ndarray:
        """What these samples draw, each from its line of the logits."""
        column = np.arange(len(line)) - np.searchsorted(line, line)
        numbers = np.zeros((len(logits), int(column.max()) + 1))
        numbers[line, column] = self.uniform[self.sample[drawing], self.depth[self.row_of[drawing]]]
        drawn = draw_tokens(logits, self.settings.temperature, torch.from_numpy(numbers), self.settings.top_k)
        return drawn.cpu().numpy()[line, column]

    def _stop(self, grown: np.ndarray) -> None:
        answers = [self.prompts[place].answers for place in self.place[grown].tolist()]
        stops = self.watch.check(self.drawn[grown], self.depth[grown], answers, self.max_new_tokens)
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
        return [row for place in sorted(over) for row in self._completions(place)]

    def stopped(self, row: int, stop: str, text: str, samples: np.ndarray) -> None:
        """See `SampleRows`."""
        place, template = int(self.place[row]), self.prompts[int(self.place[row])].template
        greedy = int((samples % self.settings.draws >= self.settings.samples).sum())
        for number, count in ((0, len(samples) - greedy), (self.settings.samples, greedy)):
            if count:
                self._counted[place][place_of(template, number, self.settings), text, int(self.depth[row]), stop] += count

    def _completions(self, place: int) -> list[Completion]:
        said, counted = self.prompts[place], self._counted.pop(place)
        self.finish(place)
        return [Completion(said.fact_id, at, text, n, tokens, stop) for (at, text, tokens, stop), n in counted.items()]
