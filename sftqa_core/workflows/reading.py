"""Looking things up: models, sources, levels known so far, runs. Never loads torch."""

from __future__ import annotations

import re
import tempfile
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sftqa_core.artifacts.kept import Kept
from sftqa_core.errors import FactsError, SettingsError
from sftqa_core.jsonrecord import shown
from sftqa_core.records import LevelScheme, ModelCard, PretrainSettings, ProbeSettings, SourceReport

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.knowledge.facts import FactSource
    from sftqa_core.progress import Reporter
    from sftqa_core.training.runs import Run, RunInfo
    from sftqa_core.workflows.profiles import Profile

MAX_UPLOAD_BYTES = 200_000_000
_LONGEST_NAME, _LONGEST_SUFFIX = 50, 10  # characters; four bytes each at most
_DEVICE = re.compile(r"con|prn|aux|nul|(com|lpt)\d", re.IGNORECASE)  # no file can be called so on Windows


def models() -> list[ModelCard]:
    """Models that can be picked without the network."""
    from sftqa_core.models.catalogue import list_models

    return list_models()


def sources() -> list[str]:
    """Names of the fact sources that can be opened now."""
    from sftqa_core.knowledge.sources import source_names

    return source_names()


def facts(source: str) -> SourceReport:
    """What a source holds."""
    from sftqa_core.knowledge.sources import open_source

    return open_source(source).report


def download(source: str, reporter: Reporter | None = None) -> SourceReport:
    """Fetch a source from its official address, then say what it holds. Only `entity-questions` has one."""
    from sftqa_core.knowledge.sources import ENTITY_QUESTIONS, open_source

    if source != ENTITY_QUESTIONS:
        raise SettingsError(f"Only {ENTITY_QUESTIONS} can be downloaded, got {source!r}.")
    return open_source(source, fetch=True, reporter=reporter).report


def add_upload(name: str, content: bytes) -> str:
    """Keep a file of facts handed over in the browser; returns the name of the source it became.

    The file is opened as a source before it is kept, so one that can't be used changes nothing. Raises `FactsError`.
    """
    from sftqa_core.artifacts import write_bytes
    from sftqa_core.knowledge.sources import open_source
    from sftqa_core.workspace import Workspace

    if len(content) > MAX_UPLOAD_BYTES:
        size = f"{len(content):,} bytes; at most {MAX_UPLOAD_BYTES:,} can be handed over"
        raise FactsError(f"{shown(name)} has {size}. Give its path instead.")
    plain = _file_name(name)
    target = Workspace.current().uploads / plain
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".checking-") as folder:
        trial = Path(folder) / plain  # under its own name, which errors tell
        write_bytes(trial, content)
        open_source(str(trial))
        try:
            trial.replace(target)  # a link of that name is replaced, not followed
        except OSError as error:
            raise FactsError(f"{plain} can't be kept in {target.parent}: {error.strerror or error}.") from error
    return str(target)


def _file_name(name: str) -> str:
    """What a file handed over as `name` is called here: no folders, letters, digits and - _ . only, not too long for any disk."""
    last = unicodedata.normalize("NFC", name.replace("\\", "/").rsplit("/", 1)[-1])
    stem, dot, suffix = re.sub(r"[^\w.-]+", "-", last).strip("-").rpartition(".")
    if not dot:
        stem, suffix = suffix, "csv" if not suffix.strip("-.") else ""
    stem = stem.strip("-.")[:_LONGEST_NAME]
    if not stem or _DEVICE.fullmatch(stem.partition(".")[0]):
        stem = f"facts-{stem}" if stem else "facts"
    return f"{stem}.{suffix[:_LONGEST_SUFFIX]}" if suffix else stem


def alias_rows() -> list[dict[str, str]]:
    """The table of objects that count as the same: rows of name and same_as. Raises `FactsError` for a damaged file."""
    from sftqa_core.knowledge.aliases import load_aliases

    return load_aliases().rows()


def save_aliases(rows: list[dict[str, str]] | None) -> None:
    """Keep an edited alias table; None goes back to the shipped one. Raises `FactsError`, and then nothing has changed."""
    from sftqa_core.knowledge.aliases import Aliases, reset_aliases
    from sftqa_core.knowledge.aliases import save_aliases as save

    if rows is None:
        reset_aliases()
    else:
        save(Aliases.from_rows(rows))


def recipes() -> dict[str, PretrainSettings]:
    """Settings of the built-in models by name."""
    from sftqa_core.models.recipes import RECIPES

    return dict(RECIPES)


def unmade_recipes() -> dict[str, PretrainSettings]:
    """Settings of larger models that nobody has made yet, by name."""
    from sftqa_core.models.recipes import UNMADE

    return dict(UNMADE)


def default_learning_rate(method: str, model: str) -> float:
    """The learning rate that is used when none is given."""
    from sftqa_core.models.catalogue import find_model
    from sftqa_core.training.recipes import default_learning_rate as by_size

    return by_size(method, find_model(model).parameters)


