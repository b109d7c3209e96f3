"""A recipe and its settings in the Lab's forms: fields that are made of the recipes' records, and stand in the address as those of a run,
or of a study, do."""

from typing import Any

import streamlit as st

from pages._ui import address
from pages._ui.fields import by_label, dropped, label, linked_text, other_fields
from pages._ui.wording import literal
from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import declared
from sftqa_core.records import TrainSettings
from sftqa_core.records.recipes import PLAIN, RECIPES, Recipe

RUN, STUDY = "lab", "study"  # forms


def pick_recipe(wrong: list[str], form: str = RUN) -> Recipe | None:
    """Draw the choice and the chosen recipe's settings, with what it does; problems are added to `wrong`. A study always has one."""
    key = f"{form}-recipe"
    st.session_state[key] = chosen = _linked_name(form)
    titles = {PLAIN: "none: one plain training"} if form == RUN else {}
    titles |= {name: kind.title for name, kind in RECIPES.items()}
    help_text = f"{declared(TrainSettings)['recipe'].help}.".capitalize()
    st.selectbox(
        label(TrainSettings, "recipe"), list(titles), format_func=titles.get, help=help_text, key=key, on_change=_remember, args=(form,)
    )
    if chosen != PLAIN:
        kind = RECIPES[chosen]
        st.caption(literal(f"{kind.about} Source: {kind.source}. What is different here: {kind.differs}"))
    return _recipe(chosen, wrong, form, folded=False)


def linked_recipe(wrong: list[str]) -> Recipe | None:
    """A run's recipe as the address tells it, while its fields are folded away."""
    return _recipe(_linked_name(RUN), wrong, RUN, folded=True)


def recipe_address(recipe: Recipe | None) -> dict[str, str]:
    """A recipe and its changed settings as parameters of the Lab's address."""
    if recipe is None:
        return {}
    known = declared(type(recipe))
    texts = {f"lab.{recipe.name}.{name}": linked_text(known[name], value) for name, value in recipe.changed.items()}
    return {"lab.recipe": recipe.name, **{key: text for key, text in texts.items() if text is not None}}


def _recipe(name: str, wrong: list[str], form: str, folded: bool) -> Recipe | None:
    if name == PLAIN:
        return None
    kind = RECIPES[name]
    values: dict[str, Any] = other_fields(kind, f"{form}.{name}", {}, wrong, folded=folded)
    try:
        return kind(**values)
    except SettingsError as error:
        wrong += [by_label(kind, problem) for problem in error.problems]
        return None


def _linked_name(form: str) -> str:
    usual = PLAIN if form == RUN else next(iter(RECIPES))
    name = address.value(f"{form}.recipe") or usual
    if name == usual or name in RECIPES:
        return name
    instead = "the run is a plain training" if usual == PLAIN else f"showing {RECIPES[usual].title}"
    dropped(f"{form}.recipe", f"There is no recipe {name[:40]!r}; {instead}.")
    return usual


def _remember(form: str) -> None:
    name = st.session_state[f"{form}-recipe"]
    address.put(**{f"{form}.recipe": None if name == PLAIN else name})
