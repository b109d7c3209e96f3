"""`sftqa real`: what is known of the real models whose results come with the program, as the page "Real models" shows it."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from sftqa_core import workflows
from sftqa_core.cli.text import table
from sftqa_core.records import DOMAIN_NAMES

NOTHING = "No real model's results come with this copy. They are measured with: make real MODELS=FOLDER"
SHOWN = {  # table -> its heading
    "levels": "Test facts by memory level, a line for each domain and level",
    "agreement": "How the ways of measuring agree with the full probe",
    "asked": "What the model as it is answers to the facts of each level",
    "majority": "How much is the commonest object",
    "tuned": "Accuracy before, with examples in the prompt, and after tuning (levels with 30 facts or more)",
    "beside_shown": "Tuning less examples in the prompt, facts as they come",
}


def real(options: Namespace) -> dict[str, Any]:
    """Cards, tables and sentences."""
    from sftqa_core.reports import real_words

    found = workflows.real_models()
    tables = dict(found.tables)
    names = [about.name for about in found.models]
    words = {}
    for name in names:
        told = list(real_words.thinly(tables["levels"], name))
        told += [*real_words.agreement(tables["agreement"], name), *real_words.asked(tables["asked"], name)]
        told += [*real_words.majority(tables["majority"], name), *real_words.tuned(tables["beside_shown"], tables["tuned"], name)]
        study = found.studies.get(name)
        told += [] if study and study.finished else [real_words.unfinished(study.done, study.planned) if study else real_words.NOT_TUNED]
        told += [real_words.tuned_by(study.settings)] if study else []
        words[name] = [*told, *real_words.rates(found.rates[name])]
    words |= {one.about.name: [real_words.taught(one), *real_words.rank(one)] for one in found.taught}
    return {
        "models": [about.to_dict() for about in found.models],
        "told": [{**one.about.to_dict(), "measured": one.way, "rank": _rows(one.rank)} for one in found.taught],
        "words": words,
        "tables": {name: _rows(rows) for name, rows in tables.items()},
        "rates": {name: [sweep.to_dict() for sweep in sweeps] for name, sweeps in found.rates.items()},
    }


def _rows(rows: Any) -> list[dict[str, Any]]:
    """As JSON has them: what is missing is null."""
    plain = rows.astype(object).where(rows.notna(), None).to_dict("records")
    return [{str(name): value.item() if hasattr(value, "item") else value for name, value in row.items()} for row in plain]


def as_text(result: dict[str, Any]) -> str:
    """Models, each table that has rows, and what they say."""
    import pandas as pd

    from sftqa_core.reports import real_words
    from sftqa_core.reports.number_columns import as_texts

    if not result["models"]:
        return NOTHING
    cards = [(card["name"], card["quantisation"], card["licence"], f"{card['parameters']:,}", card["sha256"]) for card in result["models"]]
    lines = [table(("model", "quantisation", "licence", "parameters", "SHA-256 of the file"), cards)]
    for name, heading in SHOWN.items():
        rows = pd.DataFrame(result["tables"].get(name, []))
        if name == "levels" and len(rows):
            rows = rows[rows["by"] == "domain"].drop(columns=["by", "group"])
        if name == "tuned" and len(rows):
            rows = real_words.enough(rows)
        if len(rows):
            rows = rows.assign(domain=rows["domain"].replace(DOMAIN_NAMES)) if "domain" in rows else rows
            head, cells = as_texts(rows, real_words.TITLES[name])
            lines += ["", f"{heading}:", table(tuple(head), [tuple(row) for row in cells])]
    for model, sentences in result["words"].items():
        lines += ["", model, *(f"  {sentence}" for sentence in sentences)]
    return "\n".join([*lines, "", real_words.PLANTED])
