"""A GGUF model is read once into the cache, complete or not at all, and is a model like any other from then on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch

from sftqa_core import workflows
from sftqa_core.artifacts import damaged_files, read_manifest
from sftqa_core.errors import MissingPackage, ModelUnavailable, OutOfMemory, Stopped, StorageError
from sftqa_core.models import devices
from sftqa_core.models.catalogue import find_model, origin, weights_fingerprint
from sftqa_core.models.devices import DeviceRam
from sftqa_core.models.gguf import gguf_reading
from sftqa_core.models.gguf.gguf_models import GgufModel, gguf_at
from sftqa_core.models.hub.fetch import present
from sftqa_core.models.loading import encode_prompts, load_model
from sftqa_core.models.tokenizer_files import light_tokenizer
from sftqa_core.progress import Recorder
from sftqa_core.records import FetchSettings, TrainSettings
from sftqa_core.workflows import upkeep
from tests.made_gguf import TEXTS, tiny_model, write_gguf
from tests.models.test_gguf_files import split
from tests.tiny import byte_level_tokenizer


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", tiny_model(), tokenizer__chat_template="{{ messages }}")


@pytest.fixture
def file(made: Path, tmp_path: Path) -> Path:
    """A tiny Llama in float32, to be changed."""
    return Path(shutil.copy(made, tmp_path / "tiny.gguf"))


def model_at(path: Path) -> GgufModel:
    model = gguf_at(path)
    assert model is not None
    return model


def test_a_file_becomes_a_model_like_any_other(file: Path):
    """Its values, its tokens and its chat template; the card tells its quantisation before and after."""
    before = find_model(str(file))
    assert (before.kind, before.path, before.available, before.architecture) == ("gguf", None, True, "llama")
    assert (before.quantisation, before.parameters) == ("F32, from GGUF", tiny_model().num_parameters())
    loaded = load_model(before, "cpu")
    card = find_model(str(file))
    assert (card.kind, card.quantisation, card.parameters) == ("gguf", "F32, from GGUF", before.parameters)
    assert origin(card) == {"name": str(file), "kind": "gguf", "revision": None, "quantisation": "F32, from GGUF"}
    ids = encode_prompts(loaded, [TEXTS[0]])
    assert ids == [byte_level_tokenizer(TEXTS)(TEXTS[0])["input_ids"]]
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(torch.tensor(ids)).logits, tiny_model()(torch.tensor(ids)).logits, rtol=1e-4, atol=1e-4)
    folder = Path(card.path or "")
    light = light_tokenizer(folder)
    assert light is not None
    assert light(TEXTS[1])["input_ids"] == loaded.tokenizer(TEXTS[1])["input_ids"]
    assert (folder / "chat_template.jinja").read_text() == "{{ messages }}"
    assert damaged_files(folder) == []
    assert sorted(path.name for path in folder.iterdir()) == [
        "chat_template.jinja", "config.json", "generation_config.json", "manifest.json", "model.safetensors", "tokenizer.json",
        "tokenizer_config.json",
    ]  # fmt: skip
    assert find_model(str(folder)).quantisation == "F32, from GGUF"  # by its place, too


def test_rounded_values_are_those_of_the_file(tmp_path: Path):
    """Q8_0: as the package gguf widens them, near those of the model."""
    file = write_gguf(tmp_path / "tiny.gguf", tiny_model(), quantised="Q8_0")
    loaded = load_model(find_model(str(file)), "cpu")
    tensor = next(tensor for tensor in gguf.GGUFReader(file).tensors if tensor.name == "blk.1.ffn_up.weight")
    stored = torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type))
    read = loaded.model.model.layers[1].mlp.up_proj.weight
    assert torch.equal(read, stored)
    original = tiny_model().model.layers[1].mlp.up_proj.weight
    assert 0 < (read - original).abs().max() < 0.01


def test_parts_and_files_without_an_ending_give_the_same_weights(file: Path, tmp_path: Path):
    """And so the same results, whatever the files are called."""
    whole = weights_fingerprint(present(find_model(str(file)), None))
    parts = split(file, tmp_path, 2)
    blob = Path(shutil.copy(file, tmp_path / "sha256-77"))
    for place in (parts[1], blob):
        assert weights_fingerprint(present(find_model(str(place)), None)) == whole


def test_it_is_read_once(file: Path, tmp_path: Path, workspace, monkeypatch: pytest.MonkeyPatch):
    """Also under another name; a changed file, and another reader, are read anew."""
    reporter = Recorder()
    folder = gguf_reading.read_model(model_at(file), "tiny", reporter)
    assert folder.parent == workspace.gguf
    assert [update.done for update in reporter.updates][-1] == 4
    assert "Reading tiny (F32, from GGUF" in reporter.lines[0]
    monkeypatch.setattr(gguf_reading, "_read", lambda *_: pytest.fail("it was read again"))
    assert gguf_reading.read_already(model_at(file)) == folder
    moved = Path(shutil.copy(file, tmp_path / "moved"))
    assert gguf_reading.read_already(model_at(moved)) is None  # its hash is not known yet
    assert gguf_reading.read_model(model_at(moved), "tiny") == folder
    monkeypatch.setattr(gguf_reading, "SCHEMA", 2)
    assert gguf_reading.read_already(model_at(file)) is None
    monkeypatch.setattr(gguf_reading, "SCHEMA", 1)
    with file.open("r+b") as raw:
        raw.seek(-4, os.SEEK_END)
        raw.write(bytes(4))
    assert gguf_reading.read_already(model_at(file)) is None
    with pytest.raises(pytest.fail.Exception, match="read again"):
        gguf_reading.read_model(model_at(file), "tiny")


def test_the_record_says_what_was_read_and_by_what(file: Path):
    """Hash, readers' versions, quantisation, where the file was."""
    manifest = read_manifest(gguf_reading.read_model(model_at(file), "tiny"))
    assert manifest["kind"] == "gguf model"
    assert set(manifest["readers"]) == {"transformers", "gguf"}
    assert len(manifest["sha256"]["tiny.gguf"]) == 64
    assert (manifest["gguf"]["file"], manifest["gguf"]["quantisation"], manifest["gguf"]["rounded"]) == (str(file), "F32, from GGUF", False)


