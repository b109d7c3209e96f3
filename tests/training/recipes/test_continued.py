"""Continue: what is written, filtered, packed and replayed; no test fact is ever read; the result loads with plain transformers."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM

from sftqa_core.errors import Stopped
from sftqa_core.models.footprint import Shape, TuningStep
from sftqa_core.progress import Recorder
from sftqa_core.records.recipes import Continue
from sftqa_core.training.recipes import continued, costs
from sftqa_core.training.recipes.continued import Documents, document_ids, joined
from sftqa_core.training.recipes.stages import StageCost
from sftqa_core.training.selection import select_examples
from sftqa_core.training.trainer import Collator
from sftqa_core.workspace import Workspace
from tests.amount import in_full
from tests.recipe_runs import SETTINGS, SOURCE, levels_of, made_of, same_weights, stages_of
from tests.tiny import tiny_loaded

SMALL = {"n": 6}
RECIPE = Continue(examples=3, templates=4)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What the recipe makes, and its folder."""
    folder = tmp_path_factory.mktemp("continue")
    return made_of(folder, RECIPE, save_model=True, **SMALL), folder


def test_it_trains_in_stages_and_loads_with_plain_transformers(made):
    """Statements, questions, target set, fine-tuning; with the weights of the run's folder the same numbers come out."""
    made, folder = made
    assert [stage.name for stage in made.stages] == ["statements", "questions", "target", "sft"]
    assert made.stages[-1].examples == 3
    assert len(made.examples) == 6
    ids = torch.arange(1, 9)[None]
    with torch.no_grad():
        loaded = AutoModelForCausalLM.from_pretrained(folder / "model")
        assert torch.equal(loaded(ids).logits, made.tuned.loaded.model(ids).logits)
    assert made.notes[-1] == "The last stage tunes on 3 examples. Its levels: sftqa probe --model run:RUN, with the name of this run."
    assert made.notes[-2].endswith("Test facts were never read.")


def test_documents_tell_their_fate(made):
    """The best 60% of each kind by the base's perplexity stay; the target set stays whole; the counts are those of the stages."""
    documents, stages = made[0].tables["documents"], made[0].tables["stages"].set_index("stage")
    assert list(documents.columns) == ["fact_id", "relation", "kind", "text", "perplexity", "fate"]
    assert documents["kind"].value_counts().to_dict() == {"statements": 24, "questions": 6, "target": 3}
    for kind in ("statements", "questions"):
        own = documents[documents["kind"] == kind]
        read = own[own["fate"] != "near-copy"]
        kept = read[read["fate"] == "kept"]
        assert len(kept) == round(0.6 * len(read)) == stages.loc[kind, "kept"]
        assert kept["perplexity"].max() <= read["perplexity"][read["fate"] == "perplexity"].min()
        assert stages.loc[kind, ["documents", "near_copies"]].tolist() == [len(own), len(own) - len(read)]
    assert set(documents["fate"][documents["kind"] == "target"]) == {"kept"}
    loaded, text = tiny_loaded(), documents["text"][0]
    ids = torch.tensor(document_ids(loaded, [text]))
    with torch.no_grad():
        value = math.exp(loaded.model(ids, labels=ids).loss.item())
    assert documents["perplexity"][0] == pytest.approx(value, rel=1e-4)


def test_no_test_fact_enters_any_stage(made):
    """Neither by id nor by text: no question, statement or subject of a test or dev fact is in what was trained on."""
    held_out = SOURCE.facts[SOURCE.facts["split"].isin(["test", "dev"])]
    taught = set(made[0].tables["documents"]["fact_id"])
    assert taught == set(made[0].examples["fact_id"])
    assert not taught & set(held_out["fact_id"])
    trained = []
    for name in ("statements", "questions", "target"):
        stored = pd.read_parquet(made[1] / "recipe" / name / "examples.parquet")
        trained += [text for texts in stored["documents"] for text in texts]
    trained += pd.read_parquet(made[1] / "recipe" / "sft" / "examples.parquet")["question"].tolist()
    assert len(trained) > 20
    assert not any(subject in text for text in trained for subject in held_out["subject"])
    assert not any(question in text for text in trained for question in held_out["question"])
    assert set(trained[:-3]) <= set(made[0].tables["documents"]["text"])


