"""The numbers of a study of a recipe (recipe.py): accuracy by value on dev facts, effects and claims on test facts, the recipe's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from sftqa_core.evaluation.comparing import BETTER, WORSE, Difference, Resamples, corrected, crossed_difference
from sftqa_core.evaluation.intervals import Estimate, mean_interval
from sftqa_core.records import LevelScheme, TrainSettings
from sftqa_core.records.studying import BASE, CONTROL, OTHER_SEEDS, PLAIN_TUNING
from sftqa_core.studies.cells import Cell
from sftqa_core.studies.statistics import MACRO, NATURAL, NO, OPEN, YES, Outcomes, Trials
from sftqa_core.studies.sweep import Measured, deciding, measure

ACCURACY, FORGOTTEN = "accuracy", "forgotten"  # measures: share of facts answered rightly; of facts right before, share wrong after
LEAST_SEEDS = 2  # in which a claim has the same sign
MOST_ROWS = 200  # of one of a recipe's own tables that a report holds
UNKNOWN_LEVEL = "not known"
KNOB = ("model", "value", "chosen", "domain", "rule", "facts", "seeds", "accuracy", "low", "high", "within_noise", "per_seed")
EFFECT = ("model", "domain", "level", "setting", "n", "facts", "seeds", "accuracy", "low", "high", "per_seed")
CLAIMS = (
    "model", "domain", "level", "measure", "setting", "against", "facts", "least", "seeds", "missing", "difference", "low", "high", "p",
    "p_holm", "per_seed", "verdict",
)  # fmt: skip
FORGETTING = ("model", "domain", "setting", "facts", "seeds", "forgotten", "low", "high", "learned", "per_seed")
COST = ("model", "setting", "n", "seeds", "train_s", "all_s", "train_ratio", "all_ratio", "seed_ratios")
BY_LEVEL = ("model", "table", "column", "share", "level", "rows", "seeds", "mean", "per_seed")
OWN_ROWS = ("model", "table", "seed", "row", "column", "value")


# ---- on dev facts ----
@dataclass(frozen=True)
class _OnDev:
    """What the dev facts that decide say of each value."""

    domain: str
    facts: int
    macro: bool  # whether the mean over levels decides
    correct: dict[str, list[np.ndarray]]  # value -> each finished seed's answers, float [facts]
    groups: list[np.ndarray]  # of the mean over levels a level each, else all: bool [facts]
    measured: Measured

    @classmethod
    def of(cls, trials: Trials, scheme: LevelScheme) -> _OnDev:
        known = trials.facts["level"].fillna(-1).to_numpy(dtype=np.int64)
        domain, inside, levels = deciding(trials.facts["domain"].to_numpy(), known, len(scheme.labels))
        facts = int(inside.sum())
        correct = {
            name: [trials.cells[run].table["correct"].to_numpy(dtype=float)[inside] for run in runs if run in trials.cells]
            for name, runs in trials.runs.items()
        }
        scores = np.stack([np.mean(seeds, axis=0) if seeds else np.full(facts, np.nan) for seeds in correct.values()], axis=1)
        groups = [np.ones(facts, dtype=bool)] if levels is None else [levels == level for level in range(len(scheme.labels))]
        return cls(domain, facts, levels is not None, correct, groups, measure(scores, levels, len(scheme.labels)))


def choose(trials: Trials, scheme: LevelScheme) -> str | None:
    """The value with the best dev accuracy, the first of those that tie; None before every run is finished."""
    if trials.facts.empty or any(run not in trials.cells for runs in trials.runs.values() for run in runs):
        return None
    return list(trials.runs)[int(np.argmax(_OnDev.of(trials, scheme).measured.deciding))]


def knob(outcomes: Outcomes) -> pd.DataFrame:
    """Dev accuracy by value: KNOB, a row for each value with a finished run.

    `rule`: whether the mean over levels decides or the micro average (`accuracy` is that one, with its 95% interval: facts resampled);
    `facts`: dev facts that decide, of `domain`; `within_noise`: whether it can't be told from the chosen value (null before one is).
    """
    trials = outcomes.trials
    if trials is None or not trials.cells:
        return pd.DataFrame(columns=list(KNOB))
    dev, rows = _OnDev.of(trials, outcomes.scheme), []
    values = dev.measured.macro if dev.macro else dev.measured.micro
    near = [None] * len(values) if trials.chosen is None else dev.measured.within_noise(list(trials.runs).index(trials.chosen))
    for (name, seeds), estimate, noise in zip(dev.correct.items(), values, near, strict=True):
        per_seed = [float(np.mean([answers[group].mean() for group in dev.groups])) for answers in seeds]
        about = (dev.domain, MACRO if dev.macro else NATURAL, dev.facts, len(seeds))
        if seeds:
            rows.append((outcomes.model, name, name == trials.chosen, *about, *estimate, noise, per_seed))
    return pd.DataFrame(rows, columns=list(KNOB))


# ---- on test facts ----
@dataclass(frozen=True)
class _Sides:
    """What is compared, as far as it is finished."""

    outcomes: Outcomes
    runs: Mapping[str, list[TrainSettings]]  # name -> finished runs

    @classmethod
    def of(cls, outcomes: Outcomes) -> _Sides:
        compared = outcomes.trials.compared if outcomes.trials else {}
        finished = {name: [run for run in runs if run in outcomes.runs] for name, runs in compared.items()}
        return cls(outcomes, {name: runs for name, runs in finished.items() if runs})

    @cached_property
    def names(self) -> list[str]:
        return list(self.runs)

    @cached_property
    def scores(self) -> np.ndarray:
        """[facts, names], each fact averaged over the finished seeds."""
        columns = [self.outcomes.over_seeds(runs) for runs in self.runs.values()]
        return np.stack(columns, axis=1) if columns else np.empty((len(self.outcomes.facts), 0))

    def places(self) -> Iterator[tuple[str, str, list[np.ndarray]]]:
        """Domain by level, and both means, with the facts of each (`Outcomes.strata`), where every level that counts holds some."""
        if self.runs:
            yield from (place for place in self.outcomes.strata() if all(group.any() for group in place[2]))

    def right_before(self) -> Iterator[tuple[str, np.ndarray]]:
        """Of each domain the facts that the untouched model answered rightly, bool [facts], where there are any."""
        if BASE in self.runs:
            right = self.outcomes.correct(self.runs[BASE][0]) > 0
            yield from ((domain, inside & right) for domain, inside in self.outcomes.domains() if (inside & right).any())

    def pairs(self) -> list[tuple[str, str]]:
        """What is tested against what: the recipe against plain tuning and each control, and plain tuning against itself."""
        title = next((name for name in self.names if not is_beside(name)), None)
        others = [name for name in self.names if name == PLAIN_TUNING or name.startswith(CONTROL)]
        against = [(title, name) for name in others] if title else []
        return against + ([(OTHER_SEEDS, PLAIN_TUNING)] if {OTHER_SEEDS, PLAIN_TUNING} <= self.runs.keys() else [])

    def by_seed(self, first: str, second: str) -> tuple[np.ndarray, int]:
        """First less second, [facts, seeds], of each pair of seeds that is finished; and how many pairs are missing."""
        compared = self.outcomes.trials.compared if self.outcomes.trials else {}
        planned = list(zip(compared[first], compared[second], strict=True))
        pairs = [(one, other) for one, other in planned if one in self.outcomes.runs and other in self.outcomes.runs]
        apart = [self.outcomes.correct(one) - self.outcomes.correct(other) for one, other in pairs]
        return np.stack(apart, axis=1) if apart else np.empty((len(self.outcomes.facts), 0)), len(planned) - len(pairs)


def is_beside(name: str) -> bool:
    """Whether it is not the recipe itself."""
    return name in (BASE, PLAIN_TUNING, OTHER_SEEDS) or name.startswith(CONTROL)


def effect(outcomes: Outcomes) -> pd.DataFrame:
    """Test accuracy of everything that is compared: EFFECT, a row for each domain, level (and both kinds of mean) and setting.

    Intervals as in `amount.curve`. Places where a level has no facts are missing (METHOD 8.11).
    """
    sides, rows = _Sides.of(outcomes), []
    for domain, level, groups in sides.places():
        scores = [sides.scores[group] for group in groups]
        resamples = Resamples(scores)
        for at, (name, runs) in enumerate(sides.runs.items()):
            if level == MACRO:
                estimate = Estimate(float(resamples.means[at]), *resamples.interval(at))
            else:
                estimate = mean_interval(scores[0][:, at], len(runs), resamples.drawn[:, at])
            per_seed = [float(np.mean([outcomes.correct(run)[group].mean() for group in groups])) for run in runs]
            facts = sum(map(len, scores))
            rows.append((outcomes.model, domain, level, name, _examples(outcomes, runs), facts, len(runs), *estimate, per_seed))
    return pd.DataFrame(rows, columns=list(EFFECT))


def claims(outcomes: Sequence[Outcomes]) -> pd.DataFrame:
    """Every paired comparison: CLAIMS, a row for each domain, level (and both means), measure and pair of settings, of all models.

    `difference` is `setting` less `against` on the same facts, the mean over paired seeds. Its interval is over facts and seeds
    (`intervals.two_way`): low and high are as wide as the level at which Holm's procedure over all rows tests it, and `p` is of the same
    standard error and degrees of freedom; of one seed p is 1. `per_seed` are the differences of paired seeds, `missing` the pairs that
    are not finished; where none is, there is no row. `verdict` is yes or no where the interval lies on one side of 0, no pair is missing,
    all of two or more seeds lie on that side, too, and the interval lies beyond chance as plain tuning with other seeds shows it
    (`chance_reach`): three seeds may agree by chance, and the interval is then too narrow.
    """
    rows: list[tuple[Any, ...]] = []
    tests: list[Difference] = []
    for part in outcomes:
        sides = _Sides.of(part)
        places = [(domain, level, ACCURACY, groups) for domain, level, groups in sides.places()]
        places += [(domain, NATURAL, FORGOTTEN, [right]) for domain, right in sides.right_before()]
        pairs = {pair: seeds for pair in sides.pairs() if (seeds := sides.by_seed(*pair))[0].size}
        for domain, level, measured, groups in places:
            sign = 1 if measured == ACCURACY else -1
            for (first, second), (apart, missing) in pairs.items():
                differences = [sign * apart[group] for group in groups]
                per_seed = np.mean([group.mean(axis=0) for group in differences], axis=0).tolist()
                tests.append(crossed_difference(differences))
                rows.append((part.model, domain, level, measured, first, second, len(per_seed), missing, per_seed))
    told, tested = [], corrected(tests)
    by_chance = {  # place -> how far chance reaches
        tuple(row[:4]): chance_reach(test.value, test.low, test.high)
        for row, test in zip(rows, tested, strict=True)
        if row[4] == OTHER_SEEDS
    }
    for (*about, seeds_done, missing, per_seed), test in zip(rows, tested, strict=True):
        numbers = (test.facts, test.least, seeds_done, missing, test.value, test.low, test.high, test.p, test.p_holm)
        reach = by_chance.get(tuple(about[:4]), 0.0) if about[4] != OTHER_SEEDS else 0.0
        verdict = OPEN if test.low <= reach and test.high >= -reach else _verdict(test, per_seed, missing)
        told.append((*about, *numbers, per_seed, verdict))
    return pd.DataFrame(told, columns=list(CLAIMS))


def chance_reach(difference: float, low: float, high: float) -> float:
    """How far from 0 chance reaches, by the comparison of plain tuning with itself: the difference that other seeds showed or, where the
    test calls even that one (the interval leaves out 0), the interval's far end."""
    return abs(difference) if low <= 0 <= high else max(abs(low), abs(high))


