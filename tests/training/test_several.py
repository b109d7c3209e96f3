"""Several processes train one model as one process would, and end together. Two on the processor stand in for two GPUs."""

from __future__ import annotations

import dataclasses
import json
import signal
from multiprocessing import active_children
from multiprocessing.process import BaseProcess

import psutil
import pytest
import torch

from sftqa_core.errors import OutOfMemory, SettingsError, SftqaError, Stopped
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.loading import load_model
from sftqa_core.progress import Silent
from sftqa_core.training import distributed as several
from sftqa_core.training.distributed import Share, together_arguments
from sftqa_core.training.encoding import IGNORED
from sftqa_core.training.fine_tuning import fine_tune
from sftqa_core.training.trainer import Collator
from sftqa_core.workspace import Workspace
from tests.amount import few, in_full
from tests.forking import TOGETHER
from tests.tiny import tiny_loaded
from tests.training import fsdp_on_cpu
from tests.training.pretended import exits, fails, killed, starts_and_is_killed
from tests.training.test_trainer import EXAMPLES, SETTINGS, Recorder

TWO = dataclasses.replace(SETTINGS, gpus=2, epochs=2, save_model=False)
SOME = EXAMPLES.head(17)  # three batches of at most 8: in the last one the second process has no example


def working() -> list[BaseProcess]:
    """This training's processes."""
    return active_children()


@pytest.fixture(autouse=True)
def forked(monkeypatch, request):
    """Processes are forked from one that has imported everything (forking.py), not started anew, unless a test is marked so."""
    if not request.node.get_closest_marker("anew"):
        monkeypatch.setattr(several, "_START", "forkserver")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """A model on the disk, from where every process reads it."""
    folder, tiny, threads = tmp_path_factory.mktemp("model"), tiny_loaded(), torch.get_num_threads()
    tiny.model.save_pretrained(folder)
    tiny.tokenizer.save_pretrained(folder)
    torch.set_num_threads(1)
    yield load_model(find_model(str(folder)), "cpu")
    torch.set_num_threads(threads)


def curve(folder):
    return [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]


def require_alike(one, two, folder):
    """The same weights, counts and curve but for rounding."""
    for ours, theirs in zip(one.loaded.model.parameters(), two.loaded.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-6)
    assert (one.steps, one.examples_seen, one.trained_parameters) == (two.steps, two.examples_seen, two.trained_parameters)
    assert [row["step"] for row in curve(folder / "two")] == [1, 2, 3, 4, 5, 6]
    for name in ("loss", "learning_rate"):
        assert [row[name] for row in curve(folder / "two")] == pytest.approx([row[name] for row in curve(folder / "one")], rel=1e-5)
    assert two.final_loss == curve(folder / "two")[-1]["loss"]


@pytest.mark.parametrize("start", ["forked", pytest.param("anew", marks=[pytest.mark.anew, in_full])])
def test_two_processes_do_what_one_does(loaded, tmp_path, start):
    """Full fine-tuning: the same examples in the same order, the loss over the whole batch, and progress as ever."""
    recorder = Recorder()
    one = fine_tune(loaded, SOME, dataclasses.replace(TWO, gpus=1), tmp_path / "one")
    two = fine_tune(loaded, SOME, TWO, tmp_path / "two", recorder)
    require_alike(one, two, tmp_path)
    assert [(update.phase, update.done, update.total) for update in recorder.updates] == [("train", step, 6) for step in range(1, 7)]
    assert working() == []
    assert list(Workspace.current().unfinished.iterdir()) == []


@pytest.mark.parametrize("method", few(["full", "lora"], "lora"))
def test_a_model_in_parts_is_trained_as_a_whole_one(loaded, tmp_path, monkeypatch, method):
    """FSDP, which accelerate would use on GPUs only: every process holds a part of each layer."""
    monkeypatch.setattr(several, "take_part", fsdp_on_cpu.take_part)
    settings = dataclasses.replace(TWO, method=method, sharding="fsdp")
    one = fine_tune(loaded, SOME, dataclasses.replace(settings, gpus=1), tmp_path / "one")
    require_alike(one, fine_tune(loaded, SOME, settings, tmp_path / "two"), tmp_path)


def test_a_stopped_training_goes_on_and_ends_the_same(loaded, tmp_path):
    """LoRA: both processes stop in the same step after writing a checkpoint, from which both go on."""
    settings = dataclasses.replace(TWO, method="lora")
    one = fine_tune(loaded, SOME, dataclasses.replace(settings, gpus=1), tmp_path / "one")
    with pytest.raises(Stopped):
        fine_tune(loaded, SOME, settings, tmp_path / "two", Recorder(stop_after=1))
    steps = len(curve(tmp_path / "two"))
    (folder,) = (path for path in Workspace.current().unfinished.iterdir() if path.is_dir())
    assert [path.name for path in folder.iterdir()] == [f"checkpoint-{steps}"]
    rest = Recorder()
    two = fine_tune(loaded, SOME, settings, tmp_path / "two", rest)
    require_alike(one, two, tmp_path)
    assert [update.done for update in rest.updates] == list(range(steps + 1, 7))


