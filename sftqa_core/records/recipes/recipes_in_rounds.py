"""Recipes that train in rounds or stages: settings of federated, llm2llm and continue."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sftqa_core.jsonrecord import setting
from sftqa_core.records.recipes.recipe_base import ALL, MOST_EPOCHS, Recipe, plain


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
            "local": "none: the largest client alone",
        },
        help="what the clients' adapters become. fedex puts what is missing into the frozen weights, so its result is a whole model; with "
        "local nothing is exchanged, every client is tuned, and the run's model is that of the largest one",
    )  # fmt: skip
    partition: str = setting(
        "relation", label="Clients", flag="--partition", title="clients by {value}",
        choices={"relation": "a relation each", "level": "a memory level each", "iid": "at random", "dirichlet": "relations by Dirichlet"},
        help="whose facts a client has: iid deals them out at random; dirichlet deals out each relation by shares drawn from a Dirichlet "
        "distribution",
    )  # fmt: skip
    clients: int = setting(
        10, label="Number of clients", flag="--clients", low=1, high=1_000, title="{value:,} clients", under="partition",
        only_with=("iid", "dirichlet"), help="with iid and dirichlet; with relation and level there are as many as relations or levels",
    )  # fmt: skip
    alpha: float = setting(
        0.5, label="Dirichlet's alpha", flag="--alpha", low=0.01, high=1_000, title="alpha {value:g}", under="partition",
        only_with=("dirichlet",), help="with dirichlet: 0.1 gives a client hardly more than one relation, 10 nearly the same mix to all",
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
        if run.epochs * self.rounds > MOST_EPOCHS:
            wrong.append(f"epochs times rounds must be at most {MOST_EPOCHS:,} with recipe federated, got {run.epochs * self.rounds:,}.")
        return wrong

    def controls(self, run: Any) -> dict[str, Any]:
        """Plain LoRA on all facts in one place, with as many passes; and the client with most facts, without any exchange."""
        pooled = {"pooled, as many passes": plain(run, epochs=run.epochs * self.rounds)}
        if self.aggregation == "local":
            return pooled
        return {**pooled, "the largest client alone": dataclasses.replace(run, recipe=dataclasses.replace(self, aggregation="local"))}


@dataclass(frozen=True, kw_only=True)
class Llm2Llm(Recipe):
    """More examples where the model is wrong, round by round."""

    name: str = "llm2llm"
    title: ClassVar[str] = "LLM2LLM"
    about: ClassVar[str] = "Tunes, asks the training questions, adds an example for each wrong one, and starts again from the base."
    source: ClassVar[str] = "arXiv 2403.15042 (LLM2LLM)"
    claim: ClassVar[str] = "Up to 24.2% better on GSM8K and 52.6% on TREC, with few seed examples."
    differs: ClassVar[str] = (
        "The paper's teacher is a larger model that writes new examples. None can invent a true fact: here the teacher asks for the same "
        "fact in another of the relation's phrasings, or takes another train fact of its relation and level from the source."
    )
    knob: ClassVar[str] = "teacher"
    tried: ClassVar[tuple[str, ...]] = ("phrasing", "fact")
    needs_levels: ClassVar[bool] = True
    teacher: str = setting(
        "phrasing", label="Teacher", flag="--teacher", title="{value}",
        choices={"phrasing": "another phrasing of the same fact", "fact": "another fact of the same relation and level"},
        help="what is added for a wrong example. fact probes train facts of the relation until there are enough of the level",
    )  # fmt: skip
    additions: str = setting(
        "wrong", label="Additions", flag="--additions", title="added for {value}",
        choices={"wrong": "wrong examples", "random": "random examples", "again": "the examples themselves, again"},
        help="random and again are the controls: first the rounds as they are, then one training with as many additions for examples drawn "
        "at random, or with the examples themselves in their place",
    )  # fmt: skip
    rounds: int = setting(
        10, label="Rounds at most", flag="--rounds", low=1, high=10, title="at most {value} rounds",
        help="trainings, each from the base; fewer where no example is wrong any more",
    )  # fmt: skip
    round_epochs: int = setting(
        3, label="Epochs of a round", flag="--round-epochs", low=1, high=100, title="{value} epochs a round",
        help="how often a round's training sees each of its examples",
    )  # fmt: skip
    attempts: int = setting(
        5, label="Attempts", flag="--attempts", low=1, high=100, title="{value} attempts",
        help="new examples that the teacher offers for a wrong one in a round before that one is passed over: near-copies are refused",
    )  # fmt: skip

    def unsuited(self, run: Any) -> list[str]:
        """The run's own epochs would say the same thing twice."""
        return [f"epochs must be 1 with recipe llm2llm, whose round_epochs take their place, got {run.epochs}."] if run.epochs != 1 else []

    def controls(self, run: Any) -> dict[str, Any]:
        """As many additions for random examples; as many more passes over the examples; plain, with a round's epochs."""

        def adding(what: str) -> Any:
            return dataclasses.replace(run, recipe=dataclasses.replace(self, additions=what))

        others = {"as many random additions": "random", "as many more passes": "again"}
        several = {f"plain, {self.round_epochs} epochs": plain(run, epochs=self.round_epochs)} if self.round_epochs > 1 else {}
        return {name: adding(what) for name, what in others.items() if what != self.additions} | several


