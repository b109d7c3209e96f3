"""From completions to memory scores and levels (METHOD section 1), with both intervals (METHOD 8.9)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sftqa_core.engine.wanted_facts import WantedFact
from sftqa_core.errors import ArtifactDamaged
from sftqa_core.memory.probe_tables import HITS, INTERVALS
from sftqa_core.records import LevelScheme

_RESAMPLES = 1000


def matched_answers(completions: pd.DataFrame, wanted: Mapping[str, WantedFact]) -> list[str | None]:
    """For each COMPLETIONS row the answer its text contains, as it was given, or None. Every fact must be in `wanted`."""
    seen: dict[tuple[str, str], str | None] = {}
    matched = []
    for pair in zip(completions["fact_id"], completions["text"], strict=True):
        if pair not in seen:
            seen[pair] = wanted[pair[0]].compiled.find(pair[1])
        matched.append(seen[pair])
    return matched


def judge(completions: pd.DataFrame, wanted: Sequence[WantedFact], samples: int) -> pd.DataFrame:
    """HITS rows of these facts, in their order. Raises `ArtifactDamaged` if completions are missing or too many."""
    broken = miscounted(completions, wanted, samples)
    if broken:
        raise ArtifactDamaged(f"{len(broken)} facts do not have {samples} completions for every template, {broken[0]} among them.")
    matched = matched_answers(completions, {w.fact_id: w for w in wanted})
    hits = _per_slot(completions[[answer is not None for answer in matched]], wanted)
    sampled = [hits[row, : w.count] for row, w in enumerate(wanted)]
    identity = pd.DataFrame([(w.fact_id, w.prompts_sha, w.answers_sha) for w in wanted], columns=HITS.names[:3])
    numbers = {"completions": [samples * len(h) for h in sampled], "hits": [int(h.sum()) for h in sampled]}
    lists = [hits[row, : w.slots].tolist() for row, w in enumerate(wanted)]
    return identity.assign(**numbers, hits_per_template=lists, **_intervals(sampled, samples))


def miscounted(completions: pd.DataFrame, wanted: Sequence[WantedFact], samples: int) -> list[str]:
    """Ids of the wanted facts that have not exactly `samples` COMPLETIONS of each of their prompts, with one greedy one where those
    are drawn, and of no other prompt."""
    columns = completions[["fact_id", "template", "count"]]
    most = columns["fact_id"].map({w.fact_id: w.count for w in wanted}).astype(float) - 1
    least = columns["fact_id"].map({w.fact_id: w.count - w.slots for w in wanted}).astype(float)
    odd = columns.isna().any(axis=1) | ~columns["template"].between(least, most)
    drawn = _per_slot(columns[~odd], wanted)
    right = {(w.count, w.slots): np.repeat([samples, 1], [w.count, w.slots - w.count]) for w in wanted}
    wrong = {w.fact_id for row, w in enumerate(wanted) if (drawn[row, : w.slots] != right[w.count, w.slots]).any()}
    return [w.fact_id for w in wanted if w.fact_id in wrong.union(columns.loc[odd, "fact_id"])]


def samples_interval(hits: ArrayLike, samples: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95% interval of R over samples, the templates being fixed: hits [facts, templates] -> low, high [facts].

    Wilson's interval with the effective number of completions R(1 - R) / v, where v is the stratified variance
    of R, sum over templates of q(1 - q) / samples / templates^2, with Jeffreys rates q = (hits + 1/2) / (samples + 1) so
    that an all-or-nothing template still has some. Drawing a fixed number for each template can only narrow R (Hoeffding
    1956), so the effective number is never below the completions drawn. Never of zero width: 0 of 210 gives [0, 0.018].
    """
    from statsmodels.stats.proportion import proportion_confint

    counts = np.asarray(hits, dtype=np.float64)
    templates = counts.shape[1]
    total = templates * samples
    score = counts.sum(1) / total
    rate = (counts + 0.5) / (samples + 1)
    variance = (rate * (1 - rate)).sum(1) / samples / templates**2
    effective = np.maximum(total, score * (1 - score) / variance)
    low, high = proportion_confint(score * effective, effective, method="wilson")
    return np.where(score == 0, 0.0, np.clip(low, 0, 1)), np.where(score == 1, 1.0, np.clip(high, 0, 1))


