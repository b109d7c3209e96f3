"""What the program reports: models, fact sources, checks before work starts, and how two ways of measuring agree."""

from dataclasses import dataclass, field
from typing import Any

from sftqa_core.jsonrecord import Record, one_of


@dataclass(frozen=True)
class ModelCard(Record):
    """What is known of a model without loading it."""

    name: str  # what a person types to pick it
    kind: str  # "built-in" (shipped), "pretrained" (made here), "tuned" (kept by a run), "folder", "gguf", "server" or "hub"
    path: str | None  # its folder, when its files are on this machine; of a GGUF model once it has been read
    available: bool  # can be loaded now, without the network
    architecture: str | None = None
    parameters: int | None = None
    weights_sha256: str | None = None
    revision: str | None = None  # the hub's commit; empty when it could not be looked up
    note: str = ""  # one sentence for people
    details: dict[str, Any] = field(default_factory=dict)  # a built-in model's manifest; of a tuned one what its run was ("tuned")
    quantisation: str = ""  # how its file had rounded its values ("Q4_K_M, from GGUF"); empty for a model in safetensors


@dataclass(frozen=True)
class FetchSettings(Record):
    """A model of the hub that is to be brought to this machine, or a GGUF model that is to be read into the cache."""

    model: str  # owner/name, or owner/name@revision: a branch, a tag or a commit of 40 digits; or a path

    def problems(self) -> list[str]:
        return [] if "/" in self.model else [f"model must be a hub id (owner/name, owner/name@revision), got {self.model!r}."]


@dataclass(frozen=True)
class FetchFactsSettings(Record):
    """A source of facts that is to be brought to this machine."""

    source: str  # entity-questions, or hub:owner/name with what may follow its question mark

    def problems(self) -> list[str]:
        fetched = self.source == "entity-questions" or self.source.startswith("hub:")
        return [] if fetched else [f"source must be entity-questions or hub:owner/name, got {self.source!r}."]


@dataclass(frozen=True)
class SourceReport(Record):
    """What a fact source holds; `sftqa facts --json` prints it."""

    source: str
    facts: int  # rows of the fact table
    relations: dict[str, dict[str, int]]  # relation -> split -> rows in the files (for atlas: facts)
    unparsed: int  # rows whose question did not fit the relation's form
    unique: int  # distinct (relation, subject) keys
    merged: int  # rows that joined another row of the same key
    excluded_from_train: int  # train rows whose key or question stands in dev or test
    echo: int  # facts with an answer inside the subject's own text


@dataclass(frozen=True)
class SourcePreview(Record):
    """How a file or dataset would be read, before it is: `sftqa facts --preview` prints it, the page draws it."""

    source: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]  # the first five, as text
    places: tuple[str, ...]  # what a mapping can name: columns, and the keys of a column of objects
    guess: dict[str, str]  # role -> place, offered where the layout is not known
    layout: str = ""  # how the columns were recognised; empty: they were not
    roles: dict[str, str] = field(default_factory=dict)  # role -> the columns that it takes
    ignored: tuple[str, ...] = ()  # columns that no role takes
    facts: int = 0
    splits: dict[str, int] = field(default_factory=dict)  # train, dev, test -> rows
    relations: int = 0
    read: tuple[tuple[str, str, str], ...] = ()  # question, answers and split of the first five facts, as they were read
    notes: tuple[str, ...] = ()
    new_relations: dict[str, list[str]] = field(default_factory=dict)  # without templates -> some of their subjects
    faults: tuple[str, ...] = ()  # why it can't be used


STATES = {"ok": "ok", "note": "worth knowing", "unknown": "can't be known yet", "problem": "the work can't be done"}


@dataclass(frozen=True)
class Check(Record):
    """One point that was looked at: how it stands, and what to do about it."""

    name: str  # the point: model, licence, access, end, chat ...
    state: str  # one of STATES
    said: str  # one plain sentence
    fix: str = ""  # what to do; a problem always has one
    about: str = ""  # the model, where a study has several

    def problems(self) -> list[str]:
        wrong = one_of("state", self.state, tuple(STATES))
        if self.state == "problem" and not self.fix:
            wrong.append(f"A problem must come with its fix, got {self.said!r} alone.")
        return wrong

    @classmethod
    def of_error(cls, name: str, message: str, fix: str) -> "Check":
        """A problem out of an error's message: its first sentence, and what to do, which stands behind it (else `fix`)."""
        said, dot, rest = message.partition(". ")
        return cls(name, "problem", said + dot.strip(), rest or fix)

    @property
    def line(self) -> str:
        """Finding and fix, with the model in front where there are several."""
        about = f"{self.about}: " if self.about else ""
        return f"{about}{self.said}{f' {self.fix}' if self.fix else ''}"


@dataclass(frozen=True)
class Preflight(Record):
    """Everything that was looked at before a piece of work; `sftqa preflight --json` prints it."""

    kind: str  # probe, train or study
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing stands in the way."""
        return not self.of("problem")

    def of(self, *states: str) -> tuple[Check, ...]:
        """The findings in these states, in their order."""
        return tuple(check for check in self.checks if check.state in states)

    def headline(self) -> str:
        """ "Checked: nothing stands in the way (12 points)"; how many problems, and how many findings more are worth a look."""
        bad, more = len(self.of("problem")), len(self.of("note", "unknown"))
        stands = f"{bad} thing{' stands' if bad == 1 else 's stand'}" if bad else "nothing stands"
        worth = f", {more} to know" if more else ""
        points = f"{len(self.checks)} point{'' if len(self.checks) == 1 else 's'}"
        return f"Checked: {stands} in the way{worth} ({points})"


@dataclass(frozen=True)
class CrossTable(Record):
    """Two level schemes side by side, on the facts that both measured (memory/agreement.py). Their levels differ in kind, so there is
    only the agreement of their orders, no kappa."""

    rows: tuple[str, ...]  # labels of the first scheme, lowest first
    columns: tuple[str, ...]  # of the second
    facts: int
    counts: tuple[tuple[int, ...], ...]  # facts
    tau: float | None  # Kendall's tau-b; None with fewer than 2 facts, or where one scheme puts all on one level
    tau_low: float | None  # 95%, bootstrap over facts
    tau_high: float | None


@dataclass(frozen=True)
class Agreement(Record):
    """How far a second way of measuring agrees with a reference, on the facts that both measured (memory/agreement.py)."""

    labels: tuple[str, ...]  # the levels of both
    facts: int  # measured both ways
    same: float | None  # share of the facts on the same level; None with fewer than 2 facts
    kappa: float | None  # Cohen's, linear weights; None with fewer than 2 facts, or if both ways put all of them on one same level
    kappa_low: float | None  # 95%, bootstrap over facts
    kappa_high: float | None
    spearman: float | None  # of the scores; None with fewer than 2 facts, or where one way gives all the same score
    confusion: tuple[tuple[int, ...], ...]  # facts; rows: the reference's level, columns: the other's
    score_difference: float | None = None  # mean of the other's score less the reference's, fact by fact; None with fewer than 2 facts
    score_low: float | None = None  # 95%, over facts
    score_high: float | None = None
