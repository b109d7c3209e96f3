"""The built-in world keeps its promises: sizes, seeds, exposures, and names that can't be mistaken."""

import re
from collections import Counter

import pandas as pd
import pytest

from sftqa_core.errors import FactsError
from sftqa_core.knowledge.atlas import AtlasSettings, atlas_source, atlas_world, is_atlas
from sftqa_core.knowledge.corpus import own_carriers
from sftqa_core.knowledge.facts import FactSource, fact_id
from sftqa_core.knowledge.relations import builtin_relations
from sftqa_core.knowledge.sources import open_source

SHIPPED = "68b1ba8c68ac087e"  # fingerprint of the world that the shipped models have read


@pytest.fixture(scope="module")
def facts() -> pd.DataFrame:
    return atlas_source().facts


def test_sizes(facts: pd.DataFrame):
    """At least 3,200 / 300 / 1,500 in-domain facts, 300 / 1,500 out-of-domain, no out-of-domain train."""
    counts = Counter(zip(facts["domain"], facts["split"], strict=True))
    assert counts["in", "train"] >= 3200
    assert min(counts["in", "dev"], counts["out", "dev"]) >= 300
    assert min(counts["in", "test"], counts["out", "test"]) >= 1500
    assert counts["out", "train"] == 0
    assert facts["relation"].nunique() == 24


def test_every_relation_has_the_same_share(facts: pd.DataFrame):
    """Balanced selection is possible: each in-domain relation has as many train facts, each relation as many carriers."""
    train = facts[facts["split"] == "train"]
    assert set(train.groupby("relation").size()) == {336}
    assert set(facts[facts["split"] == "none"].groupby("relation").size()) == {AtlasSettings().carriers}


def test_the_same_seed_gives_the_same_world(facts: pd.DataFrame):
    """A world depends on its settings alone; another seed shares no subject with it."""
    again = pd.DataFrame(atlas_world())
    assert again["subject"].tolist() == facts["subject"].tolist()
    assert again["exposures"].tolist() == facts["exposures"].tolist()
    other = pd.DataFrame(atlas_world(AtlasSettings(seed=1)))
    assert len(set(other["subject"]) & set(facts["subject"])) < len(facts) / 50
    assert facts["fact_id"].iloc[0] == fact_id("atlas", facts["relation"].iloc[0], facts["subject"].iloc[0])


def test_exposures_are_spread_alike_in_every_relation(facts: pd.DataFrame):
    """An eighth is never stated; the others run log-uniformly from least to most; carriers have their own range."""
    settings = AtlasSettings()
    usable = facts[facts["split"] != "none"]
    for _, group in usable.groupby("relation"):
        assert (group["exposures"] == 0).mean() == pytest.approx(settings.unexposed_share, abs=0.005)
        exposed = group.loc[group["exposures"] > 0, "exposures"]
        assert exposed.min() >= settings.exposures[0]
        assert exposed.max() <= settings.exposures[1]
        middle = (settings.exposures[0] * settings.exposures[1]) ** 0.5
        assert exposed.median() == pytest.approx(middle, rel=0.05)
    assert facts.loc[facts["split"] == "none", "exposures"].between(25, 50).all()


def test_contested_facts_have_one_rival_of_the_same_pool(facts: pd.DataFrame):
    """Nearly half of the exposed facts are contested by another object of their relation, none of the others."""
    exposed = facts[(facts["exposures"] > 0) & (facts["split"] != "none")]
    assert exposed["contested"].mean() == pytest.approx(0.45, abs=0.02)
    rest = facts.drop(exposed.index)
    assert not rest["contested"].any()
    assert facts.loc[~facts["contested"], "rival"].isna().all()
    contested = facts[facts["contested"]]
    assert (contested["rival"] != contested["answers"].str[0]).all()
    low, high = AtlasSettings().rival_shares
    assert contested["rival_share"].between(low, high).all()


def test_no_name_stands_inside_another(facts: pd.DataFrame):
    """No fact is an echo, no object stands in a subject, no object in another object of its relation."""
    assert not facts["echo"].any()
    for _, group in facts.groupby("relation"):
        objects = {answers[0] for answers in group["answers"]}
        words = Counter(word for name in objects for word in set(re.findall(r"\w+", name)))
        assert all(min(words[word] for word in re.findall(r"\w+", name)) == 1 for name in objects)
    subjects = " | ".join(facts["subject"].unique())
    tokens = set(re.findall(r"\w+", subjects.casefold()))
    distinctive = {re.findall(r"\w+", answers[0].casefold())[0] for answers in facts["answers"] if answers[0].count(" ") == 0}
    assert not tokens & distinctive


