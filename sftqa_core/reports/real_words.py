"""What the tables of real models say, in sentences by fixed rules: the page "Real models" and `sftqa real` have the same.

With fewer than 30 facts nothing is said but that they are too few to tell.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sftqa_core.evaluation.comparing import BETTER, FEW, WORSE
from sftqa_core.evaluation.intervals import LEAST
from sftqa_core.evaluation.real_tables import ALL_FACTS, BOTH, FULL, KNOWN, LIKELIHOOD, PLAIN, RIGHT, SHOWN, SLICK_PROMPTS
from sftqa_core.knowledge.entity_sample import NAME, load_sample
from sftqa_core.records import DOMAIN_NAMES
from sftqa_core.records.amounts import interval, percent, points
from sftqa_core.studies.real_amounts import BEFORE
from sftqa_core.studies.statistics import MACRO, NATURAL

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.records import StudySettings, SweepReport

PLANTED = (
    "Nothing here was planted, unless it says so. Models and facts are other people's, and nobody knows how often a text stated a fact. "
    "What the built-in world shows was put in there, and is kept apart: no number of this page comes from it."
)
NOT_ASKED = "Levels and answers of the same facts are not stored yet. Answers come with the first study or run of this model."
NOT_MEASURED = "Nothing is measured yet: make real MODELS=FOLDER does it, with the folder of the model's file."
NOT_TUNED = "No study of amounts of this model has been started yet."
NO_SHOWN = (
    "No answers with examples in the prompt are stored for these facts, so it can't be told whether tuning does more than they do: "
    "activation is judged against them."
)
FACTS = NAME  # of the source
SOURCE = "EntityQuestions (Sciavolino et al. 2021, MIT licence)"
WAYS = {
    "second probe": "the full probe again, another seed", LIKELIHOOD: "likelihood", SLICK_PROMPTS: SLICK_PROMPTS,
    "adaptive": "adaptive probe", "4 bits": "in 4 bits (NF4)", "bfloat16": "in bfloat16",
}  # fmt: skip
_BY = {FULL: "by the full probe", LIKELIHOOD: "by likelihood", BOTH: "by both"}
_ASKED = {PLAIN: "plainly asked", SHOWN: f"with {SHOWN}"}

TITLES = {  # of columns
    "agreement": {
        "compared": "the full probe against", "same_level": "same level", "low": "95% from", "high": "to", "kappa_low": "kappa from",
        "kappa_high": "kappa to", "spearman": "Spearman of R", "same_known": "same: known or not", "known_low": "from ",
        "known_high": "to ", "tau": "Kendall's tau-b", "tau_low": "tau from", "tau_high": "tau to",
    },
    "asked": {
        "measured": "level by", "prompt": "asked with", "right_answers": "right", "common_answers": "of them the commonest object",
        "accuracy": "share right", "low": "95% from", "high": "to",
    },
    "majority": {"common_answers": "the commonest object", "low": "95% from", "high": "to"},
    "tuned": {"low": "95% from", "high": "to", "per_seed": "each seed"},
    "beside_shown": {"n": "examples", "low": "95% from", "high": "to", "p_holm": "p after Holm"},
    "rates": {"rate": "learning rate", "low": "95% from", "high": "to", "facts": "dev facts", "against": "against the chosen one"},
    "levels": {"measured": "by", "of": "of", "low": "95% from", "high": "to"},
}  # fmt: skip


def thinly(levels: pd.DataFrame, model: str) -> Iterator[str]:
    """Whether a model is measured evenly, and which levels hold too few facts to tell, by each way of measuring; or that none is."""
    rows = levels[(levels["model"] == model) & (levels["by"] == "domain")] if len(levels) else levels
    if not len(rows):
        yield NOT_MEASURED
    for measured in dict.fromkeys(rows["measured"]):
        for words in filter(None, (uneven(levels, model, measured), thin(levels, model, measured))):
            yield f"{_BY[measured].capitalize()}: {words}"


@functools.cache
def _relations() -> int:
    """Of the facts' source."""
    return len(load_sample().relations)


