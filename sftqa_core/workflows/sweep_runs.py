"""Heavy: the runs of a sweep over learning rates, each measured on dev facts. The model is loaded once."""

import tempfile
import time
from functools import cached_property
from pathlib import Path

from sftqa_core.evaluation.predictions import Prompts, encode_questions, predict
from sftqa_core.models import devices, quantising
from sftqa_core.models.catalogue import origin
from sftqa_core.models.serving.server_limits import refuse_on_server
from sftqa_core.progress import Phase, Reporter
from sftqa_core.records.pieces import RatePiece
from sftqa_core.studies.sweep import Sweep
from sftqa_core.workflows.piecework import current_mapper, levels_of, require_here
from sftqa_core.workflows.study_runs import Quiet, run_numbers
from sftqa_core.workflows.training import TrainingRun

PHASE = "sweep"


def run_sweep(sweep: Sweep, reporter: Reporter) -> None:
    """Everything that is missing, rate after rate. What is finished is kept when the work stops."""
    prober = sweep.prober
    refuse_on_server(prober.card, sweep.settings.run)
    quantising.refuse_second_adapter(prober.card, sweep.base)
    prober.bring_here()
    left = sweep.left()
    reporter.log(f"{len(left)} of {len(sweep.runs)} runs are left")
    if not left:
        return
    mapper = current_mapper()
    if not mapper.workers:  # elsewhere whoever does a piece tries it first
        TrainingRun(left[0], reporter, prober).try_first()
    levels_of(prober, sweep.facts, reporter)
    pieces = [RatePiece(sweep.settings, run) for run in left]
    mapper.finish(pieces, SweepRuns(sweep, reporter).do, Phase(reporter, PHASE, len(left), "runs"))
    if mapper.workers:
        require_here(len(sweep.left()), len(left), "runs")


class SweepRuns:
    """Runs of one sweep."""

    def __init__(self, sweep: Sweep, reporter: Reporter):
        self.sweep, self.quiet = sweep, Quiet(reporter)

    @cached_property
    def questions(self) -> Prompts:
        """The dev facts' prompts."""
        return encode_questions(self.sweep.prober.loaded, self.sweep.facts, self.sweep.base)

    def do(self, piece: RatePiece) -> None:
        """Train and store the answers to dev facts."""
        began, run, sweep, prober = time.monotonic(), piece.run, self.sweep, self.sweep.prober
        questions = self.questions
        work = TrainingRun(run, self.quiet, prober)
        selection = work.selection()
        with tempfile.TemporaryDirectory() as scratch:
            made = work.tune(selection.facts, Path(scratch))
        table = predict(made.tuned.loaded, sweep.facts, run, self.quiet, stage="after", aliases=prober.aliases, prompts=questions)
        numbers = run_numbers(made.tuned, began)
        sweep.cells.write(run, table, len(selection.facts), selection.counts, numbers, origin=origin(prober.loaded.card))
        made.settle()
        devices.return_freed_ram()
