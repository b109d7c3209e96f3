"""Models are found by name without loading any of them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from sftqa_core.artifacts import write_folder
from sftqa_core.errors import ArtifactDamaged, ModelUnavailable, SettingsError
from sftqa_core.models import catalogue, makings
from sftqa_core.records import PretrainSettings
from sftqa_core.workspace import Workspace

COMMIT = "0123456789" * 4


def _install(workspace: Workspace, tiny_folder: Path, layer: Path, name: str, **settings: object) -> None:
    def fill(folder: Path) -> None:
        for path in tiny_folder.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        table = pd.DataFrame({"fact_id": ["a", "b"], "exposures": [3, 40], "carrier": [False, True]})
        table.to_parquet(folder / catalogue.EXPOSURES, index=False)

    made = PretrainSettings(name=name).to_dict() | settings
    manifest = {"kind": "model", "settings": made, "corpus": {"seen_templates": {"P17": [0, 2]}}, "source": {"fingerprint": "f"}}
    write_folder(layer / "models" / name, fill, manifest)


def _hub(root: Path, tiny_folder: Path, name: str) -> Path:
    folder = root / ("models--" + name.replace("/", "--"))
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "snapshots").mkdir()
    tiny_folder.rename(folder / "snapshots" / COMMIT)
    return folder / "snapshots" / COMMIT


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_own_model_comes_before_the_shipped_one(workspace: Workspace, tiny_folder: Path, tmp_path: Path, hub_cache: Path):
    """A model pre-trained here shadows a built-in one of the same name; both kinds are listed, built-in first."""
    workspace = Workspace(workspace.root, tmp_path / "shipped")
    _install(workspace, tiny_folder, workspace.shipped, "both")
    _install(workspace, tiny_folder, workspace.shipped, "ours")
    _install(workspace, tiny_folder, workspace.root, "both")
    assert catalogue.find_model("both", workspace).kind == "pretrained"
    assert [(card.name, card.kind) for card in catalogue.list_models(workspace)] == [("ours", "built-in"), ("both", "pretrained")]


def test_what_the_corpus_said_is_kept_with_the_model(workspace: Workspace, tiny_folder: Path):
    """Exposures, carriers and seen templates are read from the model's folder."""
    _install(workspace, tiny_folder, workspace.root, "tiny")
    card = catalogue.find_model("tiny", workspace)
    table = catalogue.exposures(card)
    assert table is not None
    assert table["exposures"].tolist() == [3, 40]
    assert table.loc[table["carrier"], "fact_id"].tolist() == ["b"]
    assert catalogue.seen_templates(card) == {"P17": (0, 2)}


def test_folder_is_a_model(tiny_folder: Path):
    """Any folder in the transformers layout is found; it has no recorded exposures."""
    card = catalogue.find_model(str(tiny_folder))
    assert (card.kind, card.available, card.architecture, card.path) == ("folder", True, "llama", str(tiny_folder))
    assert catalogue.exposures(card) is None
    assert catalogue.seen_templates(card) == {}


@pytest.mark.parametrize("text", ["{", "[]", '{"kind": "model"}', '{"name": "a web app"}', '{"schema": 1, "files": {}}'])
def test_another_programs_manifest_is_none_of_ours(tiny_folder: Path, text: str):
    """A person's model folder is used although it has a manifest.json, and an exposures.parquet, of their own."""
    (tiny_folder / "manifest.json").write_text(text)
    (tiny_folder / catalogue.EXPOSURES).write_bytes(b"no parquet")
    card = catalogue.find_model(str(tiny_folder))
    assert (card.available, card.details) == (True, {})
    assert catalogue.exposures(card) is None
    assert catalogue.seen_templates(card) == {}


