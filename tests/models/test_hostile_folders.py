"""Folders of models that harm: links, pipes, lies about sizes, code, patterns and counts without end. Each gets a message."""

import json
import os
import shutil
import struct
from pathlib import Path

import pytest

from sftqa_core.errors import ModelUnavailable, SftqaError
from sftqa_core.models.catalogue import base_card, find_model, list_models, model_fingerprint
from sftqa_core.models.loading import load_model
from sftqa_core.models.model_files import ModelFolder

INDEX = "model.safetensors.index.json"


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def header(folder: Path, content: object, tail: bytes = b"") -> None:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + tail)


def use(folder: Path) -> None:
    """Look at the folder as a page does, then load it as a worker does."""
    card = find_model(str(folder))
    model_fingerprint(card, "float32", "cpu")
    load_model(card, "cpu")


def refusal(folder: Path) -> str:
    """What is said of a folder that can't be used."""
    with pytest.raises(SftqaError) as refused:
        use(folder)
    return str(refused.value)


def replacing(what: dict, by: str) -> dict:
    """A part of a tokenizer."""
    return {"type": "Replace", "pattern": what, "content": by}


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_links_that_lead_out_of_the_folder_are_not_followed(tiny_folder: Path, tmp_path: Path, name: str):
    """A file elsewhere, a device, a link to itself, a pipe: none is opened."""
    outside = tmp_path / "outside"
    shutil.move(tiny_folder / name, outside)
    (tiny_folder / name).symlink_to(outside)
    assert f"{name} is a link that leads out of its folder, to {outside}. Copy that file in its place." in refusal(tiny_folder)
    (tiny_folder / name).unlink()
    (tiny_folder / name).symlink_to("/dev/zero")
    assert "is a link that leads out of its folder, to /dev/zero." in refusal(tiny_folder)
    (tiny_folder / name).unlink()
    os.mkfifo(tiny_folder / name)
    assert f"{name} is not a file." in refusal(tiny_folder)


def test_links_inside_a_folder_and_to_a_folder_are_followed(tiny_folder: Path, tmp_path: Path):
    """As a person arranges models, and as the hub's cache does."""
    (tiny_folder / "model.safetensors").rename(tiny_folder / "weights")
    (tiny_folder / "model.safetensors").symlink_to("weights")
    (tmp_path / "alias").symlink_to(tiny_folder)
    assert ModelFolder(tmp_path / "alias").parameters() == ModelFolder(tiny_folder).parameters()
    blobs, snapshot = tmp_path / "models--o--n" / "blobs", tmp_path / "models--o--n" / "snapshots" / "abc"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for path in tiny_folder.iterdir():
        if not path.is_symlink():
            shutil.copy(path, blobs / path.name)
            (snapshot / path.name).symlink_to(blobs / path.name)
    (snapshot / "model.safetensors").symlink_to(blobs / "weights")
    assert ModelFolder(snapshot).parameters() == ModelFolder(tiny_folder).parameters()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 100_000, "is not readable JSON (it is nested too deeply)."),
        (b'{"a": ' + b"9" * 10_000 + b"}", "is not readable JSON (it holds a number of thousands of digits)."),
        (b'{"model_type": "a", "model_type": "b"}', "is not readable JSON (duplicate key 'model_type')."),
        (b"\xff\xfe\0", "is not readable JSON ('utf-8' codec can't decode byte 0xff"),
        (b'{"model_type": ["llama"]}', "model_type must be a name, got ['llama']."),
        (b'{"model_type": "llama", "architectures": 5}', "architectures must be a list of names, got 5."),
        (b'{"model_type": "llama", "text_config": "x"}', "text_config must be a JSON object, got 'x'."),
        (b'{"x": "' + b"y" * 20_000_000 + b'"}', "config.json has 20,000,009 bytes, the limit is 20,000,000."),
    ],
    ids=["deep", "digits", "twice", "binary", "list", "architectures", "inner", "huge"],
)
def test_hostile_configurations_are_told(tiny_folder: Path, content: bytes, message: str):
    """Whatever config.json holds, it is read to a limit and in no time."""
    (tiny_folder / "config.json").write_bytes(content)
    assert message in refusal(tiny_folder)


