"""Every kind of result, each of its files cut at random lengths or changed in one bit: never read as if it were whole."""

import json
import random
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from sftqa_core.artifacts import damaged_files, write_folder
from sftqa_core.errors import ArtifactDamaged, NotFound, SftqaError
from sftqa_core.evaluation import predictions as kept
from sftqa_core.memory.probe_stores import CompletionStore
from sftqa_core.memory.scores import COMPLETIONS, HITS, PROBED, parquet_bytes, part_name, read_parquet
from sftqa_core.models.pretraining import Checkpoint
from sftqa_core.records import SamplerSettings, StudyReport, StudySettings
from sftqa_core.studies.cells import Cells
from sftqa_core.training.runs import read_run, write_run
from sftqa_core.workflows import study_reports
from sftqa_core.workflows.study_reports import read_report
from tests.studies.test_cells import IDS, RUN, TABLE
from tests.training.test_runs import contents


def harms(folder: Path, seed: int = 0):
    """Each file of a folder cut at three random lengths and with three random bits flipped, one harm at a time; all is well after
    each. Gives the file's name."""
    chance = random.Random(seed)
    for path in sorted(found for found in folder.rglob("*") if found.is_file()):
        content = path.read_bytes()
        harmed = [content[: chance.randrange(len(content))] for _ in range(3)] if content else []
        for _ in range(3 if content else 0):
            bit = chance.randrange(8 * len(content))
            harmed.append(content[: bit // 8] + bytes([content[bit // 8] ^ 1 << bit % 8]) + content[bit // 8 + 1 :])
        saved = folder.with_name("saved")
        shutil.copytree(folder, saved)
        for bad in harmed:
            path.write_bytes(bad)
            yield path.relative_to(folder).as_posix()
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(saved, folder)
        shutil.rmtree(saved)


def aside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if ".damaged" in path.name)


def test_a_harmed_cell_is_set_aside_and_made_again(workspace, caplog):
    """None is read, the log names it, and after writing it is whole, with the damaged one beside it."""
    cells = Cells.of(workspace, {"weights": "w"}, "source", "aliases", IDS, 4e-4)
    folder = cells.write(RUN, TABLE, 58, {}, {"seconds": 1.5})
    count = 0
    for count, name in enumerate(harms(folder), 1):
        caplog.clear()
        assert cells.read(RUN) is None
        assert str(folder / name) in caplog.text
        assert len(aside(folder.parent)) == count
        cells.write(RUN, TABLE, 58, {}, {"seconds": 1.5})
        assert cells.read(RUN).numbers == {"seconds": 1.5}
    assert count == 12


def test_harmed_answers_are_asked_for_again(workspace, monkeypatch):
    """The base model's answers: made again once for each harm, and known from then on."""
    monkeypatch.setattr(kept, "_key", lambda *given: {"stage": "before"})
    asked = []

    def ask() -> tuple[pd.DataFrame, bool]:
        return kept.kept_predictions(*["x"] * 6, make=lambda: asked.append(1) or TABLE)

    assert ask()[1] is False
    folder = next((workspace.root / "answers").iterdir())
    for count, _ in enumerate(harms(folder), 2):
        table, known = ask()
        assert (known, len(asked), table["correct"].tolist()) == (False, count, TABLE["correct"].tolist())
        assert ask()[1] is True
    assert len(aside(folder.parent)) == 12


def test_a_harmed_run_says_which_file_and_how_to_make_it_again(workspace):
    """Whatever of the run is asked for: the file that was harmed, or the manifest, and the command."""
    run = write_run(workspace, "run", contents())
    for name in harms(run.folder):
        again = read_run("run")
        with pytest.raises(ArtifactDamaged, match=name.replace(".", r"\.")) as told:
            _ = (again.summary, again.settings, again.predictions(), again.facts(), again.curve(), again.examples())
        assert "train again: sftqa train --model 'org/My Model'" in str(told.value)
        assert again.folder.exists()


def test_a_harmed_pretraining_state_is_set_aside_and_starts_afresh(tmp_path):
    """Nothing of it reaches the model; the next state is kept as ever."""
    state = Checkpoint.beside(tmp_path / "small", "work")
    model = torch.nn.Linear(2, 2)
    state.save(7, 1.5, model, [])
    assert state.restore(model, []) == (7, 1.5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for count, _ in enumerate(harms(state.folder), 1):
        assert state.restore(model, []) == (0, 0.0)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert len(aside(tmp_path)) == count
        state.save(count, 2.0, model, [])
        assert state.restore(model, []) == (count, 2.0)


def test_a_harmed_report_is_counted_anew(workspace, monkeypatch):
    """It is set aside with a word in the log; one of the first version, without a digest, is read."""
    report = StudyReport(StudySettings("amount", ("m",)), 3, 3, (), ("note",), {"curve": [{"n": 60, "accuracy": 0.25}]})
    told = report.to_dict()
    path = workspace.reports / f"{'0' * 16}.json"
    monkeypatch.setattr(study_reports, "report_name", lambda settings: path.stem)
    monkeypatch.setattr(study_reports, "study_outcomes", lambda settings: [])
    study_reports.keep_json(path, {**told, "digest": study_reports.fingerprint(told)})
    assert study_reports.study_report(report.settings) == report
    for count, _ in enumerate(harms(workspace.reports), 1):
        assert study_reports.study_report(report.settings).planned == 0
        assert len(aside(workspace.reports)) == 1, count
    path.write_text(json.dumps(told))
    assert read_report(path) == report


@pytest.mark.parametrize("name", ["part", "facts"])
def test_a_harmed_part_is_noticed_by_its_name(tmp_path, name):
    """Before a byte of it is parsed, since some damage makes the parquet reader hang. Both files of a part are told apart."""
    rows = pd.DataFrame([("0" * 16, 0, "Paris", 5, 3, "end")], columns=COMPLETIONS.names)
    probed = pd.DataFrame([("0" * 16, "a", "tokens", ["Paris"])], columns=PROBED.names)
    part, facts = parquet_bytes(rows, COMPLETIONS), parquet_bytes(probed, PROBED)
    path = tmp_path / "key" / f"{name}-{part_name(part, facts)}"
    path.parent.mkdir()
    path.write_bytes(part if name == "part" else facts)
    schema = COMPLETIONS if name == "part" else PROBED
    assert len(read_parquet(path, schema)) == 1
    for seed in range(5):
        for _ in harms(path.parent, seed):
            with pytest.raises(ArtifactDamaged, match="its checksum differs from the one in its name"):
                read_parquet(path, schema)


def test_parts_of_the_first_version_are_read(workspace):
    """Their names hold no checksum; a cut one is still damaged, and a new part's hits are found beside theirs."""
    store = CompletionStore.of({"weights": "w", "adapter": None}, SamplerSettings(), workspace)
    rows = pd.DataFrame([("0" * 16, "a", "b", 210, 3, [1] * 21, 0.1, 0.2, 0.3, 0.4)], columns=HITS.names)
    store.add_hits(rows)
    old = workspace.root / "hits" / store.key / "part-00000000000000000001-0123abcd.parquet"
    old.write_bytes(parquet_bytes(rows.assign(fact_id="1" * 16), HITS))
    assert sorted(store.hits()["fact_id"]) == ["0" * 16, "1" * 16]
    old.write_bytes(old.read_bytes()[:-20])
    assert store.hits()["fact_id"].tolist() == ["0" * 16]
    assert old.with_name(f"{old.name}.damaged").exists()


def test_no_folder_with_any_lost_file_counts_as_whole(tmp_path):
    """The manifest gone: no result. Another file gone: it is named."""
    folder = write_folder(tmp_path / "result", lambda work: (work / "text").write_text("x") and None, {})
    (folder / "text").unlink()
    assert damaged_files(folder) == ["text"]
    (folder / "manifest.json").unlink()
    with pytest.raises((NotFound, SftqaError), match="holds no finished result"):
        damaged_files(folder)