def test_forgetting_is_told_after_every_stage(made):
    """Perplexity of three kinds of statements, none of a test fact; the base's own change is 0."""
    table = made[0].tables["forgetting"]
    assert table["stage"].drop_duplicates().tolist() == ["base", "statements", "questions", "target", "sft"]
    assert table.groupby("facts", sort=False)["documents"].first().to_dict() == {
        "chosen facts": 6, "other train facts": 30, "out-of-domain dev facts": 3,
    }  # fmt: skip
    base, last = (table[table["stage"] == stage].set_index("facts") for stage in ("base", "sft"))
    assert base["log_ratio"].tolist() == [0, 0, 0]
    assert np.allclose(last["log_ratio"], np.log(last["perplexity"] / base["perplexity"]))
    assert last.loc["chosen facts", "log_ratio"] < 0


def test_sequences_hold_whole_documents_of_one_kind_and_relation(tmp_path):
    """Every document once, none cut, none beyond the length but one that is alone."""
    stages = stages_of(tmp_path, RECIPE, n=20)
    table = continued.filtered(stages, dataclasses.replace(RECIPE, kept=1.0))
    table.loc[0, ["text", "tokens"]] = ["x" * 200, 201]
    sequences = continued.packed(stages, "statements", table[table["kind"] == "statements"], table[table["kind"] == "questions"])
    expected = table[table["kind"] != "target"]
    assert sorted(text for texts in sequences["documents"] for text in texts) == sorted(expected["text"])
    where = expected.set_index("text")[["kind", "relation"]]
    for kind, relation, texts in zip(sequences["kind"], sequences["relation"], sequences["documents"], strict=True):
        assert {tuple(where.loc[text]) for text in texts} == {(kind, relation)}
    encoded = Documents().encode(stages.loaded, sequences, stages.run)
    assert all(len(one.ids) <= continued.PACKED or len(texts) == 1 for one, texts in zip(encoded, sequences["documents"], strict=True))
    assert max(len(texts) for texts in sequences["documents"]) > 1


def test_the_loss_is_that_of_pre_training():
    """Cross-entropy of every token but the first, over the documents one after another, computed in plain torch."""
    loaded = tiny_loaded()
    encoded = Documents().encode(loaded, pd.DataFrame({"documents": [["Ann was born in Rome.", "Bo was born in Paris."]]}), SETTINGS)
    (one,) = encoded
    first, second = document_ids(loaded, ["Ann was born in Rome.", "Bo was born in Paris."])
    assert list(one.ids) == first + second
    batch = Collator(loaded.pad_id)([{"input_ids": list(one.ids), "labels": list(one.labels)}])
    with torch.no_grad():
        logits = loaded.model(input_ids=batch["input_ids"]).logits[0].double()
        loss = loaded.model(**batch).loss.item()
    each = -torch.log_softmax(logits[:-1], -1)[torch.arange(len(one.ids) - 1), torch.tensor(one.ids[1:])]
    assert loss == pytest.approx(each.mean().item(), rel=1e-5)
    assert joined([[0, 1, 0], [0, 2, 0]]) == [0, 1, 0, 2, 0]
    assert joined([[5, 1, 0], [5, 2, 0]]) == [5, 1, 0, 5, 2, 0]


@pytest.mark.parametrize(("replay", "share"), [(0.0, 0.0), (0.1, 0.1), (0.5, 0.5)])
def test_replay_is_a_share_of_the_tokens(replay, share, tmp_path):
    """As many tokens of earlier stages as asked for, but for the last document; none twice; where there are fewer, all."""
    stages, recipe = stages_of(tmp_path, RECIPE, n=20), dataclasses.replace(RECIPE, replay=replay)
    earlier = pd.DataFrame({"text": [f"old {number}" for number in range(400)], "tokens": 10})
    new = pd.DataFrame({"text": [f"new {number}" for number in range(100)], "tokens": 9})
    drawn = continued.replayed(stages, recipe, "questions", new, earlier)
    assert drawn["text"].is_unique
    assert drawn["tokens"].sum() / (drawn["tokens"].sum() + 900) == pytest.approx(share, abs=0.01)
    assert len(continued.replayed(stages, recipe, "questions", new, earlier.head(5))) == (5 if replay else 0)
    assert continued.replayed(stages, recipe, "questions", new, earlier.head(0)).empty


