"""Facts from a dataset of the Hugging Face hub, or from a folder that `datasets` saved.

`hub:owner/name` names a dataset; after a question mark come the columns to use, where their names are not those of layouts.py, and
perhaps a config and a revision:

    hub:owner/name?subject=entity_name&relation=property&object=value&config=en

The dataset's own train / validation / test become the facts' splits when it has at least two of them; the rows of a
single split are divided by subject. Only data files are read: datasets that bring code are refused.
"""

import contextlib
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from sftqa_core.errors import FactsError, MissingPackage, Stopped, first_line
from sftqa_core.jsonrecord import parse_json, shown
from sftqa_core.knowledge import facts
from sftqa_core.knowledge.tables import columns, layouts, rows
from sftqa_core.progress import Phase, Reporter, Silent
from sftqa_core.records import SourcePreview
from sftqa_core.workspace import typed_path

PREFIX = "hub:"
_BATCH = 2_000  # rows in hand
_LOOK_S = 0.25
ASK_S = 5.0  # until the hub counts as out of reach
MAX_DOWNLOAD_BYTES = 2_000_000_000
MAX_STATE_BYTES = 2_000_000
_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_LONGEST_ID = 100
_CHOSEN = ("config", "revision")
_OPTION = re.compile(r"(?!.*\.\.)\w[\w ./+-]{0,99}")


def load_hub(name: str, reporter: Reporter | None = None) -> facts.FactSource:
    """The facts of `hub:owner/name?...`, downloaded where they are not here.

    Raises `FactsError`, `MissingPackage` without the datasets library, `Stopped` when the person stops it.
    """
    cells, mapping, read = _hub_cells(name, reporter or Silent())
    return rows.source_from_cells(cells, name, None, mapping, read)


def preview_hub(name: str) -> SourcePreview:
    """How a dataset of the hub would be read; it is downloaded for that. Errors as `load_hub`."""
    cells, mapping, read = _hub_cells(name, Silent())
    return rows.preview(cells, name, None, mapping, read)


def require_id(name: str) -> tuple[str, layouts.Mapped, dict[str, str]]:
    """The dataset that `hub:owner/name?...` names, its columns by role, and other options. Raises `FactsError`; asks nobody."""
    place, _, query = name.removeprefix(PREFIX).partition("?")
    if len(place) > _LONGEST_ID or not _ID.fullmatch(place):
        raise FactsError(
            f"{shown(place)} is not a dataset id. Write {PREFIX}owner/name, then ?subject=column&... if its columns have other names."
        )
    mapping, options = layouts.read_query(query)
    if wrong := [value for key, value in options.items() if key in _CHOSEN and not _OPTION.fullmatch(value)]:
        raise FactsError(f"{shown(wrong[0])} is not a config or revision.")
    if typed_path(place)[1]:  # datasets would take it for a folder of files
        raise FactsError(f"{place} is a file or folder here. Give it as a path, without {PREFIX}, or run this from elsewhere.")
    return place, mapping, options


def _hub_cells(name: str, reporter: Reporter) -> tuple[rows.Cells, layouts.Mapped, str]:
    place, mapping, options = require_id(name)
    datasets = _library()
    try:
        with contextlib.nullcontext() if _reachable(place, options.get("revision")) else _local_only(datasets):
            builder = datasets.load_dataset_builder(place, name=options.get("config"), revision=options.get("revision"))
            size = builder.info.download_size or 0
            if size <= MAX_DOWNLOAD_BYTES:
                _prepare(builder, place, size, reporter)
                return replace(_cells(place, builder.as_dataset(), mapping), typed=PREFIX + place), mapping, options.get("read", "")
    except (FactsError, Stopped):
        raise
    except Exception as error:  # the border: whatever the hub's libraries raise becomes a sentence
        raise FactsError(_explain(place, error)) from error
    raise FactsError(f"{place} is {size:,} bytes to download; the most is {MAX_DOWNLOAD_BYTES:,}.")


def _prepare(builder: Any, place: str, size: int, reporter: Reporter) -> None:
    """Download and read in a thread, so that a person sees how far it is and can stop it at any moment: the library tells nothing."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            builder.download_and_prepare()
        except BaseException as error:
            failed.append(error)

    before = _bytes_here(place)
    phase = Phase(reporter, "download", max(size, 1), "bytes")
    thread = threading.Thread(target=work, daemon=True)  # of work that was stopped it ends with the process
    thread.start()
    while thread.is_alive():
        thread.join(_LOOK_S)
        phase.advance(max(0, min(_bytes_here(place) - before, phase.total) - phase.done))
    if failed:
        raise failed[0]
    phase.advance(phase.total - phase.done)


def _bytes_here(place: str) -> int:
    """What lies in the hub's cache of a dataset, with files that are on their way."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"datasets--{place.replace('/', '--')}" / "blobs"
    try:
        return sum(file.stat().st_size for file in folder.iterdir())
    except OSError:  # not there yet, or a file was just finished
        return 0


def _reachable(place: str, revision: str | None) -> bool:
    """Whether the hub answers at all. Asked once, with a short limit: the datasets library tries for minutes."""
    from huggingface_hub import HfApi, constants, errors

    if constants.is_offline_mode():
        return False
    try:
        HfApi().dataset_info(place, revision=revision, timeout=ASK_S)
    except errors.HfHubHTTPError:  # it says no, and datasets will hear the same
        return True
    except Exception:  # whatever the client's HTTP library raises where there is no network
        return False
    return True


