"""Where work begins with a trial step: before anything long, and once."""

from __future__ import annotations

import pytest

from sftqa_core import workflows
from sftqa_core.errors import OutOfMemory
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.memory.profiles import open_for
from sftqa_core.planning.fit import likely_longest
from sftqa_core.progress import Silent
from sftqa_core.records import LevelScheme, PromptFormat, SamplerSettings, StudySettings, TrainSettings
from sftqa_core.training import trying
from sftqa_core.training.selection import train_pool
from sftqa_core.workflows import training

SCHEME = LevelScheme(sampling=SamplerSettings(samples=2, max_new_tokens=4))


class Log(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, line: str) -> None:
        self.lines.append(line)


def settings(world: str, **changes) -> TrainSettings:
    base = {"n": 4, "scheme": SCHEME, "shots": 0, "max_answer_tokens": 4, "test_limit": 2, "save_model": False, "device": "cpu"}
    return TrainSettings("tiny", world, **{**base, **changes})


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU."""
    monkeypatch.setattr(trying, "tried_first", lambda *of: True)


def tried(log: Log) -> list[str]:
    return [line for line in log.lines if line.startswith("Tried one step")]


def test_a_run_with_a_trial_has_the_numbers_of_one_without(world, workspace, monkeypatch):
    """Curve and answers; the log tells what it took beside what was expected."""
    plain, log = workflows.train(settings(world)), Log()
    monkeypatch.setattr(trying, "tried_first", lambda *of: True)
    after = workflows.train(settings(world), log)
    assert tried(log)[0].startswith("Tried one step on the 4 longest examples (up to ")
    assert "were expected (" in tried(log)[0]
    assert len(tried(log)) == 1
    assert (after.before, after.after) == (plain.before, plain.after)
    first, second = (workflows.run(run.run) for run in (plain, after))
    assert first.curve().equals(second.curve())
    assert first.predictions("after").equals(second.predictions("after"))


def test_too_little_memory_is_told_before_the_probe(world, workspace, always, monkeypatch):
    """Nothing was measured yet when the run ends."""

    def full(*args, **kwargs):
        raise OutOfMemory("Fine-tuning needs more memory than the device has.")

    monkeypatch.setattr("sftqa_core.memory.probing.probe_facts", lambda *_, **__: pytest.fail("probed"))
    monkeypatch.setattr(training, "try_examples", full)
    for changes in ({}, {"levels": (1,)}, {"levels": (1,), "n": TrainSettings.ALL}):
        with pytest.raises(OutOfMemory, match="needs more memory"):
            workflows.train(settings(world, **changes))
    with pytest.raises(OutOfMemory, match="needs more memory"):
        workflows.study(StudySettings("amount", ("tiny",), world, sizes=(2,), seeds=(0,), scheme=SCHEME, device="cpu"))


def test_a_run_of_chosen_levels_is_tried_once(world, workspace, always):
    """Before train facts are probed, and not again."""
    log = Log()
    workflows.train(settings(world, n=2, levels=(1,)), log)
    assert len(tried(log)) == 1


def test_a_run_without_examples_tries_nothing(world, workspace, always):
    """n = 0 trains nothing."""
    log = Log()
    workflows.train(settings(world, n=0), log)
    assert tried(log) == []


def test_the_longest_of_a_draw_are_the_ones_tried(world, workspace):
    """All of the pool: its very longest; a part of it: as long as a draw of that size is likely to be; none: none."""
    source: FactSource = open_for("tiny", world)
    one = settings(world)
    pool = train_pool(source, one).copy()
    pool["question"] = ["Who" + "o" * number for number in range(len(pool))]
    pool["answers"] = [("x",)] * len(pool)
    assert likely_longest(one, pool, len(pool))["question"].tolist() == pool["question"].tolist()[-8:]
    some = likely_longest(one, pool, 9)["question"].tolist()
    rank = round(len(pool) * 9 / 10)
    assert some == pool["question"].tolist()[rank - 8 : rank]
    assert likely_longest(one, pool, 0).empty
    assert likely_longest(one, pool.head(0), 5).empty


def test_the_command_tries_at_once(world, workspace, monkeypatch):
    """On whatever device; memory that does not suffice is the point's problem, with the way out."""
    found = workflows.trial(settings(world))
    assert (found.name, found.state, found.said.startswith("Tried one step on the 8 longest")) == ("trial", "ok", True)
    assert workflows.trial(settings(world, n=0)).said == "There are no examples, so no step was tried."

    def full(*args, **kwargs):
        raise OutOfMemory("Fine-tuning needs more memory than the device has (batch size 8). Use a smaller batch_size.")

    monkeypatch.setattr("sftqa_core.training.trainer.make_trainer", full)
    found = workflows.trial(settings(world))
    assert (found.state, found.fix) == ("problem", "Use a smaller batch_size.")


def test_a_pool_with_an_example_too_long_is_no_reason_to_end(world, workspace, always):
    """It need not be drawn; where it is, the run itself says so."""
    run = training.TrainingRun(settings(world, prompt=PromptFormat("own", "Q: {question}" + " and" * 300 + "\nA:")), Silent())
    run.try_first()
