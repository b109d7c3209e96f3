"""The table of all models: what is here, what was added, what is known, and what fits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sftqa_core.errors import ModelUnavailable, NotFound, SettingsError
from sftqa_core.models import devices, measured, quantising
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.devices import DeviceRam
from sftqa_core.models.lists import added_models, hub_models
from sftqa_core.planning import offers as offered
from sftqa_core.workflows import upkeep as cache
from sftqa_core.workspace import Workspace

GB = 10**9


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """16 GB of which 6 are free, no GPU, an empty hub cache and no login."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(devices, "resolve_device", lambda setting: "cpu")
    monkeypatch.setattr(devices, "device_ram", lambda device: DeviceRam(6 * GB, 16 * GB))
    monkeypatch.setattr(offered, "has_token", lambda: False)


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    """A model of a person's own: the smallest built-in one, copied."""
    folder = tmp_path / "mine"
    shutil.copytree(str(find_model("atlas-llama").path), folder)
    (folder / "manifest.json").unlink()
    return folder


def of(table: offered.Offered, name: str) -> offered.Offer:
    return next(offer for offer in table.offers if offer.card.name == name)


def test_what_is_here_stands_first_and_no_model_twice(own_folder: Path):
    """Built-in, own folder, what was added and is not here, then the table of known ones, those that are advised first."""
    offered.add_model(str(own_folder))
    offered.add_model("owner/later")
    offered.add_model("Qwen/Qwen2-0.5B")
    table = offered.offered_models()
    names = [offer.card.name for offer in table.offers]
    assert len(names) == len(set(names))
    real = list(measured.measured_models())  # whose results ship
    assert [offer.state for offer in table.offers][: 5 + len(real)] == [*["here"] * 5, *["results only"] * len(real)]
    assert names[5 : 5 + len(real)] == real
    del names[5 : 5 + len(real)]
    assert names[4:8] == [str(own_folder), "Qwen/Qwen2-0.5B", "owner/later", "HuggingFaceTB/SmolLM2-360M"]
    assert names[8:13] == [f"EleutherAI/pythia-{size}" for size in ("14m", "31m", "70m", "160m", "410m")]
    assert [offer.card.name for offer in table.offers if offer.advised] == names[7:13]
    assert {offer.card.name for offer in table.offers if offer.added} == {str(own_folder), "owner/later", "Qwen/Qwen2-0.5B"}
    assert set(hub_models()) <= set(names)


def test_a_gated_model_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    """Accept the terms, log in; with a login here, whose it must be. Others can be fetched as they are."""
    gated = of(offered.offered_models(), "meta-llama/Llama-3.2-1B")
    assert gated.state == "gated"
    assert "on its page huggingface.co/meta-llama/Llama-3.2-1B." in gated.todo
    assert "`hf auth login`" in gated.todo
    monkeypatch.setattr(offered, "has_token", lambda: True)
    assert (
        "This machine is logged in to the hub; it must be the same account." in of(offered.offered_models(), "meta-llama/Llama-3.2-1B").todo
    )
    plain = of(offered.offered_models(), "HuggingFaceTB/SmolLM2-135M")
    assert (plain.state, plain.todo, plain.licence, plain.size_bytes) == ("downloadable", "", "apache-2.0", 269_030_016)


def test_what_fits_is_told_for_each_kind_of_work():
    """Of 16 GB 6 are free: Qwen2 0.5B can be probed and tuned by LoRA now, tuned whole when memory is freed; 7B not at all."""
    table = offered.offered_models()
    assert (table.device, table.free, table.total) == ("cpu", 6 * GB, 16 * GB)
    small, large = of(table, "Qwen/Qwen2-0.5B"), of(table, "Qwen/Qwen2-7B")
    assert {need.work: need.fits for need in small.needs} == {"probe": "now", "lora": "now", "lora_4bit": "now", "full": "not now"}
    assert {need.work: need.fits for need in large.needs} == {"probe": "no", "lora": "no", "lora_4bit": "not now", "full": "no"}
    full = small.need("full")
    assert full is not None
    assert 20 * 494_032_768 < full.size_bytes < 13 * GB