def test_stages_can_be_swapped(tmp_path):
    """Questions first, without replay; then statements, with some; a run's epochs are those of the tuning at the end."""
    made = made_of(tmp_path, dataclasses.replace(RECIPE, order="questions"), epochs=2, **SMALL)
    assert [stage.planned_steps for stage in made.stages] == [-(-stage.examples // 8) for stage in made.stages[:-1]] + [2]
    table = made.tables["stages"]
    assert table["stage"].tolist() == ["questions", "statements", "target"]
    assert (table["replayed"] > 0).tolist() == [False, True, True]


def test_the_examples_at_the_end_are_those_of_a_small_run(tmp_path):
    """By topics alone, and where levels were chosen; more than there are: all."""
    stages = stages_of(tmp_path, RECIPE, n=20)
    few = continued.few_examples(stages, Continue(examples=7))
    assert few["fact_id"].tolist() == select_examples(SOURCE, None, dataclasses.replace(SETTINGS, n=7)).facts["fact_id"].tolist()
    assert len(continued.few_examples(stages, Continue(examples=60))) == 20
    run = dataclasses.replace(SETTINGS, n=10, levels=(1, 2))
    levels = levels_of(SOURCE.facts[SOURCE.facts["split"] == "train"])
    chosen = dataclasses.replace(stages, run=run, examples=select_examples(SOURCE, levels, run).facts)
    expected = select_examples(SOURCE, levels, dataclasses.replace(run, n=4)).facts
    assert continued.few_examples(chosen, Continue(examples=4))["fact_id"].tolist() == expected["fact_id"].tolist()


def test_an_adapter_ends_up_in_the_weights(tmp_path):
    """With LoRA all stages train one adapter; the result is a whole model, changed by as much as its rank; the base is as it was."""
    loaded, untouched = tiny_loaded(), tiny_loaded()
    made = made_of(tmp_path, dataclasses.replace(RECIPE, replay=0.0), loaded=loaded, method="lora", lora_rank=2, **SMALL)
    whole, before = made.tuned.loaded.model, untouched.model
    assert type(whole).__name__ == "LlamaForCausalLM"
    assert made.tuned.loaded.fingerprint.adapter is None
    assert same_weights(loaded, untouched)
    assert torch.equal(whole.get_input_embeddings().weight, before.get_input_embeddings().weight)
    layer = "model.layers.0.self_attn.q_proj"
    change = (whole.get_submodule(layer).weight - before.get_submodule(layer).weight).detach().double()
    assert torch.linalg.matrix_rank(change, atol=1e-5) == 2


@in_full
def test_a_kill_between_stages_leaves_the_result_as_it_is(made, tmp_path):
    """The documents are not filtered again; weights and tables are those of an undisturbed run."""
    whole, recorder = made[0], Recorder()
    with pytest.raises(Stopped):
        made_of(tmp_path / "killed", RECIPE, reporter=StopAt("train: target"), save_model=True, **SMALL)
    again = made_of(tmp_path / "again", RECIPE, reporter=recorder, save_model=True, **SMALL)
    assert not any(update.phase == "perplexity: statements" for update in recorder.updates)
    assert same_weights(again.tuned.loaded, whole.tuned.loaded)
    for name, table in whole.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table)
    assert list(Workspace.current().unfinished.iterdir()) == []


class StopAt(Recorder):
    """Asks to stop as soon as a phase is reported."""

    def __init__(self, phase: str):
        super().__init__()
        self.phase = phase

    def check(self) -> None:
        """Raises in that phase."""
        if any(update.phase == self.phase for update in self.updates):
            raise Stopped("Stopped.")


def test_its_cost_is_sequences_by_their_length():
    """3,024 of 5,040 statements at 12 tokens are 284 sequences; replay doubles what comes later; memory is that of 128 tokens."""
    run = dataclasses.replace(SETTINGS, n=240, recipe=Continue())
    documents, *stages, sft = costs(run, 240)
    assert (documents.read, sft) == (5280, StageCost("sft", 60, 1))
    assert [(stage.name, stage.examples) for stage in stages] == [("statements", 284), ("questions", 56), ("target", 23)]
    shape = Shape.of_loaded(tiny_loaded().model)
    step = TuningStep("full", 8, 8, 24)
    assert Documents().memory(shape, "cpu", step) > 0
    assert Documents().memory(shape, "cpu", dataclasses.replace(step, length=128)) == 0
