"""The part of EntityQuestions that ships: as many facts everywhere, real ones, and made from the whole by a rule."""

import json
import zipfile
from pathlib import Path

from sftqa_core.knowledge import entity_sample
from sftqa_core.knowledge.entity_questions import load_entity_questions
from sftqa_core.knowledge.sources import open_source


def test_it_holds_as_many_facts_of_every_relation():
    source = open_source("entity-questions-sample")
    counts = source.facts.groupby(["split", "relation"]).size().unstack("split")
    assert counts.shape == (24, 3)
    assert {split: set(sizes) for split, sizes in counts.items()} == {"train": {400}, "dev": {40}, "test": {200}}
    assert (source.report.excluded_from_train, source.report.merged, source.report.unparsed) == (0, 0, 0)
    assert source.notes == (entity_sample.NOTE,)


def test_it_brings_its_licence():
    with zipfile.ZipFile(entity_sample.FILE) as packed:
        assert packed.read("LICENSE").decode().startswith("MIT License")


def test_its_facts_are_those_of_the_whole(tmp_path):
    """Made anew from a whole that is small, it has its ids, answers and splits, and the same bytes each time."""
    asked = {
        "train": [{"question": f"Which country is Town {at} located in?", "answers": ["Chad", "Tchad"]} for at in range(50)],
        "test": [{"question": f"Which country is Town {at} located in?", "answers": ["Peru"]} for at in range(40, 60)],
    }
    for split, rows in asked.items():
        (tmp_path / "eq" / split).mkdir(parents=True)
        (tmp_path / "eq" / split / f"P17.{split}.json").write_text(json.dumps(rows))
    whole = load_entity_questions(tmp_path / "eq")
    first, again = tmp_path / "first.zip", tmp_path / "again.zip"
    for out in (first, again):
        entity_sample.write_sample(whole, "MIT License", out)
    assert first.read_bytes() == again.read_bytes()
    part, of = _rows(first), whole.facts.set_index("fact_id")
    kept = of[of["split"].isin(["train", "test"])]
    assert part == {key: (fact.split, fact.question, tuple(fact.answers)) for key, fact in kept.iterrows()}
    assert sorted(split for split, _, _ in part.values()) == ["test"] * 20 + ["train"] * 40


def _rows(path: Path) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    facts = load_entity_questions(path).facts
    return {fact.fact_id: (fact.split, fact.question, tuple(fact.answers)) for fact in facts.itertuples()}
