"""What a recipe is: a way of tuning that is more than one plain training, as settings and as facts about it.

A recipe's record holds its settings and says where it comes from; what it does is in training/recipes/. `__init__.py` has them all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import Record, declared, has_effect, one_of

ALL = -1  # as n: every fact that there is
MOST_EPOCHS = 10_000  # of a training
PLAIN = "plain"  # what no recipe is called
RECIPES: dict[str, type[Recipe]] = {}  # by name, in the order in which they are defined


@dataclass(frozen=True, kw_only=True)
class Recipe(Record):
    """One recipe with its settings; None in its place is plain fine-tuning.

    JSON tells recipes apart by `name`. A subclass is known by it from its definition on; __init__.py is what imports them all.
    """

    name: str = ""  # a subclass gives its own
    title: ClassVar[str]  # what pages call it
    about: ClassVar[str]  # what it does, in a sentence
    source: ClassVar[str]  # the paper, with its arXiv number and section
    claim: ClassVar[str] = ""  # what the paper reports, as a citation; empty where its figures are known second-hand only
    differs: ClassVar[str]  # what is different here
    knob: ClassVar[str]  # its main setting
    tried: ClassVar[tuple[Any, ...]]  # values of that which a study tries
    usual_n: ClassVar[int] = 240  # examples that a study of it takes
    needs_levels: ClassVar[bool] = False  # whether the memory level of every example is measured before it begins
    needs: ClassVar[Mapping[str, Any]] = {}  # settings of a run that it can't do without, where they are not a run's defaults

    def __init_subclass__(cls, **more: Any):
        super().__init_subclass__(**more)
        RECIPES[cls.name] = cls

    def refusals(self, run: Any) -> list[str]:
        """Sentences that say why a run (`TrainSettings`) with this recipe can't work; empty where it can. Override `unsuited`."""
        wrong = []
        if run.n == 0:
            wrong.append(f"A recipe needs examples: n must be 1 or more with recipe {self.name}, got 0.")
        if run.gpus > 1:
            wrong.append(f"A recipe trains on one device: gpus must be 1 with recipe {self.name}, got {run.gpus}.")
        return wrong + self.unsuited(run)

    def unsuited(self, run: Any) -> list[str]:
        """For `refusals`: what this recipe asks of a run beside what every recipe does."""
        return []

    def controls(self, run: Any) -> dict[str, Any]:
        """What a sceptic asks for, by name: the settings of runs that explain the recipe's gain if they gain as much."""
        raise NotImplementedError

    def at(self, run: Any, value: Any) -> Any:
        """The run with this recipe's knob at `value`, as a study tries it."""
        return dataclasses.replace(run, recipe=dataclasses.replace(self, **{self.knob: value}))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The recipe of that name. Raises `SettingsError` on a name or a setting that is not known."""
        if cls is not Recipe or not isinstance(data, dict):
            return super().from_dict(data)
        name = data.get("name")
        if not isinstance(name, str):
            raise SettingsError(f"A recipe needs 'name': one of {', '.join(RECIPES)}.")
        if wrong := one_of("recipe", name, (PLAIN, *RECIPES)):
            raise SettingsError(wrong)
        if name == PLAIN:
            raise SettingsError(f"recipe {PLAIN} has no settings of its own: leave the recipe out.")
        return RECIPES[name].from_dict(data)  # type: ignore[return-value]

    @property
    def changed(self) -> dict[str, Any]:
        """Settings that are not at their defaults and have an effect: name -> value."""
        values = {name: getattr(self, name) for name in declared(type(self)) if name != "name"}
        known = declared(type(self))
        return {name: value for name, value in values.items() if value != known[name].default and has_effect(type(self), values, name)}

    def __str__(self) -> str:
        """ "SFTMix, mu 0.5", for titles and tables."""
        return ", ".join([self.title, *(self._words(name, value) for name, value in self.changed.items())])

    def _words(self, name: str, value: Any) -> str:
        about = declared(type(self))[name]
        if isinstance(value, bool):
            return f"{'' if value else 'no '}{about.title or about.label.lower()}"
        value = about.choices.get(value, value) if about.choices else value
        return about.title.format(value=value) if about.title else f"{about.label[:1].lower()}{about.label[1:]} {value}"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name != type(self).name:
            raise SettingsError(f"name must be {type(self).name} for this recipe, got {self.name!r}.")


def plain(run: Any, **changes: Any) -> Any:
    """The run without a recipe: its plain twin or, with `changes`, a control."""
    return dataclasses.replace(run, recipe=None, **changes)
