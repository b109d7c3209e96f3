"""A training that is there to be killed (it is forked): METHOD FOLDER TOLD. It writes a checkpoint after each step."""

from __future__ import annotations

from pathlib import Path

from sftqa_core.training import checkpoints as unfinished
from sftqa_core.training.fine_tuning import fine_tune
from tests.tiny import tiny_loaded
from tests.training.test_trainer import EXAMPLES, Recorder, with_


class Told(Recorder):
    """A line a step in a file."""

    def __init__(self, file: Path):
        super().__init__()
        self.file = file

    def progress(self, update):
        with self.file.open("a") as handle:
            handle.write(f"{update.done}\n")


def main(arguments: list[str]) -> int:
    """Train to the end, unless killed."""
    method, folder, told = arguments
    unfinished.EVERY_S, unfinished.MOST_SHARE = 0.0, 1e9
    fine_tune(tiny_loaded(), EXAMPLES, with_(epochs=4, save_model=False, method=method), Path(folder), Told(Path(told)))
    return 0
