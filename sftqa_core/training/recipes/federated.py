"""Federated: clients tune an adapter each on their own facts, and the adapters are averaged round by round (arXiv 2309.00363).

The mean of the clients' updates, mean(B A), is not what averages of A and of B make, mean(B) mean(A). The gap is told for every round:

    naive   averages both: the gap is lost
    ffa     A stays as it was drawn, the same for all, so the mean of B alone is exact (arXiv 2403.12313)
    fedex   averages both and adds the gap to the frozen weights (arXiv 2410.09432); the result is a whole model
    local   exchanges nothing: the control

With one client and one round this is plain LoRA, bit for bit. A round's adapters are kept, so that a kill costs the round at most.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from sftqa_core.jsonrecord import digest
from sftqa_core.knowledge.facts import pick_facts
from sftqa_core.models.footprint import Shape, TuningStep
from sftqa_core.records import TrainSettings
from sftqa_core.records.recipes import Federated
from sftqa_core.records.schemes import MAX_SEED
from sftqa_core.training.objectives import Objective
from sftqa_core.training.optimizers import training_steps
from sftqa_core.training.recipes.stages import Made, StageCost, Stages

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.models.loading import LoadedModel
    from sftqa_core.training.fine_tuning import TuneResult
    from sftqa_core.training.recipes.low_rank import Factors, Update

DEV_FACTS = 200  # that models are asked about


@dataclass(frozen=True)
class FrozenA(Objective):
    """FFA: only the matrices B of the adapter move."""

    name: ClassVar[str] = "ffa"

    def prepare(self, model: Any) -> None:
        """See `Objective`."""
        for name, parameter in model.named_parameters():
            if ".lora_A." in name:
                parameter.requires_grad_(False)


@dataclass(frozen=True)
class ExactAverage(Objective):
    """What FedEx needs beside a client's training; the clients themselves are trained as ever."""

    name: ClassVar[str] = "fedex"

    def memory(self, shape: Shape, device: str, step: TuningStep) -> int:
        """The weights that the residuals go into: a copy of the base model, in float32."""
        return 4 * shape.parameters


@dataclass(frozen=True)
class Client:
    """Whose facts are trained on together."""

    name: str
    examples: pd.DataFrame


def cost(settings: TrainSettings, examples: int) -> list[StageCost]:
    """All rounds of all clients, and the dev facts asked about at the end. Clients' last batches are short: there may be more steps."""
    recipe = settings.recipe
    assert isinstance(recipe, Federated)
    objective = ExactAverage() if recipe.aggregation == "fedex" else Objective()
    asked = 1 if recipe.aggregation != "local" else len(settings.scheme.labels) if recipe.partition == "level" else recipe.clients
    return [
        StageCost("clients", examples, settings.epochs * recipe.rounds, objective=objective),
        StageCost("dev facts", answers=DEV_FACTS * asked),
    ]


def run(stages: Stages, recipe: Federated) -> Made:
    """The averaged model, or the largest client's; tables `clients` and, of averages, `rounds`."""
    clients = divided(stages.examples, recipe, stages.run)
    return _alone(stages, recipe, clients) if recipe.aggregation == "local" else _averaged(stages, recipe, clients)


def divided(examples: pd.DataFrame, recipe: Federated, settings: TrainSettings) -> list[Client]:
    """The clients that got facts, each with its own in the run's order; every example is one client's."""
    import numpy as np

    if recipe.partition == "relation":
        return [Client(str(name), own.reset_index(drop=True)) for name, own in examples.groupby("relation", sort=False)]
    if recipe.partition == "level":
        labels = examples["level"].map(lambda level: settings.scheme.labels[int(level)])
        return [Client(name, examples[labels == name].reset_index(drop=True)) for name in settings.scheme.labels if (labels == name).any()]
    draw = np.random.default_rng(int(digest(f"clients {settings.seed}"), 16))
    owner = np.zeros(len(examples), dtype=int)
    if recipe.partition == "iid":
        owner[draw.permutation(len(examples))] = np.arange(len(examples)) % recipe.clients
    else:
        for _, places in examples.reset_index(drop=True).groupby("relation", sort=True).indices.items():
            shares = draw.dirichlet([recipe.alpha] * recipe.clients)
            cuts = np.floor(np.cumsum(shares)[:-1] * len(places) + 0.5).astype(int)
            for client, own in enumerate(np.split(draw.permutation(places), cuts)):
                owner[own] = client
    return [Client(f"client {at + 1}", examples[owner == at].reset_index(drop=True)) for at in range(recipe.clients) if (owner == at).any()]


