"""Tested models beside each other: what differs in their settings, what they answered to the facts in common, what can be told. No torch.

Levels come from one base model under one scheme: those of the run that is named as the reference. Where two of them were asked or judged
in another way (base model, matching rule, prompt, answer length, aliases, level scheme) this is said, and their means over levels
are not tested against each other. The statistics are evaluation/comparing.py's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from sftqa_core.errors import NotFound, SettingsError
from sftqa_core.evaluation import comparing, intervals
from sftqa_core.jsonrecord import Keys, Record, declared, has_effect
from sftqa_core.records import (
    DOMAINS,
    ComparedBase,
    ComparedRun,
    Comparison,
    DomainMeans,
    LevelAccuracy,
    LevelScheme,
    MeanAccuracy,
    PairTest,
    TrainSettings,
)
from sftqa_core.records.comparison import MACRO, MICRO
from sftqa_core.workflows.tested.tested_models import Tested, tested_models

if TYPE_CHECKING:
    import pandas as pd

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MOST_REFERENCES = 200
_BY_DEVICE = ("device", "save_model")  # change no answer but for rounding, or none at all
_ITEM_COLUMNS = ("fact_id", "relation", "domain", "subject", "question", "answers", "echo")


@dataclass(frozen=True)
class Compared:
    """A comparison and the facts behind it."""

    comparison: Comparison
    # A row a fact in common: fact_id, relation, domain, subject, question, answers (list), echo, level (label; "" where not known),
    # differ (bool: not all answered it equally), and for each label of a run or base `correct LABEL` (share of its seeds, NaN where not
    # known) and `text LABEL` (what it answered, null where no words are kept; of several seeds each answer with its count).
    items: pd.DataFrame


@dataclass(frozen=True)
class _Side:
    """One column of the comparison: a tested model, or the seeds of one setting."""

    label: str
    models: list[Tested]
    seeds: np.ndarray  # bool [facts, seeds], on the facts in common
    rows: list[np.ndarray]  # of each model, its rows of these facts

    @property
    def scores(self) -> np.ndarray:
        """Share of the seeds that answered each fact rightly: float [facts]."""
        return self.seeds.mean(axis=1)

    @property
    def first(self) -> Tested:
        return self.models[0]


def compare(names: Sequence[str], reference: str | None = None, pool: bool = False, against: str | None = None) -> Compared:
    """Compare runs and cells of these names (`tested_models`), in their order.

    `reference`: the one whose base model's levels are used (default: the first). `pool`: seeds of one setting are averaged. `against`: all
    others are compared with this one (default: every pair). Raises `NotFound` for a name that is none, `SettingsError` for too many.
    """
    names = list(dict.fromkeys(names))
    if not names:
        raise SettingsError("Name one or more runs or cells to compare.")
    if len(names) > MOST_REFERENCES:
        raise SettingsError(f"At most {MOST_REFERENCES} runs can be compared at once, got {len(names):,}.")
    for asked in filter(None, (reference, against)):
        if asked not in names:
            raise NotFound(f"{asked[:120]!r} is none of the runs that are compared. Choose one of {', '.join(names)}.")
    models = tested_models(names)
    pools, notes = _pooled(models) if pool else ([[model] for model in models], [])
    if len(pools) > len(LETTERS):
        raise SettingsError(f"At most {len(LETTERS)} can stand beside each other, got {len(pools)}. Pool seeds, or leave some out.")
    named = next(model for model in models if model.name == (reference or names[0]))
    used = [named, *(model for group in pools for model in group if model is not named)]
    common = comparing.facts_in_common([model.facts for model in used])
    row_of = {id(model): rows for model, rows in zip(used, common.places, strict=True)}
    sides = [_side(label, group, row_of) for label, group in zip(LETTERS, pools, strict=False)]
    label_of = {model.name: side.label for side in sides for model in side.models}
    facts, levels = common.facts, common.facts["level"].fillna(-1).to_numpy(dtype=np.int64)
    scheme = named.settings.scheme
    places = {domain: (facts["domain"] == domain).to_numpy() for domain in DOMAINS}
    bases = _bases(sides)
    means = {side.label: _by_domain(side.seeds, places, levels, scheme.labels) for side in [*sides, *bases.values()]}
    compared = _tests(sides, places, levels, scheme.labels, label_of.get(against or "", ""))
    comparison = Comparison(
        tuple(_run_record(side, means[side.label], _base_of(side, bases)) for side in sides),
        tuple(ComparedBase(b.label, b.first.settings.model, str(b.first.base.get("weights", "")), means[b.label]) for b in bases.values()),
        label_of.get(named.name, sides[0].label), scheme, len(facts), _differing(sides),
        (*_method_notes(sides), *_fact_notes(sides, used, common, label_of), *notes),
        tuple(compared), sum(test.p is not None for test in compared), label_of.get(against or "", ""),
    )  # fmt: skip
    return Compared(comparison, _items(facts, levels, scheme.labels, sides, list(bases.values())))


# ---- columns ----
def _pooled(models: Sequence[Tested]) -> tuple[list[list[Tested]], list[str]]:
    """Seeds of one setting together, each seed once; and what was left out."""
    groups: dict[Any, dict[int, Tested]] = {}
    notes = []
    for model in models:
        seeds = groups.setdefault(model.setting, {})
        if model.settings.seed in seeds:
            notes.append(f"{model.name} repeats a seed of {seeds[model.settings.seed].name} and is left out of its seeds.")
        else:
            seeds[model.settings.seed] = model
    return [sorted(seeds.values(), key=lambda model: model.settings.seed) for seeds in groups.values()], notes


def _side(label: str, models: list[Tested], row_of: dict[int, np.ndarray]) -> _Side:
    rows = [row_of[id(model)] for model in models]
    answered = [model.facts["correct"].to_numpy()[row].astype(bool) for model, row in zip(models, rows, strict=True)]
    return _Side(label, models, np.stack(answered, axis=1), rows)


def _asking(model: Tested) -> tuple[Any, ...]:
    """Equal where one base model was asked the same way, so that its answers are the same."""
    return (model.base_model, *(key(model) for name, (key, _) in _METHOD.items() if name not in ("base models", "level schemes")))


def _bases(sides: Sequence[_Side]) -> dict[tuple[Any, ...], _Side]:
    """The base models whose answers are kept, with the words of the first run that has them."""
    found: dict[tuple[Any, ...], _Side] = {}
    for side in sides:
        for model, row in zip(side.models, side.rows, strict=True):
            answers, key = model.facts["base_correct"].to_numpy()[row], _asking(model)
            unknown = any(answer is None or answer != answer for answer in answers)
            if not unknown and (key not in found or (model.words and not found[key].first.words)):
                found[key] = _Side("", [model], answers.astype(bool)[:, None], [row])
    several = len(found) > 1
    return {key: replace(base, label=f"base {at}" if several else "base") for at, (key, base) in enumerate(found.items(), 1)}


def _base_of(side: _Side, bases: dict[tuple[Any, ...], _Side]) -> str:
    base = bases.get(_asking(side.first))
    return base.label if base else ""


def _run_record(side: _Side, means: dict[str, DomainMeans], base: str) -> ComparedRun:
    names, seeds = tuple(m.name for m in side.models), tuple(m.settings.seed for m in side.models)
    words, weights = all(m.words for m in side.models), all(m.weights for m in side.models)
    first = side.first
    return ComparedRun(side.label, names, first.settings, seeds, first.created, len(first.facts), means, base, words, weights)


# ---- accuracies ----
def _by_domain(seeds: np.ndarray, places: dict[str, np.ndarray], levels: np.ndarray, labels: Sequence[str]) -> dict[str, DomainMeans]:
    return {domain: _means(seeds[inside], levels[inside], labels) for domain, inside in places.items()}


def _means(seeds: np.ndarray, levels: np.ndarray, labels: Sequence[str]) -> DomainMeans:
    """Accuracies of answers bool [facts, seeds]."""
    groups = intervals.by_level(seeds, levels, len(labels))
    per_level = tuple(_mean(label, group) for label, group in zip(labels, groups, strict=True))
    return DomainMeans(per_level, _macro(groups, per_level), _mean(MICRO, seeds))


def _mean(name: str, group: np.ndarray) -> MeanAccuracy:
    facts, count = group.shape
    if not facts:
        return MeanAccuracy(name, 0, None, None, None)
    if count == 1:
        right = int(group.sum())
        return MeanAccuracy(name, facts, right / facts, *intervals.wilson(right, facts))
    scores = group.mean(axis=1)
    mean = intervals.mean_interval(scores, count, intervals.resampled(scores[:, None])[:, 0])
    return MeanAccuracy(name, facts, *mean, tuple(map(float, group.mean(axis=0))))


def _macro(groups: Sequence[np.ndarray], per_level: Sequence[MeanAccuracy]) -> MeanAccuracy:
    facts = sum(map(len, groups))
    if not all(map(len, groups)):
        return MeanAccuracy(MACRO, facts, None, None, None)
    if groups[0].shape[1] == 1:
        counted = tuple(
            LevelAccuracy(one.level, one.n, int(g.sum()), one.value, one.low, one.high) for one, g in zip(per_level, groups, strict=True)
        )
        return MeanAccuracy(MACRO, facts, *intervals.macro_of(counted))
    of_seeds = np.mean([group.mean(axis=0) for group in groups], axis=0)
    ends = comparing.Resamples([group.mean(axis=1)[:, None] for group in groups]).interval(0)
    return MeanAccuracy(MACRO, facts, float(of_seeds.mean()), *ends, tuple(map(float, of_seeds)))


# ---- tests ----
def _tests(
    sides: Sequence[_Side], places: dict[str, np.ndarray], levels: np.ndarray, labels: Sequence[str], against: str
) -> list[PairTest]:
    """Every pair, or each with one: its micro averages and its means over levels in both domains, corrected together."""
    # the later one against the earlier, as people list what they began with first; where one is chosen, the others against that
    pairs = [(second, first) for first, second in combinations(range(len(sides)), 2)]
    if against:
        chosen = [side.label for side in sides].index(against)
        pairs = [(other, chosen) for other in range(len(sides)) if other != chosen]
    rows: list[tuple[PairTest, comparing.Difference | None]] = []
    for domain, inside in places.items():
        if inside.any():
            tests = _DomainTests(sides, inside, levels, labels)
            rows += [row for one, other in pairs for row in tests.of(domain, one, other)]
    told = iter(comparing.corrected([difference for _, difference in rows if difference is not None]))
    return [test if difference is None else _told(test, next(told)) for test, difference in rows]


class _DomainTests:
    """One domain's tests; facts are drawn anew once for all of them, when the first test asks for it."""

    def __init__(self, sides: Sequence[_Side], inside: np.ndarray, levels: np.ndarray, labels: Sequence[str]):
        self.sides, self.inside = sides, inside
        self.scores = np.stack([side.scores for side in sides], axis=1)[inside]
        self.strata = intervals.by_level(self.scores, levels[inside], len(labels))
        self.empty = [label for label, group in zip(labels, self.strata, strict=True) if not len(group)]

    @cached_property
    def micro(self) -> comparing.Resamples:
        return comparing.Resamples([self.scores])

    @cached_property
    def macro(self) -> comparing.Resamples:
        return comparing.Resamples(self.strata)

    def of(self, domain: str, one: int, other: int) -> list[tuple[PairTest, comparing.Difference | None]]:
        """The pair's two comparisons; the mean over levels only where both were asked and judged alike."""
        first, second = self.sides[one], self.sides[other]
        micro = PairTest(first.label, second.label, domain, MICRO, len(self.scores))
        if len(first.models) == len(second.models) == 1:
            apart = comparing.single_difference(first.seeds[self.inside, 0], second.seeds[self.inside, 0])
        else:
            apart = self.micro.difference(one, other)
        differ = [name for name, (key, _) in _METHOD.items() if key(first.first) != key(second.first)]
        why = f"other {' and '.join(differ)}" if differ else f"no facts in common at {', '.join(self.empty)}" if self.empty else ""
        macro = PairTest(first.label, second.label, domain, MACRO, sum(map(len, self.strata)), why=why)
        return [(micro, apart), (macro, None if why else self.macro.difference(one, other))]


