"""The words follow the numbers: yes, no or cannot tell, from outcomes made for each."""

import dataclasses
import math
from functools import partial

import numpy as np

from sftqa_core.records import STUDIES, StudySettings
from sftqa_core.records.recipes import Repeat
from sftqa_core.studies.registry import find_study
from sftqa_core.studies.statistics import NO, OPEN, YES
from tests.studies.small_study import TWO, facts_of, levels_cell, outcomes_of, right, run

FACTS = facts_of((100,) * 5)
PAIR = facts_of((100, 100))
LEVELS = PAIR["level"].astype(int).to_numpy()


def findings_of(kind, outcomes):
    """What a study of this kind says of the outcomes."""
    recipe = Repeat() if STUDIES[kind].recipe else None
    _, findings = find_study(kind).counted(StudySettings(kind, ("m",), recipe=recipe), outcomes)
    return findings


amount_findings, level_findings, models_findings, shift_findings = (
    partial(findings_of, kind) for kind, study in STUDIES.items() if not study.recipe
)


def asked(findings, question):
    """The one finding whose question begins so."""
    (found,) = [one for one in findings if one.question.startswith(question)]
    return found


def sizes(**shares):
    """n -> share of every level that is right, the same facts first."""
    return outcomes_of(FACTS, {run(int(name[1:])): right(FACTS, share) for name, share in shares.items()})


def test_enough_is_yes_where_the_whole_interval_is_above():
    """60 examples are the best there is: 100% of it in every resample."""
    found = asked(amount_findings([sizes(n10=0.2, n60=0.8, n240=0.5)]), "Do 60")
    assert (found.about, found.question, found.verdict) == ("m, in-domain", "Do 60 examples reach 95% of the best?", YES)
    assert found.text == (
        "60 examples reach 100.0% of the best mean over levels (100.0% to 100.0%). The smallest number within 95% of the best is 60; "
        "it is the smallest in 100% of the resamples."
    )


def test_enough_is_no_where_the_whole_interval_is_below():
    """.4 of .8 is half of the best; the number that is enough is named."""
    found = asked(amount_findings([sizes(n60=0.4, n240=0.8)]), "Do 60")
    assert found.verdict == NO
    assert found.text.startswith("60 examples reach 50.0% of the best mean over levels (")
    assert "is 240; it is the smallest in 100% of the resamples." in found.text


def test_enough_is_open_where_the_interval_holds_the_border():
    """.76 of .80 is 95% on the nose."""
    assert asked(amount_findings([sizes(n60=0.76, n240=0.8)]), "Do 60").verdict == OPEN


def test_more_examples_make_it_worse_the_best_or_neither():
    """A clear fall, a clear rise to the end, and two sizes that are equal on opposite facts."""
    question = "Does accuracy fall again"
    fall = asked(amount_findings([sizes(n60=0.8, n240=0.4)]), question)
    assert fall.verdict == YES
    assert fall.text.startswith("Against 60 examples, 240 change the mean over levels by -40.0 points (-44.")
    assert asked(amount_findings([sizes(n60=0.4, n240=0.8)]), question).verdict == NO
    even = outcomes_of(FACTS, {run(60): right(FACTS, 0.5), run(240): right(FACTS, 0.5, 50)})
    assert asked(amount_findings([even]), question).verdict == OPEN


def test_equal_sizes_seldom_seem_to_fall():
    """Twenty studies of nine sizes that are truly equal: at 5% hardly more than three may say that accuracy falls again."""
    facts, fallen = facts_of((60,) * 5), 0
    for seed in range(20):
        draw = np.random.default_rng(seed)
        cells = {run(n): draw.random(len(facts)) < 0.5 for n in (10, 30, 60, 120, 240, 480, 960, 1920, 3360)}
        fallen += asked(amount_findings([outcomes_of(facts, cells)]), "Does accuracy fall again").verdict == YES
    assert fallen <= 3


def test_where_a_level_has_no_facts_the_micro_average_is_judged():
    """There is no mean over levels then, and each finding says so."""
    empty = facts_of((100, 0, 100, 100, 100))
    few, trend = amount_findings([outcomes_of(empty, {run(60): right(empty, 0.2), run(240): right(empty, 0.6)})])
    named = "micro average (a level holds no test facts, so there is no mean over levels)"
    assert (few.verdict, trend.verdict) == ("no", "no")
    assert few.text.startswith(f"60 examples reach 33.3% of the best {named} (")
    assert trend.text.startswith(f"Against 60 examples, 240 change the {named} by +40.0 points")


