"""A time limit ends a training at the end of a step, keeps the weights, and counts what was trained before an interruption."""

import json

import pytest
import torch

from sftqa_core.errors import OutOfTime, SettingsError, Stopped
from sftqa_core.records import SweepSettings, TrainSettings
from sftqa_core.records.tuning import cut_words
from sftqa_core.training import checkpoints, time_limit
from sftqa_core.training.fine_tuning import fine_tune
from sftqa_core.training.time_limit import TimeLimit, UntilThen
from tests.tiny import tiny_loaded
from tests.training.test_steps import weights
from tests.training.test_trainer import EXAMPLES, Recorder, with_
from tests.training.test_watching import Look


class Clock(Recorder):
    """A reporter and a clock that it moves on: so many seconds after each step."""

    def __init__(self, monkeypatch, step_s: float, stop_after: int | None = None):
        super().__init__(stop_after)
        self.now_s, self.step_s, self.lines = 1_000.0, step_s, []
        monkeypatch.setattr(time_limit, "clock", lambda: self.now_s)

    def progress(self, update):
        super().progress(update)
        self.now_s += self.step_s

    def log(self, line):
        self.lines.append(line)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_training_stops_at_the_end_of_the_step_and_keeps_the_weights(method, tmp_path, monkeypatch):
    """40 s a step, one minute: the third of six steps is the first to end after it; the weights are those after three steps."""
    clock = Clock(monkeypatch, 40.0)
    settings = with_(method=method, epochs=2, time_limit_min=1, save_model=False)
    result = fine_tune(tiny_loaded(), EXAMPLES, settings, tmp_path / "cut", clock)
    assert (result.steps, result.cut, result.examples_seen, result.kept_step) == (3, True, 20, None)
    curve = [json.loads(line)["step"] for line in (tmp_path / "cut" / "curve.jsonl").read_text().splitlines()]
    assert curve == [1, 2, 3]
    assert clock.lines == ["Stopped after 3 of 6 steps by the time limit of 1 minute; the weights so far are kept and evaluated."]
    whole = fine_tune(tiny_loaded(), EXAMPLES, with_(method=method, epochs=2, save_model=False), tmp_path / "whole", Recorder())
    assert (whole.steps, whole.cut) == (6, False)
    assert not torch.equal(weights(result), weights(whole))


def test_a_limit_that_passes_in_the_last_step_cuts_nothing(tmp_path, monkeypatch):
    """All six steps are made, with the weights of a training without a limit."""
    clock = Clock(monkeypatch, 12.0)
    limited = fine_tune(tiny_loaded(), EXAMPLES, with_(epochs=2, time_limit_min=1, save_model=False), tmp_path / "limited", clock)
    plain = fine_tune(tiny_loaded(), EXAMPLES, with_(epochs=2, save_model=False), tmp_path / "plain", Recorder())
    assert (limited.steps, limited.cut, clock.lines) == (6, False, [])
    assert torch.equal(weights(limited), weights(plain))


def test_with_patience_the_best_weights_so_far_are_kept(tmp_path, monkeypatch):
    """Cut after step 4; the best evaluation was that of step 2."""
    clock, look = Clock(monkeypatch, 20.0), Look(1, 6, 5, 4)
    settings = with_(epochs=4, eval_every=1, patience=9, time_limit_min=1, save_model=False)
    result = fine_tune(tiny_loaded(), EXAMPLES, settings, tmp_path, clock, look)
    assert (result.steps, result.cut, result.kept_step) == (4, True, 2)
    kept = dict(result.loaded.model.named_parameters())
    assert all(torch.equal(kept[name], value) for name, value in look.asked[1].items())


def test_a_limit_that_passes_before_the_first_step_is_told(tmp_path, monkeypatch):
    """Nothing is trained and nothing kept; the sentence says where the time went."""
    clock = Clock(monkeypatch, 1.0)
    limit = TimeLimit(1)
    clock.now_s += 90.0
    told = r"limit of 1 minute passed before the first training step: 1\.5 minutes went into what comes before\. Nothing was trained"
    with pytest.raises(OutOfTime, match=told):
        fine_tune(tiny_loaded(), EXAMPLES, with_(time_limit_min=1), tmp_path, clock, limit=limit)
    assert clock.updates == []
    assert not (tmp_path / "model").exists()
    with pytest.raises(OutOfTime, match="before the first training step"):
        UntilThen(clock, limit).check()


