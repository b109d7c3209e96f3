"""Federated: one client is plain LoRA, exact aggregations are exact, every example is one client's, a kill changes nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from sftqa_core.errors import Stopped
from sftqa_core.progress import Recorder
from sftqa_core.records.recipes import Federated
from sftqa_core.training.fine_tuning import fine_tune
from sftqa_core.training.recipes import carry_out, costs, low_rank
from sftqa_core.training.recipes.federated import ExactAverage, divided, seed_of
from sftqa_core.training.recipes.stages import StageCost
from sftqa_core.workspace import Workspace
from tests.amount import in_full
from tests.recipe_runs import SETTINGS, made_of, same_weights, stages_of

LORA = dataclasses.replace(SETTINGS, method="lora")


def factors(seed: int) -> low_rank.Factors:
    """Matrices of two layers, rank 2."""
    torch.manual_seed(seed)
    return {name: (torch.randn(2, 3), torch.randn(4, 2)) for name in ("one", "two")}


def product(own: low_rank.Factors, layer: str) -> np.ndarray:
    """2 B A, computed without torch."""
    a, b = own[layer]
    return 2 * np.asarray(b, dtype=np.float64) @ np.asarray(a, dtype=np.float64)


@pytest.mark.parametrize(
    "recipe", [Federated(partition="iid", clients=1, rounds=1), Federated(rounds=1)], ids=["one client", "one relation"]
)
def test_one_client_and_one_round_are_plain_lora(recipe, tmp_path):
    """The adapter's weights are equal bit for bit."""
    changes = {"method": "lora", "n": 12, "relations": ("P17",)} if recipe.partition == "relation" else {"method": "lora"}
    made = made_of(tmp_path / "federated", recipe, **changes)
    stages = stages_of(tmp_path / "plain", None, **changes)
    tuned = fine_tune(stages.loaded, stages.examples, dataclasses.replace(SETTINGS, **changes), tmp_path / "plain")
    assert same_weights(made.tuned.loaded, tuned.loaded)
    assert made.tables["rounds"]["gap"].tolist() == [0.0]


def test_fedex_with_one_client_is_plain_lora_in_the_weights(tmp_path):
    """The whole model that is exported answers as the adapter does, and the base is as it was."""
    stages = stages_of(tmp_path / "federated", Federated(partition="iid", clients=1, rounds=1, aggregation="fedex"), method="lora")
    before = {name: value.clone() for name, value in stages.loaded.model.state_dict().items()}
    made = made_of(tmp_path / "again", stages.run.recipe, loaded=stages.loaded, method="lora")
    tuned = fine_tune(stages.loaded, stages.examples, LORA, tmp_path / "plain")
    merged = low_rank.merged(stages.loaded, low_rank.factors_of(tuned.loaded), torch.float32)
    assert same_weights(made.tuned.loaded, merged)
    assert same_weights(before_model(before), before_model(stages.loaded.model.state_dict()))
    ids = torch.arange(1, 9)[None]
    with torch.no_grad():
        whole, beside = made.tuned.loaded.model(ids).logits, tuned.loaded.model(ids).logits
    assert torch.allclose(whole, beside, atol=1e-5)


def before_model(state: dict[str, torch.Tensor]) -> object:
    """Something with a state, for `same_weights`."""
    return type("State", (), {"state_dict": lambda self: state})()


def test_the_gap_is_what_averaging_apart_loses():
    """Against numpy: sample-weighted mean(2 B A) minus 2 mean(B) mean(A), relative to the norm of the mean."""
    clients, weights = [factors(1), factors(2), factors(3)], [0.5, 0.25, 0.25]
    mean = low_rank.averaged(clients, weights)
    wanted, update = low_rank.mean_update(clients, weights), low_rank.update_of(mean)
    parts, wholes = [], []
    for layer in ("one", "two"):
        whole = sum(w * product(own, layer) for w, own in zip(weights, clients, strict=True))
        a = sum(w * np.asarray(own[layer][0], dtype=np.float64) for w, own in zip(weights, clients, strict=True))
        b = sum(w * np.asarray(own[layer][1], dtype=np.float64) for w, own in zip(weights, clients, strict=True))
        parts.append(whole - 2 * b @ a)
        wholes.append(whole)
    expected = np.sqrt(sum((part**2).sum() for part in parts)) / np.sqrt(sum((whole**2).sum() for whole in wholes))
    assert expected > 0.1
    assert low_rank.relative(low_rank.difference(wanted, update), wanted) == pytest.approx(expected, rel=1e-12)
    assert low_rank.relative({"one": torch.zeros(2)}, {"one": torch.zeros(2)}) == 0


