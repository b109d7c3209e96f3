"""Pieces of work give the same numbers whoever does them; what others say they did must be in the cache."""

from __future__ import annotations

import json

import pytest

from sftqa_core import workflows
from sftqa_core.errors import StorageError
from sftqa_core.models import devices
from sftqa_core.progress import Recorder, Silent
from sftqa_core.records import LevelScheme, ProbeSettings, SamplerSettings, StudySettings, SweepSettings, TrainSettings
from sftqa_core.records.pieces import CellPiece, ProbePiece, packed, unpacked
from sftqa_core.studies.model_study import ModelStudy
from sftqa_core.workflows.piecework import Here, use_mapper

TWO = LevelScheme("two", ("low", "high"), (0.15,), sampling=SamplerSettings(samples=2, max_new_tokens=4))


class Others:
    """Two workers elsewhere, as far as anybody can tell: pieces travel as JSON, to a process that has only the cache in common."""

    workers = 2

    def __init__(self) -> None:
        from sftqa_core.workflows.piece_runner import PieceRunner

        self.runners = [PieceRunner(Silent()) for _ in range(self.workers)]
        self.done: list[dict] = []

    def finish(self, pieces, do, phase) -> None:
        for number, piece in enumerate(pieces):
            content = json.dumps(packed(piece))
            self.runners[number % 2].do(unpacked(json.loads(content)))
            self.done.append(json.loads(content))
            phase.advance(piece.size)


class Lazy(Others):
    """Say that they have done what they have not."""

    def finish(self, pieces, do, phase) -> None:
        pass


def study_of(source: str, kind: str = "amount", **changes) -> StudySettings:
    base = {"sizes": (0, 4), "seeds": (0, 1), "scheme": TWO, "max_answer_tokens": 4, "retest_limit": 4}
    return StudySettings(kind, ("tiny",), source, device="cpu", **{**base, **changes})


def cells_of(study: StudySettings) -> dict[str, list[bool]]:
    """Of each finished cell what was answered rightly."""
    part = ModelStudy(study, "tiny")
    return {str((run.n, run.seed)): part.cells.read(run).table["correct"].tolist() for run in part.grid()}


@pytest.mark.parametrize("mapper", [Here, Others])
def test_a_study_is_the_same_whoever_does_its_runs(world, mapper, made_once):
    """Every cell once, and the cells that this process makes alone."""
    with use_mapper(mapper()):
        report = workflows.study(study_of(world), recorder := Recorder())
    assert (report.done, report.planned) == (3, 3)
    assert [(update.done, update.total) for update in recorder.updates if update.phase == "study"] == [(1, 3), (2, 3), (3, 3)]
    kept = made_once("cells whoever makes them", lambda folder: (folder / "cells.json").write_text(json.dumps(cells_of(study_of(world)))))
    assert cells_of(study_of(world)) == json.loads((kept / "cells.json").read_text())


def test_levels_are_probed_in_pieces_by_others(world):
    """A share for each, more than workers, counted in facts; this process loads no model and reads the same levels."""
    settings, others, recorder = ProbeSettings("tiny", world, scheme=TWO, device="cpu"), Others(), Recorder()
    with use_mapper(others):
        spread = workflows.probe(settings, recorder)
    assert spread.facts == 32
    assert [len(piece["piece"]["fact_ids"]) for piece in others.done] == [4] * 8
    assert [update.done for update in recorder.updates] == list(range(4, 33, 4))
    assert not [line for line in recorder.lines if line.startswith("Loading")]
    assert workflows.probe(settings).facts_per_s is None
    with use_mapper(others):  # nothing is left
        assert workflows.probe(settings).levels == spread.levels
    assert len(others.done) == 8


def test_a_shift_study_and_a_sweep_can_be_divided(world):
    """Levels afterwards, the second probe, and rates tried on dev facts."""
    run = TrainSettings("tiny", world, n=4, scheme=TWO, device="cpu", max_answer_tokens=4, shots=0)
    with use_mapper(others := Others()):
        report = workflows.study(study_of(world, "shift", sizes=(4,), seeds=(0,)))
        swept = workflows.sweep(SweepSettings(run, rates=(1e-3, 1e-2), seeds=(0,)))
    assert report.done == report.planned
    assert (swept.done, swept.planned) == (2, 2)
    assert {piece["kind"] for piece in others.done} == {"probe", "cell", "rate"}


def test_results_that_are_not_here_are_told(world):
    """A cache that is not shared after all, at the first thing that lacks."""
    with use_mapper(Lazy()), pytest.raises(StorageError, match="32 of 32 levels of facts that other machines made"):
        workflows.study(study_of(world))


def test_pieces_travel_as_json(world):
    """What is unpacked is what was packed."""
    study = study_of(world)
    for piece in (CellPiece(study, study.run("tiny", 4, 1), on_dev=True), ProbePiece(ProbeSettings("tiny"), ("a", "b"))):
        assert unpacked(json.loads(json.dumps(packed(piece)))) == piece
    assert ProbePiece(ProbeSettings("tiny"), ("a", "b")).size == 2


def test_auto_means_the_device_of_those_who_compute():
    """Keys of results are theirs, whatever this machine has; a device that is named stays what it is."""
    with devices.computing_on("cuda"):
        assert devices.resolve_device("auto") == "cuda"
        assert devices.resolve_device("cpu") == "cpu"
    assert devices.resolve_device("auto") in devices.NUMBER_FORMATS