def test_without_60_examples_or_another_size_nothing_is_said():
    """Nothing done, only n = 0, or only 60: no finding; without 60 only whether accuracy falls again."""
    for outcomes in (sizes(), sizes(n0=0.1), sizes(n60=0.5)):
        assert list(amount_findings([outcomes])) == []
    assert [found.question[:5] for found in amount_findings([sizes(n30=0.5, n240=0.6)])] == ["Does "]
    assert [findings_of(kind, []) for kind in STUDIES] == [()] * len(STUDIES)


def test_more_models_and_domains_make_intervals_wider():
    """Bonferroni: the same numbers are told with more doubt when they are asked of three models."""
    one = sizes(n60=0.7, n240=0.8)
    alone, among = (
        [asked(amount_findings([one] * count), "Do 60")] if count == 1 else list(amount_findings([one] * 3)) for count in (1, 3)
    )
    low, wide = (float(found[0].text.split("(")[1].split("%")[0]) for found in (alone, among))
    assert wide < low


def by_level(low, high, mix, facts=PAIR, seeds=(0,)):
    """Level study of two levels: shares of low and of high test facts right after training on low, on high, on the mix."""
    shares = {0: low, 1: high, None: mix}
    return outcomes_of(
        facts, {run(60, seed, at, TWO): right(facts, share) for seed in seeds for at, share in shares.items() if share}, scheme=TWO
    )


def test_unknown_facts_hurt_help_or_nobody_can_tell():
    """Against the mix: 25 points less, 15 more, and the same on other facts; the numbers stand in the text."""
    question = "Does training on low (unknown facts) hurt?"
    hurt = asked(level_findings([by_level((0.2, 0.3), (0.2, 0.9), (0.2, 0.8))]), question)
    assert hurt.verdict == YES
    assert hurt.text.startswith("60 examples of low give a mean over levels of 25.0%: -25.0 points against the natural mix (-")
    assert "Holm p < 0.001" in hurt.text
    assert asked(level_findings([by_level((0.5, 0.8), (0.2, 0.9), (0.2, 0.8))]), question).verdict == NO
    other = right(PAIR, 0.5, 50)
    even = by_level((0.5, 0.5), (0.2, 0.9), None)
    even = dataclasses.replace(even, runs={**even.runs, **outcomes_of(PAIR, {run(60, scheme=TWO): other}).runs})
    assert asked(level_findings([even]), question).verdict == OPEN


def test_a_level_that_wins_nearly_always_is_the_best():
    """High training wins the mean in all resamples; equal ones, right on opposite facts, in half of them each."""
    best = asked(level_findings([by_level((0.2, 0.3), (0.2, 0.9), (0.2, 0.8))]), "Is one training level")
    assert (best.about, best.verdict) == ("m, in-domain", YES)
    assert best.text == "Best mean over levels, share of resamples: high 100%, low 0%."
    cells = {run(60, 0, at, TWO): right(PAIR, 0.5, 50 * at) for at in (0, 1)}
    assert asked(level_findings([outcomes_of(PAIR, cells, scheme=TWO)]), "Is one training level").verdict == OPEN


def test_each_level_may_teach_itself_best():
    """Yes if it does for all, no if it does for none, open if it does for some; which is which is told."""
    question = "Is each level answered best"
    own = asked(level_findings([by_level((0.6, 0.2), (0.2, 0.9), None)]), question)
    assert (own.verdict, own.text) == (YES, "Yes: low, high.")
    none = asked(level_findings([by_level((0.2, 0.9), (0.6, 0.2), None)]), question)
    assert (none.verdict, none.text) == (NO, "No: low, high.")
    some = asked(level_findings([by_level((0.2, 0.2), (0.6, 0.9), None)]), question)
    assert (some.verdict, some.text) == (OPEN, "Yes: high; no: low.")


def test_a_level_that_nothing_teaches_is_not_answered_best_after_itself():
    """No low fact is answered after any training: nobody can tell, or no."""
    found = asked(level_findings([by_level((0.0, 0.2), (0.0, 0.9), None)]), "Is each level answered best")
    assert found.verdict != YES


def test_one_training_level_alone_is_not_the_best():
    """A study in its first minutes, with the lowest level's run done: no finding, or cannot tell."""
    findings = list(level_findings([by_level((0.2, 0.3), None, None)]))
    assert YES not in {one.verdict for one in findings}


