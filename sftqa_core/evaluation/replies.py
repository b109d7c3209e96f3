"""Heavy: what a loaded model says to one question, in the form in which it was trained and is tested; or to a statement, as a probe
completes it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import exp

import torch

from sftqa_core.engine import capacity
from sftqa_core.engine.drawing import decode
from sftqa_core.engine.next_tokens import Continued, continue_prompt, likelihoods
from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import shown
from sftqa_core.knowledge.aliases import Aliases, load_aliases
from sftqa_core.knowledge.matching import Matcher
from sftqa_core.models.loading import LoadedModel, continuation, encode_prompts, require_known
from sftqa_core.records import Candidate, Column, PromptFormat, Question, Reply, Sampled, SamplerSettings, Scored, Step
from sftqa_core.records.asking import TOP, new_tokens
from sftqa_core.training.encoding import asking

_SMALL = 50_000_000  # parameters


@dataclass(frozen=True)
class _Encoded:
    """A question as one model reads it."""

    answering: LoadedModel  # the model that stops where an answer ends
    ids: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]  # tokens of each answer to score


def reply(
    loaded: LoadedModel,
    column: Column,
    aliases: Aliases | None = None,
    match: str = "tokens",
    on_step: Callable[[], None] = lambda: None,
) -> Reply:
    """What `loaded`, the model that `column` names, says. `match` and `aliases` (else the person's) decide what counts as right.

    `on_step` is called once a token and may raise `Stopped`. Raises `SettingsError` for a text that does not fit the context window, or
    can't be put to this model; `ModelUnavailable`, `OutOfMemory`.
    """
    began, question = time.monotonic(), column.question
    encoded = _encoded(loaded, question)
    limit = new_tokens(question, None)
    _require_room(loaded, encoded, question, limit)
    drawn = SamplerSettings(question.samples, question.temperature, limit, question.seed)
    with _threads(loaded):
        continued = continue_prompt(encoded.answering, encoded.ids, drawn, TOP, on_step)
        scored = _scored(encoded, question)
    compiled = Matcher(match).compile((aliases or load_aliases()).expand(question.right)) if question.right else None

    def right(text: str) -> bool | None:
        return None if compiled is None else compiled.find(text) is not None

    return Reply(
        column.model,
        str(loaded.tokenizer.decode(list(encoded.ids), skip_special_tokens=False)),
        len(encoded.ids),
        continued.text,
        continued.ended,
        right(continued.text),
        _steps(encoded.answering, continued),
        tuple(Sampled(text, count, right(text)) for text, count in continued.samples),
        scored,
        loaded.fingerprint.weights,
        loaded.fingerprint.adapter,
        loaded.fingerprint.dtype,
        loaded.device,
        answering_s=time.monotonic() - began,
    )


@contextmanager
def _threads(loaded: LoadedModel) -> Iterator[None]:
    """One thread for a small model: its steps are too short to be shared, and where other work has the cores, threads that wait for one
    another take twenty times as long."""
    before = torch.get_num_threads()
    small = loaded.device == "cpu" and loaded.model.num_parameters() <= _SMALL
    try:
        if small:
            torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(before)


def _encoded(loaded: LoadedModel, question: Question) -> _Encoded:
    if question.kind == "statement":
        ids = tuple(encode_prompts(loaded, [question.text])[0])
        glue = "" if question.text[-1:].isspace() else " "
        follow = [tuple(continuation(loaded.tokenizer, question.text, f"{glue}{answer.strip()}")) for answer in question.scored]
        require_known(loaded, [(*ids, *answer) for answer in follow], list(question.scored))
        return _Encoded(loaded, ids, tuple(follow))
    form = question.prompt or PromptFormat()
    asked = asking(loaded, form)
    examples = [asked.example(question.text, answer.strip()) for answer in question.scored]
    # an example ends with the one token that ends an answer, or a turn
    answers = tuple(tuple(example.ids[example.prompt_length : -1]) for example in examples)
    if () in answers:
        lost = question.scored[answers.index(())]
        raise SettingsError(f"{loaded.card.name}'s chat template leaves nothing of {shown(lost)}. Ask by prompt qa or plain.")
    ids = examples[0].ids[: examples[0].prompt_length] if examples else asked.prompt(question.text)
    return _Encoded(asked.answering, ids, answers)


def _require_room(loaded: LoadedModel, encoded: _Encoded, question: Question, new: int) -> None:
    window, longest = capacity.window_of(loaded), max(new, *(len(answer) for answer in encoded.answers), 0)
    if not capacity.fits_window(window, len(encoded.ids), longest):
        raise SettingsError(
            f"The {question.kind} has {len(encoded.ids):,} tokens as {loaded.card.name} reads it; with {longest:,} tokens of an answer it "
            f"does not fit the model's context window of {window:,} tokens. Shorten it, or choose a model with a larger context window."
        )


def _scored(encoded: _Encoded, question: Question) -> tuple[Scored, ...]:
    told = likelihoods(encoded.answering, encoded.ids, encoded.answers)
    return tuple(
        Scored(answer, sum(known.tokens), len(known.tokens), known.end, answer in question.right)
        for answer, known in zip(question.scored, told, strict=True)
    )


def _steps(loaded: LoadedModel, continued: Continued) -> tuple[Step, ...]:
    """Each step with its tokens as texts; one that ends an answer has an empty text."""
    tokens = sorted({token for step in continued.steps for token in (step.token, *(token for token, _ in step.top))})
    texts = dict(zip(tokens, decode(loaded.tokenizer, [[token] for token in tokens]), strict=True))
    # signs that are no text are told by their names, those that end an answer by none
    texts |= {token: str(loaded.tokenizer.convert_ids_to_tokens(token)) for token, text in texts.items() if not text}
    texts |= dict.fromkeys(loaded.end_ids, "")
    return tuple(
        Step(texts[step.token], exp(step.logprob), tuple(Candidate(texts[token], exp(logprob)) for token, logprob in step.top))
        for step in continued.steps
    )
