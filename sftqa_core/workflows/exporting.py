"""A run's tuned model as a folder for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def export(run_id: str, out: Path, merge: bool = False) -> dict[str, Any]:
    """Write the tuned model of run `run_id` to the new folder `out`; with `merge`, an adapter merged into its base model.

    Raises `NotFound` for a run that is not there or kept no weights, `SettingsError`, `ArtifactDamaged`, `StorageError`.
    """
    from sftqa_core.training.exporting import export_model
    from sftqa_core.training.runs import read_run

    run = read_run(run_id)
    folder = export_model(run, out, merge)
    files = sorted(path.name for path in folder.iterdir())
    return {"run": run.id, "folder": str(folder), "merged": merge, "quantization": run.settings.quantization, "files": files}
