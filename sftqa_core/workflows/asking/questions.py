"""A question put to models beside each other: which weights each name means and how it is asked, and what is known of the fact behind
the question. Never loads torch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sftqa_core.errors import ModelUnavailable, SettingsError, SftqaError
from sftqa_core.jsonrecord import Record, fingerprint
from sftqa_core.knowledge import sources
from sftqa_core.knowledge.tables import hub_datasets
from sftqa_core.models.catalogue import base_card, find_model
from sftqa_core.models.gguf.gguf_models import KIND as GGUF
from sftqa_core.models.measured import refuse_unread
from sftqa_core.models.model_files import ModelFolder, digest_key
from sftqa_core.models.serving.addresses import KIND as SERVER
from sftqa_core.models.serving.server_identity import replaced_by
from sftqa_core.records import MOST_COLUMNS, RUN, Column, LevelScheme, ModelCard, ProbeSettings, PromptFormat, Question, TrainSettings
from sftqa_core.records.asking import new_tokens
from sftqa_core.training import runs

if TYPE_CHECKING:
    import pandas as pd


def tuned_settings(name: str) -> TrainSettings | None:
    """How the run behind a name was trained; None for a model that is not a run's. Raises `NotFound`, `ArtifactDamaged`."""
    return runs.read_run(name.removeprefix(RUN)).settings if name.startswith(RUN) else None


def columns(question: Question, models: Sequence[str]) -> tuple[Column, ...]:
    """How each model is asked, base models first. Raises what `column` does, and `SettingsError` for too many or no models."""
    names = tuple(dict.fromkeys(models))
    if not 1 <= len(names) <= MOST_COLUMNS:
        raise SettingsError(f"A question is put to 1 to {MOST_COLUMNS} models, got {len(names)}.")
    return tuple(column(question, name, names) for name in sorted(names, key=lambda name: name.startswith(RUN)))


def column(question: Question, model: str, beside: Sequence[str] = ()) -> Column:
    """How one model is asked, `beside` others.

    A run is asked as it was trained. A base model is asked as the first run made from it that stands beside it (else as the first run,
    else by prompt qa), so that what differs is the weights. Raises `ModelUnavailable` for a model whose files are not here, or a run
    that is not there or kept no weights; `ArtifactDamaged`.
    """
    card, tuned = find_model(model), tuned_settings(model)
    _require_here(card)
    asked_as = tuned or _tuned_beside(model, beside)
    form = None
    if question.kind == "question":
        form = question.prompt or (asked_as.prompt if asked_as else PromptFormat())
    put = replace(question, prompt=form, max_new_tokens=new_tokens(question, asked_as))
    quantization = tuned.quantization if tuned else "none"
    return Column(model, put, files_stamp(card), quantization, tuned.model if tuned else None)


def _require_here(card: ModelCard) -> None:
    """A question neither downloads a model nor reads one from GGUF: both take long, and belong to the Models page. A server is asked."""
    if card.kind == SERVER:
        return
    for each in (card, base_card(card) if card.path else None):
        if each is not None and each.path is None:
            refuse_unread(each)
            what = "has not been read from GGUF yet. Read" if each.kind == GGUF else "is not on this machine. Download"
            raise ModelUnavailable(f"{each.name} {what} it first, on the Models page or by: sftqa fetch {each.name}")


def _tuned_beside(base: str, beside: Sequence[str]) -> TrainSettings | None:
    found = []
    for name in beside:
        with contextlib.suppress(SftqaError):  # its own column says what is wrong with it
            if (settings := tuned_settings(name)) is not None:
                found.append(settings)
    return next((settings for settings in found if settings.model == base), found[0] if found else None)


def files_stamp(card: ModelCard) -> str:
    """Changes with any file that decides what a model says, its base model's too; reads none of them. Raises `ModelUnavailable`.

    Of a served model it is empty until another one answers in its place: who answers is known after the first question only, and its
    reply must be found again.
    """
    if card.kind == SERVER:
        return replaced_by(card)
    folders = [ModelFolder(Path(each.path)) for each in (card, base_card(card)) if each is not None and each.path is not None]
    try:
        return fingerprint([digest_key(path.resolve()) for folder in folders for path in folder.files()])
    except OSError as error:
        raise ModelUnavailable(f"{card.name} can't be read: {error}.") from error


