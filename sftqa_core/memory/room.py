"""Whether prompts fit a model: the one check for probing, answering and training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sftqa_core.errors import SettingsError

if TYPE_CHECKING:
    from sftqa_core.models.loading import LoadedModel

_SHOWN = 3  # texts that a message quotes
_QUOTED = 60  # characters of each


def positions(loaded: LoadedModel) -> int | None:
    """Tokens that the model can hold at once; None where its configuration sets no limit."""
    return getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None)


def require_room(loaded: LoadedModel, lengths: Sequence[int], new_tokens: int, what: str, texts: Sequence[str]) -> None:
    """Raise `SettingsError` unless every length (tokens), with `new_tokens` after it, fits the model's positions.

    `what` names the things that are measured (plural: "questions"), `texts` tells them apart for people, one a length.
    """
    room = positions(loaded)
    long = [] if room is None else [place for place, length in enumerate(lengths) if length + new_tokens > room]
    if not long:
        return
    quoted = [f"{texts[place][:_QUOTED]!r} ({lengths[place]:,} tokens)" for place in long[:_SHOWN]]
    more = f" and {len(long) - _SHOWN:,} more" if len(long) > _SHOWN else ""
    after = f" with {new_tokens:,} new tokens" if new_tokens else ""
    raise SettingsError(
        f"{len(long):,} of {len(lengths):,} {what} do not fit the model's {room:,} positions{after}: {', '.join(quoted)}{more}. "
        f"Leave these facts out or shorten them, use a shorter prompt{' or fewer new tokens' if new_tokens else ''}, "
        "or choose a model with more positions."
    )