@pytest.mark.parametrize("setting", ["num_hidden_layers", "n_layer", "num_local_experts"])
def test_layers_without_number_are_not_built(tiny_folder: Path, setting: str):
    """Ten million of them would keep a processor busy for hours before the weights are looked at."""
    change(tiny_folder / "config.json", **{setting: 10_000_000})
    assert f"its configuration says {setting}: 10000000, the limit is " in refusal(tiny_folder)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"a": {"dtype": "F32", "shape": [10**9] * 200, "data_offsets": [0, 4]}}, "it holds an invalid shape"),
        ({"a": {"dtype": "F32", "shape": [50, 50], "data_offsets": [0, 4]}}, "its header describes more numbers than the file can hold"),
        ({"a": {"dtype": "F32", "shape": [-5], "data_offsets": [0, 4]}}, "it holds an invalid shape"),
        ({"a": {"dtype": "F32", "shape": [1.5], "data_offsets": [0, 4]}}, "it holds an invalid shape"),
        (b'{"a": ' + b"[" * 50_000, "it is nested too deeply"),
        (b'{"a": {"shape": [' + b"9" * 10_000 + b"]}}", "it holds a number of thousands of digits"),
    ],
    ids=["product", "sum", "negative", "fraction", "deep", "digits"],
)
def test_weights_that_lie_about_their_sizes_are_told(tiny_folder: Path, head: object, message: str):
    """The header is checked against the file before anything is made of it."""
    header(tiny_folder, head, b"\0" * 4)
    assert f"is not a readable safetensors file ({message})." in refusal(tiny_folder)


def test_weights_that_end_before_their_tensors_are_told(tiny_folder: Path):
    """Before anything is loaded: the header tells how long the file has to be."""
    header(tiny_folder, {"a": {"dtype": "F32", "shape": [10], "data_offsets": [0, 40]}}, b"\0" * 4)
    assert "is not a readable safetensors file (it is truncated: it has 75 bytes, and its header describes 111)." in refusal(tiny_folder)


@pytest.mark.parametrize("named", ["../../../etc/passwd", "/etc/x.safetensors", "..\\x.safetensors", "w.bin", "a/b.safetensors", 7, None])
def test_an_index_names_only_safetensors_of_its_own_folder(tiny_folder: Path, named: object):
    """No path, and no pickled file under another name."""
    (tiny_folder / INDEX).write_text(json.dumps({"weight_map": {"a": named}}))
    assert f"{INDEX} names {named!r} for weights, which is no safetensors file in this folder." in refusal(tiny_folder)


def test_a_folder_of_a_model_and_an_adapter_is_refused(tiny_folder: Path):
    """transformers would load the adapter's base model in place of what the folder holds."""
    (tiny_folder / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "owner/other"}')
    assert "holds a model (config.json) and an adapter (adapter_config.json)" in refusal(tiny_folder)


@pytest.mark.parametrize("asked", ["someone/kernel", "kernels-community/attention", "flash_attention_2"])
def test_a_configuration_cannot_ask_for_program_code_of_the_hub(tiny_folder: Path, asked: str):
    """The attention that a folder names, which transformers may fetch and run, is passed over for the usual one."""
    change(tiny_folder / "config.json", attn_implementation=asked, _attn_implementation=asked, experts_implementation=asked)
    assert load_model(find_model(str(tiny_folder)), "cpu").model.config._attn_implementation in ("sdpa", "eager")


def adapter(folder: Path, base: Path, **values: object) -> Path:
    folder.mkdir()
    shutil.copy(base / "model.safetensors", folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "base_model_name_or_path": str(base), "r": 2, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps({**config, **values}))
    return folder


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"target_modules": "([a-z_.]+)+!"}, "names its layers by a pattern ('([a-z_.]+)+!'), and its weights hold no LoRA"),
        ({"rank_pattern": {"(a+)+$": 4}}, "with a pattern in place of names (rank_pattern: '(a+)+$'), which is not evaluated."),
        ({"exclude_modules": [7]}, "with a pattern in place of names (exclude_modules: 7), which is not evaluated."),
        ({"peft_type": "PROMPT_TUNING", "tokenizer_name_or_path": "owner/x"}, "is an adapter of type 'PROMPT_TUNING'. Only LoRA"),
        ({"base_model_name_or_path": ["x"]}, "does not name its base model (base_model_name_or_path is ['x'])."),
        ({"base_model_name_or_path": "../../nowhere"}, "There is no folder ../../nowhere with a model in it."),
    ],
    ids=["pattern", "pattern key", "number", "other kind", "list", "path"],
)
def test_hostile_adapters_are_told(tiny_folder: Path, tmp_path: Path, values: dict, message: str):
    """Patterns that never end, kinds that load other things, bases that are none."""
    assert message in refusal(adapter(tmp_path / "adapter", tiny_folder, **values))


