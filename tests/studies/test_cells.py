"""Cells of a study on disk: what they are found by, and what a damaged one is."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from sftqa_core.artifacts import MANIFEST, finished
from sftqa_core.knowledge.matching import VERSION
from sftqa_core.records import LevelScheme, PromptFormat, TrainSettings
from sftqa_core.studies.cells import FOLDER, Cells
from sftqa_core.workspace import Workspace
from tests.studies.small_study import FOUR

RUN = TrainSettings(model="m", n=60, shots=0, save_model=False)
BY_LEVEL = dataclasses.replace(RUN, levels=(1,), balance="matched")
IDS = ["a", "b", "c"]
TABLE = pd.DataFrame({"fact_id": IDS, "correct": [True, False, True], "rival": [False, True, False], "text": ["x", "y", "z"]})
LEVELS = pd.DataFrame({"fact_id": IDS, "score": [0.0, 0.25, 1.0], "level": [0, 1, 4]})


@pytest.fixture
def layers(tmp_path):
    return Workspace(tmp_path / "user", tmp_path / "shipped")


@pytest.fixture
def cells(layers):
    return Cells.of(layers, {"weights": "w", "device": "cpu", "dtype": "float32"}, "source", "aliases", IDS, 4e-4)


def write(cells, run=RUN, table=TABLE, scheme=None):
    return cells.write(run, table, 58, {"P17": {"any": 58}}, {"seconds": 1.5, "steps": 8}, scheme)


def test_what_was_written_is_read(cells):
    """Answers, the examples really trained on, their counts and the run's numbers come back; the texts are not kept."""
    folder = write(cells)
    found = cells.read(RUN)
    assert found.table.to_dict("list") == {"correct": [True, False, True], "rival": [False, True, False]}
    assert found.table.dtypes.to_dict() == {"correct": np.dtype(bool), "rival": np.dtype(bool)}
    assert (found.n, found.counts, found.numbers) == (58, {"P17": {"any": 58}}, {"seconds": 1.5, "steps": 8})
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["kind"] == "cell of answers"
    assert manifest["settings"]["run"]["learning_rate"] == 4e-4
    assert manifest["matching"] == found.matching == VERSION
    assert cells.folder(RUN) == folder
    assert folder.parent == cells.workspace.root / FOLDER


def test_levels_afterwards_lie_apart_from_answers(cells):
    """A run's answers and its levels are two cells, and levels by other random numbers or another scheme a third."""
    other = dataclasses.replace(LevelScheme(), sampling=dataclasses.replace(LevelScheme().sampling, seed=1))
    write(cells, table=LEVELS, scheme=LevelScheme())
    assert cells.read(RUN) is None
    assert cells.read(RUN, other) is None
    assert cells.read(RUN, LevelScheme()).table.to_dict("list") == {"score": [0.0, 0.25, 1.0], "level": [0, 1, 4]}
    write(cells)
    assert cells.read(RUN).table["correct"].tolist() == [True, False, True]
    assert len(finished([cells.workspace.root / FOLDER])) == 2


def test_no_facts_and_very_many_are_kept(layers):
    """An empty table is a cell, and so is one of 200,000 facts."""
    for count in (0, 200_000):
        table = pd.DataFrame({"correct": np.arange(count) % 3 == 0, "rival": np.zeros(count, dtype=bool)})
        cells = Cells.of(layers, {}, "s", "a", [str(i) for i in range(count)], 1e-4)
        write(cells, table=table)
        assert cells.read(RUN).table["correct"].sum() == len(range(0, count, 3))
        assert len(cells.read(RUN).table) == count


@pytest.mark.parametrize(
    "change",
    [
        {"n": 120},
        {"n": TrainSettings.ALL},
        {"levels": (2,)},
        {"balance": "level"},
        {"relations": ("P17",)},
        {"method": "lora"},
        {"learning_rate": 1e-3},
        {"epochs": 2},
        {"batch_size": 4},
        {"prompt": PromptFormat("other", "{question}")},
        {"seed": 1},
        {"match": "substring"},
        {"max_answer_tokens": 8},
        {"scheme": FOUR},
    ],
    ids=str,
)
def test_everything_that_an_answer_depends_on_makes_another_cell(cells, change):
    """Changed in a run that chooses examples by level, each of these finds nothing."""
    write(cells, BY_LEVEL)
    assert cells.has(BY_LEVEL)
    assert not cells.has(dataclasses.replace(BY_LEVEL, **change))
    assert cells.read(dataclasses.replace(BY_LEVEL, **change)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"model": "a second name"},
        {"source": "another name"},
        {"device": "cuda"},
        {"shots": 4},
        {"save_model": True},
        {"test_limit": 100},
        {"learning_rate": 4e-4},
        {"lora_rank": 64},
        {"scheme": FOUR},
    ],
    ids=str,
)
def test_what_an_answer_does_not_depend_on_finds_the_same_cell(cells, change):
    """Names, where it runs, what else is kept, and settings that this run does not use."""
    write(cells)
    assert cells.read(dataclasses.replace(RUN, **change)).n == 58


