"""Looking things up: models, sources, levels known so far, runs and parts of them, prompts. Never loads torch.

`run_part` and `run_looks` tell what a finished run says beyond its summary (METHOD 8.8), `prompt_preview` what a prompt looks like
to a model without loading it, `trust` how far levels can be trusted: other ways of measuring, and smaller budgets, beside the full
probe.
"""

from __future__ import annotations

import contextlib
import math
import re
import tempfile
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftqa_core import records
from sftqa_core.artifacts import Kept, write_bytes
from sftqa_core.errors import FactsError, NotFound, SettingsError, SftqaError
from sftqa_core.jsonrecord import shown
from sftqa_core.knowledge import aliases, matching, relations, sources
from sftqa_core.models import catalogue, lists
from sftqa_core.models.chat_templates import layout, require_chat_template
from sftqa_core.progress import Reporter
from sftqa_core.records import LevelScheme, PretrainSettings, ProbeSettings, presets
from sftqa_core.records.result_names import bundle_of
from sftqa_core.training import optimizers, runs
from sftqa_core.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

MAX_UPLOAD_BYTES = 200_000_000
QUESTION, ANSWER = "Where was Ada Lovelace born?", "London"
SECOND, IN_4_BITS, IN_BFLOAT16 = "second probe", "4 bits", "bfloat16"
LEAST = 30  # facts that were probed twice before they stand for the noise of a probe
_LONGEST_NAME, _LONGEST_SUFFIX = 50, 10  # characters; four bytes each at most
_DEVICE = re.compile(r"con|prn|aux|nul|(com|lpt)\d", re.IGNORECASE)  # no file can be called so on Windows


def facts(source: str) -> records.SourceReport:
    """What a source holds."""
    return sources.open_source(source).report


def facts_saying(model: str, source: str, words: str, scheme: LevelScheme | None = None) -> list[str]:
    """Ids of the facts that have these words in a stored completion of the model (memory/finding.py)."""
    from sftqa_core.memory.finding import facts_saying as search

    return search(model, source, words, scheme)


def source_notes(source: str) -> tuple[str, ...]:
    """What a person should know of a source though it can be used: columns that are ignored, answers that will not be found as written."""
    return sources.open_source(source).notes


def download(source: str, reporter: Reporter | None = None) -> records.SourceReport:
    """Fetch `entity-questions` from its official address where it is not here, or a dataset of the hub as it is there now; what it holds.

    Raises `SettingsError` for any other source, `FactsError` for one that can't be had or used.
    """
    return sources.fetch_source(records.FetchFactsSettings(source).source, reporter=reporter).report


def bring_facts(source: str, reporter: Reporter | None = None) -> None:
    """What work does first: a dataset of the hub is downloaded when it is first used, as a model is. Raises `FactsError`."""
    if not sources.is_here(source) and source != sources.ENTITY_QUESTIONS:
        sources.fetch_source(source, reporter=reporter)


def preview(source: str) -> records.SourcePreview:
    """How a file, folder or dataset of facts would be read: its first rows, what its columns mean, what stands against it."""
    return sources.preview(source)


def preview_upload(name: str, content: bytes, query: str = "", templates: str = "") -> records.SourcePreview:
    """The same for a file handed over in the browser. `query`: its columns by role, as behind a source's name; `templates`: its own
    relations in TOML. Nothing is kept. Raises `FactsError` for what is no table."""
    with _on_trial(name, content, templates) as trial:
        return sources.preview(f"{trial}{query}")


def add_upload(name: str, content: bytes, query: str = "", templates: str = "") -> str:
    """Keep a file of facts handed over in the browser; returns the name of the source it became. Arguments as for `preview_upload`.

    The file is opened as a source before it is kept, so one that can't be used changes nothing. Raises `FactsError`.
    """
    with _on_trial(name, content, templates) as trial:
        sources.open_source(f"{trial}{query}")
        target = Workspace.current().uploads / trial.name
        try:
            for kept, place in ((sources.sidecar(trial), sources.sidecar(target)), (trial, target)):
                if kept.exists():
                    kept.replace(place)  # a link of that name is replaced, not followed
            sources.remember_query(target, query)
        except OSError as error:
            raise FactsError(f"{trial.name} can't be kept in {target.parent}: {error.strerror or error}.") from error
    return f"{target}{query}"


