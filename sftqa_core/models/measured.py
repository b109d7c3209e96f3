"""Real models whose results come with the program while their weights do not.

`<shipped>/measured/NAME.json` says which file of weights it was, by its checksum, and what identifies the weights in the keys of results
(catalogue.ModelFingerprint). Such a model is listed and its results are shown like any other's. Once its file has been read here
(`sftqa fetch FILE.gguf`), it can be probed, asked and tuned under the same name.

A model that went on reading from one of these (models/pretraining.py) has `made`, what its manifest said, and beside its card
NAME.exposures.parquet: what it was told how often. `<shipped>/measured/rates/NAME.json`: sweeps over learning rates.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftqa_core.artifacts import is_finished, read_json, read_manifest, write_json
from sftqa_core.errors import ModelUnavailable, SftqaError
from sftqa_core.jsonrecord import Record
from sftqa_core.models.gguf import gguf_reading
from sftqa_core.records import ModelCard, PretrainSettings, SweepReport
from sftqa_core.records.job import command_of
from sftqa_core.workspace import Workspace

KIND = "measured"
FOLDER = "measured"
RATES = f"{FOLDER}/rates"
MADE = ("settings", "source", "base", "corpus", "training")  # of a pre-trained model's manifest
_STORES = ("completions", "estimates")  # of a layer: what levels are known from (memory/probe_stores.py)


@dataclass(frozen=True)
class Measured(Record):
    """What is known of a model that was measured elsewhere."""

    name: str  # what a person types to pick it
    title: str  # what it is, in words: family, size, base or tuned to follow instructions
    file: str  # name of the GGUF file
    sha256: str  # of that file
    quantisation: str  # how the file had rounded its values ("Q4_K_M, from GGUF")
    licence: str
    architecture: str
    parameters: int
    weights: str  # catalogue.weights_fingerprint of what was read from the file
    beginning: int | None = None  # see catalogue.ModelFingerprint
    made: dict[str, Any] | None = None  # MADE of a model that went on from another, whose file is named here


def measured_models(workspace: Workspace | None = None) -> dict[str, Measured]:
    """Name -> what is known; those that ship. One that can't be read is left out (`sftqa cache verify` names it)."""
    found = {}
    for path in card_files((workspace or Workspace.current()).shipped):
        with contextlib.suppress(SftqaError):
            about = read_card(path)
            found[about.name] = about
    return found


def card_files(shipped: Path) -> list[Path]:
    """The files of a layer's cards, by name."""
    return sorted((shipped / FOLDER).glob("*.json"), key=lambda path: path.stem)


def read_card(path: Path) -> Measured:
    """Raises `SftqaError` for a file that holds none."""
    about = Measured.from_dict(read_json(path) or {})
    if about.made is not None:
        PretrainSettings.from_dict(about.made.get("settings", {}))
    return about


def found_models(workspace: Workspace | None = None) -> dict[str, Measured]:
    """Those whose text nobody here wrote: without those that went on from another."""
    return {name: about for name, about in measured_models(workspace).items() if about.made is None}


def taught_models(workspace: Workspace | None = None) -> dict[str, Measured]:
    """Those that went on from another with a text whose statements are known."""
    return {name: about for name, about in measured_models(workspace).items() if about.made is not None}


def with_results(workspace: Workspace | None = None) -> dict[str, Measured]:
    """Those of which levels are stored here, whether they ship or were measured here. Reads what lies beside every store (`settings.json`)
    and opens no table: the first page asks."""
    workspace = workspace or Workspace.current()
    known = found_models(workspace)
    measured = set[str]()
    for path in (
        (place for layer in workspace.layers for kind in _STORES for place in layer.glob(f"{kind}/*/settings.json")) if known else ()
    ):
        with contextlib.suppress(SftqaError, KeyError, TypeError, AttributeError):
            measured.add((read_json(path) or {})["model"]["weights"])
    return {name: about for name, about in known.items() if about.weights in measured}


def write_measured(about: Measured, shipped: Path, exposures: Path | None = None) -> None:
    """Add a model to what ships; `exposures`: the table of one that went on from another."""
    write_json(shipped / FOLDER / f"{about.name}.json", about.to_dict())
    if exposures is not None:
        shutil.copy(exposures, exposures_file(about.name, shipped))


def exposures_file(name: str, shipped: Path) -> Path:
    """Where the table of a model that went on from another lies."""
    return shipped / FOLDER / f"{name}.exposures.parquet"


def write_rates(name: str, sweeps: Sequence[SweepReport], shipped: Path) -> None:
    """Add what dev facts said of learning rates for this model, by method."""
    write_json(shipped / RATES / f"{name}.json", {"sweeps": [sweep.to_dict() for sweep in sweeps]})


def rates(name: str, workspace: Workspace | None = None) -> tuple[SweepReport, ...]:
    """What dev facts said of learning rates for this model, by method; empty where it was not asked, or can't be read."""
    with contextlib.suppress(SftqaError, KeyError, TypeError):
        known = read_json((workspace or Workspace.current()).shipped / RATES / f"{name}.json") or {"sweeps": []}
        return tuple(SweepReport.from_dict(sweep) for sweep in known["sweeps"])
    return ()


def card(about: Measured) -> ModelCard:
    """Its card while its file has not been read here."""
    how = f"get {about.file} (SHA-256 {about.sha256[:12]}…) and read it once: sftqa fetch PATH/{about.file}"
    if about.made is not None:
        made = command_of(PretrainSettings.from_dict(about.made["settings"]))
        how += f", and make this one again of the facts that were probed here: {made}"
    note = f"{about.title}. Its results come with the program, its weights do not. To use it, {how}"
    details, rounded = {KIND: about.to_dict(), **(about.made or {})}, about.quantisation
    return ModelCard(about.name, KIND, None, False, about.architecture, about.parameters, note=note, details=details, quantisation=rounded)


def refuse_unread(card: ModelCard) -> None:
    """Raise `ModelUnavailable`, which says how to bring it here, for a model of which only the results are."""
    if card.kind == KIND:
        raise ModelUnavailable(card.note)


def told(card: ModelCard) -> Measured:
    """What a card of this kind was made of."""
    return Measured.from_dict(card.details[KIND])


def read_from(about: Measured, workspace: Workspace) -> Path | None:
    """The folder into which this very file was read by what reads now, wherever it lay; None where it was not, and for a model that went
    on from the file's."""
    if about.made is not None:
        return None
    return next((folder for folder in _read_here(workspace) if _is_of(folder, about.sha256)), None)


def _read_here(workspace: Workspace) -> Iterator[Path]:
    return (folder for folder in sorted(workspace.gguf.glob("*")) if is_finished(folder))


def _is_of(folder: Path, sha256: str) -> bool:
    try:
        manifest = read_manifest(folder)
        return list(manifest["sha256"].values()) == [sha256] and manifest["readers"] == gguf_reading.reader_versions()
    except (SftqaError, KeyError, AttributeError):
        return False