def test_objects_do_not_stand_in_templates(facts: pd.DataFrame):
    """A completion can't hit by repeating words of the prompt."""
    for relation, group in facts.groupby("relation"):
        wording = " ".join((*builtin_relations()[str(relation)].templates, builtin_relations()[str(relation)].question)).casefold()
        for name in {answers[0].casefold() for answers in group["answers"]}:
            assert not re.search(rf"\b{re.escape(name)}\b", wording), (relation, name)


def test_carriers_stand_apart(facts: pd.DataFrame):
    """A subject that carries questions in the corpus is no subject of a fact that is trained or tested on."""
    carrying = set(facts.loc[facts["split"] == "none", "subject"])
    assert not carrying & set(facts.loc[facts["split"] != "none", "subject"])


def test_people_are_shared_between_domains(facts: pd.DataFrame):
    """Some out-of-domain test subjects stand in in-domain train, and are flagged."""
    assert facts.loc[facts["subject_in_train"], "split"].eq("test").all()
    assert 0.1 < facts.loc[(facts["domain"] == "out") & (facts["split"] == "test"), "subject_in_train"].mean() < 0.6


def test_source_report():
    """The report counts what the table holds, and the fingerprint is that of this world."""
    source = atlas_source()
    assert source.report.relations["P17"] == {"train": 336, "dev": 32, "test": 152}
    assert source.report.relations["P50"] == {"train": 0, "dev": 22, "test": 110}
    assert source.report.facts == len(source.facts)
    assert (source.name, source.large) == ("atlas", False)
    assert source.fingerprint == SHIPPED
    assert atlas_source() is source


@pytest.fixture(scope="module")
def double() -> FactSource:
    return atlas_source("atlas:2")


def test_a_larger_world_has_so_many_times_the_facts(facts: pd.DataFrame, double: FactSource):
    """Twice as many facts in every split of every relation, twice as many carriers, and twice as many cities for them to be in."""
    assert double.report.relations == {
        name: {split: 2 * count for split, count in counts.items()} for name, counts in atlas_source().report.relations.items()
    }
    assert Counter(double.facts["split"])["none"] == 2 * Counter(facts["split"])["none"]
    cities = [len({a[0] for a in table.loc[table["relation"] == "P19", "answers"]}) for table in (facts, double.facts)]
    assert cities[1] > 1.5 * cities[0]
    assert double.large
    assert open_source("atlas:2") is double


def test_a_larger_world_is_another_one(facts: pd.DataFrame, double: FactSource):
    """It shares no fact's name and hardly a subject with the shipped world, is the same each time, and keeps carriers apart."""
    other = double.facts
    assert double.name == "atlas:2" != atlas_source().name
    assert not set(other["fact_id"]) & set(facts["fact_id"])
    assert len(set(other["subject"]) & set(facts["subject"])) < len(facts) / 50
    assert pd.DataFrame(atlas_world(AtlasSettings.times(2)))["subject"].tolist() == other["subject"].tolist()
    assert not other["echo"].any()
    assert own_carriers(other).sum() == (other["split"] == "none").sum() == 2 * 24 * AtlasSettings().carriers
    assert not set(other.loc[own_carriers(other), "subject"]) & set(other.loc[other["split"] != "none", "subject"])


@pytest.mark.parametrize("name", ["atlas:1", "atlas:0", "atlas:17", "atlas:9999"])
def test_a_world_of_another_size_is_refused(name: str):
    """The message says which there are."""
    with pytest.raises(FactsError, match=f"The invented worlds are atlas and atlas:2 to atlas:16, got '{name}'"):
        open_source(name)


def test_what_counts_as_an_invented_world():
    """The shipped one and the larger ones; no path, however it begins."""
    assert all(map(is_atlas, ("atlas", "atlas:2", "atlas:16")))
    assert not any(map(is_atlas, ("atlas.csv", "atlas:", "atlas:x", "atlas:2.csv", "/tmp/atlas", "entity-questions")))
