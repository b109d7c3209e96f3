"""Choosing examples: balance, levels, nesting, and being told in time what cannot be had."""

import dataclasses
import random

import pytest

from sftqa_core.errors import NotEnoughFacts, SettingsError
from sftqa_core.records import LevelScheme, TrainSettings
from sftqa_core.training.selection import available, needs_levels, next_to_probe, select_examples, take_turns, train_pool
from tests.small import level_table, small_source

SETTINGS = TrainSettings(model="m", source="small", n=10)
IN_DOMAIN = ("P17", "P19", "P20")


def with_(**changes):
    return dataclasses.replace(SETTINGS, **changes)


def per_relation(selection):
    return selection.facts["relation"].value_counts().to_dict()


@pytest.fixture(scope="module")
def source():
    return small_source(train=40)


def levels_of(source, pattern=(0, 1, 2, 3, 4)):
    """A level for every train fact, running through the pattern within each relation's rows."""
    train = source.facts[source.facts["split"] == "train"]
    place = train.groupby("relation").cumcount()
    return level_table(train, [pattern[i % len(pattern)] for i in place])


def test_counts_per_relation_differ_by_at_most_one(source):
    """Ten examples over three topics are 4, 3 and 3, all train facts, none of them out of domain."""
    chosen = select_examples(source, None, SETTINGS)
    assert sorted(per_relation(chosen).values()) == [3, 3, 4]
    assert set(per_relation(chosen)) == set(IN_DOMAIN)
    assert set(chosen.facts["split"]) == {"train"}
    assert chosen.pool == 120
    assert chosen.probed == 0
    assert chosen.facts["level"].isna().all()
    assert sum(count for row in chosen.counts.values() for count in row.values()) == 10
    assert {label for row in chosen.counts.values() for label in row} == {"any"}


def test_smaller_selections_are_part_of_larger_ones(source):
    """For one seed the 10 examples are among the 45, with and without levels; another seed chooses others."""
    levels = levels_of(source)
    for extra in ({}, {"levels": (1, 3)}, {"balance": "level"}):
        small = set(select_examples(source, levels, with_(**extra)).facts["fact_id"])
        large = set(select_examples(source, levels, with_(n=45, **extra)).facts["fact_id"])
        other = set(select_examples(source, levels, with_(seed=1, **extra)).facts["fact_id"])
        assert len(small) == 10
        assert len(large) == 45
        assert small < large
        assert small != other


def test_a_relation_that_runs_out_is_made_up_for_by_the_others():
    """Topics without enough facts give all they have; the rest is spread over the others."""
    assert take_turns(("a", "b", "c"), {"a": 2, "b": 10, "c": 10}, 11) == {"a": 2, "b": 5, "c": 4}
    assert take_turns(("a", "b"), {"a": 0, "b": 3}, 3) == {"a": 0, "b": 3}
    assert take_turns(("a", "b"), {"a": 5, "b": 5}, 0) == {"a": 0, "b": 0}


def test_turns_are_what_a_plain_round_of_turns_gives():
    """For any room and count the result is that of giving one place a turn, so each larger count adds exactly one place."""
    rng = random.Random(0)
    for _ in range(50):
        order = list("abcdefg")
        rng.shuffle(order)
        room = {name: rng.randrange(0, 6) for name in order}
        given = dict.fromkeys(order, 0)
        places = [name for turn in range(6) for name in order if room[name] > turn]
        for count, name in enumerate(places, 1):
            given[name] += 1
            assert take_turns(order, room, count) == given


def test_wanted_levels_keep_their_natural_proportions(source):
    """With three quarters of the wanted facts at level 1, about three quarters of the examples are; none has another level."""
    levels = levels_of(source, (1, 1, 1, 4, 0))
    chosen = select_examples(source, levels, with_(n=60, levels=(1, 4)))
    counts = chosen.facts["level"].value_counts().to_dict()
    assert set(counts) == {1, 4}
    assert 38 <= counts[1] <= 52
    assert sorted(per_relation(chosen).values()) == [20, 20, 20]


def test_level_balance_is_equal_over_levels_and_topics(source):
    """balance="level" with five levels and 30 examples: six of each level, ten of each topic."""
    chosen = select_examples(source, levels_of(source), with_(n=30, balance="level"))
    assert chosen.facts["level"].value_counts().to_dict() == dict.fromkeys(range(5), 6)
    assert per_relation(chosen) == dict.fromkeys(IN_DOMAIN, 10)
    assert chosen.counts["P17"] == {"L0": 2, "L1": 2, "L2": 2, "L3": 2, "L4": 2}


def test_a_scheme_of_four_levels_balances_over_four():
    """The number of levels comes from the scheme."""
    source = small_source(train=20)
    scheme = LevelScheme("four", ("A", "B", "C", "D"), (0.0, 0.3, 0.6))
    chosen = select_examples(source, levels_of(source, (0, 1, 2, 3)), with_(n=8, balance="level", scheme=scheme))
    assert chosen.facts["level"].value_counts().to_dict() == {0: 2, 1: 2, 2: 2, 3: 2}
    assert {label for row in chosen.counts.values() for label in row} == set("ABCD")


