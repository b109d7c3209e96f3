"""A model whose results ship and whose weights do not: listed, its levels shown, refused for work until its file has been read."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from sftqa_core import workflows
from sftqa_core.errors import ModelUnavailable, SettingsError
from sftqa_core.models import catalogue, measured
from sftqa_core.models.gguf.gguf_models import gguf_at
from sftqa_core.models.gguf.gguf_reading import read_model
from sftqa_core.models.makings import refuse_other_making
from sftqa_core.records import LevelScheme, PretrainSettings, ProbeSettings, SamplerSettings, TrainSettings
from sftqa_core.records.asking import Question
from sftqa_core.workspace import Workspace
from tests.made_gguf import tiny_model, write_gguf

NAME = "tiny-real"
FEW = LevelScheme(sampling=SamplerSettings(samples=2, max_new_tokens=4))
SOURCE = "entity-questions-sample"


@pytest.fixture(scope="module")
def file(made_once) -> Path:
    """A tiny model's GGUF file."""
    return made_once("measured", lambda folder: write_gguf(folder / "tiny.gguf", tiny_model())) / "tiny.gguf"


@pytest.fixture
def ships(file, tmp_path, monkeypatch, workspace) -> Workspace:
    """A workspace under which that model's card ships, and nothing of it has been read."""
    monkeypatch.setenv("SFTQA_SHIPPED", str(tmp_path / "ships"))
    there = Workspace.current()
    read_model(gguf_at(file), "tiny")
    card = catalogue.find_model(str(file))
    known = catalogue.model_fingerprint(card, "", "")
    about = measured.Measured(
        NAME, "A tiny model of random weights", "tiny.gguf", hashlib.sha256(file.read_bytes()).hexdigest(), card.quantisation, "MIT",
        card.architecture or "", card.parameters or 0, known.weights, known.beginning,
    )  # fmt: skip
    measured.write_measured(about, there.shipped)
    shutil.rmtree(there.gguf)
    return there


def test_it_is_listed_and_says_how_to_get_it(ships):
    """By name, with its size, as not available; every kind of work is refused with the file and its checksum."""
    card = catalogue.find_model(NAME)
    assert [one.name for one in catalogue.list_models() if one.kind == measured.KIND] == [NAME]
    assert (card.kind, card.path, card.available, card.architecture) == (measured.KIND, None, False, "llama")
    told = rf"Its results come with the program, its weights do not\. To use it, get tiny\.gguf \(SHA-256 {measured.told(card).sha256[:12]}"
    with pytest.raises(ModelUnavailable, match=told):
        workflows.probe(ProbeSettings(NAME, SOURCE, limit=24, scheme=FEW))
    with pytest.raises((ModelUnavailable, SettingsError), match="its weights do not"):
        workflows.train(TrainSettings(NAME, SOURCE, n=24))
    (problem,) = [check for check in workflows.preflight(TrainSettings(NAME, SOURCE, n=24)).checks if check.name == "model"]
    assert problem.state == "problem"
    assert "its weights do not" in problem.fix
    with pytest.raises(ModelUnavailable, match="its weights do not"):
        workflows.ask(Question("Where was Ann born?"), [NAME])


def test_its_levels_are_those_that_were_measured_with_the_file(ships, file):
    """What the file's own probe stored answers under the name, with the file read or gone."""
    workflows.probe(ProbeSettings(str(file), SOURCE, limit=24, scheme=FEW))
    with_file = workflows.profile(NAME, SOURCE, "test", "all", FEW)
    here = catalogue.find_model(NAME)
    assert (here.kind, here.available) == ("gguf", True)
    shutil.rmtree(ships.gguf)
    without = workflows.profile(NAME, SOURCE, "test", "all", FEW)
    assert with_file.probed == without.probed == 24
    assert without.level_table.level.tolist() == with_file.level_table.level.tolist()
    assert catalogue.find_model(NAME).kind == measured.KIND


def test_whether_anything_was_measured_is_told_without_a_table(ships, file):
    """By what lies beside the stores: nothing at first, the model once it was probed, also where a store is damaged."""
    assert measured.with_results() == {}
    workflows.probe(ProbeSettings(str(file), SOURCE, limit=24, scheme=FEW))
    assert list(measured.with_results()) == [NAME]
    shutil.rmtree(ships.gguf)
    (ships.root / "completions" / "broken").mkdir()
    (ships.root / "completions" / "broken" / "settings.json").write_text("{")
    assert list(measured.with_results()) == [NAME]


def test_the_list_of_models_says_what_is_here_of_it(ships):
    """Its state and licence; the list offers no download."""
    (offer,) = [one for one in workflows.offered_models("cpu").offers if one.card.name == NAME]
    assert (offer.state, offer.licence, offer.needs) == ("results only", "MIT", ())
    assert "sftqa fetch PATH/tiny.gguf" in offer.todo


def test_nothing_else_takes_its_name(ships, file):
    """A model that is pre-trained can't be called so, whether the file was read here or not: its levels would stand under this card."""
    for read in (False, True):
        if read:
            read_model(gguf_at(file), "tiny")
        with pytest.raises(SettingsError, match="tiny-real is a model whose results come with the program and was made with other"):
            refuse_other_making(PretrainSettings(NAME), "f" * 16)


def test_another_file_is_another_model(ships, tmp_path):
    """A file of that name with other weights is not taken for it."""
    other = write_gguf(tmp_path / "tiny.gguf", tiny_model("qwen2"), "qwen2")
    read_model(gguf_at(other), "other")
    assert catalogue.find_model(NAME).kind == measured.KIND


def test_a_damaged_card_hides_no_other_model(ships):
    (ships.shipped / measured.FOLDER / "broken.json").write_text("{")
    assert list(measured.measured_models()) == [NAME]
