"""What the installed torch is built for, read from its version file: importing torch takes seconds and may fail."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

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
