"""Tiny models from nothing: seeded, resumable, with a manifest that says how."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sftqa_core.artifacts import damaged_files, read_manifest
from sftqa_core.errors import FactsError, SettingsError, Stopped
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.knowledge.relations import generic_relation
from sftqa_core.models.catalogue import exposures, seen_templates
from sftqa_core.models.loading import encode_prompts, load_model
from sftqa_core.models.pretraining import learning_rate, pretrain
from sftqa_core.records import PretrainSettings
from tests.models.toy import SMALL, StopsAfter, toy_source, weights


@pytest.fixture(scope="module")
def source() -> FactSource:
    return toy_source()


def test_a_finished_model_is_complete(source: FactSource, tmp_path: Path):
    """The folder loads, matches its manifest, and holds what the corpus said of each fact."""
    card = pretrain(SMALL, source, tmp_path / "small")
    manifest = read_manifest(tmp_path / "small")
    assert damaged_files(tmp_path / "small") == []
    assert PretrainSettings.from_dict(manifest["settings"]) == SMALL
    assert manifest["source"] == {"name": "toy", "fingerprint": "f" * 16}
    assert manifest["corpus"]["documents"] == {"statements": 120, "questions": 10, "filler": 5}
    assert manifest["training"]["tokens"] == manifest["training"]["steps"] * 8 * 32
    assert {"torch", "transformers", "tokenizers"} <= manifest["versions"].keys()
    assert len(seen_templates(card)["P19"]) == 14
    table = exposures(card)
    assert table is not None
    assert table["exposures"].tolist() == list(range(16))
    splits = dict(zip(source.facts["fact_id"], source.facts["split"], strict=True))
    assert {splits[name] for name in table.loc[table["carrier"], "fact_id"]} == {"train"}
    loaded = load_model(card, "cpu")
    assert encode_prompts(loaded, ["Person"])[0][0] == loaded.end_ids[0]
    assert loaded.model.num_parameters() == card.parameters == manifest["parameters"]


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gpt_neox"])
def test_each_architecture_learns_and_loads(source: FactSource, tmp_path: Path, architecture: str):
    """The loss falls below that of guessing, and the model loads from its file."""
    settings = PretrainSettings.from_dict({**SMALL.to_dict(), "architecture": architecture, "epochs": 2})
    card = pretrain(settings, source, tmp_path / "small")
    assert card.architecture == architecture
    assert read_manifest(tmp_path / "small")["training"]["final_loss"] < np.log(400)
    assert load_model(card, "cpu").model.config.tie_word_embeddings


def test_stopped_and_resumed_gives_the_same_weights(source: FactSource, tmp_path: Path):
    """Two stops and two resumptions end with the bytes of an undisturbed run, and leave no checkpoint."""
    pretrain(SMALL, source, tmp_path / "whole")
    for steps in (3, 6):
        with pytest.raises(Stopped):
            pretrain(SMALL, source, tmp_path / "parts", StopsAfter(steps))
        assert not (tmp_path / "parts").exists()
    resumed = StopsAfter(10**9)
    pretrain(SMALL, source, tmp_path / "parts", resumed)
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts", "whole"]


def test_a_checkpoint_of_other_settings_is_not_used(source: FactSource, tmp_path: Path):
    """Another seed starts afresh although a checkpoint lies there."""
    other = PretrainSettings.from_dict({**SMALL.to_dict(), "seed": 1})
    pretrain(other, source, tmp_path / "whole")
    with pytest.raises(Stopped):
        pretrain(SMALL, source, tmp_path / "parts", StopsAfter(3))
    pretrain(other, source, tmp_path / "parts")
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")


def test_a_damaged_checkpoint_means_a_fresh_start(source: FactSource, tmp_path: Path):
    """Half a checkpoint is ignored, not loaded and not an error."""
    folder = tmp_path / ".small.unfinished"
    folder.mkdir()
    (folder / "state.pt").write_bytes(b"PK\x03\x04 half")
    pretrain(SMALL, source, tmp_path / "small")
    assert not folder.exists()


def test_a_source_without_exposures_gets_drawn_ones(source: FactSource, tmp_path: Path):
    """Exposures are drawn up to the limit and recorded, and train facts are marked as carriers."""
    facts = source.facts.drop(columns="exposures")
    card = pretrain(SMALL, FactSource("toy", facts, source.relations, source.report, "0" * 16), tmp_path / "small")
    table = exposures(card)
    assert table is not None
    assert table.loc[~table["carrier"], "exposures"].between(4, SMALL.max_exposures).all()
    assert set(facts.loc[table["carrier"].array, "split"]) == {"train"}
    assert pd.api.types.is_integer_dtype(table["exposures"])


def test_bare_questions_are_refused(source: FactSource, tmp_path: Path):
    """Facts of a relation whose templates hold the question can't be stated without giving the test away."""
    facts = source.facts.assign(relation="qa", subject=source.facts["question"])
    bare = FactSource("toy", facts, {"qa": generic_relation("qa")}, source.report, "0" * 16)
    with pytest.raises(FactsError, match=r"bare question-answer pairs, found under qa \(16 facts\).*a relation, a subject and an object"):
        pretrain(SMALL, bare, tmp_path / "small")
    assert list(tmp_path.iterdir()) == []


def test_a_corpus_too_small_for_one_batch_is_told(source: FactSource, tmp_path: Path):
    """The message says how much there was and what to change."""
    settings = PretrainSettings.from_dict({**SMALL.to_dict(), "sequence_length": 512, "batch_size": 64})
    with pytest.raises(SettingsError, match="one batch needs 64"):
        pretrain(settings, source, tmp_path / "small")


def test_the_rate_warms_up_and_follows_a_cosine():
    """Half the rate after half the warm-up, the peak after it, 3% at the end."""
    settings = PretrainSettings.from_dict({**SMALL.to_dict(), "learning_rate": 1.0, "warmup_steps": 10})
    assert learning_rate(settings, 4, 1000) == pytest.approx(0.5, abs=1e-3)
    assert learning_rate(settings, 9, 1000) == pytest.approx(1.0, abs=1e-3)
    assert learning_rate(settings, 500, 1000) == pytest.approx(0.515, abs=1e-3)
    assert learning_rate(settings, 999, 1000) == pytest.approx(0.03, abs=1e-3)
