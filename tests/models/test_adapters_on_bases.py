"""Adapters as people have them: what preflight says of them is what loading does, and the numbers are peft's own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import AutoPeftModelForCausalLM, LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from sftqa_core.errors import ModelUnavailable, SettingsError
from sftqa_core.models.catalogue import base_card, find_model, model_fingerprint, name_base
from sftqa_core.models.loading import load_model
from sftqa_core.planning.offers import add_model, offered_models
from sftqa_core.planning.preflight_model import look_at
from tests.families.checkpoints import tokenizer_of, write_checkpoint
from tests.four_bits import needs_bitsandbytes

ADDED = 3


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model with an output head of its own, and one that shares its embeddings."""
    root = tmp_path_factory.mktemp("bases")
    words = tokenizer_of("metaspace", True, None)
    torch.manual_seed(5)
    sides = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    ids = {"vocab_size": len(words), "bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id}
    LlamaForCausalLM(LlamaConfig(tie_word_embeddings=True, **sides, **ids)).save_pretrained(root / "tied")
    words.save_pretrained(root / "tied")
    return {"untied": write_checkpoint("llama", root), "tied": root / "tied"}


@pytest.fixture
def tune(tmp_path: Path) -> Callable[..., Path]:
    """Makes an adapter with peft, its numbers drawn, on a base whose tokenizer may get `added` words."""

    def make(base: Path, added: int = 0, words: bool = True, save: bool | str = "auto", **settings: object) -> Path:
        torch.manual_seed(3)
        model, tokenizer = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), AutoTokenizer.from_pretrained(base)
        if added:
            tokenizer.add_tokens([f"newword{n}" for n in range(added)])
            model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        tuned = get_peft_model(model, LoraConfig(r=2, task_type="CAUSAL_LM", **{"target_modules": ["q_proj"], **settings}))
        with torch.no_grad():
            for parameter in tuned.parameters():
                if parameter.requires_grad:
                    parameter.normal_(0, 0.2)
        tuned.save_pretrained(tmp_path / "adapter", save_embedding_layers=save)
        if words:
            tokenizer.save_pretrained(tmp_path / "adapter")
        return tmp_path / "adapter"

    return make


def logits(model: torch.nn.Module, *more: int) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(torch.tensor([[1, 5, 9, 20, *more]])).logits


def said(folder: Path) -> str:
    """What preflight says of the model."""
    return next(check.line for check in look_at(str(folder)).checks if check.name == "model")


def refusal(folder: Path) -> str:
    """What loading says, which is what preflight says."""
    with pytest.raises(ModelUnavailable) as refused:
        load_model(find_model(str(folder)), "cpu")
    assert said(folder) == str(refused.value)
    return str(refused.value)


def config(folder: Path, **values: object) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize("base", ["tied", "untied"])
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"target_modules": r".*\.(q|v)_proj"}, "Its pattern of layers is not evaluated: its weights tell the 4 layers."),
        ({"added": ADDED}, "embeddings are resized from 420 to its 423 tokens."),
        ({"added": ADDED, "modules_to_save": ["embed_tokens", "lm_head"]}, "embeddings are resized from 420 to its 423 tokens."),
        ({"added": ADDED, "modules_to_save": ["embed_tokens"]}, "embeddings are resized from 420 to its 423 tokens."),
        ({"added": ADDED, "trainable_token_indices": [420, 421, 422]}, "embeddings are resized from 420 to its 423 tokens."),
        ({"target_modules": ["q_proj", "lm_head"]}, {"tied": "they are separated first."}),
        ({"target_modules": ["q_proj", "embed_tokens"]}, {"tied": "they are separated first."}),
        ({"modules_to_save": ["lm_head"]}, ""),
    ],
    ids=["pattern", "added", "added, saved whole", "added, embeddings alone", "added, by token", "head", "embeddings", "whole head"],
)
def test_it_gives_pefts_numbers(bases: dict[str, Path], tune: Callable[..., Path], base: str, settings: dict, told: object):
    """Merged here, beside its base there. Preflight found no problem, and said what is done."""
    folder = tune(bases[base], **settings)
    more = [422] if settings.get("added") else []
    wanted = logits(AutoPeftModelForCausalLM.from_pretrained(folder, dtype=torch.float32), *more)
    loaded = load_model(find_model(str(folder)), "cpu")
    assert torch.allclose(logits(loaded.model, *more), wanted, atol=1e-4)
    looked = look_at(str(folder))
    assert [check for check in looked.checks if check.state == "problem"] == []
    expected = told.get(base, "") if isinstance(told, dict) else told
    line = said(folder)
    assert line.endswith(expected) if expected else line.endswith("parameters).")


@pytest.mark.parametrize("settings", [{"target_modules": ["q_proj", "lm_head"]}, {"modules_to_save": ["lm_head"]}], ids=["LoRA", "whole"])
def test_a_merged_head_survives_being_saved(bases: dict[str, Path], tune: Callable[..., Path], tmp_path: Path, settings: dict):
    """The base shares its head with the embeddings; the merged model has one of its own."""
    loaded = load_model(find_model(str(tune(bases["tied"], **settings))), "cpu")
    loaded.model.save_pretrained(tmp_path / "merged")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    assert torch.allclose(logits(again), logits(loaded.model), atol=1e-5)


