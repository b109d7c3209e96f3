"""What stands at the end of every report: methods in words, what makes it again, settings, versions, BibTeX."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata

from sftqa_core import workflows
from sftqa_core.artifacts import program_version
from sftqa_core.errors import SftqaError
from sftqa_core.models.model_names import names_of, plain_name
from sftqa_core.records import StudySettings, TrainSettings
from sftqa_core.records.bundles import ORIGIN
from sftqa_core.records.setting_words import ModelName, differing, label, shown_value
from sftqa_core.reports import citing
from sftqa_core.reports.blocks import Beside, Paragraph, Quoted, Section, Table

_PACKAGES = ("torch", "transformers", "peft", "numpy", "pandas", "plotly")


def model_names() -> ModelName:
    """What people call models: those that are listed, and others by their plain name."""
    listed = names_of(workflows.models(), lambda created: f"{created.replace('T', ' ')[:16]} UTC")
    return lambda model: listed.get(model) or plain_name(model, "")


def default_rate(settings: TrainSettings) -> float | None:
    """The learning rate that a run of these settings has where none is given; None for a model that is gone."""
    with contextlib.suppress(SftqaError):
        return workflows.default_learning_rate(settings.method, settings.model)
    return None


def settings_table(settings: TrainSettings | StudySettings, first: Sequence[str], names: ModelName) -> Table:
    """The settings that are not the default, those named `first` in front."""
    values = {name: getattr(settings, name) for name in first} | differing(settings, default_rate)
    rows = [(label(type(settings), name), _value(name, value, settings, names)) for name, value in values.items() if value is not None]
    return Table(("Setting", "Value"), rows, "All others are defaults.")


def _value(name: str, value: object, settings: TrainSettings | StudySettings, names: ModelName) -> str:
    if name == "models" and isinstance(settings, StudySettings):
        return ", ".join(map(names, settings.models))
    if name == "recipe":
        return str(value)
    if name in ("n", "sizes"):
        sizes = value if isinstance(value, tuple) else (value,)
        return ", ".join("all" if n == TrainSettings.ALL else f"{n:,}" for n in sizes)
    return shown_value(name, value, settings, names)


def imported(bundles: Mapping[str, str]) -> list[Paragraph]:
    """Where answers come from that this program only read. `bundles`: name of the bundle -> what came with it, empty where that is all."""
    return [Paragraph(f"{f'{what}. ' if what else ''}{ORIGIN}", f"Imported: {bundle}") for bundle, what in bundles.items()]


def closing(
    methods: str, commands: Sequence[str], tables: Sequence[Table | Beside], settings: Sequence[TrainSettings | StudySettings],
    versions: Mapping[str, str] | None = None,
) -> list[Section]:  # fmt: skip
    """The last sections; `versions`: of the packages that made the results, where they are kept."""
    copied = Paragraph(
        "Made from the settings: check it, and say what it can't know, such as why. Citations are keys of the BibTeX below.", small=True
    )
    made = dict(versions) if versions else {}
    kept = Table(("Package", "Version"), list(made.items()), "With these the results were made.") if made else None
    written = f"SFT-QA Explorer {program_version()}, {', '.join(f'{name} {at}' for name, at in _versions().items())}"
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    return [
        Section("Methods, to paste", [Quoted(methods, "prose"), copied]),
        Section("Make it again", [Quoted("\n".join(commands), "command"), *tables]),
        Section("Versions", [*([kept] if kept else []), Paragraph(f"This report: {when}, {written}.", small=True)]),
        Section("BibTeX", [Quoted(citing.bibtex(settings), "bibtex")]),
    ]


def _versions() -> dict[str, str]:
    found = {"Python": platform.python_version()}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
