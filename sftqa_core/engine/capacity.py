"""Whether prompts fit a model's context window, and how many are read at once: for probing, answering, training and preflight."""

from collections.abc import Mapping, Sequence
from typing import Any

from sftqa_core.errors import SettingsError
from sftqa_core.models import devices, footprint, loading
from sftqa_core.models.serving.served_models import AnyModel, ServedModel
from sftqa_core.records import LevelScheme

_WINDOW = ("max_position_embeddings", "n_positions", "max_seq_len", "model_max_length", "context_length")  # as transformers' families say
_MOST = 10**9  # tokens: beyond, a configuration says no limit
_SHOWN = 3  # texts that a message quotes
_QUOTED = 60  # characters of each


def context_window(config: Mapping[str, Any]) -> int | None:
    """Tokens that a model with this configuration can read at once; None where it sets no limit."""
    config = {**config, **(config.get("text_config") or {})}
    return next((size for name in _WINDOW if type(size := config.get(name)) is int and 0 < size <= _MOST), None)


def window_of(loaded: AnyModel) -> int | None:
    """The same of a loaded model, or of a served one."""
    if isinstance(loaded, ServedModel):
        return loaded.window
    return context_window(loaded.model.config.get_text_config().to_dict())


def fits_window(window: int | None, length: int, new_tokens: int = 0) -> bool:
    """Whether a text of `length` tokens, with `new_tokens` after it, fits."""
    return window is None or length + new_tokens <= window


def completion_tokens(scheme: LevelScheme) -> int:
    """New tokens behind each prompt of a probe: by likelihood none is written, as the answers are read."""
    return 0 if scheme.method == "likelihood" else scheme.sampling.max_new_tokens


def require_window(loaded: AnyModel, lengths: Sequence[int], new_tokens: int, what: str, texts: Sequence[str]) -> None:
    """Raise `SettingsError` unless every length (tokens), with `new_tokens` after it, fits the model's context window.

    `what` names the things that are measured (plural: "questions"), `texts` tells them apart for people, one a length.
    """
    window = window_of(loaded)
    long = [place for place, length in enumerate(lengths) if not fits_window(window, length, new_tokens)]
    if not long:
        return
    quoted = [f"{texts[place][:_QUOTED]!r} ({lengths[place]:,} tokens)" for place in long[:_SHOWN]]
    more = f" and {len(long) - _SHOWN:,} more" if len(long) > _SHOWN else ""
    after = f" with {new_tokens:,} new tokens" if new_tokens else ""
    raise SettingsError(
        f"{len(long):,} of {len(lengths):,} {what} do not fit the model's context window of {window:,} tokens{after}: "
        f"{', '.join(quoted)}{more}. Leave these facts out or shorten them, use a shorter prompt"
        f"{' or fewer new tokens' if new_tokens else ''}, or choose a model with a larger context window."
    )


def at_once(loaded: loading.LoadedModel, prompt_length: int, rows: int, new_tokens: int) -> int:
    """How many prompts are read together: `prompts_at_once` of a loaded model and what is free now; 1 where its widths are not known."""
    shape = footprint.Shape.of_loaded(loaded.model)
    if shape is None:
        return 1
    if loaded.dtype == devices.BFLOAT16:
        shape = shape.in_bfloat16()
    return footprint.prompts_at_once(shape, loaded.device, prompt_length, rows, new_tokens, _free_bytes(loaded.device, loaded.gpus))


def _free_bytes(device: str, gpus: int) -> float:
    """Each of several GPUs keeps the keys and values of its own layers."""
    if device not in devices.SEPARATE:
        ram = devices.device_ram(device)
        return ram.free if ram else 0
    import torch

    return gpus * min(torch.cuda.mem_get_info(gpu)[0] for gpu in range(gpus))
