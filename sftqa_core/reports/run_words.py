"""What is said of a run's results: the same on the page Results and in reports. Plain text, which a page has to escape."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sftqa_core.figures.style import FEW
from sftqa_core.records import DOMAIN_NAMES, DomainAccuracy, RunSummary, TrainSettings
from sftqa_core.records.amounts import interval, percent

if TYPE_CHECKING:
    from sftqa_core.training.runs import Run

ACCURACY_CAPTION = "Levels are the base model's. Bars: Wilson 95% intervals. Hollow markers: fewer than 30 facts, too few to tell."
TIMES = {"select": "choosing examples", "probe": "probing", "train": "training", "eval": "answering", "all": "total"}


class Tile(NamedTuple):
    """One share of the headline."""

    name: str
    value: float | None
    before: float | None  # the base model's
    lines: list[str]  # interval, n, and what else belongs to it


def tiles(summary: RunSummary) -> list[Tile]:
    """Mean over levels and micro average of each domain that has facts, with intervals, and the value without echo facts.

    No tile is empty: where a level has no facts, that is said instead of a mean.
    """
    told = []
    for domain, after in summary.after.items():
        if not after.natural_n:
            continue
        before, name = summary.before[domain], DOMAIN_NAMES.get(domain, domain).capitalize()
        bare = summary.without_echo.get("after", {}).get(domain)
        bare = None if bare is None or bare.natural_n == after.natural_n else bare  # no echo facts: nothing to tell
        if after.macro is not None:
            lines = _macro_lines(after) + _bare_line(bare.macro if bare else None)
            told.append(Tile(f"{name}: mean over levels", after.macro, before.macro, lines))
        lines = [f"{interval(after.natural_low, after.natural_high)} (Wilson 95%)", f"n = {after.natural_n:,}", *_no_mean(after)]
        told.append(Tile(f"{name}: micro average", after.natural, before.natural, lines + _bare_line(bare.natural if bare else None)))
    return told


def untested_domains(summary: RunSummary) -> str:
    """Says which domains have no test facts; empty where all have some."""
    empty = [DOMAIN_NAMES.get(domain, domain) for domain, after in summary.after.items() if not after.natural_n]
    return f"No {' and no '.join(empty)} test facts." if empty else ""


def _no_mean(after: DomainAccuracy) -> list[str]:
    missing = [level.level for level in after.per_level if level.level not in after.macro_levels]
    return [f"No test facts of {', '.join(missing)}, so there is no mean over levels."] if after.macro is None and missing else []


def _macro_lines(after: DomainAccuracy) -> list[str]:
    few = [level.level for level in after.per_level if level.n < FEW]
    weights = f"unweighted, {len(after.macro_levels)} levels" + (f"; {', '.join(few)} with fewer than {FEW} facts" if few else "")
    return [f"{interval(after.macro_low, after.macro_high)} (95%, from the levels' Wilson intervals)", weights]


def _bare_line(value: float | None) -> list[str]:
    return [] if value is None else [f"without echo facts: {percent(value)}"]


def domain_words(domain: str, settings: TrainSettings) -> str:
    """What a domain is to this run: one tuned on chosen relations was tested on the usual ones."""
    if settings.relations is None:
        return {"in": "relations it was tuned on", "out": "other relations"}.get(domain, domain)
    return f"tuned on {', '.join(settings.relations)} only"


def level_error(model: str, moved: tuple[int, int] | None) -> str:
    """How sure the levels are: of this model and these facts, where that was measured (METHOD 8.6)."""
    if moved is None:
        return "Levels have an error: a second probe assigns a different level to some facts. To how many of these was not measured."
    share = percent(moved[0] / moved[1], 0)
    return f"Levels have an error: a second probe of {model} assigns a different level to {share} of {moved[1]:,} of these test facts."


def cut_note(run: Run) -> str:
    """Says that a time limit ended the training early; empty where none did."""
    told = f"The training was {run.cut}; the weights it had then were kept and evaluated. How far it got depended on the machine."
    return told if run.cut else ""


def recipe_notes(run: Run) -> list[str]:
    """The recipe of a run with its settings, where it comes from, and what it says of what it did; nothing for plain runs."""
    recipe = run.settings.recipe
    if recipe is None:
        return []
    return [f"Recipe {recipe}. {recipe.about} Source: {recipe.source}. What is different here: {recipe.differs}", *run.notes]


def fewer_shots_note(summary: RunSummary, settings: TrainSettings) -> str:
    """Says where the context window held fewer k-shot examples than asked for, or none were; empty where it held all."""
    if not settings.few_shot_stages:
        return "The k-shot baselines were skipped: how well the base model answers with examples in the prompt is not known here."
    means = [f"of {settings.few_shot_stages[stage]} {mean:g} on average" for stage, mean in (summary.shown or {}).items()]
    return f"The context window is too short for all k-shot examples: {', '.join(means)}." if means else ""
