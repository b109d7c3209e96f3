"""The models that can be made by name."""

import torch

from sftqa_core.knowledge.atlas import atlas_source
from sftqa_core.models.lists import RECIPES, UNMADE
from sftqa_core.models.pretraining import build_model


def test_recipes_are_known_by_their_own_name():
    """The key that a person types is the name the model gets."""
    assert {name: recipe.name for name, recipe in RECIPES.items()} == {name: name for name in RECIPES}
    assert RECIPES["atlas-llama"].source == "atlas"


def test_the_larger_recipe_is_marked_as_not_made():
    """A model of about 100 million parameters on a larger world, apart from the built-in ones; its corpus is large enough for it."""
    assert not UNMADE.keys() & RECIPES.keys()
    recipe = UNMADE["atlas-100m"]
    assert (recipe.name, recipe.source, recipe.architecture, recipe.compile) == ("atlas-100m", "atlas:8", "llama", True)
    with torch.device("meta"):
        model = build_model(recipe, recipe.vocabulary)
    assert 95e6 < model.num_parameters() < 105e6
    shipped = atlas_source().facts["exposures"].sum()
    assert 8 * shipped > 1_000_000
    assert recipe.batch_size * recipe.sequence_length == 32_768