def test_the_adapters_rank_matters_where_there_is_one(cells):
    """Rank 8 and rank 64 are two LoRA runs."""
    lora = dataclasses.replace(RUN, method="lora")
    write(cells, lora)
    assert not cells.has(dataclasses.replace(lora, lora_rank=64))


def test_model_source_aliases_and_facts_are_part_of_the_key(cells, layers):
    """Another device, source, alias table, list of facts or order of facts has cells of its own."""
    write(cells)
    for change in ({"model": {**cells.model, "device": "cuda"}}, {"source": "s2"}, {"aliases": "a2"}, {"learning_rate": 1e-3}):
        assert not dataclasses.replace(cells, **change).has(RUN)
    for ids in (IDS[::-1], IDS[:2], [*IDS, "d"]):
        assert not Cells.of(layers, cells.model, "source", "aliases", ids, 4e-4).has(RUN)
    assert Cells.of(layers, cells.model, "source", "aliases", IDS, 4e-4).has(RUN)


def test_another_default_learning_rate_is_nothing_to_a_run_that_names_its_own(cells):
    """The default is part of the key only where it is used."""
    named = dataclasses.replace(RUN, learning_rate=1e-3)
    write(cells, named)
    assert dataclasses.replace(cells, learning_rate=5.0).has(named)


def test_the_untouched_model_is_one_cell_for_all_seeds_methods_and_rates(cells):
    """What n = 0 answered is found under every training setting, and not under another prompt."""
    write(cells, dataclasses.replace(RUN, n=0))
    same = dataclasses.replace(RUN, n=0, seed=9, method="lora", learning_rate=1e-2, epochs=4, levels=(0,), balance="matched", scheme=FOUR)
    assert cells.read(same).table["correct"].tolist() == [True, False, True]
    assert not cells.has(dataclasses.replace(RUN, n=0, max_answer_tokens=4))
    assert not cells.has(RUN)


def cut(folder):
    path = folder / "answers.parquet"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_a_column(folder):
    TABLE[["correct"]].to_parquet(folder / "answers.parquet")


def without_table(folder):
    (folder / "answers.parquet").unlink()


def of_another_run(folder):
    told = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**told, "settings": {**told["settings"], "source": "x"}}))


def manifest_cut(folder):
    (folder / MANIFEST).write_text('{"schema": 1, "files"')


def manifest_without_counts(folder):
    told = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({name: value for name, value in told.items() if name != "counts"}))


DAMAGES = [cut, without_a_column, without_table, of_another_run, manifest_cut, manifest_without_counts]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cell_is_not_there_and_can_be_made_again(cells, damage):
    """Half a file, a lacking column or file, a manifest of other settings: None; writing puts a whole one in its place."""
    damage(write(cells))
    assert cells.read(RUN) is None
    write(cells)
    assert cells.read(RUN).n == 58


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cell_counts_as_not_done(cells, damage):
    """What `read` would not find must be run again: a study asks `has` which runs are left."""
    damage(write(cells))
    assert not cells.has(RUN)


def test_shipped_cells_are_read_under_the_users(cells, layers):
    """What ships is found; the user's own goes before it, and when that is damaged the shipped one serves again."""
    shipped = dataclasses.replace(cells, workspace=Workspace(layers.shipped, layers.root))
    shipped.write(RUN, TABLE.assign(correct=False), 1, {}, {})
    assert cells.folder(RUN).parent.parent == layers.shipped
    assert (cells.read(RUN).n, cells.read(RUN).table["correct"].sum()) == (1, 0)
    own = write(cells)
    assert (own.parent.parent, cells.read(RUN).n) == (layers.root, 58)
    assert cells.folder(RUN) == own
    cut(own)
    assert cells.read(RUN).n == 1


def test_nothing_written_is_nothing_found(cells):
    """An empty workspace has no cells and no folder of one."""
    assert cells.read(RUN) is None
    assert not cells.has(RUN)
    assert cells.folder(RUN) is None