@pytest.mark.parametrize("content", [b"no parquet", None])
def test_lost_exposures_of_our_own_model_are_told(workspace: Workspace, tiny_folder: Path, content: bytes | None):
    """Without the table nobody knows which questions a model has read, so it is not taken for a model that read none."""
    _install(workspace, tiny_folder, workspace.root, "tiny")
    path = workspace.models / "tiny" / catalogue.EXPOSURES
    path.unlink() if content is None else path.write_bytes(content)
    for name in ("tiny", str(workspace.models / "tiny")):
        with pytest.raises(ArtifactDamaged, match=r"exposures\.parquet can't be read .*Pre-train it again"):
            catalogue.exposures(catalogue.find_model(name, workspace))


def test_our_own_damaged_manifest_is_told(workspace: Workspace, tiny_folder: Path, hub_cache: Path):
    """A model that was made here is listed with what is wrong with its manifest."""
    _install(workspace, tiny_folder, workspace.root, "tiny")
    (workspace.models / "tiny" / "manifest.json").write_text("[]")
    card = next(card for card in catalogue.list_models(workspace) if card.name == "tiny")
    assert not card.available
    assert "must hold a JSON object, got list" in card.note


def test_a_model_of_other_settings_is_not_replaced(workspace: Workspace, tiny_folder: Path, tmp_path: Path):
    """The same settings may be made again, on any device; others under that name are refused, here and over a built-in model."""
    workspace = Workspace(workspace.root, tmp_path / "shipped")
    _install(workspace, tiny_folder, workspace.root, "mine", source="facts.csv")
    _install(workspace, tiny_folder, workspace.shipped, "theirs")
    mine, theirs = PretrainSettings(name="mine", source="facts.csv"), PretrainSettings(name="theirs")
    for settings in (mine, theirs, replace(theirs, device="cpu"), PretrainSettings(name="new")):
        makings.refuse_other_making(settings, "f", workspace)
    makings.refuse_other_making(replace(mine, source="/elsewhere/facts.csv"), "f", workspace)  # the same facts, told otherwise
    with pytest.raises(SettingsError, match=r"mine already exists in .*models/mine and was made with other settings.*another name"):
        makings.refuse_other_making(replace(mine, seed=1), "f", workspace)
    with pytest.raises(SettingsError, match="theirs is a built-in model"):
        makings.refuse_other_making(theirs, "other facts", workspace)
    (workspace.models / "mine" / "model.safetensors").unlink()
    makings.refuse_other_making(replace(mine, seed=1), "f", workspace)


def test_the_same_making_needs_recorded_settings(workspace: Workspace, tiny_folder: Path):
    """A model of unknown or unreadable settings has no making in common with anything."""
    _install(workspace, tiny_folder, workspace.root, "mine")
    card, settings = catalogue.find_model("mine", workspace), PretrainSettings(name="mine")
    assert makings.same_making(card, settings, "f")
    assert not makings.same_making(replace(card, details={}), settings, "f")
    assert not makings.same_making(replace(card, details={"settings": {**settings.to_dict(), "colour": "red"}}), settings, "f")


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "~/nowhere"])
def test_missing_folder_is_told(name: str):
    """A path without a folder says so and is never taken for a hub id."""
    with pytest.raises(ModelUnavailable, match="no folder"):
        catalogue.find_model(name)


@pytest.mark.parametrize("name", ["atlas-lama", "", "a b/c", "owner/na me"])
def test_unknown_name_lists_what_there_is(workspace: Workspace, tiny_folder: Path, hub_cache: Path, name: str):
    """A name that is nothing gets the names of the models on this machine."""
    _install(workspace, tiny_folder, workspace.root, "mine")
    with pytest.raises(ModelUnavailable, match=r"On this machine: .*mine"):
        catalogue.find_model(name, workspace)


def test_hub_model_on_this_machine(tiny_folder: Path, hub_cache: Path, workspace: Workspace):
    """A cached hub model is available with its revision, and is listed; another hub id is a card without files."""
    snapshot = _hub(hub_cache, tiny_folder, "owner/small")
    card = catalogue.find_model("owner/small", workspace)
    assert (card.kind, card.available, card.revision, card.path) == ("hub", True, COMMIT, str(snapshot))
    assert "owner/small" in [listed.name for listed in catalogue.list_models(workspace)]
    other = catalogue.find_model("owner/other", workspace)
    assert (other.available, other.path) == (False, None)
    with pytest.raises(ModelUnavailable, match="not on this machine"):
        catalogue.weights_fingerprint(other, workspace)


