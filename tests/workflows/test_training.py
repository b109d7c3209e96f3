"""What a run's baselines are counted on, and what is checked before it costs time."""

from __future__ import annotations

import pytest

from sftqa_core import workflows
from sftqa_core.errors import SettingsError
from sftqa_core.knowledge.sources import open_source
from sftqa_core.memory.profiles import open_for
from sftqa_core.progress import Silent
from sftqa_core.records import LevelScheme, PromptFormat, SamplerSettings, TrainSettings

SCHEME = LevelScheme(sampling=SamplerSettings(samples=2, max_new_tokens=4))


def settings(world: str, **changes) -> TrainSettings:
    base = {"n": 4, "scheme": SCHEME, "shots": 1, "max_answer_tokens": 4, "test_limit": 2, "save_model": False, "device": "cpu"}
    return TrainSettings("tiny", world, **{**base, **changes})


def test_the_majority_object_is_counted_on_the_whole_source(world, workspace):
    """Facts that the tiny model's corpus spent on its own questions still count for the commonest object."""
    run = workflows.run(workflows.train(settings(world, n=0)).run)
    whole, left = open_source(world).facts, open_for("tiny", world).facts
    for relation, guess in run.manifest["majority"].items():
        split = "dev" if relation == "P26" else "train"
        assert (guess["split"], guess["of"]) == (split, (whole.query("relation == @relation")["split"] == split).sum())
    used = left[left["split"].isin(["train", "dev"])]
    assert sum(guess["of"] for guess in run.manifest["majority"].values()) > len(
        used[(used["split"] == "train") | (used["relation"] == "P26")]
    )
    answers = {relation: guess["answer"] for relation, guess in run.manifest["majority"].items()}
    asked = run.facts().set_index("fact_id")["relation"]
    majority = run.predictions("majority")
    assert majority["text"].tolist() == [answers[asked[fact]] for fact in majority["fact_id"]]


def test_every_stage_is_told_without_echo_facts(world, workspace):
    """The baselines too: they gain from echo facts as much as the model does."""
    summary = workflows.train(settings(world, n=0))
    assert list(summary.without_echo) == ["before", "few_shot", "majority", "after"]
    assert summary.without_echo["majority"] == summary.baselines["majority"]  # this world has no echo facts
    assert workflows.run(summary.run).summary == summary


def test_other_numbers_of_examples_are_base_lines_of_their_own(world, workspace):
    """Kept like the usual one, under its number: a run that has it for its one base line finds it; no room for all is told."""
    summary = workflows.train(settings(world, n=0, more_shots=(2, 90)))
    assert list(summary.baselines) == ["few_shot", "few_shot_2", "few_shot_90", "majority"]
    run = workflows.run(summary.run)
    shown = run.predictions("few_shot_90")["shown"]
    assert 2 < shown.max() < 90
    assert summary.shown == {"few_shot_90": round(float(shown.mean()), 2)}
    assert run.predictions("few_shot_2")["shown"].eq(2).all()
    assert run.predictions("after")["shown"].isna().all()
    again = workflows.run(workflows.train(settings(world, n=0, shots=2)).run)
    assert again.summary.seconds["few_shot"] == 0.0
    assert again.predictions("few_shot")["text"].tolist() == run.predictions("few_shot_2")["text"].tolist()
    assert again.summary.shown is None


def test_the_forecast_counts_every_base_line(world, workspace):
    """Until they are known: then they cost nothing."""
    few, many = (workflows.forecast(settings(world, more_shots=more)) for more in ((), (16,)))
    assert many.seconds_high > few.seconds_high
    assert many.fit.needed > few.fit.needed
    workflows.train(settings(world, n=0, more_shots=(16,)))
    assert "The base model's answers are known already." in workflows.forecast(settings(world, more_shots=(16,))).notes


@pytest.mark.parametrize(
    ("prompt", "told"),
    [("Q: {question}" + " and" * 300 + "\nA:", "4 of 4 training examples do not fit"), (None, "8 of 8 test questions do not fit")],
)
def test_what_does_not_fit_the_model_is_told_before_anything_is_measured(world, workspace, prompt, told, monkeypatch):
    """A prompt of hundreds of words, or answers as long as the model's positions, end the run before the probe."""
    monkeypatch.setattr("sftqa_core.memory.probing.probe_facts", lambda *_, **__: pytest.fail("probed"))
    changes = {"prompt": PromptFormat("own", prompt)} if prompt else {"max_answer_tokens": 512}
    with pytest.raises(SettingsError, match=told):
        workflows.train(settings(world, **changes), Silent())


def test_a_wish_is_fulfilled_once(world, workspace):
    """A job that died between storing its run and saying so gets that run when it goes on; another wish gets its own."""
    first = workflows.run_job("train", settings(world).to_dict(), Silent(), "train-1")
    assert workflows.run_job("train", settings(world).to_dict(), Silent(), "train-1") == first
    assert workflows.run_job("train", settings(world).to_dict(), Silent(), "train-2") != first
    assert [run.shipped for run in workflows.runs()].count(False) == 2


def test_looks_at_dev_facts_are_read_back_with_intervals(world, workspace):
    """One row for each look and domain that has dev facts; a run that did not look has none."""
    looked = workflows.run_looks(workflows.train(settings(world, n=8, batch_size=4, eval_every=1, eval_facts=6)).run)
    assert looked["step"].unique().tolist() == [1, 2]
    assert looked.groupby("step")["n"].sum().tolist() == [6, 6]
    assert (looked["low"] <= looked["accuracy"]).all()
    assert (looked["accuracy"] <= looked["high"]).all()
    assert looked["accuracy"].tolist() == (looked["correct"] / looked["n"]).tolist()
    assert workflows.run_looks(workflows.train(settings(world)).run).empty
