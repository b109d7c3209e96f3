"""Steps and learning rates."""

import pytest

from sftqa_core.errors import SettingsError
from sftqa_core.training.optimizers import default_learning_rate, learning_rate_factor, training_steps, warmup_steps


def test_sixty_examples_are_eight_steps():
    """The last, smaller batch counts, in each epoch."""
    assert training_steps(60, 8, 1) == 8
    assert training_steps(60, 8, 3) == 24
    assert training_steps(64, 8, 1) == 8
    assert training_steps(0, 8, 1) == 0


def test_warm_up_is_a_tenth_and_at_least_one_step():
    """8 steps warm up for one, 240 for 24."""
    assert [warmup_steps(steps) for steps in (1, 8, 15, 120, 240)] == [1, 1, 2, 12, 24]


def test_every_step_of_a_short_run_learns():
    """With 8 steps the first rate is half the peak, the second the peak, and the last above zero."""
    factors = [learning_rate_factor(step, 8) for step in range(8)]
    assert factors[:2] == [0.5, 1.0]
    assert factors[1:] == sorted(factors[1:], reverse=True)
    assert factors[-1] == pytest.approx(0.0495, abs=1e-4)
    assert learning_rate_factor(8, 8) == pytest.approx(0, abs=1e-12)
    assert learning_rate_factor(0, 1) == 0.5


def test_warm_up_rises_evenly_to_the_peak():
    """Twelve warm-up steps are 1/13, 2/13 and so on; the thirteenth is the peak; half-way down the cosine it is a half."""
    factors = [learning_rate_factor(step, 120) for step in range(120)]
    assert factors[:13] == pytest.approx([(step + 1) / 13 for step in range(13)])
    assert factors[12 + 54] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("parameters", "full", "lora"),
    [
        (2_350_000, 4e-4, 3e-3),
        (160_000_000, 1.2e-4, 3.2e-3),
        (494_000_000, 1e-5, 2e-4),
        (8e9, 1e-5, 2e-4),
        (7e10, 1e-5, 1e-4),
        (None, 1e-5, 2e-4),
    ],
)
def test_default_rates_fall_with_size_and_rise_with_lora(parameters, full, lora):
    """Tiny models get the study's rates, large ones the papers'; a model of unknown size is taken for a large one."""
    assert default_learning_rate("full", parameters) == full
    assert default_learning_rate("lora", parameters) == lora


def test_unknown_methods_are_refused():
    """A method that is neither full nor lora is named."""
    with pytest.raises(SettingsError, match="method must be one of full, lora, got 'prefix'"):
        default_learning_rate("prefix", 1)