def test_probing_stops_when_the_quota_is_met_and_the_choice_is_the_same(source):
    """Probing only what next_to_probe asks for gives the examples that probing everything gives, from fewer facts."""
    everything = levels_of(source)
    known = dict(zip(everything["fact_id"], everything["level"], strict=True))
    settings = with_(n=6, levels=(2,))
    levels, calls = everything.head(0), 0
    while len(asked := next_to_probe(source, levels, settings, ahead=4)):
        calls += 1
        assert asked["relation"].value_counts().max() <= 4
        done = [*levels["fact_id"], *asked["fact_id"]]
        assert len(set(done)) == len(done)
        levels = everything[everything["fact_id"].isin(done)]
    sparing, thorough = select_examples(source, levels, settings), select_examples(source, everything, settings)
    assert list(sparing.facts["fact_id"]) == list(thorough.facts["fact_id"])
    assert {known[fact] for fact in sparing.facts["fact_id"]} == {2}
    assert calls > 1
    assert sparing.probed == thorough.probed <= len(levels) < 120


def test_unprobed_facts_in_the_way_are_told(source):
    """Choosing from too few probed facts is refused, because the choice would depend on what was probed by chance."""
    with pytest.raises(NotEnoughFacts, match="not probed yet"):
        select_examples(source, None, with_(n=6, levels=(2,)))


def test_without_levels_nothing_is_probed(source):
    """A run that takes examples as they come needs no levels, nor does n = 0."""
    assert not needs_levels(SETTINGS)
    assert not needs_levels(with_(n=0, levels=(1,)))
    assert needs_levels(with_(balance="level"))
    assert next_to_probe(source, None, SETTINGS).empty
    assert select_examples(source, None, with_(n=0, levels=(1,))).facts.empty


def test_too_many_examples_are_told_before_anything_starts(source):
    """An n above the pool names the pool; it is told without probing."""
    message = "500 examples were asked for, but small has 120 train facts in 3 relations. Ask for 120 or fewer, or add relations."
    with pytest.raises(NotEnoughFacts) as error:
        next_to_probe(source, None, with_(n=500))
    assert str(error.value) == message


def test_a_scarce_level_is_told_with_the_counts_of_all(source):
    """A level that lacks facts is refused with how many facts each level has."""
    levels = levels_of(source, (0, 0, 0, 0, 0, 0, 0, 0, 0, 3))
    with pytest.raises(NotEnoughFacts) as error:
        select_examples(source, levels, with_(n=30, levels=(3,)))
    assert "30 examples were asked for, 30 of them from L3, but small has at most 12 there" in str(error.value)
    assert "probed so far 120 (L0 108, L1 0, L2 0, L3 12, L4 0)" in str(error.value)
    found = available(source, levels, with_(levels=(3,)))
    assert (found.total, found.per_level["L0"], found.probed) == (12, 108, 120)
    assert found.per_relation == dict.fromkeys(found.per_relation, 4)


def test_all_takes_everything_there_is(source):
    """n = all is the whole pool, all facts of the wanted levels, or as many of each level as the scarcest has."""
    levels = levels_of(source, (0, 0, 1, 1, 1, 2, 2, 2, 3, 4))
    everything = with_(n=TrainSettings.ALL)
    assert len(select_examples(source, None, everything).facts) == available(source, None, everything).total == 120
    some = dataclasses.replace(everything, levels=(1, 4))
    assert len(next_to_probe(source, None, some, ahead=1000)) == 120
    assert len(select_examples(source, levels, some).facts) == available(source, levels, some).total == 48
    equal = dataclasses.replace(everything, balance="level")
    assert len(select_examples(source, levels, equal).facts) == available(source, levels, equal).total == 60


def test_chosen_topics_may_be_of_any_domain_and_must_exist(source):
    """Topics named by the person replace the in-domain ones; an unknown one is refused with those there are."""
    assert set(select_examples(source, None, with_(relations=("P17",), n=5)).facts["relation"]) == {"P17"}
    with pytest.raises(SettingsError, match="small has no relation 'P99'; it has P17, P19, P20, P26"):
        train_pool(source, with_(relations=("P99",)))


def test_facts_that_carry_qa_text_are_never_chosen_and_echo_is_counted(source):
    """Split "none" stays out even of n = all; the echo flag travels with the examples."""
    chosen = select_examples(source, None, with_(n=120))
    assert "none" not in set(chosen.facts["split"])
    assert chosen.echo == 0
    facts = source.facts.assign(echo=True)
    assert select_examples(dataclasses.replace(source, facts=facts), None, SETTINGS).echo == 10


