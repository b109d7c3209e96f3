"""The header of a GGUF file, read without torch, transformers or the package gguf: what the model is, and how its numbers are stored.

A file comes from anywhere, and the browser's process reads it. The package's own reader maps the whole file into memory (a file that
shrinks meanwhile then kills the process), makes an object of every token, and trusts every count and length in it; so this is a reader
of our own, for the header alone. It reads forward, never more than MAX_HEADER_BYTES, and checks each count and length before it uses
it. Vocabularies are walked over, not kept.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3, little-endian).
"""

import math
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from sftqa_core.errors import ModelUnavailable, reason
from sftqa_core.jsonrecord import shown

MAGIC = b"GGUF"
MAX_HEADER_BYTES = 100_000_000  # the largest vocabularies take 20 MB
MAX_KEYS = 10_000
MAX_TENSORS = 100_000
MAX_ELEMENTS = 4_000_000  # of an array: tokens, merges
MAX_TEXT_BYTES = 4_000_000  # of a value, such as a chat template
MAX_NAME_BYTES = 1_000
MAX_SIDES = 4
_MOST = 1 << 48  # numbers in a tensor
_KEPT = 1_000  # elements of an array of numbers that are kept
_VERSIONS = (2, 3)
_ALIGNMENT = "general.alignment"

# Numbers of the metadata: code -> (struct format, bytes); 8 is text, 9 an array
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9

# How a tensor's numbers are stored: code -> (name, numbers in a block, bytes of a block), as ggml.h numbers them
STORED = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 30: ("BF16", 1, 2), 28: ("F64", 1, 8),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8),
    2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 29: ("IQ1_M", 256, 56),
    34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
}  # fmt: skip
WHOLE = ("F64", "F32", "F16", "BF16")  # numbers that were not rounded to a few bits
# general.file_type: what most of the tensors are, as llama.cpp's quantize calls it
FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L",
    14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS",
    23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M",
    32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4_MOE",
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """One tensor's entry: `sides` as the file has them, the fastest first; `offset` from where the tensors begin."""

    name: str
    sides: tuple[int, ...]
    stored: int  # code in STORED
    offset: int

    @property
    def numbers(self) -> int:
        """How many it holds."""
        return math.prod(self.sides)

    @property
    def size_bytes(self) -> int:
        """In the file."""
        _, block, size = STORED[self.stored]
        return self.numbers // block * size


@dataclass(frozen=True)
class GgufHeader:
    """What one file says before its tensors begin."""

    path: Path
    size_bytes: int  # of the file
    settings: Mapping[str, Any]  # key -> number, text, tuple of numbers; of a long array, or one of texts, its length
    settings_end: int  # byte after the last of them
    tensors: tuple[Tensor, ...]
    data_start: int  # byte where the tensors begin

    @property
    def architecture(self) -> str:
        """llama.cpp's name of it, such as "llama"; empty where the file names none."""
        return self.text("general.architecture")

    def text(self, key: str) -> str:
        """A setting that is text; empty where it is missing."""
        value = self.settings.get(key)
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> int | None:
        """A setting of the architecture ("embedding_length") that is a positive whole number; of one a layer, the largest."""
        value = self.settings.get(f"{self.architecture}.{key}")
        value = max(value) if isinstance(value, tuple) and value else value
        return value if type(value) is int and value > 0 else None


def is_gguf(path: Path) -> bool:
    """Whether a file begins as GGUF files do, whatever its name. False for what can't be read."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as handle:
            return handle.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read_header(path: Path) -> GgufHeader:
    """Raises `ModelUnavailable` for a file that is no GGUF file, of another version, truncated, or damaged."""
    try:
        size = path.stat().st_size
        with path.open("rb", buffering=1 << 20) as handle:
            return _read(path, size, _Cursor(handle, size))
    except OSError as error:
        raise ModelUnavailable(f"{path} can't be read ({reason(error)}).") from None
    except _OddError as error:
        raise ModelUnavailable(f"{path} is not a readable GGUF file: {error}. Fetch it again.") from None


def mean_bits(tensors: tuple[Tensor, ...]) -> float:
    """Bits that a number takes in the file, on average."""
    return 8 * sum(tensor.size_bytes for tensor in tensors) / max(1, sum(tensor.numbers for tensor in tensors))


def quantisation(header: GgufHeader, tensors: tuple[Tensor, ...]) -> str:
    """ "Q4_K_M": the file's own word, or the kind that most of its numbers are stored in."""
    stated = header.settings.get("general.file_type")
    if isinstance(stated, int) and stated in FILE_TYPES:
        return FILE_TYPES[stated]
    most: Counter[str] = Counter()
    for tensor in tensors:
        most[STORED[tensor.stored][0]] += tensor.numbers
    return most.most_common(1)[0][0] if most else "unknown"


class _OddError(Exception):
    """What is wrong with a file, in words."""


