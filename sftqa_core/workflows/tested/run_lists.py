"""All finished runs as one table, to sort, filter and pick from, and the one of given settings.

Reads their manifests and summaries only, each once a process.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sftqa_core.artifacts import MANIFEST, read_file, read_manifest, size_bytes
from sftqa_core.errors import SftqaError
from sftqa_core.records import DOMAINS, TrainSettings
from sftqa_core.training.runs import RunInfo, list_runs, shown_runs
from sftqa_core.workflows.lookups import default_learning_rate

if TYPE_CHECKING:
    import pandas as pd

ACCURACIES = tuple(f"{domain}_{mean}" for domain in DOMAINS for mean in ("macro", "micro"))
_IN_SUMMARY = {"macro": "macro", "micro": "natural"}


def run_list(infos: Sequence[RunInfo] | None = None) -> pd.DataFrame:
    """A row a run, newest first: id, model, source, n, levels (labels that it was tuned on; empty: any), method, recipe (its title and
    changed settings; empty: plain tuning), seed, created, shipped, cut (what a time limit did to its training; empty: nothing), bundle
    (that it was imported with), size_bytes (on the disk), and ACCURACIES after tuning (null where a level has no facts, or the summary
    can't be read)."""
    import pandas as pd

    infos = shown_runs() if infos is None else infos
    rows = []
    for info in infos:
        settings = info.settings
        levels = ", ".join(settings.scheme.labels[at] for at in settings.levels or ())
        what = (info.id, info.model, info.source, info.n, levels, info.method, str(settings.recipe or ""))
        rows.append((*what, info.seed, info.created, info.shipped, info.cut, info.bundle, run_bytes(info), *_accuracies_of(info)))
    columns = ["id", "model", "source", "n", "levels", "method", "recipe", "seed", "created", "shipped", "cut", "bundle", "size_bytes"]
    columns += ACCURACIES
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(ACCURACIES, "float64"))


def run_bytes(info: RunInfo) -> int:
    """What a run takes on the disk; counted once, until its manifest changes. 0 for one that has gone."""
    with contextlib.suppress(OSError):
        return _bytes(info.folder, (info.folder / MANIFEST).stat().st_mtime_ns)
    return 0


@lru_cache(maxsize=20_000)
def _bytes(folder: Path, written_ns: int) -> int:
    return size_bytes(folder)


def _accuracies_of(info: RunInfo) -> tuple[float | None, ...]:
    with contextlib.suppress(OSError):
        return _accuracies(info.folder, (info.folder / MANIFEST).stat().st_mtime_ns)
    return (None,) * len(ACCURACIES)


@lru_cache(maxsize=20_000)
def _accuracies(folder: Path, written_ns: int) -> tuple[float | None, ...]:
    """Kept while the manifest stays as it was written."""
    try:
        after = json.loads(read_file(folder, "summary.json", read_manifest(folder)))["after"]
        return tuple(after[domain][_IN_SUMMARY[mean]] for domain in DOMAINS for mean in ("macro", "micro"))
    except (SftqaError, OSError, ValueError, KeyError, TypeError):  # opening the run tells what is wrong
        return (None,) * len(ACCURACIES)


def finished_run(settings: TrainSettings) -> RunInfo | None:
    """The newest run of these settings, on whatever device, with or without its weights; None where there is none.

    A run that its time limit cut is none. Raises `ModelUnavailable` where the settings leave the learning rate to a model that is gone.
    """
    rate = settings.learning_rate or default_learning_rate(settings.method, settings.model)
    wanted = _same_work(replace(settings, learning_rate=rate))
    return next((info for info in list_runs() if not info.cut and _same_work(info.settings) == wanted), None)


def _same_work(settings: TrainSettings) -> TrainSettings:
    return replace(settings, device="auto", save_model=False, time_limit_min=None)
