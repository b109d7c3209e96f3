"""What a model's folder holds, read without torch: configuration, weight files, adapter, size, digests.

A folder comes from anywhere. Files are read up to a limit, names in them must stay inside the folder, and every file must be one:
no pipe, and no link that leads out of the folder (a snapshot of the hub's cache links to the blobs beside it). Weights that are only
numbers can still come with settings that fill the RAM, keep a processor busy for days, or ask for code: those are refused before
transformers builds anything from them. No useful language model is refused here.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftqa_core.artifacts import keep_json, read_json, sha256
from sftqa_core.errors import ModelUnavailable, reason
from sftqa_core.jsonrecord import fingerprint, parse_json, shown
from sftqa_core.workspace import Workspace

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
SPECIAL_TOKENS = "special_tokens_map.json"
CHAT_TEMPLATE = "chat_template.jinja"
_INDEX = "model.safetensors.index.json"
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
TOKENIZER_FILES = (TOKENIZER, TOKENIZER_CONFIG, "tokenizer.model", "vocab.json", "merges.txt", SPECIAL_TOKENS, "added_tokens.json")
_CONVERT = (
    "Convert it where you trust it: AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder), "
    "then the tokenizer the same way."
)
MAX_JSON_BYTES = 20_000_000  # configuration, or index of weights
MAX_HEADER_BYTES = 100_000_000  # of a safetensors file, as the format itself says
MAX_TOKENIZER_BYTES = 200_000_000
_WEIGHTS_NAME = re.compile(r"[\w][\w.-]*\.safetensors")
_MOST_IN_A_BYTE = 8  # numbers
_KINDS = {"model_type": (str, "a name"), "architectures": (list, "a list of names"), "text_config": (dict, "a JSON object")}
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
        """The model's (or adapter's) configuration. Raises `ModelUnavailable` when it is missing, no JSON object, or one of its
        settings that are read everywhere is of another kind than it has to be."""
        name = ADAPTER_CONFIG if self.is_adapter else CONFIG
        config = self.json(name)
        for setting, (kind, words) in _KINDS.items():
            value = config.get(setting)
            if value is not None and not isinstance(value, kind):
                raise ModelUnavailable(f"{self.path / name}: {setting} must be {words}, got {shown(value)}. Fetch or save the model again.")
        return config

    def json(self, name: str, most_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
        """One of the folder's settings. Raises `ModelUnavailable` when it is missing, too large, or no JSON object."""
        path = self.path / name
        try:
            settings = parse_json(self.text(name, most_bytes))
        except ValueError as error:
            raise ModelUnavailable(f"{path} is not readable JSON ({error}). Fetch or save the model again.") from None
        if not isinstance(settings, dict):
            raise ModelUnavailable(f"{path} must hold a JSON object, got {type(settings).__name__}. Fetch or save the model again.")
        return settings

    def text(self, name: str, most_bytes: int) -> str:
        """A text file of the folder. Raises `ModelUnavailable` when it is missing, too large, or no UTF-8."""
        path = self.path / name
        if not path.exists() and not path.is_symlink():
            raise ModelUnavailable(f"{self.path} holds no model: it has no {name}. {self._instead()}")
        self._require_own(path)
        try:
            size = path.stat().st_size
            if size > most_bytes:
                raise ModelUnavailable(f"{path} has {size:,} bytes, the limit is {most_bytes:,}. Fetch or save the model again.")
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            kind = "JSON" if path.suffix == ".json" else "text"
            raise ModelUnavailable(f"{path} is not readable {kind} ({reason(error)}). Fetch or save the model again.") from None

    def weights(self) -> list[Path]:
        """The safetensors files. Raises `ModelUnavailable` for pickled weights alone, none, or missing parts."""
        if self.is_adapter:
            names = [ADAPTER_WEIGHTS]
        elif (self.path / _INDEX).is_file():
            names = sorted({*self._index().values(), *(["model.safetensors"] if self._single() else [])})  # the latter is loaded first
        else:
            names = sorted(path.name for path in self.path.glob("*.safetensors")) if not self._single() else ["model.safetensors"]
        if not self.is_adapter and (self.path / ADAPTER_CONFIG).exists():
            raise ModelUnavailable(
                f"{self.path} holds a model ({CONFIG}) and an adapter ({ADAPTER_CONFIG}), so it is unclear which of them is meant. "
                f"Put the adapter's files into a folder of their own, without {CONFIG}."
            )
        for name in names:
            self._require_own(self.path / name)
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
        settings = (CONFIG, ADAPTER_CONFIG, *TOKENIZER_FILES)
        here = [self.path / name for name in settings if (self.path / name).exists()]
        for path in here:
            self._require_own(path)
            if path.stat().st_size > MAX_TOKENIZER_BYTES:
                raise ModelUnavailable(f"{path} has {path.stat().st_size:,} bytes, the limit is {MAX_TOKENIZER_BYTES:,}. Fetch it again.")
        return [*self.weights(), *here]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor in the weight files, by name. Raises `ModelUnavailable` for files that can't be read."""
        return {name: shape for path in self.weights() for name, shape in _shapes(path).items()}

    def fingerprint(self, workspace: Workspace) -> str:
        """16 hex digits over the content of `files()`."""
        return fingerprint(digests(self.files(), workspace))

    def _instead(self) -> str:
        """Which of its subfolders hold models: a training leaves its checkpoints there."""
        inner = sorted({path.parent.name for name in (CONFIG, ADAPTER_CONFIG) for path in self.path.glob(f"*/{name}")})
        if not inner:
            return "Pick the folder that save_pretrained wrote."
        return f"Its subfolders hold some: {', '.join(inner[:5])}{' and others' if len(inner) > 5 else ''}. Pick one of them."

    def _single(self) -> bool:
        return (self.path / "model.safetensors").is_file()

    def _index(self) -> dict[str, str]:
        weight_map = self.json(_INDEX).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise ModelUnavailable(f"{self.path / _INDEX} can't be read (it has no weight_map). Fetch or save the model again.")
        for name in weight_map.values():
            if not isinstance(name, str) or not _WEIGHTS_NAME.fullmatch(name):
                raise ModelUnavailable(
                    f"{self.path / _INDEX} names {shown(name)} for weights, which is no safetensors file in this folder. "
                    "Fetch or save the model again."
                )
        return weight_map

    def _require_own(self, path: Path) -> None:
        """Raise `ModelUnavailable` for a pipe, a folder, or a link that leads somewhere else; a file that is not there is none of that."""
        try:
            real = path.resolve(strict=True)
        except FileNotFoundError:
            return
        except (OSError, RuntimeError):
            raise ModelUnavailable(f"{path} is a link that leads nowhere. Fetch or save the model again.") from None
        home = self.path.resolve()
        snapshot = next((place for place in (home, *home.parents[:5]) if place.parent.name == "snapshots"), None)
        blobs = snapshot.parent.parent / "blobs" if snapshot else home
        if not (real.is_relative_to(home) or real.is_relative_to(blobs)):
            raise ModelUnavailable(f"{path} is a link that leads out of its folder, to {real}. Copy that file in its place.")
        if not real.is_file():
            raise ModelUnavailable(f"{path} is not a file. Fetch or save the model again.")


