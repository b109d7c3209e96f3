"""Heavy: does pieces of other processes' work. What the last one needed stays loaded, since the next is mostly of the same work."""

from __future__ import annotations

from sftqa_core.engine.drawing import empty_cache
from sftqa_core.memory import profiles
from sftqa_core.memory.prober import Prober
from sftqa_core.models import devices
from sftqa_core.progress import Reporter
from sftqa_core.records import ProbeSettings, StudySettings, SweepSettings
from sftqa_core.records.pieces import CellPiece, Piece, ProbePiece, RatePiece
from sftqa_core.records.probes import held_as
from sftqa_core.studies.model_study import ModelStudy
from sftqa_core.studies.sweep import Sweep
from sftqa_core.workflows.study_runs import StudyRuns
from sftqa_core.workflows.sweep_runs import SweepRuns
from sftqa_core.workflows.training import TrainingRun


class PieceRunner:
    """One process that does pieces, one after the other."""

    def __init__(self, reporter: Reporter):
        self.reporter = reporter
        self._loads: Prober | None = None  # the prober that has the model
        self._of: tuple[StudySettings | SweepSettings, str] | None = None
        self._runs: StudyRuns | SweepRuns | None = None

    def do(self, piece: Piece) -> None:
        """Do what is not done. The result is in the cache. Raises what the work raises."""
        self.reporter.check()
        match piece:
            case ProbePiece():
                prober = self._sharing(
                    Prober(profiles.open_for(piece.settings.model, piece.settings.source), piece.settings, self.reporter)
                )
                facts = prober.source.facts
                prober.levels(facts[facts["fact_id"].isin(piece.fact_ids)])
            case CellPiece():
                runs = self._study_runs(piece)
                cells = runs.part.dev_cells if piece.on_dev else None
                if not (cells.has(piece.run) if cells else runs.part.done(piece.run)):
                    runs.do(piece)
            case RatePiece():
                rates = self._sweep_runs(piece)
                if not rates.sweep.cells.has(piece.run):
                    rates.do(piece)

    def _study_runs(self, piece: CellPiece) -> StudyRuns:
        if self._of != (piece.study, piece.run.model) or not isinstance(self._runs, StudyRuns):
            self._runs = None
            part = ModelStudy(piece.study, piece.run.model, self.reporter)
            part.prober = self._sharing(part.prober)
            TrainingRun(piece.run, self.reporter, part.prober).try_first()
            self._of, self._runs = (piece.study, piece.run.model), StudyRuns(part, self.reporter)
        return self._runs

    def _sweep_runs(self, piece: RatePiece) -> SweepRuns:
        if self._of != (piece.sweep, piece.run.model) or not isinstance(self._runs, SweepRuns):
            self._runs = None
            sweep = Sweep(piece.sweep, self.reporter)
            sweep.prober = self._sharing(sweep.prober)
            TrainingRun(piece.run, self.reporter, sweep.prober).try_first()
            self._of, self._runs = (piece.sweep, piece.run.model), SweepRuns(sweep, self.reporter)
        return self._runs

    def _sharing(self, prober: Prober) -> Prober:
        """The same prober with the model that is loaded, if that is its own; else the other model goes."""
        if self._loads is not None and _held(self._loads.settings) == _held(prober.settings):
            return Prober(prober.source, prober.settings, self.reporter, self._loads)
        if self._loads is not None:
            self._loads = self._of = self._runs = None
            devices.return_freed_ram()
            empty_cache()
        self._loads = prober
        return prober


def _held(settings: ProbeSettings) -> tuple[str, str, int, str]:
    """What decides how a model is loaded."""
    return settings.model, settings.device, settings.gpus, held_as(settings)