@contextlib.contextmanager
def _on_trial(name: str, content: bytes, templates: str) -> Iterator[Path]:
    """The file in a folder of its own, under its own name, which errors tell."""
    if len(content) > MAX_UPLOAD_BYTES:
        raise FactsError(f"{shown(name)} has {len(content):,} bytes; uploads may have {MAX_UPLOAD_BYTES:,}. Give its path instead.")
    uploads = Workspace.current().uploads
    uploads.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=uploads, prefix=".checking-") as folder:
        trial = Path(folder) / _file_name(name)
        write_bytes(trial, content)
        before = sources.sidecar(uploads / trial.name)
        if templates:
            write_bytes(sources.sidecar(trial), templates.encode())
        elif before.is_file():  # the file comes again: what was written for its relations still holds
            write_bytes(sources.sidecar(trial), before.read_bytes())
        yield trial


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


def own_relations(source: str) -> dict[str, sources.OwnRelation] | None:
    """The relations of one's own in a file of facts; None for a source that can't have any. Raises `FactsError`."""
    return sources.own_relations(source) if sources.own_file(source) else None


def save_relations(source: str, own: Mapping[str, relations.Relation]) -> records.SourceReport:
    """Put relations beside a file of facts, and say what it holds with them. Raises `FactsError`, and then nothing has changed."""
    return sources.save_relations(source, own).report


def alias_rows() -> list[dict[str, str]]:
    """The table of objects that count as the same: rows of name and same_as. Raises `FactsError` for a damaged file."""
    return aliases.load_aliases().rows()


def save_aliases(rows: list[dict[str, str]] | None) -> None:
    """Keep an edited alias table; None goes back to the shipped one. Raises `FactsError`, and then nothing has changed."""
    if rows is None:
        aliases.reset_aliases()
    else:
        aliases.save_aliases(aliases.Aliases.from_rows(rows))


def built_in_models() -> dict[str, PretrainSettings]:
    """Settings of the built-in models by name."""
    return dict(lists.BUILT_IN)


def unmade_models() -> dict[str, PretrainSettings]:
    """Settings of larger models that nobody has made yet, by name."""
    return dict(lists.UNMADE)


def default_learning_rate(method: str, model: str) -> float:
    """The learning rate that is used when none is given."""
    return optimizers.default_learning_rate(method, catalogue.find_model(model).parameters)


