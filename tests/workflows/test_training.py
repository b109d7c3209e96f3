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


def cut_run(world: str, monkeypatch: pytest.MonkeyPatch, **changes) -> workflows.Run:
    """A run whose clock stands while the base model is measured, and is past its limit from the first step on."""
    from sftqa_core.training import time_limit

    now_s = [0.0]

    class Steps(Silent):
        def progress(self, update):
            now_s[0] += 90.0 if update.phase == "train" else 0.0

    with monkeypatch.context() as patch:
        patch.setattr(time_limit, "clock", lambda: now_s[0])
        return workflows.run(workflows.train(settings(world, epochs=4, time_limit_min=1, save_model=True, **changes), Steps()).run)


def test_a_run_that_its_time_limit_cut_says_so_everywhere(world, workspace, monkeypatch):
    """The limit passes when the first of four steps is told, so that the second one is the last."""
    run = cut_run(world, monkeypatch)
    told = "stopped after 2 of 4 steps by its time limit of 1 minute"
    assert run.cut == told
    assert run.manifest["training"]["cut"] is True
    assert (run.manifest["training"]["steps"], run.manifest["examples"]["seen"]) == (2, 8)
    (info,) = (info for info in workflows.runs() if not info.shipped)
    assert info.cut == told
    assert workflows.run_list([info])["cut"].tolist() == [told]
    assert len(run.predictions("after")) == len(run.predictions("before"))
    assert (run.model / "model.safetensors").exists()
    assert workflows.compare([run.id]).comparison.notes[0] == f"A was {told}."


def test_a_cut_run_is_taken_for_no_other(world, workspace, monkeypatch):
    """It is not made again, is not another run's twin, and shares its setting with no other run and no other seed."""
    from sftqa_core.workflows.tested.remaking import check_again, made_again, settings_again
    from sftqa_core.workflows.tested.tested_models import tested

    cut = tested(cut_run(world, monkeypatch).id)
    seed = tested(cut_run(world, monkeypatch, seed=1).id)
    with pytest.raises(SettingsError, match=r"was stopped after 2 of 4 steps by its time limit of 1 minute: how far it got depended on"):
        settings_again(cut)
    limited, plain = (
        tested(workflows.train(settings(world, epochs=4, save_model=True, time_limit_min=limit)).run) for limit in (9, None)
    )  # fmt: skip
    assert (limited.cut, plain.cut) == ("", "")
    assert limited.setting == plain.setting
    assert settings_again(limited) == settings_again(plain)
    assert len({model.setting for model in (cut, seed, plain)}) == 3
    assert (made_again(cut), made_again(plain), made_again(limited)) == ([], [limited.name], [plain.name])
    assert check_again(cut.name, plain.name).same_settings is False
    assert check_again(limited.name, plain.name).equal


def test_a_limit_that_passes_while_the_model_is_measured_stores_no_run(world, workspace, monkeypatch):
    """What was probed is kept; the same run without a limit goes on from there."""
    from sftqa_core.errors import OutOfTime
    from sftqa_core.training import time_limit

    now_s = [0.0]
    monkeypatch.setattr(time_limit, "clock", lambda: now_s[0])

    class Slow(Silent):
        def progress(self, update):
            now_s[0] += 90.0

    with pytest.raises(OutOfTime, match="The time limit of 1 minute passed before the first training step"):
        workflows.train(settings(world, time_limit_min=1), Slow())
    assert all(info.shipped for info in workflows.runs())
    assert workflows.train(settings(world)).n == 4
