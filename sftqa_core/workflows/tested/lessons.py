"""What the lesson reads of finished runs: accuracy against the number of examples, whether a guess holds, facts to guess at. No torch.

A guess names a number of examples that is enough. It holds where no larger number that was tried answers more of the same facts rightly,
as far as can be told: McNemar's exact test of every pair of numbers, on the facts as they come, corrected together (METHOD 8.9).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from sftqa_core.errors import SettingsError
from sftqa_core.evaluation import comparing
from sftqa_core.evaluation.intervals import wilson
from sftqa_core.records import MeanAccuracy, PairTest
from sftqa_core.records.comparison import MICRO
from sftqa_core.workflows.tested.tested_models import Tested, tested_models

if TYPE_CHECKING:
    from sftqa_core.memory.profiles import Profile

HOLDS, TOO_FEW, TOO_MANY, OPEN = "enough", "too few", "fewer would do", "cannot tell"


@dataclass(frozen=True)
class Sizes:
    """Runs that differ in their number of examples, on the facts of one domain that all were asked."""

    facts: int
    accuracy: dict[int, MeanAccuracy]  # number of examples, ascending, 0 for the base model -> micro average with Wilson's interval
    tests: tuple[PairTest, ...]  # each number against each smaller one, labels are the numbers

    def judge(self, guess: int, tried: Sequence[int]) -> tuple[str, PairTest | None]:
        """Whether `guess` examples are enough, and the test that decides it: HOLDS, TOO_FEW, TOO_MANY or OPEN.

        `tried`: the numbers that a claim has to be held against. OPEN where one of them has no result yet, or facts are too few.
        """
        against = {(test.run, test.against): test for test in self.tests}
        larger = [against.get((str(n), str(guess))) for n in tried if n > guess]
        better = [test for test in larger if test is not None and test.verdict == comparing.BETTER]
        if better:
            return TOO_FEW, better[-1]
        smaller = [against.get((str(guess), str(n))) for n in tried if n < guess]
        if any(test is None or test.verdict == comparing.FEW for test in (*larger, *smaller)):
            return OPEN, None
        for n in (n for n in tried if n < guess):  # a smaller one that is beaten by another of them would not do
            beaten = [
                test for more in tried if more > n and (test := against.get((str(more), str(n)))) and test.verdict == comparing.BETTER
            ]
            if not beaten:
                return TOO_MANY, against[str(guess), str(n)]
        return HOLDS, larger[-1] if larger else smaller[-1] if smaller else None


def compare_sizes(names: Sequence[str], domain: str = "in") -> Sizes:
    """Runs or cells of these names by their number of examples, and the base model as 0 where its answers are kept.

    Raises `SettingsError` where two have the same number, `NotFound` for a name that is none.
    """
    models = sorted(tested_models(names), key=lambda model: model.settings.n)
    numbers = [model.settings.n for model in models]
    if len(set(numbers)) < len(numbers):
        raise SettingsError(f"Each number of examples may come once, got {', '.join(map(str, numbers))}.")
    if not models:
        return Sizes(0, {}, ())
    common = comparing.facts_in_common([model.facts for model in models])
    inside = (common.facts["domain"] == domain).to_numpy()
    answers = _base_answers(models[0], common.places[0][inside]) if numbers[0] else {}
    for model, rows in zip(models, common.places, strict=True):
        answers[model.settings.n] = model.facts["correct"].to_numpy()[rows[inside]].astype(bool)
    return Sizes(int(inside.sum()), {n: _accuracy(right) for n, right in answers.items()}, _tests(answers, domain))


def _base_answers(model: Tested, rows: np.ndarray) -> dict[int, np.ndarray]:
    answers = model.facts["base_correct"].to_numpy()[rows]
    return {} if any(answer is None or answer != answer for answer in answers) else {0: answers.astype(bool)}


def _accuracy(right: np.ndarray) -> MeanAccuracy:
    facts, correct = len(right), int(right.sum())
    return MeanAccuracy(MICRO, facts, correct / facts, *wilson(correct, facts)) if facts else MeanAccuracy(MICRO, 0, None, None, None)


def _tests(answers: dict[int, np.ndarray], domain: str) -> tuple[PairTest, ...]:
    pairs = [(large, small) for small, large in combinations(answers, 2) if len(answers[small])]
    told = comparing.corrected([comparing.single_difference(answers[large], answers[small]) for large, small in pairs])
    return tuple(
        PairTest(str(large), str(small), domain, MICRO, one.facts, one.value, one.low, one.high, one.test, one.only_first, one.only_second,
                 one.p, one.p_holm, one.verdict)
        for (large, small), one in zip(pairs, told, strict=True)
    )  # fmt: skip


def facts_of_levels(profile: Profile, levels: Sequence[int], seed: int = 0) -> list[str]:
    """Ids of facts at these levels, one each, drawn without repetition: the same ones for everybody who asks for the same levels.

    Echo facts are left out, whose answer stands in the question; so is a level of which no fact is left.
    """
    table = profile.table
    known = table[table["level"].notna() & ~table["echo"].astype(bool)].sort_values("fact_id")
    draw = random.Random(seed)
    left = {level: known.loc[known["level"] == level, "fact_id"].tolist() for level in set(levels)}
    return [left[level].pop(draw.randrange(len(left[level]))) for level in levels if left.get(level)]


def quiz(profile: Profile, rounds: int, seed: int = 0) -> list[str]:
    """Ids of `rounds` facts whose levels are to be guessed: each level is as likely as any other, whatever its share of the facts."""
    draw = random.Random(seed)
    return facts_of_levels(profile, [draw.randrange(len(profile.scheme.labels)) for _ in range(rounds)], seed)
