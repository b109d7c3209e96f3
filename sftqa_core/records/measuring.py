"""How memory is measured."""

from __future__ import annotations

from dataclasses import dataclass, field

from sftqa_core.jsonrecord import Record, at_least, one_of, shown, within

SPLITS = ("train", "dev", "test")
DOMAINS = ("in", "out")
METHODS = ("sampling", "adaptive", "likelihood")
MOST_ADAPTIVE = 100  # samples: the tables that foretell a level grow with their square
MAX_SEED = 2**32 - 1  # what numpy and torch take
MAX_NEW_TOKENS = 512  # after a prompt: a model that never ends a text ends there
MAX_LEVELS = 20


@dataclass(frozen=True)
class SamplerSettings(Record):
    """How completions are drawn (METHOD section 1; defaults are the paper's)."""

    samples: int = 10  # completions per template
    temperature: float = 0.7
    max_new_tokens: int = 32
    seed: int = 0
    sampler: str = "shared"  # which memory.sampling.Sampler draws them; where "shared" can't, "generate" does, with the same result

    def problems(self) -> list[str]:
        wrong = within("samples", self.samples, 1, 1000) + within("temperature", self.temperature, 0.01, 10)
        return wrong + within("max_new_tokens", self.max_new_tokens, 1, MAX_NEW_TOKENS) + within("seed", self.seed, 0, MAX_SEED)


@dataclass(frozen=True)
class LevelScheme(Record):
    """How a memory score R in [0, 1] becomes a level. Nobody else knows how many levels there are."""

    name: str = "paper-5"
    labels: tuple[str, ...] = ("L0", "L1", "L2", "L3", "L4")
    cutoffs: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75)  # level i holds cutoffs[i-1] < R <= cutoffs[i]; the last goes to 1
    prompts: str = "statements"  # which prompts are completed
    sampling: SamplerSettings = field(default_factory=SamplerSettings)
    method: str = "sampling"  # every sample (sampling), samples until the level is clear (adaptive), or none (likelihood)
    confidence: float = 0.95  # adaptive: how probable a level must be to count as clear

    def problems(self) -> list[str]:
        wrong = []
        if not 2 <= len(self.labels) <= MAX_LEVELS or len(set(self.labels)) != len(self.labels):
            wrong.append(f"A level scheme needs two to {MAX_LEVELS} different labels, got {shown(list(self.labels))}.")
        if any(not label.strip() or len(label) > 40 or not label.isprintable() for label in self.labels):
            wrong.append(f"A level's label must be 1 to 40 characters that can be seen, got {shown(list(self.labels))}.")
        if len(self.cutoffs) != len(self.labels) - 1:
            wrong.append(f"{len(self.labels)} levels need {len(self.labels) - 1} cut-offs, got {len(self.cutoffs)}.")
        if any(not 0 <= c < 1 for c in self.cutoffs) or list(self.cutoffs) != sorted(set(self.cutoffs)):
            wrong.append(f"Cut-offs must rise within [0, 1), got {shown(list(self.cutoffs))}.")
        wrong += one_of("method", self.method, METHODS) + within("confidence", self.confidence, 0.5, 1)
        if self.method == "adaptive" and self.sampling.samples > MOST_ADAPTIVE:
            wrong.append(f"An adaptive probe takes at most {MOST_ADAPTIVE} samples a template, got {self.sampling.samples}.")
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

    def problems(self) -> list[str]:
        wrong = one_of("split", self.split, (*SPLITS, "all")) + one_of("domain", self.domain, (*DOMAINS, "all"))
        wrong += one_of("match", self.match, ("tokens", "substring"))
        wrong += at_least("limit", self.limit, 1) + within("batch_size", self.batch_size, 1, 65_536)
        return wrong


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
