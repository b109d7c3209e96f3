"""Options of recipes: --recipe NAME and, in a group of their own, every recipe's settings; and what is told of a run's recipe.

Recipes may share an option, where it has the same name and kind in each; one that the chosen recipe does not have is refused, and
one that does nothing beside the others.
"""

import argparse
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from sftqa_core import records
from sftqa_core.cli.option_texts import reader_of
from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import Setting, declared, has_effect
from sftqa_core.records.job import command_of
from sftqa_core.records.recipes import PLAIN, RECIPES, Recipe
from sftqa_core.records.studying import PLAIN_TUNING

_OWN = "recipe."  # where argparse keeps a recipe's setting


def add_recipe(parser: argparse.ArgumentParser, of: type = records.TrainSettings) -> None:
    """--recipe as the record `of` has it (a run's, or a study's), and the options of all recipes."""
    about, names = declared(of)["recipe"], "; ".join(f"{name}: {kind.about.rstrip('.')}" for name, kind in RECIPES.items())
    help = f"{about.help} (default: {about.unset}). {names}.".replace("%", "%%")
    parser.add_argument(about.flag, choices=(*([PLAIN] if about.unset == PLAIN else ()), *RECIPES), help=help)
    group = parser.add_argument_group("settings of recipes")
    for flag, owners in _shared().items():
        settings = [declared(RECIPES[name])[setting] for name, setting in owners.items()]
        texts = dict.fromkeys(_help(name, about) for name, about in zip(owners, settings, strict=True))
        more: dict[str, Any] = {"dest": f"{_OWN}{flag}", "default": None, "help": "; ".join(texts).replace("%", "%%")}
        about = settings[0]
        if about.kind is bool:
            group.add_argument(flag, action=argparse.BooleanOptionalAction, **more)
        elif about.choices:
            group.add_argument(flag, choices=tuple(dict.fromkeys(choice for one in settings for choice in one.choices)), **more)
        else:
            group.add_argument(flag, type=reader_of(about), metavar=about.unit.upper() or ("N" if about.kind is int else "X"), **more)


def recipe_of(options: argparse.Namespace, start: Recipe | None) -> Recipe | None:
    """The recipe that the options ask for, over that of a file (`start`). Raises `SettingsError` for an option of another recipe."""
    name = options.recipe or (start.name if start else PLAIN)
    typed = {flag: value for flag in _shared() if (value := getattr(options, f"{_OWN}{flag}")) is not None}
    wrong = [
        f"{flag} is a setting of recipe {' and '.join(owners)}, not of {'plain tuning' if name == PLAIN else name}: give --recipe "
        f"{' or '.join(owners)}, or leave it out."
        for flag, owners in _shared().items()
        if flag in typed and name not in owners
    ]
    if wrong:
        raise SettingsError(wrong)
    if name == PLAIN:
        return None
    own = {_shared()[flag][name]: value for flag, value in typed.items()}
    recipe = replace(start, **own) if start and start.name == name else RECIPES[name](**own)
    bound, values = [name for name in own if declared(type(recipe))[name].only_with], vars(recipe)
    if idle := [_idle(recipe, setting) for setting in bound if not has_effect(type(recipe), values, setting)]:
        raise SettingsError(idle)
    return recipe


def _idle(recipe: Recipe, setting: str) -> str:
    """Why an option does nothing beside the others."""
    known = declared(type(recipe))
    about = known[setting]
    above = known[about.under]
    return (
        f"{about.flag} has no effect with {above.flag} {getattr(recipe, above.name)}: it belongs to {above.flag} "
        f"{' or '.join(about.only_with)}. Leave one of them out."
    )


def told(run: records.TrainSettings, notes: Sequence[str]) -> dict[str, Any]:
    """What a run's JSON says of its recipe: title with settings, the run's notes, and the commands of what it has to be compared with."""
    if run.recipe is None:
        return {}
    beside = {PLAIN_TUNING: replace(run, recipe=None)}
    with suppress(SettingsError):  # a control that no run can be, such as one of too many epochs
        beside |= {name: one for name, one in run.recipe.controls(run).items() if one != beside[PLAIN_TUNING]}
    return {"recipe": {"title": str(run.recipe), "notes": list(notes), "beside": {name: command_of(one) for name, one in beside.items()}}}


def _shared() -> dict[str, dict[str, str]]:
    """Every option of recipes: its flag -> the recipes that have it -> the setting's name there."""
    flags: dict[str, dict[str, str]] = {}
    for name, kind in RECIPES.items():
        for about in declared(kind).values():
            if about.flag:
                flags.setdefault(about.flag, {})[name] = about.name
    return flags


def _help(name: str, about: Setting) -> str:
    default = ("on" if about.default else "off") if about.kind is bool else about.unset if about.default is None else about.default
    return f"{name}: {about.help} (default: {default})"
