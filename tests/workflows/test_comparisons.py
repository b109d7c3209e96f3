"""Runs and cells beside each other: settings that differ, facts in common, tests, and what is said where they are not comparable."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sftqa_core import workflows
from sftqa_core.errors import NotFound, SettingsError
from sftqa_core.records import Comparison, LevelScheme, PromptFormat, TrainSettings
from tests.made_runs import facts_of, made_run

CELL = "amount-9203b502:atlas-llama"
FACTS = facts_of()  # 40 in-domain facts, 40 out of domain, levels in turns
EVEN = [at % 2 == 0 for at in range(80)]
MOST = [at % 4 != 0 for at in range(80)]


def shipped_run() -> str:
    return workflows.runs()[0].id


def found_in(comparison, domain, mean):
    return [test for test in comparison.tests if (test.domain, test.mean) == (domain, mean)]


# ---- what ships ----
def test_a_run_and_a_studys_cell_of_the_same_settings_answer_alike(workspace):
    """The shipped run and the shipped study's cell: all 3,060 facts equal, the run's own accuracies, no setting that differs."""
    run = shipped_run()
    compared = workflows.compare([run, f"{CELL}:n60:s0"])
    comparison, summary = compared.comparison, workflows.run(run).summary
    assert comparison.facts == len(compared.items) == 3060
    assert not compared.items["differ"].any()
    assert comparison.settings == {}
    for domain in ("in", "out"):
        for side in comparison.runs:
            told, known = side.accuracy[domain], summary.after[domain]
            assert (told.macro.value, told.macro.low, told.macro.high) == pytest.approx((known.macro, known.macro_low, known.macro_high))
            assert (told.micro.value, told.micro.n) == (known.natural, known.natural_n)
            assert [level.value for level in told.per_level] == [level.accuracy for level in known.per_level]
        assert comparison.bases[0].accuracy[domain].micro.value == summary.before[domain].natural
    assert {test.verdict for test in comparison.tests} == {"cannot tell"}
    assert (comparison.runs[0].words, comparison.runs[1].words) == (True, False)


def test_the_comparison_is_json(workspace):
    """It is written and read back whole; torch is not needed for it."""
    comparison = workflows.compare([shipped_run(), f"{CELL}:n240:s0"]).comparison
    assert Comparison.from_dict(json.loads(json.dumps(comparison.to_dict()))) == comparison
    assert comparison.settings == {"n": [60, 240]}
    assert [test.verdict for test in found_in(comparison, "in", "micro average")] == ["better"]


def test_seeds_of_one_setting_are_pooled(workspace):
    """Three seeds of n = 60 and two of n = 240: two columns, each fact's mean over its seeds, tested by the bootstrap alone."""
    names = [f"{CELL}:n60:s{seed}" for seed in (0, 1, 2)] + [f"{CELL}:n240:s{seed}" for seed in (0, 1)]
    compared = workflows.compare(names, pool=True)
    first, second = compared.comparison.runs
    assert (first.seeds, second.seeds) == ((0, 1, 2), (0, 1))
    alone = [workflows.tested(name).facts["correct"].to_numpy(dtype=float) for name in names[:3]]
    assert compared.items["correct A"].to_numpy() == pytest.approx(np.mean(alone, axis=0))
    inside = (compared.items["domain"] == "in").to_numpy()
    assert first.accuracy["in"].micro.per_seed == pytest.approx([values[inside].mean() for values in alone])
    assert {test.test for test in compared.comparison.tests} == {"paired bootstrap"}
    assert len(compared.comparison.tests) == 4


def test_other_base_models_are_named_and_their_means_over_levels_not_tested(workspace):
    """atlas-llama against atlas-qwen: micro is tested, with the difference in words; two bases stand beside them."""
    comparison = workflows.compare([f"{CELL}:n60:s0", "amount-9203b502:atlas-qwen:n60:s0"]).comparison
    (note,) = comparison.notes
    assert note.startswith("The base models differ: A atlas-llama (")
    assert note.endswith("Means over levels are not tested between them.")
    assert [(test.verdict, test.why, test.p) for test in found_in(comparison, "in", "mean over levels")] == [
        ("not tested", "other base models", None)
    ]
    assert found_in(comparison, "in", "micro average")[0].p is not None
    assert [base.label for base in comparison.bases] == ["base 1", "base 2"]
    assert comparison.counted == 2


def test_levels_are_the_references(workspace):
    """The same two cells by the levels of one base model or of the other: other level sizes, the same micro averages."""
    names = [f"{CELL}:n60:s0", "amount-9203b502:atlas-qwen:n60:s0"]
    ours, theirs = (workflows.compare(names, reference=name).comparison for name in names)
    assert (ours.reference, theirs.reference) == ("A", "B")
    sizes = [[level.n for level in told.runs[0].accuracy["in"].per_level] for told in (ours, theirs)]
    assert sizes[0] != sizes[1]
    assert sum(sizes[0]) == sum(sizes[1])
    assert ours.runs[1].accuracy["in"].micro == theirs.runs[1].accuracy["in"].micro


