"""What if? A recipe beside plain tuning, beside its controls, and beside what chance alone does (METHOD sections 8.5, 8.9).

1. On dev facts: the recipe's main setting (its knob) at each value that is tried, with each seed. The best value is chosen by the mean
   over levels, or by the micro average where a level holds no dev fact, before any test fact is asked.
2. On test facts: plain tuning, plain tuning with as many other seeds, the recipe at the chosen value, and each of its controls.

"Beats" needs the paired interval over facts and seeds, at the level at which Holm's procedure tests it over all claims of the study, *and*
the same sign in every one of two or more seeds. The same test of plain tuning against itself with other seeds stands beside it, and a claim
must lie beyond the difference that those showed; where that test's interval leaves out 0, beyond its far end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sftqa_core.evaluation.intervals import LEAST
from sftqa_core.jsonrecord import declared
from sftqa_core.records import DOMAIN_NAMES, Finding, StudySettings, TrainSettings
from sftqa_core.records.amounts import points
from sftqa_core.records.studying import BASE, CONTROL, OTHER_SEEDS, PLAIN_TUNING
from sftqa_core.studies import recipe_tables, statistics
from sftqa_core.studies.recipe_tables import ACCURACY, FORGOTTEN, is_beside
from sftqa_core.studies.registry import Choosing, Crossed, Listed, Study, Tables
from sftqa_core.studies.statistics import MACRO, NATURAL, NO, OPEN, YES, Outcomes, Row

CLEARLY = 0.1  # share of the time by which a training is called longer or shorter


# ---- which runs ----
def tried_runs(settings: StudySettings, model: str) -> dict[str, list[TrainSettings]]:
    """On dev facts: each value with each seed."""
    return {name: [settings.tried_run(model, seed, name) for seed in settings.seeds] for name in settings.values}


def compared_runs(settings: StudySettings, model: str, chosen: str) -> dict[str, list[TrainSettings]]:
    """On test facts, by name, in the order of seeds; the untouched model has one run, and a control one of each seed."""
    assert settings.recipe is not None
    n = settings.examples[0]
    recipe_runs = [settings.tried_run(model, seed, chosen) for seed in settings.seeds]
    runs = {
        BASE: [settings.run(model, 0, settings.seeds[0])],
        PLAIN_TUNING: [settings.run(model, n, seed) for seed in settings.seeds],
        OTHER_SEEDS: [settings.run(model, n, seed) for seed in settings.other_seeds],
        settings.recipe.title: recipe_runs,
    }
    for run in recipe_runs:
        for name, control in run.recipe.controls(run).items() if run.recipe else ():
            runs.setdefault(f"{CONTROL}{name}", []).append(control)
    return runs


# ---- in words ----
def recipe_findings(outcomes: Sequence[Outcomes], tables: Tables) -> Iterator[Finding]:
    """Does it beat plain tuning, and its controls? At which levels? What would chance do, what does it cost, what is forgotten?"""
    known, costs = tables["claims"], tables["cost"]
    for part in outcomes:
        values = statistics.rows_of(tables["knob"][tables["knob"]["model"] == part.model])
        if any(row["chosen"] for row in values):
            yield _knob_finding(part, values)
        for _, rows in statistics.groups_of(known[known["model"] == part.model], "domain"):
            about = f"{part.model}, {DOMAIN_NAMES[rows[0]['domain']]}"
            pairs = dict.fromkeys((row["setting"], row["against"]) for row in rows)
            trained = {row["setting"]: row["n"] for row in statistics.rows_of(tables["effect"]) if row["model"] == part.model}
            for pair in pairs:
                own = [row for row in rows if (row["setting"], row["against"]) == pair]
                chance = [row for row in rows if row["setting"] == OTHER_SEEDS]
                yield from _pair_findings(about, own, chance, part.scheme.labels, trained)
        for row in statistics.rows_of(costs[costs["model"] == part.model]):
            if not is_beside(row["setting"]) and row["train_ratio"]:
                yield _cost_finding(part.model, row)


def _pair_findings(
    about: str, rows: Sequence[Row], chance: Sequence[Row], labels: Sequence[str], trained: Mapping[str, float]
) -> Iterator[Finding]:
    """Of one pair in one domain: the headline, the levels, and what is forgotten. `trained`: examples by setting."""
    first, second = rows[0]["setting"], rows[0]["against"]
    answers = [row for row in rows if row["measure"] == ACCURACY]
    headline = next((row for row in answers if row["level"] == MACRO), None) or next(row for row in answers if row["level"] == NATURAL)
    if first == OTHER_SEEDS:
        question = "Does chance alone do as much? Plain tuning with other seeds against plain tuning"
        yield Finding(about, question, headline["verdict"], _change(headline))
        return
    beside = next((row for row in chance if (row["measure"], row["level"]) == (ACCURACY, headline["level"])), None)
    same = f" Plain tuning with other seeds, by the same test: {_change(beside, short=True)}" if beside else ""
    if beside and (reach := recipe_tables.chance_reach(*(beside[key] for key in ("difference", "low", "high")))):
        why = "" if beside["low"] <= 0 <= beside["high"] else " So the test calls chance a difference here."
        same += f"{why} A claim must lie beyond {100 * reach:.1f} points."
    if trained[first] != trained[second]:
        same += f" Trained on {trained[first]:,.0f} examples against {trained[second]:,.0f}."
    yield Finding(about, f"Does {first} beat {_called(second)}?", headline["verdict"], f"{_change(headline)}{same}")
    by_level = [row for row in answers if row["level"] in labels]
    if by_level:
        yield _levels_finding(about, f"At which levels does {first} beat {_called(second)}?", by_level)
    lost = next((row for row in rows if row["measure"] == FORGOTTEN), None)
    if lost and second == PLAIN_TUNING:
        text = f"Of {lost['facts']:,} facts that the base model answers rightly, the share that is wrong afterwards differs by "
        text += _change(lost, short=True)
        yield Finding(about, f"Does {first} forget more than {_called(second)}?", lost["verdict"], text)


def _called(name: str) -> str:
    return f"its control ({name.removeprefix(CONTROL)})" if name.startswith(CONTROL) else name


def _change(row: Row, short: bool = False) -> str:
    """ "Mean over levels: +1.2 points (-0.5 to +2.9; Holm p = 0.400); by seed +1.0, +2.0, +0.6." """
    where = "" if short else f"{'Micro average' if row['level'] == NATURAL else row['level'].capitalize()}: "
    words = f"{where}{statistics.change(row['difference'], row['low'], row['high'], row['p_holm'])}"
    seeds = f"; by seed {', '.join(points(value) for value in row['per_seed'])}" if row["per_seed"] else ""
    missing = f"; {row['missing']} of {row['missing'] + row['seeds']} pairs of seeds are not finished" if row["missing"] else ""
    few = f"; {row['least']:,} facts at the scarcest place are too few to tell" if row["least"] < LEAST else ""
    return f"{words}{seeds}{missing}{few}."


def _levels_finding(about: str, question: str, rows: Sequence[Row]) -> Finding:
    levels_of = {verdict: [row["level"] for row in rows if row["verdict"] == verdict] for verdict in (YES, NO, OPEN)}
    verdict = YES if levels_of[YES] else NO if len(levels_of[NO]) == len(rows) else OPEN
    names = {YES: "better", NO: "worse", OPEN: "cannot tell"}
    text = "; ".join(f"{names[found]}: {', '.join(levels)}" for found, levels in levels_of.items() if levels)
    changes = ", ".join(f"{row['level']} {points(row['difference'])}" for row in rows)
    return Finding(about, question, verdict, f"{text[:1].upper()}{text[1:]}. In points: {changes}.")


def _knob_finding(part: Outcomes, rows: Sequence[Row]) -> Finding:
    """What dev facts chose, and whether they could tell it from the other values."""
    recipe = next((run.recipe for runs in (part.trials.runs.values() if part.trials else ()) for run in runs), None)
    name = declared(type(recipe))[recipe.knob].label if recipe else "Value"
    best = next(row for row in rows if row["chosen"])
    near = [row["value"] for row in rows if row["within_noise"] and not row["chosen"]]
    rule = best["rule"] if best["rule"] == MACRO else "micro average (a level holds no dev fact, so there is no mean over levels)"
    sure = f"{best['accuracy']:.1%} ({best['low']:.1%} to {best['high']:.1%}; {best['facts']:,} dev facts, {best['seeds']} seeds)"
    text = f"{name}: {best['value']} has the highest {DOMAIN_NAMES[best['domain']]} {rule}: {sure}. Test facts were not looked at."
    if near:
        text += f" Not to be told from it: {', '.join(near)}."
    verdict = OPEN if near or len(rows) == 1 else YES
    return Finding(f"{part.model}, dev facts", "Do dev facts tell the chosen value from the others?", verdict, text)


def _cost_finding(model: str, row: Row) -> Finding:
    ratios, ratio = row["seed_ratios"], row["train_ratio"]
    longer, shorter = bool(ratios) and min(ratios) > 1 + CLEARLY, bool(ratios) and max(ratios) < 1 - CLEARLY
    everything = f", {row['all_ratio']:.2f} times with choosing examples and answering" if row["all_ratio"] else ""
    text = f"Its training takes {row['train_s']:.1f} s, {ratio:.2f} times that of plain tuning{everything}."
    verdict = YES if longer else NO if shorter else OPEN
    return Finding(f"{model}, cost", f"Does {row['setting']} train longer than {PLAIN_TUNING}?", verdict, text)


STUDY = Study(
    tables={
        "knob": recipe_tables.knob,
        "effect": recipe_tables.effect,
        "forgetting": recipe_tables.forgetting,
        "cost": recipe_tables.cost,
        "by_level": recipe_tables.by_level,
        "own_rows": recipe_tables.own_rows,
    },
    tables_of_all={"claims": recipe_tables.claims},
    findings=recipe_findings,
    printed=(
        Crossed("knob", ("model", "rule"), "value", "accuracy"),
        Crossed("effect", ("model", "domain", "setting"), "level", "accuracy"),
        Listed(
            "cost",
            {"model": ("model", ""), "setting": ("setting", ""), "train_s": ("training, s", ".1f"), "train_ratio": ("x plain", ".2f")},
        ),
    ),
    papers="A paper's claim is cited with its recipe; nothing of it was measured here.",
    probed_twice=False,
    choosing=Choosing(tried_runs, recipe_tables.choose, compared_runs),
)