def _told(test: PairTest, told: comparing.Difference) -> PairTest:
    return replace(
        test, difference=told.value, low=told.low, high=told.high, test=told.test, only_run=told.only_first, only_against=told.only_second,
        p=told.p, p_holm=told.p_holm, verdict=told.verdict,
    )  # fmt: skip


# ---- what differs ----
def _differing(sides: Sequence[_Side]) -> dict[str, list[Any]]:
    """Settings that are not the same for all and change what is answered: name -> the value of each, as JSON."""
    differing: dict[str, list[Any]] = {}
    for name, about in declared(TrainSettings).items():
        untouched = name == "more_shots" and any(side.first.settings.n == 0 and side.first.settings.more_shots for side in sides)
        if name in _BY_DEVICE or (about.keys in (None, Keys.NONE) and not untouched):
            continue
        values = [_plain(getattr(side.first.settings, name)) for side in sides]
        if name == "seed":
            values = [
                [model.settings.seed for model in side.models] if len(side.models) > 1 else value
                for side, value in zip(sides, values, strict=True)
            ]
        effect = any(has_effect(TrainSettings, vars(side.first.settings), name) for side in sides)
        if effect and any(value != values[0] for value in values):
            differing[name] = values
    return differing


def _plain(value: Any) -> Any:
    return value.to_dict() if isinstance(value, Record) else list(value) if isinstance(value, tuple) else value