def templates_interval(hits: ArrayLike, samples: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95% interval of R over templates: hits [facts, templates] -> low, high [facts].

    Percentile bootstrap, 1,000 seeded resamples, the same for every fact. Where all templates agree it has no width:
    it can't speak of templates that were never written.
    """
    rates = np.asarray(hits, dtype=np.float64) / samples
    templates = rates.shape[1]
    weights = np.random.default_rng(seed).multinomial(templates, np.full(templates, 1 / templates), size=_RESAMPLES) / templates
    low, high = np.empty((2, len(rates)))
    for start in range(0, len(rates), 2000):
        part = slice(start, start + 2000)
        low[part], high[part] = np.quantile(weights @ rates[part].T, [0.025, 0.975], axis=0)
    return low, high


def level_of(scores: ArrayLike, scheme: LevelScheme) -> NDArray[np.int64]:
    """Positions in `scheme.labels` of memory scores: level i holds cutoffs[i-1] < R <= cutoffs[i] (METHOD section 1)."""
    return np.searchsorted(np.asarray(scheme.cutoffs), np.asarray(scores, dtype=np.float64), side="left")


def levels_of(hits: ArrayLike, scores: ArrayLike, scheme: LevelScheme) -> NDArray[np.int64]:
    """Positions in `scheme.labels` of facts with these `hits_per_template` [facts, slots] and memory scores [facts].

    By R and the cut-offs, or with few-shot prompts SliCK's (METHOD section 1): 3 where every greedy completion is right, 2 where
    some are, 1 where none of them but some sample is, 0 where nothing is.
    """
    if not scheme.few_shot:
        return level_of(scores, scheme)
    counts = np.asarray(hits, dtype=np.float64)
    counts = counts if counts.ndim == 2 else np.zeros((len(np.asarray(scores)), 0))
    sampled, greedy = (counts[:, part].sum(axis=1) for part in (slice(scheme.contexts), slice(scheme.contexts, None)))
    return np.select([greedy >= scheme.contexts, greedy > 0, sampled > 0], [3, 2, 1], 0)


def split_scores(
    counts: NDArray[Any], widths: NDArray[Any], of: NDArray[Any], relations: NDArray[Any], seen_templates: Mapping[str, Sequence[int]]
) -> dict[str, NDArray[np.float64]]:
    """Mean hit rates [facts] on the templates that the model's corpus used (`seen_templates`, by relation) and on the others.

    `counts` [facts, templates] are hits of `of` [facts] samples each; the first `widths` [facts] of a row count. NaN where there are
    no such templates, or the corpus is unknown.
    """
    split = np.full((2, len(counts)), np.nan)
    for relation, positions in seen_templates.items():
        rows = np.flatnonzero(relations == relation)
        for width in np.unique(widths[rows]) if positions else ():
            alike, used = rows[widths[rows] == width], np.isin(np.arange(width), positions)
            rates = counts[alike, :width] / of[alike, None]
            for at, part in enumerate((used, ~used)):
                if part.any():
                    split[at, alike] = np.ascontiguousarray(rates[:, part]).sum(axis=1) / part.sum()
    return {"seen_score": split[0], "unseen_score": split[1]}


def _per_slot(completions: pd.DataFrame, wanted: Sequence[WantedFact]) -> NDArray[np.int64]:
    """Counts added up: int64 [facts, slots of the fact that has most]; template -1 - t is the greedy completion of prompt t."""
    place = {w.fact_id: row for row, w in enumerate(wanted)}
    added = np.zeros((len(wanted), max((w.slots for w in wanted), default=0)), dtype=np.int64)
    rows, templates, counts = (
        column.to_numpy(dtype=np.int64) for column in (completions["fact_id"].map(place), completions["template"], completions["count"])
    )
    prompts = np.array([w.count for w in wanted], dtype=np.int64)
    np.add.at(added, (rows, np.where(templates < 0, prompts[rows] - 1 - templates, templates)), counts)
    return added


def _intervals(per_template: list[NDArray[np.int64]], samples: int) -> dict[str, NDArray[np.float64]]:
    columns = {name: np.empty(len(per_template)) for name in INTERVALS}
    widths = np.array([len(h) for h in per_template], dtype=np.int64)
    for width in np.unique(widths):
        rows = np.flatnonzero(widths == width)
        block = np.stack([per_template[row] for row in rows])
        bounds = (*samples_interval(block, samples), *templates_interval(block, samples))
        for name, values in zip(INTERVALS, bounds, strict=True):
            columns[name][rows] = values.round(4)  # finer than any reader needs, and fewer bytes on disk
    return columns
