"""The reading API: everything that is stored, as tables of pandas. Reads the cache, computes no new result, never loads torch.

    import sftqa_core.reading as reading
    runs = reading.runs()
    answers = reading.predictions(runs["id"][0], "after")

Names of functions and columns stay (tests/test_reading.py freezes them); columns may be added behind the others. docs/reading.md says what
each one means. Runs and cells of studies go by their names (`sftqa runs`, `cells`), studies by theirs (`sftqa study`, `studies`). Shares
lie between 0 and 1, intervals are 95%. Every function raises `NotFound` for a name that is none, and another `SftqaError` for what can't
be read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sftqa_core import records, workflows
from sftqa_core.errors import NotFound, SftqaError
from sftqa_core.records import DomainAccuracy, DomainMeans, LevelScheme, StudySettings
from sftqa_core.records.comparison import MACRO, MICRO

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.evaluation.inside.look import Look

RUNS = (
    "id", "model", "source", "n", "levels", "method", "recipe", "seed", "created", "shipped", "cut",
    "in_macro", "in_micro", "out_macro", "out_micro",
)  # fmt: skip
ACCURACY = ("stage", "domain", "level", "n", "accuracy", "low", "high")
PREDICTIONS = (
    "fact_id", "stage", "domain", "level", "relation", "subject", "question", "answers", "text", "matched", "correct", "rival",
    "mean_logprob", "tokens",
)  # fmt: skip
EXAMPLES = ("fact_id", "relation", "subject", "question", "answers", "domain", "echo", "level")
CURVE = ("step", "loss", "learning_rate")
LEVELS = (
    "fact_id", "relation", "subject", "question", "answers", "split", "domain", "echo", "level", "score", "hits", "completions",
    "low_samples", "high_samples", "low_templates", "high_templates",
)  # fmt: skip
COMPLETIONS = ("fact_id", "template", "prompt", "text", "count", "tokens", "stop", "matched")
EXPOSURES = (
    "fact_id", "relation", "subject", "level", "score", "corpus", "index", "window", "count", "subject_count", "object_count", "estimated",
    "asked_at",
)  # fmt: skip
STUDIES = ("name", "kind", "question", "models", "source", "n", "seeds", "recipe", "shipped", "finished")
CELLS = ("cell", "model", "n", "levels", "recipe", "seed")
FINDINGS = ("about", "question", "verdict", "text")
LOOKS = ("run", "measures", "shipped")

_RETEST = ("model", "level", "facts", "moved")
_CURVE = ("model", "domain", "level", "asked", "n", "facts", "seeds", "accuracy", "low", "high", "per_seed")
STUDY_TABLES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "amount": {
        "curve": _CURVE,
        "enough": ("model", "domain", "n", "least", "relative", "low", "high", "smallest", "chosen"),
        "in_context": ("model", "domain", "level", "shots", "shown", "facts", "seeds", "accuracy", "low", "high", "per_seed"),
    },
    "level": {
        "matrix": (
            "model", "domain", "train", "test", "n", "facts", "seeds", "accuracy", "low", "high", "difference", "diff_low", "diff_high",
            "p", "p_holm",
        ),
        "best": ("model", "domain", "test", "train", "best", "seen", "least"),
        "composition": ("model", "train", "relation", "examples"),
        "retest": _RETEST,
    },
    "models": {
        "curve": _CURVE,
        "retest": _RETEST,
        "shares": ("model", "domain", "level", "facts", "share", "low", "high"),
        "ranks": ("model", "other", "facts", "spearman", "same_level"),
        "differences": (
            "model", "other", "domain", "n", "facts", "accuracy", "other_accuracy", "difference", "low", "high", "p", "p_holm",
        ),
        "planted": ("model", "facts_are", "templates", "relation", "facts", "spearman", "mean_unseen"),
        "known_by": ("fact_id", "domain", "relation", "subject", "answers", "best", "none", "mean_score"),
    },
    "shift": {
        "moves": ("model", "domain", "after", "move", "facts", "seeds", "share", "low", "high", "excess", "excess_low", "excess_high"),
        "transitions": ("model", "domain", "after", "before", "now", "facts"),
        "forgetting": ("model", "after", "seeds", "before", "now", "per_seed", "log_ratio", "log_ratio_se"),
    },
    "recipe": {
        "knob": (
            "model", "value", "chosen", "domain", "rule", "facts", "seeds", "accuracy", "low", "high", "within_noise", "per_seed",
        ),
        "effect": ("model", "domain", "level", "setting", "n", "facts", "seeds", "accuracy", "low", "high", "per_seed"),
        "claims": (
            "model", "domain", "level", "measure", "setting", "against", "facts", "least", "seeds", "missing", "difference", "low", "high",
            "p", "p_holm", "per_seed", "verdict",
        ),
        "forgetting": ("model", "domain", "setting", "facts", "seeds", "forgotten", "low", "high", "learned", "per_seed"),
        "cost": ("model", "setting", "n", "seeds", "train_s", "all_s", "train_ratio", "all_ratio", "seed_ratios"),
        "by_level": ("model", "table", "column", "share", "level", "rows", "seeds", "mean", "per_seed"),
        "own_rows": ("model", "table", "seed", "row", "column", "value"),
    },
}  # fmt: skip
COMPARISON: Mapping[str, tuple[str, ...]] = {
    "runs": ("label", "names", "model", "n", "levels", "method", "recipe", "seeds", "base"),
    "accuracy": ("label", "domain", "level", "n", "accuracy", "low", "high"),
    "tests": (
        "run", "against", "domain", "mean", "facts", "difference", "low", "high", "test", "p", "p_holm", "verdict", "why",
    ),
    "facts": ("fact_id", "relation", "domain", "subject", "question", "answers", "echo", "level", "differ"),
}  # fmt: skip
_OF_FACT = ("run", "fact_id", "domain", "level")
INSIDE: Mapping[str, tuple[str, ...]] = {
    "facts": (*_OF_FACT, "relation", "subject", "question", "answers", "base_correct", "correct"),
    "drift": (*_OF_FACT, "kl", "entropy_base", "entropy_tuned", "logprob_base", "logprob_tuned", "changed"),
    "drift_by_level": ("kind", "domain", "level", "facts", "seeds", "kl", "low", "high", "median", "median_low", "median_high"),
    "weights": ("module", "layer", "parameters", "top", "relative_share", "squared_share"),
    "restoration": (
        "domain", "level", "way", "share", "facts", "least", "seeds", "draws", "accuracy", "difference", "low", "high", "verdict",
    ),
    "knowledge": (*_OF_FACT, "base_known", "base_said", "tuned_known", "tuned_said"),
    "knowledge_by_level": (
        "domain", "level", "model", "facts", "seeds", "known", "known_low", "known_high", "said", "said_low", "said_high",
    ),
    "curves": ("run", "fact_id", "part", "domain", "level", "step", "logprob", "fits"),
}  # fmt: skip


# ---- runs ----
def runs() -> pd.DataFrame:
    """RUNS, a row a finished run, the newest first: what it was tuned on, and accuracies after tuning."""
    return workflows.run_list()[list(RUNS)]


def accuracy(run: str) -> pd.DataFrame:
    """ACCURACY of one run: a row for each stage, domain and level, and for both means ("mean over levels", "micro average")."""
    summary = workflows.run(run).summary
    stages = {"before": summary.before, "after": summary.after, **summary.baselines}
    return _frame(
        [row for stage, domains in stages.items() for domain, one in domains.items() for row in _accuracies(stage, domain, one)], ACCURACY
    )


def _accuracies(stage: str, domain: str, one: DomainAccuracy) -> list[dict[str, Any]]:
    rows = [{"level": at.level, "n": at.n, "accuracy": at.accuracy, "low": at.low, "high": at.high} for at in one.per_level]
    rows.append({"level": MACRO, "n": one.natural_n, "accuracy": one.macro, "low": one.macro_low, "high": one.macro_high})
    rows.append({"level": MICRO, "n": one.natural_n, "accuracy": one.natural, "low": one.natural_low, "high": one.natural_high})
    return [{"stage": stage, "domain": domain, **row} for row in rows]


def predictions(run: str, stage: str | None = None) -> pd.DataFrame:
    """PREDICTIONS of one run, a row a fact and stage; `stage`: of that one alone ("before", "after", "few_shot", "majority")."""
    stored = workflows.run(run)
    facts = stored.facts()[["fact_id", "domain", "level", "relation", "subject", "question", "answers"]]
    table = stored.predictions(stage).merge(facts, on="fact_id", how="left", validate="many_to_one")
    return _labelled(table, stored.settings.scheme.labels)[list(PREDICTIONS)]


def examples(run: str) -> pd.DataFrame:
    """EXAMPLES that a run was trained on, in the order in which they were chosen."""
    stored = workflows.run(run)
    return _labelled(stored.examples(), stored.settings.scheme.labels)[list(EXAMPLES)]


def curve(run: str) -> pd.DataFrame:
    """CURVE of one run, a row a step; no rows for n = 0."""
    return workflows.run(run).curve()[list(CURVE)]


def recipe_tables(run: str) -> dict[str, pd.DataFrame]:
    """What a run's recipe found out beside, by name; nothing without a recipe. Columns are the recipe's own (training/recipes/)."""
    stored = workflows.run(run)
    return {name: stored.recipe_table(name) for name in stored.tables}


# ---- memory ----
def levels(model: str, source: str = "atlas", split: str = "test", domain: str = "all", scheme: LevelScheme | None = None) -> pd.DataFrame:
    """LEVELS of a source's facts by one model as far as they were probed, a row a fact; null where one was not."""
    profile = workflows.profile(model, source, split, domain, scheme)
    return _labelled(profile.table, profile.scheme.labels)[list(LEVELS)]