@contextlib.contextmanager
def _local_only(datasets: Any) -> Iterator[None]:
    """Within it both libraries look at this machine alone, as if the person had asked for that."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def load_saved(path: Path, name: str | None = None, query: str = "") -> facts.FactSource:
    """The facts of a folder that `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote. Errors as `load_hub`."""
    mapping, options = layouts.read_query(query)
    return rows.source_from_cells(_saved_cells(path, mapping), name or str(path), None, mapping, options.get("read", ""))


def preview_saved(path: Path, name: str | None = None, query: str = "") -> SourcePreview:
    """How a saved folder would be read. Errors as `load_hub`."""
    mapping, options = layouts.read_query(query)
    return rows.preview(_saved_cells(path, mapping), name or str(path), None, mapping, options.get("read", ""))


def _saved_cells(path: Path, mapping: layouts.Mapped) -> rows.Cells:
    datasets = _library()
    try:
        _refuse_links(path)
        saved = datasets.load_from_disk(str(path))
    except FactsError:
        raise
    except Exception as error:  # the border: whatever the hub's libraries raise becomes a sentence
        raise FactsError(f"{path} is not a dataset that can be read ({first_line(error)}). Save it again with save_to_disk.") from error
    return _cells(path.name, saved, mapping)


def is_saved_dataset(path: Path) -> bool:
    """Whether a folder was written by save_to_disk."""
    return (path / "dataset_dict.json").is_file() or (path / "dataset_info.json").is_file()


def _refuse_links(folder: Path) -> None:
    """The files that a saved dataset names must be its own: state.json could name any of this machine."""
    for part in [folder, *(child for child in folder.iterdir() if child.is_dir())]:
        state = part / "state.json"
        if not state.is_file():
            continue
        if state.stat().st_size > MAX_STATE_BYTES:
            raise FactsError(f"{state} has {state.stat().st_size:,} bytes, far more than save_to_disk writes.")
        named = parse_json(state.read_text(encoding="utf-8")).get("_data_files", [])
        for name in (str(entry["filename"]) for entry in named):
            if not (part / name).resolve().is_relative_to(folder.resolve()):
                raise FactsError(f"{state} names the file {shown(name)}, which lies outside of the dataset. It was not opened.")


def _library() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingPackage(
            "Datasets need the datasets library: pip install datasets. CSV, JSON Lines and Parquet files work without."
        ) from error
    return datasets


def _cells(place: str, loaded: Any, mapping: layouts.Mapped) -> rows.Cells:
    parts = dict(loaded) if isinstance(loaded, dict) else {"": loaded}
    count = sum(len(part) for part in parts.values())
    if count > rows.MAX_ROWS:
        raise FactsError(f"{place} has {count:,} rows, the most is {rows.MAX_ROWS:,}. Save a part of it and use that.")
    names = list(dict.fromkeys(column for part in parts.values() for column in part.column_names))
    by_part = len(parts) > 1 and "split" not in mapping
    used = columns.columns_used(names, mapping) or [name for name in names if any(_holds_texts(part, name) for part in parts.values())]
    if by_part:
        used = [name for name in used if name.casefold() != "split"]
    unread = tuple(name for name in names if name not in used and not (by_part and name.casefold() == "split")) if used else ()
    return rows.Cells(place, [*(used or names), *(["split"] if by_part else [])], _numbered(place, parts, used, by_part), unread=unread)


def _holds_texts(part: Any, column: str) -> bool:
    """Whether a column of a dataset without a known layout may be looked at: texts, numbers, and lists of them, no pictures or sounds."""
    from pyarrow import types

    if column not in part.column_names:
        return False
    kind = part.data.schema.field(column).type
    while types.is_list(kind) or types.is_large_list(kind):
        kind = kind.value_type
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_integer(kind) or types.is_floating(kind))


def _numbered(place: str, parts: dict[str, Any], used: list[str], by_part: bool) -> Iterator[tuple[int, list[Any]]]:
    """Rows numbered through, from columns of use only, as they are stored: decoding a picture would open the file, or the address,
    that its cell names."""
    number = 0
    try:
        for split, part in parts.items():
            there = [column for column in used if column in part.column_names]
            if not there:
                continue
            for table in part.select_columns(there).with_format("arrow").iter(batch_size=_BATCH):
                batch = {column: table.column(column).to_pylist() for column in there}
                cells = [batch.get(column, [None] * table.num_rows) for column in used]
                for values in zip(*cells, strict=True):
                    number += 1
                    yield number, [*values, split] if by_part else list(values)
    except (OSError, ValueError, ArithmeticError, LookupError) as error:  # dates that Python can't hold, texts that are no UTF-8
        raise FactsError(f"{place} holds values that can't be read ({first_line(error)}).") from error


def _explain(place: str, error: Exception) -> str:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    said = first_line(error)
    if "scripts are no longer supported" in said:
        return f"{place} brings code of its own, which is not run here. Convert it to Parquet and use the files."
    if "OfflineModeIsEnabled" in kinds or isinstance(error, ConnectionError | TimeoutError) or kinds & {"ConnectError", "ConnectTimeout"}:
        advice = "Save it with save_to_disk where there is a network and give the folder."
        return f"{place} is not available: this machine is offline and has no copy of it ({said}). {advice}"
    if kinds & {"DatasetNotFoundError", "RepositoryNotFoundError"}:
        return f"The hub has no dataset {place}, or it asks for a login that is missing here ({said})."
    return f"{place} can't be read ({type(error).__name__}: {said})."
