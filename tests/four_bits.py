"""What tests of weights in 4 bits share: a mark for those that need bitsandbytes, and the bytes of such a model."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

from sftqa_core.models.quantising import INSTALL, PACKAGE, scales

needs_bitsandbytes = pytest.mark.skipif(find_spec(PACKAGE) is None, reason=f"{PACKAGE} is not installed: {INSTALL}")


def weight_bytes(model: Any) -> int:
    """Bytes of a model's numbers, the scales of those in 4 bits among them."""
    beside = [tensor for state in scales(model) for tensor in (state.absmax, state.state2.absmax, state.offset)]
    return sum(tensor.numel() * tensor.element_size() for tensor in (*model.parameters(), *beside))


def four_bit_layers(model: Any) -> dict[str, Any]:
    """Name -> module of the layers in 4 bits."""
    return {name: module for name, module in model.named_modules() if type(module).__name__ == "Linear4bit"}
