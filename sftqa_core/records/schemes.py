"""How memory is measured.

The level schemes that have a name: the paper's five levels, the same completions with other cut-offs, and SliCK's four levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import Record, at_least, later, one_of, shown, within

SPLITS = ("train", "dev", "test")
DOMAIN_NAMES = {"in": "in-domain", "out": "out-of-domain"}
DOMAINS = tuple(DOMAIN_NAMES)
METHODS = ("sampling", "adaptive", "likelihood")
PROMPTS = ("statements", "few-shot")
QUANTIZATIONS = ("none", "nf4")  # of a model's weights: as the device has them, or 4-bit NormalFloat (models/quantising.py)
SLICK_LEVELS = 4  # of few-shot prompts: none right, some sample, some most probable answer, every most probable answer
MOST_ADAPTIVE = 100  # samples: the tables that foretell a level grow with their square
MAX_SEED = 2**32 - 1  # what numpy and torch take
MAX_NEW_TOKENS = 512  # after a prompt: a model that never ends a text ends there
MAX_LEVELS = 20
MOST_GPUS = 64  # of one machine


@dataclass(frozen=True)
class SamplerSettings(Record):
    """How completions are drawn (METHOD section 1; defaults are the paper's)."""

    samples: int = 10  # completions per template
    temperature: float = 0.7
    max_new_tokens: int = 32
    seed: int = 0
    sampler: str = "shared"  # which memory.sampling.Sampler draws them; where "shared" can't, "generate" does, with the same result
    top_k: int | None = later(None)  # draw among the k most probable tokens, of equal ones the first in the vocabulary; None: all
    greedy: bool = later(False)  # one completion more of each prompt: the most probable token at every step

    @property
    def draws(self) -> int:
        """Completions of a prompt, the greedy one included."""
        return self.samples + self.greedy

    def problems(self) -> list[str]:
        wrong = within("samples", self.samples, 1, 1000) + within("temperature", self.temperature, 0.01, 10)
        wrong += within("top_k", self.top_k, 1, 1_000_000)
        return wrong + within("max_new_tokens", self.max_new_tokens, 1, MAX_NEW_TOKENS) + within("seed", self.seed, 0, MAX_SEED)


@dataclass(frozen=True)
class LevelScheme(Record):
    """How a memory score R in [0, 1] becomes a level. Nobody else knows how many levels there are.

    Few-shot prompts are SliCK's (arXiv 2405.05904): their four levels come from which answers were right, and have no cut-offs.
    """

    name: str = "paper-5"
    labels: tuple[str, ...] = ("L0", "L1", "L2", "L3", "L4")
    cutoffs: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75)  # level i holds cutoffs[i-1] < R <= cutoffs[i]; the last goes to 1
    prompts: str = "statements"  # which prompts are completed: statements, or few-shot questions (engine/probe_prompts.py)
    sampling: SamplerSettings = field(default_factory=SamplerSettings)
    method: str = "sampling"  # every sample (sampling), samples until the level is clear (adaptive), or none (likelihood)
    confidence: float = 0.95  # adaptive: how probable a level must be to count as clear
    contexts: int = later(10)  # few-shot: how many prompts a fact has, each with other examples
    shots: int = later(4)  # few-shot: examples in front of the question

    @property
    def few_shot(self) -> bool:
        """Whether facts are asked for by questions after answered ones, as SliCK does."""
        return self.prompts == "few-shot"

    @property
    def asking(self) -> dict[str, Any]:
        """What the prompts depend on beside the facts and the sampler's settings: part of a store's key. Nothing for statements."""
        return {"prompts": {"kind": self.prompts, "contexts": self.contexts, "shots": self.shots}} if self.few_shot else {}

    def problems(self) -> list[str]:
        wrong = one_of("prompts", self.prompts, PROMPTS)
        if not 2 <= len(self.labels) <= MAX_LEVELS or len(set(self.labels)) != len(self.labels):
            wrong.append(f"A level scheme needs two to {MAX_LEVELS} different labels, got {shown(list(self.labels))}.")
        if any(not label.strip() or len(label) > 40 or not label.isprintable() for label in self.labels):
            wrong.append(f"A level's label must be 1 to 40 characters that can be seen, got {shown(list(self.labels))}.")
        wrong += within("contexts", self.contexts, 1, 100) + within("shots", self.shots, 1, 100)
        if self.few_shot:
            wrong += self._few_shot_problems()
        elif self.sampling.greedy:
            wrong.append("A greedy completion is part of few-shot prompts only.")
        elif len(self.cutoffs) != len(self.labels) - 1:
            wrong.append(f"{len(self.labels)} levels need {len(self.labels) - 1} cut-offs, got {len(self.cutoffs)}.")
        if any(not 0 <= c < 1 for c in self.cutoffs) or list(self.cutoffs) != sorted(set(self.cutoffs)):
            wrong.append(f"Cut-offs must rise within [0, 1), got {shown(list(self.cutoffs))}.")
        wrong += one_of("method", self.method, METHODS) + within("confidence", self.confidence, 0.5, 1)
        if self.method == "adaptive" and self.sampling.samples > MOST_ADAPTIVE:
            wrong.append(f"An adaptive probe takes at most {MOST_ADAPTIVE} samples a template, got {self.sampling.samples}.")
        return wrong

    def _few_shot_problems(self) -> list[str]:
        wrong = []
        if len(self.labels) != SLICK_LEVELS or self.cutoffs:
            got = f"{len(self.labels)} and {len(self.cutoffs)}"
            wrong.append(f"Levels by few-shot prompts are {SLICK_LEVELS}, without cut-offs, got {got}.")
        if not self.sampling.greedy:
            wrong.append("Levels by few-shot prompts need the greedy completion, too.")
        if self.method != "sampling":
            wrong.append(f"Levels by few-shot prompts know no other method than sampling, got {shown(self.method)}.")
        return wrong


