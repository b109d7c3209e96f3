"""Whether prompts fit a model, and how many at once: the one place for probing, answering and training."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sftqa_core.errors import SettingsError
from sftqa_core.models.devices import SEPARATE, device_memory

if TYPE_CHECKING:
    from sftqa_core.models.loading import LoadedModel

_SHOWN = 3  # texts that a message quotes
_QUOTED = 60  # characters of each
_AT_ONCE = ((20_000_000, 512), (2_000_000_000, 256), (1 << 62, 128))  # model size in parameters -> prompts
_LOGITS = 1 << 27  # numbers
_TOKENS = 1 << 16  # of prompts that are read in one pass
_SHARE_FOR_KEYS = 0.25  # of the free memory


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


def at_once(loaded: LoadedModel, prompt_length: int, rows: int, new_tokens: int) -> int:
    """How many prompts may be under way together so that logits, keys and values have room; at least 1.

    `prompt_length` is the longest prompt's, `rows` the rows that each may split into, `new_tokens` the tokens of a row.
    Enough rows to keep a processor or GPU busy, no more: the results do not depend on it.
    """
    config = loaded.model.config.get_text_config()
    vocabulary = loaded.model.get_output_embeddings().weight.shape[0]
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    token_bytes = 2 * config.num_hidden_layers * heads * size * loaded.model.dtype.itemsize
    limits = (
        next(prompts for parameters, prompts in _AT_ONCE if loaded.model.num_parameters() <= parameters),
        _LOGITS // (vocabulary * rows),
        int(_free_bytes(loaded.device, loaded.gpus)) // (token_bytes * (prompt_length + rows * new_tokens)),
        _TOKENS // prompt_length,
    )
    return max(1, min(limits))


def give_back() -> None:
    """Hand freed memory back to the system, where that can be asked for (glibc).

    It keeps blocks that were freed between small things that stay: 2 MB a probed fact, measured on a GPT-NeoX, without end.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _free_bytes(device: str, gpus: int) -> float:
    """What keys and values may take; each of several GPUs keeps those of its own layers."""
    if device not in SEPARATE:
        memory = device_memory(device)
        return _SHARE_FOR_KEYS * (memory.free if memory else 0)
    import torch

    return _SHARE_FOR_KEYS * gpus * min(torch.cuda.mem_get_info(gpu)[0] for gpu in range(gpus))
