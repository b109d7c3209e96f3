"""SFTMix: what a first run was sure of, interpolated with what it was not (arXiv 2410.05248).

1. A plain run; at C evenly spaced steps the perplexity of every training answer (its tokens and the end token) is measured.
2. An example's confidence is minus the mean of these; the more confident half is split from the other (with an odd n it has one more).
3. Again from the base. Each epoch pairs the halves at random; a batch holds whole pairs, confident and not in turns. Of a pair the answers'
   last hidden states, up to the shorter answer's end, are interpolated: lambda of the confident one's, 1 - lambda of the other's, with
   lambda drawn from Beta(0.5, 0.5); what the output head makes of that is compared with both labels, weighted likewise:

    loss = next-token loss + mu x 2 / A x sum over mixed tokens of (lambda x -log p(label) + (1 - lambda) x -log p'(label'))

   A: answer tokens of the batch. A mixed token stands for two, so the second term is a mean over answer tokens, too, where the two answers
   of each pair are equally long, and smaller where they are not. Gradient flows into both sides. With mu = 0 it is plain training on
   these batches, bit for bit.

lambda is a function of the seed and the two examples: a resumed run draws the same ones.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from sftqa_core.errors import SettingsError
from sftqa_core.models.footprint import Shape, TuningStep
from sftqa_core.models.loading import LoadedModel
from sftqa_core.records import TrainSettings
from sftqa_core.records.recipes import SftMix
from sftqa_core.training.encoding import IGNORED, EncodedExample
from sftqa_core.training.objectives import Loss, Objective, own_loss
from sftqa_core.training.recipes.stages import Made, StageCost, Stages

if TYPE_CHECKING:
    import pandas as pd
    import torch

_MOST = 700.0  # of a mean negative log-likelihood: exp of more is no number


def cost(settings: TrainSettings, examples: int) -> list[StageCost]:
    """The first run, with the answers that are read in its course, and the second."""
    assert isinstance(settings.recipe, SftMix)
    reference = StageCost("reference", examples, settings.epochs, read=examples * settings.recipe.checkpoints)
    return [reference, StageCost("mixed", examples, settings.epochs, objective=Mixing())]


def run(stages: Stages, recipe: SftMix) -> Made:
    """The second run's model; table `confidence`: fact_id, level, confidence, confident (the half) and perplexities of each fact."""
    told = stages.table("confidence", lambda: _confidence(stages, recipe))
    examples = stages.examples.assign(confident=told["confident"].to_numpy())
    tuned = stages.tune("mixed", examples, objective=Mixing(mu=recipe.mu, seed=stages.run.seed), last=True)
    told.insert(1, "level", stages.examples["level"].tolist())
    means = -told.groupby("confident")["confidence"].mean()
    notes = [
        f"Measured at {len(told['perplexities'][0]):,} steps of the first run, answers of the confident half have a perplexity of "
        f"{means[True]:.3g} on average, the others of {means[False]:.3g}."
    ]
    if len(told) % 2:
        notes.append("The number of examples is odd: in each epoch one of the confident half has no partner, and is trained on as ever.")
    return Made(tuned, examples.drop(columns="confident"), {"confidence": told.astype({"level": "Int64"})}, tuple(notes))


