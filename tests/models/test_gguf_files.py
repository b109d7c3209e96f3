"""Which GGUF files are one model, and what a damaged or hostile one comes to. No weights are read here."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest

from sftqa_core.errors import ModelUnavailable
from sftqa_core.models.gguf import gguf_header
from sftqa_core.models.gguf.gguf_header import FILE_TYPES, STORED, read_header
from sftqa_core.models.gguf.gguf_models import gguf_at
from tests.made_gguf import tiny_model, write_gguf


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama in Q8_0."""
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", tiny_model(), quantised="Q8_0")


def split(whole: Path, folder: Path, count: int = 3) -> list[Path]:
    """The same model in parts, as llama.cpp's gguf-split writes them."""
    reader, parts = gguf.GGUFReader(whole), []
    names = [f"tiny-{at:05d}-of-{count:05d}.gguf" for at in range(1, count + 1)]
    for at, name in enumerate(names):
        writer = gguf.GGUFWriter(folder / name, "llama")
        for field in reader.fields.values():
            if at == 0 and not field.name.startswith("GGUF.") and field.name != "general.architecture":
                inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
                writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=inner)
        writer.add_uint16("split.no", at)
        writer.add_uint16("split.count", count)
        writer.add_int32("split.tensors.count", len(reader.tensors))
        for tensor in reader.tensors[at::count]:
            writer.add_tensor(tensor.name, np.array(tensor.data), raw_dtype=tensor.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        parts.append(folder / name)
    return parts


def test_the_tables_are_those_of_the_package_gguf():
    """Names and sizes of what tensors are stored in, and names of whole files."""
    sizes = {int(kind): (kind.name, *size) for kind, size in gguf.GGML_QUANT_SIZES.items()}
    assert {code: sizes[code] for code in STORED} == STORED
    names = {int(kind): kind.name.replace("MOSTLY_", "").replace("ALL_", "") for kind in gguf.LlamaFileType}
    assert {code: names[code] for code in FILE_TYPES} == FILE_TYPES


def test_a_file_says_what_it_is(whole: Path):
    """Architecture, widths, number of parameters and quantisation."""
    model = gguf_at(whole)
    assert model is not None
    assert (model.label, model.rounded, model.parameters) == ("Q8_0, from GGUF", True, tiny_model().num_parameters())
    assert model.bits == pytest.approx(8.5, abs=0.2)
    assert model.config() == {
        "model_type": "llama", "dtype": "float32", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 96, "max_position_embeddings": 128, "vocab_size": 320,
        "rms_norm_eps": pytest.approx(1e-6),
    }  # fmt: skip


def test_an_ending_is_not_needed(whole: Path, tmp_path: Path):
    """Ollama names its files by their hash; a folder with one of them is that model, too."""
    blob = Path(shutil.copy(whole, tmp_path / "sha256-0123abc"))
    (tmp_path / "sha256-template").write_text("{{ .Prompt }}")
    for place in (blob, tmp_path):
        found = gguf_at(place)
        assert found is not None
        assert found.files == [blob]
    assert gguf_at(tmp_path / "sha256-template") is None


def test_a_folder_with_several_models_lists_them(whole: Path, tmp_path: Path):
    """What lies beside a language model (an image reader, an adapter) does not count; weights in safetensors come first."""
    first = Path(shutil.copy(whole, tmp_path / "tiny-Q8_0.gguf"))
    beside = write_gguf(tmp_path / "mmproj-tiny.gguf", tiny_model(num_hidden_layers=1), general__type="mmproj")
    found = gguf_at(tmp_path)
    assert found is not None
    assert found.files == [first]
    assert beside.exists()
    shutil.copy(whole, tmp_path / "tiny-again.gguf")
    with pytest.raises(ModelUnavailable, match=r"holds 2 GGUF models\. Type the path .* .*tiny-Q8_0\.gguf; .*tiny-again\.gguf"):
        gguf_at(tmp_path)
    (tmp_path / "model.safetensors").touch()
    assert gguf_at(tmp_path) is None
    assert gguf_at(first) is not None


def test_parts_are_found_from_any_of_them(whole: Path, tmp_path: Path):
    """Or from their folder."""
    parts = split(whole, tmp_path)
    for place in (*parts, tmp_path):
        model = gguf_at(place)
        assert model is not None
        assert (model.files, model.parameters) == (parts, tiny_model().num_parameters())


def test_a_missing_part_is_named(whole: Path, tmp_path: Path):
    """So is one that belongs to another model."""
    parts = split(whole, tmp_path)
    parts[1].rename(tmp_path / "kept")
    with pytest.raises(ModelUnavailable, match=r"is one of 3 parts, and tiny-00002-of-00003\.gguf is missing in .*Fetch all parts"):
        gguf_at(parts[0])
    shutil.copy(parts[2], parts[1])
    with pytest.raises(ModelUnavailable, match=r"says that it is part 2 \(from 0\) of 3; its name says part 1 of 3"):
        gguf_at(parts[0])
    alone = Path(shutil.copy(parts[0], tmp_path / "alone.gguf"))
    with pytest.raises(ModelUnavailable, match="is one of 3 parts, and its name does not say which"):
        gguf_at(alone)


def patched(whole: Path, path: Path, at: int, form: str, *values: int) -> Path:
    raw = bytearray(whole.read_bytes())
    struct.pack_into(form, raw, at, *values)
    path.write_bytes(raw)
    return path


HUGE = 1 << 60
FIRST_KEY = 24  # after magic, version and two counts
DAMAGE: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "tensors": (lambda whole, path: patched(whole, path, 8, "<Q", HUGE), f"it says it has {HUGE:,} tensors, the limit is 100,000"),
    "settings": (lambda whole, path: patched(whole, path, 16, "<Q", HUGE), f"it says it has {HUGE:,} settings"),
    "name": (lambda whole, path: patched(whole, path, FIRST_KEY, "<Q", HUGE), "bytes in a setting's name, the limit is 1,000"),
    "version": (lambda whole, path: patched(whole, path, 4, "<I", 1), "it is of version 1, and versions 2 and 3 are read"),
    "big-endian": (lambda whole, path: patched(whole, path, 4, ">I", 3), "it is big-endian"),
    "cut off": (lambda whole, path: path.write_bytes(whole.read_bytes()[:-1_000]), "it is truncated: it has"),
    "cut in the header": (lambda whole, path: path.write_bytes(whole.read_bytes()[:900]), "its header goes on to byte"),
    "empty": (lambda whole, path: path.write_bytes(b""), "it has 0 bytes"),
    "another format": (lambda whole, path: path.write_bytes(b"ggjt" + bytes(100)), "it begins with"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_refused(damage: str, whole: Path, tmp_path: Path):
    """At once, whatever its counts and lengths say."""
    make, said = DAMAGE[damage]
    make(whole, tmp_path / "odd.gguf")
    with pytest.raises(ModelUnavailable, match="is not a readable GGUF file") as refused:
        gguf_at(tmp_path / "odd.gguf")
    assert said in str(refused.value)


def header(*pieces: bytes, tensors: int = 0, settings: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, settings) + b"".join(pieces)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (header(text("a"), struct.pack("<IIQ", 9, 9, 1), settings=1), "'a' is an array of an unknown kind (9)"),
        (header(text("a"), struct.pack("<IIQ", 9, 8, HUGE), settings=1), f"it says it has {HUGE:,} elements in 'a'"),
        (header(text("a"), struct.pack("<IIQ", 9, 0, 3_999_999), settings=1), "it is truncated"),
        (header(text("a"), struct.pack("<I", 77), settings=1), "'a' is of an unknown kind (77)"),
        (header(*[text("a") + struct.pack("<IB", 0, 1)] * 2, settings=2), "it sets 'a' twice"),
        (header(text("t"), struct.pack("<I", 1_000_000), tensors=1), "tensor 't' has 1,000,000 dimensions"),
        (header(text("t"), struct.pack("<IQIQ", 1, 1 << 62, 0, 0), tensors=1), "has the impossible shape"),
        (header(text("t"), struct.pack("<IQIQ", 1, 32, 99, 0), tensors=1), "is stored in an unknown way (99)"),
        (header(text("t"), struct.pack("<IQIQ", 1, 31, 8, 0), tensors=1), "no whole number of blocks"),
        (header(text("t"), struct.pack("<IQIQ", 1, 32, 0, 1 << 40), tensors=1), "its tensors take"),
        (header(text("general.alignment"), struct.pack("<II", 4, 3), settings=1), "its general.alignment is 3"),
    ],
)
def test_a_hostile_header_is_refused(content: bytes, said: str, tmp_path: Path):
    """Nothing is reserved for what it only claims."""
    path = tmp_path / "odd.gguf"
    path.write_bytes(content + bytes(64))
    with pytest.raises(ModelUnavailable, match="is not a readable GGUF file") as refused:
        read_header(path)
    assert said in str(refused.value)


def test_a_header_without_end_is_not_read_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A sparse file can claim any length."""
    monkeypatch.setattr(gguf_header, "MAX_HEADER_BYTES", 10_000)
    path = tmp_path / "odd.gguf"
    path.write_bytes(header(text("a"), struct.pack("<IIQ", 9, 0, 3_999_999), settings=1))
    with path.open("r+b") as file:
        file.truncate(1 << 33)
    with pytest.raises(ModelUnavailable, match="its header has more than 10,000 bytes"):
        read_header(path)
