"""What the stores of probe results have in common: a key made of all that a result depends on, and parts that are added,
never changed, in the person's layer over the shipped one.

`<layer>/<kind>/<key>/` holds the parts and `settings.json`, the settings that the key is a hash of, and
`origin.json`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import pandas as pd
import pyarrow as pa

from sftqa_core.artifacts import keep_json, set_aside, write_json
from sftqa_core.errors import ArtifactDamaged, SettingsError
from sftqa_core.jsonrecord import fingerprint
from sftqa_core.memory.tables import read_parquet
from sftqa_core.workspace import Workspace

ORIGINS = "origin.json"  # beside settings.json: where the model came from, each place once
_log = logging.getLogger(__name__)


@dataclass
class PartStore:
    """One model's results under one set of settings, in both layers of a workspace."""

    kind: ClassVar[str]  # the folder of a layer that its parts lie in

    key: str
    layers: tuple[Path, ...]  # the user's first; only that one is written
    settings: dict[str, Any]  # what the key stands for
    damaged: list[str] = field(default_factory=list)  # parts set aside, by path
    added: int = 0  # facts whose results came in through this object

    @classmethod
    def under(cls, settings: Mapping[str, Any], workspace: Workspace) -> Self:
        """The store whose key these settings make."""
        return cls(fingerprint(dict(settings)), workspace.layers, dict(settings))

    @property
    def folder(self) -> Path:
        """Where the results lie: the user's folder, or the shipped one if only that exists."""
        folders = [layer / self.kind / self.key for layer in self.layers]
        return next((folder for folder in folders if folder.exists()), folders[0])

    def set_aside(self, paths: list[Path], error: Exception) -> None:
        """Never read these files of one part again; its facts count as not probed. Where nothing can be renamed, this object
        remembers."""
        for path in paths:
            self.damaged.append(str(path))
            if path.is_relative_to(self.layers[0]):
                set_aside(path)
        _log.warning("%s is damaged (%s): set aside, its facts will be probed again.", paths[-1], str(error).split("\n")[0])

    def newest_first(self, kind: str, pattern: str) -> list[Path]:
        """Files of this key under `kind`: the user's before shipped ones, late ones before early ones, damaged ones left out."""
        found = [path for layer in self.layers for path in sorted((layer / kind / self.key).glob(pattern), reverse=True)]
        return [path for path in found if str(path) not in self.damaged]

    def tables(self, kind: str, schema: pa.Schema, fact_ids: list[str] | None = None) -> list[pd.DataFrame]:
        """All parts under `kind` that can be read, or these facts' rows of them, as `newest_first` has them; damaged ones are set aside."""
        return list(self.each(kind, schema, fact_ids))

    def each(self, kind: str, schema: pa.Schema, fact_ids: list[str] | None = None) -> Iterator[pd.DataFrame]:
        """The same one after the other: of a million facts only one part is in memory."""
        for path in self.newest_first(kind, "part-*.parquet"):
            try:
                yield read_parquet(path, schema, fact_ids)
            except ArtifactDamaged as error:
                self.set_aside([path], error)

    def writable(self) -> Path:
        """The user's folder, with the settings in it."""
        folder = self.layers[0] / self.kind / self.key
        if not (folder / "settings.json").exists():
            write_json(folder / "settings.json", self.settings)
        return folder

    def tell_origin(self, origin: dict[str, Any]) -> None:
        """Note where the model came from (models/origin.py) beside what it said. The same weights may come from several places, and
        the key is none of them: results of a model that was fetched elsewhere, or at another commit with the same files, are found."""
        path = self.writable() / ORIGINS
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            known = []
        if not isinstance(known, list):
            known = []
        if origin not in known:
            keep_json(path, [*known, origin])

    def mend(self) -> None:
        """Write the settings anew where they are lost or damaged: without them the results are not found by looking."""
        path = self.layers[0] / self.kind / self.key / "settings.json"
        if not path.parent.exists():
            return
        try:
            known = json.loads(path.read_text(encoding="utf-8")) == self.settings
        except (OSError, ValueError):
            known = False
        if not known:
            write_json(path, self.settings)

    @classmethod
    def find(cls, workspace: Workspace, fits: Callable[[dict[str, Any]], bool]) -> list[Self]:
        """The stores whose settings fit; files that are no settings, or not those of their folder, are passed over."""
        found: dict[str, Self] = {}
        for layer in workspace.layers:
            for path in sorted((layer / cls.kind).glob("*/settings.json")):
                try:
                    settings = json.loads(path.read_text(encoding="utf-8"))
                    fit = fits(settings)
                except (OSError, ValueError, KeyError, TypeError, SettingsError) as error:
                    _log.warning("%s can't be read (%s): its results are not shown.", path, error)
                    continue
                if fit and path.parent.name == fingerprint(settings):
                    found.setdefault(path.parent.name, cls(path.parent.name, workspace.layers, settings))
        return list(found.values())
