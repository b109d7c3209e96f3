"""How memory is measured: samplers and level schemes; and the schemes that have a name: the paper's five levels, the same completions
with other cut-offs, and SliCK's four levels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import Record, setting, shown

METHODS = {"sampling": "full probe", "adaptive": "adaptive probe", "likelihood": "likelihood"}
SLICK_LEVELS = 4  # of few-shot prompts: none right, some sample, some most probable answer, every most probable answer
MOST_ADAPTIVE = 100  # samples: the tables that foretell a level grow with their square
MAX_SEED = 2**32 - 1  # what numpy and torch take
MAX_NEW_TOKENS = 512  # after a prompt: a model that never ends a text ends there
MAX_LEVELS = 20


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

    @property
    def written_cutoffs(self) -> str:
        """Its cut-offs as `read_cutoffs` reads them."""
        return ",".join(f"{cut:g}" if float(f"{cut:g}") == cut else repr(cut) for cut in self.cutoffs)

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
    numbers = tuple(float(cut) for cut in cutoffs)
    if numbers == PAPER.cutoffs and scheme.labels == PAPER.labels:
        return scheme
    return replace(scheme, name=OWN, labels=tuple(f"L{at}" for at in range(len(numbers) + 1)), cutoffs=numbers)


def read_cutoffs(text: str) -> tuple[float, ...]:
    """Cut-offs as people and links write them: "0,0.2,0.4,0.6". Raises `SettingsError` for what is no number."""
    try:
        return tuple(float(piece) for piece in text.split(",") if piece.strip())
    except ValueError:
        raise SettingsError(f"Cut-offs are numbers with commas between, such as 0,0.25,0.5,0.75, got {shown(text)}.") from None