def test_an_interrupted_reading_leaves_nothing(file: Path, workspace):
    """And the next one goes through."""
    with pytest.raises(Stopped):
        gguf_reading.read_model(model_at(file), "tiny", Recorder(stop_after=1))
    assert [path.name for path in workspace.gguf.iterdir()] == []
    assert gguf_reading.read_model(model_at(file), "tiny").is_dir()


def test_a_value_that_is_no_number_is_refused(file: Path, workspace):
    """The process's own word reaches the person; nothing is kept."""
    with file.open("r+b") as raw:
        raw.seek(-4, os.SEEK_END)
        raw.write(b"\xff\xff\xff\xff")
    with pytest.raises(ModelUnavailable, match=r"tiny\.gguf is damaged: .* holds values that are no numbers"):
        gguf_reading.read_model(model_at(file), "tiny")
    assert list(workspace.gguf.iterdir()) == []


def test_room_is_asked_for_first(file: Path, monkeypatch: pytest.MonkeyPatch):
    """Disk and RAM, in numbers; nothing is started."""
    monkeypatch.setattr(gguf_reading, "_read", lambda *_: pytest.fail("it was started"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 10**6))
    with pytest.raises(StorageError, match=r"tiny takes 60\.\d MB on the disk once it is read \(float32\), and 1\.0 MB is free"):
        gguf_reading.read_model(model_at(file), "tiny")
    monkeypatch.undo()
    monkeypatch.setattr(devices, "device_ram", lambda _: DeviceRam(10**8, 16 * 10**9))
    with pytest.raises(OutOfMemory, match=r"tiny takes about 60\d MB of RAM while it is read .* 100 MB is free\. Close other programs"):
        gguf_reading.read_model(model_at(file), "tiny")


def test_without_the_package_the_way_to_it_is_told(file: Path, monkeypatch: pytest.MonkeyPatch):
    """By the work, and by preflight before it."""
    asked = gguf_reading.importlib.metadata.version

    def version(name: str) -> str:
        if name == "gguf":
            raise gguf_reading.importlib.metadata.PackageNotFoundError(name)
        return asked(name)

    monkeypatch.setattr(gguf_reading.importlib.metadata, "version", version)
    said = "Reading a GGUF model needs the package gguf, which is not installed: pip install gguf==0.19.0."
    with pytest.raises(MissingPackage) as refused:
        load_model(find_model(str(file)), "cpu")
    assert str(refused.value) == said
    (problem,) = workflows.preflight(TrainSettings(str(file), device="cpu")).of("problem")
    assert (problem.name, problem.said) == ("model", said)


