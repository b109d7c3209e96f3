"""What learning curves show and what may be said of them, on made trainings whose numbers are known."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from sftqa_core.evaluation.inside import curves_tables
from sftqa_core.evaluation.inside.curves import curves_grids, curves_slick
from sftqa_core.evaluation.inside.curves_tables import words
from sftqa_core.evaluation.inside.sentences import Weight
from sftqa_core.evaluation.intervals import wilson
from sftqa_core.records import SLICK
from tests.evaluation.inside.made_curves import learned, look_of


def row(table, **wanted):
    chosen = table[(table[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_curves_by_level_and_domain():
    """Means over facts with their number; the band of equal facts is a point; shares of one seed have Wilson's interval."""
    table = curves_tables.by_step(curves_grids.curves_of([look_of()]))
    last = row(table, part="dev", level="L1", domain="out", step=30)
    assert (last["facts"], last["seeds"], last["logprob"], last["per_token"]) == (40, 1, pytest.approx(-3.0), pytest.approx(-1.5))
    assert (last["low"], last["high"]) == (pytest.approx(-3.0), pytest.approx(-3.0))
    assert (last["fits"], last["fits_low"], last["fits_high"]) == (1.0, pytest.approx(wilson(40, 40)[0]), 1.0)
    every = row(table, part="dev", level="all", domain="all", step=0)
    assert (every["facts"], every["logprob"], every["fits"]) == (240, pytest.approx(-6.0), 0.0)
    assert set(table[table["part"] == "train"]["domain"]) == {"all"}


def test_seeds_are_averaged_fact_by_fact():
    """Dev facts once, with the mean of both seeds; of examples each seed has its own; steps are those of both."""
    better = look_of(lambda *fact: (learned(*fact)[0] + 1, learned(*fact)[1]), seed=1, steps=(0, 20, 30))
    curves = curves_grids.curves_of([look_of(), better])
    assert curves.steps == (0, 20, 30)
    table = curves_tables.by_step(curves)
    dev, train = (row(table, part=part, level="L0", domain="all", step=0) for part in ("dev", "train"))
    assert (dev["facts"], dev["seeds"], dev["logprob"]) == (80, 2, pytest.approx(-7.5))
    assert (train["facts"], train["seeds"], train["logprob"]) == (80, 1, pytest.approx(-7.5))
    assert train["low"] < -7.5 < train["high"]


def test_steps_to_fit():
    """The first look at which a fact fits; no median where fewer than half ever do; dev facts of the level beside."""
    table = curves_tables.steps_to_fit(curves_grids.curves_of([look_of()]))
    unknown, known = (row(table, part="train", level=level) for level in ("L0", "L1"))
    assert (unknown["facts"], unknown["before"], unknown["share"], unknown["median"]) == (40, 0.0, 0.5, 20.0)
    assert (unknown["low"], unknown["high"]) == pytest.approx(wilson(20, 40))
    assert (known["share"], known["median"]) == (1.0, 10.0)
    dev = row(table, part="dev", level="L0")
    assert dev["share"] == 0.0
    assert np.isnan(dev["median"])


def test_what_fits_and_is_missed_later_is_forgotten():
    """Of the facts that fit at some look but the last: here every fourth misses at step 20, and comes back."""

    def flickering(part, level, domain, at, step):
        return -1.0, bool(level) and step >= 10 and not (step == 20 and at % 4 == 0)

    table = curves_tables.forgetting(curves_grids.curves_of([look_of(flickering)]))
    one = row(table, part="dev", level="L1")
    assert (one["facts"], one["share"]) == (40, 0.25)
    assert (one["low"], one["high"]) == pytest.approx(wilson(10, 40))
    assert "L0" not in set(table["level"])  # none of them ever fits
    late = curves_tables.forgetting(curves_grids.curves_of([look_of(lambda *fact: (-1.0, fact[-1] == 30))]))
    assert len(late) == 0  # nothing can be missed after the last look


