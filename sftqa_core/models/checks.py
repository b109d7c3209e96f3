"""What a model's folder says of itself, looked at before transformers builds anything from it.

Weights that are only numbers can still come with settings that fill the memory, keep a processor busy for days, or ask for code.
Whatever is refused here would have been no language model of use.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from sftqa_core.errors import ModelUnavailable
from sftqa_core.jsonrecord import shown
from sftqa_core.models.folders import MAX_TOKENIZER_BYTES, ModelFolder

TOKENIZER = "tokenizer.json"
MAX_LAYERS = 1_000
MAX_EXPERTS = 10_000
MAX_GROWTH = 1_000_000  # characters that the tokenizer's replacements may make of one
_COUNTED = {"layers": MAX_LAYERS, "layer": MAX_LAYERS, "experts": MAX_EXPERTS}  # the last word of a setting's name
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}")
_PATTERNS = ("target_modules", "exclude_modules", "modules_to_save", "layers_pattern", "rank_pattern", "alpha_pattern")


def refuse_huge(folder: ModelFolder, name: str) -> None:
    """Raise `ModelUnavailable` for a configuration that tells of more layers or experts than any model has: each would be built."""
    for setting, value in _settings(folder.config()):
        most = _COUNTED.get(setting.rpartition("_")[2])
        if most and isinstance(value, int) and value > most:
            raise ModelUnavailable(f"{name} can't be loaded: its configuration says {setting}: {shown(value)}, the most is {most:,}.")


def refuse_growing_tokenizer(folder: ModelFolder, name: str) -> None:
    """Raise `ModelUnavailable` for a tokenizer that replaces a character by a library."""
    if not (folder.path / TOKENIZER).exists():
        return
    tokenizer = folder.json(TOKENIZER, MAX_TOKENIZER_BYTES)
    for section in ("normalizer", "pre_tokenizer", "decoder"):
        growth = math.prod(max(1, len(text)) for text in _replacements(tokenizer.get(section)))
        if growth > MAX_GROWTH:
            raise ModelUnavailable(f"{name} can't be loaded: its tokenizer's {section} makes far more of a text than the text itself.")


def refuse_odd_adapter(folder: ModelFolder, name: str) -> None:
    """Raise `ModelUnavailable` for an adapter that is no LoRA, or names layers by patterns: one pattern can keep a processor busy for
    ever."""
    config = folder.config()
    if config.get("peft_type") != "LORA":
        raise ModelUnavailable(f"{name} is an adapter of type {shown(config.get('peft_type'))}. Only LoRA adapters can be used.")
    for setting in _PATTERNS:
        value = config.get(setting)
        for text in [value] if isinstance(value, str) else value or ():
            if not isinstance(text, str) or not _PLAIN_NAME.fullmatch(text):
                raise ModelUnavailable(
                    f"{name} is an adapter that names its layers by a pattern ({setting}: {shown(text)}). "
                    "Save it again with a list of plain names, or merge it into its model."
                )


def _settings(config: dict[str, Any], depth: int = 3) -> Iterator[tuple[str, Any]]:
    """Settings of a configuration and of those inside it (a text model's in a larger one)."""
    for name, value in config.items():
        yield name, value
        if isinstance(value, dict) and depth:
            yield from _settings(value, depth - 1)


def _replacements(part: Any) -> Iterator[str]:
    """Texts that a part of a tokenizer puts in the place of others, or in front."""
    waiting = [part]
    while waiting:
        at = waiting.pop()
        if isinstance(at, dict):
            yield from (at[key] for key in ("content", "prepend", "replacement") if isinstance(at.get(key), str))
            waiting += at.values()
        elif isinstance(at, list):
            waiting += at
