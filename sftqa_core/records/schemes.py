"""How memory is measured: samplers, level schemes and probes; and the schemes that have a name: the paper's five levels, the same
completions with other cut-offs, and SliCK's four levels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import Keys, Record, setting, shown

SPLITS = ("train", "dev", "test")
DOMAIN_NAMES = {"in": "in-domain", "out": "out-of-domain"}
DOMAINS = tuple(DOMAIN_NAMES)
METHODS = {"sampling": "full probe", "adaptive": "adaptive probe", "likelihood": "likelihood"}
QUANTIZATIONS = {"none": "as the device has them", "nf4": "in 4 bits (NF4)"}  # a model's weights (models/quantising.py) -> their name
MATCHES = {"tokens": "whole words", "substring": "any part of the text"}
SLICK_LEVELS = 4  # of few-shot prompts: none right, some sample, some most probable answer, every most probable answer
MOST_ADAPTIVE = 100  # samples: the tables that foretell a level grow with their square
MAX_SEED = 2**32 - 1  # what numpy and torch take
MAX_NEW_TOKENS = 512  # after a prompt: a model that never ends a text ends there
MAX_LEVELS = 20
MOST_GPUS = 64  # of one machine


@dataclass(frozen=True)
class SamplerSettings(Record):
    """How completions are drawn (METHOD section 1; defaults are the paper's)."""

    samples: int = setting(10, low=1, high=1000, flag="--samples", help="completions a template")
    temperature: float = setting(0.7, low=0.01, high=10, flag="--temperature", help="of the completions")
    max_new_tokens: int = setting(32, low=1, high=MAX_NEW_TOKENS, flag="--max-new-tokens", unit="tokens", help="a completion ends here")
    seed: int = setting(0, low=0, high=MAX_SEED, flag="--seed", help="of the completions")
    sampler: str = "shared"  # which memory.sampling.Sampler draws them; where "shared" can't, "generate" does, with the same result
    # draw among the k most probable tokens, of equal ones the first in the vocabulary; None: all
    top_k: int | None = setting(None, low=1, high=1_000_000, later=True)
    greedy: bool = setting(False, later=True)  # one completion more of each prompt: the most probable token at every step

    @property
    def draws(self) -> int:
        """Completions of a prompt, the greedy one included."""
        return self.samples + self.greedy


@dataclass(frozen=True)
class LevelScheme(Record):
    """How a memory score R in [0, 1] becomes a level. Nobody else knows how many levels there are.

    Few-shot prompts are SliCK's (arXiv 2405.05904): their four levels come from which answers were right, and have no cut-offs.
    """

    name: str = "paper-5"
    labels: tuple[str, ...] = ("L0", "L1", "L2", "L3", "L4")
    cutoffs: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75)  # level i holds cutoffs[i-1] < R <= cutoffs[i]; the last goes to 1
    # which prompts are completed (engine/wanted_facts.py)
    prompts: str = setting("statements", choices={"statements": "statements", "few-shot": "questions after answered ones"})
    sampling: SamplerSettings = setting(make=SamplerSettings)
    method: str = setting(
        "sampling", flag="--level-method", choices=METHODS,
        help="sampling: every completion; adaptive: until the level is clear; likelihood: no completions, an estimate",
    )  # fmt: skip
    confidence: float = setting(0.95, low=0.5, high=1, flag="--confidence", help="adaptive: how sure a level must be")
    contexts: int = setting(10, low=1, high=100, later=True)  # few-shot: how many prompts a fact has, each with other examples
    shots: int = setting(4, low=1, high=100, later=True)  # few-shot: examples in front of the question

    @property
    def by_statements(self) -> bool:
        """Whether facts are asked for by statements to complete, as the paper does."""
        return self.prompts == "statements"

    @property
    def few_shot(self) -> bool:
        """Whether facts are asked for by questions after answered ones, as SliCK does."""
        return self.prompts == "few-shot"

    @property
    def asking(self) -> dict[str, Any]:
        """What the prompts depend on beside the facts and the sampler's settings: part of a store's key. Nothing for statements."""
        examples = {"contexts": self.contexts, "shots": self.shots} if self.few_shot else {}
        return {} if self.by_statements else {"prompts": {"kind": self.prompts, **examples}}

    def problems(self) -> list[str]:
        wrong = []
        if not 2 <= len(self.labels) <= MAX_LEVELS or len(set(self.labels)) != len(self.labels):
            wrong.append(f"A level scheme needs two to {MAX_LEVELS} different labels, got {shown(list(self.labels))}.")
        if any(not label.strip() or len(label) > 40 or not label.isprintable() for label in self.labels):
            wrong.append(f"A level's label must be 1 to 40 characters that can be seen, got {shown(list(self.labels))}.")
        if self.few_shot:
            wrong += self._few_shot_problems()
        elif self.sampling.greedy:
            wrong.append("A greedy completion is part of few-shot prompts only.")
        elif len(self.cutoffs) != len(self.labels) - 1:
            wrong.append(f"{len(self.labels)} levels need {len(self.labels) - 1} cut-offs, got {len(self.cutoffs)}.")
        if any(not 0 <= c < 1 for c in self.cutoffs) or list(self.cutoffs) != sorted(set(self.cutoffs)):
            wrong.append(f"Cut-offs must rise within [0, 1), got {shown(list(self.cutoffs))}.")
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

    model: str = setting(label="Model", flag="--model", rank=0, help="a built-in or pre-trained model, a folder, or a hub id")
    source: str = setting(
        "atlas", label="Facts", flag="--source", rank=0, help="atlas, a larger one (atlas:8), entity-questions, a path, or hub:owner/name"
    )
    split: str = setting("test", label="Split", flag="--split", choices={name: name for name in (*SPLITS, "all")}, help="which facts")
    domain: str = setting(
        "all", label="Domain", flag="--domain", choices={**DOMAIN_NAMES, "all": "both domains"},
        title="{value}", help="topics that runs are tuned on by default (in), or others (out)",
    )  # fmt: skip
    limit: int | None = setting(
        None, label="Fact limit", flag="--limit", low=1, unit="facts", unset="all", title="at most {value:,} facts",
        help="probe at most this many facts, spread over relations",
    )  # fmt: skip
    scheme: LevelScheme = setting(make=LevelScheme, label="Level scheme")
    match: str = setting(
        "tokens", label="Answer matching", flag="--match", choices=MATCHES, title="answers matched by {value}",
        help="how an answer is found in a text: whole words, or the paper's substring",
    )  # fmt: skip
    device: str = setting("auto", label="Device", flag="--device", help="auto, cpu, cuda (NVIDIA), rocm (AMD) or mps (Apple)")
    batch_size: int | None = setting(
        None, label="Prompts at once", flag="--batch", low=1, high=65_536, unset="by model size and free memory",
        help="prompts in progress at once",
    )  # fmt: skip
    facts_seed: int = setting(0, label="Seed of the order")  # in which facts are taken when there is a limit
    gpus: int = setting(
        1, label="GPUs the model is spread over", flag="--gpus", low=1, high=MOST_GPUS, title="{value} GPUs", keys=Keys.NONE, later=True,
        help="for a model larger than one GPU: its layers are spread over several, which work one after the other. Not yet tried on real "
        "GPUs",
    )  # fmt: skip
    quantization: str = setting(
        "none", label="Quantization", flag="--quantize", choices=QUANTIZATIONS, title="weights {value}", later=True,
        help="nf4 holds the model's weights in 4 bits: about a quarter of the memory. Its levels are measured separately. Needs "
        "bitsandbytes; not yet tried on a GPU",
    )  # fmt: skip

    def problems(self) -> list[str]:
        return quantization_problems(self.quantization, self.gpus)


def quantization_problems(quantization: str, gpus: int) -> list[str]:
    """For `problems`: sentences about weights in 4 bits."""
    return [f"quantization nf4 is for work on one device, got {gpus} gpus."] if quantization == "nf4" and gpus > 1 else []


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
SCHEME_NAMES = {"paper": "paper's five", "slick": "SliCK"}
SCHEME_HELP = {
    "paper": "how often 21 statements are completed correctly",
    "slick": "four levels by which answers to k-shot questions are correct",
}
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