# ---- the fact behind a question ----
@dataclass(frozen=True)
class KnownFact(Record):
    """A fact that is asked for in these words."""

    source: str
    fact_id: str
    relation: str
    subject: str
    question: str
    answers: tuple[str, ...]  # all that are right
    split: str
    domain: str


@dataclass(frozen=True)
class KnownLevel(Record):
    """What a model is known to know of a fact, by the paper's levels."""

    model: str
    level: str
    score: float  # R


def sources_of(models: Sequence[str]) -> tuple[str, ...]:
    """Fact sources in which the fact behind a question may stand: what runs were trained on, and what base models have read."""
    found: list[str] = []
    for name in models:
        with contextlib.suppress(SftqaError):
            settings = tuned_settings(name)
            read = find_model(name).details.get("source") if settings is None else None
            found.append(settings.source if settings else str(read["name"]) if isinstance(read, dict) and "name" in read else "")
    return tuple(dict.fromkeys(name for name in found if name and not name.startswith(hub_datasets.PREFIX)))


def find_fact(text: str, source: str, kind: str = "question") -> KnownFact | None:
    """The fact of a source that a question asks for, or a statement states, in these very words; None where there is none.

    Nothing is downloaded. Right answers are those of all facts that are asked for, or stated, in these words. Raises `FactsError`.
    """
    opened, wanted = sources.open_source(source), text.strip()
    table = opened.facts
    rows = table[table["question"] == wanted] if kind == "question" else _stated(opened, wanted)
    if rows.empty:
        return None
    first = rows.iloc[0]
    answers = tuple(dict.fromkeys(answer for known in rows["answers"] for answer in known))
    texts = {name: str(first[name]) for name in ("fact_id", "relation", "subject", "question", "split", "domain")}
    return KnownFact(source=source, answers=answers, **texts)


def _stated(opened: sources.FactSource, text: str) -> pd.DataFrame:
    """Facts of which one of the relation's templates makes this statement."""
    import pandas as pd

    table, found = opened.facts, []
    for name, relation in opened.relations.items():
        for template in relation.templates:
            placeholder = "{subject}" if "{subject}" in template else "{question}"
            before, _, after = template.partition(placeholder)
            if len(text) > len(before) + len(after) and text.startswith(before) and text.endswith(after):
                inside = text[len(before) : len(text) - len(after)]
                found.append(table[(table[placeholder[1:-1]] == inside) & (table["relation"] == name)])
    return pd.concat(found) if found else table.iloc[:0]


def known_level(model: str, fact: KnownFact, scheme: LevelScheme | None = None) -> KnownLevel | None:
    """A fact's level in a model, where it was probed. Nothing is probed for it."""
    from sftqa_core.memory.profiles import NOT_PROBED, level_table
    from sftqa_core.memory.stored_levels import stores_of

    settings = ProbeSettings(model, fact.source, "all", scheme=scheme or LevelScheme())
    for store in stores_of(find_model(model), settings):
        table = level_table(model, fact.source, settings.scheme, [store])
        (at,), (there,) = table.ids.places([fact.fact_id])
        if there and (level := int(table.level[at])) != NOT_PROBED:
            return KnownLevel(model, settings.scheme.labels[level], float(table.score[at]))
    return None


def base_models(models: Sequence[str]) -> tuple[str, ...]:
    """The models among these that are not a run's, and those that the runs among these were tuned from."""
    found = []
    for name in models:
        with contextlib.suppress(SftqaError):
            settings = tuned_settings(name)
            found.append(name if settings is None else settings.model)
    return tuple(dict.fromkeys(found))


def with_right_answers(question: Question, models: Sequence[str]) -> tuple[Question, KnownFact | None]:
    """The question with the right answers that are known of the fact behind it, if one of these models' sources has it."""
    for source in sources_of(models):
        with contextlib.suppress(SftqaError):  # a source that is gone or damaged: the question can be asked without it
            if (fact := find_fact(question.text, source, question.kind)) is not None:
                return replace(question, right=tuple(dict.fromkeys((*question.right, *fact.answers)))), fact
    return question, None


def example_questions(models: Sequence[str], count: int) -> list[str]:
    """Questions of held-out facts, each of another relation, from the first source of these models that can be opened."""
    for source in sources_of(models):
        with contextlib.suppress(SftqaError):
            table = sources.open_source(source).facts
            held_out = table[(table["split"] == "test") & (table["domain"] == "in")]
            if len(some := held_out.drop_duplicates("relation")["question"].tolist()[:count]):
                return some
    return []