def test_exact_aggregations_are_exact(tmp_path):
    """Naive averages leave a gap; FFA none, as A is everyone's; FedEx none in float64 and next to none once merged into float32."""
    gaps = {}
    for name in ("naive", "ffa", "fedex"):
        recipe = Federated(aggregation=name, partition="iid", clients=2, rounds=1)
        gaps[name] = made_of(tmp_path / name, recipe, method="lora", n=16, batch_size=4).tables["rounds"]
        assert gaps[name]["steps"].tolist() == [4]
    assert gaps["naive"]["gap"].min() > 1e-3
    assert gaps["naive"]["left"].tolist() == gaps["naive"]["gap"].tolist()
    assert gaps["ffa"]["left"].max() <= 1e-6
    assert gaps["fedex"]["gap"].min() > 1e-3
    assert 0 < gaps["fedex"]["left"].max() <= 1e-6
    assert 0 < gaps["fedex"]["merged"].max() <= 1e-4
    assert gaps["naive"]["merged"].isna().all()


def test_fedex_is_the_mean_of_the_clients_models(tmp_path):
    """After one round its weights are the base's plus the weighted mean of what each client alone adds."""
    recipe = Federated(aggregation="fedex", rounds=1)
    made, stages = made_of(tmp_path / "fedex", recipe, method="lora"), stages_of(tmp_path, recipe, method="lora")
    clients = divided(stages.examples, recipe, stages.run)
    own = [low_rank.factors_of(fine_tune(stages.loaded, client.examples, LORA, tmp_path / client.name).loaded) for client in clients]
    layer = "model.layers.1.mlp.down_proj"
    mean = sum(len(client.examples) / 20 * product(one, layer) for client, one in zip(clients, own, strict=True))
    base, whole = (loaded.model.get_submodule(layer).weight.detach().double().numpy() for loaded in (stages.loaded, made.tuned.loaded))
    assert np.abs(mean).max() > 1e-3
    assert np.allclose(whole, base + mean, atol=1e-7)


def test_every_example_is_one_clients(tmp_path):
    """By relation, level, at random and by Dirichlet, in the run's order; a client without facts is none; again the same."""
    stages = stages_of(tmp_path, Federated(partition="level"), method="lora", n=36)
    sizes = {}
    for recipe in (
        Federated(), Federated(partition="level"), Federated(partition="iid", clients=5), Federated(partition="iid", clients=50),
        Federated(partition="dirichlet", clients=4, alpha=0.1), Federated(partition="dirichlet", clients=4, alpha=1000),
    ):  # fmt: skip
        clients = divided(stages.examples, recipe, stages.run)
        ids = [fact for client in clients for fact in client.examples["fact_id"]]
        assert sorted(ids) == sorted(stages.examples["fact_id"])
        order = {fact: place for place, fact in enumerate(stages.examples["fact_id"])}
        assert all(
            [order[fact] for fact in client.examples["fact_id"]] == sorted(order[fact] for fact in client.examples["fact_id"])
            for client in clients
        )
        again = divided(stages.examples, recipe, stages.run)
        assert [c.examples["fact_id"].tolist() for c in clients] == [c.examples["fact_id"].tolist() for c in again]
        sizes[str(recipe)] = [len(client.examples) for client in clients]
    by_relation, by_level, iid, single, skewed, even = sizes.values()
    assert by_relation == [12, 12, 12]
    assert (sum(by_level), len(by_level)) == (36, 5)
    assert iid == [8, 7, 7, 7, 7]
    assert single == [1] * 36
    assert max(even) - min(even) <= 3 < max(skewed) - min(skewed)


