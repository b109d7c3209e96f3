"""The whole path through the workflows, on a tiny model."""

from __future__ import annotations

import json
from dataclasses import replace

import pandas as pd
import pytest

from sftqa_core import workflows
from sftqa_core.errors import NotEnoughFacts, SettingsError, Stopped
from sftqa_core.progress import Silent
from sftqa_core.records import LevelScheme, ProbeSettings, SamplerSettings, TrainSettings

FEW = SamplerSettings(samples=2, max_new_tokens=4)
FOUR = LevelScheme("four", ("unknown", "weak", "maybe", "sure"), (0.0, 0.3, 0.6), sampling=FEW)


def settings(world: str, **changes) -> TrainSettings:
    base = TrainSettings("tiny", world, n=6, scheme=FOUR, shots=1, max_answer_tokens=4, save_model=False, device="cpu")
    return replace(base, **changes)


class Counting(Silent):
    """Counts what was reported as done, by phase, and stops in a phase, once ten are done, if told to."""

    def __init__(self, stop_in: str | None = None):
        self.done: dict[str, int] = {}
        self.stop_in = stop_in

    def progress(self, update):
        self.done[update.phase] = update.done

    def check(self):
        if self.done.get(self.stop_in, 0) >= 10:
            raise Stopped("asked to")


def test_the_whole_path_with_a_scheme_of_four_levels(world, workspace):
    """Probe, train, evaluate and read back, with four levels: every table and record has four, and the run is complete."""
    summary = workflows.train(settings(world))
    for part in (summary.before, summary.after, *summary.baselines.values(), *summary.without_echo.values()):
        assert [level.level for level in part["in"].per_level] == ["unknown", "weak", "maybe", "sure"]
        assert (part["in"].natural_n, part["out"].natural_n) == (24, 8)
    assert sum(level.n for level in summary.after["in"].per_level) == 24
    run = workflows.run(summary.run)
    assert run.summary == summary
    assert run.settings.learning_rate == 4e-4
    assert set(run.predictions()["stage"]) == {"before", "few_shot", "majority", "after"}
    assert len(run.predictions("after")) == len(run.facts()) == 32
    assert list(run.curve()["step"]) == [1]
    assert sorted(run.examples()["relation"].value_counts()) == [2, 2, 2]
    assert run.manifest["command"].startswith("sftqa train --model tiny")
    assert {"python", "torch", "transformers", "peft"} <= run.manifest["versions"].keys()


def test_the_same_settings_give_the_same_numbers(world, workspace):
    """A run made again from its recorded settings gives equal predictions, and asks the base model nothing twice."""
    first = workflows.train(settings(world))
    counting = Counting()
    second = workflows.train(workflows.run(first.run).settings, counting)
    assert not counting.done.keys() & {"probe", "answers: before", "answers: few_shot"}
    assert (second.before, second.after) == (first.before, first.after)
    pd.testing.assert_frame_equal(workflows.run(first.run).predictions(), workflows.run(second.run).predictions())


def test_a_larger_limit_probes_only_what_is_new(world, workspace):
    """After ten facts, a limit of sixteen samples six; asking again samples none and reports no rate."""
    probe = ProbeSettings("tiny", world, limit=10, scheme=FOUR, device="cpu")
    assert workflows.probe(probe).facts == 10
    counting = Counting()
    assert workflows.probe(replace(probe, limit=16), counting).facts == 16
    assert counting.done["probe"] == 6
    again = workflows.probe(replace(probe, limit=16))
    assert again.facts_per_s is None
    assert sum(again.levels["in"]) + sum(again.levels["out"]) == 16


def test_a_stopped_probe_keeps_what_is_done(world, workspace, monkeypatch):
    """Stopping while probing raises Stopped; whole facts stay known and nothing half-done is shown as a level."""
    monkeypatch.setattr("sftqa_core.memory.probing._PART_FACTS", ((1 << 62, 8),))
    probe = ProbeSettings("tiny", world, scheme=FOUR, device="cpu", batch_size=16)
    with pytest.raises(Stopped):
        workflows.probe(probe, Counting(stop_in="probe"))
    before = workflows.profile("tiny", world, scheme=FOUR)
    assert 0 < before.probed < before.facts
    assert workflows.probe(probe).facts == before.facts
    after = workflows.profile("tiny", world, scheme=FOUR)
    assert after.probed == after.facts
    kept = before.table.dropna(subset="level")[["fact_id", "hits"]]
    pd.testing.assert_frame_equal(kept, after.table[after.table["fact_id"].isin(kept["fact_id"])][["fact_id", "hits"]], check_dtype=False)


def test_too_many_examples_are_refused_before_anything_runs(world, workspace):
    """The pool's size is named, no model is loaded and no run is left behind; the forecast says the same."""
    counting = Counting()
    with pytest.raises(NotEnoughFacts, match="48 train facts"):
        workflows.train(settings(world, n=10_000), counting)
    assert counting.done == {}
    assert [run for run in workflows.runs() if not run.shipped] == []
    told = workflows.forecast(settings(world, n=10_000))
    assert len(told.problems) == 1
    assert "48" in told.problems[0]


