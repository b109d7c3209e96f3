"""A run in a bundle: which of its files go in, under which names, and how a run folder is written again from them.

    runs/RUN/run.json         settings, what was trained, fingerprints, seconds, versions
             predictions.parquet, levels.parquet, curve.jsonl, dev.jsonl, examples.jsonl
             tables/NAME.parquet    of a recipe
             model/                 an adapter, where weights were asked for

Accuracies are not in it: whoever imports it counts them from the predictions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftqa_core.artifacts import seal, write_json
from sftqa_core.artifacts.plain_tables import plain_bytes, refuse_columns
from sftqa_core.errors import BundleRefused, SettingsError, SftqaError
from sftqa_core.jsonrecord import shown
from sftqa_core.models.model_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, ModelFolder
from sftqa_core.records import DOMAINS, RunSummary, TrainSettings
from sftqa_core.records.job import command_of
from sftqa_core.studies.outcome_files import FACT_LISTS, FACT_TEXTS
from sftqa_core.training.runs import EXAMPLE_COLUMNS, FACT_COLUMNS, LEVELS, Run
from sftqa_core.workflows.bundles import run_values
from sftqa_core.workflows.bundles.bundle_checks import Bundle, understood
from sftqa_core.workflows.bundles.bundle_names import PublicNames, is_place
from sftqa_core.workflows.lookups import moved_levels

if TYPE_CHECKING:
    import pandas as pd

PREDICTIONS = "predictions.parquet"
_EXAMPLES = "examples.jsonl"
_LINES = ("curve.jsonl", "dev.jsonl", _EXAMPLES)
_TOLD = ("created", "n", "model", "source", "aliases", "matching", "device", "dtype", "examples", "training", "majority", "recipe")
_MODEL = ("name", "revision", "weights", "adapter", "dtype", "device", "quantisation", "chat")  # of what its manifest says of the model
_PREDICTED = ("fact_id", "stage", "text", "correct")  # columns that every reader relies on
_ANSWER_TEXTS = ("fact_id", "stage", "text", "matched")


# ---- packing ----
def run_files(run: Run, names: PublicNames, weights: bool) -> dict[str, bytes]:
    """The files of a run by their names in its folder of the bundle. Raises `SettingsError` for weights that are no adapter."""
    manifest = run.manifest
    told = {name: manifest[name] for name in _TOLD if name in manifest}
    told["model"] = {name: value for name, value in manifest.get("model", {}).items() if name in _MODEL}
    try:
        moved = moved_levels(run.id)
    except SftqaError:  # its base model or facts are gone: then it is not known
        moved = None
    about = {
        **told, "settings": run.settings.to_dict(), "seconds": run.summary.seconds, "shown": run.summary.shown, "moved_levels": moved,
        "versions": dict(run.versions),
    }  # fmt: skip
    files = {"run.json": json.dumps(names.of(about), ensure_ascii=False).encode()}
    files |= {PREDICTIONS: plain_bytes(run.predictions()), LEVELS: plain_bytes(run.facts())}
    files |= {name: (run.folder / name).read_bytes() for name in _LINES if name in manifest["files"]}
    files |= {f"tables/{name}.parquet": plain_bytes(run.recipe_table(name)) for name in run.tables}
    return files | (_adapter(run, names) if weights else {})


def _adapter(run: Run, names: PublicNames) -> dict[str, bytes]:
    if run.model is None:
        raise SettingsError(f"Run {run.id} did not keep its weights. Pack it without --weights, or train it again with them kept.")
    if not ModelFolder(run.model).is_adapter:
        raise SettingsError(f"Run {run.id} tuned all weights; a bundle carries adapters only. Pack it without --weights.")
    told = ModelFolder(run.model).json(ADAPTER_CONFIG)
    config = {name: told[name] for name in run_values.LORA_KEYS if name in told} | {"base_model_name_or_path": run.settings.model}
    weights = (run.model / ADAPTER_WEIGHTS).read_bytes()
    return {f"model/{ADAPTER_CONFIG}": json.dumps(names.of(config)).encode(), f"model/{ADAPTER_WEIGHTS}": weights}


# ---- importing ----
def write_imported(bundle: Bundle, name: str, folder: Path) -> None:
    """Write the run of that name into a new folder as runs are stored here: nothing of the bundle but weights is kept as it came.

    Raises `BundleRefused` for what this program would not have written, whichever step finds it, and `StorageError`.
    """
    understood(f"runs/{name}", lambda: _write(bundle, name, folder))


def _write(bundle: Bundle, name: str, folder: Path) -> None:
    place = f"runs/{name}"
    about = bundle.json(f"{place}/run.json")
    predictions, facts = bundle.table(f"{place}/{PREDICTIONS}"), bundle.table(f"{place}/{LEVELS}")
    settings = understood(f"{place}/run.json", lambda: _settings(about))
    understood(place, lambda: _check_answers(predictions, facts, settings))
    folder.mkdir(parents=True)
    facts = facts.astype({"level": "Int64"})
    examples = [{column: row.get(column) for column in EXAMPLE_COLUMNS} for row in bundle.lines(f"{place}/{_EXAMPLES}")]
    n = understood(f"{place}/run.json", lambda: run_values.trained_on(about, settings, len(examples)))
    summary = understood(f"{place}/run.json", lambda: _counted(name, n, about, settings, predictions, facts))
    write_json(folder / "settings.json", settings.to_dict())
    write_json(folder / "summary.json", summary.to_dict())
    predictions.to_parquet(folder / PREDICTIONS)
    facts.to_parquet(folder / LEVELS)
    for file in _LINES:
        if file != "dev.jsonl" or f"{place}/{file}" in bundle.sizes:
            rows = examples if file == _EXAMPLES else bundle.lines(f"{place}/{file}")
            (folder / file).write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")
    for file in bundle.under(f"{place}/tables"):
        (folder / "recipe" / "tables").mkdir(parents=True, exist_ok=True)
        bundle.table(file).to_parquet(folder / "recipe" / "tables" / Path(file).name)
    _write_adapter(bundle, f"{place}/model", folder / "model")
    seal(folder, understood(f"{place}/run.json", lambda: _manifest(about, settings, summary)))
    understood(place, lambda: _read_once(Run(name, folder)))


def _settings(about: Mapping[str, Any]) -> TrainSettings:
    settings = TrainSettings.from_dict(about["settings"])
    refuse_places(settings.model, settings.source)
    return settings


def refuse_places(*names: str) -> None:
    """Raise ValueError for a model or source that is named by a path or an address."""
    if wrong := [name for name in names if is_place(name)]:
        raise ValueError(f"names {shown(wrong[0])}, a place on another machine; a bundle names models and facts, never where they lie")


def _check_answers(predictions: pd.DataFrame, facts: pd.DataFrame, settings: TrainSettings) -> None:
    """What every reader of a run relies on. Raises ValueError."""
    refuse_columns(facts, (*FACT_COLUMNS, "level"), FACT_TEXTS, FACT_LISTS)
    refuse_columns(predictions, _PREDICTED, _ANSWER_TEXTS, ())
    if facts["fact_id"].duplicated().any() or predictions.duplicated(["stage", "fact_id"]).any():
        raise ValueError("a fact stands in it twice")
    if not set(predictions["fact_id"]) <= set(facts["fact_id"]) or not set(facts["domain"]) <= set(DOMAINS):
        raise ValueError("it answers facts that are not in it, or facts of no domain")
    if not facts["level"].dropna().between(0, len(settings.scheme.labels) - 1).all():
        raise ValueError(f"a fact has a level beyond {', '.join(settings.scheme.labels)}")
    if predictions["correct"].dtype != bool or not set(predictions["stage"]) >= {"before", "after"}:
        raise ValueError("it does not say what was right before and after tuning")


def _counted(
    name: str, n: int, about: Mapping[str, Any], settings: TrainSettings, predictions: pd.DataFrame, facts: pd.DataFrame
) -> RunSummary:
    """The summary, its accuracies counted from the answers."""
    from sftqa_core.evaluation.intervals import accuracy_by_level

    plain = facts[~facts["echo"].astype(bool)]
    stages = {str(stage): rows for stage, rows in predictions.groupby("stage", sort=False)}
    counted = {stage: accuracy_by_level(rows, facts, facts, settings.scheme) for stage, rows in stages.items()}
    inside = {stage: rows[rows["fact_id"].isin(plain["fact_id"])] for stage, rows in stages.items()}
    bare = {stage: accuracy_by_level(rows, plain, plain, settings.scheme) for stage, rows in inside.items()}
    baselines = {stage: accuracy for stage, accuracy in counted.items() if stage not in ("before", "after")}
    seconds = {str(part): run_values.number("seconds", value) for part, value in about["seconds"].items()}
    means = about["shown"]
    fitted = None if means is None else {str(stage): run_values.number("shown", mean) for stage, mean in means.items()}
    return RunSummary(name, n, counted["before"], counted["after"], baselines, seconds, bare, fitted)


def _manifest(about: Mapping[str, Any], settings: TrainSettings, summary: RunSummary) -> dict[str, Any]:
    """The manifest of the run as it is stored here; its command is made from its settings, since people copy it into a terminal."""
    created = datetime.fromisoformat(str(about["created"])).isoformat(timespec="seconds")
    model = {name: value for name, value in about["model"].items() if name in _MODEL and isinstance(value, str | int | float | None)}
    source = {name: str(about["source"][name]) for name in ("name", "fingerprint")}
    refuse_places(str(model.get("name", "")), source["name"])
    versions = {str(package): str(version) for package, version in about["versions"].items()}
    moved, rest = run_values.moved(about["moved_levels"]), run_values.told(about)
    matching = run_values.whole("matching", about.get("matching", 1))
    plain = {"aliases": str(about["aliases"]), "matching": matching, "moved_levels": moved, "made_with": versions}
    where = {name: str(about[name]) for name in ("device", "dtype") if name in about}
    told = {"kind": "run", "created": created, "n": summary.n, "settings": settings.to_dict(), "command": command_of(settings)}
    return {**told, "model": model, "source": source, **plain, **where, **rest}


def _write_adapter(bundle: Bundle, place: str, folder: Path) -> None:
    files = bundle.under(place)
    if not files:
        return
    if sorted(files) != [f"{place}/{ADAPTER_CONFIG}", f"{place}/{ADAPTER_WEIGHTS}"]:
        raise BundleRefused(f"{shown(place)} is no adapter, which is {ADAPTER_CONFIG} and {ADAPTER_WEIGHTS}.")
    folder.mkdir()
    config = bundle.json(f"{place}/{ADAPTER_CONFIG}")
    write_json(folder / ADAPTER_CONFIG, understood(f"{place}/{ADAPTER_CONFIG}", lambda: run_values.lora(config)))
    (folder / ADAPTER_WEIGHTS).write_bytes(bundle.read(f"{place}/{ADAPTER_WEIGHTS}"))
    understood(f"{place}/{ADAPTER_WEIGHTS}", ModelFolder(folder).shapes)  # reads its header, and where it ends


def _read_once(run: Run) -> None:
    """Everything that a page reads of a run, so that what can't be read is refused now."""
    run.curve().astype(float)
    looks = run.looks()[["step", "n", "correct"]].astype(int)
    if not looks["correct"].between(0, looks["n"]).all():
        raise ValueError("it was answered rightly more often on dev facts than it was asked")
    run.examples()
    for name in run.tables:
        run.recipe_table(name)
    if not all(isinstance(text, str) for text in (run.cut, *run.notes)):
        raise ValueError("its notes are no texts")