def test_a_diagonal_without_a_cell_is_no_yes():
    """Trained on low so far, and the domain has high facts only: no level was asked about after its own training."""
    facts = facts_of((0, 100))
    assert [one for one in level_findings([by_level((0.0, 0.5), None, None, facts)]) if one.verdict == YES] == []


def test_cells_under_thirty_facts_make_no_claim():
    """Five facts a level: nothing is yes or no, in any study."""
    facts = facts_of((5, 5))
    levels = facts["level"].astype(int).to_numpy()
    shift = outcomes_of(facts, again=levels, shifts={run(60): levels_cell(1 - levels, 60)})
    few = facts_of((5,) * 5)
    amount = outcomes_of(few, {run(60): right(few, 0.2), run(240): right(few, 1.0)})
    findings = [*level_findings([by_level((0.2, 0.2), (0.6, 1.0), None, facts)]), *shift_findings([shift]), *amount_findings([amount])]
    assert {one.verdict for one in findings} <= {OPEN}


def test_the_best_level_is_corrected_for_being_asked_of_many():
    """98% of the resamples is enough for one model and domain, not for each of ten."""
    one, study = by_level((0.2, 0.3), (0.2, 0.9), None), find_study("level")
    ten = [dataclasses.replace(one, model=f"m{at}") for at in range(10)]
    tables, _ = study.counted(StudySettings("level", ("m",)), ten)
    best = tables["best"].assign(best=tables["best"]["best"].map({1.0: 0.98, 0.0: 0.02}))
    findings = [found for found in study.findings(ten, tables | {"best": best}) if found.question.startswith("Is one training level")]
    assert [found.verdict for found in findings] == [OPEN] * 10


def test_a_level_study_without_results_says_nothing():
    """Nothing done, or the untouched model alone."""
    assert list(level_findings([outcomes_of(PAIR, scheme=TWO)])) == []
    assert list(level_findings([outcomes_of(PAIR, {run(0): right(PAIR, 0.1)}, scheme=TWO)])) == []


def probed(name, same=1.0, again=1.0, accuracy=None):
    """A model on whose level `same` of PAIR's facts are, and of which a second probe leaves `again` there."""
    table = PAIR.copy()
    scores = np.linspace(0, 1, 200)
    cut = round((1 - same) * 200)
    table["level"] = np.r_[1 - LEVELS[:cut], LEVELS[cut:]]
    twice = table["level"].to_numpy().copy()
    twice[: round((1 - again) * 200)] = 1 - twice[: round((1 - again) * 200)]
    runs = {} if accuracy is None else {run(60): right(PAIR, accuracy)}
    facts = table.assign(score=scores).astype({"level": "Int64"})
    return dataclasses.replace(outcomes_of(facts, runs, name, TWO, again=twice), facts=facts)


def test_models_know_different_facts_where_chance_explains_less():
    """Same level for 50% of the facts, 95% by chance: yes; equal levels: no; without a second probe nobody can tell."""
    found = asked(models_findings([probed("a", again=0.95), probed("b", same=0.5)]), "Do they know")
    assert (found.about, found.verdict) == ("a and b", YES)
    assert found.text.startswith(
        "50% of 200 facts are on the same level in both; probed again, a model has 98% where they were: -47.5 points (-5"
    )
    assert found.text.endswith("Their memory scores have a rank correlation of 1.00.")
    assert asked(models_findings([probed("a", again=0.8), probed("b")]), "Do they know").verdict == NO
    bare = [dataclasses.replace(one, retest=None) for one in (probed("a"), probed("b", same=0.5))]
    assert list(models_findings(bare)) == []


def test_a_difference_of_one_fact_does_not_make_models_know_different_facts():
    """97% on the same level against 97.5% by chance, of 200 facts: nobody can tell."""
    assert asked(models_findings([probed("a", again=0.95), probed("b", same=0.97)]), "Do they know").verdict == OPEN


def test_a_model_with_equal_scores_has_no_rank_correlation_in_words():
    """An untrained model scores 0 everywhere: the finding says so without a number, and without 'nan'."""
    flat = dataclasses.replace(probed("b"), facts=PAIR.assign(score=0.0))
    assert "nan" not in asked(models_findings([probed("a"), flat]), "Do they know").text


