"""A model of a moment and the facts it is pre-trained on."""

import hashlib
from pathlib import Path

from sftqa_core.errors import Stopped
from sftqa_core.knowledge.facts import FactSource, fact_table, summarise
from sftqa_core.knowledge.relations import builtin_relations
from sftqa_core.progress import Progress, Silent
from sftqa_core.records import CorpusSettings, PretrainSettings

SMALL = PretrainSettings(
    name="small",
    hidden_size=32,
    layers=1,
    heads=2,
    intermediate_size=48,
    vocabulary=400,
    sequence_length=32,
    warmup_steps=2,
    corpus=CorpusSettings(qa_documents=10, filler_documents=5),
)


class StopsAfter(Silent):
    """Asks the work to stop once so many steps are done."""

    def __init__(self, steps: int):
        self.steps, self.done = steps, 0

    def progress(self, update: Progress) -> None:
        if update.phase == "pre-training":
            self.done = update.done

    def check(self) -> None:
        if self.done >= self.steps:
            raise Stopped("Stopped as asked.")


def toy_source() -> FactSource:
    """16 people, of whom the i-th is mentioned i times."""
    rows = [
        {
            "relation": "P19",
            "subject": f"Person {i}",
            "answers": [["Tamil", "Velor"][i % 2]],
            "question": f"Where was Person {i} born?",
            "split": ["train", "train", "test", "train"][i % 4],
            "domain": "in",
            "exposures": i,
        }
        for i in range(16)
    ]
    facts = fact_table(rows, "toy")
    return FactSource("toy", facts, {"P19": builtin_relations()["P19"]}, summarise("toy", facts), "f" * 16)


def weights(folder: Path) -> str:
    """A hash of the bytes of a model's weight file."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
