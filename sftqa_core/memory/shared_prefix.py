"""The sampler for everyday use: samples of a prompt that have drawn the same tokens so far share one row.

Exact, not an approximation (METHOD 8.1): each sample draws with its own uniform from the shared row's distribution, and
a row splits where its samples differ. A prompt is read once, and a row that has stopped leaves the batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from sftqa_core.memory.drawing import StopWatch, draw_tokens, halving
from sftqa_core.memory.reading import CachedReader
from sftqa_core.memory.reference import FEWER
from sftqa_core.memory.sampling import Completion, Prompt, batches_by_length, prompt_uniforms
from sftqa_core.records import SamplerSettings

if TYPE_CHECKING:
    from sftqa_core.models.loading import LoadedModel


class SharedPrefixSampler:
    """Rows carry the set of their samples. At most `batch_size` prompts start together."""

    def __init__(self, loaded: LoadedModel, batch_size: int = 64):
        self.loaded = loaded
        self.batch_size = batch_size
        self.watch = StopWatch.of(loaded)

    def sample(self, prompts: Sequence[Prompt], settings: SamplerSettings) -> Iterator[list[Completion]]:
        batches = batches_by_length([len(p.ids) for p in prompts], self.batch_size)
        for _, rows in halving(batches, lambda batch: self._batch([prompts[i] for i in batch], settings), FEWER):
            yield rows

    @torch.no_grad()
    def _batch(self, prompts: list[Prompt], settings: SamplerSettings) -> list[Completion]:
        reader = CachedReader(self.loaded.model)
        live = _Rows.start(len(prompts), settings.samples)
        uniform = prompt_uniforms(prompts, settings).reshape(-1, settings.max_new_tokens)  # [prompts x samples, steps]
        logits = reader.read(np.array([p.ids for p in prompts]))
        counted: Counter[tuple[str, int, str, int, str]] = Counter()
        while True:
            live, parents = live.split(logits, uniform, settings.temperature)
            stops = self.watch.check(live.drawn, [prompts[p].answers for p in live.prompt], settings.max_new_tokens)
            sizes = np.bincount(live.row_of, minlength=len(stops))
            for row, stop in enumerate(stops):
                if stop:
                    prompt = prompts[live.prompt[row]]
                    counted[(prompt.fact_id, prompt.template, stop[1], live.drawn.shape[1], stop[0])] += int(sizes[row])
            going = np.array([row for row, stop in enumerate(stops) if not stop], dtype=np.int64)
            if not len(going):
                return [Completion(*row[:3], count, *row[3:]) for row, count in counted.items()]
            live = live.keep(going)
            reader.select(parents[going])
            logits = reader.read(live.drawn[:, -1:])


@dataclass(frozen=True)
class _Rows:
    """Live rows: which prompt each continues and the tokens drawn; and of each live sample, the row that carries it."""

    prompt: np.ndarray  # [rows]
    drawn: np.ndarray  # [rows, tokens so far]
    sample: np.ndarray  # [live samples], prompt x samples + sample; in the order of their rows
    row_of: np.ndarray  # [live samples], ascending

    @classmethod
    def start(cls, prompts: int, samples: int) -> _Rows:
        row_of = np.repeat(np.arange(prompts), samples)
        return cls(np.arange(prompts), np.empty((prompts, 0), dtype=np.int64), np.arange(prompts * samples), row_of)

    def split(self, logits: torch.Tensor, uniform: np.ndarray, temperature: float) -> tuple[_Rows, np.ndarray]:
        """The rows after one more token of every sample, and the row that each of them comes from."""
        starts = np.searchsorted(self.row_of, np.arange(len(self.prompt)))
        column = np.arange(len(self.row_of)) - starts[self.row_of]
        padded = np.zeros((len(self.prompt), int(column.max()) + 1))
        padded[self.row_of, column] = uniform[self.sample, self.drawn.shape[1]]
        tokens = draw_tokens(logits, temperature, torch.from_numpy(padded).to(logits.device)).cpu().numpy()
        vocabulary = logits.shape[-1]
        pairs, row_of = np.unique(self.row_of * vocabulary + tokens[self.row_of, column], return_inverse=True)
        parents, order = pairs // vocabulary, np.argsort(row_of, kind="stable")
        drawn = np.concatenate([self.drawn[parents], (pairs % vocabulary)[:, None]], axis=1)
        return _Rows(self.prompt[parents], drawn, self.sample[order], row_of[order]), parents

    def keep(self, rows: np.ndarray) -> _Rows:
        """Only these rows (ascending) and their samples."""
        place = np.full(len(self.prompt), -1)
        place[rows] = np.arange(len(rows))
        stay = place[self.row_of] >= 0
        return _Rows(self.prompt[rows], self.drawn[rows], self.sample[stay], place[self.row_of[stay]])
