"""All finished runs as one table, to sort, filter and pick from: reads their manifests and summaries only, each once a process."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sftqa_core.artifacts import MANIFEST, read_file, read_manifest
from sftqa_core.errors import SftqaError
from sftqa_core.records import DOMAINS
from sftqa_core.training.runs import RunInfo, list_runs

if TYPE_CHECKING:
    import pandas as pd

ACCURACIES = tuple(f"{domain}_{mean}" for domain in DOMAINS for mean in ("macro", "micro"))
_IN_SUMMARY = {"macro": "macro", "micro": "natural"}


def run_list(infos: Sequence[RunInfo] | None = None) -> pd.DataFrame:
    """A row a run, newest first: id, model, source, n, levels (labels that it was tuned on; empty: any), method, recipe (its title and
    changed settings; empty: plain tuning), seed, created, shipped, cut (what a time limit did to its training; empty: nothing), bundle
    (that it was imported with), and ACCURACIES after tuning (null where a level has no facts, or the summary can't be read)."""
    import pandas as pd

    infos = list_runs() if infos is None else infos
    rows = []
    for info in infos:
        settings = info.settings
        levels = ", ".join(settings.scheme.labels[at] for at in settings.levels or ())
        what = (info.id, info.model, info.source, info.n, levels, info.method, str(settings.recipe or ""))
        rows.append((*what, info.seed, info.created, info.shipped, info.cut, info.bundle, *_accuracies_of(info)))
    columns = ["id", "model", "source", "n", "levels", "method", "recipe", "seed", "created", "shipped", "cut", "bundle", *ACCURACIES]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(ACCURACIES, "float64"))


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
