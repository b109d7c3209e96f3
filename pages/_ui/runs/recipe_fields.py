"""The Lab's recipe and its settings: fields that are made of the recipes' records, and stand in the address as those of a run do."""

from typing import Any

import streamlit as st

from pages._ui import address
from pages._ui.fields import by_label, dropped, label, linked_text, other_fields
from pages._ui.wording import literal
from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import declared
from sftqa_core.records import TrainSettings
from sftqa_core.records.recipes import PLAIN, RECIPES, Recipe

_KEY, _WIDGET = "lab.recipe", "lab-recipe"  # in the address, and of the field


def pick_recipe(wrong: list[str]) -> Recipe | None:
    """Draw the choice and the chosen recipe's settings, with what it does; problems are added to `wrong`."""
    st.session_state[_WIDGET] = chosen = _linked_name()
    titles = {PLAIN: "none: one plain training", **{name: kind.title for name, kind in RECIPES.items()}}
    help_text = f"{declared(TrainSettings)['recipe'].help}.".capitalize()
    st.selectbox(label(TrainSettings, "recipe"), list(titles), format_func=titles.get, help=help_text, key=_WIDGET, on_change=_remember)
    if chosen != PLAIN:
        kind = RECIPES[chosen]
        st.caption(literal(f"{kind.about} Source: {kind.source}. What is different here: {kind.differs}"))
    return _recipe(chosen, wrong, folded=False)


def linked_recipe(wrong: list[str]) -> Recipe | None:
    """The recipe as the address tells it, while its fields are folded away."""
    return _recipe(_linked_name(), wrong, folded=True)


def recipe_address(recipe: Recipe | None) -> dict[str, str]:
    """A recipe and its changed settings as parameters of the Lab's address."""
    if recipe is None:
        return {}
    known = declared(type(recipe))
    texts = {f"lab.{recipe.name}.{name}": linked_text(known[name], value) for name, value in recipe.changed.items()}
    return {_KEY: recipe.name, **{key: text for key, text in texts.items() if text is not None}}


def _recipe(name: str, wrong: list[str], folded: bool) -> Recipe | None:
    if name == PLAIN:
        return None
    kind = RECIPES[name]
    values: dict[str, Any] = other_fields(kind, f"lab.{name}", {}, wrong, folded=folded)
    try:
        return kind(**values)
    except SettingsError as error:
        wrong += [by_label(kind, problem) for problem in error.problems]
        return None


def _linked_name() -> str:
    name = address.value(_KEY) or PLAIN
    if name == PLAIN or name in RECIPES:
        return name
    dropped(_KEY, f"There is no recipe {name[:40]!r}; the run is a plain training.")
    return PLAIN


def _remember() -> None:
    name = st.session_state[_WIDGET]
    address.put(**{_KEY: None if name == PLAIN else name})
