"""Which device a setting means, and its RAM: decided here for leases, loading, preflight and `sftqa doctor`.

It reads the environment, the version file of the installed torch and the GPUs' drivers, and never imports torch, which takes seconds
and may fail. A GPU counts when it is not hidden, torch is built for its kind, and its driver is new enough for that build.
"""

import contextlib
import ctypes
import importlib.util
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sftqa_core.errors import SettingsError
from sftqa_core.models import amd, nvidia

SETTINGS = ("auto", "cpu", "cuda", "rocm", "mps")
# Of a loaded model's weights, whatever format its file has. bfloat16 has the range of float32 in half the memory, and GPUs of both makers
# compute in it. Apple's have it only from the M2 and macOS 14 on, and float16 overflows in models that were trained in bfloat16;
# float32 works on all of them. A probe on a processor can ask for bfloat16 (quantising.py).
NUMBER_FORMATS = {"cpu": "float32", "cuda": "bfloat16", "rocm": "bfloat16", "mps": "float32"}
BFLOAT16 = "bfloat16"
_CPUINFO = Path("/proc/cpuinfo")
_BFLOAT16_FLAGS = ("amx_bf16", "avx512_bf16")  # in it, of processors that multiply in bfloat16; others widen each number first
VISIBLE = {"cuda": nvidia.VISIBLE, "rocm": amd.VISIBLE}  # the variable that shows a process some of the GPUs
SEPARATE = ("cuda", "rocm")  # devices with RAM of their own; Apple's GPU works in the machine's
_NUMBERED = re.compile(r"(cuda|rocm):(0|[1-9]\d{0,2})")
_CGROUP = Path("/sys/fs/cgroup")  # what a container may take, where it is in one
_elsewhere: str | None = None  # what auto means while other machines compute
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
    majors = (re.search(_MAJOR.format(name), text, re.MULTILINE) for name in ("cuda", "hip"))
    return TorchBuild(*(int(major[1]) if major else 0 for major in majors))


@dataclass(frozen=True)
class DeviceRam:
    """Bytes of a machine's RAM, or of a GPU's own."""

    free: int  # available now
    total: int


def numbered(setting: str) -> tuple[str, str]:
    """A setting without its number, and the number, which chooses among the GPUs that `gpu_variable` names: ("cuda", "1"), ("auto", "")."""
    found = _NUMBERED.fullmatch(setting)
    return (found[1], found[2]) if found else (setting, "")


def chosen_device(setting: str) -> str:
    """The resolved device with that number: "cuda:1", "cuda". For `device_ram`, never for keys: a GPU's number is no part of a result.

    Raises what `resolve_device` does.
    """
    device, (_, gpu) = resolve_device(setting), numbered(setting)
    return f"{device}:{gpu}" if gpu else device


@contextlib.contextmanager
def computing_on(device: str) -> Iterator[None]:
    """Inside, the setting auto means this device, which other machines have: they compute, whatever this one has."""
    global _elsewhere
    before, _elsewhere = _elsewhere, device
    try:
        yield
    finally:
        _elsewhere = before


def resolve_device(setting: str) -> str:
    """`cpu`, `cuda` (NVIDIA), `rocm` (AMD) or `mps` (Apple): where work with this setting runs. Which of several GPUs it gets is up to its
    lease: any that is free, or, of a setting such as `cuda:1`, that one.

    Raises `SettingsError` for another setting, and for a GPU that can't be used here.
    """
    plain, gpu = numbered(setting)
    if plain not in SETTINGS:
        one = "One of several GPUs has its number behind it: cuda:1, rocm:1."
        raise SettingsError(f"device must be {', '.join(SETTINGS[:-1])} or {SETTINGS[-1]}, got {setting!r}. {one}")
    if plain == "cpu":
        return "cpu"
    if plain == "auto" and _elsewhere:
        return _elsewhere
    kind = gpu_kind()
    if plain in ("auto", kind):
        missing = why_no_gpu()
    elif plain == "mps":
        missing = "this is not an Apple computer"
    elif kind == "mps":
        missing = "an Apple computer's torch computes on Apple's GPU alone (device mps)"
    else:
        missing = "the installed torch is " + ("not built for AMD's ROCm" if plain == "rocm" else "built for AMD's ROCm (device rocm)")
    if plain != "auto" and missing:
        raise SettingsError(f"device {setting} was asked for, but {missing}. Choose auto or cpu.")
    if gpu:
        require_gpu(gpu)
    return "cpu" if missing else kind


