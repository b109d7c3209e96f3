"""What is told of drift, on made tables: averages over seeds, intervals, and sentences that follow them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sftqa_core.evaluation.inside.drift_tables import Drift, facts_of, looked_at, over_seeds
from sftqa_core.evaluation.inside.drift_words import _of_runs, sentences, words
from sftqa_core.evaluation.inside.look import Look
from sftqa_core.evaluation.intervals import median_interval, spearman_interval
from tests.looks import LABELS, SHARES, drift_look


def told(drift: Drift, *parts: str) -> str:
    """The only sentence with all of these parts."""
    (found,) = [sentence for sentence in words(drift) if all(part in sentence for part in parts)]
    return found


def test_numbers_stand_beside_the_facts_they_are_of():
    """Rows in the order of ids find their facts, whatever order a look has them in; statements find theirs by place."""
    look = drift_look()
    shuffled = Look(look.name, look.settings, look.labels, look.facts.sample(frac=1, random_state=1), look.tables)
    for kind, size in (("questions", 1), ("statements", 0.1)):
        facts = facts_of(shuffled, kind)
        assert len(facts) == 160
        lost = (facts["was_right"] == 1) & (facts["is_right"] == 0)
        assert facts.loc[facts["level"] == 0, "kl"].mean() == pytest.approx(2 * size, rel=0.02)
        assert facts.loc[lost, "kl"].mean() == pytest.approx(2.5 * size, rel=0.02)


def test_facts_are_averaged_over_seeds_first():
    """Three seeds make one row a fact, and facts that a seed lacks are left out."""
    looks = [drift_look(seed=seed) for seed in range(3)]
    facts = over_seeds(looks, "questions").set_index("fact_id")
    each = [facts_of(look, "questions").set_index("fact_id")["kl"] for look in looks]
    assert facts["kl"].to_numpy() == pytest.approx(np.mean([one.loc[facts.index] for one in each], axis=0))
    fewer = drift_look(seed=5)
    statements = fewer.tables["drift"]["statements"].iloc[10:]
    fewer.tables["drift"]["statements"] = statements
    assert len(over_seeds([looks[0], fewer], "statements")) == 150


def test_levels_have_means_medians_and_intervals():
    """Each domain by level and together; the interval holds the mean and is narrow where facts are alike."""
    looks = [drift_look(seed=seed) for seed in range(2)]
    rows = Drift(looks, looks).by_level.set_index(["kind", "domain", "level"])
    assert rows["facts"].tolist() == [40, 40, 80] * 4
    row = rows.loc[("questions", "in", "L0")]
    assert row["kl"] == pytest.approx(2.0, abs=0.03)
    assert row["low"] < row["kl"] < row["high"] < row["low"] + 0.05
    assert row["median_low"] <= row["median"] <= row["median_high"]
    assert row["seeds"] == 2
    assert rows.loc[("questions", "in", "L1"), "changed"] > 0.3
    assert rows.loc[("statements", "out", "L0"), "kl10"] == pytest.approx(0.1, abs=0.003)
    assert np.isnan(row["kl10"])


def test_lost_facts_are_compared_within_their_level():
    """Means of both, a difference with its interval from 30 facts on either side on, else none."""
    look = drift_look(count=240)
    rows = Drift([look], [look]).lost_and_kept.set_index(["kind", "level"])
    row = rows.loc[("questions", "L1")]
    assert (row["lost"], row["kept"]) == (80, 160)
    assert (row["kl_lost"], row["kl_kept"]) == pytest.approx((2.5, 1.0), abs=0.03)
    assert 1.4 < row["low"] < row["difference"] < row["high"] < 1.6
    for name in ("kl_lost", "kl_kept"):
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"] < row[f"{name}_low"] + 0.05
    assert ("questions", "L0") not in rows.index  # none of them was right
    few = drift_look()
    row = Drift([few], [few]).lost_and_kept.set_index(["kind", "level"]).loc[("questions", "L1")]
    assert row["lost"] == 27
    assert np.isnan(row["kl_lost_low"])
    assert row["kl_kept_low"] < row["kl_kept"] < row["kl_kept_high"]
    assert np.isnan(row["difference"])


def test_words_of_one_run():
    """What moved, which level, which facts, and what can't be told of a single run."""
    look = drift_look(count=240)
    drift = Drift([look], [look])
    assert "likeliest next token is another one for" in told(drift, "In-domain")
    assert told(drift, "moved more than statements").endswith("on the same 480 facts.")
    assert "first token became more probable: log P -3.00 before, -1.00 after (480 facts;" in told(drift, "At questions", "first token")
    assert "At questions, L1 facts moved less than L0 facts: 1.50 against 2.00 nats" in told(drift, "At questions", "L0 facts")
    assert "lost moved more than those that stayed right: 2.50 against 1.00 nats (80 lost, 160 kept;" in told(drift, "At questions", "lost")
    assert "too few settings to tell (1 of 8 or more)" in told(drift, "Over settings")
    assert "hold 63.1% of the summed relative change" in told(drift, "The 1% of parameters")
    assert "dealt out by chance give 57.5%" in told(drift, "The 1% of parameters")


