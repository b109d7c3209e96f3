"""Tokens are counted with the model's own tokenizer file."""

from __future__ import annotations

from pathlib import Path

from sftqa_core.models.catalogue import find_model
from sftqa_core.models.tokenizer_files import longest_tokens, token_counter


def test_a_models_own_tokenizer_counts():
    """As many as the loaded tokenizer gives, with its beginning token."""
    from transformers import AutoTokenizer

    folder = Path(find_model("atlas-llama").path or "")
    text = "Velor was born in Tamil."
    assert token_counter(folder)(text) == len(AutoTokenizer.from_pretrained(folder)(text)["input_ids"])


def test_without_a_tokenizer_a_third_of_the_bytes_is_told(tmp_path: Path):
    """For a folder without one, none at all, and one that can't be read."""
    assert token_counter(None)("123456") == token_counter(tmp_path)("123456") == 3
    (tmp_path / "tokenizer.json").write_text("{")
    assert token_counter(tmp_path)("123456") == 3


def test_the_longest_is_the_one_with_most_tokens():
    """Not that with most letters; of no text it is 1."""
    assert longest_tokens(["a" * 9, "b b b b"], lambda text: len(text.split())) == 4
    assert longest_tokens([], len) == 1
