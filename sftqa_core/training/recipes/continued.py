"""Continue: pre-training goes on before the usual few examples (arXiv 2311.03301, Ziya2).

    statements   what is written of the chosen facts from their relations' templates
    questions    their questions with the answers, and replay of the stage before
    target       the questions of the few facts that are tuned on at the end, and replay of both
    sft          plain fine-tuning on these

Documents are filtered before: near-copies go (SimHash), and of each kind those with the lowest perplexity under the base model stay. In
training, documents of one kind and relation share a sequence, and none is ever cut. Only the run's train facts are written about. After
every stage the model reads statements of other facts, which tell what it forgets; test facts are never among them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from sftqa_core.knowledge.facts import pick_facts
from sftqa_core.knowledge.near_copies import near_copies
from sftqa_core.models import footprint
from sftqa_core.models.footprint import Shape, TuningStep
from sftqa_core.progress import Phase
from sftqa_core.records import TrainSettings
from sftqa_core.records.recipes import Continue
from sftqa_core.training.encoding import EncodedExample, answer_text, prompt_text
from sftqa_core.training.objectives import Objective
from sftqa_core.training.recipes.stages import Made, StageCost, Stages

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.engine.perplexity import Perplexity
    from sftqa_core.models.loading import LoadedModel
    from sftqa_core.training.fine_tuning import TuneResult

PACKED = 128  # tokens of a sequence, unless the model's window is shorter or a document longer
OTHERS = 200  # facts of each kind whose statements tell what is forgotten
_AT_ONCE = 512  # documents whose perplexity is measured between two looks at whether to stop
_STATEMENT, _QUESTION = 12, 25  # tokens, about, for the forecast
_EXAMPLE = 30  # tokens of a training example, as the forecast counts it


@dataclass(frozen=True)
class Documents(Objective):
    """Pre-training on packed documents: the loss is on all tokens but the first of a sequence. Rows have `documents`, texts."""

    name: ClassVar[str] = "documents"

    def encode(self, loaded: LoadedModel, examples: pd.DataFrame, settings: TrainSettings) -> list[EncodedExample]:
        """See `Objective`; one a sequence."""
        return [EncodedExample(tuple(joined(document_ids(loaded, texts))), 1) for texts in examples["documents"]]

    def memory(self, shape: Shape, device: str, step: TuningStep) -> int:
        """See `Objective`: a sequence is longer than a question with its answer."""
        longer = footprint.tuning(shape, device, replace(step, length=max(step.length, PACKED)))
        return longer.total - footprint.tuning(shape, device, step).total


def document_ids(loaded: LoadedModel, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each document as in pre-training: the model's start, the text, its end."""
    from sftqa_core.models.loading import encode_prompts

    return [[*ids, loaded.end_ids[0]] for ids in encode_prompts(loaded, texts)]


def joined(documents: Sequence[Sequence[int]]) -> list[int]:
    """Documents one after another; where start and end are one token, it stands once between two."""
    ids: list[int] = []
    for document in documents:
        ids += document[1:] if ids and document[0] == ids[-1] else document
    return ids


def cost(settings: TrainSettings, examples: int) -> list[StageCost]:
    """Sequences of each stage, by the usual length of documents, and the base model's reading of all of them."""
    recipe, objective = settings.recipe, Documents()
    assert isinstance(recipe, Continue)
    few, statements = min(recipe.examples, examples), examples * min(recipe.templates, 21)
    tokens = {
        "statements": statements * recipe.kept * _STATEMENT,
        "questions": examples * recipe.kept * _QUESTION,
        "target": few * _QUESTION,
    }
    first = recipe.order
    sequences = {name: max(1, round(count / (1 if name == first else 1 - recipe.replay) / PACKED)) for name, count in tokens.items()}
    order = (first, "questions" if first == "statements" else "statements", "target")
    return [
        StageCost("documents", read=statements + examples),
        *(StageCost(name, sequences[name], weight=PACKED / _EXAMPLE, objective=objective) for name in order),
        StageCost("sft", few, settings.epochs),
    ]


