"""On PYTHONPATH of a worker this pretends NVIDIA's driver library, with two GPUs."""

import ctypes
from types import SimpleNamespace

real = ctypes.CDLL


def _count(reference) -> int:
    reference._obj.value = 2
    return 0


def _version(reference) -> int:
    reference._obj.value = 13000
    return 0


def pretend(name, *arguments, **more):
    """The library that devices.py asks; every other one is real."""
    if name != "libnvidia-ml.so.1":
        return real(name, *arguments, **more)
    return SimpleNamespace(
        nvmlInit_v2=lambda: 0, nvmlShutdown=lambda: 0, nvmlDeviceGetCount_v2=_count, nvmlSystemGetCudaDriverVersion_v2=_version
    )


ctypes.CDLL = pretend