def uneven(levels: pd.DataFrame, model: str, measured: str) -> str:
    """Says that not the same number of facts of every relation is measured, as where a probe still runs; empty where it is the same."""
    rows = levels[(levels["model"] == model) & (levels["measured"] == measured) & (levels["by"] == "relation")]
    counts = rows.groupby("group")["of"].first()
    relations = _relations()
    if counts.empty or (counts.min() == counts.max() and len(counts) >= relations):
        return ""
    if len(counts) < relations:
        return f"{len(counts)} of {relations} relations have facts, so the probe is not finished; the whole may have other shares."
    return f"{counts.min():,} to {counts.max():,} facts a relation, so the probe is not finished; the whole may have other shares."


def thin(levels: pd.DataFrame, model: str, measured: str) -> str:
    """The same of one way, without its name; empty where all levels hold enough, or none was measured."""
    rows = levels[(levels["model"] == model) & (levels["measured"] == measured) & (levels["by"] == "domain")]
    parts = []
    for domain, part in rows.groupby("domain", sort=False):
        few = [f"{row['level']} ({row['facts']:,})" for row in part.to_dict("records") if row["facts"] < LEAST]
        parts += [f"{DOMAIN_NAMES[str(domain)]} {', '.join(few)}"] if few else []
    return f"fewer than {LEAST} facts, too few to tell: {'; '.join(parts)}." if parts else ""


def agreement(table: pd.DataFrame, model: str) -> Iterator[str]:
    """A sentence for each way of measuring that stands beside the full probe."""
    for row in table[table["model"] == model].to_dict("records"):
        name = WAYS.get(row["compared"], row["compared"])
        if row["facts"] < LEAST:
            yield f"The full probe against {name}: {row['facts']:,} facts were measured both ways, too few to tell."
            continue
        known = f"{_range(row, 'same_known', 'known_low', 'known_high')} are known by both or by neither"
        words = f"The full probe against {name}, {row['facts']:,} facts: "
        if row["same_level"] == row["same_level"]:  # NaN where the levels are others
            words += f"{_range(row, 'same_level', 'low', 'high')} have the same level (kappa {_three(row, 'kappa')}), "
        else:
            words += f"Kendall's tau-b of the two orders is {_three(row, 'tau')}, "
        yield f"{words}{known}."


def asked(table: pd.DataFrame, model: str) -> Iterator[str]:
    """What the model answers of the facts at its lowest level, by each way of measuring; whether that level is unknown by likelihood."""
    rows = table[table["model"] == model] if len(table) else table
    if not len(rows):
        yield NOT_ASKED
        return
    lowest = rows["level"].iloc[0]
    for measured in (LIKELIHOOD, FULL, BOTH):
        told = {row["prompt"]: row for row in rows[(rows["measured"] == measured) & (rows["level"] == lowest)].to_dict("records")}
        if not told:
            continue
        facts = max(row["facts"] for row in told.values())
        if facts < LEAST:
            yield f"{facts:,} facts are {lowest} {_BY[measured]}, too few to tell."
            continue
        parts = [f"{percent(row['accuracy'])} ({interval(row['low'], row['high'])}) {_ASKED[prompt]}" for prompt, row in told.items()]
        most = max(told.values(), key=lambda row: row["right_answers"])
        words = f"Of {facts:,} facts that are {lowest} {_BY[measured]} it answers {' and '.join(parts)}"
        if most["right_answers"]:
            words += f"; {percent(most['common_answers'] / most['right_answers'], 0)} of the right answers are the commonest object"
        yield f"{words}."
        uncommon = round(most["right_answers"] - most["common_answers"])
        if measured == LIKELIHOOD and uncommon:
            yield f"By likelihood, {lowest} is not all unknown: {uncommon:,} of these are answered with another object than the commonest."