def uneven(source):
    """P17 has 8 facts of each level, P19 20 of L0 and 5 of the others, P20 none of L4 and 10 of the others."""
    counts = {"P17": (8, 8, 8, 8, 8), "P19": (20, 5, 5, 5, 5), "P20": (10, 10, 10, 10, 0)}
    train = source.facts[source.facts["split"] == "train"]
    pattern = {name: iter([level for level, count in enumerate(row) for _ in range(count)]) for name, row in counts.items()}
    return level_table(train, [next(pattern[relation]) for relation in train["relation"]])


def matched(level, n, seed=0, **more):
    return with_(n=n, levels=(level,), balance="matched", seed=seed, **more)


@pytest.mark.parametrize("seed", [0, 1])
def test_matched_lists_of_all_levels_hold_the_same_topics(source, seed):
    """Up to 13, what every level can give: 8 of P17, 5 of P19, none of P20, in turns; only the wanted level is taken."""
    levels = uneven(source)
    for n, counts in ((13, {"P17": 8, "P19": 5}), (12, {"P17": 7, "P19": 5}), (6, {"P17": 3, "P19": 3})):
        lists = [select_examples(source, levels, matched(level, n, seed)) for level in range(5)]
        assert [per_relation(chosen) for chosen in lists] == [counts] * 5
        assert [set(chosen.facts["level"]) for chosen in lists] == [{level} for level in range(5)]


def test_what_is_missing_comes_in_turns_from_what_is_left(source):
    """Fifteen of L1: after 8 and 5 the other two come from P20; of L0 as well from P19's 15 that are left; all 38 of it."""
    levels = uneven(source)
    assert per_relation(select_examples(source, levels, matched(1, 15))) == {"P17": 8, "P19": 5, "P20": 2}
    chosen = per_relation(select_examples(source, levels, matched(0, 15)))
    assert (chosen["P17"], chosen["P19"] + chosen["P20"], chosen["P20"]) == (8, 7, 1)
    everything = matched(0, TrainSettings.ALL)
    assert len(select_examples(source, levels, everything).facts) == available(source, levels, everything).total == 38


def test_smaller_matched_lists_are_part_of_larger_ones(source):
    """For one seed the 6 are among the 13 and these among the 20; another seed chooses others."""
    six, thirteen, twenty = (set(select_examples(source, uneven(source), matched(2, n)).facts["fact_id"]) for n in (6, 13, 20))
    assert six < thirteen < twenty
    assert six != set(select_examples(source, uneven(source), matched(2, 6, 1)).facts["fact_id"])


def test_matched_counts_come_from_the_scheme():
    """With four levels a relation gives what each of four has, whatever a fifth would."""
    source = small_source(train=20)
    scheme = LevelScheme("four", ("A", "B", "C", "D"), (0.0, 0.3, 0.6))
    levels = levels_of(source, (0, 1, 2, 3))
    chosen = select_examples(source, levels, matched(3, 15, scheme=scheme))
    assert per_relation(chosen) == dict.fromkeys(IN_DOMAIN, 5)
    assert chosen.counts["P17"] == {"D": 5}


def test_too_few_facts_of_a_matched_level_are_told_with_all_counts(source):
    """29 of L4 where there are 13: all counts are named."""
    with pytest.raises(NotEnoughFacts) as error:
        select_examples(source, uneven(source), matched(4, 29))
    assert "29 examples were asked for, 29 of them from L4, but small has at most 13 there" in str(error.value)
    assert "probed so far 120 (L0 38, L1 23, L2 23, L3 23, L4 13)" in str(error.value)


def test_matched_lists_need_the_level_of_every_train_fact(source):
    """next_to_probe names a share of each topic until none is unknown; before that choosing is refused; then all agree."""
    everything = uneven(source)
    settings = matched(4, 6)
    assert needs_levels(settings)
    levels = everything.head(0)
    while len(asked := next_to_probe(source, levels, settings, ahead=16)):
        assert asked["relation"].value_counts().to_dict() == dict.fromkeys(IN_DOMAIN, min(16, 40 - len(levels) // 3))
        with pytest.raises(NotEnoughFacts, match="not probed yet"):
            select_examples(source, levels, settings)
        levels = everything[everything["fact_id"].isin([*levels["fact_id"], *asked["fact_id"]])]
    assert len(levels) == 120
    assert per_relation(select_examples(source, levels, settings)) == {"P17": 3, "P19": 3}


def test_no_matched_examples_need_no_levels(source):
    """n = 0 is an empty list in every balance."""
    assert not needs_levels(matched(1, 0))
    assert select_examples(source, None, matched(1, 0)).facts.empty


def test_a_shortage_before_probing_tells_what_there_could_be(source):
    """500 of L3 among 120 unknown facts: at most 120, as without matching."""
    with pytest.raises(NotEnoughFacts, match="small has at most 120 there"):
        next_to_probe(source, None, matched(3, 500))


def test_matched_lists_tell_how_many_levels_they_needed(source):
    """All 120 train facts had to be probed for six examples."""
    assert select_examples(source, uneven(source), matched(4, 6)).probed == 120
