"""A tiny model made from one's own facts: its settings from a few choices, and what was found with it, a sentence each.

Every sentence says how many facts stand behind it and has a 95% interval; it says that nothing can be told where that holds 0 or there
are fewer than 30 facts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from sftqa_core.errors import SftqaError
from sftqa_core.evaluation import comparing
from sftqa_core.evaluation.intervals import LEAST, spearman_interval, wilson
from sftqa_core.jsonrecord import fingerprint
from sftqa_core.knowledge.sources import open_source
from sftqa_core.memory import profiles
from sftqa_core.memory.stated_facts import stated_source
from sftqa_core.models import catalogue, lists, makings
from sftqa_core.planning.pretraining_size import pretraining_size
from sftqa_core.records import DOMAIN_NAMES, SPREADS, CorpusSettings, PretrainSettings, TrainSettings
from sftqa_core.records.amounts import points
from sftqa_core.training import optimizers, runs

if TYPE_CHECKING:
    import pandas as pd

ARCHITECTURES = {  # of the built-in models, whose sizes are taken -> what a page calls them
    "atlas-llama": "Llama",
    "atlas-qwen": "Qwen2, half the key-value heads",
    "atlas-neox": "GPT-NeoX, wider",
}
USUAL_FACTS = 4_000  # a larger source is cut to so many unless somebody asks for more: minutes on a processor
READ_TOKENS = 1_000_000  # a tiny model needs about so many until all levels occur; a short text is read several times over
MOST_PASSES = 32
QUESTIONS = (500, 10_000)  # question documents, at least and at most: one to two statements, a quarter of that is filler
MENTIONS = (1, 4, 16, 64, 256)  # where groups of facts begin
_LONGEST = 32  # characters that a model's name takes from its source's


@dataclass(frozen=True)
class LevelsByMentions:
    """Levels of probed facts against how often the model's text states them."""

    groups: dict[str, list[int]]  # "never", "1 to 3 times" ... -> facts per level
    labels: tuple[str, ...]
    facts: int
    said: str