def test_what_4_bits_need_is_told_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch):
    """With the command; not where 4 bits can't be had anyway, nor where the package is there."""
    monkeypatch.setattr(quantising, "find_spec", lambda name: None)
    assert offered.offered_models().lacking.endswith("pip install bitsandbytes==0.50.2.")
    monkeypatch.setattr(devices, "resolve_device", lambda setting: "mps")
    assert offered.offered_models().lacking == ""
    monkeypatch.undo()
    monkeypatch.setattr(quantising, "find_spec", lambda name: object())
    assert offered.offered_models().lacking == ""


def test_apples_gpu_has_no_4_bits(monkeypatch: pytest.MonkeyPatch):
    """So nothing is told of them there."""
    monkeypatch.setattr(devices, "resolve_device", lambda setting: "mps")
    small = of(offered.offered_models(), "Qwen/Qwen2-0.5B")
    assert small.need("lora") is not None
    assert small.need("lora_4bit") is None


def test_memory_of_a_gpu_that_is_not_here(monkeypatch: pytest.MonkeyPatch):
    """It is told, and whether it fits is not known; in 4 bits LoRA on a 7B model needs well under half."""

    def none(setting: str) -> str:
        raise SettingsError("no GPU")

    monkeypatch.setattr(devices, "resolve_device", none)
    table = offered.offered_models("cuda")
    assert (table.device, table.free, table.total) == ("cuda", None, None)
    llama = of(table, "meta-llama/Llama-2-7b-hf")
    assert {need.fits for need in llama.needs} == {"unknown"}
    lora, in_4_bits = llama.need("lora"), llama.need("lora_4bit")
    assert lora is not None
    assert in_4_bits is not None
    assert in_4_bits.size_bytes < 0.45 * lora.size_bytes
    with pytest.raises(SettingsError):
        offered.offered_models("quantum")


def test_larger_models_of_a_family_need_more():
    """Whatever the machine has free: a probe is counted with the same number of prompts."""
    table = offered.offered_models()
    for family in {model.family for model in hub_models().values()}:
        sizes = sorted((o.card.parameters, *(need.size_bytes for need in o.needs)) for o in table.offers if o.family == family)
        for column in range(1, 5):
            assert [row[column] for row in sizes] == sorted(row[column] for row in sizes), (family, column)


def test_a_model_in_the_hub_cache_is_here_with_its_licence_and_revision(tmp_path: Path):
    """The table adds what the folder does not say; no network is asked."""
    folder = tmp_path / "hub" / "models--HuggingFaceTB--SmolLM2-135M"
    commit = "1234567890" * 4
    shutil.copytree(str(find_model("atlas-llama").path), folder / "snapshots" / commit)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    here = of(offered.offered_models(), "HuggingFaceTB/SmolLM2-135M")
    assert (here.state, here.licence, here.family, here.card.revision) == ("here", "apache-2.0", "SmolLM2", commit)


def test_a_revision_of_a_known_model_has_its_numbers():
    """A pinned name is a model of its own on the lists, with licence, terms and memory of the table's row."""
    name = "meta-llama/Llama-3.2-1B@" + "0123456789" * 4
    offered.add_model(name)
    table = offered.offered_models()
    pinned, plain = of(table, name), of(table, "meta-llama/Llama-3.2-1B")
    assert (pinned.state, pinned.licence, pinned.needs, pinned.todo) == ("gated", "llama3.2", plain.needs, plain.todo)
    assert (pinned.added, plain.added, pinned.card.parameters) == (True, False, 1_235_814_400)


def test_a_folder_is_kept_by_its_whole_path(own_folder: Path, monkeypatch: pytest.MonkeyPatch):
    """So that it means the same wherever the program is started."""
    monkeypatch.chdir(own_folder.parent)
    card, told = offered.add_model("  ./mine ")
    assert (card.name, card.kind, told) == (str(own_folder), "folder", "")
    assert added_models() == [str(own_folder)]


