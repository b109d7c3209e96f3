"""A sweep over learning rates: dev facts alone, finished runs are kept, and a choice that says how sure it is."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sftqa_core import workflows
from sftqa_core.errors import NotEnoughFacts, SettingsError, Stopped
from sftqa_core.evaluation import predictions
from sftqa_core.knowledge.sources import open_source
from sftqa_core.progress import Recorder
from sftqa_core.records import RateAccuracy, SweepSettings, TrainSettings
from sftqa_core.records.job import command_of
from sftqa_core.studies import sweep as sweeps
from sftqa_core.studies.sweep import measure
from tests.workflows.test_training import settings

RATES = (0.001, 0.02)


def sweep_of(world, **changes) -> SweepSettings:
    return SweepSettings(settings(world, **changes), RATES, (0, 1))


def test_rates_are_measured_on_dev_facts_and_kept(world, workspace, monkeypatch):
    """No test fact is asked, the model is loaded once, and a second sweep runs only what is new."""
    loaded, asked = [], []
    from sftqa_core.memory import prober

    load, predict = prober.loading.load_model, predictions.predict
    monkeypatch.setattr(prober.loading, "load_model", lambda *a, **k: loaded.append(1) or load(*a, **k))
    monkeypatch.setattr(
        "sftqa_core.workflows.sweep_runs.predict",
        lambda m, facts, *a, **k: asked.append(set(facts["fact_id"])) or predict(m, facts, *a, **k),
    )
    wanted, recorder = sweep_of(world), Recorder()
    assert workflows.forecast(wanted).runs == 4
    found = workflows.sweep(wanted, recorder)
    facts = open_source(world).facts
    dev = set(facts.loc[facts["split"] == "dev", "fact_id"])
    assert all(some <= dev for some in asked)
    assert (len(loaded), len(asked), found.done, found.planned) == (1, 4, 4, 4)
    assert [update.done for update in recorder.updates if update.phase == "sweep"] == [1, 2, 3, 4]
    assert (found.domain, [row.rate for row in found.rates], [row.seeds for row in found.rates]) == ("in", [0.001, 0.02], [2, 2])
    assert found.chosen in RATES
    assert list(workspace.runs.glob("*")) == []  # no run is stored
    assert workflows.sweep_report(wanted) == found
    assert workflows.forecast(wanted).runs == 0
    more = workflows.sweep(replace(wanted, rates=(*RATES, 0.1)))
    assert (len(asked), more.done) == (6, 6)


def test_a_sweep_that_is_stopped_goes_on(world):
    """Finished runs are kept, and no rate is chosen before all are done."""
    wanted = sweep_of(world)
    workflows.probe(workflows_probe(wanted))
    with pytest.raises(Stopped):
        workflows.sweep(wanted, Recorder(stop_after=2))
    part = workflows.sweep_report(wanted)
    assert 0 < part.done < 4
    assert (part.chosen, part.words) == (None, ())
    assert {row.within_noise for row in part.rates} == {None}
    assert workflows.sweep(wanted).done == 4


def workflows_probe(wanted: SweepSettings):
    from sftqa_core.records.tuning import probe_settings

    return replace(probe_settings(wanted.run), split="dev")


def test_only_what_decides_answers_stands_in_a_sweep(world):
    """Two forms that differ in tests, baselines or kept weights ask for one sweep."""
    one = SweepSettings(TrainSettings("m", learning_rate=0.1, shots=4, seed=7, eval_every=3, patience=1))
    assert one == SweepSettings(TrainSettings("m", save_model=False, shots=0))
    assert one.tried(4e-4) == (1e-4, 2e-4, 4e-4, 8e-4, 1.6e-3)
    assert SweepSettings.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    assert command_of(SweepSettings(TrainSettings("m"), (2e-4, 1e-4))).endswith("--rates 0.0001,0.0002")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"rates": (0.1,)}, "A sweep needs two or more rates"),
        ({"rates": (0.1, 2.0)}, "A rate must be above 0 and at most 1, got 2.0."),
        ({"rates": (0.1, 0.1)}, "rates must be named once each"),
        ({"seeds": ()}, "A sweep needs one or more seeds."),
        ({"run": TrainSettings("m", n=0)}, "n must be 1 or more"),
    ],
)
def test_what_is_no_sweep_is_told(more, said):
    with pytest.raises(SettingsError, match=said):
        SweepSettings(**{"run": TrainSettings("m"), **more})


def test_without_dev_facts_no_rate_is_chosen(tmp_path, world):
    """Test facts are never used in their place; an optimizer without a usual rate needs rates."""
    table = pd.read_csv(world)
    table[table["split"] != "dev"].to_csv(tmp_path / "no_dev.csv", index=False)
    with pytest.raises(
        NotEnoughFacts, match=r"has no dev facts, and a learning rate must not be chosen on test facts\. Give the rate yourself"
    ):
        workflows.sweep_report(SweepSettings(settings(str(tmp_path / "no_dev.csv")), RATES))
    with pytest.raises(SettingsError, match="Optimizer sgd has no default learning rate: set one"):
        workflows.sweep_report(SweepSettings(settings(world, optimizer="sgd")))


def test_the_best_is_by_the_mean_over_levels_where_each_has_facts():
    """One level of few facts counts as much as one of many; without levels the micro average decides."""
    scores = np.zeros((110, 2))
    scores[:60, 0] = 1  # 60 of the many
    scores[:50, 1], scores[100:, 1] = 1, 1  # 50 of the many, all of the few
    levels = np.repeat([0, 1], [100, 10])
    macro = measure(scores, levels, 2)
    assert [round(value, 3) for value, _, _ in macro.macro] == [0.3, 0.75]
    assert int(np.argmax(macro.deciding)) == 1
    assert macro.within_noise(1) == [False, True]
    micro = measure(scores, None, 2)
    assert micro.macro == [(None, None, None)] * 2
    assert micro.within_noise(0) == [True, True] or micro.within_noise(1) == [True, True]


def test_words_say_how_sure_the_choice_is():
    """Ties, clear winners, and a best at the end of the grid."""

    def row(rate: float, near: bool) -> RateAccuracy:
        return RateAccuracy(rate, 3, 0.5, 0.4, 0.6, 0.45, 0.4, 0.5, within_noise=near)

    words = sweeps._words([row(1e-4, True), row(2e-4, True)], 1, "macro", "in", 320, 3)
    assert words[0] == (
        "Learning rate 0.0002 has the highest in-domain mean over levels: 50.0% (95% 40.0% to 60.0%; 320 dev facts, 3 seeds). Test facts "
        "were not looked at."
    )
    assert words[1:] == (
        "All differences are within noise: these facts cannot tell the rates apart.",
        "It is the highest rate that was tried: the best may lie beyond.",
    )
    three = sweeps._words([row(1e-4, False), row(2e-4, True), row(4e-4, True)], 1, "micro", "in", 9, 1)
    assert "micro average (a level holds no dev fact, so there is no mean over levels): 45.0%" in three[0]
    assert three[1:] == ("Its differences from 0.0004 are within noise.",)
    assert sweeps._words([row(1e-4, False), row(2e-4, True), row(4e-4, False)], 1, "macro", "in", 9, 1)[1] == (
        "It differs from every other rate by more than noise."
    )


def test_the_command_reports_it(world, capsys):
    """`sftqa sweep --report-only` runs nothing; a rate beside several is refused."""
    from sftqa_core.cli.main import main

    workflows.sweep(sweep_of(world))
    scheme = json.dumps(settings(world).scheme.to_dict())
    options = [
        "sweep",
        "--model",
        "tiny",
        "--source",
        world,
        "--n",
        "4",
        "--scheme",
        scheme,
        "--max-answer-tokens",
        "4",
        "--test-limit",
        "2",
    ]
    with pytest.raises(SystemExit) as stop:
        main([*options, "--device", "cpu", "--rates", "1e-3,0.02", "--sweep-seeds", "0,1", "--report-only"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert "dev facts of" in printed
    assert "4 of 4 runs are done" in printed
    with pytest.raises(SystemExit) as stop:
        main([*options, "--lr", "0.1", "--json"])
    assert stop.value.code == 1
    assert "name them with --rates, not with --lr" in json.loads(capsys.readouterr().out)["error"]
