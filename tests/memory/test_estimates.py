"""Probing by the other methods: adaptive and likelihood, from prompts to the levels table and back from disk."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from sftqa_core.engine import decoder
from sftqa_core.errors import ModelUnavailable, SettingsError
from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.memory import probing
from sftqa_core.memory.estimating import Likelihood, Question, answer_ids
from sftqa_core.memory.probe_stores import EstimateStore, likelihood_levels
from sftqa_core.memory.probing import probe_facts
from sftqa_core.memory.scores import LEVELS
from sftqa_core.records import LevelScheme, ProbeSettings, SamplerSettings
from tests.memory.memory_world import source_of

NONE = Aliases()
SAMPLING = SamplerSettings(samples=10, temperature=1.0, max_new_tokens=8)


def settings(method, **more):
    return ProbeSettings("tiny", "test", scheme=LevelScheme(sampling=SAMPLING, method=method, **more))


@pytest.fixture
def known():
    """Facts about people whom the tiny model has read of, and one that it never read."""
    source = source_of(6)
    facts = source.facts.assign(
        subject=["Ada", "Bo", "Cy", "Di", "Ed", "Flo"], answers=[["Paris"], ["New York"], ["Zürich"], ["Paris"], ["Lima"], ["Nowhere"]]
    )
    return replace(source, facts=facts)


def test_adaptive_without_early_end_is_the_full_probe(tiny, workspace, known):
    """With a confidence that is never reached, hits, scores and levels are those of all samples."""
    full = probe_facts(tiny, known, known.facts, settings("sampling"), NONE, workspace)
    adaptive = probe_facts(tiny, known, known.facts, settings("adaptive", confidence=1.0), NONE, workspace)
    assert list(adaptive.columns) == list(LEVELS)
    assert adaptive["hits"].tolist() == full["hits"].tolist()
    assert adaptive["hits_per_template"].tolist() == full["hits_per_template"].tolist()
    assert adaptive["level"].tolist() == full["level"].tolist()
    assert np.allclose(adaptive["score"], full["score"])
    assert (adaptive["confidence"] >= 0.999).all()
    assert full["hits"].sum() > 0


def test_adaptive_stops_where_the_level_is_clear(tiny, workspace, known):
    """With little asked fewer completions are counted, the first of the full probe; intervals are not stated."""
    few = probe_facts(tiny, known, known.facts, settings("adaptive", confidence=0.5), NONE, workspace)
    assert few["completions"].min() < 20
    assert (few["confidence"] >= 0.5).all()
    assert few[["low_samples", "high_templates"]].isna().all(axis=None)
    assert (few["hits"] <= few["completions"]).all()


def test_answers_of_nothing_but_spaces_have_no_likelihood(tiny, workspace, known):
    """Such a fact gets 0 and the first level; the others are estimated as ever."""
    blank = replace(known, facts=known.facts.assign(answers=[["  "], *known.facts["answers"].tolist()[1:]]))
    with_blank = probe_facts(tiny, blank, blank.facts, settings("likelihood"), NONE, workspace)
    whole = probe_facts(tiny, known, known.facts, settings("likelihood"), NONE, workspace)
    assert with_blank.iloc[0][["score", "level"]].tolist() == [0.0, 0]
    assert whole.iloc[0]["score"] > 0
    assert with_blank["score"].tolist()[1:] == whole["score"].tolist()[1:]


def test_damaged_estimates_are_set_aside_and_made_again(tiny, workspace, known, caplog):
    """The file keeps its bytes under another name, and the levels come out the same."""
    first = probe_facts(tiny, known, known.facts, settings("likelihood"), NONE, workspace)
    (part,) = (workspace.root / "estimates").rglob("part-*.parquet")
    part.write_bytes(part.read_bytes()[:-9])
    again = probe_facts(tiny, known, known.facts, settings("likelihood"), NONE, workspace)
    pd.testing.assert_frame_equal(first, again)
    assert part.with_name(part.name + ".damaged").exists()
    assert "is damaged" in caplog.text


def test_likelihood_is_the_probability_of_the_next_words(tiny, workspace, known):
    """Each template's rate is what a plain forward pass says of the answer's tokens, at the sampler's temperature."""
    table = probe_facts(tiny, known, known.facts, settings("likelihood"), NONE, workspace)
    (answer,) = answer_ids(tiny.tokenizer, ["New York"])
    prompt = [0, *tiny.tokenizer("Bo is married to")["input_ids"]]
    with torch.no_grad():
        logits = tiny.model(input_ids=torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
    expected = logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None]).sum().exp().item()
    assert len(answer) > 1
    assert table["hits_per_template"][1][0] == pytest.approx(10 * expected, abs=0.006)
    assert (table["completions"] == 0).all()
    assert table["confidence"].isna().all()
    assert table["level"].iloc[5] == 0


def test_answers_that_begin_with_another_are_not_counted_twice(tiny):
    """An alias whose tokens go on from a shorter one's is left out, and equal ones stand once."""
    assert len(answer_ids(tiny.tokenizer, ["Paris", "Paris", " Paris ", "Paris in Lima"])) == 1
    assert len(answer_ids(tiny.tokenizer, ["Paris", "Lima", ""])) == 2
    question = Question("00000000000000a1", 0, (0, 40, 41), answer_ids(tiny.tokenizer, ["Paris", "Lima", "New York"]))
    ((row,),) = list(Likelihood(tiny, 1).estimate([question], 1.0))
    assert 0 <= row[2] <= 1


