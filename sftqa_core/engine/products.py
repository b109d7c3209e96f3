"""Matrix products of linear layers with weights that are laid out once for the processor's cache, where that is measured to be faster.

torch's own `linear` lays a weight out anew in every product, or calls MKL, which is slow on some processors and for wide layers. oneDNN,
which torch brings along, takes a weight that was laid out before. Which of the two is faster depends on processor, number format and
shape, so both are timed, once a machine: the choice is kept in the workspace, since results differ by rounding and a choice that
changed from run to run would change completions that are near-ties (METHOD 8.1).
"""

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, ref

import torch

from sftqa_core.artifacts import keep_json, read_json
from sftqa_core.models import footprint, loading
from sftqa_core.models.serving.served_models import AnyModel
from sftqa_core.workspace import Workspace

_SHARE = {torch.float32: 1e-4, torch.bfloat16: 2e-2}  # of the largest number of a trial's result that a difference may have
_GAIN = 1.15  # times as fast as torch's own: less is within what timings differ by, and not worth a second copy of the weights
_ROUNDS, _TIMED_S = (5, 40), 0.2  # trials of each kind, and about how long they take: the best one counts, as others use the processor
_TRIAL = 4e9  # FLOPs of a trial, about
_TRIAL_ROWS = (32, 256)
_RULE = 1  # of the choice; another one is measured anew

Linear = Callable[[torch.Tensor], torch.Tensor]


class Products:
    """The linear layers of a model on a processor, packed where that is faster. The model is as it was but inside `used`.

    The packed weights are a copy, of the time when this was made; it takes memory for as long as somebody holds this.
    """

    def __init__(self, model: torch.nn.Module):
        self._weights = _versions(model)
        self._forwards = [(layer, _packed(layer)) for layer in _chosen_layers(model)]

    def fit(self, model: torch.nn.Module) -> bool:
        """Whether the model's weights are still those of when this was made."""
        return self._weights == _versions(model)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Let the model's linear layers compute with packed weights."""
        try:
            for layer, forward in self._forwards:
                layer.__dict__["forward"] = forward  # in place of the class's own
            yield
        finally:
            for layer, _ in self._forwards:
                layer.__dict__.pop("forward", None)


def of(loaded: loading.LoadedModel) -> Products:
    """The products of a loaded model: those that somebody still holds, unless it has learned since, or new ones."""
    known = _made.get(loaded.model)
    made = known() if known else None
    if made is None or not made.fit(loaded.model):
        made = Products(loaded.model)
        _made[loaded.model] = ref(made)
    return made


def said(loaded: AnyModel) -> dict[str, Any]:
    """What computes a model's products, as records name it; empty where that is torch alone, or a server."""
    layers = _chosen_layers(loaded.model) if isinstance(loaded, loading.LoadedModel) else []
    return {"packed_layers": len(layers), "packed_by": f"oneDNN of torch {torch.__version__}"} if layers else {}


_made: WeakKeyDictionary[torch.nn.Module, ref[Products]] = WeakKeyDictionary()


def _versions(model: torch.nn.Module) -> list[tuple[int, int]]:
    return [(weight.data_ptr(), weight._version) for weight in model.parameters()]


def _packed(layer: torch.nn.Linear) -> Linear:
    weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach())
    return partial(_linear, weight, None if layer.bias is None else layer.bias.detach().clone())


def _linear(weight: torch.Tensor, bias: torch.Tensor | None, states: torch.Tensor) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(states, weight, bias, "none", [], "")


# --- the choice ------------------------------------------------------------------------------------------------


def _shape(layer: torch.nn.Linear) -> str:
    return f"{str(layer.weight.dtype).removeprefix('torch.')} {layer.in_features} x {layer.out_features}"


def _chosen_layers(model: torch.nn.Module) -> list[torch.nn.Linear]:
    """The layers of a model that are faster packed; none of one that is too small to gain, or so large that a copy takes too much RAM."""
    least, most = footprint.PACKED
    if not least < sum(weight.numel() for weight in model.parameters()) <= most:
        return []
    layers = [module for module in model.modules() if type(module) is torch.nn.Linear and module.weight.device.type == "cpu"]
    faster = _faster_packed(layers)
    return [layer for layer in layers if faster[_shape(layer)]]


def _faster_packed(layers: list[torch.nn.Linear]) -> dict[str, bool]:
    """shape -> whether its layers are packed: what was measured on this machine before, or is now."""
    path = Workspace.current().state / "products.json"
    by_shape = {_shape(layer): layer for layer in layers}
    if any((_where(), shape) not in _chosen for shape in by_shape):
        stored = read_json(path)
        kept = stored if isinstance(stored, dict) else {}
        known = kept.get(_where())
        choices = {shape: choice for shape, choice in known.items() if type(choice) is bool} if isinstance(known, dict) else {}
        choices.update((shape, measured(layer)) for shape, layer in by_shape.items() if shape not in choices)
        _chosen.update(((_where(), shape), choice) for shape, choice in choices.items())
        if choices != known:
            keep_json(path, {**kept, _where(): choices})
    return {shape: _chosen[_where(), shape] for shape in by_shape}


_chosen: dict[tuple[str, str], bool] = {}  # of this process, also where the disk keeps nothing


def _where() -> str:
    """What a choice holds for."""
    return f"{_processor()}, torch {torch.__version__}, {torch.get_num_threads()} threads, rule {_RULE}"


@lru_cache
def _processor() -> str:
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{named} {torch.backends.cpu.get_cpu_capability()}"


@torch.no_grad()
def measured(layer: torch.nn.Linear) -> bool:
    """Whether a layer is faster packed, and gives its own numbers then. Costs some tenths of a second for the widest ones."""
    if layer.weight.dtype not in _SHARE:
        return False
    wanted = int(_TRIAL / (2 * layer.in_features * layer.out_features))
    rows = min(max(wanted, _TRIAL_ROWS[0]), _TRIAL_ROWS[1])
    states = torch.linspace(-1, 1, rows * layer.in_features).reshape(rows, -1).to(layer.weight.dtype)
    try:
        packed = _packed(layer)
        result = packed(states).float()
    except (AttributeError, NotImplementedError, RuntimeError):  # this torch, this processor or this number format can't pack
        return False
    plain = torch.nn.functional.linear(states, layer.weight, layer.bias).float()
    if not bool(torch.isfinite(plain).all()):
        return False  # a damaged model: either way of reading reports it
    if float((result - plain).abs().max()) > _SHARE[layer.weight.dtype] * float(plain.abs().max()):
        return False
    rounds = min(max(int(_TIMED_S / _seconds(packed, states)), _ROUNDS[0]), _ROUNDS[1])
    took = [(_seconds(layer, states), _seconds(packed, states)) for _ in range(rounds)]  # in turn: both see the same other work
    own, ours = (min(times) for times in zip(*took, strict=True))
    return own >= _GAIN * ours


def _seconds(work: Linear, states: torch.Tensor) -> float:
    began = time.perf_counter()
    work(states)
    return time.perf_counter() - began


NONE = Products(torch.nn.Identity())