def _verdict(test: Difference, per_seed: Sequence[float], missing: int) -> str:
    """By the fixed rule; `corrected` has said already what the interval alone says, and that 30 facts are too few."""
    if missing or len(per_seed) < LEAST_SEEDS:
        return OPEN
    if test.verdict == BETTER and all(value > 0 for value in per_seed):
        return YES
    return NO if test.verdict == WORSE and all(value < 0 for value in per_seed) else OPEN


def forgetting(outcomes: Outcomes) -> pd.DataFrame:
    """Facts right before and wrong after: FORGETTING, a row for each domain and setting.

    `facts` are those that the untouched model answers rightly, `forgotten` the share of them that is wrong afterwards, with its 95%
    interval; `learned` is the share of the other facts that is right afterwards.
    """
    sides, rows = _Sides.of(outcomes), []
    inside_of = dict(outcomes.domains())
    for domain, right in sides.right_before():
        wrong, lost = inside_of[domain] & ~right, 1 - sides.scores[right]
        drawn = Resamples([lost]).drawn
        for at, (name, runs) in enumerate(sides.runs.items()):
            if name == BASE:
                continue
            per_seed = [float(1 - outcomes.correct(run)[right].mean()) for run in runs]
            learned = float(sides.scores[wrong, at].mean()) if wrong.any() else None
            estimate = mean_interval(lost[:, at], len(runs), drawn[:, at])
            rows.append((outcomes.model, domain, name, int(right.sum()), len(runs), *estimate, learned, per_seed))
    return pd.DataFrame(rows, columns=list(FORGETTING))


