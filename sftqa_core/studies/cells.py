"""One cell of a study on disk: what a tuned model answered to every test fact, or which levels it has afterwards.

    <layer>/cells/<key>/answers.parquet   correct, rival (bool): one row a test fact, in the facts' order
                        levels.parquet    score (float64), level (int64): one row a fact that was probed again, in their order
                        recipe/           of a run with a recipe its tables, NAME.parquet (training/recipes/)
                        manifest.json     written last: the key's settings, the model's origin, what was trained on, numbers of
                                          the run, versions (`matching`: of the matching rule; not there: the first), and what a
                                          recipe says of its stages

A cell has one of the first two tables. The key is a hash of everything that its numbers depend on, so equal cells of two studies
are one. Facts are named by the fingerprint of their list, which every reader of a cell has.
"""

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Self

import pandas as pd
import pyarrow

from sftqa_core.artifacts import beside, is_finished, place_of, read_file, read_kept, read_manifest, write_folder
from sftqa_core.errors import ArtifactDamaged
from sftqa_core.jsonrecord import Keys, declared, fingerprint, has_effect
from sftqa_core.knowledge.matching import VERSION
from sftqa_core.records import LevelScheme, TrainSettings
from sftqa_core.training.runs import table_of
from sftqa_core.training.selection import needs_levels
from sftqa_core.workspace import Workspace


@lru_cache(maxsize=4096)  # a study asks for the same runs on every device
def canonical(run: TrainSettings, learning_rate: float | None = None) -> TrainSettings:
    """Settings that decide a run's answers, others at their defaults: equal for runs that do the same.

    Names of model and source are replaced by their fingerprints elsewhere; `learning_rate` is what None stands for.
    """
    whose, values = Keys.ASKING if run.n == 0 else Keys.ANSWERS, vars(run)
    deciding = [name for name, about in declared(TrainSettings).items() if whose in (about.keys or Keys.NONE)]
    decide = {name: values[name] for name in deciding if has_effect(TrainSettings, values, name)}
    bare = TrainSettings(model="", source="", shots=0, save_model=False)
    if run.n == 0:
        return replace(bare, n=0, more_shots=run.more_shots, seed=run.seed if run.more_shots else 0, **decide)
    labelled = needs_levels(run) or (run.recipe is not None and run.recipe.needs_levels)  # such a recipe's training may hang on levels
    decide["scheme"] = run.scheme if labelled else LevelScheme()
    decide["learning_rate"] = run.learning_rate or learning_rate
    return replace(bare, **decide)


FOLDER, RECIPE = "cells", "recipe"
TABLES = {"answers": {"correct": "bool", "rival": "bool"}, "levels": {"score": "float64", "level": "int64"}}


@dataclass(frozen=True)
class Cell:
    """A finished cell."""

    table: pd.DataFrame  # the columns of TABLES, rows as the facts
    n: int  # examples really trained on
    counts: dict[str, dict[str, int]]  # relation -> level label ("any" when not known) -> examples
    numbers: dict[str, float]  # seconds, final loss, perplexity of held-out text: what the run reported
    matching: int = 1  # version of the matching rule that judged the answers