def test_the_forecast_counts_examples_steps_and_probes(world, workspace):
    """Before anything ran: 6 examples are one step of batch 8, and all 32 test facts have to be probed; afterwards none."""
    told = workflows.forecast(settings(world))
    assert (told.examples, told.steps, told.test_facts, told.probes_needed, told.problems) == (6, 1, 32, 32, ())
    assert "rough" in told.notes[-1].lower()
    workflows.train(settings(world))
    told = workflows.forecast(settings(world))
    assert told.probes_needed == 0
    assert told.notes[0] == "The base model's answers are known already."
    assert told.notes[1].endswith("too little of this work was measured on this machine.")  # 32 questions tell no rate
    everything = workflows.forecast(settings(world, n=TrainSettings.ALL, levels=(0, 1)))
    assert everything.probes_needed == 48
    assert everything.notes[0].startswith("48 train facts have no known level and are probed first; there will be 0 to 48")
    known = workflows.forecast(ProbeSettings("tiny", world, scheme=FOUR, device="cpu"))
    assert (known.probes_needed, known.seconds_high, known.notes) == (0, 0.0, ("Nothing left to compute.",))


def test_select_writes_the_examples_with_their_levels(world, workspace, tmp_path):
    """The file holds what a run would train on, one JSON object a line, each with a level."""
    result = workflows.select(settings(world), tmp_path / "chosen.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "chosen.jsonl").read_text().splitlines()]
    assert (result["n"], len(lines)) == (6, 6)
    assert all(line["level"] in range(4) for line in lines)
    summary = workflows.train(settings(world))
    assert {line["fact_id"] for line in lines} == set(workflows.run(summary.run).examples()["fact_id"])


def test_levels_restrict_the_examples(world, workspace):
    """With levels given, train facts are probed until the quota is met and every example has one of them."""
    pool = workflows.probe(ProbeSettings("tiny", world, split="train", scheme=FOUR, device="cpu"))
    level = max(range(4), key=lambda at: pool.levels["in"][at])
    summary = workflows.train(settings(world, levels=(level,)))
    run = workflows.run(summary.run)
    assert set(run.examples()["level"]) == {level}
    assert run.manifest["examples"]["probed"] >= 6


def test_the_models_own_question_texts_are_in_no_split(world, workspace):
    """Facts whose question and answer stood in the corpus are neither trained on nor tested."""
    from sftqa_core.memory.profiles import open_for

    facts = open_for("tiny", world).facts
    assert (facts["split"] == "none").sum() > 0
    assert workflows.train(settings(world, n=TrainSettings.ALL)).n == (facts["split"] == "train").sum()


def test_a_models_name_is_no_path(world, workspace):
    """A name with a slash is refused before anything is written."""
    from sftqa_core.records import PretrainSettings

    with pytest.raises(SettingsError, match="folder name"):
        workflows.pretrain(PretrainSettings("../outside", world))


def test_unknown_work_is_refused():
    """A job of a kind that does not exist names those that do."""
    with pytest.raises(SettingsError, match="probe, train, study, sweep, inside, pretrain"):
        workflows.run_job("dance", {}, Silent(), "job")


def test_uploads_that_cannot_be_read_change_nothing(workspace):
    """A bad file raises its problems and is not kept; a good one becomes a source under a plain name."""
    from sftqa_core.errors import FactsError

    with pytest.raises(FactsError):
        workflows.add_upload("../../evil.csv", b"colour\nred\n")
    assert list(workspace.uploads.glob("*")) == []
    name = workflows.add_upload("../my facts.csv", b"relation,subject,object\nP19,Ann,Paris\nP19,Bob,Rome\n")
    assert name == str(workspace.uploads / "my-facts.csv")
    assert workflows.facts(name).facts == 2


def test_a_new_alias_scores_again_without_sampling(world, workspace):
    """After "Tamis" gets a second name, nothing is sampled again; a doubled name is refused and changes nothing."""
    from sftqa_core.errors import FactsError

    probe = ProbeSettings("tiny", world, scheme=FOUR, device="cpu")
    workflows.probe(probe)
    workflows.save_aliases([{"name": "Tamis", "same_as": "Tamis City"}])
    assert workflows.probe(probe).facts_per_s is None
    with pytest.raises(FactsError, match="is already in group 1"):
        workflows.save_aliases([{"name": "Tamis", "same_as": ""}, {"name": "Orkeld", "same_as": "tamis"}])
    assert workflows.alias_rows() == [{"name": "Tamis", "same_as": "Tamis City"}]
    workflows.save_aliases(None)
    assert len(workflows.alias_rows()) > 50


def test_a_models_name_is_not_taken_over(world, workspace):
    """Pre-training under a name that exists with other settings, here or built in, is refused; nothing is overwritten."""
    from sftqa_core.records import PretrainSettings

    for name in ("tiny", "atlas-llama"):
        with pytest.raises(SettingsError, match=name):
            workflows.pretrain(PretrainSettings(name, world, hidden_size=64))
    assert workflows.models()[0].name == "atlas-llama"
