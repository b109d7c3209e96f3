"""What a report is made of: sections of paragraphs, tables, charts, numbers and code, as plain text; rendering.py makes HTML of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sftqa_core.reports import number_columns
from sftqa_core.reports.private_names import Names

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


@dataclass(frozen=True)
class Paragraph:
    """A sentence or more."""

    text: str
    lead: str = ""  # stands in bold in front
    small: bool = False  # a caption


@dataclass(frozen=True)
class Quoted:
    """Text to be copied as it stands: a command, a paragraph for a paper, BibTeX."""

    text: str
    what: str  # "command", "prose" or "bibtex"


@dataclass(frozen=True)
class Table:
    """Cells as text."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    about: str = ""  # a caption under it

    @classmethod
    def of(cls, table: pd.DataFrame, titles: Mapping[str, str] | None = None, about: str = "") -> Table:
        """A table with its numbers by their kind, as pages show them."""
        return cls(*number_columns.as_texts(table, titles), about)


@dataclass(frozen=True)
class Chart:
    """A figure with its heading."""

    figure: go.Figure
    alt: str  # what it shows
    title: str = ""
    about: str = ""  # behind the title


@dataclass(frozen=True)
class Beside:
    """Blocks side by side, where there is room."""

    blocks: Sequence[Paragraph | Table | Chart | Quoted]


@dataclass(frozen=True)
class Number:
    """One number of a headline."""

    name: str
    value: str
    change: str = ""
    lines: Sequence[str] = ()


@dataclass(frozen=True)
class Numbers:
    """A headline's numbers side by side."""

    numbers: Sequence[Number]


@dataclass(frozen=True)
class Finding:
    """An answer in words with its verdict."""

    about: str
    verdict: str
    text: str


@dataclass(frozen=True)
class Link:
    """A way to another file of the same folder."""

    text: str
    file: str  # its name
    about: str = ""


Block = Paragraph | Quoted | Table | Chart | Beside | Numbers | Finding | Link


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Block]
    folded: bool = False  # opens by a click, and in print


@dataclass(frozen=True)
class Report:
    """One page."""

    title: str
    about: str  # a line under the title
    sections: Sequence[Section]
    names: Names = field(default_factory=lambda: Names(()))  # what stands for paths and addresses in every text

    def __post_init__(self) -> None:
        object.__setattr__(self, "sections", tuple(section for section in self.sections if section.blocks))
