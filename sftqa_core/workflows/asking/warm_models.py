"""Heavy: models that stay loaded between questions, as far as RAM allows; the least recently used one leaves first.

Every model has weights of its own: an adapter is merged into a copy of its base model, never into one that answers for itself.
"""

import gc
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from sftqa_core.artifacts import in_words
from sftqa_core.engine.drawing import empty_cache
from sftqa_core.errors import ModelUnavailable, OutOfMemory
from sftqa_core.evaluation.replies import reply, served_reply
from sftqa_core.models import devices, footprint
from sftqa_core.models.catalogue import base_card, find_model
from sftqa_core.models.loading import LoadedModel, load_model
from sftqa_core.models.quantising import NF4
from sftqa_core.models.serving.addresses import KIND as SERVER
from sftqa_core.models.serving.served_models import open_served
from sftqa_core.planning.fit import gigabytes, model_shape, resource
from sftqa_core.records import Column, ModelCard, Reply, Warm
from sftqa_core.workflows.asking.questions import files_stamp

MOST_SHARE = 0.5  # of the device's memory that models take together: other work needs some, too
_ROWS = 16  # samples and answers that are read together, about
_LENGTH = 64  # tokens of a question, about
_SAY_S = 0.5  # between two words on how far an answer is


class WarmModels:
    """Loads models when they are first asked and keeps them, at most `most_bytes` of weights a device (None: half of its memory)."""

    def __init__(self, most_bytes: int | None = None):
        self._most_bytes = most_bytes
        self._models: OrderedDict[tuple[str, str, str], tuple[LoadedModel, int]] = OrderedDict()
        self._lock = threading.RLock()

    def held(self) -> tuple[Warm, ...]:
        """What is loaded, the most recently used first."""
        with self._lock:
            return tuple(Warm(loaded.card.name, size, loaded.device) for loaded, size in reversed(self._models.values()))

    def answer(self, column: Column, device: str, say: Callable[[str], None], check: Callable[[], None] = lambda: None) -> Reply:
        """One column's reply. `say` is told what is being done; `check` is called once a token and may raise `Stopped`.

        Raises what `model_of`, `load_model` and `reply` do.
        """
        began, card = time.monotonic(), find_model(column.model)
        if card.kind == SERVER:
            say(f"Asking {column.model}")
            served = open_served(card, check=check)
            try:
                return served_reply(served, column)
            finally:
                served.client.close()
        loaded, fresh = self.model_of(column, device, say)
        loading_s = time.monotonic() - began if fresh else 0.0
        tokens, said_s, limit = 0, time.monotonic(), column.question.max_new_tokens

        def step() -> None:
            nonlocal tokens, said_s
            check()
            tokens += 1
            if time.monotonic() - said_s > _SAY_S:  # of a small model nothing is told: it is through by then
                said_s = time.monotonic()
                say(f"Asking {column.model}, token {tokens} of at most {limit}")

        check()
        say(f"Asking {column.model}")
        return replace(reply(loaded, column, on_step=step), loading_s=loading_s)

    def model_of(self, column: Column, device: str, say: Callable[[str], None] = lambda line: None) -> tuple[LoadedModel, bool]:
        """The model of a column, and whether it was loaded now.

        Raises `ModelUnavailable` where its files have changed since the column was made, `OutOfMemory` where it has no room even alone.
        """
        place = devices.resolve_device(device)
        key = (column.files, column.quantization, place)
        with self._lock:
            if key in self._models:
                self._models.move_to_end(key)
                loaded, size = self._models[key]
                if loaded.card.name == column.model:
                    return loaded, False
                del self._models[key]  # the same files under another name
            card = find_model(column.model)
            if files_stamp(card) != column.files:
                raise ModelUnavailable(f"The files of {column.model} have changed since it was asked. Ask again.")
            needed = _needed(card, place, column.quantization)
            self._make_room(column.model, place, needed)
            say(f"Loading {column.model}, {in_words(_weight_bytes(card, place, column.quantization))}")
            loaded = load_model(card, place, quantization=column.quantization)
            size = _bytes_of(loaded)
            self._models[key] = (loaded, size)
            return loaded, True

    def drop(self) -> None:
        """Let go of all models."""
        with self._lock:
            self._models.clear()
            _release()

    def _make_room(self, name: str, device: str, needed: int) -> None:
        """Let the least recently used models go until there is room for one that needs so many bytes."""
        ram = devices.device_ram(device)
        most = self._most_bytes if self._most_bytes is not None else int(MOST_SHARE * ram.total) if ram else None
        while same := [key for key in self._models if key[2] == device]:
            held = sum(self._models[key][1] for key in same)
            free = devices.device_ram(device)
            if (most is None or held + needed <= most) and (free is None or needed <= free.free):
                return
            del self._models[same[0]]
            _release()
        if ram is not None and (left := devices.device_ram(device)) is not None and needed > left.free:
            raise OutOfMemory(
                f"{name} needs about {gigabytes(needed)} of {resource(device)} to answer, and {gigabytes(left.free)} are free. "
                "Close other programs, or ask a smaller model."
            )


def _weight_bytes(card: ModelCard, device: str, quantization: str) -> int:
    """Of a model's weights on a device, its base model's where it is an adapter; 0 where nothing is known."""
    shape, parameters = model_shape(card, quantization), (base_card(card) or card).parameters
    if shape is not None:
        return footprint.weight_bytes(shape, device)
    return footprint.coarse(parameters, device).weights if parameters else 0


def _needed(card: ModelCard, device: str, quantization: str) -> int:
    """Bytes that a model takes to load and answer a question; an adapter is merged in float32."""
    shape = model_shape(card, quantization)
    base = base_card(card)
    if shape is not None:
        work = footprint.answering(shape, device, _ROWS, _LENGTH, _LENGTH).least
        return max(work, 4 * shape.parameters if base is not None and quantization != NF4 and device == "cpu" else 0)
    parameters = (base or card).parameters
    return footprint.coarse(parameters, device).total if parameters else 0


def _bytes_of(loaded: LoadedModel) -> int:
    """Of its weights; tied ones count once."""
    tensors = {tensor.data_ptr(): tensor for tensor in (*loaded.model.parameters(), *loaded.model.buffers())}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def _release() -> None:
    gc.collect()
    empty_cache()
    devices.return_freed_ram()