def preset(name: str, model: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The settings that a paper's preset states for this model, and what it leaves at its default, in sentences.

    Raises `NotFound` for a preset that is not there, `ModelUnavailable` for such a model.
    """
    if name not in presets.PRESETS:
        raise NotFound(f"There is no preset {shown(name)}. Presets: {', '.join(presets.PRESETS)}.")
    card = catalogue.find_model(model)
    return presets.preset_values(presets.PRESETS[name], card.parameters, catalogue.made_from(card).kind in lists.MADE)


def run_part(run_id: str, part: str) -> records.RunSummary:
    """The summary of run `run_id` with only its "contested" or "uncontested" test facts counted.

    Raises `NotFound` when the run does not exist, or its facts do not say whether they are contested.
    """
    from sftqa_core.evaluation.intervals import accuracy_by_level

    run = runs.read_run(run_id)
    facts, predictions = run.facts(), run.predictions()
    if "contested" not in facts:
        raise NotFound(f"The facts of run {run_id} do not say which ones are contested.")
    chosen = facts[facts["contested"].fillna(False).astype(bool) == (part == "contested")]
    levels = chosen[chosen["level"].notna()]
    stages = {
        str(name): accuracy_by_level(rows, chosen, levels, run.settings.scheme)
        for name, rows in predictions[predictions["fact_id"].isin(chosen["fact_id"])].groupby("stage")
    }
    baselines = {name: accuracy for name, accuracy in stages.items() if name not in ("before", "after")}
    return replace(run.summary, before=stages["before"], after=stages["after"], baselines=baselines, without_echo={})


def moved_levels(run_id: str) -> tuple[int, int] | None:
    """How many of a run's test facts another full probe of its base model puts on another level, of how many that were probed twice.

    None where fewer than LEAST were, or the levels do not come from a full probe of statements: then the run's own error is not known.
    Raises `SftqaError` where model or facts are gone.
    """
    from sftqa_core.memory.profiles import levels_reader, profile_stamp

    run = runs.read_run(run_id)
    if bundle_of(run_id):  # as it was counted there: the model of that name here may be another
        told = run.manifest.get("moved_levels")
        return (int(told[0]), int(told[1])) if told else None
    scheme = run.settings.scheme
    if not scheme.by_statements or scheme.method != "sampling":
        return None
    again = replace(scheme, sampling=replace(scheme.sampling, seed=scheme.sampling.seed + 1))
    settings = ProbeSettings(run.settings.model, run.settings.source, "test", "all", scheme=again)

    def count() -> tuple[int, int] | None:
        both = run.facts()[["fact_id", "level"]].dropna().merge(levels_reader(settings)(settings), on="fact_id", suffixes=("", "_again"))
        return (int((both["level"] != both["level_again"]).sum()), len(both)) if len(both) >= LEAST else None

    return _moved.get((run.manifest["files"][runs.LEVELS], settings, profile_stamp(settings.model, settings.source, again)), count)


# Most runs of one model are tested on the same facts at the same levels.
_moved: Kept[tuple[int, int] | None] = Kept(64)
_rules: Kept[str] = Kept(64)


def run_looks(run_id: str) -> pd.DataFrame:
    """`Run.looks` of run `run_id`, domains without dev facts left out, with accuracy and its Wilson interval (low, high).

    Raises `NotFound` when the run does not exist, `ArtifactDamaged` when the looks can't be read.
    """
    from sftqa_core.evaluation.intervals import wilson

    looks = runs.read_run(run_id).looks()
    looks = looks[looks["n"] > 0].reset_index(drop=True)
    bounds = [wilson(int(correct), int(n)) for correct, n in zip(looks["correct"], looks["n"], strict=True)]
    return looks.assign(accuracy=looks["correct"] / looks["n"], low=[low for low, _ in bounds], high=[high for _, high in bounds])


def run_rule(run_id: str) -> str:
    """Says that the answers of run `run_id` were judged by an earlier matching rule, where today's may judge them otherwise; else empty."""
    run, table = runs.read_run(run_id), aliases.load_aliases()
    match = run.settings.match
    if run.manifest.get("matching", 1) >= matching.VERSION:
        return ""
    key = (run.manifest["files"][runs.LEVELS], match, table.fingerprint())
    if _rules.get(key, lambda: aliases.rule_of(run.facts(), match, table)) == match:
        return ""
    return matching.judged_earlier("The answers of this run were", "The same training, started again, is judged by the rule of today.")


def prompt_preview(model: str, form: records.PromptFormat) -> tuple[str, str]:
    """An example as the model reads it and what it is to write, up to the sign that ends it.

    Raises `SettingsError` where the form is a chat and the model's template can't be used.
    """
    if not form.chat:
        return relations.fill(form.prompt, question=QUESTION), relations.fill(form.answer, answer=ANSWER)
    chat = layout(require_chat_template(catalogue.find_model(model)))
    return chat.prompt(QUESTION, (), form), chat.reply(ANSWER, form)


def why_no_chat(model: str) -> str:
    """Why a model can't be asked by a chat template, in a sentence; empty where it can."""
    try:
        require_chat_template(catalogue.find_model(model))
    except SftqaError as error:
        return str(error)
    return ""


@dataclass(frozen=True)
class Trust:
    """What is known of one model's levels on some facts. The full probe is the reference throughout."""

    facts: int  # with the full probe
    # "second probe" (the full one with seed + 1), "adaptive", "likelihood", "4 bits" (the same weights as NF4), "bfloat16" (the same
    # weights in it, on a processor), another model by its name: those that were made
    agreements: dict[str, records.Agreement]
    adaptive_margin: tuple[float, float, float] | None  # kappa(adaptive, full) - kappa(second, full) with its 95% interval
    budget: pd.DataFrame | None  # budget.budget_curve against the second probe, or against the full one itself where that is missing
    floor: float | None  # kappa of two full probes
    floor_measured: bool  # else simulated from the one there is
    slick: records.CrossTable | None = None  # these levels beside SliCK's, where facts have both


def trust(
    model: str, source: str, split: str = "test", domain: str = "all", scheme: LevelScheme | None = None, against: str | None = None
) -> Trust:
    """Compares what was probed before; probes nothing. `sftqa probe --seed 1` makes the second probe. `against`: another model whose full
    probe is compared, too, such as the same one on a server."""
    from sftqa_core.memory.agreement import agreement, cross_table
    from sftqa_core.memory.profiles import levels_reader

    full = replace(scheme or LevelScheme(), method="sampling")
    if not full.by_statements:
        raise SettingsError("The comparison starts from levels by statements and includes SliCK's. Leave the scheme out.")
    settings = ProbeSettings(model, source, split, domain, scheme=full)
    levels = levels_reader(settings)
    again = replace(full, sampling=replace(full.sampling, seed=full.sampling.seed + 1))
    schemes = {SECOND: again, "adaptive": replace(full, method="adaptive"), "likelihood": replace(full, method="likelihood")}
    tables = {name: levels(replace(settings, scheme=scheme)) for name, scheme in schemes.items()}
    tables[IN_4_BITS] = levels(replace(settings, quantization="nf4"))
    tables[IN_BFLOAT16] = levels(replace(settings, number_format="bfloat16"))
    if against is not None:
        other = replace(settings, model=against)
        tables[against] = levels_reader(other)(other)
    reference = levels(settings)
    both = {name: table for name, table in tables.items() if reference["fact_id"].isin(table["fact_id"]).any()}
    agreements = {name: agreement(reference, table, full) for name, table in both.items()}
    measured = SECOND in agreements and agreements[SECOND].facts >= LEAST
    budget, floor = _budget(reference, tables[SECOND] if measured else reference[:0], full)
    floor = agreements[SECOND].kappa if measured else floor
    slick = cross_table(reference, levels(replace(settings, scheme=records.SLICK)), full, records.SLICK)
    margin = _margin(reference, tables, full)
    return Trust(len(reference), agreements, margin, budget, floor, measured, slick if slick.facts else None)


@dataclass(frozen=True)
class BesideBase:
    """A tuned model's levels of some facts beside those of what it was tuned from, as far as both were probed."""

    base: str
    facts: int  # of the base that were probed
    tuned_facts: int
    both: records.Agreement  # the base's levels are the reference
    noise: records.Agreement | None  # the base probed again with the next seed: what chance alone moves; None where too few facts were


def beside_base(
    model: str, base: str, source: str, split: str = "test", domain: str = "all", scheme: LevelScheme | None = None
) -> BesideBase:
    """Compares what was probed before; probes nothing. Raises `ModelUnavailable` for a base that is gone."""
    from sftqa_core.memory.agreement import agreement
    from sftqa_core.memory.profiles import levels_reader

    scheme = scheme or LevelScheme()
    wanted = [ProbeSettings(name, source, split, domain, scheme=scheme) for name in (base, model)]
    of_base, of_model = (levels_reader(settings) for settings in wanted)
    first, second = of_base(wanted[0]), of_model(wanted[1])
    again = replace(scheme, sampling=replace(scheme.sampling, seed=scheme.sampling.seed + 1))
    noise = agreement(first, of_base(replace(wanted[0], scheme=again)), scheme)
    return BesideBase(base, len(first), len(second), agreement(first, second, scheme), noise if noise.facts >= LEAST else None)


def _margin(reference: pd.DataFrame, tables: dict[str, pd.DataFrame], full: LevelScheme) -> tuple[float, float, float] | None:
    """kappa(adaptive, full) - kappa(second, full): above 0 where stopping early costs less than chance does. None where one of the
    probes is missing, or a kappa undefined."""
    from sftqa_core.memory.agreement import kappa_difference

    shared = reference[["fact_id", "level"]]
    for name in (SECOND, "adaptive"):
        shared = shared.merge(tables[name][["fact_id", "level"]].rename(columns={"level": name}), on="fact_id")
    if not len(shared):
        return None
    adaptive, first, again = (shared[name].to_numpy(dtype=int) for name in ("adaptive", "level", SECOND))
    difference = kappa_difference(adaptive, first, again, len(full.labels))
    return difference if all(map(math.isfinite, difference)) else None


def _budget(reference: pd.DataFrame, second: pd.DataFrame, full: LevelScheme) -> tuple[pd.DataFrame | None, float | None]:
    """The budget curve against the second probe's levels, or its own where there is none, and the simulated floor.

    Facts with another number of templates than most are left out: a budget would not be the same for them.
    """
    import numpy as np

    from sftqa_core.memory.agreement import budget_curve, simulated_floor

    both = reference.merge(second[["fact_id", "level"]], on="fact_id", suffixes=("_own", ""))
    alike = both if len(both) else reference
    widths = alike["hits_per_template"].map(len)
    alike = alike[widths == widths.mode().max()]
    if not len(alike):
        return None, None
    hits, samples = np.array(alike["hits_per_template"].tolist()).round().astype(int), full.sampling.samples
    return budget_curve(hits, samples, alike["level"].to_numpy(dtype=int), full), simulated_floor(hits, samples, full)