def test_seven_facts_are_a_client_like_others(tmp_path):
    """Fewer than a batch: one step, and the weight of seven; notes tell sizes, those left out and the difference in steps."""
    made = made_of(tmp_path, Federated(partition="iid", clients=30, rounds=1), method="lora", n=2)
    assert made.tables["clients"]["steps"].tolist() == [1, 1]
    assert made.notes[:3] == (
        "2 clients, the smallest with 1 example, the largest with 1.",
        "28 of 30 clients got no facts and were left out.",
        "All clients together make 2 steps, where plain LoRA makes 1 in as many passes: clients' last batches are short.",
    )
    stages = stages_of(tmp_path / "seven", Federated(partition="iid", clients=1, rounds=1), method="lora", n=7)
    facts = stages.source.facts
    stages.source = dataclasses.replace(stages.source, facts=facts[facts["split"] != "dev"])
    whole = carry_out(stages)
    whole.settle()
    assert whole.tables["clients"]["steps"].tolist() == [1]
    assert whole.notes[-1].startswith("Averaging A and B apart loses 0 to 0 of the mean update")  # no dev facts, no word of them
    assert whole.notes[1] == "All clients together make 1 step, as many as plain LoRA does with the same passes over all examples."


def test_clients_alone_exchange_nothing(tmp_path):
    """The run's model is plain LoRA on the largest client's facts for all passes; every client is asked about dev facts."""
    recipe = Federated(aggregation="local", rounds=2)
    made, stages = made_of(tmp_path / "local", recipe, method="lora"), stages_of(tmp_path, recipe, method="lora")
    clients = divided(stages.examples, recipe, stages.run)
    largest = max(clients, key=lambda client: len(client.examples))
    tuned = fine_tune(stages.loaded, largest.examples, dataclasses.replace(LORA, epochs=2), tmp_path / "plain")
    assert same_weights(made.tuned.loaded, tuned.loaded)
    assert made.examples["fact_id"].tolist() == largest.examples["fact_id"].tolist()
    table = made.tables["clients"]
    assert table["dev_facts"].tolist() == [12, 12, 12]
    assert table["dev_right"].notna().all()
    assert "12 dev facts rightly on average (weighted by their examples)" in made.notes[-1]


@in_full
def test_a_kill_between_rounds_leaves_the_result_as_it_is(tmp_path):
    """The first round is not trained again; weights and tables are those of an undisturbed run."""
    recipe, recorder = Federated(aggregation="fedex", partition="iid", clients=2, rounds=2), Recorder()
    whole = made_of(tmp_path / "whole", recipe, reporter=recorder, method="lora")
    before = [update.phase for update in recorder.updates].index("train: round-2-client-1")
    with pytest.raises(Stopped):
        made_of(tmp_path / "killed", recipe, reporter=Recorder(stop_after=before + 1), method="lora")
    rest = Recorder()
    made = made_of(tmp_path / "again", recipe, reporter=rest, method="lora")
    assert not any(update.phase.startswith("train: round-1") for update in rest.updates)
    assert same_weights(made.tuned.loaded, whole.tuned.loaded)
    assert made.tuned.examples_seen == 40
    pd.testing.assert_frame_equal(made.tables["rounds"], whole.tables["rounds"])
    assert [stage.name for stage in made.stages] == [f"round-{number}-client-{client}" for number in (1, 2) for client in (1, 2)]
    assert list(Workspace.current().unfinished.iterdir()) == []


def test_rounds_have_seeds_of_their_own():
    """The first one's is the run's, so that one round is plain LoRA."""
    assert seed_of(7, 1) == 7
    assert len({seed_of(7, number) for number in range(1, 101)}) == 100


def test_its_cost_is_all_passes_and_the_dev_facts():
    """FedEx holds a copy of the weights in float32 beside."""
    run = dataclasses.replace(LORA, epochs=2)
    assert costs(dataclasses.replace(run, recipe=Federated(rounds=3)), 20) == [
        StageCost("clients", 20, 6),
        StageCost("dev facts", answers=200),
    ]
    alone = costs(dataclasses.replace(run, recipe=Federated(aggregation="local", clients=5)), 20)
    assert alone[1] == StageCost("dev facts", answers=1000)
    assert costs(dataclasses.replace(run, recipe=Federated(aggregation="fedex")), 20)[0].objective == ExactAverage()
