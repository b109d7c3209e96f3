"""Looks inside tuned models on disk, one folder a measure. Loads no torch.

    <layer>/inside/<key>/NAME.parquet   the measure's tables; in place of a fact's id its row in the source's fact table
                         manifest.json  written last: the key's settings, and of the run name, settings, labels and where it came from

The key is a hash of all that the numbers depend on, so two runs of the same settings share a look; each of their names is kept, as a folder
without tables (measure `name`). The measure `answers` is always taken: row, level, base_correct, correct of every test fact.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftqa_core.artifacts import MANIFEST, damaged_files, finished, is_finished, place_of, read_file, read_manifest, write_folder
from sftqa_core.errors import ArtifactDamaged, NotFound, SftqaError
from sftqa_core.evaluation.inside.look import Look
from sftqa_core.jsonrecord import fingerprint
from sftqa_core.records import MEASURES, InsideSettings, TrainSettings
from sftqa_core.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.knowledge.facts import FactSource

FOLDER, ANSWERS, NAME = "inside", "answers", "name"
VERSIONS = {NAME: 1, ANSWERS: 1, **dict.fromkeys(MEASURES, 1)}  # of a measure's numbers: raised when their meaning changes
_OWN = {  # settings that a measure depends on
    "drift": ("statements",), "restoration": ("per_level", "draws"), "knowledge": ("per_level", "wrong"), "curves": ("looks",),
    NAME: ("name",),
}  # fmt: skip
_READ = {"drift": ("templates",), "restoration": ("examples",), "curves": ("examples",)}  # stored results that a measure reads besides
_FACT_COLUMNS = ("fact_id", "relation", "subject", "question", "answers", "domain", "echo", "contested", "rival")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Piece:
    """One measure of one run on disk."""

    folder: Path
    own: Mapping[str, Any]  # what it was asked with: settings of the look, and drift's templates; looks that differ here can't be compared
    made: str  # where the tuned model came from, and whether it is the one that was stored


@dataclass(frozen=True)
class KeptLook:
    """What is stored of one run, from the manifests alone."""

    run: str  # fingerprint of all that the tuned model and its test facts depend on
    names: tuple[str, ...]  # of the runs and cells that have these settings, as far as one was looked at by its name
    settings: TrainSettings
    labels: tuple[str, ...]
    base: str  # fingerprint of the base model, source and facts: only looks with the same one can be laid beside each other
    source: str  # the source's fingerprint
    shipped: bool
    pieces: Mapping[str, Piece]  # by measure

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def measures(self) -> tuple[str, ...]:
        """Those that were taken, in the page's order."""
        return tuple(measure for measure in MEASURES if measure in self.pieces)


def key_of(run: Mapping[str, Any], measure: str, settings: InsideSettings, read: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """All that a measure's numbers depend on; `run` is what the tuned model and its test facts depend on.

    `read` names the stored results that some measures read besides, as fingerprints: `templates` of drift's statements, which follow from
    stored completions, and `examples`, the run's training examples with their levels. Each is asked for where it is needed.
    """
    own = {name: getattr(settings, name) for name in _OWN.get(measure, ())}
    besides = {"read": {name: read[name]() for name in _READ[measure]}} if measure in _READ else {}
    return {"run": dict(run), "measure": measure, "version": VERSIONS[measure], "settings": own, **besides}


def _asked_with(key: Mapping[str, Any]) -> dict[str, Any]:
    """What `Piece.own` holds. Training examples are others for each seed, so they are no part of it."""
    return {**key["settings"], **{name: value for name, value in key.get("read", {}).items() if name != "examples"}}


def find(workspace: Workspace, key: Mapping[str, Any]) -> Path | None:
    """Where a measure lies whole, the person's layer first; None where it was not taken, or is damaged: then it is taken again."""
    for layer in workspace.layers:
        folder = place_of(layer / FOLDER / fingerprint(key))
        try:
            if is_finished(folder) and not damaged_files(folder):
                return folder
        except SftqaError as error:
            _log.warning("%s is passed over: %s", folder, error)
    return None


def write(workspace: Workspace, key: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], source: FactSource, about: Look) -> Path:
    """Keep a measure's tables; `source` is the whole one, whatever part of it a model has read. Raises `StorageError`."""
    import pandas as pd

    rows = pd.Index(source.facts["fact_id"])

    def fill(work: Path) -> None:
        for name, table in tables.items():
            if "fact_id" in table:
                at = rows.get_indexer(table["fact_id"].astype(str)).astype("int32")
                if (at < 0).any():
                    raise ValueError(f"{source.name} lacks {(at < 0).sum()} of the facts of {name}.")
                table = table.drop(columns="fact_id").assign(row=at)
            table.to_parquet(work / f"{name}.parquet", index=False, compression="zstd")

    manifest = {
        "kind": "look inside", "settings": dict(key), "name": about.name, "run": about.settings.to_dict(), "labels": list(about.labels),
        "made": about.made,
    }  # fmt: skip
    return write_folder(place_of(workspace.root / FOLDER / fingerprint(key)), fill, manifest)