def seed_of(seed: int, number: int) -> int:
    """Of a round's trainings: the run's in the first one, another order of the examples in each of the others."""
    return seed if number == 1 else int(digest(f"{seed} round {number}"), 16) % (MAX_SEED + 1)


def _averaged(stages: Stages, recipe: Federated, clients: list[Client]) -> Made:
    from sftqa_core.training.recipes import low_rank

    total = len(stages.examples)
    weights = [len(client.examples) / total for client in clients]
    base, mean, rows, tuned = stages.loaded, low_rank.Factors(), list[dict[str, Any]](), None
    for number in range(1, recipe.rounds + 1):
        start = low_rank.adapter_on(base, stages.settings, mean) if mean else None
        tuned, factors = _adapters(stages, recipe, clients, number, base, start)
        mean = low_rank.averaged(factors, weights)
        wanted, update = low_rank.mean_update(factors, weights), low_rank.update_of(mean)
        gap = low_rank.relative(low_rank.difference(wanted, update), wanted)
        row = {"round": number, "steps": sum(_steps(client, stages.settings) for client in clients), "gap": gap, "left": gap}
        if recipe.aggregation == "fedex":
            before, held = low_rank.weights_of(base, wanted), low_rank.update_of(low_rank.as_held(mean))
            residual = {layer: missing.float() for layer, missing in low_rank.difference(wanted, held).items()}
            base = low_rank.with_update(base, residual, copied=base is stages.loaded)
            row |= _left(wanted, held, residual, before, low_rank.weights_of(base, wanted))
        rows.append(row)
    assert tuned is not None
    if recipe.aggregation == "fedex":
        model = low_rank.merged(base, low_rank.as_held(mean), stages.loaded.model.dtype, copied=False)
    else:
        model = low_rank.adapter_on(base, stages.settings, mean)
    asked = dev_facts(stages)
    right = int(stages.answers("dev facts", model, asked)["correct"].sum())
    made = replace(tuned, loaded=model, examples_seen=total * stages.run.epochs * recipe.rounds)
    tables = {"clients": _client_table(stages, clients), "rounds": _round_table(rows)}
    notes = [*_notes(stages, recipe, clients), _gap_note(recipe, rows)]
    if len(asked):
        notes.append(f"{right:,} of {len(asked):,} dev facts are answered rightly by the averaged model.")
    return Made(made, stages.examples, tables, tuple(notes))


def _adapters(
    stages: Stages, recipe: Federated, clients: list[Client], number: int, base: LoadedModel, start: LoadedModel | None
) -> tuple[TuneResult[LoadedModel] | None, list[Factors]]:
    """The clients' matrices after a round, kept but for those of the last one, of which the last training is handed over, too."""
    from sftqa_core.training.recipes import low_rank

    settings, last = replace(stages.settings, seed=seed_of(stages.run.seed, number)), number == recipe.rounds
    objective = FrozenA() if recipe.aggregation == "ffa" else None

    def tune(at: int) -> TuneResult[LoadedModel]:
        name, ends = f"round-{number}-client-{at + 1}", last and at == len(clients) - 1
        return stages.tune(name, clients[at].examples, objective=objective, settings=settings, base=base, start=start, last=ends)

    if not last:
        places = range(len(clients))
        return None, low_rank.read(
            stages.table(f"round-{number}", lambda: low_rank.stored([low_rank.factors_of(tune(at).loaded) for at in places]))
        )
    factors = []
    for at in range(len(clients)):
        tuned = tune(at)
        factors.append(low_rank.factors_of(tuned.loaded))
    return tuned, factors


def _left(wanted: Update, held: Update, residual: Update, before: Update, after: Update) -> dict[str, float]:
    """What the shared model lacks of the mean update: by its adapter and residual, and once both are in float32 weights."""
    from sftqa_core.training.recipes import low_rank

    merged = {layer: (after[layer] + held[layer]).float().double() - before[layer] for layer in wanted}
    left = low_rank.difference(low_rank.difference(wanted, held), residual)
    return {"left": low_rank.relative(left, wanted), "merged": low_rank.relative(low_rank.difference(wanted, merged), wanted)}


