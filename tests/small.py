"""Small fact tables and levels for tests that need no model."""

from __future__ import annotations

import pandas as pd

from sftqa_core.knowledge.facts import FactSource, fact_table, summarise
from sftqa_core.knowledge.relations import builtin_relations, fill


def small_source(train: int = 12, relations: tuple[str, ...] = ("P17", "P19", "P20"), test: int = 6) -> FactSource:
    """`train` train facts in each in-domain relation, `test` test facts in each, and P26 (out of domain) with test facts only."""
    known = builtin_relations()
    rows = []
    for relation in (*relations, "P26"):
        sizes = {"train": train if relation != "P26" else 0, "dev": 3, "test": test, "none": 2}
        for split, count in sizes.items():
            for number in range(count):
                subject = f"Subject {relation} {split} {number}"
                rows.append(
                    {
                        "relation": relation,
                        "subject": subject,
                        "answers": [f"Object{number % 5}"],
                        "question": fill(known[relation].question, subject=subject),
                        "split": split,
                        "domain": known[relation].domain,
                    }
                )
    facts = fact_table(rows, "small")
    return FactSource("small", facts, {name: known[name] for name in (*relations, "P26")}, summarise("small", facts), "f" * 16)


def level_table(facts: pd.DataFrame, levels: dict[str, int] | list[int]) -> pd.DataFrame:
    """A levels table with the two columns that selection and accuracy read."""
    values = [levels[fact] for fact in facts["fact_id"]] if isinstance(levels, dict) else levels
    return pd.DataFrame({"fact_id": facts["fact_id"].to_list(), "level": values})