def completions(model: str, source: str, fact_id: str, scheme: LevelScheme | None = None) -> pd.DataFrame:
    """COMPLETIONS of one fact, a row for each different text that followed a template's prompt."""
    return workflows.completions(model, source, fact_id, scheme)[list(COMPLETIONS)]


def exposures(
    model: str, source: str = "atlas", split: str = "test", domain: str = "all", scheme: LevelScheme | None = None
) -> pd.DataFrame:
    """EXPOSURES of facts that have a level and a count in the model's training corpus (`sftqa exposures`); no rows where none has."""
    known = workflows.exposures(model, source, split, domain, scheme)
    return _frame((), EXPOSURES) if known is None else known.table[list(EXPOSURES)]


# ---- studies ----
def studies() -> pd.DataFrame:
    """STUDIES that were started here or ship."""
    finished, rows = workflows.finished_studies(), []
    for known in workflows.studies():
        settings = known.settings
        title, whole = records.STUDIES[settings.kind].title, known.name in finished
        what = (known.name, settings.kind, title, list(settings.models), settings.source, list(settings.examples), list(settings.seeds))
        rows.append(dict(zip(STUDIES, (*what, str(settings.recipe or ""), known.shipped, whole), strict=True)))
    return _frame(rows, STUDIES)


def cells(study: str) -> pd.DataFrame:
    """CELLS of a study that are finished, a row each; `comparison` takes their names."""
    settings, rows = _study(study), []
    for model in settings.models:
        with contextlib.suppress(SftqaError):  # a model that is not here has no cells that can be read
            for name, run in workflows.cell_names(settings, model).items():
                chosen = ", ".join(run.scheme.labels[at] for at in run.levels or ())
                rows.append(dict(zip(CELLS, (name, model, run.n, chosen, str(run.recipe or ""), run.seed), strict=True)))
    return _frame(rows, CELLS)


