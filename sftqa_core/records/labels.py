"""What a person says about a run or a study, to find it again. No result depends on it, and no key holds it."""

import re
from dataclasses import dataclass

from sftqa_core.jsonrecord import Record, one_of, setting, shown

LABELLED = {"run": "runs", "study": "studies"}  # kinds of what can be labelled and deleted -> a folder for each
# control characters, line and paragraph separators, and marks that turn the reading direction round
_UNSEEN = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
_IN_LINE = re.compile(_UNSEEN)
_IN_NOTE = re.compile(rf"(?![\n\t]){_UNSEEN}")


@dataclass(frozen=True)
class Label(Record):
    """Plain text everywhere: no markup in it is ever rendered."""

    name: str = setting(
        "", label="Name", help="what you call it; it can be typed in place of the id where it is unique", flag="--name", longest=80
    )
    tags: tuple[str, ...] = setting((), label="Tags", help="words to filter by", flag="--tag", longest=40, most=12)
    note: str = setting("", label="Note", help="anything to remember about it; plain text", flag="--note", longest=2_000)
    pinned: bool = setting(False, label="Pinned", help="listed first", flag="--pin")

    def problems(self) -> list[str]:
        wrong = [
            f"{what} must be one line without control characters, got {shown(text)}."
            for what, text in (("name", self.name), *(("a tag", tag) for tag in self.tags)) if _IN_LINE.search(text)
        ]  # fmt: skip
        if _IN_NOTE.search(self.note):
            wrong.append("note must be plain text without control characters.")
        if not all(tag.strip() for tag in self.tags):
            wrong.append("a tag must not be empty.")
        if commas := [tag for tag in self.tags if "," in tag]:  # they stand between tags in an address
            wrong.append(f"a tag must hold no comma, got {shown(commas[0])}.")
        if len(set(map(str.casefold, self.tags))) < len(self.tags):
            wrong.append("tags must differ.")
        return wrong

    @property
    def words(self) -> str:
        """Name and tags in a line: "my best · #paper · #seed-check"; empty without any."""
        return " · ".join([*filter(None, [self.name]), *(f"#{tag}" for tag in self.tags)])


@dataclass(frozen=True)
class Labelled(Record):
    """A run or a study that can be labelled."""

    kind: str  # one of LABELLED
    id: str  # a run's id, a study's name
    shipped: bool = False  # came with the program: it can be labelled and not be deleted
    gone: bool = False  # only its label is left

    def problems(self) -> list[str]:
        return one_of("kind", self.kind, tuple(LABELLED))


@dataclass(frozen=True)
class Deleted(Record):
    """A run or a study that was deleted and can come back."""

    kind: str  # one of LABELLED
    id: str
    entry: str  # its folder under cache/deleted
    when: str  # ISO 8601, UTC
    size_bytes: int
    label: Label = setting(make=Label)
    notes: tuple[str, ...] = ()  # what stays, and what is told of it

    def problems(self) -> list[str]:
        return one_of("kind", self.kind, tuple(LABELLED))
