"""Heavy: a tiny causal language model and its tokenizer, from nothing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sftqa_core.records import PretrainSettings

END = "<|end|>"  # starts every document and every prompt, ends every document: beginning and end token in one
PAD = "<|pad|>"  # not the end token: padding that looks like the end is how models unlearn to stop
END_ID, PAD_ID = 0, 1
MAX_POSITIONS = 512


def train_tokenizer(documents: Iterable[str], vocabulary: int) -> Any:
    """A byte-level BPE `tokenizers.Tokenizer` of at most `vocabulary` entries that puts the end token before each text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{END} $A", pair=f"{END} $A $B", special_tokens=[(END, END_ID)])
    return tokenizer


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write the files that `AutoTokenizer` loads."""
    from transformers import PreTrainedTokenizerFast

    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END, eos_token=END, pad_token=PAD, clean_up_tokenization_spaces=False
    )
    wrapped.save_pretrained(folder)


def build_model(settings: PretrainSettings, vocabulary: int, attention: str = "eager") -> Any:
    """An untrained model with tied embeddings; torch's seed decides its weights. `attention`: transformers' name of how it is computed."""
    from transformers import (
        GPTNeoXConfig,
        GPTNeoXForCausalLM,
        LlamaConfig,
        LlamaForCausalLM,
        Qwen2Config,
        Qwen2ForCausalLM,
    )

    common: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": settings.hidden_size,
        "intermediate_size": settings.intermediate_size,
        "num_hidden_layers": settings.layers,
        "num_attention_heads": settings.heads,
        "max_position_embeddings": max(MAX_POSITIONS, settings.sequence_length),
        "bos_token_id": END_ID,
        "eos_token_id": END_ID,
        "pad_token_id": PAD_ID,
        "tie_word_embeddings": True,
        "attn_implementation": attention,
    }
    if settings.architecture == "gpt_neox":
        return GPTNeoXForCausalLM(GPTNeoXConfig(**common))
    if settings.architecture == "qwen2":
        return Qwen2ForCausalLM(Qwen2Config(**common, num_key_value_heads=settings.key_value_heads or settings.heads))
    return LlamaForCausalLM(LlamaConfig(**common, num_key_value_heads=settings.key_value_heads or settings.heads))