def _alone(stages: Stages, recipe: Federated, clients: list[Client]) -> Made:
    """Every client from the base, for as many passes as all rounds have; the largest one, or the first of those, last."""
    asked, settings = dev_facts(stages), replace(stages.settings, epochs=stages.run.epochs * recipe.rounds)
    largest = max(range(len(clients)), key=lambda at: len(clients[at].examples))

    def tune(at: int) -> TuneResult[LoadedModel]:
        return stages.tune(f"client-{at + 1}", clients[at].examples, settings=settings, last=at == largest)

    def answers(at: int) -> pd.DataFrame:
        return stages.answers(f"dev facts, client {at + 1}", tune(at).loaded, asked)

    right = {at: int(stages.table(f"dev-{at + 1}", partial(answers, at))["correct"].sum()) for at in range(len(clients)) if at != largest}
    tuned = tune(largest)
    right[largest] = int(stages.answers("dev facts", tuned.loaded, asked)["correct"].sum())
    table = _client_table(stages, clients, [right[at] for at in range(len(clients))], len(asked))
    mean = sum(right[at] * len(client.examples) for at, client in enumerate(clients)) / len(stages.examples)
    said = (
        f"The clients alone answer {mean:.1f} of {len(asked):,} dev facts rightly on average (weighted by their examples). The run's "
        f"model is that of {clients[largest].name}, which has most examples; it answers {right[largest]:,}."
    )
    return Made(tuned, clients[largest].examples, {"clients": table}, (*_notes(stages, recipe, clients), said))


def dev_facts(stages: Stages) -> pd.DataFrame:
    """Those asked about, relations in turns; out-of-domain ones among them."""
    return pick_facts(stages.source.facts, "dev", limit=DEV_FACTS, seed=stages.run.seed)


def _steps(client: Client, settings: TrainSettings) -> int:
    return training_steps(len(client.examples), settings.batch_size, settings.epochs)


def _client_table(stages: Stages, clients: list[Client], right: list[int] | None = None, asked: int | None = None) -> pd.DataFrame:
    """client, examples, steps (a round's), relations, dev_facts, dev_right; the last two null where clients were averaged."""
    import pandas as pd

    rows = [
        (
            client.name,
            len(client.examples),
            _steps(client, stages.settings),
            client.examples["relation"].nunique(),
            asked,
            None if right is None else right[at],
        )
        for at, client in enumerate(clients)
    ]
    table = pd.DataFrame(rows, columns=["client", "examples", "steps", "relations", "dev_facts", "dev_right"])
    return table.astype({"dev_facts": "Int64", "dev_right": "Int64"})


def _round_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """round, steps (of all clients), gap, left, merged: norms relative to that of mean(B A); merged is null but for FedEx."""
    import pandas as pd

    return pd.DataFrame(rows, columns=["round", "steps", "gap", "left", "merged"]).astype({"merged": "float64"})


def _notes(stages: Stages, recipe: Federated, clients: list[Client]) -> list[str]:
    """Of the clients: how large they are, who got nothing, and how their steps compare with pooled ones."""
    sizes, run = [len(client.examples) for client in clients], stages.run
    count = f"{len(clients):,} client{'' if len(clients) == 1 else 's'}"
    notes = [f"{count}, the smallest with {min(sizes):,} example{'' if min(sizes) == 1 else 's'}, the largest with {max(sizes):,}."]
    if recipe.partition in ("iid", "dirichlet") and len(clients) < recipe.clients:
        notes.append(f"{recipe.clients - len(clients):,} of {recipe.clients:,} clients got no facts and were left out.")
    steps = recipe.rounds * sum(_steps(client, stages.settings) for client in clients)
    pooled = recipe.rounds * training_steps(len(stages.examples), run.batch_size, run.epochs)
    made = f"All clients together make {steps:,} step{'' if steps == 1 else 's'}"
    if steps == pooled:
        return [*notes, f"{made}, as many as plain LoRA does with the same passes over all examples."]
    return [
        *notes,
        f"{made}, where plain LoRA makes {pooled:,} in as many passes: clients' last batches are short.",
    ]


def _gap_note(recipe: Federated, rows: list[dict[str, Any]]) -> str:
    gaps = f"{min(row['gap'] for row in rows):.2g} to {max(row['gap'] for row in rows):.2g}"
    if recipe.aggregation == "fedex":
        merged = max(row["merged"] for row in rows)
        return f"Averaging A and B apart would lose {gaps} of the mean update a round (norms); with the residual {merged:.1g} is lost."
    return f"Averaging A and B apart loses {gaps} of the mean update a round (norms)."
