"""AMD's GPUs, read from the files of the Linux kernel's driver (amdkfd) under /sys, without torch or ROCm.

ROCR_VISIBLE_DEVICES chooses among the machine's GPUs, and HIP_VISIBLE_DEVICES (or CUDA_VISIBLE_DEVICES where it is not set)
among the remaining ones, which it numbers from 0 again. Both take numbers, or identifiers such as GPU-1f2e....
"""

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

VISIBLE = "HIP_VISIBLE_DEVICES"
_FIRST, _ALSO = "ROCR_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"
_NODES = Path("/sys/class/kfd/kfd/topology/nodes")
_DRM = Path("/sys/class/drm")
_MODULE = Path("/sys/module/amdgpu/version")
_DRIVER = Path("/dev/kfd")  # what a process opens to compute


@dataclass(frozen=True)
class Gpu:
    """One GPU as the kernel knows it."""

    node: int
    unique_id: int  # 0 where it has none
    render_minor: int  # of its node /dev/dri/renderD...


def gpus() -> list[Gpu]:
    """All of the machine, or container, in the order in which ROCm numbers them."""
    nodes = sorted(int(path.name) for path in _NODES.glob("*") if path.name.isdigit())
    properties = [(node, _properties(_NODES / str(node))) for node in nodes]
    # a processor has a node of its own, without SIMD units
    return [Gpu(node, of.get("unique_id", 0), of.get("drm_render_minor", 0)) for node, of in properties if of.get("simd_count", 0) > 0]


def visible() -> dict[str, Gpu]:
    """The GPUs that this process may use, by the number they have in HIP_VISIBLE_DEVICES."""
    left = _picked(os.environ.get(_FIRST), gpus())
    wanted = os.environ.get(VISIBLE, os.environ.get(_ALSO))
    return {str(left.index(gpu)): gpu for gpu in _picked(wanted, left)}


def why_none() -> str | None:
    """Why a torch built for ROCm can't compute on one; None when it can."""
    if not gpus():
        return "no AMD GPU is visible here"
    if not visible():
        named = next(name for name in (VISIBLE, _ALSO, _FIRST) if name in os.environ)
        return f"{named} hides every GPU"
    if not os.access(_DRIVER, os.R_OK | os.W_OK):
        return f"this user may not use AMD's GPUs ({_DRIVER}; usually members of the groups render and video may)"
    return None


def ram(gpu: str = "") -> tuple[int, int] | None:
    """Free and total bytes of a visible GPU by its number, or of the first one; None where the kernel does not say."""
    there = visible()
    found = there.get(gpu) if gpu else next(iter(there.values()), None)
    if found is None:
        return None
    folder = _folder(found)
    try:
        total, used = (int((folder / f"mem_info_vram_{name}").read_text(encoding="ascii")) for name in ("total", "used"))
    except (OSError, ValueError):
        return None
    return total - used, total


def name(gpu: str) -> str:
    """What AMD calls a visible GPU, by its number ("AMD Instinct MI300X OAM"); empty where the kernel does not say."""
    found = visible().get(gpu)
    if found is None:
        return ""
    try:
        return (_folder(found) / "product_name").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def driver_version() -> str:
    """The kernel module's version, where it is not the kernel's own; empty where it does not say."""
    try:
        return _MODULE.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _folder(gpu: Gpu) -> Path:
    return _DRM / f"renderD{gpu.render_minor}" / "device"


def _properties(node: Path) -> dict[str, int]:
    try:
        lines = (line.split() for line in (node / "properties").read_text(encoding="ascii").splitlines())
        return {line[0]: int(line[1]) for line in lines if len(line) == 2}
    except (OSError, ValueError):  # a container's process may not read those of other containers' GPUs
        return {}


def _picked(wanted: str | None, there: Sequence[Gpu]) -> list[Gpu]:
    """The GPUs that a variable names, up to the first unknown one, which ends its list; all where it is not set."""
    if wanted is None:
        return list(there)
    names = {str(number): gpu for number, gpu in enumerate(there)} | {f"GPU-{gpu.unique_id:016x}": gpu for gpu in there if gpu.unique_id}
    named = [name.strip() for name in wanted.split(",")]
    return [names[name] for name in itertools.takewhile(names.__contains__, named)]
