"""What the lesson reads: a number of examples against others on the same facts, whether a guess holds, facts drawn for everybody alike."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sftqa_core import workflows
from sftqa_core.errors import NotFound, SettingsError
from sftqa_core.records import PAPER, TrainSettings
from sftqa_core.workflows.tested.lessons import HOLDS, OPEN, TOO_FEW, TOO_MANY, Sizes
from tests.made_runs import facts_of, made_run

TRIED = (0, 10, 60, 240)
FACTS = facts_of(count=200)  # in-domain, and as many out of domain
HALF, MOST = [at % 2 == 0 for at in range(400)], [at % 10 != 0 for at in range(400)]
NONE = [False] * 400


def sizes(*, ten: list[bool], sixty: list[bool], many: list[bool]) -> Sizes:
    answers = {10: ten, 60: sixty, 240: many}
    return workflows.compare_sizes([made_run(f"n{n}", right, FACTS, n=n).id for n, right in answers.items()])


def test_accuracies_are_those_of_one_domain_and_the_base_model_is_number_zero(workspace):
    """200 in-domain facts; the base model answered none of them; Wilson's intervals."""
    found = sizes(ten=HALF, sixty=MOST, many=MOST)
    assert found.facts == 200
    assert {n: mean.value for n, mean in found.accuracy.items()} == {0: 0.0, 10: 0.5, 60: 0.9, 240: 0.9}
    assert found.accuracy[10].low == pytest.approx(0.4314, abs=1e-4)
    assert [(test.run, test.against) for test in found.tests] == [
        ("10", "0"), ("60", "0"), ("240", "0"), ("60", "10"), ("240", "10"), ("240", "60"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("guess", "verdict", "pair"),
    [(0, TOO_FEW, ("240", "0")), (10, TOO_FEW, ("240", "10")), (60, HOLDS, ("240", "60")), (240, TOO_MANY, ("240", "60"))],
)
def test_a_guess_holds_where_no_larger_number_is_better_and_every_smaller_one_is_worse(workspace, guess, verdict, pair):
    """10 answer half, 60 and 240 the same nine tenths."""
    said, test = sizes(ten=HALF, sixty=MOST, many=MOST).judge(guess, TRIED)
    assert (said, (test.run, test.against)) == (verdict, pair)
    assert (test.low > 0) is (verdict == TOO_FEW)


def test_a_number_that_another_one_beats_would_not_do(workspace):
    """240 beat 10, and neither can be told from 60: a guess of 60 is not told that 10 would do."""
    ten, sixty, many = ([at % 200 < right for at in range(400)] for right in (100, 104, 108))
    found = sizes(ten=ten, sixty=sixty, many=many)
    assert {(test.run, test.against): test.verdict for test in found.tests if test.against != "0"} == {
        ("60", "10"): "cannot tell", ("240", "10"): "better", ("240", "60"): "cannot tell",
    }  # fmt: skip
    assert [found.judge(guess, TRIED)[0] for guess in (10, 60, 240)] == [TOO_FEW, HOLDS, TOO_MANY]


def test_the_largest_number_holds_where_it_is_better_than_all(workspace):
    """240 answer more than 60, and nothing larger was tried."""
    said, test = sizes(ten=NONE, sixty=HALF, many=MOST).judge(240, TRIED)
    assert (said, test.run, test.against, test.verdict) == (HOLDS, "240", "60", "better")


def test_no_examples_would_do_where_training_changes_nothing(workspace):
    """Every run answers what the base model does."""
    said, test = sizes(ten=NONE, sixty=NONE, many=NONE).judge(0, TRIED)
    assert (said, test.difference, test.verdict) == (HOLDS, 0.0, "cannot tell")


def test_nothing_is_told_before_all_runs_are_there(workspace):
    """Only 60 is trained: 240 might be better. But where it is known that a larger number is better, that is said at once."""
    one = workflows.compare_sizes([made_run("n60", HALF, FACTS, n=60).id])
    assert one.judge(60, TRIED) == (OPEN, None)
    assert one.judge(10, TRIED) == (OPEN, None)
    assert one.judge(0, TRIED)[0] == TOO_FEW


def test_few_facts_tell_nothing(workspace):
    """20 in-domain facts."""
    few = facts_of(count=20)
    runs = [made_run(f"few{n}", [n > 10] * 40, few, n=n).id for n in TRIED[1:]]
    assert workflows.compare_sizes(runs).judge(60, TRIED) == (OPEN, None)


def test_no_runs_and_no_facts_of_the_domain_are_empty(workspace):
    """Nothing to compare, and no test of nothing."""
    assert workflows.compare_sizes([]).accuracy == {}
    out = FACTS[FACTS["domain"] == "out"].reset_index(drop=True)
    empty = workflows.compare_sizes([made_run("out", [True] * len(out), out, n=10).id])
    assert (empty.facts, empty.accuracy[10].value, empty.tests) == (0, None, ())


def test_what_cannot_be_compared_is_refused(workspace):
    """Two runs of one number; a run that is not there."""
    twice = [made_run(name, HALF, FACTS, n=60).id for name in ("one", "two")]
    with pytest.raises(SettingsError, match="Each number of examples may come once, got 60, 60"):
        workflows.compare_sizes(twice)
    with pytest.raises(NotFound):
        workflows.compare_sizes(["nowhere"])


def test_a_finished_run_is_found_by_its_settings(workspace):
    """The shipped one for the defaults, on whatever device; none for another seed, or for less of the test set."""
    wanted = TrainSettings(model="atlas-llama", source="atlas", n=60)
    (shipped,) = workflows.runs()
    assert workflows.finished_run(wanted).id == shipped.id
    assert workflows.finished_run(replace(wanted, device="cpu", save_model=True, learning_rate=4e-4)).id == shipped.id
    for other in ({"n": 10}, {"seed": 1}, {"test_limit": 100}, {"learning_rate": 1e-4}):
        assert workflows.finished_run(replace(wanted, **other)) is None


def test_facts_are_drawn_by_level_and_the_same_for_everybody(workspace):
    """One of each level that is asked for, no echo, none twice; a level without facts is left out."""
    profile = workflows.profile("atlas-llama", "atlas", "test", "in", PAPER)
    drawn = workflows.facts_of_levels(profile, (4, 2, 0, 0))
    table = profile.table.set_index("fact_id")
    assert table.loc[drawn, "level"].tolist() == [4, 2, 0, 0]
    assert not table.loc[drawn, "echo"].any()
    assert len(set(drawn)) == 4
    assert workflows.facts_of_levels(profile, (4, 2, 0, 0)) == drawn
    assert workflows.facts_of_levels(profile, (7,)) == []


def test_every_level_is_as_likely_in_a_quiz(workspace):
    """A quarter of the facts is at L4 and a tenth at L2; of 100 rounds each level has its fifth, about."""
    profile = workflows.profile("atlas-llama", "atlas", "test", "in", PAPER)
    ids = workflows.quiz(profile, 100)
    levels = profile.table.set_index("fact_id").loc[ids, "level"].value_counts()
    assert len(set(ids)) == 100
    assert levels.between(10, 30).all()
    assert ids[:20] == workflows.quiz(profile, 20)  # more rounds change no earlier one