def test_a_preflight_tells_what_reading_takes_and_what_rounding_means(tmp_path: Path):
    """Before anything is read; afterwards the tokenizer is looked at, too."""
    file = write_gguf(tmp_path / "tiny.gguf", tiny_model(), quantised="Q8_0")
    settings = TrainSettings(str(file), device="cpu", n=4)
    before = {check.name: check for check in workflows.preflight(settings).checks}
    assert "is read from GGUF once, before the work: about 0.6 GB of RAM, 0.1 GB on the disk" in before["model"].said
    assert before["quantisation"].said == "Q8_0, from GGUF: its values are rounded to 8.6 bits on average."
    assert before["quantisation"].fix == "Results are those of this file; the unquantised model may know more."
    assert before["tokenizer"].state == "unknown"
    workflows.fetch(FetchSettings(str(file)))
    after = {check.name: check for check in workflows.preflight(settings).checks}
    assert (after["quantisation"].said, after["tokenizer"].state) == (before["quantisation"].said, "ok")


def test_the_cache_lists_it_and_lets_go_of_what_nothing_finds(file: Path, workspace):
    """A folder whose file has gone, or that an older reader made."""
    folder = gguf_reading.read_model(model_at(file), "tiny")
    (held,) = [holding for holding in upkeep.holdings(workspace) if holding.kind == "models from GGUF"]
    assert (held.results, held.own) == (1, True)
    assert upkeep.removable(lambda *_: False, workspace) == []
    file.unlink()
    (item,) = upkeep.removable(lambda *_: False, workspace)
    assert (item.path, item.what) == (str(folder), "read from a GGUF file that has gone, or by another version")


LIMITED = """
import sys, json
from pathlib import Path
from sftqa_core.models.gguf import gguf_child
gguf_child._stay_offline()
import socket
try:
    socket.create_connection(("127.0.0.1", 9), 1)
except OSError as error:
    print(type(error).__name__)
gguf_child._limit(200_000_000, 1_000_000)
try:
    bytearray(1_000_000_000)
except MemoryError:
    print("MemoryError")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the system has no such limits")
def test_the_process_that_reads_is_limited():
    """No connection, no more memory than was told."""
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split() == ["StorageError", "MemoryError"], done.stderr


def test_a_tokenizer_begins_and_cuts_texts_as_llama_cpp_says(tmp_path: Path):
    """Llama 3's file need not say that a text begins with a token; SmolLM's digits stand alone."""
    settings: dict[str, Any] = {"tokenizer__ggml__pre": "llama-bpe"}
    three = write_gguf(tmp_path / "three.gguf", tiny_model(), **settings)
    folder = gguf_reading.read_model(model_at(three), "three")
    kept = json.loads((folder / "tokenizer.json").read_text())
    light = light_tokenizer(folder)
    assert light is not None
    assert light("Paris")["input_ids"][0] == 0
    assert kept["model"]["ignore_merges"] is True
    no = write_gguf(tmp_path / "no.gguf", tiny_model(), **settings, tokenizer__ggml__add_bos_token=False)
    light = light_tokenizer(gguf_reading.read_model(model_at(no), "no"))
    assert light is not None
    assert light("Paris")["input_ids"][0] != 0
    digits = write_gguf(tmp_path / "digits.gguf", tiny_model(), tokenizer__ggml__pre="smollm")
    kept = json.loads((gguf_reading.read_model(model_at(digits), "digits") / "tokenizer.json").read_text())
    assert [part["type"] for part in kept["pre_tokenizer"]["pretokenizers"]] == ["Digits", "ByteLevel"]
    strange = model_at(write_gguf(tmp_path / "strange.gguf", tiny_model(), tokenizer__ggml__pre="jais"))
    assert strange.doubts == [
        "How its tokenizer cuts texts into words ('jais') is not known here, so it is read as GPT-2's; others differ."
    ]