def test_likelihood_levels_follow_the_rule():
    """No hit more likely than not is the lowest level; above it nothing is lower than the second."""
    rates = np.array([[0.0, 0.0], [0.001, 0.001], [0.1, 0.0], [0.6, 0.6], [1.0, 1.0]])
    assert likelihood_levels(rates, LevelScheme()).tolist() == [0, 0, 1, 3, 4]  # 0.999^20 = 0.98; 0.9^10 = 0.35
    halves = LevelScheme("halves", ("low", "high"), (0.5,))
    assert likelihood_levels(rates, halves).tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("method", ["adaptive", "likelihood"])
def test_estimates_are_kept_and_found_again(tiny, workspace, known, method, monkeypatch):
    """A second probe reads what the first one wrote; only new facts, and those whose answers changed, are estimated."""
    first = probe_facts(tiny, known, known.facts[:4], settings(method), NONE, workspace)
    asked = []
    inner = probing.fact_prompts
    monkeypatch.setattr(probing, "fact_prompts", lambda loaded, pending: asked.append(len(pending)) or inner(loaded, pending))
    again = probe_facts(tiny, known, known.facts, settings(method), NONE, workspace)
    assert set(asked) == {2}
    pd.testing.assert_frame_equal(again[:4], first)
    asked.clear()
    probe_facts(tiny, known, known.facts, settings(method), Aliases((("Lima", "Peru"),)), workspace)
    assert set(asked) == {1}


def test_a_damaged_part_is_passed_over(tiny, workspace, known, caplog):
    """A part that can't be read is named, and its facts are estimated again."""
    first = probe_facts(tiny, known, known.facts, settings("likelihood"), NONE, workspace)
    store = EstimateStore.of(tiny.fingerprint.to_dict(), settings("likelihood").scheme, workspace)
    next(store.folder.glob("part-*.parquet")).write_bytes(b"PAR1")
    pd.testing.assert_frame_equal(probe_facts(tiny, known, known.facts, settings("likelihood"), NONE, workspace), first)
    assert "is damaged" in caplog.text


def test_models_that_cannot_be_packed_are_told(tiny, workspace, known, monkeypatch):
    """Only the full probe works without packed reading, and the message says so."""
    monkeypatch.setattr(decoder, "packs", lambda loaded: False)
    with pytest.raises(SettingsError, match=r"method 'likelihood' can't be used\. Choose 'sampling'"):
        probe_facts(tiny, known, known.facts, settings("likelihood"), NONE, workspace)


def test_nan_logits_are_named(tiny, workspace, known, monkeypatch):
    """A damaged model is called so by the estimate too."""
    head = tiny.model.lm_head.weight
    monkeypatch.setattr(decoder, "packs", lambda loaded: True)
    monkeypatch.setattr(tiny.model.lm_head, "forward", lambda hidden: hidden @ (head.T * float("nan")))
    with pytest.raises(ModelUnavailable, match="logits are not numbers"):
        probe_facts(tiny, known, known.facts, settings("likelihood"), NONE, workspace)


def test_an_answer_longer_than_the_model_is_told_before_anything_is_read(tiny, workspace, known):
    """The likelihood reads prompt and answer, so both have to fit; nothing of the other facts is lost."""
    long = replace(known, facts=known.facts.assign(answers=[["Paris " * 200], *known.facts["answers"].tolist()[1:]]))
    with pytest.raises(SettingsError, match="1 of 6 facts' statements do not fit the model's context window of 128 tokens"):
        probe_facts(tiny, long, long.facts, settings("likelihood"), NONE, workspace)
    assert not (workspace.root / "estimates").exists()


def test_settings_that_were_damaged_are_written_anew(tiny, workspace, known):
    """Without them the results would not be found by looking; probing what is known already mends them."""
    from sftqa_core.memory.probe_stores import find_estimates

    scheme = settings("likelihood").scheme
    probe_facts(tiny, known, known.facts, settings("likelihood"), NONE, workspace)
    (path,) = (workspace.root / "estimates").rglob("settings.json")
    path.write_text("{")
    assert find_estimates("w" * 16, None, scheme, workspace) == []
    probe_facts(tiny, known, known.facts, settings("likelihood"), NONE, workspace)
    assert len(find_estimates("w" * 16, None, scheme, workspace)) == 1


def test_a_level_that_is_none_is_estimated_again(tiny, workspace, known):
    """A readable part with a level outside the scheme counts as not known."""
    first = probe_facts(tiny, known, known.facts, settings("likelihood"), NONE, workspace)
    (part,) = (workspace.root / "estimates").rglob("part-*.parquet")
    pd.read_parquet(part).assign(level=np.int8(7)).to_parquet(part, index=False)
    pd.testing.assert_frame_equal(first, probe_facts(tiny, known, known.facts, settings("likelihood"), NONE, workspace))