@in_full
def test_processes_that_train_together_drop_out_too(loaded, tmp_path):
    """Stopped in between and gone on with, the same again; and from the fourth of six steps on, where dropout begins, another loss than
    without it."""
    settings = dataclasses.replace(TWO, method="lora", lora_dropout=0.5, lora_dropout_from=0.5)
    whole = fine_tune(loaded, SOME, settings, tmp_path / "whole")
    whole.settle()
    with pytest.raises(Stopped):
        fine_tune(loaded, SOME, settings, tmp_path / "cut", Recorder(stop_after=1))
    again = fine_tune(loaded, SOME, settings, tmp_path / "cut")
    fine_tune(loaded, SOME, dataclasses.replace(settings, lora_dropout=0.0), tmp_path / "plain")
    assert again.loaded.fingerprint == whole.loaded.fingerprint
    held, plain = ([row["loss"] for row in curve(tmp_path / name)] for name in ("whole", "plain"))
    assert [ours == theirs for ours, theirs in zip(held, plain, strict=True)] == [True] * 3 + [False] * 3


def test_all_end_when_one_is_killed(loaded, tmp_path):
    """As the system does when memory runs out: nobody waits for the dead one, and the sentence says what may help."""

    class Kills(Recorder):
        def progress(self, update):
            if not self.updates:
                working()[1].kill()
            super().progress(update)

    settings = dataclasses.replace(TWO, epochs=2000)
    with pytest.raises(OutOfMemory, match="One of the training's 2 processes was killed, most likely because the machine's memory ran out"):
        fine_tune(loaded, SOME, settings, tmp_path / "two", Kills())
    assert working() == []


@pytest.mark.parametrize(
    ("failure", "ends", "kind", "message"),
    [
        (OutOfMemory("Fine-tuning needs more."), (exits, 1), OutOfMemory, "Fine-tuning needs more."),
        (SettingsError("The loss became nan."), (exits, 1), SettingsError, "The loss became nan."),
        (
            RuntimeError("no such operator"),
            (exits, 1),
            SftqaError,
            "One of the training's 2 processes ended with status 1 (no such operator). The log has details",
        ),
        (None, (exits, 3), SftqaError, "One of the training's 2 processes ended with status 3."),
        (None, (killed, 11), SftqaError, "One of the training's 2 processes ended by signal 11."),
    ],
)
def test_what_one_process_says_is_raised_here_and_the_others_end(monkeypatch, failure, ends, kind, message):
    """The usual errors come over as they are; anything else names what happened."""
    monkeypatch.setattr(several, "_GRACE_S", 0.5)
    with several.Group.started(2, fails, failure, *ends) as group:
        with pytest.raises(kind) as error:
            group.finish(Silent())
        assert type(error.value) is kind
        assert str(error.value).startswith(message)
    assert working() == []
    assert all(process.exitcode for process in group.processes)


def test_a_process_ends_with_the_one_that_started_it():
    """Killed like a cancelled job, that one can't say so: its end of a pipe closes."""
    ours, theirs = TOGETHER.Pipe()
    starter = TOGETHER.Process(target=starts_and_is_killed, args=(theirs,))
    starter.start()
    theirs.close()
    child = psutil.Process(ours.recv())
    starter.join(20)
    child.wait(20)
    assert starter.exitcode == -signal.SIGKILL


def test_each_process_takes_its_part_of_a_batch():
    """Together they have every example once; who gets none reads one without learning from it."""
    examples = [{"input_ids": [number] * 3, "labels": [IGNORED, number, number]} for number in range(5)]
    parts = [Share(Collator(0), rank, 2)(examples)["input_ids"][:, 0].tolist() for rank in range(2)]
    assert parts == [[0, 1, 2], [3, 4]]
    pairs = [Share(Collator(0), rank, 2, together=2)(examples)["input_ids"][:, 0].tolist() for rank in range(2)]
    assert pairs == [[0, 1, 2, 3], [4]], "neighbours that belong together are not parted"
    alone = Share(Collator(0), 1, 2)(examples[:1])
    assert (alone["input_ids"].tolist(), alone["labels"].tolist()) == ([[0, 0, 0]], [[IGNORED] * 3])


def test_fsdp_divides_the_model_layer_by_layer():
    """Its configuration."""
    model = tiny_loaded().model
    assert together_arguments(model, TWO) == {"ddp_find_unused_parameters": False}
    sharded = together_arguments(model, dataclasses.replace(TWO, sharding="fsdp"))
    assert sharded == {"fsdp": True, "fsdp_config": {"version": 2, "transformer_layer_cls_to_wrap": ["LlamaDecoderLayer"]}}


def test_settings_that_do_not_fit_several_gpus_are_refused():
    """Every problem in a sentence."""
    with pytest.raises(SettingsError, match="batch_size must be a multiple of gpus, which share each batch, got 8 for 3"):
        dataclasses.replace(SETTINGS, gpus=3)
    with pytest.raises(SettingsError, match=r"gpus must be 1 to 64, got 0\.\nsharding must be one of ddp, fsdp, got 'zero'"):
        dataclasses.replace(SETTINGS, gpus=0, sharding="zero")
