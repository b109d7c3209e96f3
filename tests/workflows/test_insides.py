"""A look inside a run: found or trained again, checked, kept measure by measure, read back."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from sftqa_core import workflows
from sftqa_core.artifacts import write_folder
from sftqa_core.errors import NotFound, SettingsError, Stopped
from sftqa_core.evaluation.inside import kept_looks
from sftqa_core.evaluation.inside.look import Look
from sftqa_core.planning.forecast import forecast
from sftqa_core.progress import Recorder
from sftqa_core.records import InsideSettings, TrainSettings
from sftqa_core.records.job import command_of
from sftqa_core.records.recipes import RECIPES
from sftqa_core.workflows.tested import inside_runs
from sftqa_core.workspace import Workspace
from tests.amount import few
from tests.made_runs import made_run
from tests.small import small_source
from tests.workflows.test_training import settings

SMALL = {"per_level": 2, "draws": 1, "looks": 2, "wrong": 2}


@pytest.fixture
def workspace(workspace, monkeypatch, tmp_path):
    """Without the looks that ship."""
    monkeypatch.setenv("SFTQA_SHIPPED", str(tmp_path / "nothing"))
    return Workspace.current()


@pytest.fixture
def counted(monkeypatch):
    """In place of every measure one that counts test facts; which were taken."""
    taken: list[str] = []

    def measure(name: str):
        def look(pair, settings, reporter, *seen):
            taken.append(name)
            return {"facts": pd.DataFrame({"fact_id": pair.test["fact_id"], "level": pair.test["level"]})}

        return look

    for name, module in (("drift", inside_runs.drift), ("restoration", inside_runs.restoration), ("knowledge", inside_runs.knowledge)):
        monkeypatch.setattr(module, "look", measure(name))
    return taken


def run_of(world: str, **changes) -> str:
    return workflows.train(settings(world, shots=0, **changes)).run


def test_a_run_that_kept_its_weights_is_not_trained_again(world, workspace, counted):
    """Its answers are those that it stored; what is kept is not measured again, and is read back fact by fact."""
    name = run_of(world, save_model=True)
    reporter = Recorder()
    wanted = workflows.inside_settings(name, ["drift"], **SMALL)
    kept = workflows.inside(wanted, reporter)
    assert (kept.name, kept.measures, kept.shipped) == (name, ("drift",), False)
    look = workflows.read_look(kept)
    stored = workflows.run(name).predictions("after").set_index("fact_id")["correct"]
    assert look.facts["correct"].tolist() == stored.loc[look.facts["fact_id"]].tolist()
    assert look.facts["level"].notna().all()
    assert look.tables["drift"]["facts"]["fact_id"].tolist() == look.facts["fact_id"].tolist()
    assert look.made == f"The weights that it kept: right and wrong are as stored on all {len(look.facts)} facts."
    assert not [line for line in reporter.lines if "again" in line]
    assert workflows.inside(wanted, reporter).run == kept.run
    workflows.inside(replace(wanted, measures=("drift", "knowledge")), reporter)
    assert counted == ["drift", "knowledge"]
    assert [look.measures for look in workflows.looks()] == [("drift", "knowledge")]


def test_a_run_without_weights_is_trained_again_to_the_same_answers(world, workspace, counted):
    """All measures, learning curves from the training itself; a run of the same settings shares the look."""
    name = run_of(world)
    kept = workflows.inside(workflows.inside_settings(name, **SMALL))
    look = workflows.read_look(kept)
    assert set(look.tables) == {"drift", "restoration", "knowledge", "curves"}
    assert look.made.startswith("Trained again from its settings: right and wrong are as stored")
    assert set(look.tables["curves"]["watched"]["part"]) == {"train", "dev"}
    again = run_of(world)
    assert again != name
    both = workflows.inside(workflows.inside_settings(again, **SMALL))
    assert (both.run, both.names) == (kept.run, tuple(sorted((name, again))))
    assert [look.names for look in workflows.looks()] == [both.names]
    other = workflows.inside(workflows.inside_settings(run_of(world, seed=1), ["drift"], **SMALL))
    assert [look.run for look in workflows.beside(other, "drift")] == [look.run for look in workflows.looks()]
    assert workflows.same_setting(other) == workflows.same_setting(kept)


@pytest.mark.parametrize("method", few(["full", "lora"], "lora"))
def test_every_measure_is_taken_and_put_in_words(world, workspace, method):
    """The real ones, of a run that kept its weights: of an adapter they are merged where weights are compared."""
    name = run_of(world, save_model=True, method=method)
    kept = workflows.inside(workflows.inside_settings(name, ["drift", "restoration", "knowledge"], **SMALL))
    look = workflows.read_look(kept)
    for measure in kept.measures:
        assert workflows.inside_words([look], [look], measure)[measure]
    assert workflows.inside_words([look], [look], "curves") == {}
    assert look.made.startswith("The weights that it kept: right and wrong are as stored")
    (row,) = [row for row in workflows.fact_inside(world, look.facts["fact_id"].iloc[0]) if row["run"] == name]
    assert row["kl"] >= 0
    assert [one["domain"] for one in workflows.inside_summary([look])] == ["in", "out"]


def test_what_was_measured_before_a_stop_is_kept(world, workspace, counted, monkeypatch):
    """The next look goes on with the rest."""
    name = run_of(world, save_model=True)

    def stopped(*about):
        raise Stopped("asked to stop")

    with monkeypatch.context() as patched:
        patched.setattr(inside_runs.knowledge, "look", stopped)
        with pytest.raises(Stopped):
            workflows.inside(workflows.inside_settings(name, ["drift", "knowledge"], **SMALL))
    assert [look.measures for look in workflows.looks()] == [("drift",)]
    workflows.inside(workflows.inside_settings(name, ["drift", "knowledge"], **SMALL))
    assert counted == ["drift", "knowledge"]


def test_other_templates_or_levels_of_examples_are_looked_at_anew(world, workspace, counted, monkeypatch):
    """Drift where stored completions give another statement, restoration where an example's level is known now; the rest is kept."""
    wanted = workflows.inside_settings(run_of(world, save_model=True), ["drift", "restoration", "knowledge"], **SMALL)
    first = workflows.inside(wanted)
    with monkeypatch.context() as patched:
        patched.setattr(inside_runs.drift, "best_templates", lambda *about: pd.DataFrame({"relation": ["P1"], "template": [3]}))
        other = workflows.inside(wanted)
    assert counted == ["drift", "restoration", "knowledge", "drift"]
    assert other.run == first.run
    assert other.pieces["drift"].own != first.pieces["drift"].own
    run = inside_runs.InsideRun(wanted, Recorder())
    run.run.prober.levels(run._trained_on)
    workflows.inside(wanted)
    assert counted == ["drift", "restoration", "knowledge", "drift", "restoration"]


