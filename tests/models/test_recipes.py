"""The models that can be made by name."""

from sftqa_core.models.recipes import RECIPES


def test_recipes_are_known_by_their_own_name():
    """The key that a person types is the name the model gets."""
    assert {name: recipe.name for name, recipe in RECIPES.items()} == {name: name for name in RECIPES}
    assert RECIPES["atlas-llama"].source == "atlas"