def test_words_say_what_the_intervals_allow():
    """What rises, what is learned less often, what is memorised; each with its interval and facts."""
    told = words([look_of()], [look_of()])
    assert told == [
        "The log P of the answer to in-domain dev facts rose by the end: +3.00 (+3.00 to +3.00; 120 facts).",
        "The log P of the answer to out-of-domain dev facts rose by the end: +3.00 (+3.00 to +3.00; 120 facts).",
        told[2],
        told[3],
        told[4],
        "What fitted unknown examples do to dev accuracy: cannot tell, too few settings: 1 setting has learning curves on this base model, "
        "seeds of one counted once, 8 are needed.",
    ]
    assert told[2].startswith(
        "L0 examples are learned less often. Fitted at some look: 100.0% of training examples above L0, 50.0% of those at L0 (+50.0"
    )
    assert told[2].endswith("; 80 and 40 facts).")
    assert told[3].startswith("L0 examples are memorised beyond what tuning alone brings out. Fitted at some look: 50.0% of training")
    assert "0.0% of in-domain dev facts at L0, never trained on" in told[3]
    assert told[3].endswith("; 40 and 40 facts).")
    assert told[4].startswith("Whether examples are lost less often than facts never trained on: cannot tell. Missed at a later look: 0.0%")
    assert told[4].endswith("100 and 80 facts).")  # dev facts that fitted: two levels' in-domain ones


def test_examples_are_compared_with_dev_facts_of_their_domain():
    """Every in-domain fact is fitted and missed later, no out-of-domain fact ever fits: examples that do as in-domain facts do are neither
    memorised nor kept better. Examples of both domains are compared with all."""

    def by_domain(part, level, domain, at, step):
        return -1.0, domain == "in" and step in (10, 20)

    look = look_of(by_domain)
    curves = curves_grids.curves_of([look])
    assert curves.compared == "in"
    for table in (curves_tables.steps_to_fit(curves), curves_tables.forgetting(curves)):
        assert set(table["domain"]) == {"in"}
        one = row(table, part="dev", level="L0")
        assert (one["facts"], one["share"]) == (40, 1.0)
    told = words([look], [])
    assert told[3].startswith(
        "Whether L0 examples are memorised: cannot tell. Fitted at some look: 100.0% of training examples at L0, 100.0%"
    )
    assert told[4].startswith("Whether examples are lost less often than facts never trained on: cannot tell.")
    tables = look.tables["curves"]
    watched = tables["watched"].assign(domain=tables["watched"]["domain"].where(tables["watched"].index != 0, "out"))
    both = curves_grids.curves_of([dataclasses.replace(look, tables={"curves": {**tables, "watched": watched}})])
    assert both.compared == "all"
    assert row(curves_tables.steps_to_fit(both), part="dev", level="L0")["facts"] == 80


def test_differences_have_wilsons_interval_at_the_corrected_level():
    """0 of 35 against 5 of 35 leaves out 0 at 5%, and not at a sixth of it, where the bootstrap alone would; shown is the 95% interval."""
    names, verdicts = ("those", "these"), ("More", "Less", "Whether less")
    question = curves_tables._which_more(np.zeros(35), np.repeat([1.0, 0.0], [5, 30]), names, "fitted", verdicts)
    sure, doubt = question.answered(0.05), question.answered(0.05 / 6)
    assert (sure.weight, doubt.weight) == (Weight.CLAIM, Weight.OPEN)
    numbers = "Fitted: 0.0% of those, 14.3% of these (-14.3 points, "
    assert sure.text.startswith(f"Less. {numbers}")
    assert doubt.text == sure.text.replace("Less.", "Whether less: cannot tell.")


def test_one_domain_and_four_levels():
    """Dev facts of one domain only, by a scheme of four labels: no other domain's rows or sentences, the highest level among the rows."""
    look = dataclasses.replace(look_of(levels=(0, 1, 3)), labels=("Unknown", "WeaklyKnown", "MaybeKnown", "HighlyKnown"))
    tables = look.tables["curves"]
    out = tables["watched"].index[tables["watched"]["domain"] == "out"]
    kept = tables["facts"][~tables["facts"]["fact"].isin(out)]
    place = {old: new for new, old in enumerate(tables["watched"].index.difference(out))}
    one = {
        "watched": tables["watched"].drop(out).reset_index(drop=True),
        "facts": kept.assign(fact=kept["fact"].map(place).astype("int16")),
    }
    looks = [
        dataclasses.replace(look, name=f"{n}", settings=dataclasses.replace(look.settings, n=n), tables={"curves": one})
        for n in range(1, 10)
    ]
    curves = curves_grids.curves_of(looks[:1])
    assert set(curves_tables.by_step(curves).query("part == 'dev'")["domain"]) == {"all", "in"}
    assert curves.levels() == ("Unknown", "WeaklyKnown", "HighlyKnown", "all")
    told = words(looks[:1], looks)
    assert [sentence.partition(" dev facts rose")[0] for sentence in told[:1]] == ["The log P of the answer to in-domain"]
    assert not any("out-of-domain" in sentence for sentence in told)
    assert set(curves_slick.train_by_test(looks[:1])["train"]) == {"natural"}