def vocabulary(config: dict[str, Any]) -> int | None:
    """Tokens that a model knows; None where its configuration does not say."""
    size = {**config, **(config.get("text_config") or {})}.get("vocab_size")
    return size if isinstance(size, int) and size > 0 else None


def words_folder(own: Path, whole: Path) -> Path:
    """Where the tokenizer lies of an adapter (`own`) on a whole model: beside the adapter where it was saved with one."""
    return own if (own / TOKENIZER_CONFIG).is_file() else whole


def _numbers(path: Path) -> int:
    """Elements in one safetensors file."""
    return sum(math.prod(shape) for shape in _shapes(path).values())


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Tensors of one safetensors file: 8 bytes of header length, then a JSON header with each tensor's shape."""
    try:
        size = path.stat().st_size
        with path.open("rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
            if length > min(size, MAX_HEADER_BYTES):
                raise ValueError("its header is longer than the file" if length > size else "its header is far too long")
            header = parse_json(handle.read(length).decode())
        shapes = {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
        if not all(type(side) is int and 0 <= side <= size * _MOST_IN_A_BYTE for shape in shapes.values() for side in shape):
            raise ValueError("it holds an invalid shape")
        if sum(math.prod(shape) for shape in shapes.values()) > size * _MOST_IN_A_BYTE:
            raise ValueError("its header describes more numbers than the file can hold")
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        if (described := 8 + length + max(ends, default=0)) > size:
            raise ValueError(f"it is truncated: it has {size:,} bytes, and its header describes {described:,}")
        return shapes
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise ModelUnavailable(f"{path} is not a readable safetensors file ({reason(error)}). Fetch or save the model again.") from None


def digests(files: list[Path], workspace: Workspace) -> dict[str, str]:
    """SHA-256 by file name; remembered by path, size and time of change, since weights can be many gigabytes."""
    store = workspace.state / "digests.json"
    stored = read_json(store)
    known: dict[str, str] = stored if isinstance(stored, dict) else {}
    digests, changed = {}, False
    for path in files:
        real = path.resolve()
        if _HASH.fullmatch(real.name) and real.parent.name == "blobs":
            digests[path.name] = real.name  # the hub cache names large files by their SHA-256
            continue
        key = digest_key(real)
        if not isinstance(known.get(key), str):
            known[key], changed = sha256(real), True
        digests[path.name] = known[key]
    if changed:
        keep_json(store, {key: digest for key, digest in known.items() if Path(key.rsplit("|", 2)[0]).exists()})
    return digests


def digest_key(real: Path) -> str:
    """Under which a file's SHA-256 is remembered: its place, size and time of change. Raises OSError."""
    stat = real.stat()
    return f"{real}|{stat.st_size}|{stat.st_mtime_ns}"


MAX_LAYERS = 1_000
MAX_EXPERTS = 10_000
MAX_GROWTH = 1_000_000  # characters that the tokenizer's replacements may make of one
_COUNTED = {"layers": MAX_LAYERS, "layer": MAX_LAYERS, "experts": MAX_EXPERTS}  # the last word of a setting's name


def refuse_huge(folder: ModelFolder, name: str) -> None:
    """Raise `ModelUnavailable` for a configuration with more layers or experts than any model has: each would be built."""
    for setting, value in _settings(folder.config()):
        most = _COUNTED.get(setting.rpartition("_")[2])
        if most and isinstance(value, int) and value > most:
            raise ModelUnavailable(f"{name} can't be loaded: its configuration says {setting}: {shown(value)}, the limit is {most:,}.")


def refuse_growing_tokenizer(folder: ModelFolder, name: str) -> None:
    """Raise `ModelUnavailable` for a tokenizer that replaces a character by a library."""
    if not (folder.path / TOKENIZER).exists():
        return
    tokenizer = folder.json(TOKENIZER, MAX_TOKENIZER_BYTES)
    for section in ("normalizer", "pre_tokenizer", "decoder"):
        growth, waiting = 1, [tokenizer.get(section)]
        while waiting:  # texts that a part of it puts in the place of others, or in front
            part = waiting.pop()
            if isinstance(part, dict):
                texts = (part[key] for key in ("content", "prepend", "replacement") if isinstance(part.get(key), str))
                growth *= math.prod(max(1, len(text)) for text in texts)
                waiting += part.values()
            elif isinstance(part, list):
                waiting += part
        if growth > MAX_GROWTH:
            raise ModelUnavailable(f"{name} can't be loaded: its tokenizer's {section} expands text beyond any use.")


def _settings(config: dict[str, Any], depth: int = 3) -> Iterator[tuple[str, Any]]:
    """Settings of a configuration and of those inside it (a text model's in a larger one)."""
    for name, value in config.items():
        yield name, value
        if isinstance(value, dict) and depth:
            yield from _settings(value, depth - 1)