def run(stages: Stages, recipe: Continue) -> Made:
    """The model after all stages, whole; tables `documents`, `stages` and `forgetting`."""
    few, documents = few_examples(stages, recipe), stages.table("documents", lambda: filtered(stages, recipe))
    reading = _Reading(stages)
    reading.ask("base", stages.loaded)
    second = "questions" if recipe.order == "statements" else "statements"
    earlier, rows, tuned = documents.head(0), list[dict[str, Any]](), None
    for name in (recipe.order, second, "target"):
        new = documents[(documents["kind"] == name) & (documents["fate"] == "kept")]
        again = replayed(stages, recipe, name, new, earlier)
        sequences = packed(stages, name, new, again)
        once = replace(stages.settings, epochs=1)  # the run's are those of the tuning at the end
        tuned = stages.tune(name, sequences, objective=Documents(), settings=once, start=tuned.loaded if tuned else None)
        rows.append({"stage": name, **_counts(documents, name), "replayed": len(again), "sequences": len(sequences)})
        reading.ask(name, tuned.loaded)
        earlier = _together(earlier, new)
    assert tuned is not None
    result = stages.tune("sft", few, start=tuned.loaded, last=True)
    reading.ask("sft", result.loaded)
    table = _stage_table(rows)
    tables = {"documents": documents.drop(columns="tokens"), "stages": table, "forgetting": reading.table()}
    return Made(_whole(stages, result), stages.examples, tables, _notes(table, reading, len(few)))


def few_examples(stages: Stages, recipe: Continue) -> pd.DataFrame:
    """The chosen facts that a run of so few examples would choose, by the same seed."""
    from sftqa_core.training.selection import select_examples

    chosen = stages.examples
    run = replace(stages.run, recipe=None, n=min(recipe.examples, len(chosen)), relations=tuple(chosen["relation"].unique()))
    return select_examples(replace(stages.source, facts=chosen.drop(columns="level")), chosen[["fact_id", "level"]], run).facts


def written(stages: Stages, recipe: Continue) -> pd.DataFrame:
    """Every document of the chosen facts: fact_id, relation, kind (statements, questions, target), text."""
    import pandas as pd

    few, rows = set(few_examples(stages, recipe)["fact_id"]), []
    for fact in stages.examples.to_dict("records"):
        about, answer = (fact["fact_id"], fact["relation"]), fact["answers"][0]
        rows += [(*about, "statements", statement) for statement in statements(stages, fact)[: recipe.templates]]
        form = stages.run.prompt
        asked = f"{fact['question']} {answer}" if form.chat else prompt_text(fact["question"], form) + answer_text(answer, form)
        rows += [(*about, kind, asked) for kind in ("questions", "target") if kind == "questions" or fact["fact_id"] in few]
    return pd.DataFrame(rows, columns=["fact_id", "relation", "kind", "text"])


def statements(stages: Stages, fact: dict[Any, Any]) -> list[str]:
    """A fact as its relation's templates state it, in an order that hangs on the fact."""
    return [f"{statement} {fact['answers'][0]}." for statement in stages.statements(fact)]


def filtered(stages: Stages, recipe: Continue) -> pd.DataFrame:
    """`written`, with tokens, perplexity (null for near-copies) and fate: kept, near-copy or perplexity. The target set stays whole."""
    import numpy as np

    table = written(stages, recipe)
    table["tokens"] = [len(ids) for ids in document_ids(stages.loaded, table["text"].tolist())]
    table["perplexity"], table["fate"] = np.nan, "kept"
    for kind in ("statements", "questions"):
        places = table.index[table["kind"] == kind]
        copies = np.array(near_copies(table["text"].loc[places]), dtype=bool)
        table.loc[places[copies], "fate"] = "near-copy"
        places = places[~copies]
        read = _perplexity(stages, kind, stages.loaded, table["text"].loc[places].tolist())
        each = np.exp(np.minimum(read.nats / np.maximum(read.tokens, 1), 700))
        table.loc[places, "perplexity"] = each
        table.loc[places[each.argsort(kind="stable")[max(1, round(recipe.kept * len(places))) :]], "fate"] = "perplexity"
    return table


def replayed(stages: Stages, recipe: Continue, name: str, new: pd.DataFrame, earlier: pd.DataFrame) -> pd.DataFrame:
    """Documents of earlier stages, drawn at random, that make up `replay` of a stage's tokens; all of them where there are fewer."""
    wanted = recipe.replay / (1 - recipe.replay) * new["tokens"].sum()
    order = list(range(len(earlier)))
    random.Random(f"replay {stages.run.seed} {name}").shuffle(order)
    before = earlier["tokens"].iloc[order].cumsum().shift(fill_value=0)
    return earlier.iloc[order][(before < wanted).to_numpy()]


def packed(stages: Stages, name: str, *parts: pd.DataFrame) -> pd.DataFrame:
    """Sequences of whole documents of one kind and relation: question (the first document, for messages), kind, relation, documents."""
    import pandas as pd

    from sftqa_core.engine import capacity

    length, shuffle, rows = min(PACKED, capacity.window_of(stages.loaded) or PACKED), random.Random(f"pack {stages.run.seed} {name}"), []
    for (kind, relation), group in _together(*parts).groupby(["kind", "relation"], sort=True):
        documents = list(zip(group["text"], group["tokens"], strict=True))
        shuffle.shuffle(documents)
        sequence, filled = list[str](), 0
        for text, tokens in documents:
            if sequence and filled + tokens > length:
                rows.append((sequence[0], kind, relation, sequence))
                sequence, filled = [], 0
            sequence, filled = [*sequence, text], filled + tokens
        rows.append((sequence[0], kind, relation, sequence))
    return pd.DataFrame(rows, columns=["question", "kind", "relation", "documents"])