def test_few_facts_say_nothing():
    """Below 30 every comparison of facts is too few to tell."""
    look = drift_look(count=20)
    said = words(Drift([look], [look]))
    assert sum("too few facts to tell" in text for text in said) == 6  # two domains, levels and lost facts at both prompts
    assert not any("moved more" in text or "moved less" in text for text in said if "on the same 40 facts" not in text)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((1.0, 0.6, 1.2), "KL falls, then rises (1.50, 0.90, 1.80 nats); it is lowest at n = 240."),
        ((0.5, 0.6, 1.2), "KL rises from the first to the last (0.75, 0.90, 1.80 nats)."),
        ((1.2, 0.6, 0.5), "KL falls from the first to the last (1.80, 0.90, 0.75 nats)."),
        ((1.0, 1.0, 1.0), "cannot tell whether KL rises or falls (1.50, 1.50, 1.50 nats)."),
    ],
)
def test_falls_then_rises_needs_both_sides(sizes, expected):
    """The published shape is claimed only where both differences leave out 0."""
    looks = [drift_look(n=n, size=size, count=240) for n, size in zip((60, 240, 960), sizes, strict=True)]
    assert told(Drift(looks[:1], looks), "At questions, trained on all levels, n = 60, 240, 960").endswith(expected)


def test_training_levels_are_compared_at_one_n():
    """The one that moved most is named where it lies apart from all others."""
    looks = [drift_look(size=size, levels=(level,), count=240) for level, size in ((0, 1.5), (1, 1.0))]
    assert "n = 60: training on L0 moved L1 facts most (L0 2.25, L1 1.50 nats)." in told(Drift(looks[:1], looks), "At questions, n = 60")
    alike = [drift_look(levels=(level,), count=240) for level in (0, 1)]
    assert "cannot tell which training level moved most" in told(Drift(alike[:1], alike), "At questions, n = 60")


def test_other_ways_of_tuning_are_no_part_of_n():
    """A run with another learning rate is a point among runs, and on no line."""
    one, other = drift_look(), drift_look(n=240, learning_rate=1e-2)
    drift = Drift([one], [one, other])
    assert drift.by_setting["n"].unique().tolist() == [60]
    assert drift.runs["n"].tolist() == [60, 240]


def worse_with_n(settings: int, seeds: int = 1, **more) -> list[Look]:
    """Runs whose drift grows and whose accuracy falls with n."""
    looks = []
    for at in range(settings):
        for seed in range(seeds):
            look = drift_look(n=60 + at, size=1 + at, seed=seed, count=40, **more)
            right = look.facts["correct"].to_numpy() & (np.arange(len(look.facts)) % 40 >= 4 * at)
            looks.append(Look(look.name, look.settings, look.labels, look.facts.assign(correct=right), look.tables))
    return looks


def over_settings(looks: list[Look], alpha: float = 0.05) -> str:
    """What is told of drift and accuracy over settings."""
    return _of_runs(Drift(looks[:1], looks)).answered(alpha).text


def test_correlation_over_settings_needs_eight():
    """Drift grows and accuracy falls: said with Spearman's rho and its interval; where all settings are equal, nothing is said."""
    sentence = over_settings(worse_with_n(9))
    assert sentence.startswith("Over 9 settings (9 runs), more drift at statements goes with lower accuracy on L1: Spearman -1.00 (")
    alike = [replace(drift_look(n=60 + at), tables=drift_look().tables) for at in range(8)]
    assert over_settings(alike).endswith("the settings do not differ.")


def test_seeds_are_no_further_settings():
    """Four settings of three seeds are 12 points in the chart and too few settings; a setting is the mean of its seeds."""
    few = worse_with_n(4, seeds=3)
    assert len(Drift(few[:3], few).runs) == 12
    assert over_settings(few).endswith("too few settings to tell (4 of 8 or more).")
    assert over_settings(worse_with_n(8, seeds=2)).startswith("Over 8 settings (16 runs), more drift at statements goes with lower")


def test_settings_that_differ_in_more_than_examples_are_no_part_of_the_correlation():
    """Eight others with another learning rate are in the chart alone."""
    looks = [*worse_with_n(4), *worse_with_n(8, learning_rate=1e-2)]
    assert Drift(looks[:1], looks).runs["comparable"].tolist() == [True] * 4 + [False] * 8
    assert "too few settings to tell (4 of 8 or more)" in over_settings(looks)


