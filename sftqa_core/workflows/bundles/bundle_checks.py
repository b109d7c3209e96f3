"""What a bundle may be, checked before anything of it is used: a zip of JSON and plain Parquet, and of adapters' weights.

Nothing in it is trusted. It is opened only where its name table is short; its names are plain, end in what is known, lie where this program
puts such files, and are those that bundle.json lists; sizes and ratios are limited, whatever the zip states; every checksum is compared.
A checksum shows damage and says nothing of who made the bundle: whoever changes a file can change its checksum.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import stat
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from sftqa_core.artifacts import in_words
from sftqa_core.artifacts.plain_tables import plain_table
from sftqa_core.errors import BundleRefused, SftqaError, StorageError
from sftqa_core.jsonrecord import parse_json, shown
from sftqa_core.knowledge.tables import archives
from sftqa_core.records.bundles import MAX_FILE_BYTES, BundleManifest

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1  # of a bundle; raised when a reader of the old one would misread the new one
CONTENTS = "bundle.json"
MAX_UNPACKED_BYTES = 1_000_000_000
MAX_FILES = 3_000
MAX_RATIO = 200  # of unpacked to packed, in files that are not small
MAX_JSON_BYTES = 20_000_000
MAX_DEPTH = 20
_LAST_RECORD, _LAST_SIGN = 22, b"PK\5\6"  # bytes of a zip's last record without a comment, and what it begins with
_SMALL_BYTES = 100_000
_PIECE = 1 << 20
_NAME = r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,150}"
PLAIN_NAME = re.compile(_NAME)
_ENDINGS = (".json", ".jsonl", ".parquet", ".safetensors")
_PLACES = re.compile(
    rf"{re.escape(CONTENTS)}|runs/{_NAME}/(run\.json|settings\.json|summary\.json|(curve|dev|examples)\.jsonl|(predictions|levels)\.parquet"
    rf"|tables/{_NAME}\.parquet|model/[A-Za-z0-9_-]{{1,80}}\.(json|safetensors))"
    rf"|studies/{_NAME}/(study\.json|\d{{1,3}}/(outcomes\.json|identity\.json|[a-z-]{{1,20}}\.parquet|recipe/{_NAME}\.parquet))"
)
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # what Windows takes for devices
_T = TypeVar("_T")


@dataclass(frozen=True)
class Bundle:
    """A bundle whose names, sizes and checksums are as they should be. What it holds is still to be judged."""

    manifest: BundleManifest
    archive: zipfile.ZipFile
    sizes: dict[str, int]  # name -> bytes, for all but bundle.json

    def read(self, name: str) -> bytes:
        """A file's content. Raises `BundleRefused` for one that the bundle does not have."""
        if name not in self.sizes:
            raise BundleRefused(f"The bundle lacks {shown(name)}.")
        return _content(self.archive, name, self.sizes[name])

    def json(self, name: str) -> Any:
        """What a file of JSON holds. Raises `BundleRefused`."""
        return _parsed(name, lambda: _json(self.read(name)))

    def lines(self, name: str) -> list[dict[str, Any]]:
        """The objects of a file of JSON Lines. Raises `BundleRefused`."""

        def parse() -> list[dict[str, Any]]:
            rows = [_json(line) for line in self.read(name).splitlines()]
            if not all(isinstance(row, dict) for row in rows):
                raise ValueError("holds lines that are no objects")
            return rows

        return _parsed(name, parse)

    def table(self, name: str) -> pd.DataFrame:
        """The table in a Parquet file. Raises `BundleRefused`."""
        return _parsed(name, lambda: plain_table(self.read(name)))

    def under(self, folder: str) -> list[str]:
        """Names of the files in a folder of the bundle."""
        return [name for name in self.sizes if name.startswith(f"{folder}/")]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Bundle]:
    """A bundle, checked but for the meaning of its files; every checksum is compared before it is handed over.

    Raises `BundleRefused` with what is wrong, also while it is read.
    """
    with _refusing(path.name):
        if (size := path.stat().st_size) > MAX_FILE_BYTES:
            raise BundleRefused(f"it has {in_words(size)}; the most is {in_words(MAX_FILE_BYTES)}.")
        with path.open("rb") as handle:
            if handle.read(4) != b"PK\3\4":  # so nothing stands in front of the zip either
                raise BundleRefused("it is no zip file.")
            _check_end(handle, size)
        with archives.opened(path, BundleRefused) as (archive, _):
            members = archive.infolist()
            _check_members(members)
            sizes = {member.filename: member.file_size for member in members}
            manifest = _manifest(archive, sizes)
            for name, about in manifest.files.items():
                if _sha256(archive, name, sizes[name]) != about["sha256"]:
                    raise BundleRefused(f"{shown(name)} is not what was packed: its checksum differs. Get the file again.")
            yield Bundle(manifest, archive, {name: sizes[name] for name in manifest.files})


@contextlib.contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Puts the file's name and what follows from it around whatever is refused."""
    try:
        yield
    except BundleRefused as error:
        told = str(error)
        raise BundleRefused(told if told.startswith(name) else f"{name} is not imported: {told}") from error


