"""Levels of facts for a workflow: what is stored is read, the rest is probed; the model is loaded once and only if needed."""

import time
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from sftqa_core.errors import SettingsError
from sftqa_core.knowledge.aliases import load_aliases
from sftqa_core.knowledge.facts import FactSource, pick_facts
from sftqa_core.memory import probe_stores, speeds
from sftqa_core.memory.stored_levels import JUDGED_BEFORE, judged_before_notes, stored_levels
from sftqa_core.models import catalogue, devices, loading, quantising
from sftqa_core.models.hub.fetch import present, present_base
from sftqa_core.models.serving.addresses import KIND as SERVER
from sftqa_core.models.serving.served_models import AnyModel, ServedModel, open_served
from sftqa_core.models.serving.server_limits import refuse_on_server
from sftqa_core.progress import Reporter
from sftqa_core.records import LevelScheme, ModelCard, ProbeSettings
from sftqa_core.records.probes import held_as
from sftqa_core.workspace import Workspace


def chosen_facts(source: FactSource, settings: ProbeSettings) -> pd.DataFrame:
    """The facts that probe settings name, in seeded order; a larger limit only adds facts."""
    split = None if settings.split == "all" else settings.split
    return pick_facts(source.facts, split, settings.domain, settings.limit, settings.facts_seed)


class Prober:
    """Gives the levels of any facts of one source under one set of settings, on one device.

    Levels measured on another device or in another number format are not its levels. Raises `SettingsError` for a device
    that can't be used here, whether the model will be needed or not.
    """

    def __init__(self, source: FactSource, settings: ProbeSettings, reporter: Reporter, loads: "Prober | None" = None):
        self.source = source
        self._loads = loads  # the prober that loads the model, if not this one
        self.settings = settings
        self.reporter = reporter
        self.card = catalogue.find_model(settings.model)
        refuse_on_server(self.card, settings)
        self.device = SERVER if self.card.kind == SERVER else devices.resolve_device(settings.device)
        self.aliases = load_aliases(Workspace.current())
        self.seconds = 0.0  # spent sampling them

    @cached_property
    def loaded(self) -> loading.LoadedModel:
        """The model, loaded when first asked for. Raises `SettingsError` for one on a server, whose weights are not here."""
        if isinstance(self.asked, ServedModel):
            raise SettingsError(f"{self.card.name} is on a server, which does not give its weights: it can be probed, asked and tested.")
        return self.asked

    @cached_property
    def asked(self) -> AnyModel:
        """The same, or the server's model, looked at again."""
        if self._loads:
            self._take(self._loads.asked.card)
            return self._loads.asked
        if self.card.kind == SERVER:
            self.reporter.log(f"Looking at {self.card.name} ...")
            served = open_served(self.card, self.reporter, self.settings.batch_size)
            self._take(served.card)
            return served
        how = held_as(self.settings)
        rounded = f" ({self.card.quantisation})" if self.card.quantisation else ""
        self.reporter.log(f"Loading {self.settings.model}{rounded}{'' if how == 'none' else f' in {how}'} ...")
        loaded = loading.load_model(self.card, self.device, self.settings.gpus, self.reporter, how)
        devices.return_freed_ram()  # quantising leaves holes
        self.card = loaded.card  # a hub model is on this machine from now on
        return loaded

    def _take(self, card: ModelCard) -> None:
        """What the model turned out to be: a server may have another one than was remembered."""
        self.card = card
        for name in ("fingerprint", "store"):
            self.__dict__.pop(name, None)

    def bring_here(self) -> None:
        """Fetch the model, and the one under an adapter, if they are not on this machine. Raises `ModelUnavailable`."""
        if self.card.kind == SERVER:
            self.card = self.asked.card
            return
        self.card = present(self.card, self.reporter)
        base = catalogue.base_card(self.card)
        if base is not None:
            present_base(self.card, base, self.reporter)

    def under(self, scheme: LevelScheme) -> "Prober":
        """The same model and facts under another scheme; the model is loaded once for both."""
        if scheme == self.settings.scheme:
            return self
        return Prober(self.source, replace(self.settings, scheme=scheme), self.reporter, self)

    @cached_property
    def fingerprint(self) -> catalogue.ModelFingerprint:
        """What the model is on this device, without loading it. Raises `ModelUnavailable` while it is not on this machine."""
        if self.card.kind == SERVER:
            return catalogue.model_fingerprint(self.card, SERVER, SERVER)
        return catalogue.model_fingerprint(self.card, quantising.number_format(self.device, held_as(self.settings)), self.device)

    @cached_property
    def store(self) -> probe_stores.CompletionStore | probe_stores.EstimateStore:
        """This model's completions, or estimates, on this device. Raises `ModelUnavailable` while its files are not on this machine."""
        return probe_stores.store_for(self.fingerprint.to_dict(), self.settings.scheme, Workspace.current())

    def known(self, facts: pd.DataFrame) -> pd.DataFrame | None:
        """The levels table of those facts whose levels are known; None for a model that is not on this machine."""
        base = catalogue.base_card(self.card) if self.card.path else None
        if self.card.path is None or (base is not None and base.path is None):
            return None
        levels = stored_levels(self.card, self.source, facts, self.settings, self.aliases, stores=[self.store])
        for note in judged_before_notes(levels.attrs.get(JUDGED_BEFORE, 0)):
            self.reporter.log(note)
        return levels

    def levels(self, facts: pd.DataFrame) -> pd.DataFrame:
        """The levels table of `facts`; probes those that are not known, and loads the model only for that."""
        if self.card.kind == SERVER:
            _ = self.asked  # what is stored holds for the model that the server has now
        stored = self.known(facts)
        if stored is not None and len(stored) == len(facts):
            return stored
        loaded = self.asked  # first: its error names a missing package, that of the next line does not
        from sftqa_core.engine import products
        from sftqa_core.memory.probing import probe_facts

        began, before = time.monotonic(), self.probed
        table = probe_facts(loaded, self.source, facts, self.settings, self.aliases, reporter=self.reporter, store=self.store)
        if self.probed > before:
            self.store.tell_origin({**catalogue.origin(loaded.card), **products.said(loaded)})
            self.seconds += time.monotonic() - began
            speeds.remember(loaded.fingerprint, **{speeds.kind_of_probe(self.settings.scheme): (self.probed, self.seconds)})
        return table

    @property
    def probed(self) -> int:
        """Facts sampled now."""
        return self.store.added if self.card.path else 0

    @property
    def rate(self) -> float | None:
        """Facts sampled a second; None when all were known."""
        return self.probed / self.seconds if self.probed else None

    @property
    def folder(self) -> Path:
        """Where the completions lie."""
        return self.store.folder if self.card.path else Workspace.current().root / "completions"