@dataclass(frozen=True, kw_only=True)
class Continue(Recipe):
    """Pre-training goes on, on text about the chosen facts; then the usual few examples."""

    name: str = "continue"
    title: ClassVar[str] = "Continue"
    about: ClassVar[str] = (
        "Goes on pre-training on statements of the chosen facts, then on questions with answers, and tunes on a few of them."
    )
    source: ClassVar[str] = "arXiv 2311.03301 (Ziya2)"
    claim: ClassVar[str] = "MMLU rises from 55.7 to 61.4 by continued pre-training in stages on filtered data."
    differs: ClassVar[str] = (
        "The paper goes on with 700 billion tokens from Llama 2 13B. Here the documents are written from the run's facts: one statement a "
        "template and one question with its answer a fact. Filtering by perplexity therefore prefers what the model knows already."
    )
    knob: ClassVar[str] = "replay"
    tried: ClassVar[tuple[float, ...]] = (0.0, 0.1, 0.5)
    replay: float = setting(
        0.5, label="Replay", flag="--replay", low=0, high=0.9, title="replay {value:.0%}",
        help="share of a later stage's tokens that come from the stages before it: 0.5 is as much of them as of new text",
    )  # fmt: skip
    order: str = setting(
        "statements", label="First stage", flag="--stage-order", title="{value}",
        choices={"statements": "statements, then questions", "questions": "questions, then statements"},
        help="which text comes first; questions first is the control",
    )  # fmt: skip
    templates: int = setting(
        21, label="Statements of a fact", flag="--statements", low=1, high=200, title="{value} statements a fact",
        help="templates that state each fact, or as many as its relation has",
    )  # fmt: skip
    kept: float = setting(
        0.6, label="Documents kept", flag="--kept", low=0.01, high=1, title="best {value:.0%} kept",
        help="share of a stage's documents that are kept, those with the lowest perplexity under the base model",
    )  # fmt: skip
    examples: int = setting(
        60, label="Examples at the end", flag="--target", low=1, high=100_000, unit="examples", title="{value:,} examples at the end",
        help="chosen facts whose questions are the small target set, and the examples of the fine-tuning at the end",
    )  # fmt: skip

    def unsuited(self, run: Any) -> list[str]:
        """Its result is exported merged."""
        if run.quantization == "nf4":
            return ["Recipe continue exports a whole model, which 4 bits don't give: quantization must not be nf4."]
        return []

    def controls(self, run: Any) -> dict[str, Any]:
        """The fine-tuning at the end alone; the stages in the other order."""
        few = self.examples if run.n == ALL else min(self.examples, run.n)
        swapped = dataclasses.replace(self, order="questions" if self.order == "statements" else "statements")
        return {"fine-tuning only": plain(run, n=few), "stages swapped": dataclasses.replace(run, recipe=swapped)}