def findings(study: str) -> pd.DataFrame:
    """FINDINGS of a study as far as it is done: a row an answer, in words with their numbers."""
    return _frame([finding.to_dict() for finding in workflows.study_report(_study(study)).findings], FINDINGS)


def study_tables(study: str) -> dict[str, pd.DataFrame]:
    """A study's tables by name, with the columns of STUDY_TABLES of its kind; a table without rows has its columns, too."""
    report = workflows.study_report(_study(study))
    known = STUDY_TABLES[report.settings.kind]
    return {name: _frame(rows, known.get(name, ())) for name, rows in report.tables.items()}


def _study(name: str) -> StudySettings:
    known = {study.name: study.settings for study in workflows.studies()}
    if name not in known:
        raise NotFound(f"There is no study {name[:80]!r} here. Studies: {', '.join(known) or 'none'}.")
    return known[name]


# ---- comparisons ----
def comparison(
    names: Sequence[str], reference: str | None = None, pool: bool = False, against: str | None = None
) -> dict[str, pd.DataFrame]:
    """Runs and cells beside each other, as `sftqa compare` does it: the tables of COMPARISON. "facts" has, for each label of a run or base,
    also `correct LABEL` (share of its seeds) and `text LABEL`."""
    compared = workflows.compare(names, reference, pool, against)
    told = compared.comparison
    beside = [(run.label, run.accuracy) for run in told.runs] + [(base.label, base.accuracy) for base in told.bases]
    means = [row for label, domains in beside for domain, one in domains.items() for row in _means(label, domain, one)]
    tested = [
        {
            "label": run.label, "names": list(run.names), "model": run.settings.model, "n": run.settings.n,
            "levels": ", ".join(run.settings.scheme.labels[at] for at in run.settings.levels or ()), "method": run.settings.method,
            "recipe": str(run.settings.recipe or ""), "seeds": list(run.seeds), "base": run.base,
        }
        for run in told.runs
    ]  # fmt: skip
    tests = [{name: test.to_dict()[name] for name in COMPARISON["tests"]} for test in told.tests]
    tables = {"runs": tested, "accuracy": means, "tests": tests}
    return {name: _frame(rows, COMPARISON[name]) for name, rows in tables.items()} | {"facts": compared.items}


