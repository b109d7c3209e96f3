"""What a server's API says, read strictly: models, and completions with the log-probabilities of their tokens."""

import math
from dataclasses import dataclass
from typing import Any

from sftqa_core.errors import ModelUnavailable
from sftqa_core.jsonrecord import shown

MOST_CHARACTERS = 2_000_000  # of one completion, its prompt included
_MOST_NAMED = 20


@dataclass(frozen=True)
class ServedEntry:
    """One model in a server's list."""

    model: str
    owner: str  # the kind of server, as it calls itself: vllm, sglang, llamacpp
    root: str  # what the model was loaded from, where it is told
    window: int | None  # tokens of its context window, where they are told


@dataclass(frozen=True)
class Choice:
    """One completion. The tokens are those that were drawn, the end token included, with `echo` the prompt's before them."""

    text: str
    ended: bool  # by an end token; else at the limit
    tokens: tuple[str, ...]
    logprobs: tuple[float, ...]  # natural logarithms; NaN of the prompt's first token
    top: tuple[dict[str, float], ...]  # the likeliest tokens at each place, by text


def entry_of(reply: Any, model: str, place: str) -> ServedEntry:
    """The model in the reply to GET /models. Raises `ModelUnavailable` for a list without it."""
    rows = reply.get("data") if isinstance(reply, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) and isinstance(row.get("id"), str) for row in rows):
        raise ModelUnavailable(f"{place} gave no list of models. Is it the address of an OpenAI-compatible API, such as .../v1?")
    for row in rows:
        if row["id"] == model:
            window = row.get("max_model_len")
            told = (str(row.get(name) or "")[:200] for name in ("owned_by", "root"))
            owner, root = (text if text.isprintable() else "" for text in told)
            return ServedEntry(model, owner, root, window if type(window) is int and window > 0 else None)
    names = ", ".join(shown(row["id"]) for row in rows[:_MOST_NAMED]) or "none"
    raise ModelUnavailable(f"{place} serves no model named {shown(model)}. It serves {names}.")


def choices_of(reply: dict[str, Any], wanted: int, new_tokens: int, echo: bool, place: str) -> tuple[list[Choice], int]:
    """The completions in a reply, and the prompt's tokens as the server counted them; with `echo` they hold the prompt, too.

    Raises `ModelUnavailable` for another number of completions or tokens than was asked for, and for one without the log-probabilities
    of its tokens.
    """
    rows, usage = reply.get("choices"), reply.get("usage")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ModelUnavailable(f"{place} gave no completions, but {shown(reply)}.")
    if len(rows) != wanted:
        raise ModelUnavailable(f"{place} was asked for {wanted} completions and gave {len(rows)}: it can't be used. vLLM gives all.")
    counted = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    choices = [_choice(row, echo, place) for row in rows]
    for choice in choices if not echo else ():
        if len(choice.tokens) > new_tokens or (len(choice.tokens) < new_tokens and not choice.ended):
            raise ModelUnavailable(
                f"{place} was asked for {new_tokens} tokens and stopped after {len(choice.tokens)}: it has a limit of its own. Raise that, "
                "or ask for fewer."
            )
    return choices, counted if type(counted) is int and counted >= 0 else 0


def _choice(row: dict[str, Any], echo: bool, place: str) -> Choice:
    text, reason, told = row.get("text"), row.get("finish_reason"), row.get("logprobs")
    if not isinstance(text, str) or len(text) > MOST_CHARACTERS or reason not in ("stop", "length"):
        raise ModelUnavailable(f"{place} gave a completion that can't be used: text {shown(text)}, finish_reason {shown(reason)}.")
    told = told if isinstance(told, dict) else {}
    tokens, logprobs, top = (told.get(name) or [] for name in ("tokens", "token_logprobs", "top_logprobs"))
    lists = all(isinstance(row, list) for row in (tokens, logprobs, top)) and len(tokens) == len(logprobs)
    if not lists or not tokens or not all(isinstance(token, str) for token in tokens):
        raise ModelUnavailable(
            f"{place} gives no log-probabilities of tokens with its completions: without them it can't be told which model it is and "
            "whether it draws as it should. vLLM gives them."
        )
    if any("\ud800" <= letter <= "\udfff" for text in (text, *tokens) for letter in text):
        raise ModelUnavailable(f"{place} gave a text with half a character, which is damaged.")
    numbers = tuple(
        math.nan if value is None and echo and not at else _logprob(value, place) for at, value in enumerate(logprobs)
    )  # of the first token of a prompt there is none
    likeliest = tuple({token: _logprob(value, place) for token, value in best.items()} if isinstance(best, dict) else {} for best in top)
    return Choice(text, reason == "stop", tuple(tokens), numbers, likeliest)


def _logprob(value: Any, place: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
    except OverflowError:
        number = math.nan
    if math.isnan(number) or number > 1e-3:
        raise ModelUnavailable(f"{place} gave {shown(value)} as a log-probability. Its model is damaged, or overflows.")
    return max(number, -1e6)  # in place of minus infinity
