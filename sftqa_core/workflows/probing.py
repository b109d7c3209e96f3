"""Levels of facts for a workflow: what is stored is read, the rest is probed; the model is loaded once and only if needed."""

from __future__ import annotations

import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sftqa_core.knowledge.aliases import load_aliases
from sftqa_core.knowledge.facts import FactSource, pick_facts
from sftqa_core.memory.completions import find_stores
from sftqa_core.memory.stored import stored_levels
from sftqa_core.models.catalogue import find_model, model_fingerprint
from sftqa_core.progress import Reporter
from sftqa_core.records import ProbeSettings
from sftqa_core.workflows.speeds import remember
from sftqa_core.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.models.loading import LoadedModel


def chosen_facts(source: FactSource, settings: ProbeSettings) -> pd.DataFrame:
    """The facts that probe settings name, in seeded order; a larger limit only adds facts."""
    split = None if settings.split == "all" else settings.split
    return pick_facts(source.facts, split, settings.domain, settings.limit, settings.facts_seed)


class Prober:
    """Gives the levels of any facts of one source under one set of settings."""

    def __init__(self, source: FactSource, settings: ProbeSettings, reporter: Reporter):
        self.source = source
        self.settings = settings
        self.reporter = reporter
        self.card = find_model(settings.model)
        self.aliases = load_aliases(Workspace.current())
        self.probed = 0  # facts sampled now
        self.seconds = 0.0  # spent sampling them

    @cached_property
    def loaded(self) -> LoadedModel:
        """The model, loaded when first asked for."""
        from sftqa_core.models.loading import load_model

        self.reporter.log(f"Loading {self.settings.model} ...")
        return load_model(self.card, self.settings.device)

    def levels(self, facts: pd.DataFrame) -> pd.DataFrame:
        """The levels table of `facts`; probes those that are not known, and loads the model only for that."""
        known = stored_levels(self.card, self.source, facts, self.settings, self.aliases) if self.card.path else None
        if known is not None and len(known) == len(facts):
            return known
        from sftqa_core.memory.probing import probe_facts

        loaded, began = self.loaded, time.monotonic()
        table = probe_facts(loaded, self.source, facts, self.settings, self.aliases, reporter=self.reporter)
        self.probed += len(facts) - (0 if known is None else len(known))
        self.seconds += time.monotonic() - began
        remember(loaded.fingerprint, probe=self.rate)
        return table

    @property
    def rate(self) -> float | None:
        """Facts sampled a second; None when all were known."""
        return self.probed / self.seconds if self.probed else None

    @property
    def folder(self) -> Path:
        """Where the completions lie."""
        model = model_fingerprint(find_model(self.settings.model), "any", "any")
        stores = find_stores(model.weights, model.adapter, self.settings.scheme.sampling, Workspace.current())
        folders = [layer / "completions" / store.key for store in stores for layer in store.layers]
        return next((folder for folder in folders if folder.exists()), Workspace.current().root / "completions")