# Part of how a model was asked and judged -> what tells two ways apart, and its words
_METHOD: dict[str, tuple[Callable[[Tested], Any], Callable[[Tested], str]]] = {
    "base models": (lambda model: model.base_model, lambda model: model.base_words),
    "prompts": (lambda model: model.settings.prompt, lambda model: f"{model.settings.prompt.name} ({model.settings.prompt.prompt!r})"),
    "matching rules": (lambda model: model.rule, lambda model: f"{model.rule[0]}, version {model.rule[1]}"),
    "answer lengths": (lambda model: model.settings.max_answer_tokens, lambda model: f"{model.settings.max_answer_tokens} tokens"),
    "tables of aliases": (lambda model: model.aliases, lambda model: model.aliases or "unknown"),
    "level schemes": (lambda model: model.settings.scheme, lambda model: _scheme_words(model.settings.scheme)),
}


def _scheme_words(scheme: LevelScheme) -> str:
    return f"{scheme.name} ({len(scheme.labels)} levels, {scheme.fingerprint()[:4]})"


def _method_notes(sides: Sequence[_Side]) -> Iterable[str]:
    """What was asked or judged in more than one way."""
    for name, (key, words) in _METHOD.items():
        ways: dict[Any, list[_Side]] = {}
        for side in sides:
            ways.setdefault(key(side.first), []).append(side)
        if len(ways) > 1:
            told = "; ".join(f"{_labels(group)} {words(group[0].first)}" for group in ways.values())
            yield f"The {name} differ: {told}. Means over levels are not tested between them."


