"""Preflight, the texts' part: how answers are read behind their prompts, and whether the longest texts fit. Never loads torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sftqa_core.errors import ModelUnavailable
from sftqa_core.models.chat_templates import Layout
from sftqa_core.models.light_tokenizer import light_tokenizer
from sftqa_core.models.token_lengths import CountTokens, token_counter
from sftqa_core.models.tokenizer_checks import FITTING, answers_check, prompt_check, vocabulary
from sftqa_core.records import Check, ProbeSettings, TrainSettings
from sftqa_core.workflows.memory import longest_example, longest_question, longest_statement
from sftqa_core.workflows.preflight_model import Looked

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.knowledge.facts import FactSource

_SAMPLE = 24  # facts whose answers are read
_MOST = 10**9  # positions: beyond, a configuration says no limit
_LIMITS = ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length", "seq_length")
CHAT_PROMPT = Check("prompt", "ok", "The model's own chat template stands around each question, its beginning token included.")
STATEMENTS = Check("prompt", "ok", "Statements end where the answer would follow, without a space.")
_SHORTER = "Leave these facts out or shorten them, use a shorter prompt, or choose a model with more positions."


def answer_points(looked: Looked, pairs: list[tuple[str, str]], border: Check | None = None) -> list[Check]:
    """The points prompt and answers of (prompt, reply) texts; nothing without any. `border`: what is said where no person wrote it."""
    if not pairs:
        return []
    try:
        tokenizer = light_tokenizer(looked.words) if looked.words else None
        prompt = border or prompt_check(tokenizer, *pairs[0])
        if tokenizer is None:
            return [prompt, Check("answers", "unknown", "How answers are read behind the prompt shows when the model is loaded.")]
        return [prompt, answers_check(tokenizer, vocabulary(looked.config), pairs)]
    except ModelUnavailable as error:
        return [Check("answers", "problem", str(error), FITTING)]


def question_pairs(settings: TrainSettings, facts: pd.DataFrame, chat: Layout | None = None) -> list[tuple[str, str]]:
    """(prompt, reply) as they are trained on, of some facts; `chat` is put around them."""
    form = settings.prompt
    rows = facts.head(_SAMPLE)
    asked = list(zip(rows["question"], rows["answers"], strict=True))
    if chat is not None:
        return [(chat.prompt(question, (), form), chat.reply(answers[0], form)) for question, answers in asked]
    return [(form.prompt.replace("{question}", q), form.answer.replace("{answer}", answers[0])) for q, answers in asked]


def statement_pairs(source: FactSource, facts: pd.DataFrame) -> list[tuple[str, str]]:
    """(statement, answer) as a probe reads them, of some facts."""
    return list(_statements(source, facts.head(_SAMPLE)))


def _statements(source: FactSource, facts: pd.DataFrame) -> Iterator[tuple[str, str]]:
    from sftqa_core.knowledge.relations import statement_prompts

    rows = zip(facts["relation"], facts["subject"], facts["question"], facts["answers"], strict=True)
    for relation, subject, question, answers in rows:
        yield statement_prompts(source.relations[relation], subject, question)[0], f" {answers[0]}"


def positions(config: dict[str, Any]) -> int | None:
    """Tokens that the model can hold at once; None where its configuration sets no limit."""
    config = {**config, **(config.get("text_config") or {})}
    found = (config.get(name) for name in _LIMITS)
    return next((value for value in found if type(value) is int and 0 < value <= _MOST), None)


def training_context(
    looked: Looked, settings: TrainSettings, pool: pd.DataFrame, tests: pd.DataFrame, n: int, chat: Layout | None = None
) -> Check:
    """Whether the longest example and the longest question with its answer fit, and what of the few-shot line."""
    room, count = positions(looked.config), _counter(looked)
    if room is None:
        return _no_limit(looked)
    asked = longest_question(replace(settings, shots=0, more_shots=()), pool, tests, count, chat)
    example = longest_example(settings, pool, n, count, chat) if n else 0
    longest = max(example, asked + settings.max_answer_tokens)
    if longest > room:
        return _too_long(longest, room)
    if n and (rare := longest_example(settings, pool, len(pool), count, chat)) > room:
        said = f"A few facts make examples of up to {rare:,} tokens, more than the model's {room:,} positions; a draw may hold one."
        return Check("context", "note", said, _SHORTER)
    most = max(settings.shots, *settings.more_shots, 0)
    shown = longest_question(settings, pool, tests, count, chat) + settings.max_answer_tokens if most else 0
    if shown > room:
        said = f"{most} examples in front of the question take about {shown:,} tokens of {room:,}; fewer are shown."
        return Check("context", "note", said, "Choose fewer examples for that base line, or a model with more positions.")
    return Check("context", "ok", f"The longest text takes {max(longest, shown):,} of the model's {room:,} positions.")


def probing_context(looked: Looked, settings: ProbeSettings, source: FactSource, facts: pd.DataFrame) -> Check:
    """Whether the longest statement with its completion fits."""
    room = positions(looked.config)
    if room is None:
        return _no_limit(looked)
    new = 0 if settings.scheme.method == "likelihood" else settings.scheme.sampling.max_new_tokens
    longest = longest_statement(source, facts, _counter(looked)) + new
    if longest > room:
        return _too_long(longest, room)
    return Check("context", "ok", f"The longest text takes {longest:,} of the model's {room:,} positions.")


def _counter(looked: Looked) -> CountTokens:
    return token_counter(looked.words)


def _no_limit(looked: Looked) -> Check:
    if not looked.config:
        return Check("context", "unknown", "How long a text may be is not known before the model is on this machine.")
    return Check("context", "ok", "The model's configuration sets no limit to the length of a text.")


def _too_long(longest: int, room: int) -> Check:
    return Check("context", "problem", f"The longest text takes {longest:,} tokens, more than the model's {room:,} positions.", _SHORTER)