def test_a_flat_curve_says_nothing():
    """Nothing moves, nothing fits: every answer is "cannot tell"."""
    told = words([look_of(lambda *fact: (-3.0, False))], [])
    assert len(told) == 6
    assert all("cannot tell" in sentence for sentence in told)


def test_few_facts_are_not_talked_about():
    """Under 30 facts, and where nothing was looked at."""
    told = words([look_of(each=9)], [])
    assert [sentence.rpartition(", ")[2] for sentence in told[:2]] == ["too few facts (27).", "too few facts (27)."]
    assert told[2] == "Whether L0 examples are learned less often: cannot tell, too few facts (9)."
    nothing = dataclasses.replace(look_of(), tables={})
    assert words([nothing], []) == ["No training was looked at here: cannot tell."]
    untrained = look_of(steps=(0,))
    assert curves_grids.curves_of([untrained]) is None


def test_examples_without_levels_are_one_group():
    """They have a curve, no level's, and the words say what is missing."""
    look = look_of(levels=(None,))
    table = curves_tables.by_step(curves_grids.curves_of([look]))
    assert set(table["level"]) == {"all"}
    assert any(sentence.endswith("cannot tell, no example's level is known.") for sentence in words([look], [look]))


def planted(runs: int = 10, unknown: int = 4, steps=(0, 10, 20, 30)):
    """Runs in which dev accuracy is exactly 0.25 + 0.5 x known - 0.25 x unknown, the shares of 120 examples that are fitted."""

    def rule(run):
        def of(part, level, domain, at, step):
            fitted = (unknown * ((run * step // 10) % 10), 2 * ((step + 3 * run) % 20), 0)
            if part == "train":
                return -1.0, at < fitted[level]
            return -1.0, 40 * level + at < 30 + fitted[1] / 2 - fitted[0] / 4

        return of

    return [look_of(rule(run), seed=run, steps=steps, n=120 + run) for run in range(1, runs + 1)]


def test_the_regression_finds_what_was_planted():
    """Coefficients, R2 and intervals of an exact relation, in both domains, of all looks but step 0; the words follow the intervals."""
    found = curves_slick.regression([*planted(), *planted()])  # each run counts once
    assert (found.settings, found.runs, found.looks, found.reason) == (10, 10, 30, "")
    for domain in ("in", "out"):
        for name, value in {"base": 0.25, "known": 0.5, "unknown": -0.25}.items():
            one = row(found.table, domain=domain, coefficient=name)
            assert [one[end] for end in ("value", "low", "high", "r2")] == pytest.approx([value, value, value, 1.0])
            assert one["facts"] == 120
    assert curves_slick.regression_sentences(found)[0].text == (
        "In-domain dev accuracy, 10 settings (10 runs): known examples fitted +50.0 points (+50.0 to +50.0), it rises with them; unknown "
        "examples fitted -25.0 points (-25.0 to -25.0), it falls with them."
    )


def test_the_regression_is_not_told_without_variation():
    """Too few runs; no unknown example that is fitted, or few; known and unknown ones fitted together."""

    def reason(looks):
        found = curves_slick.regression(looks)
        assert len(found.table) == 0
        return found.reason

    have = "settings have learning curves on this base model, seeds of one counted once, 8 are needed"
    assert reason([]) == f"too few settings: 0 {have}"
    assert reason(planted(runs=7)) == f"too few settings: 7 {have}"
    assert reason([*planted(runs=7), *seeds_of(planted(runs=7))]) == f"too few settings: 7 {have}"
    assert reason(planted(unknown=0)) == "no training example at L0 was ever fitted"
    few = [*planted(runs=8, unknown=0), *(dataclasses.replace(look, name=f"{look.name} more") for look in planted(runs=2))]
    assert reason(few).startswith("2 of 8 settings fitted unknown examples (5% of the training set or more), 3 are needed")
    together = [look_of(lambda part, level, domain, at, step: (-1.0, at < step), n=60 + n) for n in range(9)]
    assert reason(together).startswith("known and unknown examples were always fitted together")
    assert reason([look_of(levels=(None,), n=60 + n) for n in range(9)]).startswith("too few settings: 0")


def seeds_of(looks):
    """The same runs under another seed."""
    return [
        dataclasses.replace(look, name=f"{look.name} again", settings=dataclasses.replace(look.settings, seed=look.settings.seed + 100))
        for look in looks
    ]


def noisy(looks, seed=3):
    """Runs whose dev facts fit by chance."""
    rng = np.random.default_rng(seed)
    for look in looks:
        tables = look.tables["curves"]
        facts = tables["facts"].copy()
        dev = facts["fact"] >= 120
        facts.loc[dev, "fits"] = rng.random(int(dev.sum())) < 0.4
        yield dataclasses.replace(look, tables={"curves": {**tables, "facts": facts}})


def test_the_regression_draws_all_seeds_of_a_setting_together():
    """A second seed that shows the same moves no interval: it is no second witness."""
    looks = list(noisy(planted(runs=12)))
    alone, twice = curves_slick.regression(looks), curves_slick.regression([*looks, *seeds_of(looks)])
    assert (twice.settings, twice.runs, twice.looks) == (12, 24, 72)
    for end in ("value", "low", "high", "least", "most"):
        assert twice.table[end].tolist() == pytest.approx(alone.table[end].tolist())


def test_the_regression_says_how_far_runs_differ():
    """Accuracy that has nothing to do with what is fitted: intervals hold 0, and nothing is claimed."""
    found = curves_slick.regression(list(noisy(planted(runs=12))))
    claims = found.table[found.table["coefficient"] != "base"]
    assert (claims["low"] < claims["value"]).all()
    assert (claims["value"] < claims["high"]).all()
    assert found.table["r2"].between(0, 0.5).all()
    assert any("cannot tell" in sentence.text for sentence in curves_slick.regression_sentences(found))


def test_published_numbers_are_those_of_the_paper():
    """The regression in both domains, and corners of the train x test table, as shares."""
    table = curves_slick.published_regression()
    assert table.query("domain == 'in'")["value"].tolist() == pytest.approx([0.369, 0.073, -0.083])
    assert table.query("domain == 'out'")["value"].tolist() == pytest.approx([0.362, 0.032, -0.03])
    assert table.groupby("domain")["r2"].first().to_dict() == {"in": 0.86, "out": 0.95}
    cells = curves_slick.published_train_by_test()
    assert len(cells) == 2 * 5 * 5
    assert row(cells, stop="early stop", train="HighlyKnown", test="all")["accuracy"] == pytest.approx(0.405)
    assert row(cells, stop="convergence", train="Unknown", test="Unknown")["accuracy"] == pytest.approx(0.032)
    assert row(cells, stop="convergence", train="natural", test="WeaklyKnown")["accuracy"] == pytest.approx(0.148)


def test_train_level_by_test_level():
    """The best look is not the last one: accuracy falls at the end; runs on two levels are no row."""

    def falling(part, level, domain, at, step):
        return -1.0, at < {0: 0, 10: 20, 20: 30, 30: 10}[step] + level

    labels = ("Unknown", "WeaklyKnown", "MaybeKnown", "HighlyKnown")
    looks = [look_of(falling, levels=(0, 1, 2), scheme=SLICK), look_of(falling, seed=1, scheme=SLICK)]
    looks += [dataclasses.replace(looks[0], name=f"on {levels}", settings=dataclasses.replace(looks[0].settings, levels=levels))
              for levels in ((3,), (0, 1))]  # fmt: skip
    table = curves_slick.train_by_test([dataclasses.replace(look, labels=labels) for look in looks])
    assert list(dict.fromkeys(table["train"])) == ["natural", "HighlyKnown"]
    best = row(table, stop="early stop", train="natural", test="Unknown")
    assert (best["accuracy"], best["facts"], best["seeds"]) == (0.75, 80, 2)
    assert row(table, stop="convergence", train="natural", test="Unknown")["accuracy"] == 0.25
    assert row(table, stop="convergence", train="HighlyKnown", test="all")["accuracy"] == pytest.approx(11 / 40)