def test_half_a_download_is_not_listed(tiny_folder: Path, hub_cache: Path, workspace: Workspace):
    """A hub snapshot without weights is nothing to pick; asked for by name it is one that has to be fetched."""
    (_hub(hub_cache, tiny_folder, "owner/half") / "model.safetensors").unlink()
    assert "owner/half" not in [card.name for card in catalogue.list_models(workspace)]
    assert catalogue.find_model("owner/half", workspace).path is None


def test_damaged_own_model_is_listed_with_its_fault(workspace: Workspace, tiny_folder: Path, hub_cache: Path):
    """One broken model does not hide the others, and says what is wrong."""
    _install(workspace, tiny_folder, workspace.root, "broken")
    (workspace.models / "broken" / "model.safetensors").unlink()
    card = next(card for card in catalogue.list_models(workspace) if card.name == "broken")
    assert not card.available
    assert "holds no *.safetensors file" in card.note


def test_adapter_names_its_base(tiny_folder: Path, tmp_path: Path, workspace: Workspace):
    """An adapter's identity is its base's weights and its own."""
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tiny_folder)}))
    (adapter / "adapter_model.safetensors").write_bytes((tiny_folder / "model.safetensors").read_bytes())
    card, base = catalogue.find_model(str(adapter)), catalogue.find_model(str(tiny_folder))
    found = catalogue.model_fingerprint(card, "float32", "cpu", workspace)
    assert found.weights == catalogue.weights_fingerprint(base, workspace)
    assert found.adapter == catalogue.weights_fingerprint(card, workspace)
    assert catalogue.model_fingerprint(base, "float32", "cpu", workspace).adapter is None


def _adapter(folder: Path, base: Path, weights: Path) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    (folder / "adapter_model.safetensors").write_bytes(weights.read_bytes())
    return folder


def test_an_adapter_on_itself_is_told(tiny_folder: Path, tmp_path: Path):
    """A base that is the adapter, or another adapter that leads back to it, is one sentence."""
    weights = tiny_folder / "model.safetensors"
    itself = _adapter(tmp_path / "itself", tmp_path / "itself", weights)
    with pytest.raises(ModelUnavailable, match=r"names itself as its base model .*base_model_name_or_path of .*adapter_config\.json"):
        catalogue.base_card(catalogue.find_model(str(itself)))
    one = _adapter(tmp_path / "one", tmp_path / "two", weights)
    _adapter(tmp_path / "two", one, weights)
    with pytest.raises(ModelUnavailable, match="which is an adapter itself"):
        catalogue.base_card(catalogue.find_model(str(one)))


def test_a_hub_model_whose_configuration_lies_hides_no_other(tiny_folder, monkeypatch, tmp_path):
    """Whoever fetched it: the cache of the hub's models is shared with other programs."""
    from sftqa_core.planning.offers import offered_models

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    lies = {"architectures": {"architectures": 5}, "inner": {"text_config": [1]}, "huge": {"hidden_size": 10**400}}
    for name, lie in lies.items():
        snapshot = tmp_path / "hub" / f"models--lying--{name}" / "snapshots" / ("a" * 40)
        shutil.copytree(tiny_folder, snapshot)
        config = json.loads((snapshot / "config.json").read_text())
        (snapshot / "config.json").write_text(json.dumps({**config, **lie}))
    names = [offer.card.name for offer in offered_models("cpu").offers]
    assert "atlas-llama" in names
    assert [name for name in names if name.startswith("lying/")] == [f"lying/huge@{'a' * 40}"]


def test_an_address_in_place_of_an_id_is_told(workspace):
    with pytest.raises(ModelUnavailable, match=r"give the last two parts of a hub.s page, owner/name, or of a server http"):
        catalogue.find_model("https://huggingface.co/Qwen/Qwen3-0.6B", workspace)
