"""Who does the pieces of one work: this process, one after the other, or others that a `Mapper` hands them to. Never loads torch.

Whoever does them, the results are in the cache, and only there: what follows reads them as if they had been made here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from sftqa_core.errors import StorageError
from sftqa_core.models.serving.addresses import KIND as SERVER
from sftqa_core.progress import Phase, Reporter
from sftqa_core.records.pieces import Piece, ProbePiece

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.memory.prober import Prober

_SHARES = 4  # pieces of a probe for each worker: who is through early takes over what is left
_MOST_FACTS = 128  # of a piece: what is lost with a worker
P = TypeVar("P", bound=Piece)


class Mapper(Protocol):
    """Does pieces somewhere."""

    @property
    def workers(self) -> int:
        """How many do pieces at the same time elsewhere; 0: this process does them."""

    def finish(self, pieces: Sequence[P], do: Callable[[P], None], phase: Phase) -> None:
        """Come back when all are done, each counted in `phase`; `do` does one in this process. Raises what a piece raised, and
        `Stopped`; finished pieces are kept."""


class Here:
    """This process does them."""

    workers = 0

    def finish(self, pieces: Sequence[P], do: Callable[[P], None], phase: Phase) -> None:
        for piece in pieces:
            do(piece)
            phase.advance(piece.size)


_used: Mapper = Here()


def current_mapper() -> Mapper:
    """Who does the pieces of this process's work."""
    return _used


@contextmanager
def use_mapper(mapper: Mapper) -> Iterator[None]:
    """Inside, pieces go to this one."""
    global _used
    before, _used = _used, mapper
    try:
        yield
    finally:
        _used = before


def levels_of(prober: Prober, facts: pd.DataFrame, reporter: Reporter) -> pd.DataFrame:
    """`Prober.levels`, of which others probe what is not known, if there are any. Raises as that does."""
    mapper = current_mapper()
    if mapper.workers and prober.card.kind != SERVER:  # a server needs no machine of ours
        ids = _unknown(prober, facts)
        size = max(1, min(_MOST_FACTS, -(-len(ids) // (_SHARES * mapper.workers))))
        pieces = [ProbePiece(prober.settings, tuple(ids[start : start + size])) for start in range(0, len(ids), size)]
        mapper.finish(pieces, lambda piece: None, Phase(reporter, "probe", len(ids), "facts"))
        require_here(len(_unknown(prober, facts)), len(ids), "levels of facts")
    return prober.levels(facts)


def require_here(missing: int, of: int, what: str) -> None:
    """Raise `StorageError` where results that others say they have stored are not in this machine's cache."""
    if missing:
        raise StorageError(
            f"{missing} of {of} {what} that other machines made are not in this machine's cache. All must have the same folder on a shared "
            "file system as SFTQA_CACHE."
        )


def _unknown(prober: Prober, facts: pd.DataFrame) -> list[str]:
    known = prober.known(facts)
    there = set() if known is None else set(known["fact_id"])
    return [fact_id for fact_id in dict.fromkeys(facts["fact_id"]) if fact_id not in there]
