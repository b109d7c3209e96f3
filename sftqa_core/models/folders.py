"""What a model's folder holds, read without torch: configuration, weight files, adapter, size, digests."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftqa_core.artifacts import sha256, write_json
from sftqa_core.errors import ModelUnavailable
from sftqa_core.jsonrecord import fingerprint
from sftqa_core.workspace import Workspace

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_INDEX = "model.safetensors.index.json"
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
)
_CONVERT = (
    "Convert it where you trust it: AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder), "
    "then the tokenizer the same way."
)
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ModelFolder:
    """One folder with a model in the transformers layout, or with a LoRA adapter in the peft layout."""

    path: Path

    @property
    def is_adapter(self) -> bool:
        """Holds an adapter that needs its base model, and no model of its own."""
        return (self.path / ADAPTER_CONFIG).is_file() and not (self.path / CONFIG).is_file()

    def config(self) -> dict[str, Any]:
        """The model's (or adapter's) configuration. Raises `ModelUnavailable` when it is missing or no JSON object."""
        path = self.path / (ADAPTER_CONFIG if self.is_adapter else CONFIG)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ModelUnavailable(f"{self.path} holds no model: it has no {CONFIG}. Pick the folder that save_pretrained wrote.") from None
        except ValueError as error:
            raise ModelUnavailable(f"{path} is not readable JSON ({error}). Fetch or save the model again.") from None
        if not isinstance(found, dict):
            raise ModelUnavailable(f"{path} must hold a JSON object, got {type(found).__name__}. Fetch or save the model again.")
        return found

    def weights(self) -> list[Path]:
        """The safetensors files. Raises `ModelUnavailable` for pickled weights alone, none, or missing parts."""
        if self.is_adapter:
            names = [ADAPTER_WEIGHTS]
        elif (self.path / _INDEX).is_file():
            names = sorted(set(self._index().values()))
        else:
            names = sorted(path.name for path in self.path.glob("*.safetensors")) if not self._single() else ["model.safetensors"]
        missing = [name for name in names if not (self.path / name).is_file()]
        if names and not missing:
            return [self.path / name for name in names]
        pickled = sorted(path.name for pattern in _PICKLED for path in self.path.glob(pattern))
        if pickled:
            raise ModelUnavailable(
                f"{self.path} holds its weights only as {pickled[0]}, a format that can run code when it is opened. "
                f"Only safetensors are loaded. {_CONVERT}"
            )
        lacking = f"lacks {', '.join(missing[:3])}" if missing else "holds no *.safetensors file"
        raise ModelUnavailable(f"{self.path} {lacking}. Fetch or save the model again, with all its weights.")

    def parameters(self) -> int:
        """Numbers in the weight files, from their headers; tied weights count once."""
        return sum(_numbers(path) for path in self.weights())

    def files(self) -> list[Path]:
        """All files that decide what the model says: weights, configuration, tokenizer. Not generation_config.json,
        which is replaced when the model is loaded."""
        settings = (CONFIG, ADAPTER_CONFIG, *_TOKENIZER)
        return [*self.weights(), *(self.path / name for name in settings if (self.path / name).is_file())]

    def fingerprint(self, workspace: Workspace) -> str:
        """16 hex digits over the content of `files()`."""
        return fingerprint(_digests(self.files(), workspace))

    def _single(self) -> bool:
        return (self.path / "model.safetensors").is_file()

    def _index(self) -> dict[str, str]:
        try:
            return dict(json.loads((self.path / _INDEX).read_text(encoding="utf-8"))["weight_map"])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelUnavailable(f"{self.path / _INDEX} can't be read ({error}). Fetch or save the model again.") from None


def _numbers(path: Path) -> int:
    """Elements in one safetensors file: 8 bytes of header length, then a JSON header with each tensor's shape."""
    try:
        with path.open("rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
            if length > path.stat().st_size:
                raise ValueError("its header is longer than the file")
            header = json.loads(handle.read(length))
        return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise ModelUnavailable(f"{path} is no readable safetensors file ({error}). Fetch or save the model again.") from None


def _digests(files: list[Path], workspace: Workspace) -> dict[str, str]:
    """SHA-256 by file name; remembered by path, size and time of change, since weights can be many gigabytes."""
    store = workspace.state / "digests.json"
    try:
        stored = json.loads(store.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        stored = None
    known: dict[str, str] = stored if isinstance(stored, dict) else {}
    found, changed = {}, False
    for path in files:
        real = path.resolve()
        if _HASH.fullmatch(real.name) and real.parent.name == "blobs":
            found[path.name] = real.name  # the hub cache names large files by their SHA-256
            continue
        stat = real.stat()
        key = f"{real}|{stat.st_size}|{stat.st_mtime_ns}"
        if not isinstance(known.get(key), str):
            known[key], changed = sha256(real), True
        found[path.name] = known[key]
    if changed:
        write_json(store, {key: digest for key, digest in known.items() if Path(key.rsplit("|", 2)[0]).exists()})
    return found