def cost(outcomes: Outcomes) -> pd.DataFrame:
    """Seconds of training (all of a recipe's stages) and of everything (choosing examples, training, answers): COST, a row a setting.

    Means over seeds, and ratios to plain tuning; `seed_ratios` are those of the training of paired seeds. The seconds are those of the
    machine and the hour in which a cell was made: a cell that another study made may come from elsewhere.
    """
    sides, rows = _Sides.of(outcomes), []
    plain = [outcomes.runs[run].numbers for run in sides.runs.get(PLAIN_TUNING, ())]
    for name, runs in sides.runs.items():
        cells = [outcomes.runs[run] for run in runs]
        if name == BASE or not all({"train_s", "seconds"} <= cell.numbers.keys() for cell in cells):
            continue
        train_s, all_s = (float(np.mean([cell.numbers[key] for cell in cells])) for key in ("train_s", "seconds"))
        ratios = [_ratio(train_s, plain, "train_s"), _ratio(all_s, plain, "seconds")]
        seeds = _seed_ratios(cells, plain) if name != OTHER_SEEDS else []
        rows.append((outcomes.model, name, _examples(outcomes, runs), len(runs), train_s, all_s, *ratios, seeds))
    return pd.DataFrame(rows, columns=list(COST))


def _ratio(value: float, plain: Sequence[Mapping[str, float]], key: str) -> float | None:
    base = [numbers[key] for numbers in plain if numbers.get(key)]
    return value / float(np.mean(base)) if base and len(base) == len(plain) else None


