"""Hits, memory scores, their intervals and levels."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from sftqa_core.engine.wanted_facts import wanted_facts
from sftqa_core.errors import ArtifactDamaged
from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.memory.scores import judge, level_of, matched_answers, samples_interval, split_scores, templates_interval
from sftqa_core.memory.shares import share_interval
from sftqa_core.records import LevelScheme
from tests.memory.memory_world import source_of


def rows(*entries):
    return pd.DataFrame(entries, columns=["fact_id", "template", "text", "count", "tokens", "stop"])


def wanted_of(count, aliases=None):
    source = source_of(count)
    return wanted_facts(source, source.facts, aliases or Aliases(), "tokens")


@pytest.mark.parametrize(("hits", "level"), [(0, 0), (1, 1), (52, 1), (53, 2), (105, 2), (106, 3), (157, 3), (158, 4), (210, 4)])
def test_cut_offs_are_exact_in_hits_of_210(hits, level):
    """METHOD section 1: L1 is 1-52 hits of 210, L2 53-105, L3 106-157, L4 158-210."""
    assert level_of([hits / 210], LevelScheme()).tolist() == [level]


def test_cut_off_at_a_third_belongs_to_the_level_below():
    """70 of 210 is exactly a third, in a scheme of four levels."""
    scheme = LevelScheme("thirds", ("a", "b", "c", "d"), (0.0, 1 / 3, 2 / 3))
    assert level_of(np.array([0, 1, 70, 71, 140, 141, 210]) / 210, scheme).tolist() == [0, 1, 1, 2, 2, 3, 3]


def test_samples_interval_where_nothing_or_everything_hits():
    """0 of 210 and 210 of 210 have an interval that touches the estimate and is about as wide as the exact binomial one."""
    low, high = samples_interval([[0] * 21, [10] * 21], 10)
    assert (low[0], high[1]) == (0, 1)
    assert high[0] == pytest.approx(0.01797, abs=1e-4)  # Clopper-Pearson: 0.0174
    assert low[1] == pytest.approx(1 - 0.01797, abs=1e-4)


def test_samples_interval_of_all_or_nothing_templates():
    """Ten sure templates and eleven hopeless ones: narrower than 100 of 210 coin tosses, but not without width."""
    low, high = samples_interval([[10] * 10 + [0] * 11], 10)
    assert low[0] < 100 / 210 < high[0]
    assert 0.03 < high[0] - low[0] < 0.07  # the binomial's width is 0.134


def test_samples_interval_of_equal_templates_is_wilsons():
    """When every template has the same rate, stratification gains nothing: Wilson's interval of 105 of 210."""
    low, high = samples_interval([[5] * 21], 10)
    assert (low[0], high[0]) == (pytest.approx(0.4330, abs=1e-3), pytest.approx(0.5670, abs=1e-3))


@pytest.mark.parametrize("rates", [[0.0] * 20 + [0.3], [0.02] * 21, [0.0] * 10 + [1.0] * 11, [0.1] * 10 + [0.9] * 11, [0.5] * 21])
def test_samples_interval_covers(rates):
    """Whatever the templates' true rates, at least 93% of the intervals hold the true R."""
    drawn = np.random.default_rng(0).binomial(10, rates, size=(4000, 21))
    low, high = samples_interval(drawn, 10)
    assert ((low <= np.mean(rates)) & (np.mean(rates) <= high)).mean() >= 0.93


def test_templates_interval_is_a_seeded_bootstrap():
    """It is wide where templates differ, has no width where they agree, and is the same each time and in any company."""
    hits = [[10] * 10 + [0] * 11, [4] * 21]
    low, high = templates_interval(hits, 10)
    assert (low[0], high[0]) == (pytest.approx(0.286, abs=0.03), pytest.approx(0.69, abs=0.03))
    assert (low[1], high[1]) == (pytest.approx(0.4), pytest.approx(0.4))
    assert templates_interval(hits[:1], 10)[0][0] == low[0]
    assert templates_interval(np.tile(hits, (1500, 1)), 10)[1][2998] == high[0]


def test_hits_are_counted_per_template():
    """Counts of rows that contain an answer add up by template; the answer that matched is kept as it was given."""
    first, second = wanted_of(2, Aliases((("Paris", "City of Light"),)))
    table = rows(
        (first.fact_id, 0, " Paris.", 7, 3, "hit"),
        (first.fact_id, 0, " Rome.", 3, 3, "end"),
        (first.fact_id, 1, " the city of light", 1, 5, "end"),
        (first.fact_id, 1, " Parisian", 9, 4, "length"),
        (second.fact_id, 0, "", 10, 1, "end"),
        (second.fact_id, 1, "x", 10, 1, "end"),
        (second.fact_id, 2, " Paris", 10, 2, "end"),
    )
    assert matched_answers(table, {w.fact_id: w for w in (first, second)}) == ["Paris", None, "City of Light", None, None, None, "Paris"]
    judged = judge(table, [first, second], 10)
    assert judged["hits_per_template"].tolist() == [[7, 1], [0, 0, 10]]
    assert judged["hits"].tolist() == [8, 10]
    assert judged["completions"].tolist() == [20, 30]


def test_missing_completions_are_never_taken_for_misses():
    """A fact with too few completions is an error, not a lower score."""
    (first,) = wanted_of(1)
    with pytest.raises(ArtifactDamaged, match=f"1 facts do not have 10 completions for every template, {first.fact_id}"):
        judge(rows((first.fact_id, 0, " Paris.", 10, 3, "hit")), [first], 10)


def test_seen_and_unseen_templates_have_scores_of_their_own():
    """R is split by the templates the model's corpus used; where it used all or none, the other part is not a number."""
    hits, relations = np.array([[7, 1, 0], [0, 0, 10]]), np.array(["P19", "P26"])
    found = split_scores(hits, np.array([2, 3]), np.array([10, 10]), relations, {"P19": [0], "P26": [0, 1, 2]})
    assert found["seen_score"].tolist() == [0.7, pytest.approx(1 / 3)]
    assert found["unseen_score"][0] == 0.1
    assert np.isnan(found["unseen_score"][1])
    assert level_of([8 / 20, 10 / 30], LevelScheme()).tolist() == [2, 2]
    for unknown in ({}, {"P19": []}):
        assert all(np.isnan(part).all() for part in split_scores(hits, np.array([2, 3]), np.array([10, 10]), relations, unknown).values())


def test_a_shares_interval_is_statsmodels_to_the_last_bit():
    """Of whole counts and of effective ones, alone and together: levels that were stored before keep their ends."""
    counts = [(count, n) for n in (1, 2, 38, 210, 5_000) for count in range(0, n + 1, max(1, n // 40))]
    assert [tuple(map(float, share_interval(*pair))) for pair in counts] == [proportion_confint(*pair, method="wilson") for pair in counts]
    rng = np.random.default_rng(0)
    effective = rng.random(10_000) * 5_000 + 1
    hits = rng.random(10_000) * effective
    assert np.array_equal(share_interval(hits, effective), proportion_confint(hits, effective, method="wilson"))