def _check_end(handle: BinaryIO, size: int) -> None:
    """Nothing stands behind the zip, no comment either: another program might read that."""
    handle.seek(max(0, size - _LAST_RECORD - 65_535))  # a comment's length
    tail = handle.read()
    end = tail[-_LAST_RECORD:]
    if _LAST_SIGN in tail and not (end.startswith(_LAST_SIGN) and end.endswith(b"\0\0")):
        raise BundleRefused("it goes on behind the end of the zip.")


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    """Number, names, kinds, sizes and ratios, by what the zip states."""
    if len(members) > MAX_FILES:
        raise BundleRefused(f"it holds {len(members):,} files; the most is {MAX_FILES:,}.")
    seen: dict[str, str] = {}
    for member in members:
        if (other := seen.setdefault(member.filename.casefold(), member.filename)) is not member.filename:
            raise BundleRefused(f"it holds {shown(member.filename)} and {shown(other)}, which are one name on some disks.")
        _check_name(member)
        if member.filename.endswith((".json", ".jsonl")) and member.file_size > MAX_JSON_BYTES:
            raise BundleRefused(f"{shown(member.filename)} has {in_words(member.file_size)}; JSON may have {in_words(MAX_JSON_BYTES)}.")
        if member.file_size > max(_SMALL_BYTES, MAX_RATIO * member.compress_size):
            raise BundleRefused(f"{shown(member.filename)} unpacks to more than {MAX_RATIO} times its size.")
    if (total := sum(member.file_size for member in members)) > MAX_UNPACKED_BYTES:
        raise BundleRefused(f"it unpacks to {in_words(total)}; the most is {in_words(MAX_UNPACKED_BYTES)}.")


def _check_name(member: zipfile.ZipInfo) -> None:
    name, kind = member.filename, stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        what = "a link" if stat.S_ISLNK(kind) else "a folder" if stat.S_ISDIR(kind) else "a device"
        raise BundleRefused(f"{shown(name)} is {what}; a bundle holds plain files.")
    if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BundleRefused(f"{shown(name)} is encrypted, or packed in a way that is not read.")
    parts = name.split("/")
    if any(_DEVICE.fullmatch(part) or part.endswith((".", " ")) for part in parts) or not all(map(PLAIN_NAME.fullmatch, parts)):
        raise BundleRefused(f"it holds the name {shown(name)}; names are letters, digits and - _ . @ +, and lead nowhere else.")
    if not name.endswith(_ENDINGS):
        raise BundleRefused(f"it holds {shown(name)}; a bundle holds {', '.join(_ENDINGS)} and nothing that a browser or Python would run.")
    if not _PLACES.fullmatch(name):
        raise BundleRefused(f"it holds {shown(name)}, which is no file of a bundle.")


def _manifest(archive: zipfile.ZipFile, sizes: dict[str, int]) -> BundleManifest:
    """bundle.json, and whether it lists the files that there are."""
    if CONTENTS not in sizes:
        raise BundleRefused(f"it has no {CONTENTS}, so it is no bundle of this program.")
    told = _parsed(CONTENTS, lambda: _json(_content(archive, CONTENTS, sizes[CONTENTS])))
    schema = told.get("schema") if isinstance(told, dict) else None
    if schema != SCHEMA:
        raise BundleRefused(f"it has schema {shown(schema)}, and this version reads {SCHEMA}. Pack it with this version, or use that one.")
    manifest = _parsed(CONTENTS, lambda: BundleManifest.from_dict(told))
    listed, there = set(manifest.files), set(sizes) - {CONTENTS}
    if listed != there:
        one = min(listed ^ there)
        raise BundleRefused(f"{shown(one)} is {'listed and missing' if one in listed else 'in it and not listed'}.")
    for name, about in manifest.files.items():
        if not isinstance(about.get("sha256"), str) or about.get("bytes") != sizes[name]:
            raise BundleRefused(f"{shown(name)} has another size than {CONTENTS} says. Get the file again.")
    return manifest


def _content(archive: zipfile.ZipFile, name: str, size: int) -> bytes:
    """A file, no more of it than was stated: what a zip states may be false."""
    with archive.open(name) as packed:
        content = packed.read(size + 1)
    if len(content) != size:
        raise BundleRefused(f"{shown(name)} does not have the size that the zip states.")
    return content


def _sha256(archive: zipfile.ZipFile, name: str, size: int) -> str:
    digest, left = hashlib.sha256(), size
    with archive.open(name) as packed:
        while piece := packed.read(_PIECE):
            left -= len(piece)
            if left < 0:
                break
            digest.update(piece)
    return digest.hexdigest() if not left else ""


def _json(content: bytes) -> Any:
    value = parse_json(content.decode())
    if _deep(value, MAX_DEPTH):
        raise ValueError(f"is nested more than {MAX_DEPTH} levels deep")
    return value


def _deep(value: Any, levels: int) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_deep(item, levels - 1) for item in inside)


def _parsed(name: str, parse: Callable[[], _T]) -> _T:
    """What `parse` makes of a file; any fault of it is a sentence that names the file."""
    try:
        return parse()
    except (BundleRefused, StorageError):  # a disk that refuses is no fault of the bundle
        raise
    except (SftqaError, ValueError, KeyError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
        why = f"lacks {error}" if isinstance(error, KeyError) else str(error).replace("\n", " ")[:400]
        raise BundleRefused(
            f"{shown(name)} can't be used: it {why}" if why[:1].islower() else f"{shown(name)} can't be used: {why}"
        ) from error


def understood(name: str, make: Callable[[], _T]) -> _T:
    """What is made of some of a bundle's files, named together. Raises `BundleRefused` where they are not what this program writes."""
    return _parsed(name, make)
