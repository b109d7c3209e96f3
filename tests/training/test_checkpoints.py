"""A training that was cut off at any moment goes on from its checkpoint and ends like an undisturbed one."""

import dataclasses
import os
import random
import time

import pytest

from sftqa_core.artifacts import seal
from sftqa_core.errors import Stopped
from sftqa_core.training import checkpoints as unfinished
from sftqa_core.training.fine_tuning import fine_tune
from sftqa_core.workspace import Workspace
from tests.amount import few
from tests.jobs.job_processes import until
from tests.tiny import tiny_loaded
from tests.training.test_trainer import EXAMPLES, SETTINGS, Recorder

LONG = dataclasses.replace(SETTINGS, epochs=4, save_model=False)  # 12 steps


@pytest.fixture
def often(monkeypatch):
    """A checkpoint after every step."""
    monkeypatch.setattr(unfinished, "EVERY_S", 0.0)
    monkeypatch.setattr(unfinished, "MOST_SHARE", 1e9)


def folders():
    place = Workspace.current().unfinished
    return [path for path in place.iterdir() if path.is_dir()] if place.exists() else []


def prints(result):
    return result.loaded.fingerprint, result.final_loss


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_stopped_training_goes_on_and_ends_the_same(method, tmp_path):
    """Stopped after 5 of 12 steps and asked for again: same weights, same curve, and only 7 steps more were made."""
    settings, loaded = dataclasses.replace(LONG, method=method), tiny_loaded()
    whole = fine_tune(loaded, EXAMPLES, settings, tmp_path / "whole")
    with pytest.raises(Stopped):
        fine_tune(loaded, EXAMPLES, settings, tmp_path / "cut", Recorder(stop_after=5))
    assert [path.name for path in folders()[0].iterdir()] == ["checkpoint-5"]
    rest = Recorder()
    again = fine_tune(loaded, EXAMPLES, settings, tmp_path / "cut", rest)
    assert prints(again) == prints(whole)
    assert (tmp_path / "cut" / "curve.jsonl").read_text() == (tmp_path / "whole" / "curve.jsonl").read_text()
    assert [update.done for update in rest.updates] == [6, 7, 8, 9, 10, 11, 12]
    again.settle()
    assert folders() == []


def _until_told(steps, told, child):
    until(lambda: len(told.read_text().splitlines()) >= steps or child.poll() is not None, every_s=0.001)


@pytest.mark.parametrize("method", few(["full", "lora"], "lora"))
def test_a_training_killed_at_a_random_step_ends_the_same(method, tmp_path, often, parents):
    """kill -9 while it works, twice: whatever it was doing, the third process ends with the undisturbed run's weights."""
    settings = dataclasses.replace(LONG, method=method)
    whole = fine_tune(tiny_loaded(), EXAMPLES, settings, tmp_path / "whole")
    whole.settle()
    assert folders() == []
    moments = random.Random(os.getpid())
    for number in range(2):
        told, steps = tmp_path / f"told-{number}", moments.randint(2, 5)  # the first one's checkpoint is whole when the second one is told
        told.touch()
        child = parents.everything.start("tests.training.told_training", [method, str(tmp_path / "cut"), str(told)], os.environ)
        _until_told(steps, told, child)
        time.sleep(moments.random() * 0.05)  # somewhere in the next step, or in the writing of a checkpoint
        child.kill()
        child.wait()
    rest = Recorder()
    again = fine_tune(tiny_loaded(), EXAMPLES, settings, tmp_path / "cut", rest)
    assert prints(again) == prints(whole)
    assert rest.updates == [] or rest.updates[0].done > 1, "it went on"
    curves = [(tmp_path / name / "curve.jsonl").read_text() for name in ("cut", "whole")]
    assert curves[0] == curves[1]