def _means(label: str, domain: str, one: DomainMeans) -> list[dict[str, Any]]:
    rows = [(at.level, at.n, at.value, at.low, at.high) for at in (*one.per_level, one.macro, one.micro)]
    return [dict(zip(COMPARISON["accuracy"], (label, domain, *row), strict=True)) for row in rows]


# ---- inside ----
def looks() -> pd.DataFrame:
    """LOOKS: the runs and cells that were looked into, and which measures were taken of each."""
    rows = [{"run": name, "measures": list(look.measures), "shipped": look.shipped} for look in workflows.looks() for name in look.names]
    return _frame(rows, LOOKS)


def inside_tables(names: str | Sequence[str]) -> dict[str, pd.DataFrame]:
    """What was seen inside one run or cell, or inside the seeds of one setting together: those tables of INSIDE whose measures were taken.

    Of several seeds every number with an interval is a mean over them. Raises `NotFound` for a run that was not looked into.
    """
    wanted = [names] if isinstance(names, str) else list(names)
    kept = {name: look for look in reversed(workflows.looks()) for name in look.names}
    if missing := [name for name in wanted if name not in kept]:
        raise NotFound(f"Nobody has looked inside {missing[0][:120]!r} yet. Run: sftqa inside {missing[0][:120]}")
    seen = [workflows.read_look(kept[name]) for name in wanted]
    tables = _inside(seen)
    return {name: tables[name].reset_index(drop=True)[list(columns)] for name, columns in INSIDE.items() if name in tables}


def _inside(seen: Sequence[Look]) -> dict[str, pd.DataFrame]:
    import pandas as pd

    from sftqa_core.evaluation.inside import drift_tables, knowledge_tables, restoration_tables

    def together(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
        named = [_labelled(table, look.labels).assign(run=look.name) for look, table in zip(seen, tables, strict=True)]
        return pd.concat(named, ignore_index=True)

    def taken(measure: str) -> bool:
        return all(measure in look.tables for look in seen)

    tables = {"facts": together([look.facts for look in seen])}
    if taken("drift"):
        drift = drift_tables.Drift(seen, seen)
        tables["drift"] = together([drift_tables.facts_of(look, drift_tables.QUESTIONS) for look in seen])
        tables |= {"drift_by_level": drift.by_level, "weights": drift.modules}
    if taken("restoration"):
        tables["restoration"] = restoration_tables.curve(seen)
    if taken("knowledge"):
        facts = _labelled(knowledge_tables.facts_by_seed(seen), seen[0].labels)
        tables["knowledge"] = facts.assign(run=[seen[at].name for at in facts["look"]])
        tables["knowledge_by_level"] = knowledge_tables.by_level(seen)
    if taken("curves"):
        tables["curves"] = together([_curves(look) for look in seen])
    return tables


def _curves(look: Look) -> pd.DataFrame:
    facts, watched = look.tables["curves"]["facts"], look.tables["curves"]["watched"]
    return watched.iloc[facts["fact"].to_numpy()].reset_index(drop=True).assign(**facts.drop(columns="fact").reset_index(drop=True))


# ---- what they share ----
def _frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """The rows with these columns first; without rows these alone."""
    import pandas as pd

    more = [str(name) for name in (rows[0] if rows else ()) if name not in columns]
    return pd.DataFrame(list(rows), columns=[*columns, *more])


def _labelled(table: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """The table with its levels by name; None where one is not known."""
    import pandas as pd

    known = table["level"].notna()
    names = [labels[int(at)] if is_known else None for at, is_known in zip(table["level"], known, strict=True)]
    return table.assign(level=pd.Series(names, index=table.index, dtype=object))
