"""Heavy: what a loaded model says to one question, in the form in which it was trained and is tested; or to a statement, as a probe
completes it."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import exp, fsum, log
from typing import Any

import torch

from sftqa_core.engine import capacity
from sftqa_core.engine.drawing import decode
from sftqa_core.engine.next_tokens import Continued, continue_prompt, likelihoods
from sftqa_core.engine.server_answers import logprobs_after
from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import shown
from sftqa_core.knowledge.aliases import Aliases, load_aliases
from sftqa_core.knowledge.matching import Matcher
from sftqa_core.models.loading import LoadedModel, continuation, encode_prompts, require_known
from sftqa_core.models.serving.served_models import ServedModel
from sftqa_core.models.serving.server_limits import require_tokenizer
from sftqa_core.models.serving.server_replies import Choice
from sftqa_core.records import Candidate, Column, PromptFormat, Question, Reply, Sampled, SamplerSettings, Scored, Step
from sftqa_core.records.asking import TOP, new_tokens
from sftqa_core.training.encoding import Chat, Plain, Texts, asking

_SMALL = 50_000_000  # parameters


@dataclass(frozen=True)
class _Encoded:
    """A question as one model reads it."""

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
    asked = asking(loaded, _form(question))
    answering = asked.answering if question.kind == "question" else loaded
    encoded = _encoded(asked, question)
    limit = new_tokens(question, None)
    _require_room(loaded, encoded, question, limit)
    drawn = SamplerSettings(question.samples, question.temperature, limit, question.seed)
    with _threads(loaded):
        continued = continue_prompt(answering, encoded.ids, drawn, TOP, on_step)
        scored = _scored(answering, encoded, question)
    right = _judge(question, aliases, match)
    return Reply(
        column.model,
        str(loaded.tokenizer.decode(list(encoded.ids), skip_special_tokens=False)),
        len(encoded.ids),
        continued.text,
        continued.ended,
        right(continued.text),
        _steps(answering, continued),
        tuple(Sampled(text, count, right(text)) for text, count in continued.samples),
        scored,
        loaded.fingerprint.weights,
        loaded.fingerprint.adapter,
        loaded.fingerprint.dtype,
        loaded.device,
        answering_s=time.monotonic() - began,
    )


def served_reply(served: ServedModel, column: Column, aliases: Aliases | None = None, match: str = "tokens") -> Reply:
    """The same of a model on a server, whose samples are drawn with its own random numbers. Raises `SettingsError`, `ModelUnavailable`."""
    began, question = time.monotonic(), column.question
    asked, limit, right = asking(served, _form(question)), new_tokens(question, None), _judge(question, aliases, match)
    answering = asked.answering if question.kind == "question" else served
    prompt: str | tuple[int, ...]
    if isinstance(asked, Texts):
        if question.answers:  # right ones, which nobody asked to score, are judged alone
            require_tokenizer(served.card, "The probability of given answers")
        encoded, prompt = _Encoded((), ()), question.text if question.kind == "statement" else asked.prompt(question.text)
    else:
        encoded = _encoded(asked, question)
        prompt = encoded.ids
    (greedy,), count = answering.ask(prompt, limit, top=TOP)
    drawn, _ = answering.ask(prompt, limit, question.samples, question.temperature)
    sampled = Counter(choice.text for choice in drawn)
    scored: list[Scored] = []
    for text, ids in zip(question.scored if encoded.answers else (), encoded.answers, strict=True):
        logprobs = logprobs_after(answering, encoded.ids, ids)
        ends = [logprobs_after(answering, (*encoded.ids, *ids), (end,))[0] for end in answering.end_ids]
        end = log(fsum(map(exp, ends))) if ends else -1e6
        scored.append(Scored(text, fsum(logprobs), len(ids), end, text in question.right))
    return Reply(
        column.model,
        prompt if isinstance(prompt, str) else str(served.tokenizer.decode(list(prompt), skip_special_tokens=False)),
        count,
        greedy.text,
        greedy.ended,
        right(greedy.text),
        _served_steps(greedy),
        tuple(Sampled(text, number, right(text)) for text, number in sorted(sampled.items(), key=lambda pair: (-pair[1], pair[0]))),
        tuple(scored),
        served.fingerprint.weights,
        None,
        served.dtype,
        served.device,
        answering_s=time.monotonic() - began,
    )


def _served_steps(greedy: Choice) -> tuple[Step, ...]:
    """Each step with its likeliest tokens; one that ends an answer has an empty text."""
    steps = []
    for place, (token, logprob) in enumerate(zip(greedy.tokens, greedy.logprobs, strict=True)):
        likeliest = dict(greedy.top[place]) if place < len(greedy.top) else {}
        best = sorted({**likeliest, token: logprob}.items(), key=lambda pair: (-pair[1], pair[0] != token))[:TOP]
        text = "" if greedy.ended and place == len(greedy.tokens) - 1 else token
        steps.append(Step(text, exp(logprob), tuple(Candidate(text if name == token else name, exp(value)) for name, value in best)))
    return tuple(steps)


def _judge(question: Question, aliases: Aliases | None, match: str) -> Callable[[str], bool | None]:
    """Whether a text holds a right answer; None where none is known."""
    compiled = Matcher(match).compile((aliases or load_aliases()).expand(question.right)) if question.right else None
    return lambda text: None if compiled is None else compiled.find(text) is not None


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


def _encoded(asked: Plain[Any] | Chat[Any], question: Question) -> _Encoded:
    """The question as the model reads it, a statement as it stands; with the answers that are to be scored."""
    loaded = asked.loaded
    if question.kind == "statement":
        ids = tuple(encode_prompts(loaded, [question.text])[0])
        glue = "" if question.text[-1:].isspace() else " "
        follow = [tuple(continuation(loaded.tokenizer, question.text, f"{glue}{answer.strip()}")) for answer in question.scored]
        require_known(loaded, [(*ids, *answer) for answer in follow], list(question.scored))
        return _Encoded(ids, tuple(follow))
    examples = [asked.example(question.text, answer.strip()) for answer in question.scored]
    # an example ends with the one token that ends an answer, or a turn
    answers = tuple(tuple(example.ids[example.prompt_length : -1]) for example in examples)
    if () in answers:
        lost = question.scored[answers.index(())]
        raise SettingsError(f"{loaded.card.name}'s chat template leaves nothing of {shown(lost)}. Ask by prompt qa or plain.")
    return _Encoded(examples[0].ids[: examples[0].prompt_length] if examples else asked.prompt(question.text), answers)


def _form(question: Question) -> PromptFormat:
    """How it is put to a model; a statement stands as it is, whatever form a question would have."""
    return question.prompt or PromptFormat() if question.kind == "question" else PromptFormat()


def _require_room(loaded: LoadedModel, encoded: _Encoded, question: Question, new: int) -> None:
    window, longest = capacity.window_of(loaded), max(new, *(len(answer) for answer in encoded.answers), 0)
    if not capacity.fits_window(window, len(encoded.ids), longest):
        raise SettingsError(
            f"The {question.kind} has {len(encoded.ids):,} tokens as {loaded.card.name} reads it; with {longest:,} tokens of an answer it "
            f"does not fit the model's context window of {window:,} tokens. Shorten it, or choose a model with a larger context window."
        )


def _scored(answering: LoadedModel, encoded: _Encoded, question: Question) -> tuple[Scored, ...]:
    told = likelihoods(answering, encoded.ids, encoded.answers)
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
