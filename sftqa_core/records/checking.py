"""What was looked at before work starts."""

from __future__ import annotations

from dataclasses import dataclass

from sftqa_core.jsonrecord import Record, one_of

STATES = ("ok", "note", "unknown", "problem")


@dataclass(frozen=True)
class Check(Record):
    """One point that was looked at: how it stands, and what to do about it."""

    name: str  # the point: model, licence, access, end, chat ...
    state: str  # ok, note (worth knowing), unknown (can't be told yet) or problem (the work can't be done)
    said: str  # one plain sentence
    fix: str = ""  # what to do; a problem always has one
    about: str = ""  # the model, where a study has several

    def problems(self) -> list[str]:
        wrong = one_of("state", self.state, STATES)
        if self.state == "problem" and not self.fix:
            wrong.append(f"A problem must come with its fix, got {self.said!r} alone.")
        return wrong

    @classmethod
    def of_error(cls, name: str, message: str, fix: str) -> Check:
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
