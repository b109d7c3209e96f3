"""The models that can be made by name."""

import torch

from sftqa_core.knowledge.atlas import atlas_source
from sftqa_core.models.lists import BUILT_IN, UNMADE
from sftqa_core.models.pretraining import build_model


def test_models_are_known_by_their_own_name():
    """The key that a person types is the name the model gets."""
    assert {name: settings.name for name, settings in BUILT_IN.items()} == {name: name for name in BUILT_IN}
    assert BUILT_IN["atlas-llama"].source == "atlas"


def test_the_larger_model_is_marked_as_not_made():
    """A model of about 100 million parameters on a larger world, apart from the built-in ones; its corpus is large enough for it."""
    assert not UNMADE.keys() & BUILT_IN.keys()
    large = UNMADE["atlas-100m"]
    assert (large.name, large.source, large.architecture, large.compile) == ("atlas-100m", "atlas:8", "llama", True)
    with torch.device("meta"):
        model = build_model(large, large.vocabulary)
    assert 95e6 < model.num_parameters() < 105e6
    shipped = atlas_source().facts["exposures"].sum()
    assert 8 * shipped > 1_000_000
    assert large.batch_size * large.sequence_length == 32_768