class _Cursor:
    """Reads forward within a file's limits."""

    def __init__(self, handle: BinaryIO, size: int):
        self._handle, self._size, self.at = handle, size, 0

    def move(self, count: int) -> None:
        """Account for so many bytes more."""
        self.at += count
        if self.at > self._size:
            raise _OddError(f"it is truncated: it has {self._size:,} bytes, and its header goes on to byte {self.at:,} or beyond")
        if self.at > MAX_HEADER_BYTES:
            raise _OddError(f"its header has more than {MAX_HEADER_BYTES:,} bytes")

    def take(self, count: int) -> bytes:
        self.move(count)
        taken = self._handle.read(count)
        if len(taken) != count:
            raise _OddError("it became shorter while it was read")
        return taken

    def skip(self, count: int) -> None:
        self.move(count)
        self._handle.seek(count, 1)

    def number(self, form: str) -> Any:
        return struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))[0]

    def count(self, most: int, what: str) -> int:
        """A count or a length, no larger than any useful one."""
        number = int(self.number("Q"))
        if number > most:
            raise _OddError(f"it says it has {number:,} {what}, the limit is {most:,}")
        return number

    def text(self, most: int, what: str) -> str:
        raw = self.take(self.count(most, f"bytes in {what}"))
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise _OddError(f"{what} is no UTF-8") from None


def _read(path: Path, size: int, cursor: _Cursor) -> GgufHeader:
    if size < 24 or (start := cursor.take(4)) != MAGIC:
        raise _OddError(f"it begins with {shown(start)}, not with GGUF" if size >= 24 else f"it has {size:,} bytes")
    version = cursor.number("I")
    if version not in _VERSIONS:
        big = version >= 1 << 24
        raise _OddError("it is big-endian, which is not read here" if big else f"it is of version {version}, and versions 2 and 3 are read")
    tensor_count, key_count = cursor.count(MAX_TENSORS, "tensors"), cursor.count(MAX_KEYS, "settings")
    settings: dict[str, Any] = {}
    for _ in range(key_count):
        key = cursor.text(MAX_NAME_BYTES, "a setting's name")
        if key in settings:
            raise _OddError(f"it sets {shown(key)} twice")
        settings[key] = _value(cursor, cursor.number("I"), key)
    settings_end = cursor.at
    tensors = tuple(_tensor(cursor) for _ in range(tensor_count))
    if len({tensor.name for tensor in tensors}) < len(tensors):
        raise _OddError("it names a tensor twice")
    alignment = settings.get(_ALIGNMENT, 32)
    if type(alignment) is not int or not 1 <= alignment <= 1 << 20 or alignment & (alignment - 1):
        raise _OddError(f"its {_ALIGNMENT} is {shown(alignment)}")
    start_of_data = -(-cursor.at // alignment) * alignment
    end = max((start_of_data + tensor.offset + tensor.size_bytes for tensor in tensors), default=0)
    if end > size:
        raise _OddError(f"it is truncated: it has {size:,} bytes, and its tensors take {end:,}")
    return GgufHeader(path, size, settings, settings_end, tensors, start_of_data)


def _value(cursor: _Cursor, kind: int, key: str) -> Any:
    if kind in _NUMBERS:
        return cursor.number(_NUMBERS[kind])
    if kind == _TEXT:
        return cursor.text(MAX_TEXT_BYTES, key)
    if kind != _ARRAY:
        raise _OddError(f"{shown(key)} is of an unknown kind ({kind})")
    inner, count = cursor.number("I"), cursor.count(MAX_ELEMENTS, f"elements in {shown(key)}")
    if inner in _NUMBERS:
        form = f"<{count}{_NUMBERS[inner]}"
        if count <= _KEPT:
            return struct.unpack(form, cursor.take(struct.calcsize(form)))
        cursor.skip(struct.calcsize(form))
    elif inner == _TEXT:
        for _ in range(count):
            cursor.skip(cursor.count(MAX_TEXT_BYTES, f"bytes in a text of {shown(key)}"))
    else:
        raise _OddError(f"{shown(key)} is an array of an unknown kind ({inner})")
    return count


def _tensor(cursor: _Cursor) -> Tensor:
    name, sides = cursor.text(MAX_NAME_BYTES, "a tensor's name"), cursor.number("I")
    if not 1 <= sides <= MAX_SIDES:
        raise _OddError(f"tensor {shown(name)} has {sides:,} dimensions, 1 to {MAX_SIDES} are possible")
    tensor = Tensor(name, tuple(cursor.number("Q") for _ in range(sides)), cursor.number("I"), cursor.number("Q"))
    if tensor.stored not in STORED:
        raise _OddError(f"tensor {shown(name)} is stored in an unknown way ({tensor.stored})")
    if not 0 < tensor.numbers <= _MOST:
        raise _OddError(f"tensor {shown(name)} has the impossible shape {list(tensor.sides)}")
    if tensor.sides[0] % STORED[tensor.stored][1]:
        raise _OddError(f"tensor {shown(name)} has rows of {tensor.sides[0]:,} numbers, which is no whole number of blocks")
    return tensor
