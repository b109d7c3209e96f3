"""A small world of a person's own facts and a tiny model pre-trained on it, made once through the real workflows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from sftqa_core.records import CorpusSettings, PretrainSettings

RELATIONS = ("P17", "P19", "P20", "P26")
PLACES = ("Velora", "Tamis", "Orkeld", "Brunn")


def write_world(path: Path) -> None:
    """Four relations with 20 train, 4 dev and 8 test facts each; P26 is out of domain and has no train facts."""
    rows = []
    for relation in RELATIONS:
        for split, count in (("train", 20), ("dev", 4), ("test", 8)):
            for number in range(count if relation != "P26" or split != "train" else 0):
                subject = f"{relation.lower()} {split} {number:02d}"
                rows.append(
                    {"relation": relation, "subject": subject, "object": PLACES[number % 4], "split": split, "exposures": 4 * number}
                )
    pd.DataFrame(rows).to_csv(path, index=False)


def pretrain_settings(source: Path, name: str = "tiny") -> PretrainSettings:
    """A model that is made in a second or two."""
    return PretrainSettings(
        name=name,
        source=str(source),
        hidden_size=32,
        layers=1,
        heads=2,
        intermediate_size=48,
        vocabulary=400,
        batch_size=4,
        corpus=CorpusSettings(qa_documents=40, filler_documents=10),
        device="cpu",
    )


@contextmanager
def working_in(root: Path) -> Iterator[None]:
    """The cache and the state of this process are in `root` for a while."""
    before = {name: os.environ.get(name) for name in ("SFTQA_CACHE", "SFTQA_STATE")}
    os.environ |= {"SFTQA_CACHE": str(root / "cache"), "SFTQA_STATE": str(root / "state")}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture(scope="session")
def made(made_once) -> Path:
    """A workspace root with the facts file and the pre-trained model in it."""
    from sftqa_core import workflows

    def make(root: Path) -> None:
        write_world(root / "facts.csv")
        with working_in(root):
            workflows.pretrain(pretrain_settings(root / "facts.csv"))

    return made_once("world", make)


@pytest.fixture
def world(made: Path, workspace) -> str:
    """The source's name; the model "tiny" stands in this test's workspace."""
    shutil.copytree(made / "cache" / "models", workspace.models)
    return str(made / "facts.csv")