def test_verdicts_are_corrected_for_all_that_the_words_tell_of():
    """A difference that its own 95% interval leaves out of doubt is told of one run; beside the comparisons of many settings it isn't."""
    draw = np.random.default_rng(5)
    look = drift_look(count=240)
    table = look.tables["drift"]["questions"]
    noise = draw.standard_normal(len(table))
    look.tables["drift"]["questions"] = table.assign(
        logprob_tuned=table["logprob_base"] + noise - noise.mean() + 3.0 * noise.std() / 480**0.5
    )
    others = [drift_look(n=n, levels=levels, count=240) for n in (60, 240, 960) for levels in ((0,), (1,), (0, 1))]
    sure, doubt = (told(Drift([look], beside), "At questions", "first token") for beside in ([look], [look, *others]))
    assert "became more probable" in sure
    assert "cannot be told to have changed" in doubt
    assert sure.rpartition("the change: ")[2] == doubt.rpartition("the change: ")[2]  # what is shown is the 95% interval in both
    weights = [sentence.weight for sentence in sentences(Drift([look], [look, *others]))]
    assert weights == sorted(weights)


def test_words_need_neither_both_domains_nor_levels_nor_two_of_them():
    """In-domain facts alone; facts without any level, so without statements; four levels of which two have facts."""
    look = drift_look(count=240)
    inside = (look.facts["domain"] == "in").to_numpy()
    order = look.facts["fact_id"].argsort(kind="stable").to_numpy()
    drift = look.tables["drift"]
    questions = drift["questions"][inside[order]].reset_index(drop=True)
    statements = drift["statements"][inside[order]].assign(place=np.arange(240, dtype="int16")).reset_index(drop=True)
    one = replace(look, facts=look.facts[inside], tables={"drift": {**drift, "questions": questions, "statements": statements}})
    assert set(Drift([one], [one]).by_level["domain"]) == {"in"}
    assert not any(sentence.startswith("Out-of-domain") for sentence in words(Drift([one], [one])))

    unknown = look.facts.assign(level=pd.array([None] * 480, dtype="Int64"))
    bare = replace(look, facts=unknown, tables={"drift": {**drift, "statements": drift["statements"].head(0)}})
    drifted = Drift([bare], [bare])
    assert "too few facts to tell (0 and 0)" in told(drifted, "At questions, L1 against L0")
    assert "too few settings to tell (0 of 8 or more)" in told(drifted, "Over settings")
    assert set(drifted.by_level["kind"]) == {"questions"}
    assert drifted.by_setting.empty

    slick = replace(look, labels=("Unknown", "WeaklyKnown", "MaybeKnown", "HighlyKnown"))
    assert "too few facts to tell (0 and 240)" in told(Drift([slick], [slick]), "At questions, HighlyKnown against Unknown")


def test_modules_are_shares_of_the_model_and_of_its_layers():
    """Shares of the whole add up to 1; over layers without what lies outside of them, the published ones beside."""
    looks = [drift_look(seed=seed) for seed in range(2)]
    drift = Drift(looks, looks)
    assert drift.modules[["parameters", "squared_share"]].sum().tolist() == pytest.approx([1, 1])
    rows = drift.by_module.set_index("module")
    assert rows.loc["down_proj", ["parameters", "top", "squared_share"]].tolist() == pytest.approx([0.8, 0.5, 0.8])
    assert rows["published"].tolist() == [0.0641, 0.2891]
    assert drift.top[drift.top["measure"] == "relative"]["held"].tolist() == pytest.approx([share**0.1 for share in SHARES])


def test_unchanged_weights_and_runs_without_this_measure():
    """That nothing changed is said; looks without drift, or of other facts, are left out."""
    look = drift_look()
    look.tables["drift"]["top"] = look.tables["drift"]["top"].assign(held=0.0)
    assert told(Drift([look], [look]), "No parameter changed.")
    assert (
        looked_at([Look("x", look.settings, LABELS, look.facts, {}), Look("y", look.settings, LABELS, look.facts.head(3), look.tables)])
        == []
    )


def test_median_interval_is_of_ranks():
    """Of 1 to 100 the 40th and the 61st value, as tables of the binomial distribution have it; few values are all inside."""
    assert median_interval(np.arange(1.0, 101)) == (50.5, 40, 61)
    assert median_interval(np.array([3.0, 1.0])) == (2, 1, 3)
    assert median_interval(np.zeros(0)) == (None, None, None)


def test_median_interval_covers():
    """At least 95% of samples of a skewed distribution hold its median."""
    draw = np.random.default_rng(0)
    found = [median_interval(draw.exponential(size=41)) for _ in range(400)]
    assert np.mean([one.low <= np.log(2) <= one.high for one in found]) >= 0.93


def test_spearman_interval():
    """As Bonett and Wright have it; none where nothing differs."""
    one = np.arange(10.0)
    found = spearman_interval(one, np.array([0, 2, 1, 4, 3, 6, 5, 8, 7, 9.0]))
    assert found.value == pytest.approx(pd.Series(one).corr(pd.Series([0, 2, 1, 4, 3, 6, 5, 8, 7, 9.0]), method="spearman"))
    assert 0.7 < found.low < found.value < found.high < 1
    wider = spearman_interval(one, np.array([0, 2, 1, 4, 3, 6, 5, 8, 7, 9.0]), 0.005)
    assert wider.low < found.low < found.high < wider.high
    assert spearman_interval(one, np.ones(10)) == (None, None, None)
    assert spearman_interval(one[:3], one[:3]) == (None, None, None)