@pytest.mark.parametrize(
    ("changes", "measures", "why"),
    [
        ({"n": 0}, None, "is the untouched model"),
        ({"model": "http://127.0.0.1:8000/v1#m"}, None, "is on a server, which gives out no weights"),
        ({"quantization": "nf4", "method": "lora"}, None, "in nf4, whose weights can't be compared"),
        ({"recipe": RECIPES["repeat"](), "n": 240}, ["curves"], "is of the recipe repeat. Leave out curves."),
    ],
)
def test_what_cannot_be_looked_at_is_refused_with_the_reason(workspace, changes, measures, why):
    """Before anything is loaded."""
    made_run("one", [True] * 80, **changes)
    with pytest.raises(SettingsError, match=why):
        workflows.inside_settings("one", measures)


def test_a_recipes_run_is_looked_at_without_curves(workspace):
    """They follow one plain training."""
    made_run("one", [True] * 80, recipe=RECIPES["repeat"](), n=240)
    assert workflows.inside_settings("one").measures == ("drift", "restoration", "knowledge")


def test_settings_say_their_command_and_what_is_wrong_with_them():
    """Asked for by flags; all four need none."""
    run = TrainSettings("m", "atlas")
    assert command_of(InsideSettings("cell:s0", run)) == "sftqa inside cell:s0"
    assert command_of(InsideSettings("cell:s0", run, ("drift", "knowledge"), wrong=4)) == "sftqa inside cell:s0 --kl --k --wrong 4"
    with pytest.raises(SettingsError, match="measures must be of drift, restoration, knowledge, curves, got 'weights'"):
        InsideSettings("r", run, ("weights",))
    with pytest.raises(SettingsError, match="Name one measure or more"):
        InsideSettings("r", run, ())


def test_the_forecast_counts_the_training_and_every_measure(world, workspace):
    """More measures take longer; nothing is loaded."""
    name = run_of(world)
    costs = [forecast(workflows.inside_settings(name, measures)) for measures in (["drift"], ["drift", "restoration"], None)]
    assert costs[0].seconds_high < costs[1].seconds_high < costs[2].seconds_high
    assert [cost.problems for cost in costs] == [()] * 3
    assert workflows.preflight(workflows.inside_settings(name)).kind == "inside"


# ---- what is kept ----
SOURCE = small_source()
TEST = SOURCE.facts.query("split == 'test'")
RUN = {"settings": {"n": 4}, "model": "m", "source": SOURCE.fingerprint}
WANTED = InsideSettings("one", TrainSettings("m", "small", n=4))


READ = {"templates": lambda: "templates", "examples": lambda: "examples"}


def keep(workspace, measure, tables, run=RUN, wanted=WANTED, read=READ):
    about = Look("one", wanted.run, ("L0", "L1"), TEST, {}, "made")
    return kept_looks.write(workspace, kept_looks.key_of(run, measure, wanted, read), tables, SOURCE, about)


