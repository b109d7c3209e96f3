"""Predictions before and after, side by side: what was gained, lost and kept (after Ren 2024)."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from sftqa_core.figures.levels import level_names

CHANGES = ("gained", "lost", "kept", "still wrong")


def change_table(predictions: pd.DataFrame, facts: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """One row a test fact: change, level, domain, relation, subject, answers (str), before, after, echo, fact_id.

    `predictions` is a run's predictions table (stages "before" and "after" are used), `facts` its levels table with the
    fact columns joined; level is "unknown" where a fact was not probed. Greedy decoding has no chance in it, so an
    untouched model would change nothing.
    """
    stages = {name: part.set_index("fact_id") for name, part in predictions.groupby("stage")}
    before, after = (stages[stage][["text", "correct"]].add_suffix(f"_{stage}") for stage in ("before", "after"))
    both = before.join(after, how="inner")
    table = facts.set_index("fact_id").join(both, how="inner").reset_index()
    was, now = table["correct_before"].astype(bool), table["correct_after"].astype(bool)
    change = pd.Series("still wrong", index=table.index).mask(was & now, "kept").mask(was & ~now, "lost").mask(~was & now, "gained")
    level = level_names(table["level"], labels, "unknown")
    return pd.DataFrame(
        {
            "change": change,
            "level": level,
            "domain": table["domain"],
            "relation": table["relation"],
            "subject": table["subject"],
            "answers": table["answers"].map(lambda answers: " | ".join(map(str, answers))),
            "before": table["text_before"].astype(str).str.strip(),
            "after": table["text_after"].astype(str).str.strip(),
            "echo": table["echo"].astype(bool) if "echo" in table else False,
            "fact_id": table["fact_id"],
        }
    )


def change_counts(table: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Rows: levels that occur; columns: gained, lost, kept, still wrong (facts)."""
    counts = pd.crosstab(table["level"], table["change"])
    order = [label for label in (*labels, "unknown") if label in counts.index]
    return counts.reindex(index=order, columns=list(CHANGES), fill_value=0)
