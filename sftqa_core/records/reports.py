"""What the program tells: models, fact sources, checks before work starts, and work in the background."""

from dataclasses import dataclass, field
from typing import Any

from sftqa_core.jsonrecord import Record, one_of, setting


@dataclass(frozen=True)
class ModelCard(Record):
    """What is known of a model without loading it."""

    name: str  # what a person types to pick it
    kind: str  # "built-in" (shipped), "pretrained" (made here), "folder" or "hub"
    path: str | None  # its folder, when its files are on this machine
    available: bool  # can be loaded now, without the network
    architecture: str | None = None
    parameters: int | None = None
    weights_sha256: str | None = None
    revision: str | None = None  # the hub's commit; empty when it could not be looked up
    note: str = ""  # one sentence for people
    details: dict[str, Any] = field(default_factory=dict)  # a built-in model's manifest


@dataclass(frozen=True)
class FetchSettings(Record):
    """A model of the hub that is to be brought to this machine."""

    model: str  # owner/name, or owner/name@revision: a branch, a tag or a commit of 40 digits

    def problems(self) -> list[str]:
        return [] if "/" in self.model else [f"model must be a hub id (owner/name, owner/name@revision), got {self.model!r}."]


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
        return f"Checked: {stands} in the way{worth} ({_counted(len(self.checks))})"


def _counted(points: int) -> str:
    return f"{points} point{'' if points == 1 else 's'}"


KEPT = {  # kind of work -> what a person still has when it ends before its time
    "probe": "Finished facts are kept.",
    "train": "Probed facts, the base model's answers and the training's last checkpoint, if any, are kept.",
    "study": "Finished runs are kept, and the last checkpoint, if any, of the current run.",
    "pretrain": "The last checkpoint, if any, is kept.",
    "select": "Probed facts are kept.",
    "fetch": "Files that are complete are kept.",
}
DEVICELESS = ("fetch",)  # kinds of work that wait for the network: they take no device, and none has to be free for them
ACTIVE, OVER = ("queued", "running", "stopping"), ("done", "failed", "cancelled")  # states of a job
MOVES = ("first", "up", "down", "last")  # ways to change a queued job's place
REASONS = ("memory", "disk")  # why a job failed, where the program knows what to offer


@dataclass(frozen=True)
class Resources(Record):
    """What work needs of the machine; it starts when all of it is free at once. Memory is forecast, not leased."""

    gpus: int = setting(0, low=0)  # 0: the processor


@dataclass(frozen=True)
class Job(Record):
    """One row of the queue. Progress and log are files in `folder`, not here."""

    id: str
    kind: str  # probe, train, study, pretrain or fetch
    settings: dict[str, Any]  # the settings record as JSON, frozen at submission
    state: str  # queued, running, stopping, done, failed or cancelled
    created: str  # ISO 8601, UTC
    started: str | None = None
    finished: str | None = None
    folder: str = ""
    result: str | None = None  # run id, artefact or model name
    error: str | None = None  # one sentence for people
    turn: int = 1  # how often it was put into the queue: a page that shows an earlier turn must not cancel this one
    gpus: int = 0  # how many it asks for; 0: the processor
    reason: str | None = None  # one of REASONS, of a failed job
    expected_s: tuple[float, ...] = ()  # seconds it was forecast to take at submission, at best and at worst