def test_a_half_written_checkpoint_is_passed_over(tmp_path, often):
    """A file that a power cut shortened: the checkpoint counts as not there, and the training starts again."""
    with pytest.raises(Stopped):
        fine_tune(tiny_loaded(), EXAMPLES, LONG, tmp_path / "cut", Recorder(stop_after=4))
    optimizer = folders()[0] / "checkpoint-4" / "optimizer.pt"
    optimizer.write_bytes(optimizer.read_bytes()[:-100])
    rest = Recorder()
    fine_tune(tiny_loaded(), EXAMPLES, LONG, tmp_path / "cut", rest)
    assert [update.done for update in rest.updates] == list(range(1, 13))


def first_step(*training):
    """The number of the first step that such a training makes."""
    told = Recorder(stop_after=1)
    with pytest.raises(Stopped):
        fine_tune(*training, told)
    return told.updates[0].done


@pytest.mark.parametrize("change", [{"seed": 1}, {"learning_rate": 2e-2}, {"batch_size": 4}, {"epochs": 5}, {"method": "lora"}])
def test_other_settings_never_go_on_from_it(change, tmp_path):
    """Whatever the next step depends on is part of the key."""
    with pytest.raises(Stopped):
        fine_tune(tiny_loaded(), EXAMPLES, LONG, tmp_path / "cut", Recorder(stop_after=4))
    assert first_step(tiny_loaded(), EXAMPLES, dataclasses.replace(LONG, **change), tmp_path / "other") == 1


def test_other_examples_or_another_model_never_go_on_from_it(tmp_path):
    """One example less, or other weights under the same name."""
    with pytest.raises(Stopped):
        fine_tune(tiny_loaded(), EXAMPLES, LONG, tmp_path / "cut", Recorder(stop_after=4))
    other = tiny_loaded(seed=1)
    other = dataclasses.replace(other, fingerprint=dataclasses.replace(other.fingerprint, weights="x" * 16))
    for loaded, examples in ((tiny_loaded(), EXAMPLES.head(19)), (other, EXAMPLES)):
        assert first_step(loaded, examples, LONG, tmp_path / "other") == 1


def test_a_short_training_writes_no_checkpoint(tmp_path):
    """A second of work is not worth a file."""
    fine_tune(tiny_loaded(), EXAMPLES, SETTINGS, tmp_path)
    assert list(Workspace.current().unfinished.iterdir()) == []


def test_two_that_do_the_same_at_once_do_not_share_checkpoints(tmp_path, often):
    """The second one trains from the first step, writes none, and ends with the same weights."""
    loaded = tiny_loaded()

    class Starts(Recorder):
        inner = None

        def progress(self, update):
            super().progress(update)
            if update.done == 6 and self.inner is None:
                self.inner = fine_tune(tiny_loaded(), EXAMPLES, LONG, tmp_path / "inner")

    outer = Starts()
    state = fine_tune(loaded, EXAMPLES, LONG, tmp_path / "outer")
    state.settle()
    fine_tune(loaded, EXAMPLES, LONG, tmp_path / "again", outer)
    assert outer.inner.unfinished is None
    assert prints(outer.inner) == prints(state)


def test_a_full_disk_ends_no_training(tmp_path, often, monkeypatch):
    """Where a checkpoint would not fit, the log says so and the work goes on."""
    monkeypatch.setattr(unfinished.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    lines = []

    class Logs(Recorder):
        def log(self, line):
            lines.append(line)

    assert fine_tune(tiny_loaded(), EXAMPLES, LONG, tmp_path, Logs()).steps == 12
    assert lines[0].startswith("No checkpoint was written: 0.0 GB are free beside ")
    assert folders() == []


def test_the_time_before_an_interruption_counts(tmp_path):
    """The result's seconds are those of all its steps."""
    with pytest.raises(Stopped):
        fine_tune(tiny_loaded(), EXAMPLES, LONG, tmp_path / "cut", Recorder(stop_after=4))
    seal(folders()[0] / "checkpoint-4", {"kind": "checkpoint", "step": 4, "seconds": 1000.0})
    assert 1000 < fine_tune(tiny_loaded(), EXAMPLES, LONG, tmp_path / "cut").seconds < 1100
