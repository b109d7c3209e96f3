"""The base model's answers, kept: they are the same for every run that asks the same facts in the same way."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftqa_core.artifacts import is_finished, place_of, read_kept, write_folder
from sftqa_core.errors import ArtifactDamaged
from sftqa_core.jsonrecord import fingerprint
from sftqa_core.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.knowledge.aliases import Aliases
    from sftqa_core.knowledge.facts import FactSource
    from sftqa_core.models.catalogue import ModelFingerprint
    from sftqa_core.records import TrainSettings

FILE = "predictions.parquet"


def is_kept(
    stage: str, model: ModelFingerprint, facts: pd.DataFrame, source: FactSource, settings: TrainSettings, aliases: Aliases
) -> bool:
    """Whether `kept_predictions` would find them; reads nothing but whether the folder is finished."""
    return is_finished(_folder(_key(stage, model, facts, source, settings, aliases)))


def kept_predictions(
    stage: str,
    model: ModelFingerprint,
    facts: pd.DataFrame,
    source: FactSource,
    settings: TrainSettings,
    aliases: Aliases,
    make: Callable[[], pd.DataFrame],
    origin: dict[str, Any] | None = None,
) -> tuple[pd.DataFrame, bool]:
    """The predictions table of a base-model stage and whether it was known; `make` is called, and its table kept, if not,
    with the model's `origin` (models/origin.py)."""
    key = _key(stage, model, facts, source, settings, aliases)
    folder = _folder(key)
    known = read_kept(folder, key, FILE, _table, own=True)
    if known is not None:
        return known, True
    table = make()
    write_folder(place_of(folder), lambda work: table.to_parquet(work / FILE), {"kind": "answers", "settings": key, "origin": origin})
    return table, False


def _table(manifest: dict[str, Any], content: bytes) -> pd.DataFrame:
    import pandas as pd
    import pyarrow

    try:
        return pd.read_parquet(io.BytesIO(content))
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise ArtifactDamaged(f"{FILE} of kept answers can't be read ({error}).") from error


def _folder(key: dict[str, Any]) -> Path:
    return Workspace.current().root / "answers" / fingerprint(key)


def _key(
    stage: str, model: ModelFingerprint, facts: pd.DataFrame, source: FactSource, settings: TrainSettings, aliases: Aliases
) -> dict[str, Any]:
    """Everything that the answers and their judgement depend on."""
    shots = settings.few_shot_stages.get(stage)
    few_shot = {"shots": shots, "seed": settings.seed, "answer": settings.prompt.answer} if shots else {}
    return {
        "stage": "few_shot" if shots else stage,  # the same whether it is a run's one base line of the kind or one of several
        "model": model.to_dict(),
        "source": source.fingerprint,
        "facts": fingerprint(list(facts["fact_id"])),
        "prompt": settings.prompt.prompt,
        "max_answer_tokens": settings.max_answer_tokens,
        "match": settings.match,
        "aliases": aliases.fingerprint(),
        **few_shot,
    }
