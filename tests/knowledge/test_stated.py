"""How often a corpus states facts that come without recorded mentions."""

from dataclasses import replace

import pandas as pd
import pytest

from sftqa_core.errors import SettingsError
from sftqa_core.knowledge.corpus import corpus_of, stated
from sftqa_core.records import SPREADS, CorpusSettings, PretrainSettings
from tests.small import small_source

SETTINGS = PretrainSettings("own", min_exposures=1, max_exposures=64, corpus=CorpusSettings(qa_documents=20, unstated_share=0.25))


def counts(settings: PretrainSettings, train: int = 200) -> pd.Series:
    """Mentions of the facts that carry no questions."""
    facts = stated(settings, small_source(train).facts)
    return facts.loc[~facts["carrier"], "exposures"].reset_index(drop=True)


def test_a_share_is_never_stated_and_the_others_lie_between_the_bounds():
    """A quarter of 550 facts within chance, the rest from 1 to 64 and log-uniform: as many below 8 as above."""
    mentions = counts(SETTINGS)
    assert 0.18 < (mentions == 0).mean() < 0.32
    said = mentions[mentions > 0]
    assert (said.min(), said.max()) == (1, 64)
    assert abs((said < 8).mean() - 0.5) < 0.08


def test_no_carrier_is_left_unstated():
    """A fact whose question stands in the text is stated, whatever the share."""
    facts = stated(replace(SETTINGS, corpus=replace(SETTINGS.corpus, unstated_share=1.0)), small_source(20).facts)
    assert facts.loc[facts["carrier"], "exposures"].min() >= 25
    assert (facts.loc[~facts["carrier"], "exposures"] == 0).all()


def test_a_fact_keeps_its_number_where_the_share_changes():
    """What is stated under a share is stated as often without one."""
    some, every = counts(SETTINGS), counts(replace(SETTINGS, corpus=replace(SETTINGS.corpus, unstated_share=0.0)))
    assert (every > 0).all()
    assert (some[some > 0] == every[some > 0]).all()


def test_the_least_number_is_never_above_the_most():
    """At most 3 mentions with the usual least of 4: 3 of each."""
    assert set(counts(PretrainSettings("own", max_exposures=3))) == {3}


def test_an_unstated_fact_stands_in_no_document():
    """Its subject occurs nowhere, in no statement and in no question."""
    settings, source = replace(SETTINGS, corpus=replace(SETTINGS.corpus, unstated_share=0.5, worn_share=0.0)), small_source(8)
    corpus = corpus_of(settings, source)
    never = set(corpus.facts.loc[corpus.facts["exposures"] == 0, "fact_id"])
    subjects = source.facts.loc[source.facts["fact_id"].isin(never), "subject"]
    text = " \n".join(corpus.documents)
    assert len(never) > 5
    assert [subject for subject in subjects if f"{subject} " in text or f"{subject}?" in text] == []


def test_what_was_stored_before_is_read_and_written_as_it_was():
    """The settings are new: JSON without them stands for their defaults, and at their defaults they are left out."""
    plain = PretrainSettings("m")
    assert "min_exposures" not in plain.to_dict()
    assert "unstated_share" not in plain.to_dict()["corpus"]
    assert PretrainSettings.from_dict(plain.to_dict()) == plain
    assert PretrainSettings.from_dict(SETTINGS.to_dict()) == SETTINGS


def test_the_spreads_are_settings_that_can_be_used():
    """Their numbers are within the settings' bounds, and a share above 1 is refused."""
    for spread in SPREADS.values():
        corpus = CorpusSettings(unstated_share=spread.unstated)
        assert PretrainSettings("m", min_exposures=spread.least, max_exposures=spread.most, corpus=corpus).problems() == []
    with pytest.raises(SettingsError, match=r"unstated_share must be 0 to 1, got 12\.0\. 12% is 0\.12"):
        CorpusSettings(unstated_share=12.0)