def tokenizer(folder: Path, **parts: object) -> None:
    change(folder / "tokenizer.json", **parts)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"normalizer": replacing({"Regex": "."}, "x" * 2_000_000)}, "its tokenizer's normalizer expands text beyond any use"),
        (
            {"decoder": {"type": "Sequence", "decoders": [replacing({"String": "a"}, "x" * 2_000)] * 2}},
            "its tokenizer's decoder expands text",
        ),
        ({"normalizer": replacing({"Regex": "(((("}, "x")}, "could not be loaded: Oniguruma error"),
        ({"normalizer": replacing({"Regex": "."}, ""), "post_processor": None}, "makes no token of 'The capital of'"),
        ({"model": None}, "could not be loaded: "),
    ],
    ids=["grows", "grows in steps", "bad pattern", "says nothing", "no model"],
)
def test_hostile_tokenizers_are_told(tiny_folder: Path, parts: dict, message: str):
    """Replacements that fill the memory, patterns that are none, texts that vanish."""
    tokenizer(tiny_folder, **parts)
    assert message in refusal(tiny_folder)


def test_a_tokenizer_of_another_model_is_told(tiny_folder: Path):
    """Its ids would reach beyond the model's embeddings."""
    model = json.loads((tiny_folder / "tokenizer.json").read_text())["model"]
    tokenizer(tiny_folder, model={**model, "vocab": {text: at + 90_000 * (at > 5) for text, at in model["vocab"].items()}})
    assert "its tokenizer knows 300 tokens that the model does not, such as " in refusal(tiny_folder)


def test_a_pattern_that_never_ends_stops_the_tokenizer(tiny_folder: Path):
    """The library gives up with a panic, which is no `Exception`; it becomes a sentence."""
    from sftqa_core.models.loading import encode_prompts

    tokenizer(tiny_folder, normalizer={"type": "Replace", "pattern": {"Regex": "(l+)+$"}, "content": "x"})
    loaded = load_model(find_model(str(tiny_folder)), "cpu")
    with pytest.raises(ModelUnavailable, match=r"The model's tokenizer failed \(.*retry-limit-in-match over\)"):
        encode_prompts(loaded, ["l" * 40 + "!"])


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\0" * 99, b"[" * 200_000, b'{"version": "1.0"'], ids=["empty", "bare", "nul", "deep", "cut"]
)
def test_damaged_tokenizers_are_told(tiny_folder: Path, content: bytes):
    """Whatever tokenizer.json holds."""
    (tiny_folder / "tokenizer.json").write_bytes(content)
    assert str(tiny_folder) in refusal(tiny_folder)


def test_chat_templates_are_never_rendered(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch):
    """A model may bring one; nothing here asks for it, so that it can do nothing."""
    from transformers import PreTrainedTokenizerBase

    from sftqa_core.models.loading import encode_prompts

    monkeypatch.setattr(PreTrainedTokenizerBase, "apply_chat_template", lambda *a, **k: pytest.fail("a chat template was rendered"))
    (tiny_folder / "chat_template.jinja").write_text("{% for i in range(10**12) %}x{% endfor %}")
    change(tiny_folder / "tokenizer_config.json", chat_template="{{ ''.__class__.__mro__ }}{% for i in range(10**12) %}x{% endfor %}")
    assert len(encode_prompts(load_model(find_model(str(tiny_folder)), "cpu"), ["Velor was born in"])[0]) > 1
    sources = (Path(__file__).parents[2] / "sftqa_core").rglob("*.py")
    assert [path.name for path in sources if "apply_chat_template" in path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize(
    "name",
    ["../../etc", "a/b/../c", "--help", "http://x/y", "file:///etc/passwd", "\0", "a\0/b", "~nosuchuser/x", "x" * 5_000, "/" + "x" * 300,
     "owner/..", "..", " ", "a" * 300 + "/b", "o/n?x", "\ud800", "/dev/zero", "<b>x</b>", "C:\\x", "%2e%2e/etc"],
)  # fmt: skip
def test_hostile_names_are_no_models(name: str):
    """Paths that lead nowhere, addresses, options, names of any length: a sentence that quotes the name and is not long."""
    with pytest.raises(ModelUnavailable, match=r"There is no (model named|folder)|holds no model") as refused:
        find_model(name)
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize("revision", ["../../../outer", "..", "/etc", "a/b", "\0", "x" * 5_000, ""])
def test_a_revision_in_the_hubs_cache_stays_in_its_folder(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, revision: str
):
    """refs/main names a folder under snapshots/, and nothing else."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    shutil.copytree(tiny_folder, tmp_path / "outer")
    folder = tmp_path / "hub" / "models--o--n"
    (folder / "refs").mkdir(parents=True)
    (folder / "snapshots").mkdir()
    shutil.copy(tiny_folder / "config.json", folder / "config.json")
    (folder / "refs" / "main").write_text(revision)
    assert find_model("o/n").path is None
    assert "o/n" not in [card.name for card in list_models()]


def test_an_adapter_without_a_base_has_none(tiny_folder: Path, tmp_path: Path):
    """Asked before anything is loaded."""
    with pytest.raises(ModelUnavailable, match="does not name its base model"):
        base_card(find_model(str(adapter(tmp_path / "a", tiny_folder, base_model_name_or_path=None))))
