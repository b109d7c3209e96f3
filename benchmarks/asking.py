"""How long a question waits for its answers: the first one, with nothing loaded, and others once the models are.

    python benchmarks/asking.py [--questions 20] [--columns atlas-llama,atlas-neox,atlas-qwen]

Asks through the service as pages do, in a workspace of its own. "cold" starts the asking process (importing PyTorch) and loads the
models; "first column" is what a person sees first. "warm" questions are all different, so none is answered by what is kept. The goal is
under 1 s for a warm question to a tiny model.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Sequence

from sftqa_core import workflows
from sftqa_core.jobs.ask_files import LocalAskService
from sftqa_core.knowledge.sources import open_source
from sftqa_core.records import Question

MOST_S = 600.0


def main() -> None:
    """Ask, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--columns", default="atlas-llama,atlas-neox,atlas-qwen")
    options = parser.parse_args()
    columns = options.columns.split(",")
    table = open_source("atlas").facts
    facts = table[table["split"] == "test"].head(options.questions + 1)
    questions = [
        Question(question, right=tuple(answers), answers=("Paris",))
        for question, answers in zip(facts["question"], facts["answers"], strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"SFTQA_CACHE": f"{folder}/cache", "SFTQA_STATE": f"{folder}/state"}
        service = LocalAskService()
        try:
            first_s, all_s = asked(service, questions[0], columns)
            print(f"cold: first column {first_s:.2f} s, all {len(columns)} columns {all_s:.2f} s")
            for count in range(1, len(columns) + 1):
                tell(
                    f"warm, {count} column{'' if count == 1 else 's'}",
                    [asked(service, q, columns[:count])[1] for q in again(questions, count)],
                )
            again_s = asked(service, questions[0], columns)[1]
            state = service.state()
            print(f"the same question again: {again_s:.3f} s")
            print(f"load average {os.getloadavg()[0]:.1f}; the process takes {state.ram_bytes / 1e6:.0f} MB with {len(state.held)} models")
        finally:
            if (process := service.folder.living()) is not None:
                os.kill(process.process.pid, signal.SIGTERM)


def again(questions: Sequence[Question], seed: int) -> list[Question]:
    """The questions but the first, as others than before."""
    return [Question(q.text, right=q.right, answers=q.answers, seed=seed) for q in questions[1:]]


def asked(service: LocalAskService, question: Question, models: Sequence[str]) -> tuple[float, float]:
    """Seconds until the first column is answered, and all of them."""
    began, first_s = time.monotonic(), None
    columns = workflows.columns(question, models)
    service.ask(columns)
    while time.monotonic() - began < MOST_S:
        standings = service.look(columns)
        if wrong := [standing.said for standing in standings if standing.state == "failed"]:
            raise SystemExit(wrong[0])
        done = [standing.state == "done" for standing in standings]
        if first_s is None and any(done):
            first_s = time.monotonic() - began
        if all(done):
            return first_s or 0.0, time.monotonic() - began
        time.sleep(0.01)
    raise SystemExit("It was not answered in time.")


def tell(name: str, seconds: list[float]) -> None:
    """Median and 95th percentile."""
    ordered = sorted(seconds)
    print(f"{name}: median {statistics.median(ordered):.2f} s, 95% within {ordered[int(0.95 * (len(ordered) - 1))]:.2f} s")


if __name__ == "__main__":
    main()