# ---- made runs ----
def test_two_runs_by_hand(workspace):
    """In each domain 20 and 30 of 40 facts right, 10 right in both: 10 and 20 facts that one alone has right."""
    made_run("one", EVEN)
    made_run("two", MOST, n=120)
    comparison = workflows.compare(["one", "two"]).comparison
    (test,) = found_in(comparison, "in", "micro average")
    assert (test.run, test.against, test.only_run, test.only_against) == ("B", "A", 20, 10)
    assert test.difference == pytest.approx(10 / 40)
    assert test.test == "McNemar, exact"
    assert comparison.settings == {"n": [60, 120]}
    assert found_in(comparison, "in", "mean over levels")[0].verdict == "too few facts to tell"  # 8 facts a level


def test_a_renamed_file_is_the_same_facts(workspace):
    """Runs on two names of one file: all facts are matched by what they say, the count is told, the source is a setting that differs."""
    made_run("one", EVEN)
    made_run("two", EVEN, facts_of("renamed.csv"))
    compared = workflows.compare(["one", "two"])
    assert compared.comparison.facts == 80
    assert compared.comparison.notes == ("80 facts of B have other ids and were matched by relation, subject and answers.",)
    assert compared.comparison.settings == {"source": ["facts.csv", "renamed.csv"]}
    assert not compared.items["differ"].any()


def test_only_facts_in_common_count(workspace):
    """One run was asked half of the facts: accuracies are of that half, and the page says so."""
    half = FACTS[FACTS.index % 2 == 0].reset_index(drop=True)
    made_run("one", EVEN)
    made_run("two", [True] * 40, half)
    comparison = workflows.compare(["one", "two"]).comparison
    assert comparison.facts == 40
    assert comparison.runs[0].accuracy["in"].micro.value == 1.0  # of all its facts one half
    assert "only the 40 facts that all were asked count. Test facts: A 80, B 40." in comparison.notes[0]


def test_no_facts_in_common_are_no_comparison(workspace):
    """Settings can still be laid side by side; nothing is tested."""
    made_run("one", EVEN)
    made_run("two", EVEN, facts_of("other.csv", answer="Else"))
    comparison = workflows.compare(["one", "two"]).comparison
    assert (comparison.facts, comparison.tests) == (0, ())
    assert comparison.runs[0].accuracy["in"].micro.value is None


@pytest.mark.parametrize(
    ("changed", "why", "words"),
    [
        ({"prompt": PromptFormat("plain", "Question: {question}\nAnswer:")}, "other prompts", "The prompts differ: A qa ("),
        ({"max_answer_tokens": 32}, "other answer lengths", "The answer lengths differ: A 16 tokens; B 32 tokens."),
        ({"match": "substring"}, "other matching rules", "The matching rules differ: A tokens, version 2; B substring, version 2."),
        ({"scheme": LevelScheme("two", ("low", "high"), (0.5,))}, "other level schemes", "The level schemes differ: A paper-5"),
        ({"manifest": {"aliases": "mine"}}, "other tables of aliases", "The tables of aliases differ: A none; B mine."),
        ({"manifest": {"model": {"weights": "new", "dtype": "float32"}}}, "other base models", "; B base (new, float32)."),
    ],
)  # fmt: skip
def test_what_is_asked_or_judged_otherwise_is_named(workspace, changed, why, words):
    """Each alone takes the test of the mean over levels away, and is said in words; the micro average is tested."""
    made_run("one", EVEN)
    made_run("two", MOST, **changed)
    comparison = workflows.compare(["one", "two"]).comparison
    assert [test.why for test in found_in(comparison, "in", "mean over levels")] == [why]
    assert words in comparison.notes[0]
    assert found_in(comparison, "in", "micro average")[0].p is not None


def test_each_with_one_needs_less_correction(workspace):
    """Of four runs: six pairs, or three with the one that is named; the others stand first."""
    for at, name in enumerate("abcd"):
        made_run(name, EVEN, n=60 + at)
    every, chosen = (workflows.compare(list("abcd"), against=against).comparison for against in (None, "c"))
    assert len(found_in(every, "in", "micro average")) == 6
    assert [(test.run, test.against) for test in found_in(chosen, "in", "micro average")] == [("A", "C"), ("B", "C"), ("D", "C")]
    assert (every.counted, chosen.counted) == (24, 12)


def test_a_seed_counts_once(workspace):
    """A run that repeats a seed is left out of its seeds, and the note says which."""
    for name, seed in (("one", 0), ("again", 0), ("two", 1)):
        made_run(name, EVEN, seed=seed)
    comparison = workflows.compare(["one", "again", "two"], pool=True).comparison
    assert [run.names for run in comparison.runs] == [("one", "two")]
    assert comparison.notes == ("again repeats a seed of one and is left out of its seeds.",)


