"""What a served model completes, answers and finds probable: the counterparts of sampler, greedy decoding and likelihood.

Its samples are drawn with the server's own random numbers, so they are others than those of a model in this process and are stored apart.
Rows don't stop at a hit: a completion is whole. Requests run side by side, as many as the server takes; results come as they finish.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from math import exp, fsum

from sftqa_core.engine.greedy import Answer
from sftqa_core.engine.sampling import Completion, Prompt, place_of
from sftqa_core.errors import ModelUnavailable
from sftqa_core.knowledge.matching import first_line
from sftqa_core.models.serving.served_models import ServedModel
from sftqa_core.models.serving.server_replies import Choice
from sftqa_core.progress import Phase
from sftqa_core.records import SamplerSettings


class ServerSampler:
    """See `Sampler` (sampling.py), but for the random numbers, which are the server's: it gives other completions each time."""

    def __init__(self, served: ServedModel):
        self.served = served

    def sample(self, prompts: Iterable[Prompt], settings: SamplerSettings) -> Iterator[list[Completion]]:
        """The completions of one prompt at a time, in the order in which they finish. Raises `ModelUnavailable`, `SettingsError`."""
        yield from self.served.client.side_by_side(lambda prompt: self._drawn(prompt, settings), prompts)

    def _drawn(self, prompt: Prompt, settings: SamplerSettings) -> list[Completion]:
        read = prompt.ids or prompt.text
        limit, samples = settings.max_new_tokens, settings.samples
        choices, _ = self.served.ask(read, limit, samples, settings.temperature, top_k=settings.top_k)
        rows = [(prompt.template, choice) for choice in choices]
        if settings.greedy:
            (chosen,), _ = self.served.ask(read, settings.max_new_tokens)
            rows.append((place_of(prompt.template, settings.samples, settings), chosen))
        counted = Counter((place, *_stopped(choice, prompt)) for place, choice in rows)
        return [Completion(prompt.fact_id, place, text, count, tokens, stop) for (place, text, tokens, stop), count in counted.items()]


def _stopped(choice: Choice, prompt: Prompt) -> tuple[str, int, str]:
    """Text, tokens drawn, and how the row stopped; of answers that are one line the text goes to its end."""
    if prompt.answers.over(choice.text):
        return choice.text[: len(first_line(choice.text)) + 1], len(choice.tokens), "line"
    return choice.text, len(choice.tokens), "end" if choice.ended else "length"


def greedy_answers(
    served: ServedModel, prompts: Sequence[str | Sequence[int]], new_tokens: int, phase: Phase | None = None
) -> list[Answer]:
    """The most probable continuation of each prompt (a text or token ids), in their order. `phase` counts finished prompts."""

    def answered(item: tuple[int, str | Sequence[int]]) -> tuple[int, Answer]:
        place, prompt = item
        (choice,), _ = served.ask(prompt, new_tokens)
        return place, Answer(choice.text, fsum(choice.logprobs) / max(1, len(choice.logprobs)), len(choice.tokens))

    by_place: dict[int, Answer] = {}
    for place, answer in served.client.side_by_side(answered, enumerate(prompts)):
        by_place[place] = answer
        if phase:
            phase.advance(1)
    return [by_place[place] for place in range(len(prompts))]


def chance(served: ServedModel, prompt: Sequence[int], answers: Sequence[Sequence[int]]) -> float:
    """P(one of the answers comes next) at temperature 1: token ids, at least one each, none beginning with another."""
    return min(1.0, fsum(exp(fsum(logprobs_after(served, prompt, answer))) for answer in answers))


def logprobs_after(served: ServedModel, prompt: Sequence[int], answer: Sequence[int]) -> tuple[float, ...]:
    """Log-probability of each token of an answer behind a prompt (token ids). Raises `ModelUnavailable` where the server echoes none."""
    (choice,), _ = served.ask([*prompt, *answer], 1, echo=True)
    start, end = len(prompt), len(prompt) + len(answer)
    if not end <= len(choice.logprobs) <= end + 1:
        raise ModelUnavailable(
            f"{served.client.name.root} echoes {len(choice.logprobs)} log-probabilities of a text of {end} tokens, so the likelihood of an "
            "answer can't be read off it. Use the sampling method."
        )
    return choice.logprobs[start:end]
