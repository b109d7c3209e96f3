"""Models that harm: logits that are no numbers, texts without end, prompts without room. Each way of asking has its end."""

import dataclasses
import math

import pytest
import torch

from sftqa_core.engine import decoder
from sftqa_core.engine.greedy import greedy
from sftqa_core.errors import ModelUnavailable, SettingsError
from sftqa_core.evaluation.predictions import predict
from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.memory.probing import probe_facts
from sftqa_core.models.loading import encode_prompts
from sftqa_core.records import LevelScheme, ProbeSettings, PromptFormat, SamplerSettings, TrainSettings
from tests.amount import spread
from tests.memory.memory_world import source_of

NONE = Aliases()
NEW = 7  # tokens


def settings(method, sampler="shared"):
    sampling = SamplerSettings(samples=3, temperature=1.0, max_new_tokens=NEW, sampler=sampler)
    return ProbeSettings("tiny", "test", scheme=LevelScheme(sampling=sampling, method=method))


@pytest.fixture
def named(tiny):
    """The tiny model under a name of its own."""
    return dataclasses.replace(tiny, card=dataclasses.replace(tiny.card, name="owner/broken"))


@pytest.fixture
def broken(named, monkeypatch):
    """Its head, made to answer with what the test says: `broken(token, value)` for one token, None for all."""

    def breaking(token, value):
        inner = torch.nn.Linear.forward

        def forward(hidden):
            logits = inner(named.model.lm_head, hidden).clone()
            logits[..., slice(None) if token is None else token] = value
            return logits

        monkeypatch.setattr(named.model.lm_head, "forward", forward)
        return named

    return breaking


HARMS = [(None, math.nan), (5, math.nan), (5, math.inf), (None, -math.inf)]


@pytest.mark.parametrize(("harm", "asked"), spread(HARMS, ["sampling", "adaptive", "likelihood", "generate"]))
def test_logits_that_are_no_numbers_end_every_probe_with_the_models_name(broken, workspace, monkeypatch, harm, asked):
    """All of them NaN, one of them, one infinite, all impossible: nothing is measured, nothing is kept."""
    loaded = broken(*harm)
    monkeypatch.setitem(decoder._checked, loaded.model, asked != "generate")
    source = source_of(4)
    wanted = settings("sampling", "generate") if asked == "generate" else settings(asked)
    with pytest.raises(ModelUnavailable, match=r"^owner/broken: The model's logits are not numbers \(NaN or infinite\)"):
        probe_facts(loaded, source, source.facts, wanted, NONE, workspace)
    assert not list(workspace.root.rglob("*.parquet"))


@pytest.mark.parametrize(("harm", "packed"), spread(HARMS[:3], [True, False]))
def test_logits_that_are_no_numbers_end_an_evaluation_with_the_models_name(broken, monkeypatch, harm, packed):
    """Greedy answers, packed or by `generate`: no accuracy of 0, but an error."""
    loaded = broken(*harm)
    monkeypatch.setitem(decoder._checked, loaded.model, packed)
    with pytest.raises(ModelUnavailable, match=r"^owner/broken: The model's logits are not numbers"):
        predict(loaded, source_of(3).facts, TrainSettings("owner/broken", shots=0))


@pytest.mark.parametrize("asked", ["sampling", "adaptive", "generate"])
def test_a_model_that_never_ends_a_text_is_cut_off_in_every_probe(broken, workspace, monkeypatch, asked):
    """The end token is impossible: each completion has exactly as many tokens as the settings allow."""
    loaded = broken(0, -math.inf)
    monkeypatch.setitem(decoder._checked, loaded.model, asked != "generate")
    read = []
    inner = loaded.model.forward
    monkeypatch.setattr(loaded.model, "forward", lambda *a, **k: read.append(1) or inner(*a, **k))
    source = source_of(4, answers=("Nowhere at all",))
    probe_facts(loaded, source, source.facts, settings("sampling", "generate") if asked == "generate" else settings(asked), NONE, workspace)
    assert 0 < len(read) <= 12 * NEW
    if asked == "sampling":
        import pandas as pd

        rows = pd.concat(pd.read_parquet(path) for path in workspace.root.rglob("completions/*/part-*.parquet"))
        assert set(rows["stop"]) == {"length"}
        assert set(rows["tokens"]) == {NEW}


@pytest.mark.parametrize("packed", [True, False])
def test_a_model_that_never_ends_a_text_is_cut_off_when_it_answers(broken, monkeypatch, packed):
    """Each answer has exactly the tokens that were allowed."""
    loaded = broken(0, -math.inf)
    monkeypatch.setitem(decoder._checked, loaded.model, packed)
    assert [answer.tokens for answer in greedy(loaded, encode_prompts(loaded, ["Ada", "Bo was"]), NEW)] == [NEW, NEW]


def test_no_setting_asks_for_texts_without_end():
    """The bound itself is bounded, for completions and for answers."""
    for build in (lambda: SamplerSettings(max_new_tokens=513), lambda: TrainSettings("m", max_answer_tokens=513)):
        with pytest.raises(SettingsError, match=r"must be 1 to 512, got 513"):
            build()


def test_prompts_without_room_are_told_before_anything_is_asked(tiny, workspace):
    """A form of thousands of characters, for a model of 128 positions: how many do not fit, and what helps."""
    form = PromptFormat("long", "word " * 200 + "{question}")
    with pytest.raises(
        SettingsError, match=r"3 of 3 test questions do not fit the model's context window of 128 tokens with 16 new tokens.*shorter prompt"
    ):
        predict(tiny, source_of(3).facts, TrainSettings("tiny", prompt=form, shots=0))
    with pytest.raises(SettingsError, match=r"The prompt may have 10,000 characters, got 60,010"):
        PromptFormat("longer", "word  " * 10_000 + "{question}")


def test_tokens_that_the_model_does_not_know_are_told_with_the_text(tiny, monkeypatch):
    """Another model's tokenizer would reach beyond the embeddings: an IndexError on a processor, a crash on a GPU."""
    monkeypatch.setattr(type(tiny.tokenizer), "__call__", lambda self, texts, **_: {"input_ids": [[99_999] for _ in texts]})
    with pytest.raises(
        ModelUnavailable, match=r"tiny can't read 'Ada': its tokenizer makes token 99,999 of it, but the model knows \d+ tokens"
    ):
        encode_prompts(tiny, ["Ada"])
