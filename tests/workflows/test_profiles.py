"""A whole profile, held once and looked at in many ways, says what its facts say one by one."""

import math
import os

import numpy as np
import pytest

from sftqa_core import workflows
from sftqa_core.errors import SftqaError
from sftqa_core.knowledge.facts import UNUSED, FactSource
from sftqa_core.memory.profiles import NOT_PROBED, level_table, open_for, profile_stamp
from sftqa_core.models.catalogue import find_model
from sftqa_core.records import LevelScheme, ProbeSettings, SamplerSettings, TrainSettings
from tests.memory.levels_row_by_row import stored_levels

MODEL = "atlas-llama"


@pytest.fixture(scope="module")
def atlas():
    """What is known of the shipped model's test facts."""
    return workflows.profile(MODEL, "atlas")


@pytest.mark.parametrize(("split", "domain"), [("test", "all"), ("test", "in"), ("train", "out"), ("dev", "all"), ("all", "all")])
def test_a_profile_holds_the_facts_of_its_split_and_domain(split, domain):
    """Their ids in the source's order, their levels as `stored_levels` has them, and how many are known."""
    source = open_for(MODEL, "atlas")
    facts = source.facts[source.facts["split"] != UNUSED] if split == "all" else source.facts[source.facts["split"] == split]
    facts = facts if domain == "all" else facts[facts["domain"] == domain]
    profile = workflows.profile(MODEL, "atlas", split, domain)
    levels = stored_levels(find_model(MODEL), source, facts, ProbeSettings(MODEL)).set_index("fact_id")["level"]
    assert profile.table["fact_id"].tolist() == facts["fact_id"].tolist()
    assert profile.table["level"].fillna(NOT_PROBED).tolist() == levels.reindex(facts["fact_id"]).fillna(NOT_PROBED).tolist()
    assert (profile.facts, profile.probed) == (len(facts), len(levels))


def test_a_split_that_is_none_is_refused():
    """In a sentence, before anything is read."""
    with pytest.raises(SftqaError, match="split must be one of train, dev, test, all"):
        workflows.profile(MODEL, "atlas", "exam")


def test_counts_are_those_of_the_table(atlas):
    """Facts by level in each group, and by memory score in bins that are closed at the right; facts without a level are in none."""
    table = atlas.table
    for by in ("domain", "relation", "contested", "echo"):
        expected = table.dropna(subset="level").groupby([table[by].astype(str), "level"], observed=True).size()
        found = {(name, level): count for name, counts in atlas.groups(by).items() for level, count in enumerate(counts) if count}
        assert found == expected.to_dict()
    bins = table.dropna(subset="level").assign(bin=[0 if s <= 0 else max(1, math.ceil(s * 20 - 1e-9)) for s in table["score"].dropna()])
    found = {(level, at): count for level, counts in enumerate(atlas.scores) for at, count in enumerate(counts) if count}
    assert found == bins.groupby(["level", "bin"]).size().to_dict()
    assert sum(map(sum, atlas.scores)) == atlas.probed


def test_echo_facts_can_be_left_out(atlas):
    """As many fewer as there are, in every count."""
    table = atlas.table
    assert atlas.echo == int(table["echo"].sum())
    without = atlas.without_echo
    assert without.table["fact_id"].tolist() == table[~table["echo"]]["fact_id"].tolist()
    assert without.echo == 0


@pytest.mark.parametrize("words", ["a", "RE", "zz no such", ".*", "(", "é", " ", ""])
def test_facts_are_chosen_by_level_relation_and_words(atlas, words):
    """What a search through the table finds: words as they stand, whatever their case, in the subject or any answer."""
    table = atlas.table
    relation = atlas.relations[3]
    texts = ["\n".join((subject, *answers)) for subject, answers in zip(table["subject"], table["answers"], strict=True)]
    said = [words.casefold() in text.casefold() for text in texts]
    wanted = table[np.array(said) & (table["relation"] == relation) & table["level"].isin([1, 3])]
    assert atlas.take(atlas.choose([1, 3], [relation], words))["fact_id"].tolist() == wanted["fact_id"].tolist()


