"""Settings of federated, llm2llm and continue: what can't work is refused in words; controls are runs of their own."""

from __future__ import annotations

import dataclasses

import pytest

from sftqa_core.errors import SettingsError
from sftqa_core.records import TrainSettings
from sftqa_core.records.recipes import Continue, Federated, Llm2Llm

LORA = TrainSettings("m", n=240, method="lora")


def test_what_federated_can_not_average_is_refused():
    """All weights; 4 bits, a look at dev facts and a time limit; more passes than a run may have."""
    with pytest.raises(SettingsError) as told:
        TrainSettings("m", recipe=Federated())
    assert told.value.problems == ["Recipe federated averages LoRA adapters: method must be lora, got full."]
    with pytest.raises(SettingsError) as told:
        dataclasses.replace(LORA, quantization="nf4", eval_every=1, time_limit_min=1, epochs=5_000, recipe=Federated())
    assert told.value.problems == [
        "Recipe federated needs a base in full precision, since averages are added to its weights: quantization must not be nf4.",
        "Recipe federated is made of many short trainings: leave eval_every, patience and time_limit_min out.",
        "epochs times rounds must be at most 10,000 with recipe federated, got 20,000.",
    ]


def test_federated_stands_beside_pooled_lora_and_the_largest_client_alone():
    """Pooled: as many passes over all facts; alone: without averages, the largest client's model, which has the pooled control only."""
    recipe = Federated(aggregation="fedex", partition="dirichlet", rounds=3)
    run = dataclasses.replace(LORA, epochs=2, recipe=recipe)
    alone = dataclasses.replace(run, recipe=dataclasses.replace(recipe, aggregation="local"))
    pooled = dataclasses.replace(LORA, epochs=6)
    assert recipe.controls(run) == {"pooled, as many passes": pooled, "the largest client alone": alone}
    assert alone.recipe.controls(alone) == {"pooled, as many passes": pooled}
    assert [Federated(partition=name).needs_levels for name in ("relation", "level", "iid", "dirichlet")] == [False, True, False, False]
    assert str(recipe) == "Federated, exact, by a residual (FedEx), clients by relations by Dirichlet, 3 rounds"


def test_llm2llm_stands_beside_as_many_random_additions():
    """And beside as many more passes, and plain with a round's epochs; a run's own epochs are refused."""
    run = TrainSettings("m", n=240, recipe=Llm2Llm(teacher="fact"))
    random, again = (dataclasses.replace(run, recipe=Llm2Llm(teacher="fact", additions=what)) for what in ("random", "again"))
    plain = TrainSettings("m", n=240, epochs=3)
    assert run.recipe.controls(run) == {"as many random additions": random, "as many more passes": again, "plain, 3 epochs": plain}
    assert random.recipe.controls(random) == {"as many more passes": again, "plain, 3 epochs": plain}
    with pytest.raises(SettingsError, match="epochs must be 1 with recipe llm2llm, whose round_epochs take their place, got 2"):
        dataclasses.replace(run, epochs=2)
    assert str(Llm2Llm(rounds=3, additions="random")) == "LLM2LLM, added for random examples, at most 3 rounds"


def test_continue_stands_beside_the_tuning_at_its_end():
    """And beside the stages swapped, from either side; 4 bits are refused."""
    run = TrainSettings("m", n=240, recipe=Continue(examples=30))
    swapped = dataclasses.replace(run, recipe=Continue(examples=30, order="questions"))
    assert run.recipe.controls(run) == {"fine-tuning only": TrainSettings("m", n=30), "stages swapped": swapped}
    assert swapped.recipe.controls(swapped)["stages swapped"] == run
    few = dataclasses.replace(run, n=10)
    assert few.recipe.controls(few)["fine-tuning only"].n == 10
    everything = dataclasses.replace(run, n=TrainSettings.ALL)
    assert everything.recipe.controls(everything)["fine-tuning only"].n == 30
    with pytest.raises(SettingsError, match="exports a whole model, which 4 bits don't give: quantization must not be nf4"):
        dataclasses.replace(LORA, quantization="nf4", recipe=Continue())
    assert str(Continue(replay=0.1, kept=1.0)) == "Continue, replay 10%, best 100% kept"
