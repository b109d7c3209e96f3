"""A sweep over learning rates: what is tried, and what came of it. It looks at dev facts alone (METHOD 8.5)."""

from dataclasses import dataclass, replace
from typing import Any

from sftqa_core.jsonrecord import Record, setting, shown, within
from sftqa_core.records.schemes import MAX_SEED
from sftqa_core.records.tuning import TrainSettings

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the default rate: each is twice the one before
MOST_RATES, MOST_SEEDS = 20, 20


@dataclass(frozen=True)
class SweepSettings(Record):
    """The runs of a sweep: `run` with each rate and seed. What concerns tests, baselines and kept weights has no part in it."""

    run: TrainSettings
    rates: tuple[float, ...] | None = setting(
        None, label="Learning rates", flag="--rates", unset="the default times 1/4, 1/2, 1, 2 and 4", help="rates to try, with commas"
    )
    seeds: tuple[int, ...] = setting(
        (0, 1, 2), label="Seeds", flag="--sweep-seeds", help="each rate is tried with each seed; seeds pick the examples and their order"
    )

    def __post_init__(self) -> None:
        """One sweep has one record: rates and seeds in order, and of the run only what decides its answers."""
        super().__post_init__()
        bare: dict[str, Any] = {
            "learning_rate": None,
            "shots": 0,
            "more_shots": (),
            "save_model": False,
            "eval_every": None,
            "patience": None,
            "time_limit_min": None,
            "seed": 0,
        }
        object.__setattr__(self, "run", replace(self.run, **bare))
        object.__setattr__(self, "seeds", tuple(sorted(self.seeds)))
        object.__setattr__(self, "rates", None if self.rates is None else tuple(sorted(self.rates)))

    def problems(self) -> list[str]:
        wrong = [problem for seed in self.seeds for problem in within("seed", seed, 0, MAX_SEED)]
        for name, values, most in (("rates", self.rates or (), MOST_RATES), ("seeds", self.seeds, MOST_SEEDS)):
            wrong += [f"{name} must be named once each, got {shown(list(values))}."] if len(set(values)) != len(values) else []
            wrong += [f"A sweep may have {most} {name}, got {len(values):,}."] if len(values) > most else []
        wrong += [] if self.seeds else ["A sweep needs one or more seeds."]
        if self.rates is not None and len(self.rates) < 2:
            wrong.append(f"A sweep needs two or more rates, got {shown(list(self.rates))}.")
        wrong += [f"A rate must be above 0 and at most 1, got {rate}." for rate in self.rates or () if not 0 < rate <= 1]
        wrong += ["A sweep needs examples to train on: n must be 1 or more."] if self.run.n == 0 else []
        return wrong

    def tried(self, default: float) -> tuple[float, ...]:
        """The rates; `default` is the model's own, around which the grid lies where none were named."""
        return self.rates or tuple(float(f"{default * factor:.3g}") for factor in FACTORS)

    def runs(self, default: float) -> list[TrainSettings]:
        """Every run, rate after rate."""
        return [replace(self.run, learning_rate=rate, seed=seed) for rate in self.tried(default) for seed in self.seeds]


@dataclass(frozen=True)
class RateAccuracy(Record):
    """What one rate came to on the dev facts, each averaged over the seeds that are done."""

    rate: float
    seeds: int  # that are done
    macro: float | None  # mean over levels; None where a level holds no dev fact, or no seed is done
    macro_low: float | None  # 95%, facts resampled within their levels
    macro_high: float | None
    micro: float | None
    micro_low: float | None  # 95%, facts resampled
    micro_high: float | None
    within_noise: bool | None = None  # of the best rate; None before all are done


@dataclass(frozen=True)
class SweepReport(Record):
    """How far a sweep is and what it says: `sftqa sweep --json` prints it."""

    settings: SweepSettings
    done: int  # runs
    planned: int
    facts: int  # dev facts that decide
    domain: str  # whose facts decide: in; out where there are no others
    rule: str  # by what: macro (mean over levels), or micro where a level holds no dev fact
    rates: tuple[RateAccuracy, ...]
    chosen: float | None  # None before all are done
    words: tuple[str, ...]  # what that means, in sentences
