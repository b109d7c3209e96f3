"""LLM2LLM: more examples where the model is wrong (arXiv 2403.15042).

Every round trains from the base on the seeds (the run's examples) and all additions so far, asks the seeds' questions greedily, and has a
teacher give one addition for each wrong one. Near-copies of anything taught before are refused. It ends when no seed is wrong, the
teacher has nothing new, or the rounds are used up; the last training is the run's model. What a seed's answer was is kept round by round,
and additions follow from it, so that a kill costs one training at most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sftqa_core.jsonrecord import digest
from sftqa_core.knowledge.near_copies import Library
from sftqa_core.records import TrainSettings
from sftqa_core.records.recipes import Llm2Llm
from sftqa_core.training.recipes.stages import Made, StageCost, Stages

if TYPE_CHECKING:
    import pandas as pd

NEAR_COPY = 0.95  # ROUGE-L's F with any text taught before, above which a new one is refused
REACH = 20  # train facts for each seed of a relation that may be probed to find some of its seeds' levels
AHEAD = 32  # of them at a time

Row = dict[Any, Any]  # of a fact table: column -> value


def cost(settings: TrainSettings, examples: int) -> list[StageCost]:
    """All rounds, as if half of the seeds were wrong in each; there are fewer where none is wrong any more."""
    recipe = settings.recipe
    assert isinstance(recipe, Llm2Llm)
    sizes = [examples + number * (examples // 2) for number in range(recipe.rounds)]
    names = [f"round-{number}" for number in range(1, recipe.rounds)] + ["final"]
    return [StageCost(name, size, recipe.round_epochs, answers=examples) for name, size in zip(names, sizes, strict=True)]


def run(stages: Stages, recipe: Llm2Llm) -> Made:
    """The last round's model; tables `rounds`, `seeds` (a row a seed and round) and `additions` (a row each)."""
    told = _Told()
    additions = _rounds(stages, recipe, told)
    if recipe.additions != "wrong":
        additions = _control(stages, recipe, [len(more) for more in additions])
    settings, examples = replace(stages.settings, epochs=recipe.round_epochs), together(stages.examples, additions)
    tuned = stages.tune("final", examples, settings=settings, last=True)
    if told.open or recipe.additions != "wrong":  # else it is the model of the last round, which was asked already
        told.asked(stages.examples, stages.answers("final", tuned.loaded, stages.examples), len(examples))
    return Made(tuned, examples, told.tables(stages.examples, additions), _notes(recipe, told, additions))