def _fact_notes(sides: Sequence[_Side], used: Sequence[Tested], common: comparing.InCommon, label_of: dict[str, str]) -> Iterable[str]:
    """Which facts count, where the test sets are not the same; before that, which runs were cut."""
    for side in sides:
        yield from (f"{side.label} was {model.cut}." for model in side.models if model.cut)
    counts = {side.label: len(side.first.facts) for side in sides}
    if any(count != len(common.facts) for count in counts.values()):
        told = ", ".join(f"{label} {count:,}" for label, count in counts.items())
        yield f"The test sets differ: only the {len(common.facts):,} facts that all were asked count. Test facts: {told}."
    for model, matched, others in zip(used, common.by_triple, common.other_answers, strict=True):
        if matched:
            yield f"{matched:,} facts of {label_of[model.name]} have other ids and were matched by relation, subject and answers."
        if others:
            yield f"{others:,} facts of {label_of[model.name]} have other right answers than the reference's and are left out."


def _labels(sides: Sequence[_Side]) -> str:
    return ", ".join(side.label for side in sides)


# ---- fact by fact ----
def _items(facts: pd.DataFrame, levels: np.ndarray, labels: Sequence[str], sides: Sequence[_Side], bases: Sequence[_Side]) -> pd.DataFrame:
    names = np.array([*labels, ""], dtype=object)
    scores = np.stack([side.scores for side in sides], axis=1)
    columns: dict[str, Any] = {"level": names[levels], "differ": (scores != scores[:, :1]).any(axis=1)}
    for side in sides:
        columns |= {f"correct {side.label}": side.scores, f"text {side.label}": _texts(side, "text")}
    for base in bases:
        columns |= {f"correct {base.label}": base.scores, f"text {base.label}": _texts(base, "base_text")}
    return facts[list(_ITEM_COLUMNS)].assign(**columns)


def _texts(side: _Side, column: str) -> list[str | None]:
    """What was answered; of several seeds each answer once, with its count."""
    answers = [model.facts[column].to_numpy()[row] for model, row in zip(side.models, side.rows, strict=True)]
    if not all(model.words for model in side.models):
        return [None] * len(answers[0])
    if len(answers) == 1:
        return [str(text).strip() for text in answers[0]]
    counted = (Counter(str(text).strip() for text in texts) for texts in zip(*answers, strict=True))
    return [" | ".join(f"{text} ({count})" if count > 1 else text for text, count in seen.most_common()) for seen in counted]
