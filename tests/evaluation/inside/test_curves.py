"""Looks at a training: what is read at each of them, that it leaves no trace, and cases whose answer is known by construction."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sftqa_core.errors import SettingsError, Stopped
from sftqa_core.evaluation.inside import curves, curves_tables
from sftqa_core.evaluation.inside.curves import curves_grids
from sftqa_core.evaluation.inside.look import Look
from sftqa_core.evaluation.inside.pair import Pair
from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.progress import Recorder, Silent
from sftqa_core.records import InsideSettings
from sftqa_core.records.recipes import Repeat
from sftqa_core.training import checkpoints
from sftqa_core.training.recipes import carry_out
from sftqa_core.training.watching import Observer
from sftqa_core.workflows.training import TrainingRun
from tests.memory.test_given_answers import slowly
from tests.recipe_runs import SETTINGS, SOURCE, levels_of, same_weights, stages_of
from tests.tiny import tiny_loaded

INSIDE = InsideSettings("a run", SETTINGS, looks=3)
LABELS = ("L0", "L1", "L2", "L3", "L4")


def with_levels(facts: pd.DataFrame) -> pd.DataFrame:
    return facts.reset_index(drop=True).assign(level=levels_of(facts)["level"].astype("Int64").tolist())


DEV = with_levels(SOURCE.facts[SOURCE.facts["split"] == "dev"])


def looked_at(folder, inside=INSIDE, reporter=None, taught=None, **changes):
    """(tables, what was made, observer, examples) of a training that was looked at; `taught` are columns of the examples."""
    loaded, run = tiny_loaded(), replace(SETTINGS, **changes)
    stages = stages_of(folder, None, loaded, reporter, **changes)
    stages.examples = stages.examples.assign(**(taught or {}))
    examples = with_levels(stages.examples)
    stages.observer = observer = curves.observer(loaded, examples, DEV, run, inside, reporter or Silent())
    made = carry_out(stages)
    pair = Pair(loaded, made.tuned.loaded, run, SOURCE, Aliases(()), DEV.head(0), DEV, examples)
    return curves.look(pair, inside, Silent(), observer.seen), made, observer, examples


@pytest.mark.parametrize("method", ["full", "lora"])
def test_looking_leaves_no_trace(method, tmp_path):
    """The same weights, bit for bit, as without looks; stored are the looks asked for and step 0, levels are those that were given."""
    plain = carry_out(stages_of(tmp_path / "plain", None, method=method))
    plain.settle()
    tables, made, observer, examples = looked_at(tmp_path / "looked", method=method)
    assert same_weights(plain.tuned.loaded, made.tuned.loaded)
    assert list(observer.seen) == [1, 2, 3]
    assert sorted(tables["facts"]["step"].unique()) == [0, 1, 2, 3]
    watched = tables["watched"]
    assert watched["part"].value_counts().to_dict() == {"train": len(examples), "dev": len(DEV)}
    assert watched["level"].tolist() == [*examples["level"], *DEV["level"]]


def test_every_look_is_what_a_plain_loop_says_then(tmp_path):
    """Computed token by token in the same steps of the training."""
    loaded, stages = tiny_loaded(), stages_of(tmp_path, None)
    examples, told = with_levels(stages.examples), []
    stages.observer = observer = curves.observer(loaded, examples, DEV, SETTINGS, INSIDE, Silent())
    questions, of = curves._questions(loaded, curves.watched(DEV, examples), SETTINGS), observer.of

    def both(model):
        told.append([slowly(replace(loaded, model=model), *question) for question in questions])
        return of(model)

    observer.of = both
    carry_out(stages).settle()
    tables = curves.look(Pair(loaded, loaded, SETTINGS, SOURCE, Aliases(()), DEV, DEV, examples), INSIDE, Silent(), observer.seen)
    base = tables["facts"][tables["facts"]["step"] == 0]
    expected = [slowly(loaded, *question) for question in questions]
    assert base["logprob"].tolist() == pytest.approx([logprob for logprob, _ in expected], abs=0.0051)
    assert base["fits"].tolist() == [fits for _, fits in expected]
    for slow, fast in zip(told, observer.seen.values(), strict=True):
        assert fast[: len(questions)] == pytest.approx([logprob for logprob, _ in slow], abs=1e-4)
        assert fast[len(questions) :] == [float(fits) for _, fits in slow]


def test_looks_go_on_after_an_interruption(tmp_path, monkeypatch):
    """Stopped after the second step and begun again: the same looks and weights; other looks would not go on from that checkpoint."""
    monkeypatch.setattr(checkpoints, "EVERY_S", 0.0)
    monkeypatch.setattr(checkpoints, "MOST_SHARE", 1e9)
    whole, made, observer, _ = looked_at(tmp_path / "whole")
    made.settle()
    with pytest.raises(Stopped):
        looked_at(tmp_path / "cut", reporter=Recorder(stop_after=2))
    reporter = Recorder()
    again, resumed, seen, _ = looked_at(tmp_path / "again", reporter=reporter)
    assert "Resuming from the checkpoint of step 2." in reporter.lines
    assert seen.seen == observer.seen
    assert same_weights(made.tuned.loaded, resumed.tuned.loaded)
    assert all(again[name].equals(whole[name]) for name in whole)
    many = pd.concat([DEV] * 3)
    identities = [curves.observer(tiny_loaded(), many, DEV, SETTINGS, replace(INSIDE, looks=n), Silent()).identity for n in (2, 3)]
    assert identities[0] != identities[1]


def test_eight_examples_are_learned_by_heart(tmp_path):
    """Trained on often enough every one of them fits in the end, none did before, and log P comes near 0."""
    taught = {"question": ["ab", "Cd", "eF", "gh", "Ij", "kl", "MN", "op"], "answers": [[letter * 2] for letter in "stuvwxyz"]}
    tables, *_ = looked_at(tmp_path, replace(INSIDE, looks=6), taught=taught, n=8, epochs=48)
    train = tables["facts"][tables["facts"]["fact"] < 8]
    assert tables["watched"]["part"].tolist()[:8] == ["train"] * 8
    assert train["step"].unique().tolist() == [0, 8, 16, 24, 32, 40, 48]
    fits = train.groupby("step")["fits"].sum()
    assert (fits[0], fits[48]) == (0, 8)
    assert train.loc[train["step"] == 48, "logprob"].min() > -0.5
    found = curves_grids.curves_of([Look("a run", SETTINGS, LABELS, DEV, {"curves": tables})])
    every = curves_tables.steps_to_fit(found).query("part == 'train' and level == 'all'").iloc[0]
    first = sorted(rows.loc[rows["fits"], "step"].min() for _, rows in train.groupby("fact"))
    assert (every["facts"], every["before"], every["share"], every["median"]) == (8, 0.0, 1.0, first[3])


def test_nothing_learned_is_a_flat_curve(tmp_path):
    """With a learning rate near 0 every look says what the base model says, to the last digit that is kept."""
    tables, *_ = looked_at(tmp_path, learning_rate=1e-12)
    assert (tables["facts"].groupby("fact")["logprob"].nunique() == 1).all()
    assert (tables["facts"].groupby("fact")["fits"].nunique() == 1).all()


def test_tables_are_compact():
    """Their types are as written down, and 500 facts at 10 looks take less than 40 kB as Parquet."""
    rng = np.random.default_rng(0)
    facts = pd.DataFrame({"fact_id": [f"{at:016x}" for at in rng.integers(2**62, size=500)], "part": ["train"] * 300 + ["dev"] * 200})
    facts = facts.assign(relation="P17", domain="in", level=pd.array([0, None] * 250, dtype="Int64"))
    seen = {step: [*rng.normal(-4, 2, 500), *rng.integers(2, size=500)] for step in range(10)}
    tables = curves.tables(seen, facts, [2] * 500)
    assert {name: str(kind) for name, kind in tables["facts"].dtypes.items()} == {
        "fact": "int16", "step": "int32", "logprob": "float32", "fits": "bool",
    }  # fmt: skip
    assert tables["watched"]["level"].dtype == "Int8"
    assert sum(len(table.to_parquet(index=False, compression="zstd")) for table in tables.values()) < 40_000
    with pytest.raises(ValueError, match="Curves of 500 facts need 1000 numbers a look"):
        curves.tables({0: [1.0]}, facts, [2] * 500)


def dev_facts(levels, count=100):
    """`count` facts of each domain at each of these levels; the first of each has its answer in its subject."""
    rows = [
        (f"{level} {domain} {at}", f"P{at % 3}", domain, level, "Who?", ["A"], at == 0)
        for level in levels for domain in ("in", "out") for at in range(count)
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["fact_id", "relation", "domain", "level", "question", "answers", "echo"])
    return table.astype({"level": "Int64"})


def test_as_many_dev_facts_of_each_level_and_domain_are_watched():
    """40 of each of five levels, half of them in-domain, no echo; facts without a level only where there are no others."""
    examples = dev_facts([0], 400).assign(fact_id="example")
    facts = curves.watched(pd.concat([dev_facts(range(5)), dev_facts([None])], ignore_index=True), examples)
    dev = facts[facts["part"] == "dev"]
    assert (facts["part"] == "train").sum() == 300
    assert dev.groupby(["level", "domain"]).size().tolist() == [20] * 10
    assert not dev["fact_id"].str.endswith(" 0").any()
    unknown = curves.watched(dev_facts([None]), examples.head(0))
    assert unknown["domain"].value_counts().to_dict() == {"in": 99, "out": 99}
    assert len(curves.watched(dev_facts([1]).head(0), examples.head(0))) == 0


def test_looks_cost_no_more_than_the_training_but_for_a_few():
    """As many as asked for where it is long, fewer where it is shorter, five where it is short, none where there is none."""
    planned = {n: curves.cost(replace(SETTINGS, n=n), InsideSettings("a run", SETTINGS), n, 600) for n in (0, 8, 240, 960, 1920)}
    assert {n: one.times for n, one in planned.items()} == {0: 0, 8: 1, 240: 5, 960: 8, 1920: 10}
    assert planned[960].examples == pytest.approx(9 * 0.6 * 500 / 3)
    assert all(planned[n].examples <= n for n in (960, 1920))


def test_what_has_no_curves_says_so(tmp_path):
    """What carries a recipe out takes no observer."""
    with pytest.raises(SettingsError, match="Recipe repeat is more than one training: it can't be observed as one"):
        carry_out(stages_of(tmp_path, Repeat(), observer=Observer(lambda model: [], 1)))


def test_a_run_hands_its_observer_on(tmp_path):
    """`TrainingRun.tune` gives it to the training: it has seen every step that it asked for."""
    seen = Observer(lambda model: [float(model.training)], 3)
    run = object.__new__(TrainingRun)
    run.settings, run.reporter, run.source = SETTINGS, Silent(), SOURCE
    run.prober = SimpleNamespace(loaded=tiny_loaded(), aliases=Aliases(()), levels=levels_of)
    run.tune(stages_of(tmp_path, None).examples, tmp_path, observer=seen).settle()
    assert seen.seen == {1: [0.0], 2: [0.0], 3: [0.0]}


def test_fewer_looks_than_asked_for_are_told(tmp_path):
    """In the log, with the numbers."""
    reporter, many = Recorder(), pd.concat([DEV] * 20, ignore_index=True)
    curves.observer(tiny_loaded(), many, DEV, SETTINGS, InsideSettings("a run", SETTINGS), reporter)
    assert reporter.lines == ["Learning curves: 252 facts are read at 5 steps (10 asked for: so many would take longer than the training)."]
