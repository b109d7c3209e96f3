"""Counts of a model's training corpus: what a public service is asked, and what came of it."""

from dataclasses import dataclass, field

from sftqa_core.jsonrecord import Record, like, setting
from sftqa_core.records.probes import ProbeSettings

COUNT_SERVICE = "https://api.infini-gram.io/"
LEAST_PAUSE_S = 0.5
WINDOW = 100  # tokens, as the service has it by default


@dataclass(frozen=True)
class ExposureSettings(Record):
    """Which facts' subjects and answers are counted in the corpus of which model."""

    model: str = setting(label="Model", flag="--model", rank=0, help="a model of the hub whose training corpus has a known index")
    source: str = setting(label="Facts", flag="--source", rank=0, help="real facts: entity-questions, a path, or hub:owner/name")
    split: str = like(ProbeSettings, "split")
    domain: str = like(ProbeSettings, "domain")
    limit: int | None = like(ProbeSettings, "limit", help="ask about at most this many facts, the first that a probe takes")
    index: str | None = setting(
        None, label="Index", flag="--index", longest=200, unset="the one of the model's corpus",
        help="the service's index; another than that of the model's corpus is refused",
    )  # fmt: skip
    window: int = setting(
        WINDOW, label="Window", flag="--window", low=1, high=1_000, unit="tokens",
        help="how far apart a subject and an answer may stand to count as together",
    )  # fmt: skip
    service: str = setting(
        COUNT_SERVICE, label="Service", flag="--service", longest=400, help="another count service of the same kind: https, or this machine"
    )
    pause_s: float = setting(
        LEAST_PAUSE_S,
        label="Pause",
        flag="--pause",
        low=LEAST_PAUSE_S,
        high=60,
        unit="s",
        help="after each answer, before the next request",
    )


@dataclass(frozen=True)
class ExposurePlan(Record):
    """What would be sent, told before anything is."""

    model: str
    source: str
    corpus: str
    index: str
    service: str
    facts: int  # that were chosen
    kept: int  # whose counts are here
    left_out: int  # that can't be asked about
    requests: int  # at most; fewer where a text does not occur at all
    seconds: float  # at least
    examples: tuple[str, ...] = ()  # queries, as they are sent
    notes: tuple[str, ...] = field(default_factory=tuple)


@dataclass(frozen=True)
class ExposureRanks(Record):
    """Rank correlations of counts and memory score R over some facts; None where it can't be told."""

    of: str  # "all", or "exact": counts that are no estimates
    facts: int
    estimated: int  # facts whose count is an estimate
    together: float | None  # subject and answer together, with R
    together_low: float | None
    together_high: float | None
    given_subject: float | None  # the same, given the subject's own count
    given_subject_low: float | None
    given_subject_high: float | None


@dataclass(frozen=True)
class AskedExposures(Record):
    """What a call has asked."""

    asked: int  # facts
    requests: int
    refused: int  # facts on whose query the service failed
    file: str
