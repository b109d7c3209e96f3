"""Texts of options as values: each reader refuses what it can't read, as argparse reports it."""

import argparse
import json
from collections.abc import Callable
from typing import Any

from sftqa_core import records
from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import Setting

USUAL_SHOTS = records.TrainSettings(model="").shots


def reader_of(about: Setting) -> Callable[[str], Any]:
    """What makes a setting's value of an option's text."""
    if about.kind in (int, tuple[int, ...]):

        def number(text: str) -> int:
            if text in about.named:
                return about.named[text]
            value = whole(text)
            if about.named and value < (about.low or 0):
                raise argparse.ArgumentTypeError(f"must be {about.low or 0} or more, or {' or '.join(about.named)}, got {text!r}")
            return value

        return number if about.kind is int else lambda text: tuple(number(piece) for piece in names(text))
    others: dict[Any, Callable[[str], Any]] = {
        tuple[str, ...]: names, records.PromptFormat: prompt, float: float, tuple[float, ...]: rates
    }  # fmt: skip
    return others.get(about.kind, str)


def port(text: str) -> int:
    """A port from 1 to 65535."""
    if not 1 <= (number := whole(text)) <= 65535:
        raise argparse.ArgumentTypeError(f"must be 1 to 65535, got {text!r}")
    return number


def numbers(text: str) -> tuple[int, ...]:
    """Whole numbers with commas between."""
    return tuple(whole(piece) for piece in names(text))


def shots(text: str) -> tuple[int, tuple[int, ...]]:
    """The shots of the k-shot baseline, and the additional shot counts: of several the usual one comes first where it is among
    them, else the first above 0; every run is evaluated with 0 shots anyway."""
    counts = list(dict.fromkeys(numbers(text)))
    if len(counts) == 1:
        return counts[0], ()
    some = [count for count in counts if count != 0]
    if not some:
        raise argparse.ArgumentTypeError(f"must be one or more numbers with commas between, got {text!r}")
    first = USUAL_SHOTS if USUAL_SHOTS in some else some[0]
    return first, tuple(sorted(count for count in some if count != first))


def rates(text: str) -> tuple[float, ...]:
    """Numbers such as 1e-4 with commas between."""
    try:
        return tuple(float(piece) for piece in names(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be numbers with commas between, got {text!r}") from None


def names(text: str) -> tuple[str, ...]:
    """Names with commas between."""
    return tuple(piece.strip() for piece in text.split(",") if piece.strip())


def whole(text: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}") from None


def json_scheme(text: str) -> records.LevelScheme:
    """A level scheme: by name (paper, slick), or as JSON."""
    if text in records.SCHEMES:
        return records.SCHEMES[text]
    try:
        return records.LevelScheme.from_dict(json.loads(text))
    except (ValueError, SettingsError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def cutoffs(text: str) -> tuple[float, ...]:
    """Where levels change, with commas between."""
    try:
        return records.read_cutoffs(text)
    except SettingsError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def prompt(text: str) -> records.PromptFormat:
    """A prompt format: by name, as a text with {question}, or as JSON."""
    try:
        if text.startswith("{") and '"prompt"' in text:
            return records.PromptFormat.from_dict(json.loads(text))
        return records.prompt_format(text.replace("\\n", "\n"))
    except SettingsError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
