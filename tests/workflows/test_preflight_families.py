"""Checkpoints of the families that people use, random and tiny but real on disk, go through the preflight as they would be loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import Qwen2Config, Qwen2ForCausalLM

from sftqa_core import workflows
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.loading import beginning_ids, continuation, load_model
from sftqa_core.models.tokenizer_files import light_tokenizer
from sftqa_core.records import TrainSettings
from tests.amount import few
from tests.memory.family_models import GROUPED, build
from tests.tiny import byte_level_tokenizer

EVERY = (
    "llama", "qwen2", "qwen3", "gpt-neox", "gemma", "gemma3", "mistral-window", "phi", "phi3-window", "gpt2", "opt", "mixtral",
)  # fmt: skip
FAMILIES = few(EVERY, "llama", "qwen2", "gpt2", "mixtral")
TEXTS = ("Ada was born in Paris", " Lima", "from Rome.\nshe lives")


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A person's own facts, in the words that the tiny tokenizer knows."""
    rows = ["relation,subject,object,split"]
    rows += [f"P19,{name},Paris,{split}" for split, names in (("train", ("Ada", "Bo")), ("test", ("Cy", "Ada Bo"))) for name in names]
    (tmp_path / "facts.csv").write_text("\n".join(rows))
    return str(tmp_path / "facts.csv")


def save(family: str, folder: Path) -> None:
    """The family's checkpoint. Qwen 2's own tokenizer class builds itself anew from byte-level pieces, so it gets those."""
    if family != "qwen2":
        made = build(family)
        made.model.save_pretrained(folder)
        made.tokenizer.save_pretrained(folder)
        return
    tokenizer = byte_level_tokenizer()
    end = tokenizer.eos_token_id
    ends = {"bos_token_id": None, "eos_token_id": end, "pad_token_id": end}
    config = Qwen2Config(vocab_size=len(tokenizer), **{**GROUPED, **ends})
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_looked_at_as_it_is_loaded(family: str, tmp_path: Path, source: str):
    """Nothing stands in the way, and the light tokenizer reads as the loaded one does."""
    folder = tmp_path / family
    save(family, folder)
    loaded, light = load_model(find_model(str(folder)), "cpu"), light_tokenizer(folder)
    assert light is not None
    for text in TEXTS:
        assert light(text)["input_ids"] == loaded.tokenizer(text)["input_ids"]
    begun = [] if (forgotten := loaded.fingerprint.beginning) is None else [forgotten]
    assert (beginning_ids(light) or begun) == loaded.bos_ids
    assert bool(loaded.bos_ids) or not family.startswith("gemma")
    assert light.id_named("eos_token") == loaded.end_ids[0]
    assert continuation(light, TEXTS[0], " Lima") == continuation(loaded.tokenizer, TEXTS[0], " Lima")
    found = workflows.preflight(TrainSettings(str(folder), source, n=2, shots=0, device="cpu"))
    assert found.of("problem") == ()
    said = {check.name: check.said for check in found.checks}
    assert said["model"].startswith(f"{folder} is on this machine with all its weights (")
    assert said["context"].endswith("of the model's context window of 96.")


def test_a_tokenizer_with_word_marks_is_read_in_running_text(tmp_path: Path):
    """As Llama 2's: a mark stands in front of a text, and no second one before an answer behind its prompt."""
    pieces = {"<unk>": 0, "<s>": 1, "</s>": 2, "▁": 3} | {sign: 4 + at for at, sign in enumerate("ABCPQRabcdeilmnoprstuwx:?\n.h")}
    merged = [("▁", "P"), ("▁P", "a"), ("▁Pa", "r"), ("▁Par", "i"), ("▁Pari", "s")]
    pieces |= {"".join(pair): len(pieces) + at for at, pair in enumerate(merged)}
    raw = Tokenizer(models.BPE(pieces, merged, unk_token="<unk>", fuse_unk=True))
    raw.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=False)
    raw.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    raw.save(str(tmp_path / "tokenizer.json"))
    named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(named))
    light = light_tokenizer(tmp_path)
    assert light is not None
    from transformers import PreTrainedTokenizerFast

    loaded = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert beginning_ids(light) == beginning_ids(loaded) == [1]
    ids = continuation(light, "Q: Where?\nA:", " Paris")
    assert ids == continuation(loaded, "Q: Where?\nA:", " Paris")
    assert [raw.id_to_token(number) for number in ids] == ["▁Paris"]
