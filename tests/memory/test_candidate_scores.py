"""Answers ranked behind many prompts, and the states at their ends, against plain forward passes."""

import numpy as np
import pytest
import torch

from sftqa_core.engine import decoder
from sftqa_core.engine.candidate_scores import Asked, CandidateScores, block_count
from sftqa_core.errors import ModelUnavailable, Stopped
from sftqa_core.progress import Phase, Recorder, Silent
from tests.amount import spread
from tests.tiny import tiny_loaded

ITEMS = [
    Asked(0, (40, 41, 42), ((50,), (50, 51), (52, 53, 54))),
    Asked(1, (40, 41, 43, 44), ((50, 51), (50, 51), (7,))),
    Asked(5, (9,), ((50, 51, 52, 53),)),
]


def plain(loaded, item):
    """Mean log-probabilities and the last layer's states, text by text."""
    means, states = [], []
    for answer in item.answers:
        ids = torch.tensor([[*item.ids, *answer]])
        with torch.no_grad():
            out = loaded.model(input_ids=ids, output_hidden_states=True)
        each = out.logits[0].double().log_softmax(-1)[len(item.ids) - 1 : -1]
        means.append(float(np.mean([each[at, token] for at, token in enumerate(answer)])))
        states.append(out.hidden_states[1][0, -1].numpy())
    return means, np.stack(states)


@pytest.mark.parametrize(("layers", "packed"), spread([(1,), (1, 2), ()], [True, False]))
def test_scores_and_states_are_those_of_plain_passes(monkeypatch, packed, layers):
    """Means over tokens of log P and hidden states come out as in a loop over texts, whatever is read together."""
    loaded = tiny_loaded(seed=2)
    if not packed:
        monkeypatch.setattr(decoder, "packs", lambda model: False)
    scores = CandidateScores(loaded, layers)
    found = scores.of(ITEMS, Phase(Silent(), "ranking", len(ITEMS), "prompts"))
    assert [one.place for one in found] == [0, 1, 5]
    for item, one in zip(ITEMS, found, strict=True):
        means, states = plain(loaded, item)
        assert one.logprobs == pytest.approx(means, abs=1e-5)
        assert one.states.shape[:2] == (len(layers), len(item.answers))
        if layers:
            assert one.states[0] == pytest.approx(states, abs=1e-4)
    # read once: 40 41 42 (50 (51), 52 53 54), 43 44 (50 51, 7), 9 50 51 52 53; without states no answer's last token is read
    whole = 3 + 2 + 3 + 2 + 2 + 1 + 5
    assert scores.tokens == (sum(len(i.ids) + len(a) for i in ITEMS for a in i.answers) if not packed else whole if layers else whole - 5)


def test_nothing_asked_is_nothing_read():
    """No items, no pass; a model without lists of layers has none to watch."""
    scores = CandidateScores(tiny_loaded())
    assert (scores.of([], Phase(Silent(), "ranking", 0, "prompts")), scores.tokens) == ([], 0)
    assert (block_count(tiny_loaded().model), block_count(torch.nn.Linear(2, 2))) == (2, 0)


def test_a_stop_is_obeyed_and_leaves_no_hook():
    """The person's stop comes through after a pass, and the model is as it was."""
    loaded = tiny_loaded()
    with pytest.raises(Stopped):
        CandidateScores(loaded, (1,)).of(ITEMS, Phase(Recorder(stop_after=1), "ranking", 3, "prompts"))
    assert not any(module._forward_hooks for module in loaded.model.modules())


def test_a_damaged_model_is_told():
    """Logits that are not numbers are an error with the model's name, no ranking."""
    loaded = tiny_loaded()
    with torch.no_grad():
        loaded.model.get_input_embeddings().weight[50] = float("nan")
    with pytest.raises(ModelUnavailable, match="tiny: The model's logits are not numbers"):
        CandidateScores(loaded).of(ITEMS, Phase(Silent(), "ranking", 3, "prompts"))
