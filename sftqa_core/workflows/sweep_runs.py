"""Heavy: the runs of a sweep over learning rates, each measured on dev facts. The model is loaded once."""

import tempfile
import time
from pathlib import Path

from sftqa_core.evaluation.predictions import encode_questions, predict
from sftqa_core.models import devices, quantising
from sftqa_core.models.catalogue import origin
from sftqa_core.models.serving.server_limits import refuse_on_server
from sftqa_core.progress import Phase, Reporter
from sftqa_core.records import TrainSettings
from sftqa_core.studies.sweep import Sweep
from sftqa_core.workflows.study_runs import Quiet, run_numbers
from sftqa_core.workflows.training import TrainingRun

PHASE = "sweep"


def run_sweep(sweep: Sweep, reporter: Reporter) -> None:
    """Everything that is missing, rate after rate. What is finished is kept when the work stops."""
    prober, quiet = sweep.prober, Quiet(reporter)
    refuse_on_server(prober.card, sweep.settings.run)
    quantising.refuse_second_adapter(prober.card, sweep.base)
    prober.bring_here()
    left = sweep.left()
    reporter.log(f"{len(left)} of {len(sweep.runs)} runs are left")
    if not left:
        return
    TrainingRun(left[0], reporter, prober).try_first()
    prober.levels(sweep.facts)
    questions = encode_questions(prober.loaded, sweep.facts, sweep.base)
    phase = Phase(reporter, PHASE, len(left), "runs")

    def finish(run: TrainSettings) -> None:
        began = time.monotonic()
        work = TrainingRun(run, quiet, prober)
        selection = work.selection()
        with tempfile.TemporaryDirectory() as scratch:
            made = work.tune(selection.facts, Path(scratch))
        table = predict(made.tuned.loaded, sweep.facts, run, quiet, stage="after", aliases=prober.aliases, prompts=questions)
        numbers = run_numbers(made.tuned, began)
        sweep.cells.write(run, table, len(selection.facts), selection.counts, numbers, origin=origin(prober.loaded.card))
        made.settle()
        devices.return_freed_ram()

    for run in left:
        finish(run)
        phase.advance(1)