def test_answers_stand_beside_each_other(workspace):
    """A row a fact: what each run answered, and the base; of pooled seeds each answer with its count."""
    made_run("one", EVEN)
    made_run("two", MOST, seed=1)
    items = workflows.compare(["one", "two"]).items
    assert items.loc[1, ["text A", "text B", "text base"]].tolist() == ["wrong", "Object1", "wrong"]
    assert items["differ"].tolist() == [one != two for one, two in zip(EVEN, MOST, strict=True)]
    pooled = workflows.compare(["one", "two"], pool=True).items
    assert pooled.loc[1, ["correct A", "text A"]].tolist() == [0.5, "wrong | Object1"]
    assert pooled.loc[2, "text A"] == "Object2 (2)"
    assert pooled.loc[1, "level"] == "L1"


def test_names_that_are_none_are_told(workspace):
    """Runs, studies, models and cells that are not here, and a reference that is not compared."""
    made_run("one", EVEN)
    for name, words in (
        ("two", "There is no run 'two'"), ("nothing:m:n60:s0", "There is no study 'nothing'"),
        ("amount-9203b502:gpt:n60:s0", "has no model 'gpt'. It has atlas-llama"), (f"{CELL}:n61:s0", "Cells that come near: .*n60:s0"),
    ):  # fmt: skip
        with pytest.raises(NotFound, match=words):
            workflows.compare(["one", name])
    with pytest.raises(NotFound, match=r"is none of the runs that are compared\. Choose one of one"):
        workflows.compare(["one"], reference="two")
    with pytest.raises(SettingsError, match="Name one or more runs"):
        workflows.compare([])


def test_more_than_26_do_not_stand_beside_each_other(workspace):
    """27 settings are too many; 27 seeds of one setting, pooled, are one column."""
    for seed in range(27):
        made_run(f"run{seed}", EVEN, seed=seed)
    names = [f"run{seed}" for seed in range(27)]
    with pytest.raises(SettingsError, match=r"At most 26 can stand beside each other, got 27\. Pool seeds"):
        workflows.compare(names)
    assert len(workflows.compare(names, pool=True).comparison.runs) == 1


def test_known_settings_leave_out_what_is_not_here(workspace):
    """What a link names is looked up without reading answers."""
    made_run("one", EVEN)
    known = workflows.known_settings(["one", "two", f"{CELL}:n60:s1", "x:y", "", "../one"])
    assert {name: settings.seed for name, settings in known.items()} == {"one": 0, f"{CELL}:n60:s1": 1}


def test_cells_names_have_no_comma(workspace):
    """So that several of them are one value of an address."""
    (known,) = (study for study in workflows.studies() if study.name == "level-d3d1f6ed")
    names = workflows.cell_names(known.settings, "atlas-llama")
    assert "level-d3d1f6ed:atlas-llama:n240-level2:s1" in names
    assert not any("," in name for name in names)
    assert isinstance(names["level-d3d1f6ed:atlas-llama:n240:s0"], TrainSettings)


# ---- made again ----
def test_what_is_made_again_is_checked_fact_by_fact(workspace):
    """Equal, three facts apart, and a run of other settings: each is said with its numbers."""
    other = [not right if at < 3 else right for at, right in enumerate(EVEN)]
    made_run("old", EVEN)
    made_run("same", EVEN, save_model=True)
    made_run("moved", other)
    made_run("else", EVEN, n=120)
    same, moved, different = (workflows.check_again("old", name) for name in ("same", "moved", "else"))
    assert (same.equal, same.said) == (True, "Right and wrong are equal on all 80 facts.")
    assert (moved.equal, moved.differing) == (False, 3)
    assert moved.said.startswith("3 of 80 facts differ in right or wrong (3.8%)")
    assert not different.equal
    assert different.said.startswith("else was made from other settings")


def test_runs_of_the_same_settings_with_weights_are_found(workspace, tmp_path):
    """A run without weights is no replacement, nor is one of another seed."""
    for name, settings in (("with", {}), ("seed", {"seed": 1})):
        (tmp_path / name / "model").mkdir(parents=True)
        (tmp_path / name / "model" / "weights").write_bytes(b"w")
        made_run(name, EVEN, scratch=tmp_path / name, save_model=True, **settings)
    made_run("old", EVEN)
    made_run("without", EVEN)
    assert workflows.made_again(workflows.tested("old")) == ["with"]


def test_the_untouched_model_can_not_be_made_again(workspace):
    """Nothing was tuned; of a tuned cell the settings keep weights and run on whatever device is here."""
    with pytest.raises(SettingsError, match="is the untouched model: there are no tuned weights to make again"):
        workflows.settings_again(workflows.tested(f"{CELL}:n0:s0"))
    again = workflows.settings_again(workflows.tested(f"{CELL}:nall:s1"))
    assert (again.save_model, again.device, again.seed, again.n, again.learning_rate) == (True, "auto", 1, 3360, 4e-4)


def test_a_run_is_made_again_from_its_settings(world):
    """A real one without weights, trained again as a background job would: weights are there and every answer is the same."""
    first = workflows.train(TrainSettings("tiny", world, n=12, save_model=False, device="cpu", shots=0)).run
    old = workflows.tested(first)
    assert not old.weights
    new = workflows.train(workflows.settings_again(old)).run
    assert workflows.made_again(old) == [new]
    assert workflows.check_again(first, new).equal
    assert workflows.tested(new).weights