@dataclass
class _Told:
    """What happened, round by round."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    seeds: list[pd.DataFrame] = field(default_factory=list)  # with their answers
    open: bool = True  # whether additions came after the last answers

    def asked(self, seeds: pd.DataFrame, answers: pd.DataFrame, examples: int) -> None:
        """The seeds were asked after a training on so many examples."""
        number = len(self.rows) + 1
        wrong = int((~answers["correct"]).sum())
        self.rows.append({"round": number, "examples": examples, "wrong": wrong, "added": 0, "near_copies": 0})
        self.seeds.append(answers.assign(round=number, level=seeds["level"].tolist()))
        self.open = False

    def tables(self, seeds: pd.DataFrame, additions: list[pd.DataFrame]) -> dict[str, pd.DataFrame]:
        """`rounds`: round, examples, wrong, added, near_copies. `seeds`: fact_id, level, round, text, correct. `additions`: fact_id (of the
        seed), round (after which it was added), taught (whose fact), question, answer."""
        import pandas as pd

        asked = pd.concat(self.seeds, ignore_index=True)[["fact_id", "level", "round", "text", "correct"]].astype({"level": "Int64"})
        rows = [
            (seed, number, taught, question, answers[0])
            for number, more in enumerate(additions, start=1)
            for seed, taught, question, answers in zip(more["seed"], more["fact_id"], more["question"], more["answers"], strict=True)
        ]
        added = pd.DataFrame(rows, columns=["fact_id", "round", "taught", "question", "answer"])
        return {"rounds": pd.DataFrame(self.rows), "seeds": asked, "additions": added}


def together(seeds: pd.DataFrame, additions: list[pd.DataFrame]) -> pd.DataFrame:
    """What is trained on: the seeds, then the additions of each round."""
    import pandas as pd

    return pd.concat([seeds, *(more[seeds.columns] for more in additions)], ignore_index=True).astype({"level": "Int64"})


def _rounds(stages: Stages, recipe: Llm2Llm, told: _Told) -> list[pd.DataFrame]:
    """The additions of each round but the last, which has none."""
    seeds, settings = stages.examples, replace(stages.settings, epochs=recipe.round_epochs)
    teacher, additions = Teacher(stages, recipe), list[Any]()
    for number in range(1, recipe.rounds):
        examples, name = together(seeds, additions), f"round-{number}"
        answers = stages.table(name, _asking(stages, name, examples, settings))
        told.asked(seeds, answers, len(examples))
        wrong = seeds[~answers["correct"].to_numpy()]
        more = teacher.more(wrong, len(wrong))
        told.rows[-1] |= {"added": len(more), "near_copies": teacher.refused}
        if more.empty:
            break
        additions.append(more)
        told.open = True
    return additions


def _asking(stages: Stages, name: str, examples: pd.DataFrame, settings: TrainSettings) -> Callable[[], pd.DataFrame]:
    return lambda: stages.answers(name, stages.tune(name, examples, settings=settings).loaded, stages.examples)


def _control(stages: Stages, recipe: Llm2Llm, counts: list[int]) -> list[pd.DataFrame]:
    """As many additions a round, for seeds drawn at random or these seeds themselves."""
    import numpy as np

    seeds, teacher, additions = stages.examples, Teacher(stages, recipe), []
    draw = np.random.default_rng(int(digest(f"additions {stages.run.seed}"), 16))
    for count in counts:
        order = seeds.iloc[draw.permutation(len(seeds))]
        if recipe.additions == "again":
            additions.append(order.head(count).assign(seed=order["fact_id"].head(count)))
        else:
            additions.append(teacher.more(order, count))
    return additions


class Teacher:
    """Gives new examples for seeds: each offered once, none a near-copy of what was taught before."""

    def __init__(self, stages: Stages, recipe: Llm2Llm):
        self.stages, self.recipe, self.refused = stages, recipe, 0
        self._library = Library(NEAR_COPY)
        for question, answers in zip(stages.examples["question"], stages.examples["answers"], strict=True):
            self._library.add(f"{question} {answers[0]}")
        self._phrasings: dict[str, Iterator[Any]] = {}  # by seed
        self._facts: dict[str, _Facts] = {}  # by relation

    def more(self, seeds: pd.DataFrame, count: int) -> pd.DataFrame:
        """Up to `count` additions, one a seed at most, in the seeds' order: their columns, and `seed`. Sets `refused`, near-copies now."""
        import pandas as pd

        self.refused, rows = 0, list[Row]()
        for seed in seeds.to_dict("records"):
            if len(rows) == count:
                break
            for _ in range(self.recipe.attempts):
                offer = self._offer(seed)
                if offer is None:
                    break
                text = f"{offer['question']} {offer['answers'][0]}"
                if not self._library.holds_like(text):
                    self._library.add(text)
                    rows.append({**offer, "level": seed["level"], "seed": seed["fact_id"]})
                    break
                self.refused += 1
        return pd.DataFrame(rows, columns=[*seeds.columns, "seed"])

    def _offer(self, seed: Row) -> Row | None:
        if self.recipe.teacher == "phrasing":
            return next(self._phrasings.setdefault(seed["fact_id"], phrasings(self.stages, seed)), None)
        name = seed["relation"]
        if name not in self._facts:
            pool, known = self.stages.pool, self.stages.examples
            reach = REACH * int((known["relation"] == name).sum())
            self._facts[name] = _Facts(self.stages, pool[pool["relation"] == name].head(reach))
        return self._facts[name].next(int(seed["level"]))


def phrasings(stages: Stages, seed: Row) -> Iterator[Row]:
    """The seed's fact asked for by its relation's statements, cut where the object follows, in an order that hangs on the fact."""
    for statement in stages.statements(seed):
        yield {**seed, "question": f"{statement} ..."}


class _Facts:
    """Train facts of one relation by their level, in order, probed as far as they are asked for."""

    def __init__(self, stages: Stages, facts: pd.DataFrame):
        self._stages, self._facts, self._probed = stages, facts, 0
        self._waiting: dict[int, list[Row]] = {}

    def next(self, level: int) -> Row | None:
        """The next fact of a level; None where there is none in reach."""
        while not self._waiting.get(level) and self._probed < len(self._facts):
            some = self._facts.iloc[self._probed : self._probed + AHEAD]
            self._probed += len(some)
            levels = self._stages.levels(some).set_index("fact_id")["level"]
            for fact in some.to_dict("records"):
                self._waiting.setdefault(int(levels[fact["fact_id"]]), []).append(fact)
        return self._waiting[level].pop(0) if self._waiting.get(level) else None


def _notes(recipe: Llm2Llm, told: _Told, additions: list[pd.DataFrame]) -> tuple[str, ...]:
    first, last, added = told.rows[0], told.rows[-1], sum(len(more) for more in additions)
    notes = [
        f"{first['wrong']:,} training questions were answered wrongly in the first round, {last['wrong']:,} in the last ({last['round']}).",
        f"{added:,} additions; {sum(row['near_copies'] for row in told.rows):,} near-copies were refused.",
    ]
    if not last["wrong"]:
        notes.append("It ended because no training question was answered wrongly.")
    elif len(told.rows) < recipe.rounds and recipe.additions == "wrong":
        notes.append("It ended early because the teacher had nothing new for the wrong ones.")
    if recipe.additions == "random" and added < (wanted := sum(row["added"] for row in told.rows)):
        notes.append(f"The teacher had {added:,} random additions only, where the rounds made {wanted:,}.")
    return tuple(notes)