def test_the_wish_to_stop_comes_before_the_limit(monkeypatch):
    """While the model is measured, a person's wish is reported as such; a limit that has not passed ends nothing."""
    clock = Clock(monkeypatch, 1.0, stop_after=0)
    with pytest.raises(Stopped, match="Stopped by the person"):
        UntilThen(clock, TimeLimit(1)).check()
    clock.stop_after = None
    UntilThen(clock, TimeLimit(1)).check()


@pytest.mark.parametrize(("earlier_s", "steps"), [(30.0, 5), (50.0, 4), (500.0, 3)])
def test_what_was_trained_before_an_interruption_counts(earlier_s, steps, tmp_path, monkeypatch):
    """Stopped after two of six steps and asked again: a minute has so many seconds less, and what is over ends with the next step."""
    monkeypatch.setattr(checkpoints, "EVERY_S", 0.0)
    monkeypatch.setattr(checkpoints, "MOST_SHARE", 1e9)
    settings = with_(epochs=2, time_limit_min=1, save_model=False)
    with pytest.raises(Stopped):
        fine_tune(tiny_loaded(), EXAMPLES, settings, tmp_path, Clock(monkeypatch, 1.0, stop_after=2))
    found = checkpoints.Unfinished.newest

    def newest(self):
        path = found(self)
        self.seconds = earlier_s
        return path

    monkeypatch.setattr(checkpoints.Unfinished, "newest", newest)
    result = fine_tune(tiny_loaded(), EXAMPLES, settings, tmp_path, Clock(monkeypatch, 20.0))
    assert (result.steps, result.cut) == (steps, True)


def test_a_limit_is_no_part_of_a_training_that_goes_on(tmp_path, monkeypatch):
    """What a limited training left goes on without a limit, to the weights of an undisturbed one."""
    monkeypatch.setattr(checkpoints, "EVERY_S", 0.0)
    monkeypatch.setattr(checkpoints, "MOST_SHARE", 1e9)
    limited = with_(epochs=2, time_limit_min=1, save_model=False)
    with pytest.raises(Stopped):
        fine_tune(tiny_loaded(), EXAMPLES, limited, tmp_path / "a", Clock(monkeypatch, 1.0, stop_after=2))
    told = Clock(monkeypatch, 1.0)
    plain = with_(epochs=2, save_model=False)
    resumed = fine_tune(tiny_loaded(), EXAMPLES, plain, tmp_path / "a", told)
    assert "Resuming from the checkpoint of step 2." in told.lines
    resumed.settle()
    assert torch.equal(weights(resumed), weights(fine_tune(tiny_loaded(), EXAMPLES, plain, tmp_path / "b", Recorder())))


def test_settings_refuse_what_has_no_meaning():
    """A limit is a minute or more, on one device; a sweep has none, and an untouched model none to pass."""
    for wrong, told in (({"time_limit_min": 0}, "time_limit_min must be 1 to 100,000, got 0"), ({"gpus": 2}, "on one device, got 2 gpus")):
        with pytest.raises(SettingsError, match=told):
            TrainSettings("m", **{"time_limit_min": 5, **wrong})
    assert SweepSettings(TrainSettings("m", time_limit_min=5)).run.time_limit_min is None
    assert TimeLimit.of(TrainSettings("m", n=0, time_limit_min=5)) is None


def test_a_manifest_is_told_in_words():
    """Only of a run that its limit ended, and whatever else may stand there."""
    training = {"steps": 12, "planned_steps": 40, "cut": True}
    assert cut_words(training, 5) == "stopped after 12 of 40 steps by its time limit of 5 minutes"
    for other, limit in (({**training, "cut": False}, 5), ({"steps": 12}, 5), (training, None), (None, 5), (["cut"], 5)):
        assert cut_words(other, limit) == ""