def _together(*parts: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    return pd.concat([part for part in parts if len(part)] or [parts[0]], ignore_index=True)


def _perplexity(stages: Stages, name: str, model: LoadedModel, texts: list[str]) -> Perplexity:
    import numpy as np

    from sftqa_core.engine import capacity
    from sftqa_core.engine.perplexity import Perplexity, perplexity_of

    capacity.require_window(model, [len(ids) for ids in document_ids(model, texts)], 0, "documents", texts)
    phase, parts = Phase(stages.reporter, f"perplexity: {name}", len(texts), "documents"), []
    for start in range(0, len(texts), _AT_ONCE):
        parts.append(perplexity_of(model, texts[start : start + _AT_ONCE]))
        phase.advance(len(parts[-1].nats))
    empty = [np.zeros(0)]
    return Perplexity(
        np.concatenate([*(p.nats for p in parts), *empty]), np.concatenate([*(p.tokens for p in parts), np.zeros(0, dtype=np.int64)])
    )


class _Reading:
    """How well statements are predicted after each stage: of the chosen facts, of other train facts, of out-of-domain dev facts."""

    def __init__(self, stages: Stages):
        out = pick_facts(stages.source.facts, "dev", "out", limit=OTHERS, seed=stages.run.seed)
        facts = {
            "chosen facts": stages.examples.head(OTHERS),
            "other train facts": stages.pool.head(OTHERS),
            "out-of-domain dev facts": out,
        }
        self._stages = stages
        self._texts = {name: [statements(stages, fact)[0] for fact in some.to_dict("records")] for name, some in facts.items() if len(some)}
        self._base: dict[str, Perplexity] = {}
        self.rows: list[dict[str, Any]] = []

    def ask(self, stage: str, model: LoadedModel) -> None:
        """Measure once more."""
        for name, texts in self._texts.items():
            read = _perplexity(self._stages, f"{name}, {stage}", model, texts)
            change, error = read.log_ratio(self._base.setdefault(name, read))
            row = {"stage": stage, "facts": name, "documents": len(texts), "perplexity": read.value}
            self.rows.append({**row, "log_ratio": change, "standard_error": error})

    def table(self) -> pd.DataFrame:
        """stage, facts, documents, perplexity, log_ratio (natural, to the base) and its standard_error over documents."""
        import pandas as pd

        return pd.DataFrame(self.rows)


def _counts(documents: pd.DataFrame, kind: str) -> dict[str, int]:
    fates = documents["fate"][documents["kind"] == kind]
    return {"documents": len(fates), **{fate: int((fates == fate).sum()) for fate in ("kept", "near-copy", "perplexity")}}


def _stage_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """stage, documents, kept, near_copies and perplexity (dropped), replayed, sequences."""
    import pandas as pd

    return pd.DataFrame(rows).rename(columns={"near-copy": "near_copies"})


def _whole(stages: Stages, tuned: TuneResult[LoadedModel]) -> TuneResult[LoadedModel]:
    """With an adapter in the weights, so that the result loads without one."""
    if stages.run.method == "full":
        return tuned
    from sftqa_core.training.recipes import low_rank

    base = stages.loaded
    return replace(tuned, loaded=low_rank.merged(base, low_rank.factors_of(tuned.loaded), base.model.dtype))


def _notes(table: pd.DataFrame, reading: _Reading, few: int) -> tuple[str, ...]:
    notes = [
        f"Stage {row['stage']}: {row['kept']:,} of {row['documents']:,} documents kept; dropped as near-copies: {row['near_copies']:,}, by "
        f"perplexity: {row['perplexity']:,}; replayed: {row['replayed']:,}."
        for row in table.to_dict("records")
    ]
    first, last = ({row["facts"]: row["perplexity"] for row in reading.rows if row["stage"] == stage} for stage in ("base", "sft"))
    changes = [f"{name} from {first[name]:,.1f} to {last[name]:,.1f}" for name in first]
    notes.append(f"Perplexity of statements after all stages: {', '.join(changes)}. Test facts were never read.")
    return (*notes, f"The last stage tunes on {few:,} examples. Its levels: sftqa probe --model run:RUN, with the name of this run.")
