"""Drawing from a large vocabulary by blocks of tokens gives the tokens that adding up every chance in float64 gives."""

import math

import pytest
import torch

from sftqa_core.engine import drawing
from sftqa_core.engine.drawing import draw_tokens
from sftqa_core.engine.randomness import GREEDY
from sftqa_core.errors import ModelUnavailable
from tests.amount import spread


@pytest.fixture
def row_by_row(monkeypatch):
    """Which rows were drawn as the definition says, as their first logits."""
    seen: list[float] = []
    plain = drawing._drawn

    def watched(logits, *how):
        seen.extend(logits[:, 0].tolist())
        return plain(logits, *how)

    monkeypatch.setattr(drawing, "_drawn", watched)
    return seen


@pytest.mark.parametrize(("words", "dtype", "temperature"), spread([8192, 8193, 50_257], [torch.float32, torch.bfloat16], [0.3, 1.0]))
def test_blocks_draw_what_the_definition_draws(words, dtype, temperature, row_by_row):
    """Peaked and flat rows, rows with tokens that can't be drawn, numbers at both ends, and greedy ones; few rows are drawn twice."""
    generator = torch.Generator().manual_seed(words)
    logits = (torch.randn(60, words, generator=generator) * torch.linspace(2, 8, 60)[:, None]).to(dtype)
    logits[::3, 100:1000] = -math.inf
    uniform = torch.rand(60, 8, dtype=torch.float64, generator=generator)
    uniform[5, 0], uniform[6, 1], uniform[7, 2] = 0.0, 1 - 2.0**-53, GREEDY
    drawn = draw_tokens(logits, temperature, uniform)
    assert len(row_by_row) < 30
    assert torch.equal(drawn, drawing._drawn(logits, temperature, uniform, None))
    assert drawn[7, 2] == logits[7].argmax()


def test_a_number_at_a_border_is_decided_by_the_definition(row_by_row):
    """Two tokens of equal chance: right at their border, where float32 can't tell, and clear of it, where it can."""
    logits = torch.full((2, 8192), -math.inf)
    logits[0, [0, 600]] = logits[1, [0, 600]] = 1.0
    uniform = torch.tensor([[0.5, 0.25], [0.4, 0.6]], dtype=torch.float64)
    assert draw_tokens(logits, 1.0, uniform).tolist() == [[600, 0], [0, 600]]
    assert len(row_by_row) == 1


def test_logits_that_are_not_numbers_are_told():
    """One of them is enough, wherever it stands."""
    for damage in (math.nan, math.inf):
        logits = torch.zeros(3, 8192)
        logits[2, 8000] = damage
        with pytest.raises(ModelUnavailable, match="logits are not numbers"):
            draw_tokens(logits, 1.0, torch.rand(3, 2, dtype=torch.float64))
