"""Work in pieces: what is handed to another machine, small enough to be done again, its result an artefact that all find in the cache."""

from dataclasses import dataclass
from typing import Any

from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import Record
from sftqa_core.records.probes import ProbeSettings
from sftqa_core.records.studying import StudySettings
from sftqa_core.records.sweeping import SweepSettings
from sftqa_core.records.tuning import TrainSettings


@dataclass(frozen=True)
class CellPiece(Record):
    """One run of a study."""

    study: StudySettings
    run: TrainSettings
    on_dev: bool = False  # it tries a value on dev facts

    @property
    def size(self) -> int:
        """What a progress bar counts it as."""
        return 1


@dataclass(frozen=True)
class RatePiece(Record):
    """One run of a sweep over learning rates."""

    sweep: SweepSettings
    run: TrainSettings

    @property
    def size(self) -> int:
        """As of a study's run."""
        return 1


@dataclass(frozen=True)
class ProbePiece(Record):
    """The levels of some facts."""

    settings: ProbeSettings
    fact_ids: tuple[str, ...]

    @property
    def size(self) -> int:
        """Facts."""
        return len(self.fact_ids)


Piece = CellPiece | RatePiece | ProbePiece
_KINDS: dict[str, type[Piece]] = {"cell": CellPiece, "rate": RatePiece, "probe": ProbePiece}


def packed(piece: Piece) -> dict[str, Any]:
    """A piece as JSON."""
    kind = next(name for name, record in _KINDS.items() if isinstance(piece, record))
    return {"kind": kind, "piece": piece.to_dict()}


def unpacked(content: dict[str, Any]) -> Piece:
    """What `packed` wrote. Raises `SettingsError` for what is no piece."""
    if content.get("kind") not in _KINDS:
        raise SettingsError(f"A piece of work must be one of {', '.join(_KINDS)}, got {content.get('kind')!r}.")
    return _KINDS[content["kind"]].from_dict(content["piece"])