@needs_bitsandbytes
@pytest.mark.parametrize(
    "settings", [{"target_modules": r".*\.(q|v)_proj"}, {"added": ADDED}, {"target_modules": ["q_proj", "lm_head"]}], ids=str
)
def test_in_4_bits_the_adapter_stays_beside_its_base(bases: dict[str, Path], tune: Callable[..., Path], settings: dict):
    """With the same layers, rows and head; the numbers are those of the whole model but for the 4 bits."""
    card = find_model(str(tune(bases["tied"], **settings)))
    whole, small = load_model(card, "cpu"), load_model(card, "cpu", quantization="nf4")
    near, exact = logits(small.model).float(), logits(whole.model)
    assert near.shape == exact.shape
    assert torch.corrcoef(torch.stack([near.flatten(), exact.flatten()]))[0, 1] > 0.9


def test_only_an_adapter_that_was_merged_wrongly_has_another_key(bases: dict[str, Path], tune: Callable[..., Path]):
    """LoRA on a shared head changed the embeddings, too, when it was merged; those results are not taken for these."""
    from sftqa_core.models.catalogue import weights_fingerprint

    plain = find_model(str(tune(bases["tied"])))
    assert model_fingerprint(plain, "float32", "cpu").adapter == weights_fingerprint(plain)
    head = find_model(str(tune(bases["tied"], target_modules=["lm_head"])))
    assert model_fingerprint(head, "float32", "cpu").adapter != weights_fingerprint(head)


def test_tokens_that_nobody_trained_are_told_with_both_sizes(bases: dict[str, Path], tune: Callable[..., Path]):
    """New rows would be random numbers, so nothing is resized where the adapter holds none."""
    folder = tune(bases["tied"], added=ADDED, save=False)
    with pytest.raises(ModelUnavailable) as refused:
        load_model(find_model(str(folder)), "cpu")
    words = "tokenizer knows 3 tokens that the model does not, such as 'newword2' (422; the model knows 420)."
    assert words in str(refused.value)
    assert next(check.said for check in look_at(str(folder)).checks if check.name == "tokenizer").endswith(words)


def test_embeddings_without_their_head_are_told_with_both_sizes(bases: dict[str, Path], tune: Callable[..., Path]):
    """A base with a head of its own would get random rows there."""
    from safetensors.torch import load_file, save_file

    folder = tune(bases["untied"], added=ADDED)
    held = load_file(folder / "adapter_model.safetensors")
    save_file({name: rows for name, rows in held.items() if "lm_head" not in name}, folder / "adapter_model.safetensors")
    told = refusal(folder)
    assert "is an adapter for 423 tokens, its base model knows 420, and the adapter brings no output head for the rest." in told


def test_another_models_adapter_is_told_before_it_is_loaded(bases: dict[str, Path], tune: Callable[..., Path], tmp_path: Path):
    """Both widths are named."""
    folder = tune(bases["tied"])
    sides = {"vocab_size": 420, "hidden_size": 64, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(**sides)).save_pretrained(tmp_path / "wider")
    config(folder, base_model_name_or_path=str(tmp_path / "wider"))
    told = refusal(folder)
    assert "its layer model.layers.0.self_attn.q_proj reads 32 numbers, the base's has 64 by 64." in told
    with pytest.raises(ModelUnavailable, match="does not fit its base model"):
        name_base(find_model(str(folder)), str(tmp_path / "wider"))


def test_a_base_that_was_moved_is_told_with_where_its_path_stands(bases: dict[str, Path], tune: Callable[..., Path]):
    """It is the adapter's base that is missing, its place stands in adapter_config.json, and the command that names another."""
    folder = tune(bases["tied"])
    config(folder, base_model_name_or_path="/gone/base")
    told = refusal(folder)
    assert told.startswith(f"{folder} is an adapter, and its base model is not at /gone/base (as base_model_name_or_path in {folder}/")
    assert "There is no folder /gone/base with a model in it." in told
    assert told.endswith(f"sftqa models --add {folder} --base FOLDER, or on the Models page.")


def test_a_named_base_takes_its_place(bases: dict[str, Path], tune: Callable[..., Path], tmp_path: Path):
    """The adapter's files stay as they are, the key does not change, and the lists show the adapter as usable."""
    folder = tune(bases["tied"])
    key = model_fingerprint(find_model(str(folder)), "float32", "cpu")
    before = (folder / "adapter_config.json").read_bytes()
    moved = Path(shutil.copytree(bases["tied"], tmp_path / "moved"))
    config(folder, base_model_name_or_path="/gone/base")
    gone = (folder / "adapter_config.json").read_bytes()
    add_model(str(folder), str(moved))
    card = find_model(str(folder))
    assert base_card(card).path == str(moved)
    assert load_model(card, "cpu").model.config.vocab_size == 420
    assert (folder / "adapter_config.json").read_bytes() == gone
    (folder / "adapter_config.json").write_bytes(before)
    assert model_fingerprint(card, "float32", "cpu") == key
    assert next(offer.state for offer in offered_models("cpu").offers if offer.card.name == str(folder)) == "here"


def test_what_can_be_no_base_is_refused(bases: dict[str, Path], tune: Callable[..., Path]):
    """Another adapter, a whole model in the adapter's place, a folder that is none."""
    folder = tune(bases["tied"])
    card = find_model(str(folder))
    with pytest.raises(ModelUnavailable, match=r"is an adapter itself\. Name the whole model"):
        name_base(card, str(folder))
    with pytest.raises(ModelUnavailable, match="There is no folder"):
        name_base(card, "/gone/base")
    with pytest.raises(SettingsError, match="is not an adapter on this machine"):
        name_base(find_model(str(bases["tied"])), str(bases["tied"]))
