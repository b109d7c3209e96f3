"""Heavy: what a model answers while a recipe is carried out, greedily or drawn by chance, and which of it is right.

Answers are asked for as in evaluation (the run's prompt, at most `max_answer_tokens`) and judged by the run's matching rule. Only the
end token and the limit end a drawn answer: the right answer has no part in it, so labels that a model gives its own questions never see
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sftqa_core.engine import capacity, drawing
from sftqa_core.engine.greedy import greedy
from sftqa_core.engine.sampling import Prompt, make_sampler
from sftqa_core.jsonrecord import digest
from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.knowledge.matching import CompiledAnswers, Matcher
from sftqa_core.models.loading import LoadedModel
from sftqa_core.progress import Phase, Reporter
from sftqa_core.records import SamplerSettings, TrainSettings
from sftqa_core.training.encoding import ExamplePool, asking

_NOTHING = CompiledAnswers((), ())


@dataclass(frozen=True)
class Drawn:
    """How answers are drawn."""

    count: int  # to each question
    temperature: float
    shots: int = 0  # answered facts in front of each question
    seed: int = 0


def greedy_answers(
    model: LoadedModel, facts: pd.DataFrame, settings: TrainSettings, aliases: Aliases, reporter: Reporter, name: str
) -> pd.DataFrame:
    """fact_id, text, correct: one row a fact, in their order. Raises `Stopped`, `SettingsError` for a question that does not fit."""
    asked = asking(model, settings.prompt)
    prompts = [asked.prompt(question) for question in facts["question"]]
    capacity.require_window(model, [len(ids) for ids in prompts], settings.max_answer_tokens, "questions", facts["question"].tolist())
    phase = Phase(reporter, f"answers: {name}", len(facts), "facts")
    texts = [answer.text for answer in greedy(asked.answering, prompts, settings.max_answer_tokens, phase=phase)]
    right = judged(facts, texts, settings.match, aliases)
    return pd.DataFrame({"fact_id": facts["fact_id"].tolist(), "text": texts, "correct": right}).astype({"text": "str", "correct": bool})


def sampled_answers(
    model: LoadedModel,
    facts: pd.DataFrame,
    shown: pd.DataFrame | None,
    settings: TrainSettings,
    drawn: Drawn,
    aliases: Aliases,
    reporter: Reporter,
    name: str,
) -> pd.DataFrame:
    """fact_id, text, count, correct: a row a distinct answer, in the facts' order, the texts by alphabet.

    `shown`: train facts of which `drawn.shots` stand in front of each question, or as many as fit. Raises as `greedy_answers` does.
    """
    asked, new = asking(model, settings.prompt), settings.max_answer_tokens
    pool, window = ExamplePool(shown, settings.seed) if shown is not None else None, capacity.window_of(model)
    prompts = []
    for fact, relation, question in zip(facts["fact_id"], facts["relation"], facts["question"], strict=True):
        examples = pool.draw(fact, relation, question, drawn.shots) if pool else []
        ids = fitting(asked, question, examples, window, new)
        prompts.append(Prompt(digest(f"{fact} {question}"), 0, tuple(ids), _NOTHING))
    longest = max((len(prompt.ids) for prompt in prompts), default=1)
    capacity.require_window(model, [len(prompt.ids) for prompt in prompts], new, "questions", facts["question"].tolist())
    sampling = SamplerSettings(samples=drawn.count, temperature=drawn.temperature, max_new_tokens=new, seed=drawn.seed)
    phase = Phase(reporter, f"drawn answers: {name}", len(facts), "facts")
    sampler = make_sampler(sampling.sampler, asked.answering, capacity.at_once(model, longest, drawn.count, new))
    texts: dict[str, dict[str, int]] = {prompt.fact_id: {} for prompt in prompts}
    with drawing.naming(model):
        for batch in sampler.sample(prompts, sampling) if prompts else ():
            for row in batch:
                text = asked.answer_of(row.text, drawn.shots).strip()
                texts[row.fact_id][text] = texts[row.fact_id].get(text, 0) + row.count
            phase.advance(len({row.fact_id for row in batch}))
    rows = [(at, text, count) for at, prompt in enumerate(prompts) for text, count in sorted(texts[prompt.fact_id].items())]
    told = facts.iloc[[at for at, _, _ in rows]].reset_index(drop=True)
    table = pd.DataFrame({"fact_id": told["fact_id"].tolist(), "text": [text for _, text, _ in rows], "count": [n for _, _, n in rows]})
    right = judged(told, table["text"].tolist(), settings.match, aliases)
    return table.assign(correct=right).astype({"text": "str", "count": "int64", "correct": bool})


def fitting(asked: Any, question: str, examples: list[tuple[str, str]], window: int | None, new_tokens: int) -> tuple[int, ...]:
    """The prompt's ids with as many of the examples in front as fit the window."""
    ids: tuple[int, ...] = asked.prompt(question, examples)
    while examples and not capacity.fits_window(window, len(ids), new_tokens):
        ids = asked.prompt(question, examples := examples[:-1])
    return ids


def judged(facts: pd.DataFrame, texts: Sequence[str], match: str, aliases: Aliases) -> list[bool]:
    """Whether each text holds an answer of its fact, or an alias."""
    matcher, compiled = Matcher(match), dict[tuple[str, ...], CompiledAnswers]()
    right = []
    for answers, text in zip(map(tuple, facts["answers"]), texts, strict=True):
        if answers not in compiled:
            compiled[answers] = matcher.compile(aliases.expand(answers))
        right.append(compiled[answers].find(text) is not None)
    return right
