"""The reference sampler: transformers' `generate`, every choice of a token taken from it (METHOD 8.1, 8.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from sftqa_core.memory.drawing import StopWatch, draw_tokens, halving, only_this_generation_config
from sftqa_core.memory.sampling import WINDOW, Completion, Prompt, batches_by_length, place_of, prompt_uniforms, windows
from sftqa_core.records import SamplerSettings

if TYPE_CHECKING:
    from sftqa_core.models.loading import LoadedModel

FEWER = "Use a smaller model, fewer samples or fewer new tokens, or run on the CPU (device 'cpu')."


class GenerateSampler:
    """Plain `generate` with one row a sample: slow, and what every faster sampler is compared with."""

    def __init__(self, loaded: LoadedModel, batch_size: int = 64):
        self.loaded = loaded
        self.batch_size = batch_size
        self.watch = StopWatch.of(loaded)

    def sample(self, prompts: Iterable[Prompt], settings: SamplerSettings) -> Iterator[list[Completion]]:
        for window in windows(prompts, WINDOW * self.batch_size):
            batches = batches_by_length([len(p.ids) for p in window], self.batch_size)
            for _, rows in halving(batches, lambda batch, some=window: self._batch([some[i] for i in batch], settings), FEWER):  # type: ignore[misc]
                yield rows

    def _batch(self, prompts: list[Prompt], settings: SamplerSettings) -> list[Completion]:
        device = self.loaded.model.device
        ids = torch.tensor([p.ids for p in prompts], device=device)
        uniform = torch.from_numpy(prompt_uniforms(prompts, settings)).flatten(0, 1)  # [prompts x draws, steps]
        rows = _RowsStop(self.watch, [p for p in prompts for _ in range(settings.draws)], settings.max_new_tokens, ids.shape[1])
        config = {"do_sample": True, "num_return_sequences": settings.draws, "max_new_tokens": settings.max_new_tokens}
        with (
            torch.no_grad(),
            torch.random.fork_rng(devices=[]),  # the forced choice still takes a number from torch's generator
            only_this_generation_config(self.loaded.model, pad_token_id=self.loaded.pad_id, **config) as generation_config,
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
        chosen = draw_tokens(scores, self.settings.temperature, self.uniform[:, step : step + 1], self.settings.top_k)
        forced = torch.full_like(scores, -torch.inf)
        return forced.scatter_(1, chosen.to(scores.device), 0.0)  # type: ignore[return-value]


class _RowsStop(StoppingCriteria):
    """Keeps for each row how it stopped; `generate` goes on until all have."""

    def __init__(self, watch: StopWatch, prompts: list[Prompt], max_new_tokens: int, prompt_length: int):
        self.watch, self.prompts = watch, prompts
        self.max_new_tokens, self.prompt_length = max_new_tokens, prompt_length
        self.stops: list[tuple[str, str, int] | None] = [None] * len(prompts)

    def __call__(self, input_ids: torch.LongTensor, scores: Any, **kwargs: Any) -> torch.BoolTensor:
        drawn = np.asarray(input_ids[:, self.prompt_length :].cpu())
        live = [row for row, stop in enumerate(self.stops) if stop is None]
        depth = np.full(len(live), drawn.shape[1])
        stops = self.watch.check(drawn[live], depth, [self.prompts[r].answers for r in live], self.max_new_tokens)
        for at, stop in stops.items():
            self.stops[live[at]] = (*stop, drawn.shape[1])
        return torch.tensor([stop is not None for stop in self.stops], device=input_ids.device)  # type: ignore[return-value]

    def finished(self, settings: SamplerSettings) -> list[tuple[str, int, str, int, str]]:
        """(fact id, template, text, tokens, stop) of every row."""
        assert all(self.stops), "generate returned before every row had stopped"
        rows = enumerate(zip(self.prompts, [stop for stop in self.stops if stop], strict=True))
        return [
            (p.fact_id, place_of(p.template, row % settings.draws, settings), text, tokens, stop) for row, (p, (stop, text, tokens)) in rows
        ]