def own_model(source: str, like: str = "atlas-llama", spread: str = "wide", limit: int | None = None) -> PretrainSettings:
    """A pre-training on facts of one's own, as large as a built-in model; its name follows from facts and settings, so that the same
    choices find the same model again. Raises `SftqaError` for a source that can't be opened."""
    chosen, built_in, opened = SPREADS[spread], lists.BUILT_IN[like], open_source(source)
    corpus = CorpusSettings(qa_documents=0, filler_documents=0, unstated_share=chosen.unstated)
    settings = replace(built_in, name="own", source=source, seed=0, corpus=corpus, limit=limit)
    settings = replace(settings, min_exposures=chosen.least, max_exposures=chosen.most)
    questions = min(max(pretraining_size(settings, opened).statements // 2, QUESTIONS[0]), QUESTIONS[1])
    settings = replace(settings, corpus=replace(corpus, qa_documents=questions, filler_documents=questions // 4))
    passes = round(READ_TOKENS / max(pretraining_size(settings, opened).tokens, 1))
    settings = replace(settings, epochs=min(max(passes, 1), MOST_PASSES))
    stem = Path(source.partition("?")[0]).stem if "/" in source else source
    short = re.sub(r"[^a-z0-9]+", "-", stem.casefold()).strip("-")[:_LONGEST].strip("-") or "facts"
    made = fingerprint([settings.to_dict(), opened.fingerprint])[:6]
    return replace(settings, name=f"{short}-{built_in.architecture.replace('_', '')}-{made}")


def usual_limit(source: str) -> int | None:
    """How many facts a model is made from unless somebody says otherwise: all of a small source."""
    return USUAL_FACTS if len(open_source(source).facts) > USUAL_FACTS else None


def has_mentions(source: str) -> bool:
    """Whether the facts come with how often each is stated."""
    facts = open_source(source).facts
    return "exposures" in facts and bool(facts["exposures"].notna().all())


def is_made(settings: PretrainSettings) -> bool:
    """Whether a model of these settings, made from the facts as they are now, is there."""
    try:
        card = catalogue.find_model(settings.name)
    except SftqaError:  # there is none, or it is damaged and is made again
        return False
    return makings.same_making(card, settings, stated_source(settings).fingerprint)


def finished_run(settings: TrainSettings) -> str:
    """The newest finished run of these settings, whoever started it; empty where there is none."""
    rate = settings.learning_rate
    if rate is None:
        rate = optimizers.default_learning_rate(settings.method, catalogue.find_model(settings.model).parameters)
    wanted = replace(settings, learning_rate=rate)
    return next((info.id for info in runs.list_runs() if info.settings == wanted), "")


def levels_by_mentions(model: str, source: str, split: str = "test") -> LevelsByMentions | None:
    """What a probe found, against what was planted. None where no fact is probed or the model's text is not known."""
    known = profiles.profile(model, source, split)
    if not known.probed or "exposures" not in known.level_table.table:
        return None
    table = known.take(known.rows, ["exposures", "score", "level"]).dropna()
    mentions, level = table["exposures"].astype(int), table["level"].astype(int)
    edges = [0, *MENTIONS, 10**9]
    groups = {}
    for low, high in pairwise(edges):
        inside = level[(mentions >= low) & (mentions < high)]
        if len(inside):
            groups[_times(low, high)] = [int((inside == at).sum()) for at in range(len(known.scheme.labels))]
    return LevelsByMentions(groups, known.scheme.labels, len(table), _rank_words(table) + _guessed_words(level[mentions == 0]))


def _times(low: int, high: int) -> str:
    if not low:
        return "never"
    return f"{low} to {high - 1} times" if high < 10**9 else f"{low} times or more"


def _rank_words(table: pd.DataFrame) -> str:
    n = len(table)
    if n < LEAST:
        return f"{n} facts are probed, too few to tell whether those that were stated more often are known better."
    value, low, high = spearman_interval(table["exposures"].to_numpy(float), table["score"].to_numpy(float))
    if value is None or low is None or high is None:
        return f"{n:,} facts are probed; all were stated equally often, or are known equally well."
    numbers = f"rank correlation of mentions and memory score {value:.2f} ({low:.2f} to {high:.2f}, n = {n:,})"
    if low > 0:
        return f"Facts that were stated more often are known better: {numbers}."
    return f"Facts that were stated more often are {'known worse' if high < 0 else 'not clearly known better'}: {numbers}."


def _guessed_words(level: pd.Series) -> str:
    """What stands for guessing: facts that no sentence stated."""
    if len(level) < LEAST:
        return ""
    above = int((level > 0).sum())
    low, high = wilson(above, len(level))
    return f" Of those never stated {above / len(level):.1%} are above the lowest level ({low:.1%} to {high:.1%}, n = {len(level):,})."


def tuned_words(run_id: str) -> list[str]:
    """How often held-out facts were answered rightly before and after, a sentence a domain. Raises `NotFound`."""
    run = runs.read_run(run_id)
    before, after = run.predictions("before"), run.predictions("after")
    told = [
        (f"{name}: {{first:.1%}} of {{n:,}} held-out facts answered rightly after tuning on {run.summary.n:,}, {{second:.1%}} before", pair)
        for name, pair in _pairs(after, before, run.facts())
    ]
    return _in_words(told)


def compared_words(first: str, second: str) -> list[str]:
    """The first run against the second on the held-out facts that both were asked, a sentence a domain. Raises `NotFound`."""
    one, other = runs.read_run(first), runs.read_run(second)
    told = [
        (f"{name}: {{first:.1%}} of {{n:,}} held-out facts after this run, {{second:.1%}} after the run of step 4", pair)
        for name, pair in _pairs(one.predictions("after"), other.predictions("after"), one.facts())
    ]
    return _in_words(told)


def _pairs(first: pd.DataFrame, second: pd.DataFrame, facts: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Domain -> truths `correct_x` and `correct_y` of the facts that both answered; without domains that have none."""
    columns = ["fact_id", "correct"]
    both = first[columns].merge(second[columns], on="fact_id").merge(facts[["fact_id", "domain"]], on="fact_id")
    named = [(words.capitalize(), both[both["domain"] == domain]) for domain, words in DOMAIN_NAMES.items()]
    return [(words, pair) for words, pair in named if len(pair)]


def _in_words(told: Sequence[tuple[str, pd.DataFrame]]) -> list[str]:
    sides = [(pair["correct_x"].to_numpy(bool), pair["correct_y"].to_numpy(bool)) for _, pair in told]
    tests = comparing.corrected([comparing.single_difference(first, second) for first, second in sides])
    sentences = []
    for (text, _), (first, second), test in zip(told, sides, tests, strict=True):
        said = text.format(first=first.mean(), second=second.mean(), n=len(first))
        interval = f"{points(test.value)} points ({points(test.low)} to {points(test.high)})"
        ends = {comparing.FEW: f"too few facts to tell, {interval}", comparing.OPEN: f"cannot tell them apart, {interval}"}
        sentences.append(f"{said}: {ends.get(test.verdict, interval)}.")
    return sentences
