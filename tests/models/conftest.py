"""A tiny untrained model in a folder, made once."""

import shutil
from pathlib import Path

import pytest

TEXTS = ["Velor was born in Tamil.", "Q: Where was Velor born?\nA: Tamil", "The quiet garden slept until noon."] * 20


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    from sftqa_core.models.pretraining import build_model, save_tokenizer, train_tokenizer
    from sftqa_core.records import PretrainSettings

    folder = tmp_path_factory.mktemp("made") / "tiny"
    tokenizer = train_tokenizer(TEXTS, 400)
    settings = PretrainSettings(name="tiny", hidden_size=32, layers=1, heads=2, intermediate_size=48)
    torch.manual_seed(0)
    build_model(settings, tokenizer.get_vocab_size()).half().save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder


@pytest.fixture
def tiny_folder(_made: Path, tmp_path: Path) -> Path:
    """A copy to change: fp16 llama of hidden size 32 with its own tokenizer."""
    return Path(shutil.copytree(_made, tmp_path / "tiny"))