def majority(table: pd.DataFrame, model: str) -> Iterator[str]:
    """How much of what is known, and of what is answered, is the commonest object, beside its share of all test facts."""
    both = table[table["domain"] == "all"]
    every = next(iter(both[both["of"] == ALL_FACTS].to_dict("records")), None)
    for row in both[(both["model"] == model) & (both["of"] != ALL_FACTS)].to_dict("records"):
        about = row["of"].removeprefix(KNOWN)
        what = f"facts above the lowest level {_BY[about]}" if row["of"].startswith(KNOWN) else f"right answers {_prompt(row['of'])}"
        count = f"{row['facts']:,.0f} {what}"
        if row["facts"] < LEAST:
            yield f"{count}: too few to tell how many are the commonest object."
            continue
        beside = _beside(row, every["share"]) if every else ""
        yield f"Of {count}, {percent(row['share'])} ({interval(row['low'], row['high'])}) have the commonest object for an answer{beside}."


def _prompt(of: str) -> str:
    return _ASKED[of.removeprefix(RIGHT)]


def _beside(row: dict[Any, Any], share: float) -> str:
    every = f"the {percent(share)} of all test facts"
    told = "more than" if row["low"] > share else "fewer than" if row["high"] < share else "which can't be told from"
    return f", {told} {every}"


def tuned(beside: pd.DataFrame, stages: pd.DataFrame, model: str) -> Iterator[str]:
    """Whether 60 examples, and the most, beat examples in the prompt, in each domain."""
    if not len(stages) or not (stages["model"] == model).any():
        return
    rows = beside[beside["model"] == model] if len(beside) else beside
    if not len(rows):
        yield NO_SHOWN
    for domain, part in rows.groupby("domain", sort=False):
        each = {row["n"]: row for row in part.to_dict("records")}
        few = 60 if 60 in each else min(each)
        for n in dict.fromkeys((few, max(each))):
            yield _tuned(each[n], stages[(stages["model"] == model) & (stages["domain"] == domain)])


def _tuned(row: dict[Any, Any], stages: pd.DataFrame) -> str:
    as_come = stages[stages["level"] == NATURAL]
    told = {str(stage): percent(share) for stage, share in zip(as_come["stage"], as_come["accuracy"], strict=True)}
    before = f" (before: {told[BEFORE]})" if BEFORE in told else ""
    domain, tuned = DOMAIN_NAMES[row["domain"]].capitalize(), f"{row['n']:,} examples"
    about = f"{domain}, {tuned} answer {told[tuned]} of {row['facts']:,} facts{before}, {SHOWN} {told[SHOWN]}: "
    if row["verdict"] == FEW:
        return f"{about}too few facts to tell."
    said = {BETTER: "tuning beats the examples in the prompt", WORSE: "tuning falls short of the examples in the prompt"}
    change = f"{points(row['difference'])} points ({points(row['low'])} to {points(row['high'])})"
    return f"{about}{change}, {said.get(row['verdict'], 'cannot tell which is better')}."


def tuned_by(study: StudySettings) -> str:
    """How a study's runs were tuned, from its settings."""
    method = f"LoRA of rank {study.lora_rank}" if study.method == "lora" else "full tuning"
    rate = "the usual learning rate" if study.learning_rate is None else f"learning rate {study.learning_rate:g}"
    passes = "1 epoch" if study.epochs == 1 else f"{study.epochs} epochs"
    seeds = "1 seed" if len(study.seeds) == 1 else f"{len(study.seeds)} seeds"
    return f"Tuned by {method}, {rate}, {passes}, batches of {study.batch_size}, {seeds}."


def rates(sweeps: Sequence[SweepReport]) -> Iterator[str]:
    """What dev facts said of learning rates, a sentence a method."""
    for sweep in sweeps:
        method = {"lora": "LoRA", "full": "Full tuning"}[sweep.settings.run.method]
        yield f"{method}, {sweep.settings.run.n:,} examples: {' '.join(sweep.words)}"