def require_gpu(gpu: str) -> None:
    """Raise `SettingsError`, with what there is, for a GPU of a number that this process may not use."""
    if gpu not in visible_gpus():
        there = ", ".join(f"{name} ({model})" if model else name for name, model in gpu_names().items())
        there = f"There is {there}" if there else f"{gpu_variable()} names none by a number"
        raise SettingsError(f"GPU number {gpu} was asked for, but it can't be used here. {there}. Choose another, or device {gpu_kind()}.")


def require_gpus(gpus: int, there: int) -> None:
    """Raise `SettingsError` for work on more `gpus` than the usable ones (`there`)."""
    if gpus > there:
        why = "" if there else f" ({why_no_gpu() or 'the device is cpu'})"
        raise SettingsError(f"The work needs {gpus} GPUs, but this machine has {there} that can be used{why}. Ask for fewer.")


def torch_device(device: str) -> str:
    """torch's name of a resolved device: a torch built for ROCm also says cuda."""
    return "cuda" if device == "rocm" else device


def gpu_kind() -> str:
    """The kind of GPU that the installed torch computes on, whether there is one or not: cuda, rocm or mps."""
    if platform.system() == "Darwin":
        return "mps"
    build = torch_build()
    return "rocm" if build is not None and build.hip else "cuda"


def gpu_variable() -> str:
    """The variable that shows a process some of this machine's GPUs and hides the others."""
    return VISIBLE.get(gpu_kind(), nvidia.VISIBLE)


def why_no_gpu() -> str | None:
    """Why no GPU can be used, as part of a sentence; None where one can."""
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


def gpu_names() -> dict[str, str]:
    """The GPUs that a setting can choose among -> what their maker calls them, empty where the driver does not say. Apple's have none."""
    kind = gpu_kind()
    if kind not in SEPARATE:
        return {}
    maker = nvidia.name if kind == "cuda" else amd.name
    return {f"{kind}:{gpu}": maker(gpu) for gpu in visible_gpus() if gpu.isdecimal()}


def _why_no_apple_gpu() -> str | None:
    """Every torch for Apple's own processors is built for their GPUs; torch itself checks macOS (loading.py)."""
    return None if platform.machine() == "arm64" else "only GPUs of Apple's own processors can be used, by a Python built for them (arm64)"


def device_ram(device: str) -> DeviceRam | None:
    """RAM of a resolved or chosen device: that GPU's own, or the first one's, or this machine's for `cpu` and for `mps`, which shares it;
    the limit of its container counts where that is less. None where the GPU's driver does not say."""
    kind, gpu = numbered(device)
    if kind in SEPARATE:
        free_and_total = nvidia.ram(gpu) if kind == "cuda" else amd.ram(gpu)
        return None if free_and_total is None else DeviceRam(*free_and_total)
    import psutil

    machine = psutil.virtual_memory()
    limit = _cgroup_number("memory.max")
    if limit is None or limit >= machine.total:
        return DeviceRam(machine.available, machine.total)
    left = limit - (_cgroup_number("memory.current") or 0) + (_cgroup_number("memory.stat", "inactive_file") or 0)
    return DeviceRam(max(0, min(left, machine.available)), limit)


def _cgroup_number(file: str, key: str = "") -> int | None:
    """A number of this container's control group (version 2), alone in its file or behind `key`; None where there is none."""
    try:
        lines = [line.split() for line in (_CGROUP / file).read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return None
    words = [line[-1] for line in lines if line and (not key or line[0] == key)]
    return int(words[0]) if words and words[0].isdigit() else None


def processor_bfloat16() -> str | None:
    """The instructions with which this machine's processor computes in bfloat16; empty where it has none, None where that is not known:
    only Linux on an x86 processor tells."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), None)
    return None if flags is None else next((name for name in _BFLOAT16_FLAGS if name in flags), "")


def return_freed_ram() -> None:
    """Hand freed RAM back to the system, where that can be asked for (glibc).

    It keeps blocks that were freed between small ones that stay: 2 MB a probed fact, measured on a GPT-NeoX, without end.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
