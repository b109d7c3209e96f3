"""Tested models beside each other: `sftqa compare --json` prints it, the page Compare draws it."""

from dataclasses import dataclass
from typing import Any

from sftqa_core.jsonrecord import Record
from sftqa_core.records.schemes import LevelScheme
from sftqa_core.records.tuning import TrainSettings

MICRO, MACRO = "micro average", "mean over levels"
MEANS = (MICRO, MACRO)
UNTESTED = "not tested"


@dataclass(frozen=True)
class MeanAccuracy(Record):
    """Accuracy on some of the facts in common: of one level, or of one of MEANS."""

    level: str
    n: int  # facts
    value: float | None  # of pooled seeds the mean; None where there are no facts (of the mean over levels: at some level)
    low: float | None  # 95%; one run: Wilson's; pooled seeds: the bootstrap's over facts
    high: float | None
    per_seed: tuple[float, ...] = ()  # where seeds are pooled, in the order of the seeds


@dataclass(frozen=True)
class DomainMeans(Record):
    """One domain's accuracies."""

    per_level: tuple[MeanAccuracy, ...]
    macro: MeanAccuracy
    micro: MeanAccuracy


@dataclass(frozen=True)
class ComparedBase(Record):
    """An untouched model that some of the tested ones come from, asked in their way."""

    label: str  # "base", or "base 1" and so on where there are several
    model: str
    weights: str  # hash
    accuracy: dict[str, DomainMeans]  # domain -> accuracies


@dataclass(frozen=True)
class ComparedRun(Record):
    """A tested model, or the seeds of one setting together."""

    label: str  # A, B, C ...
    names: tuple[str, ...]  # references: a run's id, or a cell's name; several where seeds are pooled
    settings: TrainSettings  # of the first, learning rate and n as they were
    seeds: tuple[int, ...]
    created: str  # of the first; empty where it is not known
    facts: int  # test facts it was asked, of which those in common count
    accuracy: dict[str, DomainMeans]  # domain -> accuracies, by the reference's levels
    base: str  # label of its base; empty where that one's answers are not kept
    words: bool  # whether the answers' words are kept, or only whether they were right
    weights: bool  # whether the tuned weights of every one of them are kept


@dataclass(frozen=True)
class PairTest(Record):
    """One comparison of two of them: the first less the second."""

    run: str  # label
    against: str  # label
    domain: str
    mean: str  # one of MEANS
    facts: int
    difference: float | None = None
    low: float | None = None  # the interval after correction, see evaluation/comparing.py
    high: float | None = None
    test: str = ""
    only_run: float | None = None  # facts that it alone answered rightly; of pooled seeds the sum of its leads
    only_against: float | None = None
    p: float | None = None
    p_holm: float | None = None
    verdict: str = UNTESTED  # better, worse, cannot tell, too few facts to tell, not tested
    why: str = ""  # it was not tested


@dataclass(frozen=True)
class Comparison(Record):
    """What differs between the settings, what was answered on the facts in common, and what can be told from that."""

    runs: tuple[ComparedRun, ...]
    bases: tuple[ComparedBase, ...]
    reference: str  # label of the run whose base model's levels are used
    scheme: LevelScheme  # of these levels
    facts: int  # in common
    settings: dict[str, list[Any]]  # those that differ: name -> a value of each run, as JSON
    notes: tuple[str, ...]  # in words: what was asked or judged otherwise, which facts are left out
    tests: tuple[PairTest, ...]
    counted: int  # comparisons that the correction is over
    against: str = ""  # label of the run that all others are compared with; empty: every pair


@dataclass(frozen=True)
class Remade(Record):
    """Whether a model that was made again answers as the stored numbers say."""

    old: str
    new: str
    facts: int  # in common
    differing: int  # of them answered rightly by one alone
    facts_old: int
    facts_new: int
    same_settings: bool
    said: str  # a sentence

    @property
    def equal(self) -> bool:
        """Whether every stored answer is confirmed."""
        return self.same_settings and not self.differing and self.facts == self.facts_old == self.facts_new