def rates_table(sweeps: Sequence[SweepReport]) -> pd.DataFrame:
    """A line a rate: what it came to on the dev facts that decide."""
    import pandas as pd

    rows = []
    for sweep in sweeps:
        for row in sweep.rates:
            value = (row.macro, row.macro_low, row.macro_high) if sweep.rule == "macro" else (row.micro, row.micro_low, row.micro_high)
            against = "chosen" if row.rate == sweep.chosen else "within noise" if row.within_noise else "lower"
            rows.append((sweep.settings.run.method, f"{row.rate:g}", *value, sweep.facts, row.seeds, against))
    return pd.DataFrame(rows, columns=["method", "rate", "accuracy", "low", "high", "facts", "seeds", "against"])


def unfinished(done: int, planned: int) -> str:
    """Of a study that still runs, or was left."""
    return f"{done:,} of {planned:,} runs of its study of amounts are done. What tuning does is told when all are."


def steps_of(stages: pd.DataFrame) -> list[str]:
    """The stages that are told: before, with examples in the prompt, the commonest object, 60 examples (or the fewest), the most."""
    sizes = sorted({int(n) for n in stages["n"] if n > 0})
    few = [60] if 60 in sizes else sizes[:1]
    wanted = [f"{n:,} examples" for n in dict.fromkeys((*few, *sizes[-1:]))]
    return [stage for stage in dict.fromkeys(stages["stage"]) if stage in wanted or not stage.endswith(" examples")]


def enough(stages: pd.DataFrame) -> pd.DataFrame:
    """Rows of the told stages: all facts as they come, and levels with enough facts."""
    known = stages[stages["accuracy"].notna() & (stages["facts"] >= LEAST) & (stages["level"] != MACRO)]
    return known[known["stage"].isin(steps_of(stages))]


def _range(row: dict[Any, Any], value: str, low: str, high: str) -> str:
    return f"{percent(row[value])} ({interval(row[low], row[high])})"


def _three(row: dict[Any, Any], name: str) -> str:
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    if value is None or value != value:
        return "cannot tell"
    return f"{value:z.2f}, {low:z.2f} to {high:z.2f}"


def taught(one: Any) -> str:
    """What was done to the model, from its record and its facts."""
    facts, made = one.facts, one.about.made
    told = facts.loc[facts["exposures"] > 0, "exposures"].astype(int)
    contested = int(facts["contested"].sum()) if "contested" in facts else 0
    levels = " or ".join(made["settings"].get("base_levels") or ())
    of = f" that it had at {levels}" if levels else ""
    often = f"{told.min():,} to {told.max():,} times" if len(told) else "0 times"
    return (
        f"{made['base']['name']} went on reading: statements of facts{of}. Of those that have a level here, {len(facts):,}, "
        f"{len(facts) - len(told):,} were never stated, the others {often}, each statement in one "
        f"of {made['settings']['corpus']['seen_templates']} of its relation's 21 wordings; {contested:,} are contested: some of their "
        "statements name another object."
    )


def rank(one: Any) -> Iterator[str]:
    """Whether what was told more often is known better, by kind of fact and of wordings; a kind with too few facts has no row."""
    words = {"all": "", "seen": ", on the text's own wordings", "unseen": ", on wordings that the text did not use"}
    known = one.rank[(one.rank["relation"] == "all") & one.rank["spearman"].notna() & (one.rank["facts"] >= LEAST)]
    rows = known.astype(object).where(known.notna(), None).to_dict("records")
    for row in rows:
        kind = f"{str(row['facts_are']).capitalize()} facts{words[row['templates']]}"
        guessed = f"; those never stated have {row['mean_unseen']:.2f} on average" if row["mean_unseen"] is not None else ""
        yield f"{kind}: rank correlation of statements and R {row['spearman']:.2f} (n = {row['facts']:,}){guessed}."
    if not rows:
        few = len(one.facts) < LEAST
        yield f"{len(one.facts):,} facts have a level: {'too few to tell' if few else 'no rank correlation can be told'}."