def kept_looks(workspace: Workspace) -> list[KeptLook]:
    """Every run that was looked at, the person's first, then by name; where two have one name, the newer first. Of other versions of a
    measure and of damaged ones nothing. Where a measure was taken with several settings, the person's last one counts."""
    looks: dict[str, KeptLook] = {}
    pieces: dict[str, dict[str, Piece]] = {}
    names: dict[str, list[str]] = {}
    for folder in sorted(finished(layer / FOLDER for layer in workspace.layers).values(), key=lambda folder: _age(folder, workspace)):
        try:
            manifest = read_manifest(folder)
            key = manifest["settings"]
            run, measure = fingerprint(key["run"]), key["measure"]
            if key["version"] != VERSIONS.get(measure):
                continue
            names.setdefault(run, []).append(manifest["name"])
            piece = Piece(folder, _asked_with(key), manifest["made"])
            if pieces.setdefault(run, {}).setdefault(measure, piece) == piece and measure == ANSWERS:
                base = fingerprint({name: value for name, value in key["run"].items() if name != "settings"})
                told = TrainSettings.from_dict(manifest["run"]), tuple(manifest["labels"]), base, key["run"]["source"]
                looks[run] = KeptLook(run, (), *told, workspace.shipped in folder.parents, pieces[run])
        except (SftqaError, KeyError, TypeError, AttributeError) as error:
            _log.warning("%s is passed over: %s", folder, error)
    found = [KeptLook(**vars(look) | {"names": tuple(dict.fromkeys(sorted(names[run])))}) for run, look in looks.items()]
    return sorted(found, key=lambda look: (look.shipped, look.name))


def _age(folder: Path, workspace: Workspace) -> tuple[bool, int]:
    """What ships last, the newest first."""
    try:
        return workspace.shipped in folder.parents, -(folder / MANIFEST).stat().st_mtime_ns
    except OSError:  # removed meanwhile
        return True, 0


def kept(workspace: Workspace, run: Mapping[str, Any], keys: Mapping[str, Mapping[str, Any]]) -> KeptLook:
    """What is stored of one run; of the measures in `keys` what has just that key. Raises `NotFound`."""
    wanted = fingerprint(run)
    for look in kept_looks(workspace):
        if look.run == wanted:
            folders = {measure: find(workspace, key) for measure, key in keys.items()}
            manifests = {measure: (folder, read_manifest(folder)) for measure, folder in folders.items() if folder}
            exact = {measure: Piece(folder, _asked_with(told["settings"]), told["made"]) for measure, (folder, told) in manifests.items()}
            return KeptLook(**vars(look) | {"pieces": {**look.pieces, **exact}})
    raise NotFound("What was seen inside this run was removed meanwhile. Look again.")


def read(kept: KeptLook, source: FactSource, measures: Sequence[str] = tuple(MEASURES)) -> Look:
    """What was seen of these measures, as far as they were taken; one that is damaged is left out.

    Raises `NotFound` where the source has other facts by now, or the answers can't be read.
    """
    if source.fingerprint != kept.source:
        raise NotFound(f"{kept.name} was looked at on other facts than {source.name} has now.")
    answers = _tables(kept.pieces[ANSWERS].folder, source)
    if not answers:
        raise NotFound(f"What was seen inside {kept.name} is damaged. Look again: sftqa inside {kept.name}")
    columns = [name for name in _FACT_COLUMNS if name in source.facts]
    facts = answers[ANSWERS].merge(source.facts[columns], on="fact_id", how="left")
    chosen = {measure: kept.pieces[measure] for measure in measures if measure in kept.pieces}
    tables = {measure: table for measure, piece in chosen.items() if (table := _tables(piece.folder, source))}
    made = " ".join(dict.fromkeys(piece.made for piece in (chosen or kept.pieces).values()))
    return Look(kept.name, kept.settings, kept.labels, facts.astype({"level": "Int64"}), tables, made)


def _tables(folder: Path, source: FactSource) -> dict[str, pd.DataFrame]:
    """The tables in a folder with facts by id; none where one of them is damaged."""
    import pandas as pd
    import pyarrow

    tables = {}
    try:
        manifest = read_manifest(folder)
        for name in manifest["files"]:
            table = pd.read_parquet(io.BytesIO(read_file(folder, name, manifest)))
            if "row" in table:
                table.insert(0, "fact_id", source.facts["fact_id"].to_numpy()[table.pop("row").to_numpy()])
            tables[Path(name).stem] = table
    except (ArtifactDamaged, NotFound, OSError, ValueError, IndexError, pyarrow.ArrowException) as error:
        _log.warning("%s can't be read: %s", folder, error)
        return {}
    return tables
