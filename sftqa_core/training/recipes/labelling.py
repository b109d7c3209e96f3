"""A model's own label for a question: the most frequent of the answers that it draws.

Nothing here is told what the right answer is: the table of drawn answers has a column that says it, which is never read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sftqa_core.errors import NotEnoughFacts
from sftqa_core.knowledge.matching import first_line, same_name
from sftqa_core.records.recipes.recipes_of_data import LEAST

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.models.loading import LoadedModel
    from sftqa_core.training.recipes.stages import Stages

CONFIDENT = 0.75  # share of the draws from which on a label is called confident (METHOD section 10)


def labelled(stages: Stages, name: str, model: LoadedModel, facts: pd.DataFrame, recipe: Any) -> pd.DataFrame:
    """fact_id, label, share: one row a fact, in order; the recipe says how answers are drawn and which share is enough.

    `label` is null where no answer has that share. Raises `NotEnoughFacts` where fewer facts than are shown are left to be shown.
    """
    import pandas as pd

    usable = int((~stages.pool["echo"]).sum())
    if usable < recipe.draw_shots:
        raise NotEnoughFacts(
            f"{recipe.draw_shots} answered questions are shown that are not among the {len(stages.examples):,} examples, but "
            f"only {usable:,} train facts are left for that. Ask for fewer examples, add relations, or show fewer (--draw-shots)."
        )
    drawn = stages.samples(name, model, facts, recipe.draws, recipe.draw_temperature, recipe.draw_shots)
    counts: dict[str, Counter[str]] = {fact: Counter() for fact in facts["fact_id"]}
    for fact, text, count in zip(drawn["fact_id"], drawn["text"], drawn["count"], strict=True):
        counts[fact][text] += count
    rows = [(fact, *most_frequent(texts)) for fact, texts in counts.items()]
    table = pd.DataFrame(rows, columns=["fact_id", "label", "share"]).astype({"label": "object", "share": float})
    kept = table["share"].ge(recipe.least_share) & table["label"].notna()
    return table.assign(label=table["label"].where(kept).astype("str"))


def most_frequent(texts: Counter[str]) -> tuple[str | None, float]:
    """The answer that most draws gave and its share of all draws; ties go to the shortest, then by alphabet. None without any answer.

    Spellings of one name count together, and the most frequent of them is the label. An empty answer is a draw, and no label.
    """
    names: dict[str, Counter[str]] = {}
    for text, count in texts.items():
        line = first_line(text).strip()
        if name := same_name(line):
            names.setdefault(name, Counter())[line] += count
    if not names:
        return None, 0.0
    votes = {name: spellings.total() for name, spellings in names.items()}
    best = min(votes, key=lambda name: (-votes[name], len(name), name))
    label = min(names[best], key=lambda line: (-names[best][line], len(line), line))
    return label, votes[best] / texts.total()


def teaching(examples: pd.DataFrame, answers: Iterable[str]) -> pd.DataFrame:
    """The examples with other answers to teach, one each."""
    taught: list[Any] = [[answer] for answer in answers]
    return examples.assign(answers=taught)


def require_enough(recipe: str, left: int, n: int, what: str, then: str) -> None:
    """Raise `NotEnoughFacts` unless enough examples are `left` of n; `what` says of which kind they are, `then` what to do."""
    if left < LEAST:
        raise NotEnoughFacts(f"Recipe {recipe} has {left:,} of {n:,} {what} and needs {LEAST}. {then}")
