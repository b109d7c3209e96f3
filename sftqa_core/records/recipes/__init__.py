"""All recipes: their settings, and what is said of each. What a recipe does is in training/recipes/, in a file of its name.

A recipe that tells others about a paper's figures does so in `claim`, as a citation; what was measured here is never there.
"""

# in the order in which lists have them: a recipe is known from its definition on
# isort: off
from sftqa_core.records.recipes.recipe_base import ALL as ALL, PLAIN as PLAIN, RECIPES as RECIPES, Recipe as Recipe
from sftqa_core.records.recipes.recipes_of_training import Keep as Keep, Repeat as Repeat, SftMix as SftMix
from sftqa_core.records.recipes.recipes_of_data import OffTask as OffTask, Preprocess as Preprocess, SelfGuide as SelfGuide
from sftqa_core.records.recipes.recipes_of_weights import Restore as Restore
from sftqa_core.records.recipes.recipes_in_rounds import Continue as Continue, Federated as Federated, Llm2Llm as Llm2Llm
