"""Several models in one repository or folder: a name says which, and nothing of the others is fetched."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from sftqa_core.errors import ModelUnavailable
from sftqa_core.models.catalogue import base_card, find_model, list_models, model_fingerprint, origin, repository
from sftqa_core.models.hub.fetch import ask_hub, download
from sftqa_core.models.hub.hub_cache import hub_cache, hub_name, without_revision
from sftqa_core.models.loading import load_model
from sftqa_core.planning.preflight_model import look_at

NAME = "owner/steps/run/step-10"


@pytest.fixture
def steps(tiny_folder: Path, tmp_path: Path) -> Path:
    """A repository with a model at its top and two in subfolders, each with weights of its own."""
    root = tmp_path / "steps"
    for at, place in enumerate((root, root / "run" / "step-10", root / "run" / "step-20")):
        shutil.copytree(tiny_folder, place, dirs_exist_ok=True)
        weights = load_file(place / "model.safetensors")
        save_file({name: tensor + at for name, tensor in weights.items()}, place / "model.safetensors", metadata={"format": "pt"})
    return root


def fetched() -> set[str]:
    """Files of models on this machine, within their snapshots."""
    files = [path for path in hub_cache().rglob("*") if path.is_file() and "snapshots" in path.parts]
    return {"/".join(path.parts[path.parts.index("snapshots") + 2 :]) for path in files}


def test_a_name_says_which_of_them():
    """Behind the repository, before the revision."""
    name = hub_name(f"{NAME}@v1")
    assert name is not None
    assert (name.repository, name.subfolder, name.revision, name.prefix) == ("owner/steps", "run/step-10", "v1", "run/step-10/")
    assert without_revision(f"{NAME}@v1") == repository(f"{NAME}@v1", "hub") == NAME


def test_only_its_own_files_are_fetched(fake_hub, steps: Path, tiny_folder: Path):
    """The card knows the commit, and nothing says that the model at the top is here."""
    commit = fake_hub.put("owner/steps", steps).branches["main"]
    assert find_model(NAME).path is None
    folder = download(NAME)
    assert fetched() == {f"run/step-10/{path.name}" for path in tiny_folder.iterdir()}
    card = find_model(NAME)
    assert (card.path, card.revision, card.kind) == (str(folder), commit, "hub")
    assert find_model("owner/steps").path is None
    assert NAME in [listed.name for listed in list_models()]
    assert find_model(f"{NAME}@{commit}").path == str(folder)
    loaded, wanted = load_model(card, "cpu"), load_model(find_model(str(steps / "run" / "step-10")), "cpu")
    assert (loaded.model.get_input_embeddings().weight == wanted.model.get_input_embeddings().weight).all()
    assert [check for check in look_at(NAME).checks if check.state == "problem"] == []


def test_each_of_them_has_its_own_key(fake_hub, steps: Path):
    """By its weights; the name with the subfolder stands beside the key."""
    fake_hub.put("owner/steps", steps)
    names = (NAME, "owner/steps/run/step-20", "owner/steps")
    for name in names:
        download(name)
    cards = [find_model(name) for name in names]
    assert len({model_fingerprint(card, "float32", "cpu").weights for card in cards}) == 3
    assert origin(cards[0])["name"] == NAME
    assert model_fingerprint(cards[0], "float32", "cpu") == model_fingerprint(find_model(str(steps / "run" / "step-10")), "float32", "cpu")


def test_fetching_a_newer_one_leaves_the_others_usable(fake_hub, steps: Path):
    """Each has a note of its own of the commit that its branch pointed to."""
    hub = fake_hub.put("owner/steps", steps)
    first = hub.branches["main"]
    download("owner/steps")
    second = hub.move({f"run/step-10/{path.name}": path.read_bytes() for path in (steps / "run" / "step-10").iterdir()})
    download(NAME)
    assert (find_model("owner/steps").revision, find_model(NAME).revision) == (first, second)
    assert find_model("owner/steps").available


def test_a_repository_tells_which_subfolders_hold_models(fake_hub, steps: Path):
    """One without a model at its top, and a subfolder that is not there. Sizes are those of the subfolder."""
    inner = {path.relative_to(steps).as_posix(): path.read_bytes() for path in (steps / "run").rglob("*") if path.is_file()}
    fake_hub.put("owner/steps", inner)
    told = "Models lie in its subfolders; name one: owner/steps/run/step-10, owner/steps/run/step-20."
    for name in ("owner/steps", "owner/steps/run/step-30"):
        with pytest.raises(ModelUnavailable, match=f"{name} has no safetensors weights on the hub") as refused:
            download(name)
        assert str(refused.value).endswith(told)
    assert ask_hub(NAME).size_bytes == sum(path.stat().st_size for path in (steps / "run" / "step-10").iterdir())


def test_a_subfolder_of_a_folder_is_a_model(steps: Path):
    """A training's folder without a model at its top says which of its subfolders hold one."""
    assert find_model(str(steps / "run" / "step-20")).available
    with pytest.raises(ModelUnavailable) as refused:
        find_model(str(steps / "run"))
    assert str(refused.value).endswith(
        "holds no model: it has no config.json. Its subfolders hold some: step-10, step-20. Pick one of them."
    )


def test_an_adapter_may_sit_on_one_of_them(fake_hub, steps: Path, tmp_path: Path):
    """Its files name the subfolder behind the repository, and the commit as its revision."""
    commit = fake_hub.put("owner/steps", steps).branches["main"]
    adapter = Path(shutil.copytree(steps / "run" / "step-10", tmp_path / "adapter"))
    (adapter / "config.json").unlink()
    (adapter / "model.safetensors").rename(adapter / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "base_model_name_or_path": NAME, "revision": commit, "target_modules": ["q_proj"]}
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    base = base_card(find_model(str(adapter)))
    assert base is not None
    assert (base.name, base.path) == (f"{NAME}@{commit}", None)
    with pytest.raises(ModelUnavailable, match="is not on this machine, so its weights are unknown"):
        model_fingerprint(find_model(str(adapter)), "float32", "cpu")
    download(base.name)
    here = base_card(find_model(str(adapter)))
    assert here is not None
    assert here.revision == commit
