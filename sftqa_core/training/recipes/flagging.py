"""Heavy: how much a model doubts the object that a fact comes with. It is given that object, and is never told whether it is right.

By likelihood: P(object) as the immediate continuation, the mean over the first statements of the relation, against the most probable of the
relation's other objects. By yes or no: P(No) against P(Yes) when it is asked whether the object is right, after other facts that were asked
so, with their object or with another one.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sftqa_core.engine import capacity, drawing
from sftqa_core.engine.decoder import packs
from sftqa_core.engine.next_tokens import likelihoods
from sftqa_core.knowledge.matching import same_name
from sftqa_core.knowledge.relations import statement_prompts
from sftqa_core.memory.estimating import Likelihood, Question
from sftqa_core.models.loading import LINE_BREAK, LoadedModel, continuation
from sftqa_core.progress import Phase
from sftqa_core.training.encoding import ExamplePool, asking, encode_prompt
from sftqa_core.training.recipes.answering import fitting
from sftqa_core.training.recipes.stages import Stages

STATEMENTS = 3  # of a relation's templates
ALTERNATIVES = 100  # objects of a relation that a given one is compared with
YES, NO = "Yes", "No"
_LEAST = 1e-300  # beside a probability whose logarithm is taken
_FACTS = 16  # read together; progress is told after them
_TEXTS = 256  # prompts with an object that are one forward pass


def by_likelihood(stages: Stages, objects: dict[str, list[str]]) -> pd.DataFrame:
    """fact_id, alternative, ratio (natural logarithm; minus infinity without an alternative) of the stages' examples.

    `objects`: a relation's, the commonest first. Another name of the given object is no alternative.
    """
    facts, asked = stages.examples.to_dict("records"), []
    for fact in facts:
        given = fact["answers"][0]
        same = {same_name(name) for name in stages.aliases.expand([given])}
        names = [given, *[name for name in objects[fact["relation"]] if same_name(name) not in same][:ALTERNATIVES]]
        statements = statement_prompts(stages.source.relations[fact["relation"]], fact["subject"], fact["question"])[:STATEMENTS]
        asked.append((statements, names))
    rows: list[tuple[str, str | None, float]] = []
    phase = Phase(stages.reporter, "flags", len(facts), "facts")
    for fact, (_, names), chances in zip(facts, asked, chances_of(stages.loaded, asked), strict=True):
        best = 1 + int(chances[1:].argmax()) if len(names) > 1 else None
        ratio = -np.inf if best is None else float(np.log(chances[best] + _LEAST) - np.log(chances[0] + _LEAST))
        rows.append((fact["fact_id"], None if best is None else names[best], ratio))
        phase.advance(1)
    return pd.DataFrame(rows, columns=["fact_id", "alternative", "ratio"]).astype({"ratio": float})


def chances_of(loaded: LoadedModel, asked: Sequence[tuple[list[str], list[str]]]) -> Iterator[NDArray[np.float64]]:
    """Of each (prompts, names): P(name) as what follows a prompt at once, the mean over the prompts: [names].

    A model that can't be read in packed form is read a text at a time.
    """
    packed, ids = packs(loaded), {name: _ids(loaded, name) for _, names in asked for name in names}
    for at in range(0, len(asked), _FACTS):
        some = [([encode_prompt(loaded, prompt) for prompt in prompts], names) for prompts, names in asked[at : at + _FACTS]]
        chances = [np.zeros((len(prompts), len(names))) for prompts, names in some]
        if packed:
            questions = (
                Question(f"{fact} {place}", template, prompt, (ids[name],))
                for fact, (prompts, names) in enumerate(some)
                for template, prompt in enumerate(prompts)
                for place, name in enumerate(names)
            )
            with drawing.naming(loaded):
                for batch in Likelihood(loaded, _TEXTS).estimate(questions, 1.0):
                    for key, template, chance in batch:
                        fact, place = map(int, key.split())
                        chances[fact][template, place] = chance
        else:
            for fact, (prompts, names) in enumerate(some):
                for template, prompt in enumerate(prompts):
                    read = likelihoods(loaded, prompt, [ids[name] for name in names])
                    chances[fact][template] = np.exp([sum(one.tokens) for one in read])
        yield from (each.mean(axis=0) for each in chances)


def _ids(loaded: LoadedModel, name: str) -> tuple[int, ...]:
    return tuple(continuation(loaded.tokenizer, LINE_BREAK, f" {name.strip()}"))


def by_yes_or_no(stages: Stages, objects: dict[str, Counter[str]], shots: int) -> pd.DataFrame:
    """fact_id, alternative (null), ratio of the stages' examples; `shots` facts of the pool stand in front, half of them with a wrong
    object."""
    loaded, run, facts = stages.loaded, stages.run, stages.examples
    asked, pool, window = asking(loaded, run.prompt), ExamplePool(stages.pool, run.seed), capacity.window_of(stages.loaded)
    replies = [example.ids[example.prompt_length : -1] for example in (asked.example("x?", reply) for reply in (YES, NO))]
    phase = Phase(stages.reporter, "flags", len(facts), "facts")
    rows: list[tuple[str, None, float]] = []
    for fact in facts.to_dict("records"):
        shown = _shown(fact, pool, sorted(objects[fact["relation"]]), shots, run.seed)
        ids = fitting(asked, doubting(fact["question"], fact["answers"][0]), shown, window, max(map(len, replies)))
        yes, no = (sum(one.tokens) for one in likelihoods(loaded, ids, replies))
        rows.append((fact["fact_id"], None, no - yes))
        phase.advance(1)
    return pd.DataFrame(rows, columns=["fact_id", "alternative", "ratio"]).astype({"ratio": float})


def doubting(question: str, name: str) -> str:
    """The question whether this is the answer."""
    return f"{question} Is it {name}?"


def _shown(fact: dict[Any, Any], pool: ExamplePool, objects: list[str], shots: int, seed: int) -> list[tuple[str, str]]:
    """Facts of the pool, every second one with a wrong object, in an order by chance, so that neither reply is always the last."""
    draw, shown = random.Random(f"{seed} {fact['fact_id']} yes or no"), []
    for place, (question, right) in enumerate(pool.draw(fact["fact_id"], fact["relation"], fact["question"], shots)):
        others = [name for name in objects if same_name(name) != same_name(right)]
        wrong = place % 2 and others
        shown.append((doubting(question, draw.choice(others) if wrong else right), NO if wrong else YES))
    draw.shuffle(shown)
    return shown
