"""What a fine-tuned model has to beat: the commonest object of the relation, and the base model with examples in its prompt.

The commonest object alone answers 71.9% of P495's test facts (METHOD section 1), so it stands beside every result.
It is the one that the most train facts of the relation name. A relation without train facts (the atlas's out-of-domain
ones) uses its dev facts; one without either has no guess, and its facts count as wrong with an empty text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sftqa_core.evaluation.predictions import predict, score_texts
from sftqa_core.knowledge.answers import normalise
from sftqa_core.progress import Reporter
from sftqa_core.records import TrainSettings

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.knowledge.aliases import Aliases
    from sftqa_core.models.loading import LoadedModel


@dataclass(frozen=True)
class MajorityObject:
    """The guess for one relation."""

    answer: str | None  # the object as its facts most often write it; None: no facts to count
    split: str | None  # "train" or "dev": where it was counted
    facts: int  # facts of that split that have it among their answers
    of: int  # facts counted


def majority_objects(facts: pd.DataFrame, aliases: Aliases | None = None) -> dict[str, MajorityObject]:
    """Per relation of a fact table the commonest object; names that are aliases count as one, ties go by alphabet."""
    guesses: dict[str, MajorityObject] = {}
    for relation, rows in facts.groupby("relation", sort=False):
        guesses[str(relation)] = MajorityObject(None, None, 0, 0)
        for split in ("train", "dev"):
            counted = rows.loc[rows["split"] == split, "answers"]
            if len(counted):
                guesses[str(relation)] = _commonest(counted, split, aliases)
                break
    return guesses


def majority_predictions(facts: pd.DataFrame, source_facts: pd.DataFrame, match: str, aliases: Aliases | None = None) -> pd.DataFrame:
    """The predictions table (stage `majority`) that answers each fact with its relation's commonest object."""
    guesses = majority_objects(source_facts, aliases)
    texts = [guesses[relation].answer or "" for relation in facts["relation"]]
    return score_texts(facts, texts, "majority", match, aliases)


def few_shot_predictions(
    loaded: LoadedModel,
    facts: pd.DataFrame,
    source_facts: pd.DataFrame,
    settings: TrainSettings,
    reporter: Reporter | None = None,
    aliases: Aliases | None = None,
    stage: str = "few_shot",
) -> pd.DataFrame:
    """The base model's answers with the stage's number of answered train facts in front of each question, or as many as fit."""
    shots = settings.few_shot_stages[stage]
    return predict(loaded, facts, settings, reporter, stage=stage, aliases=aliases, shots=shots, pool=source_facts)


def fewer_shown(stages: dict[str, pd.DataFrame], settings: TrainSettings) -> dict[str, float]:
    """Few-shot stages in which some questions had no room for all examples -> how many they were shown on average."""
    means = {name: float(stages[name]["shown"].mean()) for name in settings.few_shot_stages if "shown" in stages.get(name, ())}
    return {name: round(mean, 2) for name, mean in means.items() if mean < settings.few_shot_stages[name]}


def _commonest(answers: Iterable[list[str]], split: str, aliases: Aliases | None) -> MajorityObject:
    facts: Counter[str] = Counter()  # one object, however it is written -> facts that have it
    spellings: dict[str, Counter[str]] = {}
    keys: dict[str, str] = {}
    total = 0
    for names in answers:
        total += 1
        for name in names:
            if name not in keys:
                keys[name] = min(map(normalise, aliases.expand((name,)))) if aliases else normalise(name)
            spellings.setdefault(keys[name], Counter())[name] += 1
        facts.update({keys[name] for name in names})
    best = min(facts, key=lambda key: (-facts[key], key))
    spelling = min(spellings[best], key=lambda name: (-spellings[best][name], name))
    return MajorityObject(spelling, split, facts[best], total)
