"""Heavy: one optimizer step of a pre-training: number format, gradients added up over parts of a batch, torch.compile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone knows it by

from sftqa_core.errors import SettingsError
from sftqa_core.knowledge.download import first_line
from sftqa_core.models.devices import resolve_device, torch_device

CLIP_NORM = 1.0


@dataclass(frozen=True)
class Place:
    """Where and in which number format the training runs."""

    device: str
    bfloat16: bool  # matrix products in bfloat16; weights and optimizer stay float32

    @classmethod
    def choose(cls, device: str, precision: str = "auto") -> Place:
        """`auto` takes the GPU if there is one; and bfloat16 wherever the hardware has it, as it is faster there."""
        name = resolve_device(device)
        if precision != "auto":
            return cls(name, precision == "bfloat16")
        half = {"cpu": _cpu_has_bfloat16, "mps": lambda: False}.get(name, torch.cuda.is_bf16_supported)
        return cls(name, bool(half()))

    @property
    def torch(self) -> str:
        """What torch calls the device."""
        return torch_device(self.device)

    @property
    def attention(self) -> str:
        """transformers' name of the fastest attention: measured on a processor, sequences this short train a quarter faster with eager."""
        return "eager" if self.device == "cpu" else "sdpa"


def step(model: Any, optimizers: Sequence[torch.optim.Optimizer], batch: torch.Tensor, place: Place, parts: int = 1) -> float:
    """Learn one batch, token ids [sequences, length], that goes through the model in `parts` of as many sequences each.

    Gradients are added up, so the parts decide the memory and not, but for rounding, what is learnt. Returns the mean loss.
    """
    total = 0.0
    for part in batch.chunk(parts):
        with torch.autocast(torch.device(place.torch).type, torch.bfloat16, enabled=place.bfloat16):
            logits = model(input_ids=part, use_cache=False).logits
        loss = F.cross_entropy(logits[:, :-1].reshape(-1, logits.size(-1)).float(), part[:, 1:].reshape(-1)) / parts
        loss.backward()
        total += loss.item()
    torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return total


@contextmanager
def compiled(model: Any, wanted: bool) -> Iterator[Any]:
    """What to call in place of `model`, whose weights it shares: `torch.compile` of it where that is wanted, else itself.

    Compilation happens at the first call. Raises `SettingsError` where this machine can't compile.
    """
    if not wanted:
        yield model
        return
    from torch._dynamo.exc import TorchDynamoException

    try:
        yield torch.compile(model)
    except TorchDynamoException as error:
        cause = first_line(getattr(error, "inner_exception", error))
        raise SettingsError(
            f"torch.compile does not work for this model on this machine ({cause}). It needs a C++ compiler and, "
            "on a GPU, Triton. Leave --compile out: the same is learnt, more slowly."
        ) from error


def _cpu_has_bfloat16() -> bool:
    """Native bfloat16 arithmetic; emulating it would be slower than float32."""
    capability = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capability.get("amx_bf16") or capability.get("avx512_bf16"))
