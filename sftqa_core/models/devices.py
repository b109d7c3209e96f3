"""What the installed torch is built for, read from its version file: importing torch takes seconds and may fail.

Which device a setting stands for: the one place that decides, for leases, loading and `sftqa doctor` alike.

Light: it asks the environment, torch's version file and the GPUs' drivers, and never imports torch. A GPU counts when it is not
hidden, the installed torch is built for its kind, and its driver is new enough for that build.
"""

from __future__ import annotations

import importlib.util
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from sftqa_core.errors import SettingsError
from sftqa_core.models import amd, nvidia

_MAJOR = r"^{}\b[^=\n]*=\s*['\"](\d+)"  # None, without quotes, in a build for something else


@dataclass(frozen=True)
class TorchBuild:
    """Major versions; 0: the build is not for it. Both 0: a build for the processor, or for Apple's computers."""

    cuda: int = 0
    hip: int = 0  # AMD's ROCm


def torch_build() -> TorchBuild | None:
    """None where torch is not installed; one without a version file counts as a build for the processor."""
    try:
        spec = importlib.util.find_spec("torch")
    except ValueError:
        spec = None
    if spec is None or spec.origin is None:
        return None
    try:
        text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return TorchBuild()
    return TorchBuild(*(_major(name, text) for name in ("cuda", "hip")))


def _major(name: str, text: str) -> int:
    found = re.search(_MAJOR.format(name), text, re.MULTILINE)
    return int(found[1]) if found else 0


SETTINGS = ("auto", "cpu", "cuda", "rocm", "mps")
# Of a loaded model's weights, whatever its file holds. bfloat16 is the range of float32 in half the memory, and GPUs of both makers
# compute in it. Apple's have it only from the M2 and macOS 14 on, and float16 overflows in models that were trained in bfloat16;
# float32 works on all of them.
NUMBER_FORMATS = {"cpu": "float32", "cuda": "bfloat16", "rocm": "bfloat16", "mps": "float32"}
VISIBLE = {"cuda": nvidia.VISIBLE, "rocm": amd.VISIBLE}  # the variable that shows a process some of the GPUs
SEPARATE = ("cuda", "rocm")  # devices with a memory of their own; Apple's GPU works in the machine's
_NUMBERED = re.compile(r"(cuda|rocm|hip|mps):\d+")
_CGROUP = Path("/sys/fs/cgroup")  # what a container may take, where it is in one


@dataclass(frozen=True)
class DeviceMemory:
    """Bytes of a device's memory."""

    free: int  # that could be had now
    total: int


def resolve_device(setting: str) -> str:
    """`cpu`, `cuda` (NVIDIA), `rocm` (AMD) or `mps` (Apple): where work with this setting computes, on the first such GPU.

    Raises `SettingsError` for another setting, and for a GPU that can't be used here.
    """
    if setting not in SETTINGS:
        numbered = f" Which of several GPUs work gets is decided by its lease; {gpu_variable()} chooses among them."
        more = numbered if _NUMBERED.fullmatch(setting) else ""
        raise SettingsError(f"device must be {', '.join(SETTINGS[:-1])} or {SETTINGS[-1]}, got {setting!r}.{more}")
    if setting == "cpu":
        return "cpu"
    kind = gpu_kind()
    missing = why_no_gpu() if setting in ("auto", kind) else _another_kind(setting, kind)
    if setting != "auto" and missing:
        raise SettingsError(f"device {setting} was asked for, but {missing}. Choose auto or cpu.")
    return "cpu" if missing else kind


def torch_device(device: str) -> str:
    """What torch calls a resolved device: a torch built for ROCm says cuda, too."""
    return "cuda" if device == "rocm" else device


def gpu_kind() -> str:
    """The kind of GPU that the installed torch computes on, whether there is one or not: cuda, rocm or mps."""
    if _apple():
        return "mps"
    build = torch_build()
    return "rocm" if build is not None and build.hip else "cuda"


def gpu_variable() -> str:
    """The variable that shows a process some of this machine's GPUs and hides the others."""
    return VISIBLE.get(gpu_kind(), nvidia.VISIBLE)


def why_no_gpu() -> str | None:
    """What stands in the way of computing on a GPU, as part of a sentence; None when nothing does."""
    kind, build = gpu_kind(), torch_build()
    if build is None:
        return "torch is not installed"
    if kind != "cuda":
        return amd.why_none() if kind == "rocm" else _why_no_apple_gpu()
    missing = nvidia.why_none(build.cuda)
    other = missing and not nvidia.driver()[0] and amd.gpus()
    return f"{missing} (AMD's GPU needs a torch built for ROCm)" if other else missing


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as `gpu_variable` names them: numbers from 0, or what the variable says."""
    kind = gpu_kind()
    if kind == "mps":
        return [] if _why_no_apple_gpu() else ["0"]
    return nvidia.visible() if kind == "cuda" else list(amd.visible())


def _another_kind(setting: str, kind: str) -> str:
    if setting == "mps":
        return "this is no Apple computer"
    if kind == "mps":
        return "an Apple computer's torch computes on Apple's GPU alone (device mps)"
    return "the installed torch is " + ("not built for AMD's ROCm" if setting == "rocm" else "built for AMD's ROCm (device rocm)")


def _apple() -> bool:
    return platform.system() == "Darwin"


def _why_no_apple_gpu() -> str | None:
    """Every torch for Apple's own processors is built for their GPUs; whether macOS is new enough, torch itself says (loading.py)."""
    return None if platform.machine() == "arm64" else "only GPUs of Apple's own processors can be used, by a Python built for them (arm64)"


def device_memory(device: str) -> DeviceMemory | None:
    """Memory of a resolved device: the first GPU's own, or this machine's (its container's where that has less) for `cpu` and for
    `mps`, which shares it.

    None where it can't be read.
    """
    if device not in SEPARATE:
        return _own_memory()
    found = nvidia.memory() if device == "cuda" else amd.memory()
    return None if found is None else DeviceMemory(*found)


def _own_memory() -> DeviceMemory:
    import psutil

    machine = psutil.virtual_memory()
    limit = _cgroup_number("memory.max")
    if limit is None or limit >= machine.total:
        return DeviceMemory(machine.available, machine.total)
    left = limit - (_cgroup_number("memory.current") or 0) + (_cgroup_number("memory.stat", "inactive_file") or 0)
    return DeviceMemory(max(0, min(left, machine.available)), limit)


def _cgroup_number(file: str, key: str = "") -> int | None:
    """A number of this container's control group (version 2), alone in its file or behind `key`; None where there is none."""
    try:
        lines = [line.split() for line in (_CGROUP / file).read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return None
    words = [line[-1] for line in lines if line and (not key or line[0] == key)]
    return int(words[0]) if words and words[0].isdigit() else None
