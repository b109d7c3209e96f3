"""Options made of settings: a record's field says its flag, help, kind, choices and default; nothing of these is written twice."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from sftqa_core import records
from sftqa_core.cli.option_texts import cutoffs, json_scheme, reader_of
from sftqa_core.jsonrecord import Setting, declared

SAMPLING = ("samples", "temperature", "max_new_tokens")
_FORMS = {
    int: "N",
    float: "X",
    tuple[int, ...]: "N,N",
    tuple[str, ...]: "A,B",
    tuple[float, ...]: "X,X",
    records.PromptFormat: "PROMPT",
}  # what help calls a value


def add_settings(
    parser: argparse.ArgumentParser, kind: type, *names: str, required: Sequence[str] = (), **readers: Callable[[str], Any]
) -> None:
    """The options of a record's settings: those of these names, or all that have a flag; `readers` replace a setting's own."""
    for name, about in declared(kind).items():
        if about.flag and (not names or name in names):
            add_setting(parser, about, required=name in required, reader=readers.get(name))


def add_setting(
    parser: argparse.ArgumentParser,
    about: Setting,
    flag: str = "",
    dest: str = "",
    required: bool = False,
    reader: Callable[[str], Any] | None = None,
) -> None:
    """One setting's option; `dest` is where the value goes if not under the setting's name."""
    flag, help = flag or about.flag, about.help.replace("%", "%%")
    if not flag.startswith("--"):
        parser.add_argument(flag, help=help)
        return
    more: dict[str, Any] = {"dest": dest or about.name, "default": None, "help": help if required else _with_default(help, about)}
    if about.kind is bool:
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, **more)
    elif about.choices:
        parser.add_argument(flag, choices=tuple(about.choices), required=required, **more)
    else:
        form = about.unit.upper() if about.kind in (int, float) and about.unit else _FORMS.get(about.kind, "TEXT")
        parser.add_argument(flag, type=reader or reader_of(about), required=required, metavar=form, **more)


def _with_default(help: str, about: Setting) -> str:
    """What an option does, and what holds without it."""
    default, names = about.default, {number: name for name, number in about.named.items()}
    if default is None:
        return f"{help} (default: {about.unset})" if about.unset else help
    if about.kind is bool:
        return f"{help} (default: {'on' if default else 'off'})"
    if default is ... or isinstance(default, tuple) or about.kind is records.PromptFormat:
        return help
    return f"{help} (default: {names.get(default, default)})"


def given(options: argparse.Namespace, kind: type) -> dict[str, Any]:
    """The settings of this record that were typed."""
    return {name: value for name in declared(kind) if (value := getattr(options, name, None)) is not None}


def add_scheme(parser: argparse.ArgumentParser, method: str = "--level-method") -> None:
    """Options that override --scheme; `method` is the flag that chooses how levels are measured, if there is a choice."""
    add_settings(parser, records.SamplerSettings, *SAMPLING)
    settings = declared(records.LevelScheme)
    if method:
        add_setting(parser, settings["method"], method, "level_method")
    add_setting(parser, settings["confidence"])
    schemes = "paper (default), slick (SliCK's four levels), or a level scheme as JSON"
    parser.add_argument("--scheme", type=json_scheme, metavar="SCHEME", help=schemes)
    cuts = "cut-offs of R between the levels, for the same completions: 0,0.2,0.4,0.6"
    parser.add_argument("--cutoffs", type=cutoffs, metavar="R,R", help=cuts)