def test_a_fact_is_found_among_the_rows_shown(atlas):
    """By its id; nothing for one that was filtered away or is none."""
    rows = atlas.choose([4])
    wanted = atlas.take(rows[7:8])["fact_id"].iloc[0]
    assert atlas.find(wanted, rows).tolist() == [rows[7]]
    assert len(atlas.find(wanted, rows[:7])) == 0
    assert len(atlas.find("f" * 16, rows)) == 0


def test_looking_at_a_profile_twice_reads_nothing_again(atlas):
    """Another split is another list of rows of the same table, for whoever asks."""
    assert workflows.profile(MODEL, "atlas", "train").level_table is atlas.level_table
    assert level_table(MODEL, "atlas") is atlas.level_table
    assert level_table(MODEL, "atlas", LevelScheme(method="likelihood")) is not atlas.level_table


@pytest.fixture
def own(made, workspace, monkeypatch):
    """A person's world and a tiny model that read it, in a workspace of its own."""
    import shutil

    shutil.copytree(made / "cache", workspace.root)
    path = workspace.root / "facts.csv"
    shutil.copy(made / "facts.csv", path)
    return str(path)


def test_a_stamp_changes_exactly_with_what_a_profile_hangs_on(own, workspace):
    """A probe, the aliases and the file change it, and the profile with it; nothing else does."""

    def level_count():
        return workflows.profile("tiny", own, "test").probed

    stamps = [profile_stamp("tiny", own)]
    assert level_count() == 0
    workflows.probe(ProbeSettings("tiny", own, "test", limit=5, device="cpu"))
    stamps.append(profile_stamp("tiny", own))
    assert level_count() == 5
    assert profile_stamp("tiny", own) == stamps[-1]
    workflows.save_aliases([{"name": "Velora", "same_as": "Town of Velora"}])
    stamps.append(profile_stamp("tiny", own))
    os.utime(own, ns=(5, 5))
    stamps.append(profile_stamp("tiny", own))
    assert len(set(stamps)) == 4
    assert level_count() == 5


def test_known_facts_come_first_and_unknown_ones_can_be_asked_for(own):
    """Each of both in the source's order; NOT_PROBED names those without a level."""
    workflows.probe(ProbeSettings("tiny", own, "test", limit=5, device="cpu"))
    profile = workflows.profile("tiny", own, "test")
    rows = profile.choose()
    assert (profile.level_table.level[rows] != NOT_PROBED).tolist() == [True] * 5 + [False] * (profile.facts - 5)
    assert sorted(rows[:5]) == rows[:5].tolist()
    assert profile.choose([NOT_PROBED]).tolist() == rows[5:].tolist()


def test_forecasts_count_the_levels_of_large_sources_from_the_same_profile(monkeypatch):
    """The same numbers, whether a source counts as large or not."""
    settings = [TrainSettings(MODEL, levels=(1, 2)), TrainSettings(MODEL, balance="level"), ProbeSettings(MODEL, split="all")]
    plain = [workflows.forecast(one) for one in settings]
    monkeypatch.setattr(FactSource, "large", property(lambda source: True))
    monkeypatch.setattr(FactSource, "test_limit", None)
    for one, before in zip(settings, plain, strict=True):
        after = workflows.forecast(one)
        for name in ("examples", "steps", "test_facts", "probes_needed", "problems"):
            assert getattr(after, name) == getattr(before, name)


def test_of_two_devices_the_one_that_knows_most_of_these_facts_is_told(own, monkeypatch):
    """Few test facts were measured on one device, many train facts on another: each split shows what is known of it."""
    from sftqa_core.memory import stored_levels as reading

    workflows.probe(ProbeSettings("tiny", own, "test", limit=4, device="cpu"))
    here = reading.stores_of(find_model("tiny"), ProbeSettings("tiny", own))
    workflows.probe(ProbeSettings("tiny", own, "train", limit=9, device="cpu", scheme=LevelScheme(sampling=SamplerSettings(seed=1))))
    there = reading.stores_of(
        find_model("tiny"), ProbeSettings("tiny", own, scheme=LevelScheme(sampling=SamplerSettings(seed=1)))
    )  # it stands in for another device: what is looked at is the store alone
    monkeypatch.setattr(reading, "stores_of", lambda card, settings, workspace=None: [*here, *there])
    assert [workflows.profile("tiny", own, split).probed for split in ("test", "train")] == [4, 9]
