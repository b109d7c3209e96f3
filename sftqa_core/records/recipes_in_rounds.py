"""Recipes that train in rounds or stages: settings of federated, llm2llm and continue. See records/recipes.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sftqa_core.jsonrecord import setting
from sftqa_core.records.recipe_base import Recipe, plain

_MOST_EPOCHS = 10_000  # of a run


@dataclass(frozen=True, kw_only=True)
class Federated(Recipe):
    """Clients that share an adapter and keep their facts to themselves."""

    name: str = "federated"
    title: ClassVar[str] = "Federated"
    about: ClassVar[str] = (
        "Divides the examples among clients; each trains a LoRA adapter on its own, and the adapters are averaged every round."
    )
    source: ClassVar[str] = "arXiv 2309.00363 (FederatedScope-LLM); FFA: 2403.12313 (FFA-LoRA); FedEx: 2410.09432 (FedEx-LoRA)"
    claim: ClassVar[str] = (
        "Averaging A and B apart is not averaging their products BA; freezing A (FFA) or adding the residual to the frozen weights (FedEx) "
        "makes the average exact."
    )
    differs: ClassVar[str] = (
        "One machine plays all clients, one after another, on question-answer facts. Optimizer and learning-rate schedule begin anew in "
        "every round, and all clients begin with the same A."
    )
    knob: ClassVar[str] = "aggregation"
    tried: ClassVar[tuple[str, ...]] = ("naive", "ffa", "fedex")
    needs: ClassVar[Mapping[str, Any]] = {"method": "lora"}
    aggregation: str = setting(
        "naive", label="Aggregation", flag="--aggregation", title="{value}",
        choices={
            "naive": "averages of A and of B", "ffa": "A frozen, B averaged (FFA)", "fedex": "exact, by a residual (FedEx)",
            "local": "none: each client alone",
        },
        help="what the clients' adapters become. fedex puts what is missing into the frozen weights, so its result is a whole model; with "
        "local nothing is exchanged, and the run's model is that of the largest client",
    )  # fmt: skip
    partition: str = setting(
        "relation", label="Clients", flag="--partition", title="clients by {value}",
        choices={"relation": "a relation each", "level": "a memory level each", "iid": "at random", "dirichlet": "relations by Dirichlet"},
        help="whose facts a client has: iid deals them out at random; dirichlet deals out each relation by shares drawn from a Dirichlet "
        "distribution",
    )  # fmt: skip
    clients: int = setting(
        10, label="Number of clients", flag="--clients", low=1, high=1_000, title="{value:,} clients", under="partition",
        help="with iid and dirichlet; with relation and level there are as many as relations or levels",
    )  # fmt: skip
    alpha: float = setting(
        0.5, label="Dirichlet's alpha", flag="--alpha", low=0.01, high=1_000, title="alpha {value:g}", under="partition",
        help="with dirichlet: 0.1 gives a client hardly more than one relation, 10 nearly the same mix to all",
    )  # fmt: skip
    rounds: int = setting(
        4, label="Rounds", flag="--fed-rounds", low=1, high=100, title="{value} rounds",
        help="how often the adapters are averaged; in each, every client sees its examples as often as the run has epochs",
    )  # fmt: skip

    @property
    def needs_levels(self) -> bool:  # type: ignore[override]  # of others it does not hang on settings
        """Only where levels are the clients."""
        return self.partition == "level"

    def unsuited(self, run: Any) -> list[str]:
        """It averages adapters, and no single training of it is the run's."""
        wrong = [f"Recipe federated averages LoRA adapters: method must be lora, got {run.method}."] if run.method != "lora" else []
        if run.quantization == "nf4":
            wrong.append(
                "Recipe federated needs a base in full precision, since averages are added to its weights: quantization must not be nf4."
            )
        if run.eval_every is not None or run.time_limit_min is not None:
            wrong.append("Recipe federated is made of many short trainings: leave eval_every, patience and time_limit_min out.")
        if run.epochs * self.rounds > _MOST_EPOCHS:
            wrong.append(f"epochs times rounds must be at most {_MOST_EPOCHS:,} with recipe federated, got {run.epochs * self.rounds:,}.")
        return wrong

    def controls(self, run: Any) -> dict[str, Any]:
        """Plain LoRA on all facts in one place, with as many passes; and no exchange at all."""
        pooled = {"pooled, as many passes": plain(run, epochs=run.epochs * self.rounds)}
        if self.aggregation == "local":
            return pooled
        return {**pooled, "each client alone": dataclasses.replace(run, recipe=dataclasses.replace(self, aggregation="local"))}
