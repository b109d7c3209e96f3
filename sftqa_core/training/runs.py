"""The run folder: everything about one finished fine-tuning run, in files that need no model to read.

    settings.json        TrainSettings as frozen at the start, learning rate resolved
    summary.json         RunSummary
    curve.jsonl          step, loss, learning_rate: one line a step
    dev.jsonl            looks at dev facts (training/watching.py), in runs that took some
    examples.jsonl       what was trained on: fact_id, relation, subject, question, answers, domain, echo, level
    predictions.parquet  the predictions table, all stages (evaluation/predictions.py)
    levels.parquet       the test facts: fact_id, relation, domain, subject, question, answers, echo, the source's optional
                         columns, and the columns of the levels table (null where a fact was not probed)
    model/               adapter or weights (when they were kept)
    recipe/STAGE/        of a run with a recipe, each of its trainings: settings.json, examples.parquet, curve.jsonl
    recipe/tables/       what it found out beside, NAME.parquet (one row a fact has its fact_id)
    manifest.json        written last: settings, command, model, source, device, what was probed, versions (`matching`: of the matching
                         rule; not there: the first), checksums

Runs lie in the person's layer or in the shipped one under it; a name in both means the person's.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftqa_core.artifacts import MANIFEST, finished, is_set_aside, read_file, read_manifest, write_folder, write_json
from sftqa_core.errors import ArtifactDamaged, NotFound, OtherVersion, SftqaError, StorageError
from sftqa_core.models.tuned import short_name
from sftqa_core.records import DOMAINS, RunSummary, TrainSettings
from sftqa_core.records.job import command_of
from sftqa_core.records.result_names import imported_name, is_bundle_name
from sftqa_core.records.tuning import cut_words
from sftqa_core.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

LEVELS = "levels.parquet"  # a run's test facts with the base model's levels
EXAMPLE_COLUMNS = ("fact_id", "relation", "subject", "question", "answers", "domain", "echo", "level")
FACT_COLUMNS = ("fact_id", "relation", "domain", "subject", "question", "answers", "echo")
OPTIONAL_FACT_COLUMNS = ("subject_in_train", "exposures", "contested", "rival", "rival_share")
_LONGEST = 255  # bytes of a folder's name
_LISTED = 5  # runs named in an error


@dataclass(frozen=True)
class RunInfo:
    """One line of the list of runs; reads nothing but the manifest."""

    id: str
    folder: Path
    shipped: bool  # came with the program, can't be deleted
    created: str  # ISO 8601, UTC
    model: str
    source: str
    n: int  # examples really trained on
    method: str
    seed: int
    settings: TrainSettings  # all of them, learning rate resolved
    quantisation: str = ""  # "Q4_K_M, from GGUF": how the model's file had rounded its values
    cut: str = ""  # "stopped after 12 of 40 steps by its time limit of 5 minutes"; empty for a run that no limit ended
    bundle: str = ""  # that it was imported with; empty for one's own and what ships


@dataclass(frozen=True)
class Run:
    """A finished run. Tables are read when asked for."""

    id: str
    folder: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """manifest.json. Raises `ArtifactDamaged`, with what makes the run again as far as that is known, when it can't be read."""
        try:
            return read_manifest(self.folder)
        except OtherVersion:
            raise
        except ArtifactDamaged as error:
            raise ArtifactDamaged(f"{error} {_again(self.folder)}".strip()) from error

    @cached_property
    def settings(self) -> TrainSettings:
        """The settings as frozen when the run started."""
        return TrainSettings.from_dict(self._json("settings.json"))

    @cached_property
    def summary(self) -> RunSummary:
        """The headline."""
        return RunSummary.from_dict(self._json("summary.json"))

    @property
    def versions(self) -> Mapping[str, str]:
        """Of Python and libraries with which it was made; of an imported run those of its maker."""
        return dict(self.manifest.get("made_with") or self.manifest.get("versions", {}))

    @property
    def cut(self) -> str:
        """See `RunInfo`."""
        return cut_words(self.manifest.get("training"), self.settings.time_limit_min)

    def predictions(self, stage: str | None = None) -> pd.DataFrame:
        """The predictions table, of one stage or of all."""
        table = self._parquet("predictions.parquet")
        return table if stage is None else table[table["stage"] == stage].reset_index(drop=True)

    def facts(self) -> pd.DataFrame:
        """The test facts with their levels; `answers` holds lists."""
        return self._parquet(LEVELS)

    def curve(self) -> pd.DataFrame:
        """step, loss, learning_rate; empty for n = 0."""
        return self._lines("curve.jsonl", ("step", "loss", "learning_rate"))

    def looks(self) -> pd.DataFrame:
        """step, domain, n, correct: dev facts answered rightly while it was trained; empty for runs that did not look."""
        import pandas as pd

        columns = ["step", "domain", "n", "correct"]
        if "dev.jsonl" not in self.manifest["files"]:
            return pd.DataFrame(columns=columns)
        table = self._lines("dev.jsonl", ("step", *DOMAINS))
        rows = [(row["step"], domain, row[domain]["n"], row[domain]["correct"]) for row in table.to_dict("records") for domain in DOMAINS]
        return pd.DataFrame(rows, columns=columns)

    def examples(self) -> pd.DataFrame:
        """What was trained on, with levels as far as known."""
        table = self._lines("examples.jsonl", EXAMPLE_COLUMNS)
        return table.astype({"level": "Int64"})

    @property
    def stages(self) -> list[dict[str, Any]]:
        """Of a run with a recipe, its trainings in their order, as `StageDone` (training/recipes/stages.py) has them; else empty."""
        return list(self._told.get("stages", ()))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a recipe says of what it did; empty without one."""
        return tuple(self._told.get("notes", ()))

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of a recipe's tables."""
        return tuple(self._told.get("tables", ()))

    def recipe_table(self, name: str) -> pd.DataFrame:
        """One of `tables`. Raises `ArtifactDamaged`, and `NotFound` for a table that this run does not have."""
        if name not in self.tables:
            raise NotFound(f"Run {self.id} has no table {name!r} of a recipe; it has {', '.join(self.tables) or 'none'}.")
        return self._parquet(f"recipe/tables/{name}.parquet")

    def stage_settings(self, stage: str) -> TrainSettings:
        """How a recipe's stage was trained, learning rate resolved."""
        return TrainSettings.from_dict(self._json(f"recipe/{stage}/settings.json"))

    def stage_examples(self, stage: str) -> pd.DataFrame:
        """What it was trained on, in that order; the first of `answers` was taught."""
        return self._parquet(f"recipe/{stage}/examples.parquet")

    def stage_curve(self, stage: str) -> pd.DataFrame:
        """Its step, loss, learning_rate."""
        return self._lines(f"recipe/{stage}/curve.jsonl", ("step", "loss", "learning_rate"))

    @property
    def _told(self) -> Mapping[str, Any]:
        told = self.manifest.get("recipe")
        return told if isinstance(told, dict) else {}

    @property
    def model(self) -> Path | None:
        """Folder of the tuned weights or adapter, when they were kept."""
        return self.folder / "model" if (self.folder / "model").is_dir() else None

    def _json(self, name: str) -> dict[str, Any]:
        return self._parsed(name, json.loads)

    def _lines(self, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
        import pandas as pd

        rows = self._parsed(name, lambda content: [json.loads(line) for line in content.decode("utf-8").splitlines()])
        return pd.DataFrame(rows, columns=list(columns))

    def _parquet(self, name: str) -> pd.DataFrame:
        return self._parsed(name, table_of)

    def _parsed(self, name: str, parse: Callable[[bytes], Any]) -> Any:
        """What a file holds. Raises `ArtifactDamaged` when it is not what was written, `StorageError` when the disk refuses."""
        manifest = self.manifest
        try:
            return parse(read_file(self.folder, name, manifest))
        except StorageError:
            raise
        except (ArtifactDamaged, OSError, ValueError) as error:  # pyarrow says OSError or ArrowInvalid, which is a ValueError
            raise ArtifactDamaged(
                f"{self.folder / name} of the finished run can't be read ({error}). {_again(self.folder, manifest)}"
            ) from error


@dataclass(frozen=True)
class RunContents:
    """What a run folder is made of. `settings` has its learning rate resolved."""

    settings: TrainSettings
    summary: RunSummary
    predictions: pd.DataFrame  # all stages
    facts: pd.DataFrame  # the test facts (fact table)
    levels: pd.DataFrame | None  # their levels table, as far as probed
    examples: pd.DataFrame  # Selection.facts
    manifest: Mapping[str, Any]  # model fingerprint, source fingerprint, aliases, device, dtype, counts, probed, ...


def new_run_id(settings: TrainSettings, now: datetime | None = None) -> str:
    """A new name that sorts by time and can be told apart by eye: 20260131-142501-atlas-llama-n60-lora-s0-3f9c."""
    model = re.sub(r"[^A-Za-z0-9.]+", "-", short_name(settings.model)).strip("-.")[:40] or "model"
    moment = (now or datetime.now(UTC)).strftime("%Y%m%d-%H%M%S")
    how = f"{settings.method}-{settings.recipe.name}" if settings.recipe else settings.method
    return f"{moment}-{model}-n{settings.n}-{how}-s{settings.seed}-{secrets.token_hex(2)}"


def write_run(workspace: Workspace, run_id: str, contents: RunContents, scratch: Path | None = None) -> Run:
    """Store a finished run in the person's layer, whole or not at all.

    `scratch` is the folder that the training wrote curve.jsonl, model/ and recipe/ into; they are moved from there.
    """

    def fill(folder: Path) -> None:
        write_json(folder / "settings.json", contents.settings.to_dict())
        write_json(folder / "summary.json", contents.summary.to_dict())
        for name in ("curve.jsonl", "dev.jsonl", "model", "recipe"):
            if scratch is not None and (scratch / name).exists():
                shutil.move(scratch / name, folder / name)
        (folder / "curve.jsonl").touch()
        (folder / "examples.jsonl").write_text(example_lines(contents.examples), encoding="utf-8")
        contents.predictions.reset_index(drop=True).to_parquet(folder / "predictions.parquet")
        facts_with_levels(contents.facts, contents.levels).to_parquet(folder / LEVELS)

    settings = contents.settings
    manifest = {
        "kind": "run",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "n": contents.summary.n,
        "settings": settings.to_dict(),
        "command": command_of(settings),
        **contents.manifest,
    }
    return Run(run_id, write_folder(workspace.runs / run_id, fill, manifest))


def example_lines(examples: pd.DataFrame) -> str:
    """JSON Lines of chosen examples, for the run folder and for `sftqa select`; level is null when not probed."""
    rows = examples.reindex(columns=list(EXAMPLE_COLUMNS)).to_dict("records")
    lines = [
        json.dumps({**row, "level": _level(row["level"]), "echo": row["echo"] == row["echo"] and bool(row["echo"])}, ensure_ascii=False)
        for row in rows
    ]
    return "".join(f"{line}\n" for line in lines)


def facts_with_levels(facts: pd.DataFrame, levels: pd.DataFrame | None) -> pd.DataFrame:
    """The test facts and all that is known of their memory, one row each: what Results reads."""
    kept = facts[[*FACT_COLUMNS, *(name for name in OPTIONAL_FACT_COLUMNS if name in facts)]].reset_index(drop=True)
    if levels is None:
        return kept.assign(level=None).astype({"level": "Int64"})
    return kept.merge(levels, on="fact_id", how="left", validate="one_to_one").astype({"level": "Int64"})


def list_runs(workspace: Workspace | None = None) -> list[RunInfo]:
    """Every finished run of both layers, newest first; without those that can't be read (`workflows.unreadable_results`)."""
    place = workspace or Workspace.current()
    infos = []
    for folder in run_folders(place).values():
        with contextlib.suppress(OSError):  # removed since it was listed
            infos.append(_info(folder, (folder / MANIFEST).stat().st_mtime_ns, place.shipped / "runs"))
    return sorted(filter(None, infos), key=lambda info: (info.created, info.id), reverse=True)


def shown_runs(workspace: Workspace | None = None) -> list[RunInfo]:
    """`list_runs`, then the runs of imported bundles: for people to look at and compare. What looks for a run to use it never asks this."""
    place = workspace or Workspace.current()
    return [*list_runs(place), *imported_runs(place)]


def imported_runs(workspace: Workspace) -> list[RunInfo]:
    """The runs of imported bundles, bundle by bundle, under the names that they go by here."""
    bundles = [name for name in finished([workspace.imports]) if is_bundle_name(name)]
    return [replace(info, id=imported_name(name, info.id), bundle=name) for name in bundles for info in list_runs(workspace.bundle(name))]


def read_run(run_id: str, workspace: Workspace | None = None) -> Run:
    """The run of that name, the person's layer first; of an imported bundle the run that is named so.

    Raises `NotFound` naming runs that are called alike.
    """
    own = workspace or Workspace.current()
    place, name = own.holding(run_id)
    plain = name and Path(name).name == name and len(name.encode()) <= _LONGEST and not name.startswith(".")
    if plain and not is_set_aside(name):  # without a look at all the others
        for folder in (layer / "runs" / name for layer in place.layers):
            if (folder / MANIFEST).exists():
                return Run(run_id, folder)
    folders = {info.id: info.folder for info in imported_runs(own)} if place != own else run_folders(place)
    if place != own and not folders:
        raise NotFound(f"There is no run {run_id!r}: no runs were imported, or they were removed. `sftqa import` lists bundles.")
    if not folders:
        raise NotFound(f"There is no run {run_id!r}: no run has finished here yet. Start one with `sftqa train` or in the Lab.")
    near = difflib.get_close_matches(run_id, folders, _LISTED, 0.3) or sorted(folders, reverse=True)[:_LISTED]
    raise NotFound(f"There is no run {run_id!r}. Runs that come near: {', '.join(near)}. `sftqa runs` lists all {len(folders)}.")


def run_of_token(token: str, workspace: Workspace | None = None) -> Run | None:
    """The run that was made for the request of that name (a job, say); None while there is none."""
    for name, folder in run_folders(workspace or Workspace.current()).items():
        with contextlib.suppress(SftqaError):
            if read_manifest(folder).get("token") == token:
                return Run(name, folder)
    return None


def table_of(content: bytes) -> pd.DataFrame:
    """The table in a Parquet file. Raises OSError or ValueError for content that is none."""
    import pyarrow
    import pyarrow.parquet

    stored = pyarrow.parquet.read_table(pyarrow.BufferReader(content))
    lists = {field.name: stored.column(field.name).to_pylist() for field in stored.schema if pyarrow.types.is_list(field.type)}
    return stored.to_pandas().assign(**lists)  # lists again: Parquet alone gives arrays


def run_folders(workspace: Workspace) -> dict[str, Path]:
    """Finished runs in both layers by id, damaged ones included."""
    return finished(layer / "runs" for layer in workspace.layers)


@lru_cache(maxsize=20_000)
def _info(folder: Path, written_ns: int, shipped: Path) -> RunInfo | None:
    """A line of the list, kept while the manifest stays as it was written; None for a damaged run, which must not hide the others."""
    try:
        manifest = read_manifest(folder)
        settings = TrainSettings.from_dict(manifest["settings"])
        created, n = str(manifest.get("created", "")), int(manifest.get("n", settings.n))
    except (SftqaError, KeyError, AttributeError, TypeError, ValueError):  # opening it tells what is wrong
        return None
    model = manifest.get("model")
    rounded = str(model.get("quantisation", "")) if isinstance(model, dict) else ""
    cut = cut_words(manifest.get("training"), settings.time_limit_min)
    headline = (settings.model, settings.source, n, settings.method, settings.seed, settings, rounded, cut)
    return RunInfo(folder.name, folder, folder.parent == shipped, created, *headline)


def _level(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and value == value else None


def _again(folder: Path, manifest: Mapping[str, Any] | None = None) -> str:
    """How to make a damaged run again, if its settings can be read."""
    try:
        command = (
            manifest["command"] if manifest else command_of(TrainSettings.from_dict(json.loads((folder / "settings.json").read_bytes())))
        )
    except (OSError, ValueError, KeyError, SftqaError):
        return ""
    return f"`sftqa cache verify --set-aside` moves it out of the way; then train again: {command}"