def test_models_answer_differently_where_holms_p_says_so():
    """.3 against .6 of the same facts: yes with both numbers; equal answers: nobody can tell."""
    found = asked(models_findings([probed("a", accuracy=0.3), probed("b", accuracy=0.6)]), "Do they answer")
    assert (found.about, found.verdict) == ("a and b, in-domain", YES)
    assert found.text.startswith("After the same 60 examples they answer 30.0% and 60.0% of 200 facts: -30.0 points (-")
    assert asked(models_findings([probed("a", accuracy=0.3), probed("b", accuracy=0.3)]), "Do they answer").verdict == OPEN
    assert [one.question for one in models_findings([probed("a", accuracy=0.3), probed("b")])] == ["Do they know different facts?"]


def shifted(lost=0, gained=0, again=0, seeds=(0,), **numbers):
    """The first `lost` of the high facts fall and `gained` of the low ones rise; `again` fall in the second probe."""
    levels, twice = LEVELS.copy(), LEVELS.copy()
    levels[:gained], levels[100 : 100 + lost], twice[100 : 100 + again] = 1, 0, 0
    shifts = {
        run(60, seed): levels_cell(levels, 60, **{k: v[seed] if isinstance(v, list) else v for k, v in numbers.items()}) for seed in seeds
    }
    return outcomes_of(PAIR, again=twice, shifts=shifts)


def test_facts_fall_or_rise_more_than_by_chance():
    """40 of 200 fall where 10 do by chance, 30 rise where none does; fewer than by chance is no, as many is open."""
    findings = list(shift_findings([shifted(lost=40, gained=30, again=10)]))
    lost, gained = asked(findings, "Do facts fall"), asked(findings, "Do facts rise")
    assert (lost.about, lost.verdict, gained.verdict) == ("m, n = 60, in-domain", YES, YES)
    assert lost.text.startswith("20.0% of 200 facts did; of the untouched model's, probed again, 5.0%. The excess is +15.0 points (+")
    assert asked(shift_findings([shifted(lost=1, again=40)]), "Do facts fall").verdict == NO
    assert asked(shift_findings([shifted(lost=10, again=10)]), "Do facts fall").verdict == OPEN


def test_several_sizes_are_as_many_questions():
    """The same fall is told with more doubt when it is asked of four sizes."""
    one = shifted(lost=40)
    (cell,) = one.shifts.values()
    four = dataclasses.replace(one, shifts={run(n): dataclasses.replace(cell, n=n) for n in (60, 120, 240, 480)})
    alone = asked(shift_findings([one]), "Do facts fall")
    among = [
        found for found in shift_findings([four]) if found.about.startswith("m, n = 60,") and found.question.startswith("Do facts fall")
    ]
    assert among[0].text != alone.text


def test_other_text_is_predicted_worse_if_the_interval_over_documents_says_so():
    """Perplexity before and after, each seed listed; the change has an interval over documents."""
    question = "Is other text predicted worse?"
    told = {"perplexity_before": 10.0, "log_ratio_se": 0.01}
    after = {"perplexity": [12.0, 14.0, 13.0], "log_ratio": [math.log(1.2), math.log(1.4), math.log(1.3)]}
    worse = asked(shift_findings([shifted(seeds=(0, 1, 2), **after, **told)]), question)
    assert (worse.about, worse.verdict) == ("m, n = 60", YES)
    assert worse.text == (
        "Perplexity of pre-training text that it has not read: 10.00 before, 13.00 after (seeds: 12.00, 14.00, 13.00), "
        "+29.7% (+27.2% to +32.3%, over documents)."
    )
    for ratio, error, verdict in ((-0.1, 0.01, NO), (0.1, 0.2, OPEN)):
        found = shifted(perplexity=10 * math.exp(ratio), perplexity_before=10.0, log_ratio=ratio, log_ratio_se=error)
        assert asked(shift_findings([found]), question).verdict == verdict


def test_one_seed_a_hair_above_does_not_say_that_text_is_predicted_worse():
    """10.00 before and 10.00 after, as the text itself says."""
    found = asked(shift_findings([shifted(perplexity=10.0001, perplexity_before=10.0, log_ratio=1e-5, log_ratio_se=1e-4)]), "Is other text")
    assert found.verdict == OPEN


def test_a_shift_study_without_results_says_nothing():
    """Nothing done, only the second probe, or no second probe yet."""
    for outcomes in (outcomes_of(PAIR), shifted(seeds=()), dataclasses.replace(shifted(lost=40), retest=None)):
        assert list(shift_findings([outcomes])) == []
