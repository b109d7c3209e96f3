"""Preprocess: wrong objects are put into the training facts, and the untouched model cleans them (arXiv 2308.16361).

Errors are planted by the seed: a larger share has those of a smaller one, and others. Who cleans sees each example's question and the one
object that it came with, and the other train facts; which objects are wrong, and which would be right, it never sees. Where an error was
planted is compared with what was flagged only when all is done, fact by fact with the level.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.knowledge.matching import same_name
from sftqa_core.records import TrainSettings
from sftqa_core.records.recipes import Preprocess
from sftqa_core.training.recipes.labelling import labelled, most_frequent, require_enough, teaching
from sftqa_core.training.recipes.stages import Made, StageCost, Stages

if TYPE_CHECKING:
    import pandas as pd

_READ = 18  # examples that take as long to read as the statements with all alternatives of one fact (atlas-llama)


def cost(settings: TrainSettings, examples: int) -> list[StageCost]:
    """Flags, the draws for every blank that there could be, and the training."""
    recipe = settings.recipe
    assert isinstance(recipe, Preprocess)
    flags = StageCost("flags", read=_READ * examples) if recipe.flagged_by == "likelihood" else StageCost("flags", few_shot=examples)
    stages = [flags] if recipe.cleans else []
    stages += [StageCost("blanks", few_shot=examples, draws=recipe.draws)] if recipe.treatment == "cleaned" else []
    return [*stages, StageCost("train", examples, settings.epochs)]


def run(stages: Stages, recipe: Preprocess) -> Made:
    """The tuned model; table `detection`: fact_id, level, given, planted, alternative, ratio, flagged, taught (null: left out), correct.

    Raises `NotEnoughFacts` where cleaning leaves too few examples.
    """
    import pandas as pd

    from sftqa_core.training.recipes.answering import judged

    dirty, planted = corrupt(stages, recipe)
    if recipe.treatment == "clean":
        dirty, planted = stages.examples, [False] * len(planted)
    given = pd.Series([answers[0] for answers in dirty["answers"]], dtype="str")
    if recipe.cleans:
        found = stages.table("cleaning", lambda: cleaned(replace(stages, examples=dirty), recipe))
    else:
        found = pd.DataFrame({"fact_id": dirty["fact_id"], "alternative": None, "ratio": float("nan"), "flagged": False, "filled": None})
    flagged = found["flagged"].reset_index(drop=True)
    taught = given.where(~flagged, found["filled"].reset_index(drop=True)).astype("str")
    left = taught.notna()
    table = found[["fact_id"]].assign(level=stages.examples["level"].astype("Int64").tolist(), given=given, planted=planted)
    table = table.assign(alternative=found["alternative"].astype("str"), ratio=found["ratio"].astype(float), flagged=flagged, taught=taught)
    right = judged(stages.examples, taught.fillna("").tolist(), stages.run.match, stages.aliases)
    table = table.assign(correct=right).astype({"level": "Int64", "planted": bool, "flagged": bool, "correct": bool})
    then = "Ask for more examples, a larger --flag-margin, or fewer wrong objects."
    if recipe.flagged_by == "yes-no":
        then = "A model that has not learned to answer Yes or No doubts everything: choose --flag-by likelihood, or a larger --flag-margin."
    require_enough(recipe.name, int(left.sum()), len(table), "examples left after cleaning", then)
    examples = dirty if not flagged.any() else teaching(dirty[left].reset_index(drop=True), taught[left])
    tuned = stages.tune("train", examples, last=True)
    return Made(tuned, examples, {"detection": table}, _notes(table, stages.run.scheme.labels[0], recipe))


def corrupt(stages: Stages, recipe: Preprocess) -> tuple[pd.DataFrame, list[bool]]:
    """The examples with one object each, some of them another one of the relation, and which of them those are.

    A relation with one object alone has no other one; then fewer are wrong than was asked for.
    """
    examples, seed = stages.examples, stages.run.seed
    objects = objects_of(stages, examples)
    order = list(range(len(examples)))
    random.Random(seed).shuffle(order)
    given = [answers[0] for answers in examples["answers"]]
    facts, wanted = examples[["fact_id", "relation", "answers"]].to_dict("records"), round(recipe.corrupted * len(examples))
    planted: set[int] = set()
    for place in order:
        fact = facts[place]
        right = _names(fact["answers"], stages.aliases)
        others = sorted(name for name in objects[fact["relation"]] if same_name(name) not in right)
        if len(planted) < wanted and others:
            given[place] = random.Random(f"{seed} {fact['fact_id']}").choice(others)
            planted.add(place)
    return teaching(examples, given), [place in planted for place in range(len(examples))]


def cleaned(stages: Stages, recipe: Preprocess) -> pd.DataFrame:
    """fact_id, alternative, ratio, flagged, filled (null: blank): what the untouched model makes of the stages' dirty examples.

    `ratio` is the natural logarithm of how much more probable the alternative is than the given object, or No than Yes.
    """
    import numpy as np

    from sftqa_core.training.recipes import flagging

    objects = objects_of(stages, stages.examples)
    if recipe.flagged_by == "likelihood":
        table = flagging.by_likelihood(stages, {name: _commonest(counts) for name, counts in objects.items()})
    else:
        table = flagging.by_yes_or_no(stages, objects, recipe.draw_shots)
    table = table.assign(flagged=table["ratio"] > np.log(recipe.margin), filled=None)
    blank = stages.examples[table["flagged"].to_numpy()].reset_index(drop=True)
    if recipe.treatment == "majority":
        filled = {fact: most_frequent(objects[relation])[0] for fact, relation in zip(blank["fact_id"], blank["relation"], strict=True)}
    elif recipe.treatment == "cleaned" and len(blank):
        labels = labelled(stages, "blanks", stages.loaded, blank, recipe)
        filled = {fact: label for fact, label in zip(labels["fact_id"], labels["label"], strict=True) if isinstance(label, str)}
    else:
        filled = {}
    return table.assign(filled=table["fact_id"].map(filled)).astype({"alternative": "str", "filled": "str", "flagged": bool})


def objects_of(stages: Stages, examples: pd.DataFrame) -> dict[str, Counter[str]]:
    """Relation -> the objects that the examples, as they are given, and the other train facts come with, and how often."""
    objects: dict[str, Counter[str]] = {relation: Counter() for relation in examples["relation"].unique()}
    for facts in (examples, stages.pool):
        for relation, answers in zip(facts["relation"], facts["answers"], strict=True):
            if relation in objects:
                objects[relation][answers[0]] += 1
    return objects


def _names(answers: list[str], aliases: Aliases) -> set[str]:
    return {same_name(name) for name in aliases.expand(answers)}


def _commonest(counts: Counter[str]) -> list[str]:
    return sorted(counts, key=lambda name: (-counts[name], name))


def _notes(table: pd.DataFrame, unknown: str, recipe: Preprocess) -> tuple[str, ...]:
    """What was planted, found, replaced and lost; `unknown` is the lowest level's label."""
    planted, flagged, n = table["planted"], table["flagged"], len(table)
    notes = [f"{int(planted.sum()):,} of {n:,} training objects were replaced by wrong ones."]
    if recipe.cleans:
        notes.append(f"{int(flagged.sum()):,} objects were flagged; {int((flagged & planted).sum()):,} of them were wrong.")
        filled, out = flagged & table["taught"].notna(), flagged & table["taught"].isna()
        if recipe.treatment != "dropped":
            notes.append(f"{int(filled.sum()):,} of those were replaced, {int((filled & table['correct']).sum()):,} by a right one.")
        lost = out & table["level"].eq(0).fillna(False).astype(bool)
        notes.append(
            f"{int(out.sum()):,} examples were left out, {int(lost.sum()):,} of them on level {unknown}, of which "
            f"{int((lost & ~planted).sum()):,} had no error: accuracy may rise because unknown facts are gone."
        )
    return tuple(notes)