def keep_answers(workspace, run=RUN):
    answers = TEST[["fact_id"]].assign(level=pd.array([0, None] * (len(TEST) // 2), dtype="Int8"), base_correct=False, correct=True)
    return keep(workspace, kept_looks.ANSWERS, {"answers": answers}, run)


def test_tables_come_back_with_their_facts(workspace):
    """On disk a fact is its row; the source's columns stand beside again."""
    keep_answers(workspace)
    folder = keep(workspace, "drift", {"facts": TEST[["fact_id"]].assign(kl=0.5), "top": pd.DataFrame({"share": [0.1]})})
    assert list(pd.read_parquet(folder / "facts.parquet").columns) == ["kl", "row"]
    (kept,) = kept_looks.kept_looks(workspace)
    look = kept_looks.read(kept, SOURCE)
    assert look.facts["fact_id"].tolist() == TEST["fact_id"].tolist()
    assert look.facts["subject"].tolist() == TEST["subject"].tolist()
    assert look.facts["level"].isna().sum() == len(TEST) // 2
    assert look.tables["drift"]["facts"]["fact_id"].tolist() == TEST["fact_id"].tolist()
    assert look.tables["drift"]["top"]["share"].tolist() == [0.1]
    assert kept_looks.read(kept, SOURCE, ["knowledge"]).tables == {}


def test_what_is_damaged_or_of_another_version_is_passed_over(workspace, monkeypatch):
    """A damaged measure is missing; without the answers there is nothing to read."""
    answers, drift = keep_answers(workspace), keep(workspace, "drift", {"facts": TEST[["fact_id"]]})
    (drift / "facts.parquet").write_bytes(b"nothing")
    (kept,) = kept_looks.kept_looks(workspace)
    assert kept_looks.read(kept, SOURCE).tables == {}
    (answers / "answers.parquet").unlink()
    with pytest.raises(NotFound, match="What was seen inside one is damaged"):
        kept_looks.read(kept, SOURCE)
    with pytest.raises(NotFound, match="other facts than small has now"):
        kept_looks.read(kept, replace(SOURCE, fingerprint="other"))
    assert kept_looks.find(workspace, kept_looks.key_of(RUN, "drift", WANTED, READ)) is None  # so it is taken again
    monkeypatch.setitem(kept_looks.VERSIONS, "drift", 2)
    assert kept_looks.kept_looks(workspace)[0].measures == ()
    write_folder(workspace.root / "inside" / "foreign", lambda work: None, {"kind": "look inside"})
    assert len(kept_looks.kept_looks(workspace)) == 1


def test_of_several_settings_the_last_look_counts(workspace):
    """Both are kept."""
    keep_answers(workspace)
    first = keep(workspace, "knowledge", {"facts": TEST[["fact_id"]].assign(k=0.0)})
    last = keep(workspace, "knowledge", {"facts": TEST[["fact_id"]].assign(k=1.0)}, wanted=replace(WANTED, wrong=3))
    assert first != last
    (kept,) = kept_looks.kept_looks(workspace)
    assert kept_looks.read(kept, SOURCE).tables["knowledge"]["facts"]["k"].eq(1.0).all()
    asked = kept_looks.kept(workspace, RUN, {"knowledge": kept_looks.key_of(RUN, "knowledge", WANTED, READ)})  # with other settings: those
    assert kept_looks.read(asked, SOURCE).tables["knowledge"]["facts"]["k"].eq(0.0).all()
    assert asked.pieces["knowledge"].own == {"per_level": 60, "wrong": 10}


def test_looks_that_read_other_results_are_told_apart(workspace):
    """Drift at other statements, and curves and restoration of examples of other levels, are other looks; only drift can't be compared."""
    keys = {
        (measure, name): kept_looks.key_of(RUN, measure, WANTED, {**READ, name: lambda: "other"} if name else READ)
        for measure in ("drift", "restoration", "knowledge", "curves")
        for name in ("", "templates", "examples")
    }
    moved = {which for which, key in keys.items() if key != keys[which[0], ""]}
    assert moved == {("drift", "templates"), ("restoration", "examples"), ("curves", "examples")}
    keep_answers(workspace)
    for measure in ("drift", "curves"):
        keep(workspace, measure, {"facts": TEST[["fact_id"]]})
    (kept,) = kept_looks.kept_looks(workspace)
    assert kept.pieces["drift"].own == {"statements": 60, "templates": "templates"}
    assert kept.pieces["curves"].own == {"looks": 10}


def test_a_fact_that_the_source_lacks_is_refused(workspace):
    """It has no row there."""
    with pytest.raises(ValueError, match="small lacks 1 of the facts of facts"):
        keep(workspace, "drift", {"facts": pd.DataFrame({"fact_id": ["nowhere"]})})


def test_looks_at_other_base_models_are_told_apart(workspace):
    """Only looks with the same base model, source and facts can be laid beside each other."""
    keep_answers(workspace)
    keep_answers(workspace, {**RUN, "settings": {"n": 8}})
    keep_answers(workspace, {**RUN, "model": "other"})
    bases = [look.base for look in kept_looks.kept_looks(workspace)]
    assert sorted(bases.count(base) for base in set(bases)) == [1, 2]
