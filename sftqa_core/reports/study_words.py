"""What stands under a study's charts and over its tables: the same on its page and in reports. Plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

AMOUNT = "Bars: 95% intervals; each fact is averaged over seeds, then facts are resampled. Small points: single seeds."
NO_MEAN = " A level holds no test facts, so there is no mean over levels."
EFFECT = "Test facts; mean: over levels, micro: over all facts. Bars: 95% intervals; each fact is averaged over seeds, then resampled."
KNOB = "Small points: single seeds. Test facts have no part in this choice."
CLAIMS = (
    "Intervals over facts and seeds, after Holm's correction over all of these. Large signs: a claim, which needs the same sign in "
    "every seed and more than other seeds show, too."
)
FORGETTING = "Lower is better. 1,000 held-out documents, made like the pre-training text."
NO_FINDINGS = "No findings yet: too few runs have finished."
NO_RUNS = "No run of this study has finished yet."
NOTES_TITLE = "How findings are decided, what the papers report, what the models were pre-trained on"
UNTOUCHED = "untouched, probed again"  # what tables call the base model's second probe
ENOUGH_TITLES = {
    "relative": "share of the best", "low": "95% from", "high": "to", "smallest": "smallest within 95%", "chosen": "smallest here",
    "least": "fewest facts of a level", "of": "of which mean",
}  # fmt: skip
COST_TITLES = {
    "setting": "tuned by", "train_s": "training, s", "all_s": "all, s", "train_ratio": "training, × plain", "all_ratio": "all, × plain",
}  # fmt: skip
FORGETTING_TITLES = {"setting": "tuned by", "facts": "right before", "low": "95% from", "high": "to"}
PAIR_TITLES = {"difference": "difference, points", "low": "from", "high": "to"}


def matrix_caption(rows: pd.DataFrame, outlined: bool) -> str:
    """Under a matrix of train and test levels of one model, which has `rows`."""
    best = "Outlined: better than every other row of its column" if outlined else "Nothing is outlined: no row is the best"
    return (
        f"n = {int(rows['n'].iloc[0]):,} examples in every row, {int(rows['seeds'].max())} seeds. {best}, as far as can be told "
        "(with the natural mix; corrected for the number of comparisons). Unshaded differences: cannot tell (Holm's correction)."
    )
