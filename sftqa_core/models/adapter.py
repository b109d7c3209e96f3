"""Heavy: adapters, as peft puts them onto a model. peft is imported when one is wanted."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def merged(model: Any, folder: Path) -> Any:
    """`model` with the adapter of a folder in its weights."""
    from peft import PeftModel

    with without_stale_warning():
        return PeftModel.from_pretrained(model, folder, local_files_only=True).merge_and_unload()


def beside(model: Any, folder: Path) -> Any:
    """`model` with the adapter of a folder beside its weights, which stay as they are."""
    from peft import PeftModel

    with without_stale_warning():
        return PeftModel.from_pretrained(model, folder, local_files_only=True)


@contextmanager
def without_stale_warning() -> Iterator[None]:
    """peft reads a name that transformers has deprecated, on a model that gets an adapter; nobody here can do anything about it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        yield


def transposed(model: Any) -> bool:
    """Whether its layers keep their matrices transposed (GPT-2's Conv1D), which an adapter's settings must say (fan_in_fan_out).

    In 4 bits none does, but the whole model that the adapter will be read with.
    """
    from transformers.pytorch_utils import Conv1D

    return any(isinstance(module, Conv1D) or getattr(module, "source_cls", None) is Conv1D for module in model.modules())