def _seed_ratios(cells: Sequence[Cell], plain: Sequence[Mapping[str, float]]) -> list[float]:
    """Of the training; empty unless both have the same number of seeds."""
    if len(cells) != len(plain) or not all(numbers.get("train_s") for numbers in plain):
        return []
    return [cell.numbers["train_s"] / numbers["train_s"] for cell, numbers in zip(cells, plain, strict=True)]


def _examples(outcomes: Outcomes, runs: Sequence[TrainSettings]) -> float:
    """That were really trained on: the mean over seeds."""
    return float(np.mean([outcomes.runs[run].n for run in runs]))


# ---- the recipe's own tables ----
def by_level(outcomes: Outcomes) -> pd.DataFrame:
    """A recipe's own tables of facts by their memory level: BY_LEVEL, a row for each numeric or yes-no column and level.

    `mean` is over the rows of all seeds, `per_seed` each seed's own mean; `share`: whether the column says yes or no, so that the mean is
    the share of yes.
    """
    labels, rows = outcomes.scheme.labels, []
    for name, tables in _own(outcomes).items():
        if "fact_id" not in next(iter(tables.values())):
            continue
        all_seeds = pd.concat([table.assign(seed=seed) for seed, table in tables.items()], ignore_index=True)
        level = all_seeds["level"].map(dict(enumerate(labels))).fillna(UNKNOWN_LEVEL)
        for column in all_seeds.columns.drop(["seed", "level", "fact_id"]):
            if not pd.api.types.is_numeric_dtype(all_seeds[column]):  # as plain numbers: yes is 1, what is missing is left out
                continue
            values, share = all_seeds[column].astype("float64"), pd.api.types.is_bool_dtype(all_seeds[column])
            for label in (*labels, UNKNOWN_LEVEL):
                own = values[(level == label) & values.notna()]
                if len(own):
                    seeds = own.groupby(all_seeds["seed"]).mean().tolist()
                    rows.append((outcomes.model, name, column, share, label, len(own), len(seeds), float(own.mean()), seeds))
    return pd.DataFrame(rows, columns=list(BY_LEVEL))


def own_rows(outcomes: Outcomes) -> pd.DataFrame:
    """A recipe's own tables that are not of facts (rounds, stages, clients), one value a row: OWN_ROWS; at most MOST_ROWS of each."""
    rows = []
    for name, tables in _own(outcomes).items():
        for seed, table in tables.items():
            if "fact_id" not in table:
                for at, row in enumerate(table.head(MOST_ROWS).to_dict("records")):
                    rows += [(outcomes.model, name, seed, at, str(column), _shown(value)) for column, value in row.items()]
    return pd.DataFrame(rows, columns=list(OWN_ROWS))


def _shown(value: Any) -> str | None:
    """A value as text, since a column holds values of all kinds."""
    if isinstance(value, float):
        return None if np.isnan(value) else f"{value:.6g}"
    return ", ".join(map(str, value)) if isinstance(value, list | np.ndarray) else str(value)


def _own(outcomes: Outcomes) -> dict[str, dict[int, pd.DataFrame]]:
    """Table's name -> seed -> table."""
    found: dict[str, dict[int, pd.DataFrame]] = {}
    for run, tables in (outcomes.trials.tables if outcomes.trials else {}).items():
        for name, table in tables.items():
            found.setdefault(name, {})[run.seed] = table
    return found