@pytest.mark.parametrize(
    "name", ["", "no such thing", "../gone/etc", "a/b/../c", "o/<b>", "o/n\nx", "x" * 9_999, "./gone", "~nobody/x", "\x00"]
)
def test_what_can_be_no_model_is_refused_in_a_sentence(name: str):
    """And nothing is kept."""
    with pytest.raises(ModelUnavailable, match=r"There is no (model named|folder)"):
        offered.add_model(name)
    assert added_models() == []


def test_built_in_models_need_no_adding():
    """The sentence says why."""
    with pytest.raises(SettingsError, match="atlas-llama is already listed: it is built in"):
        offered.add_model("atlas-llama")


def test_an_added_folder_that_went_away_says_so(own_folder: Path):
    """It stays on the list until it is taken off, and is on no list of what is here."""
    offered.add_model(str(own_folder))
    shutil.rmtree(own_folder)
    gone = of(offered.offered_models(), str(own_folder))
    assert (gone.state, gone.added) == ("unusable", True)
    assert "There is no folder" in gone.todo
    offered.remove_model(str(own_folder))
    assert str(own_folder) not in [offer.card.name for offer in offered.offered_models().offers]
    with pytest.raises(NotFound):
        offered.remove_model(str(own_folder))


def test_a_folder_says_how_much_it_reads_where_that_can_be(own_folder: Path):
    """As the preflight reads it: of the text model within, and no number without end."""
    offered.add_model(str(own_folder))
    path = own_folder / "config.json"
    config = json.loads(path.read_text())
    limit = config.pop("max_position_embeddings")
    for told, read in (({"text_config": {"max_position_embeddings": limit}}, limit), ({"max_position_embeddings": 10**400}, None)):
        path.write_text(json.dumps({**config, **told}))
        assert of(offered.offered_models(), str(own_folder)).context == read


def test_an_adapter_says_that_its_model_has_to_be_fetched(own_folder: Path):
    """Its own files are here, and not enough."""
    (own_folder / "config.json").unlink()
    (own_folder / "model.safetensors").rename(own_folder / "adapter_model.safetensors")
    for base, todo in {"owner/later": "It is an adapter for owner/later, which is not on this machine yet", "atlas-llama": ""}.items():
        (own_folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": base}))
        offered.add_model(str(own_folder))
        found = of(offered.offered_models(), str(own_folder))
        assert (found.state, found.todo[: len(todo) or 1]) == ("here", todo)


def test_a_damaged_list_is_told_beside_the_table(workspace: Workspace):
    """The rest of the table stands; `sftqa cache` names the file and never moves it, since a person wrote it."""
    workspace.root.mkdir(parents=True)
    workspace.added_models.write_text("{")
    table = offered.offered_models()
    assert len(table.notes) == 1
    assert "added_models.json, the list of added models, can't be read" in table.notes[0]
    assert "The file is moved aside and kept as soon as you add a model." in table.notes[0]
    assert of(table, "atlas-llama").state == "here"
    assert [fault.kind for fault in cache.verify(move=True)[1]] == ["added models"]
    assert workspace.added_models.read_text() == "{"


def test_a_newer_programs_list_is_not_said_to_be_set_aside(workspace: Workspace):
    """Adding leaves it alone, so nothing else may be promised."""
    workspace.root.mkdir(parents=True)
    workspace.added_models.write_text('{"schema": 2, "models": []}')
    (note,) = offered.offered_models().notes
    assert note.endswith("Use that one, or move it. Added models are not shown.")


def test_the_list_is_on_the_inventory_and_never_removable(workspace: Workspace):
    """As a kind of its own."""
    offered.add_model("owner/later")
    held = {held.kind: held for held in cache.holdings() if held.own}
    assert held["added models"].results == 1
    assert str(workspace.added_models) not in [item.path for item in cache.removable(lambda *_: False)]


def test_the_table_goes_through_json():
    """The browser's side draws it."""
    table = offered.offered_models()
    assert offered.Offered.from_dict(table.to_dict()) == table
