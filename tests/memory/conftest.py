"""A tiny language model that has just learned a few sentences: it ends, repeats itself and sometimes knows an answer."""

import pytest

SENTENCES = [
    f"{name} {verb} {place}."
    for name, place in [("Ada", "Paris"), ("Bo", "New York"), ("Cy", "Zürich"), ("Di", "Paris"), ("Ed", "Lima")]
    for verb in ("was born in", "lives in", "is from")
]


@pytest.fixture(scope="session")
def tiny():
    """A loaded model: 2 layers, hidden 32, byte-level BPE, `<|end|>` as start, end and pad."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        SENTENCES, trainers.BpeTrainer(vocab_size=290, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False)
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<|end|>", eos_token="<|end|>", pad_token="<|end|>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=128, bos_token_id=0, eos_token_id=0, pad_token_id=0, tie_word_embeddings=True,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    rows = [[0, *tokenizer(text)["input_ids"], 0] for text in SENTENCES]
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    labels = torch.tensor([row + [-100] * (width - len(row)) for row in rows])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(40):
        model(input_ids=ids, labels=labels, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    from sftqa_core.models.catalogue import ModelFingerprint
    from sftqa_core.models.loading import LoadedModel
    from sftqa_core.records import ModelCard

    fingerprint = ModelFingerprint("w" * 16, None, "float32", "cpu")
    return LoadedModel(ModelCard("tiny", "folder", None, False), model, tokenizer, "cpu", "float32", fingerprint, [0], (0,), 0)


@pytest.fixture(scope="session")
def windowed():
    """One packed family for what does not depend on the family."""
    from sftqa_core.engine.decoder import packs
    from tests.memory.family_models import build

    loaded = build("qwen2-window")
    assert packs(loaded)
    return loaded


@pytest.fixture(scope="session")
def whole(windowed):
    """What is drawn when all prompts are under way together."""
    from sftqa_core.engine.sampling import make_sampler
    from tests.memory.family_models import prompts_of, rows_of

    return rows_of(make_sampler("shared", windowed, 16), prompts_of(windowed))
