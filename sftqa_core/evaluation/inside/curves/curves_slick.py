"""SliCK's measures of a training: what fitted examples do to dev accuracy, and train level by test level. Loads no model.

The published numbers (METHOD 9) are from arXiv 2405.05904: PaLM 2-M, 6,142 examples, full fine-tuning. A look is there one of 50 epochs,
and "unknown" are examples of its level Unknown; here they are those of the lowest level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sftqa_core.artifacts import Kept
from sftqa_core.evaluation import intervals
from sftqa_core.evaluation.inside.curves.curves_grids import ALL, Grids, curves_of, grids_of, watched_runs
from sftqa_core.evaluation.inside.look import Look
from sftqa_core.evaluation.inside.sentences import Sentence, Weight, compared, side
from sftqa_core.evaluation.intervals import ALPHA, DRAWS, LEAST
from sftqa_core.records import DOMAIN_NAMES, DOMAINS
from sftqa_core.records.amounts import points

if TYPE_CHECKING:
    import pandas as pd

CANNOT_TELL = "cannot tell"
LEAST_SETTINGS = 8  # below which drawing settings anew says nothing of how a coefficient varies
LEAST_FITTED, _FITTED = 3, 0.05  # settings in which unknown examples of this share of all are fitted: fewer would decide by themselves
_ASKED = 4  # what known and what unknown examples do, in both domains: claims are corrected for that (Bonferroni)
_SINGULAR = 0.05  # share of resamples in which a regression may have no answer
PAPER = "arXiv 2405.05904, PaLM 2-M"
COEFFICIENTS = ("base", "known", "unknown")
_REGRESSION = {"in": ((36.9, 7.3, -8.3), 0.86), "out": ((36.2, 3.2, -3.0), 0.95)}  # domain -> coefficients in points, R2
STOPS = ("early stop", "convergence")
TESTS = ("all", "HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown")
_TRAIN_BY_TEST = {  # train level -> accuracy by test level in per cent, at early stop and at convergence
    "HighlyKnown": ((40.5, 98.7, 60.1, 9.0, 0.6), (40.0, 98.4, 58.8, 8.5, 0.7)),
    "MaybeKnown": ((43.6, 98.4, 69.9, 12.1, 1.0), (43.2, 97.5, 68.2, 12.9, 1.3)),
    "WeaklyKnown": ((39.2, 95.0, 59.2, 8.6, 0.4), (35.4, 73.5, 55.8, 17.2, 2.2)),
    "Unknown": ((37.5, 95.6, 52.9, 6.5, 0.6), (25.8, 55.8, 36.6, 12.2, 3.2)),
    "natural": ((43.5, 98.0, 67.6, 14.1, 1.8), (41.8, 95.5, 61.7, 14.8, 2.5)),
}


def published_regression() -> pd.DataFrame:
    """domain, coefficient, value (a share: 0.073 is 7.3 points), r2."""
    import pandas as pd

    rows = [
        (domain, name, value / 100, r2)
        for domain, (values, r2) in _REGRESSION.items()
        for name, value in zip(COEFFICIENTS, values, strict=True)
    ]
    return pd.DataFrame(rows, columns=["domain", "coefficient", "value", "r2"])


def published_train_by_test() -> pd.DataFrame:
    """stop, train, test, accuracy (a share): test "all" is the full test set as it comes."""
    import pandas as pd

    rows = [
        (stop, train, test, value / 100)
        for train, both in _TRAIN_BY_TEST.items()
        for stop, values in zip(STOPS, both, strict=True)
        for test, value in zip(TESTS, values, strict=True)
    ]
    return pd.DataFrame(rows, columns=["stop", "train", "test", "accuracy"])


@dataclass(frozen=True, eq=False)
class Regression:
    """Dev accuracy = base + known x share of all training examples that are known and fit + unknown x share that are unknown and fit,
    over the looks after step 0 of several runs; unknown: of the lowest level. Intervals: settings are drawn anew, all seeds of
    one together, since seeds are alike."""

    # domain, coefficient, value; low and high (95%); least and most (corrected for the questions asked, which claims need); facts (dev
    # facts of a run, at least); r2. Empty with a reason
    table: pd.DataFrame
    settings: int
    runs: int
    looks: int
    reason: str = ""  # why it can't be told


_found: Kept[Regression] = Kept(16)  # by looks: words and chart both show it


def regression(looks: Sequence[Look]) -> Regression:
    """Over all watched runs of one base model."""
    return _found.get(tuple(looks), lambda: _regression(looks))


def _regression(looks: Sequence[Look]) -> Regression:
    import pandas as pd

    lowest = looks[0].labels[0] if looks else ""
    seeds: dict[str, list[_Design]] = {}
    for look in watched_runs(looks):
        if (design := _design(grids_of(look), lowest)) is not None:
            seeds.setdefault(replace(look.settings, seed=0).fingerprint(), []).append(design)
    parts = [_together(designs) for designs in seeds.values()]
    counts = (len(parts), sum(map(len, seeds.values())), sum(len(x) for x, _, _ in parts))
    empty = pd.DataFrame(columns=["domain", "coefficient", "value", "low", "high", "least", "most", "facts", "r2"])
    if reason := _why_not(parts, lowest):
        return Regression(empty, *counts, reason)
    rows = []
    for at, domain in enumerate(DOMAINS):
        facts = min(sizes[at] for _, _, sizes in parts)
        if not facts:
            continue
        fit = _fit([(x, y[:, at]) for x, y, _ in parts])
        if fit is None:
            return Regression(empty, *counts, "too many of the resamples leave known and unknown examples inseparable")
        values, ends, r2 = fit
        rows += [(domain, name, value, *pair, facts, r2) for name, value, pair in zip(COEFFICIENTS, values, ends, strict=True)]
    return Regression(pd.DataFrame(rows, columns=empty.columns), *counts)


_Design = tuple[np.ndarray, np.ndarray, tuple[int, ...]]  # [looks, 3], dev accuracy [looks, domains], dev facts by domain


def _design(run: Grids, lowest: str) -> _Design | None:
    """None for a run none of whose examples has a level."""
    after = run.after
    examples = (run.facts["part"] == "train").to_numpy() & run.facts["level"].notna().to_numpy()
    if not examples.any() or not after:
        return None
    unknown = (run.facts["level"] == lowest).to_numpy()[examples]
    fits = run.fits[examples][:, after]
    known_share, unknown_share = (fits[chosen].sum(axis=0) / len(fits) for chosen in (~unknown, unknown))
    dev = [((run.facts["part"] == "dev") & (run.facts["domain"] == domain)).to_numpy() for domain in DOMAINS]
    right = [run.fits[chosen][:, after].mean(axis=0) if chosen.any() else np.full(len(after), np.nan) for chosen in dev]
    x = np.column_stack([np.ones(len(after)), known_share, unknown_share])
    return x, np.column_stack(right), tuple(int(chosen.sum()) for chosen in dev)


def _together(seeds: Sequence[_Design]) -> _Design:
    """The runs of one setting; dev facts of the one with the fewest."""
    xs, ys, sizes = zip(*seeds, strict=True)
    return np.concatenate(xs), np.concatenate(ys), tuple(map(min, zip(*sizes, strict=True)))


def _why_not(parts: Sequence[_Design], lowest: str) -> str:
    if len(parts) < LEAST_SETTINGS:
        have = f"setting{' has' if len(parts) == 1 else 's have'} learning curves on this base model"
        return f"too few settings: {len(parts)} {have}, seeds of one counted once, {LEAST_SETTINGS} are needed"
    x = np.concatenate([rows for rows, _, _ in parts])
    for at, what in ((1, f"above {lowest}"), (2, f"at {lowest}")):
        if not x[:, at].any():
            return f"no training example {what} was ever fitted"
    fitted = sum(bool(rows[:, 2].max() >= _FITTED) for rows, _, _ in parts)
    if fitted < LEAST_FITTED:
        return (
            f"{fitted} of {len(parts)} settings fitted unknown examples ({_FITTED:.0%} of the training set or more), "
            f"{LEAST_FITTED} are needed; more epochs fit them"
        )
    if np.linalg.matrix_rank(x) < 3:
        return "known and unknown examples were always fitted together: runs on single levels would part them"
    return ""


def _fit(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, list[tuple[float, float, float, float]], float] | None:
    """Coefficients, the ends of both intervals of each, R2, of the looks of each setting; None where too many resamples have no answer."""
    squares, products = np.stack([x.T @ x for x, _ in parts]), np.stack([x.T @ y for x, y in parts])
    values = np.linalg.solve(squares.sum(axis=0), products.sum(axis=0))
    rng = np.random.default_rng(0)
    weights = rng.multinomial(len(parts), np.full(len(parts), 1 / len(parts)), size=DRAWS)
    left, right = np.tensordot(weights, squares, 1), weights @ products
    solved = np.linalg.cond(left) < 1e10
    if solved.mean() < 1 - _SINGULAR:
        return None
    drawn = np.linalg.solve(left[solved], right[solved][..., None])[..., 0]
    ends = [(*intervals.percentiles(column), *intervals.percentiles(column, ALPHA / _ASKED)) for column in drawn.T]
    x, y = (np.concatenate(rows) for rows in zip(*parts, strict=True))
    around = float(((y - y.mean()) ** 2).sum())
    r2 = 1 - float(((y - x @ values) ** 2).sum()) / around if around else 0.0
    return values, ends, r2


def train_by_test(looks: Sequence[Look]) -> pd.DataFrame:
    """Runs on one level, or on facts as they come ("natural"), as SliCK's table has them: stop, train, test, facts, seeds, accuracy.

    Accuracy is the share of dev facts that fit, at the look with the most of them (early stop) and at the last one (convergence); test
    "all" is the mean over levels, as dev facts are watched equally many a level.
    """
    import pandas as pd

    groups: dict[tuple[Any, ...], list[Look]] = {}
    for look in watched_runs(looks):
        run = look.settings
        if run.levels is None or len(run.levels) == 1:
            groups.setdefault((run.levels, run.n, run.epochs, run.method, run.learning_rate), []).append(look)
    rows = []
    for (levels, *_), seeds in groups.items():
        curves = curves_of(seeds)
        assert curves is not None
        train = "natural" if levels is None else curves.labels[levels[0]]
        share = {level: curves.fits[curves.where("dev", level)] for level in curves.levels()}
        if not len(share[ALL]):
            continue
        best = int(share[ALL].mean(axis=0)[1:].argmax()) + 1
        for stop, at in (("early stop", best), ("convergence", -1)):
            for level, fits in share.items():
                rows += [(stop, train, level, seeds[0].settings.n, len(fits), curves.seeds, float(fits[:, at].mean()))] if len(fits) else []
    return pd.DataFrame(rows, columns=["stop", "train", "test", "n", "facts", "seeds", "accuracy"])


def regression_sentences(found: Regression) -> list[Sentence]:
    """One sentence a domain on what fitted unknown examples cost, or why that can't be told."""
    if found.reason:
        return [Sentence(f"What fitted unknown examples do to dev accuracy: {CANNOT_TELL}, {found.reason}.", Weight.OPEN)]
    told = []
    for domain, rows in found.table.groupby("domain", sort=False):
        if rows["facts"].iloc[0] < LEAST:
            told.append(too_few(f"What fitted unknown examples do to {DOMAIN_NAMES[str(domain)]} dev accuracy", int(rows["facts"].iloc[0])))
            continue
        asked = rows[rows["coefficient"] != "base"].to_dict("records")
        sides = [side((row["low"], row["high"]), (row["least"], row["most"])) for row in asked]
        about = f"{DOMAIN_NAMES[str(domain)].capitalize()} dev accuracy, {found.settings} settings ({found.runs} runs)"
        told.append(compared(int(any(sides)), f"{about}: {'; '.join(map(_effect, asked, sides))}."))
    return told


def _effect(row: dict[Any, Any], where: int) -> str:
    verdict = {1: "it rises with them", -1: "it falls with them", 0: CANNOT_TELL}[where]
    return f"{row['coefficient']} examples fitted {points(row['value'])} points ({points(row['low'])} to {points(row['high'])}), {verdict}"


def too_few(what: str, facts: int) -> Sentence:
    """A sentence on a question that too few facts stand behind."""
    return Sentence(f"{what}: {CANNOT_TELL}, too few facts ({facts:,}).", Weight.OPEN)
