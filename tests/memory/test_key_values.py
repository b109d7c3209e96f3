"""Keys and values in their slots: kept as room grows, and numbers wherever attention may look, though memory comes as it is."""

import pytest
import torch

from sftqa_core.engine.packed import KeyValues


@pytest.fixture
def unwritten_is_nan():
    """New memory holds what is no number, which attention over an unseen slot would spread to everything."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("more", [0, 40])
def test_slots_keep_their_numbers_and_unseen_ones_are_numbers(unwritten_is_nan, more):
    """Two texts of three tokens, then a token for one of three places at a time, until the room has grown several times."""
    assert torch.empty(2).isnan().all()
    held, texts = KeyValues(3, more), torch.randn(2, 2, 3, 4)
    held.put(0, torch.tensor([0, 2]), slice(0, 3), 3, (texts, -texts))
    tokens = torch.randn(30, 1, 2, 4)
    for at, token in enumerate(tokens):
        held.put(0, torch.tensor([at % 3]), torch.tensor([3 + at]), 4 + at, (token, -token))
    keys, values = held.at(0, slice(None), 33)
    assert keys.shape == (3, 2, 33, 4)
    assert torch.equal(values, -keys)
    assert torch.equal(keys[[0, 2], :, :3], texts)
    for at, token in enumerate(tokens):
        assert torch.equal(keys[at % 3, :, 3 + at], token[0])
        assert not keys[(at + 1) % 3, :, 3 + at].any()
    assert not keys[1, :, :3].any()
    assert torch.equal(held.at(0, torch.tensor([2]), 3)[0], keys[[2], :, :3])