def halves(confidence: Sequence[float]) -> list[bool]:
    """Whether each example is of the confident half: with an odd number it has one more; among equals the earlier ones are."""
    order = sorted(range(len(confidence)), key=lambda at: -confidence[at])
    confident = set(order[: len(order) - len(order) // 2])
    return [at in confident for at in range(len(confidence))]


@dataclass(frozen=True)
class Mixing(Objective):
    """Next-token loss and mu times the interpolated one; examples are rows with a column `confident`."""

    name: ClassVar[str] = "sftmix"
    columns: ClassVar[dict[str, int | float]] = {"confident": 0, "place": -1}
    together: ClassVar[int] = 2
    mu: float = 0.2
    seed: int = 0

    def encode(self, loaded: LoadedModel, examples: pd.DataFrame, settings: TrainSettings) -> list[EncodedExample]:
        """See `Objective`: the half and the place of each."""
        encoded = super().encode(loaded, examples, settings)
        halves = examples["confident"].astype(int).tolist()
        rows = zip(encoded, halves, strict=True)
        return [replace(example, columns={"confident": half, "place": place}) for place, (example, half) in enumerate(rows)]

    def order(self, encoded: Sequence[EncodedExample], settings: TrainSettings, epoch: int) -> list[int]:
        """Random pairs, the confident one first; who has no partner comes last."""
        confident, others = ([at for at, e in enumerate(encoded) if e.columns["confident"] == half] for half in (1, 0))
        drawn = random.Random(f"sftmix {self.seed} {epoch}")
        drawn.shuffle(confident)
        drawn.shuffle(others)
        pairs = [at for pair in zip(confident, others, strict=False) for at in pair]
        return [*pairs, *confident[len(others) :], *others[len(confident) :]]

    def loss(self, loaded: LoadedModel) -> Loss:
        """See `Objective`. Raises `SettingsError` for a model whose logits are more than its output head makes of a hidden state."""
        checked = False

        def mixing(model: Any, batch: dict[str, torch.Tensor], answer_tokens: torch.Tensor) -> torch.Tensor:
            nonlocal checked
            read = {name: batch[name] for name in ("input_ids", "attention_mask")}
            out = model(**read, output_hidden_states=True)
            head, hidden = model.get_output_embeddings(), out.hidden_states[-1]
            if not checked:
                _require_plain_head(loaded, head(hidden), out.logits)
                checked = True
            own = own_loss(model, out.logits, batch["labels"], answer_tokens)
            shares = self.shares(batch["place"].tolist())
            return own + self.mu * 2 * mixed_loss(head, hidden, batch["labels"], shares) / answer_tokens

        return mixing

    def shares(self, places: Sequence[int]) -> list[float]:
        """lambda of each pair of neighbours, from Beta(0.5, 0.5): sin^2(pi u / 2) of a uniform number u is distributed so."""
        from sftqa_core.engine.randomness import uniforms

        pairs = list(zip(places[::2], places[1::2], strict=False))
        drawn: Any = uniforms(self.seed, [first for first, _ in pairs], 0, 0, [second for _, second in pairs]) if pairs else []
        return [math.sin(math.pi * float(u) / 2) ** 2 for u in drawn]

    def memory(self, shape: Shape, device: str, step: TuningStep) -> int:
        """See `Objective`: the hidden states of all layers, and the logits of mixed tokens (at most one of two)."""
        tokens = step.examples * step.length
        return 4 * tokens * shape.hidden * (shape.layers + 1) + 3 * 4 * (tokens // 2) * shape.vocabulary


def mixed_loss(head: Any, hidden: torch.Tensor, labels: torch.Tensor, shares: Sequence[float]) -> torch.Tensor:
    """Sum over the mixed tokens of neighbouring rows of hidden states [rows, tokens, width] and labels [rows, tokens] (`IGNORED` but for
    the answer); `shares`: lambda of each pair."""
    import torch

    states, wanted, weights = [], [], []
    for pair, share in enumerate(shares):
        (first, of_first), (second, of_second) = ((row, (labels[row] != IGNORED).nonzero()[:, 0]) for row in (2 * pair, 2 * pair + 1))
        length = min(len(of_first), len(of_second))
        of_first, of_second = of_first[:length], of_second[:length]
        states.append(share * hidden[first, of_first - 1] + (1 - share) * hidden[second, of_second - 1])
        wanted.append(torch.stack([labels[first, of_first], labels[second, of_second]]))
        weights.append(torch.tensor([[share], [1 - share]], device=hidden.device).expand(2, length))
    if not states:  # a last batch of one example
        return hidden.sum() * 0
    logs = torch.log_softmax(head(torch.cat(states)).float(), -1)
    taken = logs.gather(1, torch.cat(wanted, 1).T).T
    return -(torch.cat(weights, 1) * taken).sum()


def _confidence(stages: Stages, recipe: SftMix) -> pd.DataFrame:
    import pandas as pd

    from sftqa_core.training.watching import Observer

    observer = Observer(_perplexities(stages), recipe.checkpoints)
    stages.tune("reference", stages.examples, observer=observer)
    seen = list(zip(*observer.seen.values(), strict=True))
    confidence = [-sum(values) / len(values) for values in seen]
    columns = {"confidence": confidence, "confident": halves(confidence), "perplexities": [list(values) for values in seen]}
    return pd.DataFrame({"fact_id": stages.examples["fact_id"].tolist(), **columns})


def _perplexities(stages: Stages) -> Any:
    """A function (model) -> the perplexity of each example's answer, in their order."""
    import torch

    from sftqa_core.training.trainer import Collator, encode_examples

    loaded, settings = stages.loaded, stages.settings
    encoded = encode_examples(loaded, stages.examples, settings)
    collate, size = Collator(loaded.pad_id), settings.micro_batch or settings.batch_size

    def measure(model: Any) -> list[float]:
        values: list[float] = []
        for start in range(0, len(encoded), size):
            batch = collate([{"input_ids": list(e.ids), "labels": list(e.labels)} for e in encoded[start : start + size]])
            batch = {name: tensor.to(model.device) for name, tensor in batch.items()}
            logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1].float()
            labels = batch["labels"][:, 1:]
            logs = torch.log_softmax(logits, -1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]
            answer = labels != IGNORED
            means = -(logs * answer).sum(1) / answer.sum(1)
            values += [math.exp(min(value, _MOST)) for value in means.tolist()]
        return values

    return measure


def _require_plain_head(loaded: LoadedModel, made: torch.Tensor, logits: torch.Tensor) -> None:
    import torch

    if not torch.allclose(made.float(), logits.float(), rtol=1e-2, atol=1e-2):
        raise SettingsError(
            f"{loaded.card.name} does more with its last hidden states than its output head (it scales or caps the logits), so they can't "
            "be mixed as recipe sftmix does. Choose another model or recipe."
        )