def runs() -> list[RunInfo]:
    """Finished runs, newest first."""
    from sftqa_core.training.runs import list_runs

    return list_runs()


def run(run_id: str) -> Run:
    """One finished run. Raises `NotFound`."""
    from sftqa_core.training.runs import read_run

    return read_run(run_id)


@dataclass(frozen=True)
class Facts:
    """Some facts of a source beside the model that is asked about them."""

    card: ModelCard
    source: FactSource
    table: pd.DataFrame  # the chosen rows of the source's fact table

    def levels(self, settings: ProbeSettings) -> pd.DataFrame:
        """LEVELS of those facts that were probed with these settings."""
        import pandas as pd

        from sftqa_core.memory.stored import stored_levels
        from sftqa_core.memory.tables import LEVELS

        return stored_levels(self.card, self.source, self.table, settings) if self.card.path else pd.DataFrame(columns=list(LEVELS))


def chosen(settings: ProbeSettings) -> Facts:
    """All facts of the split and domain that the settings name, without their limit."""
    from sftqa_core.knowledge.facts import UNUSED
    from sftqa_core.models.catalogue import find_model

    card, opened = find_model(settings.model), open_for(settings.model, settings.source)
    table = opened.facts
    table = table[table["split"] != UNUSED] if settings.split == "all" else table[table["split"] == settings.split]
    if settings.domain != "all":
        table = table[table["domain"] == settings.domain]
    return Facts(card, opened, table.reset_index(drop=True))


def profile(model: str, source: str, split: str = "test", domain: str = "all", scheme: LevelScheme | None = None) -> Profile:
    """Levels of a source's facts as far as they were probed."""
    from sftqa_core.memory.columns import stores_of
    from sftqa_core.models.catalogue import find_model
    from sftqa_core.workflows.profiles import whole_profile

    settings = ProbeSettings(model, source, split, domain, scheme=scheme or LevelScheme())
    stores = stores_of(find_model(model), settings)  # one a kind of device: the one that knows most of these very facts is told
    wholes = [whole_profile(model, source, scheme, [store]) for store in stores] or [whole_profile(model, source, scheme)]
    return max((whole.profile(split, domain) for whole in wholes), key=lambda profile: profile.probed)


def completions(model: str, source: str, fact_id: str, scheme: LevelScheme | None = None) -> pd.DataFrame:
    """One fact's completions: template, prompt, text, count, stop, matched, and seen where the model's corpus is known."""
    from sftqa_core.memory.stored import stored_completions
    from sftqa_core.models.catalogue import find_model, seen_templates

    card, opened = find_model(model), open_for(model, source)
    settings = ProbeSettings(model, source, scheme=scheme or LevelScheme())
    rows = stored_completions(card, opened, fact_id, settings).rename(columns={"answer": "matched"})
    relation = opened.facts.loc[opened.facts["fact_id"] == fact_id, "relation"].iloc[0]
    seen = seen_templates(card).get(relation)
    return rows if seen is None else rows.assign(seen=rows["template"].isin(seen))


def open_for(model: str, source: str) -> FactSource:
    """A source as it may be used with a model.

    For a model that was pre-trained here on this source, only the facts that its corpus was written from are left, with
    their recorded exposures, and those whose question and answer stood in the corpus belong to no split. Another model read
    none of this, so its facts say nothing of exposures and rivals.
    """
    from sftqa_core.knowledge.sources import open_source
    from sftqa_core.models.catalogue import find_model

    opened, card = open_source(source), find_model(model)
    key = (model, source, card.path, card.weights_sha256, opened.fingerprint)
    return _joined.get(key, lambda: _as_read_by(card, opened))


_joined: Kept[FactSource] = Kept(6)  # sources as some model may use them; they share their columns


def _as_read_by(card: ModelCard, opened: FactSource) -> FactSource:
    from sftqa_core.knowledge.facts import OPTIONAL, UNUSED
    from sftqa_core.models.catalogue import exposures

    read = exposures(card)
    if read is None or not opened.facts["fact_id"].isin(read["fact_id"]).any():
        return replace(opened, facts=opened.facts.drop(columns=list(OPTIONAL), errors="ignore"))
    own = [name for name in read if name != "fact_id"]
    table = opened.facts.drop(columns=own, errors="ignore").merge(read, on="fact_id", validate="one_to_one")
    table["exposures"] = table["exposures"].astype("Int64")
    table.loc[table["carrier"], "split"] = UNUSED
    left_out = len(opened.facts) - len(table)
    told = f"{card.name} was pre-trained on {len(table):,} facts of {opened.name}; the other {left_out:,} are left out."
    return replace(opened, facts=table.drop(columns="carrier"), notes=(*opened.notes, told) if left_out else opened.notes)
