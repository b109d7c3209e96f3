"""The tokens that begin, end and fill up a text, of a loaded model and its tokenizer."""

from __future__ import annotations

from typing import Any

from sftqa_core.errors import ModelUnavailable


def end_ids(model: Any, tokenizer: Any, name: str) -> tuple[int, ...]:
    """The tokenizer's end token, which tuning teaches, then the configuration's: some models name several."""
    named = model.config.eos_token_id
    candidates = [tokenizer.eos_token_id, *(named if isinstance(named, (list, tuple)) else [named])]
    ends = tuple(dict.fromkeys(int(token) for token in candidates if token is not None))
    if not ends:
        raise ModelUnavailable(f"{model.config.model_type} names no end token, so nothing would ever stop. Set eos_token in its tokenizer.")
    if ends[0] >= (rows := model.get_input_embeddings().weight.shape[0]):
        raise ModelUnavailable(
            f"{name} can't be used: the end token is number {ends[0]:,}, but the model knows {rows:,} tokens. "
            "Fetch the tokenizer that belongs to the model, or set eos_token in its tokenizer_config.json to a token that is there."
        )
    return ends


def pad_id(model: Any, tokenizer: Any, ends: tuple[int, ...]) -> int:
    """The padding token where the model has numbers for it: it is never attended to, but looked up. Else the end token."""
    own = tokenizer.pad_token_id
    return int(own) if own is not None and own < model.get_input_embeddings().weight.shape[0] else ends[0]


def beginning_ids(tokenizer: Any) -> list[int]:
    """What the tokenizer puts before a text (its beginning token, or nothing)."""
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    for start in range(len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return list(whole[:start])
    return []
