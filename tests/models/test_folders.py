"""What a model's folder is found to hold without torch."""

import json
import shutil
from pathlib import Path

import pytest

from sftqa_core.errors import ModelUnavailable
from sftqa_core.models.model_files import ModelFolder
from sftqa_core.workspace import Workspace


def test_parameters_are_counted_from_the_file_header(tiny_folder: Path):
    """The count equals what torch counts, tied embeddings once."""
    from transformers import AutoModelForCausalLM

    assert ModelFolder(tiny_folder).parameters() == AutoModelForCausalLM.from_pretrained(tiny_folder).num_parameters()


def test_pickled_weights_are_refused(tiny_folder: Path):
    """A folder with only .bin weights names the file, the reason and the conversion."""
    (tiny_folder / "model.safetensors").rename(tiny_folder / "pytorch_model.bin")
    with pytest.raises(ModelUnavailable, match=r"only as pytorch_model\.bin.*can run code.*save_pretrained"):
        ModelFolder(tiny_folder).weights()


def test_missing_part_of_split_weights_is_named(tiny_folder: Path):
    """An index whose second part did not arrive is told apart from no weights at all."""
    parts = {"a": "model.safetensors", "b": "model-00002.safetensors"}
    (tiny_folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))
    with pytest.raises(ModelUnavailable, match=r"lacks model-00002\.safetensors"):
        ModelFolder(tiny_folder).weights()


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"\x10\0\0\0\0\0\0\0[1, 2, 3]       ", b"PK\x03\x04" * 9])
def test_damaged_weights_are_told(tiny_folder: Path, content: bytes):
    """A file that is no safetensors file gives one sentence, whatever its bytes are."""
    (tiny_folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelUnavailable, match="not a readable safetensors file"):
        ModelFolder(tiny_folder).parameters()


@pytest.mark.parametrize(("text", "message"), [("{", "not readable JSON"), ("[]", "must hold a JSON object, got list")])
def test_damaged_configuration_is_told(tiny_folder: Path, text: str, message: str):
    """A broken config.json says what was seen."""
    (tiny_folder / "config.json").write_text(text)
    with pytest.raises(ModelUnavailable, match=message):
        ModelFolder(tiny_folder).config()


def test_fingerprint_follows_content_not_place(tiny_folder: Path, tmp_path: Path, workspace: Workspace):
    """A copy has the same fingerprint; generation settings don't count, the tokenizer does."""
    first = ModelFolder(tiny_folder).fingerprint(workspace)
    copy = Path(shutil.copytree(tiny_folder, tmp_path / "copy"))
    (copy / "generation_config.json").write_text('{"top_p": 0.9}')
    assert ModelFolder(copy).fingerprint(workspace) == first
    settings = json.loads((copy / "tokenizer_config.json").read_text())
    (copy / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": 7}))
    assert ModelFolder(copy).fingerprint(workspace) != first


@pytest.mark.parametrize("text", ["[]", "7", "{", "null"])
def test_damaged_digests_are_made_again(tiny_folder: Path, workspace: Workspace, text: str):
    """A file of digests that holds something else is as good as none."""
    first = ModelFolder(tiny_folder).fingerprint(workspace)
    (workspace.state / "digests.json").write_text(text)
    assert ModelFolder(tiny_folder).fingerprint(workspace) == first
    assert str(tiny_folder / "config.json") in (workspace.state / "digests.json").read_text()


def test_digests_are_remembered_and_noticed_when_stale(tiny_folder: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    """An unchanged file is not read twice, a changed one is."""
    from sftqa_core.models import model_files as folders

    first = ModelFolder(tiny_folder).fingerprint(workspace)
    read: list[str] = []
    monkeypatch.setattr(folders, "sha256", lambda path: read.append(path.name) or "0" * 64)
    assert ModelFolder(tiny_folder).fingerprint(workspace) == first
    assert read == []
    (tiny_folder / "config.json").write_text(" " + (tiny_folder / "config.json").read_text())
    assert ModelFolder(tiny_folder).fingerprint(workspace) != first
    assert read == ["config.json"]
