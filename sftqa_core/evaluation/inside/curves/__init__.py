"""How facts are learned, step by step (METHOD 10.4): the model is read in the middle of its training. Loads torch when a model is read.

Watched are dev facts, as many of each memory level, and training examples. At each look the answer that is taught (the first one) is
given behind the question, in the run's prompt: how probable is it, and is each of its tokens the most probable one, so that greedy
decoding would begin with it ("fits")? The end token does not count. The untouched model is step 0.

Two tables are stored.

`watched`, a row a fact:
| column | type | meaning |
|---|---|---|
| fact_id | str | the fact |
| part | category | `train`, an example of the run, or `dev` |
| relation, domain | category | as in a fact table |
| level | Int8, null | memory level by the base model |
| tokens | int16 | of the answer |

`facts`, a row a fact and look, the looks at a fact together:
| column | type | meaning |
|---|---|---|
| fact | int16 | its row in `watched`: a third of the bytes that ids would take |
| step | int32 | of the optimizer; 0: the base model |
| logprob | float32 | log P(answer), natural logarithm, the sum over its tokens, to two digits behind the point |
| fits | bool | greedy decoding would begin with the answer |

**Cost.** A look reads each watched fact once, training reads each example and learns from it, which is worth three times reading
(forward and twice as much backward). As many looks are taken as are asked for and cost no more than the training, but never fewer
than `LEAST`, which make the shortest curve: in a training of few examples they take longer than it does. Facts are counted and not
their tokens, so that all seeds of a setting look at the same steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sftqa_core.evaluation.inside.kept_looks import VERSIONS
from sftqa_core.jsonrecord import fingerprint
from sftqa_core.progress import Phase, Reporter
from sftqa_core.records import TrainSettings
from sftqa_core.records.inside import InsideSettings
from sftqa_core.training.optimizers import training_steps

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.evaluation.inside.pair import Pair
    from sftqa_core.models.loading import LoadedModel
    from sftqa_core.training.watching import Observer

DEV, TRAIN = 200, 300  # facts that are watched, at most
LEAST = 5  # looks, where there are so many steps
_READ = 0.6  # of a question's tokens that are read: many begin alike (measured on atlas: 4,330 of 7,700)
_TRAINED = 3  # what training on a text costs, reading it being 1
_AT_ONCE = 128  # facts between two chances to stop


@dataclass(frozen=True)
class Cost:
    """What looking at a training asks of the machine, beside the training."""

    times: int  # looks during the training; the base model is read once more
    examples: float  # of training that all of that is worth


def cost(settings: TrainSettings, inside: InsideSettings, examples: int, dev: int) -> Cost:
    """Of a run on so many examples whose source has so many dev facts."""
    steps = training_steps(examples, settings.batch_size, settings.epochs)
    one = _READ * (min(dev, DEV) + min(examples, TRAIN)) / _TRAINED
    if not steps or not one:
        return Cost(0, one)
    affordable = int(examples * settings.epochs / one) - 1
    times = min(inside.looks, steps, max(LEAST, affordable))
    return Cost(times, one * (times + 1))


def watched(dev: pd.DataFrame, examples: pd.DataFrame) -> pd.DataFrame:
    """Rows of a fact table with `part`: the examples and the dev facts that are watched, none with the answer in its subject among the
    latter. Of dev facts as many of each level, those in-domain and out of it in turns; of any where no level is known."""
    import pandas as pd

    free = dev[~dev["echo"].astype(bool)]
    known = free[free["level"].notna()]
    chosen = known if len(known) else free
    levels = chosen["level"].astype("Int64").fillna(-1)
    turns = chosen.groupby([levels, chosen["domain"].astype(str)]).cumcount()  # rows have their relations in turns
    ordered = chosen.loc[turns.sort_values(kind="stable").index]
    some = ordered.groupby(levels).head(DEV // max(levels.nunique(), 1)).sort_index()
    parts = {"train": examples.head(TRAIN), "dev": some}
    columns = ["fact_id", "relation", "domain", "level", "question", "answers"]
    return pd.concat([rows[columns].assign(part=part) for part, rows in parts.items()], ignore_index=True)


def observer(
    base: LoadedModel, examples: pd.DataFrame, dev: pd.DataFrame, settings: TrainSettings, inside: InsideSettings, reporter: Reporter
) -> Observer:
    """What looks at the training (`TrainingRun.tune` takes it); `examples` and `dev` as in the `Pair` that `look` gets, dev facts with the
    same levels. The run is one plain training on one device. Raises `SettingsError` where a fact does not fit the model."""
    from sftqa_core.training.watching import Observer

    facts, planned = watched(dev, examples), cost(settings, inside, len(examples), len(dev))
    questions = _questions(base, facts, settings)
    steps = training_steps(len(examples), settings.batch_size, settings.epochs)
    fewer = f" ({inside.looks} asked for: so many would take longer than the training)" if planned.times < min(inside.looks, steps) else ""
    reporter.log(f"Learning curves: {len(facts):,} facts are read at {planned.times} steps{fewer}.")
    identity = {"curves": VERSIONS["curves"], "watched": fingerprint({"questions": [list(map(list, pair)) for pair in questions]})}
    return Observer(
        lambda model: _read(replace(base, model=model), questions), max(planned.times, 1), identity={**identity, "times": planned.times}
    )


def look(pair: Pair, settings: InsideSettings, reporter: Reporter, seen: dict[int, list[float]]) -> dict[str, pd.DataFrame]:
    """The tables `watched` and `facts`; `seen` is what the observer of the same examples and dev facts saw (`Observer.seen`).

    Raises `Stopped` while the base model is read, `ValueError` where other facts were seen.
    """
    facts = watched(pair.dev, pair.examples)
    phase = Phase(reporter, "curves", len(facts), "facts")
    questions = _questions(pair.base, facts, pair.settings)
    return tables({0: _read(pair.base, questions, phase.advance), **seen}, facts, [len(answer) for _, answer in questions])


def tables(seen: dict[int, list[float]], facts: pd.DataFrame, tokens: Sequence[int]) -> dict[str, pd.DataFrame]:
    """What was seen, as it is stored: of each step the facts' log-probabilities, then whether each fits."""
    import numpy as np
    import pandas as pd

    count, steps = len(facts), sorted(seen)
    if any(len(values) != 2 * count for values in seen.values()):
        raise ValueError(f"Curves of {count} facts need {2 * count} numbers a look, got {sorted({len(v) for v in seen.values()})}.")
    values = np.array([seen[step] for step in steps], dtype=np.float64).reshape(len(steps), 2, count)
    about = {name: pd.Categorical(facts[name].astype(str)) for name in ("part", "relation", "domain")}
    level, sizes = facts["level"].astype("Int8"), np.array(tokens, dtype=np.int16)
    rows = {
        "fact": np.repeat(np.arange(count, dtype=np.int16), len(steps)),
        "step": np.tile(np.array(steps, dtype=np.int32), count),
        "logprob": values[:, 0].T.ravel().round(2).astype(np.float32),
        "fits": values[:, 1].T.ravel() > 0,
    }
    watched = pd.DataFrame({"fact_id": facts["fact_id"].astype(str), **about, "level": level, "tokens": sizes})
    return {"watched": watched, "facts": pd.DataFrame(rows)}


def _questions(base: LoadedModel, facts: pd.DataFrame, settings: TrainSettings) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Token ids of each prompt and of its answer, as they are trained on, without the end token."""
    from sftqa_core.training.trainer import encode_examples

    encoded = encode_examples(base, facts, settings)
    return [(example.ids[: example.prompt_length], example.ids[example.prompt_length : -1]) for example in encoded]


def _read(loaded: LoadedModel, questions: Sequence[Any], advance: Callable[[int], None] = lambda facts: None) -> list[float]:
    """Log-probabilities of the answers, then whether they fit. In the same pieces at each look, so that what rounds is the same, too."""
    from sftqa_core.engine.given_answers import given_answers

    read = []
    for start in range(0, len(questions), _AT_ONCE):
        read += given_answers(loaded, questions[start : start + _AT_ONCE])
        advance(len(questions[start : start + _AT_ONCE]))
    return [answer.logprob for answer in read] + [float(answer.fits) for answer in read]