@dataclass(frozen=True)
class Cells:
    """The cells of one model on one list of facts, in both layers of a workspace."""

    workspace: Workspace
    model: dict[str, Any]  # fingerprint
    source: str  # fingerprint
    aliases: str  # fingerprint
    facts: str  # fingerprint of the facts' ids, in order
    learning_rate: float  # what a run without one uses

    @classmethod
    def of(cls, workspace: Workspace, model: dict[str, Any], source: str, aliases: str, fact_ids: list[str], learning_rate: float) -> Self:
        """The cells of these facts, in this order."""
        return cls(workspace, model, source, aliases, fingerprint(fact_ids), learning_rate)

    def has(self, run: TrainSettings, scheme: LevelScheme | None = None) -> bool:
        """Whether `read` finds it: a damaged cell has to be made again."""
        return self.read(run, scheme) is not None

    def folder(self, run: TrainSettings, scheme: LevelScheme | None = None) -> Path | None:
        """Where it lies, the person's layer first; None if it is not finished."""
        name = fingerprint(self._key(run, scheme))
        folders = [place for layer in self.workspace.layers for place in (beside(layer / FOLDER / name), layer / FOLDER / name)]
        return next((folder for folder in folders if is_finished(folder)), None)

    def read(self, run: TrainSettings, scheme: LevelScheme | None = None) -> Cell | None:
        """The answers of that run or, with a scheme, its levels afterwards; None if it is not there or damaged.

        A damaged one in the person's layer is set aside: it is made again, in its place.
        """
        key, kind = self._key(run, scheme), _kind(scheme)
        for layer in self.workspace.layers:
            folder = layer / FOLDER / fingerprint(key)
            cell = read_kept(folder, key, f"{kind}.parquet", partial(_cell, kind), own=layer == self.workspace.root)
            if cell is not None:
                return cell
        return None

    def write(
        self, run: TrainSettings, table: pd.DataFrame, n: int, counts: Mapping[str, Mapping[str, int]], numbers: Mapping[str, float],
        scheme: LevelScheme | None = None, origin: Mapping[str, Any] | None = None, told: Mapping[str, Any] | None = None,
        tables: Mapping[str, pd.DataFrame] | None = None,
    ) -> Path:  # fmt: skip
        """Keep a finished cell; `table` has its rows in the facts' order, `origin` (models/catalogue.py) says where the model came from.
        `told` and `tables`: what a recipe says, and its own tables."""
        key, kind = self._key(run, scheme), _kind(scheme)
        folder = place_of(self.workspace.root / FOLDER / fingerprint(key))
        columns = table[list(TABLES[kind])].astype(TABLES[kind])
        manifest: dict[str, Any] = {"kind": f"cell of {kind}", "settings": key, "n": n, "counts": counts, "numbers": dict(numbers)}
        manifest["matching"] = VERSION
        manifest["origin"] = None if origin is None else dict(origin)
        manifest |= {"recipe": dict(told)} if told else {}

        def fill(work: Path) -> None:
            columns.to_parquet(work / f"{kind}.parquet", index=False)
            for name, own in (tables or {}).items():
                (work / RECIPE).mkdir(exist_ok=True)
                own.to_parquet(work / RECIPE / f"{name}.parquet", index=False)

        return write_folder(folder, fill, manifest)

    def recipe_tables(self, run: TrainSettings) -> dict[str, pd.DataFrame]:
        """All of these tables by name; a damaged one is left out, which the log says."""
        folder, tables = self.folder(run), {}
        with contextlib.suppress(ArtifactDamaged):
            for file in read_manifest(folder)["files"] if folder else ():
                if file.startswith(f"{RECIPE}/"):
                    name = file.removeprefix(f"{RECIPE}/").removesuffix(".parquet")
                    tables[name] = self.recipe_table(run, name)
        return {name: table for name, table in tables.items() if table is not None}

    def recipe_table(self, run: TrainSettings, name: str) -> pd.DataFrame | None:
        """A recipe's own table of a finished cell with answers; None where there is none. Raises `ArtifactDamaged`."""
        folder = self.folder(run)
        if folder is None or f"{RECIPE}/{name}.parquet" not in read_manifest(folder)["files"]:
            return None
        return table_of(read_file(folder, f"{RECIPE}/{name}.parquet"))

    def _key(self, run: TrainSettings, scheme: LevelScheme | None) -> dict[str, Any]:
        same = {"model": self.model, "source": self.source, "aliases": self.aliases, "facts": self.facts}
        settings = canonical(run, self.learning_rate).to_dict()
        return {**same, "run": settings, **({"scheme": scheme.to_dict()} if scheme else {})}


def _cell(kind: str, manifest: dict[str, Any], content: bytes) -> Cell:
    try:
        table = pd.read_parquet(io.BytesIO(content)).astype(TABLES[kind])
        return Cell(table, manifest["n"], manifest["counts"], manifest["numbers"], manifest.get("matching", 1))
    except (OSError, KeyError, ValueError, pyarrow.ArrowException) as error:
        raise ArtifactDamaged(f"A cell of {kind} holds something else ({error}).") from error


def _kind(scheme: LevelScheme | None) -> str:
    return "levels" if scheme else "answers"
