"""Zips and folders of fact files: one file, or one a split as datasets are kept (train.csv and test.csv, train-00000-of-00001.parquet).

A zip is never trusted: names that lead out of it, directories of millions of files and contents beyond the limits are refused, whatever
sizes it states.
"""

import contextlib
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from sftqa_core.errors import FactsError, SftqaError
from sftqa_core.jsonrecord import shown
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.knowledge.tables import files, layouts, rows
from sftqa_core.records import SourcePreview

MAX_MEMBERS = 5_000
MAX_DIRECTORY_BYTES = 2_000_000
MAX_UNPACKED_BYTES = 1_000_000_000
_LAST_RECORD = 22  # bytes
_PIECE = 1 << 20
_OF_DATASETS = (".arrow", ".toml")  # taken out of a zip besides files of facts
_SPLIT = re.compile(r"(?:^|[-_. ])(train|dev|validation|valid|val|test)(?=[-_. ]|$)", re.IGNORECASE)
_NO_FACTS = ("readme", "license", "licence", "dataset_infos", "dataset_info", "dataset_dict", "state", "config", "requirements")


@contextlib.contextmanager
def opened(path: Path, refused: type[SftqaError] = FactsError) -> Iterator[tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]]:
    """A zip and its files, but for what macOS adds. Raises `refused` for what is no zip or leads out of it, also while it is read."""
    _refuse_long_directory(path, refused)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS:
                raise refused(f"{path.name} holds {len(members):,} files; the most is {MAX_MEMBERS:,}. It was not opened.")
            for member in members:
                if member.filename.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", member.filename):
                    raise refused(f"{path.name} holds the name {shown(member.filename)}, which leads out of the zip. It was not opened.")
            yield archive, [member for member in members if not member.filename.startswith("__MACOSX/")]
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise refused(f"{path.name} is not a zip that can be read ({error}). Download or pack it again.") from error


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """A folder with the files of a zip that facts could stand in, for as long as they are read."""
    with opened(path) as (archive, members), tempfile.TemporaryDirectory(prefix="sftqa-zip-") as folder:
        left, target = MAX_UNPACKED_BYTES, Path(folder) / path.stem
        target.mkdir()
        for member in members:
            place = PurePosixPath(member.filename.replace("\\", "/"))
            if member.is_dir() or place.suffix.casefold() not in (*files.READERS, *_OF_DATASETS) or place.name.startswith("."):
                continue
            to = target.joinpath(*place.parts)
            to.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as packed, to.open("wb") as out:
                while piece := packed.read(min(_PIECE, left + 1)):
                    left -= len(piece)
                    if left < 0:
                        raise FactsError(f"{path.name} unpacks to more than {MAX_UNPACKED_BYTES:,} bytes. Cut it into smaller files.")
                    out.write(piece)
        inside = list(target.iterdir())
        yield inside[0] if len(inside) == 1 and inside[0].is_dir() else target


def fact_files(folder: Path) -> list[Path]:
    """The files of facts in a folder and the folders in it, but for those that describe a dataset."""
    inside = sorted([*folder.glob("*"), *folder.glob("*/*")])
    found = [path for path in inside if path.suffix.casefold() in files.READERS and path.is_file() and not path.name.startswith(".")]
    return [path for path in found if path.stem.casefold() not in _NO_FACTS]


def load_files(folder: Path, label: str, name: str, query: str = "") -> FactSource:
    """The facts in a folder's files. `label`: what stands in the facts' ids. Raises `FactsError` with every problem."""
    found = fact_files(folder)
    if len(found) == 1:
        return files.load_own(found[0], name, query)
    mapping, options = layouts.read_query(query)
    with files.errors_told(folder):
        parts = [files.cells_of(path, mapping, split) for path, split in _splits(found, label).items()]
        brought = {key: relation for path in found for key, relation in files.brought(path).items()}
        return rows.source_from_parts(parts, label, name, brought, mapping, options.get("read", ""))


def preview_files(folder: Path, label: str, name: str, query: str = "") -> SourcePreview:
    """How a folder's files would be read, shown by the first of them."""
    found = fact_files(folder)
    if len(found) == 1:
        return files.preview_own(found[0], name, query)
    first = files.preview_own(next(iter(_splits(found, label))), name, query)
    try:
        return rows.with_content(first, load_files(folder, label, name, query))
    except FactsError as error:
        return rows.with_faults(first, error)


def _splits(found: list[Path], label: str) -> dict[Path, str]:
    splits = {path: match[1].casefold() for path in found if (match := _SPLIT.search(path.stem) or _SPLIT.search(path.parent.name))}
    if len(splits) < len(found):
        names = ", ".join(path.name for path in found[:5]) + (f" and {len(found) - 5:,} more" if len(found) > 5 else "")
        raise FactsError(
            f"{label} holds {len(found):,} files of facts ({names}), and it can't be told how they belong together. "
            "Name one of them, or call them train, dev and test."
        )
    return splits


def _refuse_long_directory(path: Path, refused: type[SftqaError]) -> None:
    """Before zipfile reads it: a list of millions of files would fill the memory. The last record of a zip states its size."""
    with path.open("rb") as handle:
        handle.seek(max(0, path.stat().st_size - _LAST_RECORD - 65_535))
        tail = handle.read()
    at = tail.rfind(b"PK\5\6")
    if 0 <= at <= len(tail) - _LAST_RECORD and int.from_bytes(tail[at + 12 : at + 16], "little") > MAX_DIRECTORY_BYTES:
        raise refused(f"{path.name} lists more files than a zip may have. It was not opened.")