@dataclass(frozen=True)
class ProbeSettings(Record):
    """One probing job: which model, which facts, how."""

    model: str
    source: str = "atlas"
    split: str = "test"  # train, dev, test or all
    domain: str = "all"  # in, out or all
    limit: int | None = None  # at most this many facts, in seeded random order, spread over relations
    scheme: LevelScheme = field(default_factory=LevelScheme)
    match: str = "tokens"  # how an answer is found in a completion: whole tokens, or the paper's substring
    device: str = "auto"
    batch_size: int | None = None  # prompts under way together; None: by the model's size and the free memory
    facts_seed: int = 0  # order in which facts are taken when there is a limit
    gpus: int = later(1)  # that the model's layers are spread over, for one larger than a GPU; no result depends on it
    quantization: str = later("none")  # of the model's weights, one of QUANTIZATIONS

    def problems(self) -> list[str]:
        wrong = one_of("split", self.split, (*SPLITS, "all")) + one_of("domain", self.domain, (*DOMAINS, "all"))
        wrong += one_of("match", self.match, ("tokens", "substring"))
        wrong += at_least("limit", self.limit, 1) + within("batch_size", self.batch_size, 1, 65_536)
        wrong += within("gpus", self.gpus, 1, MOST_GPUS) + quantization_problems(self.quantization, self.gpus)
        return wrong


def quantization_problems(quantization: str, gpus: int) -> list[str]:
    """For `problems`: sentences about weights in 4 bits."""
    wrong = one_of("quantization", quantization, QUANTIZATIONS)
    if quantization == "nf4" and gpus > 1:
        wrong.append(f"quantization nf4 is for work on one device, got {gpus} gpus.")
    return wrong


@dataclass(frozen=True)
class CrossTable(Record):
    """Two level schemes side by side, on the facts that both measured (memory/agreement.py). Their levels are not the same things, so
    only how far their orders agree is told, not a kappa."""

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


PAPER = LevelScheme()
SLICK = LevelScheme(
    name="slick",
    labels=("Unknown", "WeaklyKnown", "MaybeKnown", "HighlyKnown"),
    cutoffs=(),
    prompts="few-shot",
    sampling=SamplerSettings(samples=16, temperature=0.5, top_k=40, greedy=True),
)
SCHEMES = {"paper": PAPER, "slick": SLICK}  # by the name that a person types
OWN = "own-cutoffs"
MOST_CUTOFFS = 7  # of a scheme that a person sets by hand: eight levels
STEP = 0.01  # what hand-set cut-offs are multiples of


def with_cutoffs(cutoffs: Sequence[float], scheme: LevelScheme = PAPER) -> LevelScheme:
    """The same completions on other levels, L0 upwards; the paper's own cut-offs give the paper's scheme.

    Raises `SettingsError` unless there are one to seven, rising, from 0 to below 1; and for a scheme that has none.
    """
    if scheme.few_shot:
        raise SettingsError("SliCK's levels have no cut-offs: they follow from which answers were right. Choose the paper's levels.")
    if not 1 <= len(cutoffs) <= MOST_CUTOFFS:
        raise SettingsError(f"Give one to {MOST_CUTOFFS} cut-offs, for two to {MOST_CUTOFFS + 1} levels, got {len(cutoffs)}.")
    found = tuple(float(cut) for cut in cutoffs)
    if found == PAPER.cutoffs and scheme.labels == PAPER.labels:
        return scheme
    return replace(scheme, name=OWN, labels=tuple(f"L{at}" for at in range(len(found) + 1)), cutoffs=found)


def read_cutoffs(text: str) -> tuple[float, ...]:
    """Cut-offs as people and links write them: "0,0.2,0.4,0.6". Raises `SettingsError` for what is no number."""
    try:
        return tuple(float(piece) for piece in text.split(",") if piece.strip())
    except ValueError:
        raise SettingsError(f"Cut-offs are numbers with commas between, such as 0,0.25,0.5,0.75, got {shown(text)}.") from None


def written_cutoffs(scheme: LevelScheme) -> str:
    """A scheme's cut-offs as `read_cutoffs` reads them."""
    return ",".join(f"{cut:g}" if float(f"{cut:g}") == cut else repr(cut) for cut in scheme.cutoffs)
