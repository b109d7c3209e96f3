"""Models that were tuned here: what a finished run kept is a model named run:RUN, wherever a model can be named.

Lists read nothing but the run's manifest, once: with a thousand runs they stay as fast as with none. An adapter sits on the model that its
run was tuned from, at the revision it had then, whatever the adapter's own file says of places; where that model lies elsewhere now, a
person can say so (adapter_bases.py).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sftqa_core.artifacts import MANIFEST, finished, is_set_aside, read_manifest
from sftqa_core.errors import ModelUnavailable, NotFound, SftqaError
from sftqa_core.jsonrecord import shown
from sftqa_core.models.hub.hub_cache import without_revision
from sftqa_core.models.model_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from sftqa_core.records import ModelCard
from sftqa_core.records.result_names import bundle_of
from sftqa_core.workspace import Workspace

KIND = "tuned"
PREFIX = "run:"
FOLDER = "model"  # in the run's
_DETAILS = "tuned"  # in a card's details
_RUN_ID = re.compile(r"\d{8}-\d{6}-(?P<model>.+)-n-?\d+-[a-z]+-s\d+-[0-9a-f]{4}")
_TUNED = "-tuned"


@dataclass(frozen=True)
class Kept:
    """What a run's manifest says of the model that it kept."""

    run: str
    base: str  # what it was tuned from, as the run's settings name it; maybe run:OTHER
    root: str  # the model that was not tuned here, where the chain of runs begins
    root_kind: str  # of that one's card; empty where an old run does not say
    n: int
    method: str
    seed: int
    created: str  # ISO 8601, UTC
    quantization: str  # that the base model had while it was tuned
    adapter: bool
    parameters: int | None  # of the whole model; None for an adapter
    sha256: str | None  # of its one file of weights
    base_weights: str | None  # weights_fingerprint of what it was tuned from
    base_revision: str | None
    command: str

    @property
    def name(self) -> str:
        return f"{PREFIX}{self.run}"


def is_tuned_name(name: str) -> bool:
    """Whether a name can only mean a kept run."""
    return name.startswith(PREFIX)


def tuned_from(card: ModelCard) -> Kept | None:
    """What a tuned model's card carries of its run; None for other models."""
    told = card.details.get(_DETAILS)
    return Kept(**told) if card.kind == KIND and isinstance(told, dict) else None


def kept_models(workspace: Workspace) -> Iterator[ModelCard]:
    """The cards of all kept runs, newest first, from their manifests alone; damaged runs are skipped, as on the list of runs."""
    found = []
    for folder in finished(layer / "runs" for layer in workspace.layers).values():
        with contextlib.suppress(OSError, SftqaError):
            if (kept := _kept(folder, (folder / MANIFEST).stat().st_mtime_ns)) is not None:
                found.append((kept, folder))
    for kept, folder in sorted(found, key=lambda pair: (pair[0].created, pair[0].run), reverse=True):
        yield _card(kept, folder)


def tuned_card(name: str, workspace: Workspace) -> ModelCard:
    """The card of run:RUN, from its manifest. Raises `ModelUnavailable` where there is no such run, or it kept no weights;
    `ArtifactDamaged` for a run that can't be read."""
    run = name.removeprefix(PREFIX)
    if bundle_of(run):
        raise ModelUnavailable(
            f"Run {run} was imported: it is read and compared, and no work starts from it. Where its bundle brought the weights, "
            f"sftqa export {run} --out FOLDER writes them into a folder, which is a model of its own; else train it again."
        )
    plain = run and Path(run).name == run and len(run.encode()) <= 255 and not run.startswith(".") and not is_set_aside(run)
    for folder in (layer / "runs" / run for layer in workspace.layers) if plain else ():
        try:
            read_manifest(folder)
            kept = _kept(folder, (folder / MANIFEST).stat().st_mtime_ns)
        except (NotFound, FileNotFoundError):
            continue
        if kept is None:
            again = str(read_manifest(folder).get("command", "")).replace(" --no-save-model", "")
            raise ModelUnavailable(f"Run {run} did not keep its weights, so it is no model. Train again with them kept: {again}")
        return _card(kept, folder)
    raise ModelUnavailable(f"There is no run {shown(run)}, so there is no model {shown(name)}. `sftqa runs` lists the runs that there are.")


def short_name(model: str) -> str:
    """A model's name inside the name of a folder: of a tuned model what it was tuned from, and that it was tuned."""
    if is_tuned_name(model):
        named = _RUN_ID.fullmatch(model.removeprefix(PREFIX))
        return f"{named['model'].removesuffix(_TUNED)}{_TUNED}" if named else "tuned"
    path = without_revision(model)
    return Path(path).name + model[len(path) :]


def _card(kept: Kept, folder: Path) -> ModelCard:
    what = "LoRA" if kept.adapter else "all weights"
    note = f"Tuned from {kept.base} on {kept.n:,} examples ({what}, seed {kept.seed})."
    return ModelCard(
        kept.name,
        KIND,
        str(folder / FOLDER),
        True,
        architecture="lora adapter" if kept.adapter else None,
        parameters=kept.parameters,
        weights_sha256=kept.sha256,
        note=note,
        details={_DETAILS: asdict(kept)},
    )


@lru_cache(maxsize=20_000)
def _kept(folder: Path, written_ns: int) -> Kept | None:
    """What the manifest says, kept while it stays as it was written; None for a run without weights, or of nothing that can be read."""
    manifest = read_manifest(folder)
    files: dict[str, Any] = manifest["files"]
    inside = {name.removeprefix(f"{FOLDER}/") for name in files if name.startswith(f"{FOLDER}/")}
    if not any(name.endswith(".safetensors") for name in inside):
        return None
    try:
        settings, model = manifest["settings"], manifest.get("model") or {}
        base, adapter = str(settings["model"]), ADAPTER_CONFIG in inside
        root = model.get("root") if is_tuned_name(base) else None
        weights = ADAPTER_WEIGHTS if adapter else "model.safetensors"
        return Kept(
            folder.name,
            base,
            str(root["name"]) if root else base,
            str((root or model).get("kind") or ""),
            int(manifest.get("n", settings["n"])),
            str(settings["method"]),
            int(settings["seed"]),
            str(manifest.get("created", "")),
            str(settings.get("quantization", "none")),
            adapter,
            None if adapter else manifest.get("training", {}).get("trained_parameters"),
            files.get(f"{FOLDER}/{weights}"),
            model.get("weights") if model.get("adapter") is None else None,
            model.get("revision"),
            str(manifest.get("command", "")),
        )
    except (KeyError, AttributeError, TypeError, ValueError):  # opening the run tells what is wrong
        return None
