"""A model of one's own facts: settings that follow from choices, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sftqa_core.errors import FactsError
from sftqa_core.planning.pretraining_size import pretraining_size
from sftqa_core.records import TrainSettings
from sftqa_core.workflows import own_models
from tests.made_runs import facts_of, made_run


def own_file(path, count=300, **more):
    rows = [{"relation": "P19", "subject": f"Person {at}", "object": f"Town {at % 7}", **more} for at in range(count)]
    pd.DataFrame(rows).to_csv(path, index=False)
    return str(path)


def test_settings_follow_from_the_choices_and_the_name_from_both(tmp_path, workspace):
    """The same choices give the same model, any other, or other facts, another name; names are names of folders."""
    source = own_file(tmp_path / "My Rivers (2).csv")
    made = own_models.own_model(source)
    assert own_models.own_model(source) == made
    assert made.name.startswith("my-rivers-2-llama-")
    assert (made.min_exposures, made.max_exposures, made.corpus.unstated_share) == (1, 64, 0.12)
    others = [own_models.own_model(source, **own) for own in ({"like": "atlas-neox"}, {"spread": "often"}, {"limit": 100})]
    assert [other.architecture for other in others] == ["gpt_neox", "llama", "llama"]
    assert (others[0].hidden_size, others[1].min_exposures, others[2].limit) == (224, 16, 100)
    own_file(tmp_path / "My Rivers (2).csv", 301)
    assert len({made.name, own_models.own_model(source).name, *(other.name for other in others)}) == 5


def test_a_short_text_is_read_several_times_and_a_long_one_once(tmp_path, workspace):
    """About a million tokens in all; questions are half as many as statements, within bounds."""
    few, more = own_file(tmp_path / "few.csv", 60), own_file(tmp_path / "more.csv", 12_000)
    small, large = own_models.own_model(few), own_models.own_model(more)
    assert (small.epochs, large.epochs) == (own_models.MOST_PASSES, 1)
    assert (small.corpus.qa_documents, large.corpus.qa_documents) == (500, 10_000)
    from sftqa_core.knowledge.sources import open_source

    middle = own_models.own_model(own_file(tmp_path / "middle.csv", 600))
    size = pretraining_size(middle, open_source(middle.source))
    assert 700_000 < size.tokens < 1_400_000
    assert middle.corpus.qa_documents == size.statements // 2
    assert (own_models.usual_limit(few), own_models.usual_limit(more)) == (None, 4_000)


def test_facts_that_come_with_mentions_are_told_apart(tmp_path, workspace):
    """A column of exposures decides how often each fact is stated."""
    assert own_models.has_mentions(own_file(tmp_path / "told.csv", 30, exposures=3))
    assert not own_models.has_mentions(own_file(tmp_path / "plain.csv", 30))
    with pytest.raises(FactsError):
        own_models.own_model(str(tmp_path / "none.csv"))


def test_nothing_is_made_and_nothing_is_tuned_at_first(tmp_path, workspace):
    """No card of that name, no run of those settings."""
    assert not own_models.is_made(own_models.own_model(own_file(tmp_path / "a.csv", 60)))
    assert own_models.finished_run(TrainSettings("base", "facts.csv", learning_rate=1e-3)) == ""


def test_a_run_is_found_by_its_settings(workspace):
    """Whatever its name; another number of examples is another run."""
    run = made_run("first", [True] * 80)
    settings = run.settings
    assert own_models.finished_run(settings) == "first"
    assert own_models.finished_run(replace(settings, n=10)) == ""


def test_accuracy_before_and_after_is_told_with_n_and_interval(workspace):
    """30 of 40 in-domain facts and none of 40 others: the first is told as a gain, of the second nothing can be told."""
    made_run("first", [True] * 30 + [False] * 50)
    known, unknown = own_models.tuned_words("first")
    assert known.startswith("In-domain: 75.0% of 40 held-out facts answered rightly after tuning on 60, 0.0% before: +75.0 points (+")
    assert unknown.startswith(
        "Out-of-domain: 0.0% of 40 held-out facts answered rightly after tuning on 60, 0.0% before: cannot tell them apart"
    )


def test_two_runs_are_compared_on_the_facts_of_both(workspace):
    """The second answers 20 in-domain facts more; with fewer than 30 facts nothing is said of either."""
    made_run("first", [True] * 10 + [False] * 70)
    made_run("second", [True] * 30 + [False] * 50)
    better = own_models.compared_words("second", "first")[0]
    assert better.startswith("In-domain: 75.0% of 40 held-out facts after this run, 25.0% after the run of step 4: +50.0 points (+")
    few = facts_of(count=20)
    made_run("third", [True] * 40, few)
    made_run("fourth", [False] * 40, few)
    assert "too few facts to tell, +100.0 points" in own_models.compared_words("third", "fourth")[0]


def levels(mentions: list[int], scores: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"exposures": mentions, "score": scores, "level": [int(score > 0) for score in scores]})


def test_levels_against_mentions_say_only_what_the_interval_allows():
    """A clear rise is told, chance is not, a fall is told as one, and below 30 facts there is a sentence for that."""
    draw = np.random.default_rng(0)
    mentions = list(range(100))
    rise = own_models._rank_words(levels(mentions, [at / 100 for at in mentions]))
    assert rise.startswith("Facts that were stated more often are known better: rank correlation of mentions and memory score 1.00")
    assert rise.endswith("n = 100).")
    assert "not clearly known better" in own_models._rank_words(levels(mentions, list(draw.random(100))))
    assert "known worse" in own_models._rank_words(levels(mentions, [1 - at / 100 for at in mentions]))
    assert own_models._rank_words(levels([1] * 29, [0.1] * 29)).startswith("29 facts are probed, too few to tell")
    assert "equally" in own_models._rank_words(levels([1] * 40, [0.1] * 40))


def test_guessing_is_told_with_its_interval():
    """Of 40 facts that no sentence stated 4 are above the lowest level; of 29 nothing is said."""
    said = own_models._guessed_words(pd.Series([0] * 36 + [1] * 4))
    assert said == " Of those never stated 10.0% are above the lowest level (4.0% to 23.1%, n = 40)."
    assert own_models._guessed_words(pd.Series([0] * 29)) == ""
