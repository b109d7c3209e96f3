"""A random two-layer model with a byte-level tokenizer: enough to train and predict in a test."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from sftqa_core.models.catalogue import ModelFingerprint
from sftqa_core.models.loading import LoadedModel, beginning_ids
from sftqa_core.records import ModelCard

END = "<|end|>"


def byte_level_tokenizer(texts: list[str] | None = None, vocabulary: int = 320, **special: Any) -> PreTrainedTokenizerFast:
    """Byte-level BPE like GPT-2's; one end token that is also pad, unless told otherwise."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=[END], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts or ["Q: Where was Ann born?\nA: Paris. London. Rome."] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **({"eos_token": END, "pad_token": END} | special))


def tiny_loaded(seed: int = 0, tokenizer: Any = None, name: str = "tiny") -> LoadedModel:
    """An untrained Llama of some 30,000 parameters in float32 on the CPU."""
    tokenizer = tokenizer or byte_level_tokenizer()
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config).eval()
    card = ModelCard(name, "folder", None, True, parameters=sum(p.numel() for p in model.parameters()))
    end = tokenizer.eos_token_id
    model.generation_config = GenerationConfig(eos_token_id=[end], pad_token_id=tokenizer.pad_token_id, do_sample=False)
    fingerprint = ModelFingerprint("w" * 16, None, "float32", "cpu")
    return LoadedModel(card, model, tokenizer, "cpu", "float32", fingerprint, beginning_ids(tokenizer), (end,), tokenizer.pad_token_id)
