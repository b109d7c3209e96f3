"""Greedy answers, how they are judged, and the baselines."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from sftqa_core.errors import SettingsError
from sftqa_core.evaluation.predictions import (
    COLUMNS,
    MajorityObject,
    encode_questions,
    few_shot_predictions,
    held_out_facts,
    majority_objects,
    majority_predictions,
    predict,
    score_texts,
)
from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.progress import Silent
from sftqa_core.records import TrainSettings
from sftqa_core.training.encoding import encode_prompt, prompt_text
from sftqa_core.training.fine_tuning import fine_tune
from tests.small import small_source
from tests.tiny import tiny_loaded

SETTINGS = TrainSettings(model="tiny", source="small", max_answer_tokens=5)


@pytest.fixture(scope="module")
def source():
    return small_source()


@pytest.fixture(scope="module")
def loaded():
    return tiny_loaded()


def facts(**columns):
    table = {"fact_id": ["a", "b", "c"], "relation": "P17", "answers": [["France"], ["USA"], ["R"]], "question": "?"}
    return pd.DataFrame(table | columns)


def test_answers_are_right_wrong_or_the_rivals():
    """The answer wins over the rival; a rival counts only where the answer is not there; no rival, no flag."""
    table = facts(answers=[["France"]] * 3, rival=["Spain", "Spain", None])
    found = score_texts(table, ["France or Spain", "in Spain.", "Spain"], "after", "tokens")
    assert found["correct"].to_list() == [True, False, False]
    assert found["rival"].to_list() == [False, True, False]
    assert found["matched"].dropna().to_dict() == {0: "France"}
    assert tuple(found) == COLUMNS
    assert found["mean_logprob"].isna().all()


def test_aliases_and_whole_words_decide():
    """An alias of the object is right and is what matched; short answers keep their case; a substring is none."""
    aliases = Aliases((("USA", "United States"),))
    texts = ["Francesca", "the united states", "r"]
    assert score_texts(facts(), texts, "after", "tokens", aliases)["matched"].dropna().to_dict() == {1: "United States"}
    none = score_texts(facts(), texts, "after", "tokens")
    assert (none["correct"].sum(), none["matched"].isna().sum()) == (0, 3)
    assert score_texts(facts(), texts, "after", "substring")["correct"].to_list() == [True, False, True]


def test_predictions_are_the_models_greedy_answers(loaded, source):
    """Each fact gets what a plain argmax loop writes after its prompt, in the facts' order, with progress in facts."""
    updates = []

    class Recorder(Silent):
        def progress(self, update):
            updates.append(update)

    table = held_out_facts(source, SETTINGS).head(4)
    found = predict(loaded, table, SETTINGS, Recorder(), stage="before")
    assert found["fact_id"].to_list() == table["fact_id"].to_list()
    assert set(found["stage"]) == {"before"}
    assert (updates[-1].phase, updates[-1].done, updates[-1].total, updates[-1].unit) == ("answers: before", 4, 4, "facts")
    for row, question in zip(found.itertuples(), table["question"], strict=True):
        ids, logs = list(encode_prompt(loaded, prompt_text(question, SETTINGS.prompt))), []
        start = len(ids)
        while len(ids) - start < 5 and (len(ids) == start or ids[-1] != loaded.end_ids[0]):
            with torch.no_grad():
                scores = loaded.model(input_ids=torch.tensor([ids])).logits[0, -1].log_softmax(-1)
            ids.append(int(scores.argmax()))
            logs.append(float(scores.max()))
        assert row.text == loaded.tokenizer.decode(ids[start:], skip_special_tokens=True)
        assert row.mean_logprob == pytest.approx(np.mean(logs), abs=1e-4)
        assert row.tokens == len(logs)


@pytest.mark.parametrize(("method", "epochs"), [("full", 5), ("lora", 5)])
def test_a_model_taught_an_answer_gives_it(method, epochs, loaded, source, tmp_path):
    """After training on one object long enough the tuned model answers with it; the base model does not.

    Full fine-tuning teaches it to end there, too; the adapter can't raise the end token, for the random output head is frozen.
    """
    examples = source.facts.query("split == 'train'").assign(answers=[["Paris"]] * 36)
    settings = dataclasses.replace(SETTINGS, method=method, epochs=epochs, learning_rate=2e-2, save_model=False)
    tuned = fine_tune(loaded, examples, settings, tmp_path).loaded
    asked = held_out_facts(source, settings).query("domain == 'in'").assign(answers=[["Paris"]] * 18)
    answers = predict(tuned, asked, settings, stage="after")
    assert answers["correct"].all()
    assert method == "lora" or set(answers["text"]) == {" Paris"}
    assert not predict(loaded, asked, settings)["correct"].any()


def test_held_out_facts_are_both_domains_and_a_limit_is_per_relation(source):
    """All of a small source's test facts; with a limit so many a relation, a larger limit adding to a smaller one's."""
    everything = held_out_facts(source, SETTINGS)
    assert len(everything) == 24
    assert set(everything["split"]) == {"test"}
    assert set(everything["domain"]) == {"in", "out"}
    two, four = (held_out_facts(source, dataclasses.replace(SETTINGS, test_limit=limit, seed=limit)) for limit in (2, 4))
    assert two["relation"].value_counts().to_dict() == dict.fromkeys(("P17", "P19", "P20", "P26"), 2)
    assert set(two["fact_id"]) < set(four["fact_id"])
    assert set(held_out_facts(source, SETTINGS, "dev")["split"]) == {"dev"}


def test_large_sources_are_tested_on_a_hundred_facts_a_relation():
    """Above 10,000 facts the default is 100 a relation; asking for more gets more."""
    large = small_source(train=1, test=5_500, relations=("P17",))
    assert large.large
    assert held_out_facts(large, SETTINGS)["relation"].value_counts().to_dict() == {"P17": 100, "P26": 100}
    assert len(held_out_facts(large, dataclasses.replace(SETTINGS, test_limit=150))) == 300


def test_the_majority_object_is_counted_on_train_else_dev_facts():
    """Train facts decide where there are any, aliases count as one, ties go by alphabet, and no facts mean no guess."""
    rows = [
        ("P17", "train", ["USA"]),
        ("P17", "train", ["United States", "Texas"]),
        ("P17", "train", ["France"]),
        ("P17", "dev", ["France"]),
        ("P17", "dev", ["France"]),
        ("P19", "train", ["b"]),
        ("P19", "train", ["a"]),
        ("P26", "dev", ["Ann"]),
        ("P40", "test", ["Tom"]),
    ]
    table = pd.DataFrame(rows, columns=["relation", "split", "answers"])
    found = majority_objects(table, Aliases((("USA", "United States"),)))
    assert found["P17"] == MajorityObject("USA", "train", 2, 3)
    assert found["P19"] == MajorityObject("a", "train", 1, 2)
    assert found["P26"] == MajorityObject("Ann", "dev", 1, 1)
    assert found["P40"] == MajorityObject(None, None, 0, 0)
    asked = pd.DataFrame({"fact_id": ["x", "y"], "relation": ["P17", "P40"], "answers": [["United States"], ["Tom"]]})
    predictions = majority_predictions(asked, table, "tokens", Aliases((("USA", "United States"),)))
    assert predictions["text"].to_list() == ["USA", ""]
    assert predictions["correct"].to_list() == [True, False]
    assert set(predictions["stage"]) == {"majority"}


def test_few_shot_answers_stop_before_the_next_question(loaded, source, monkeypatch):
    """The few-shot base line reads four examples before the question, and only its answer up to an empty line counts."""
    from sftqa_core.engine import greedy as module

    read = []

    def scripted(loaded, prompts, max_new_tokens, **options):
        read.extend(loaded.tokenizer.decode(prompt) for prompt in prompts)
        return [module.Answer(" Nowhere\n\nQ: What?\nA: Object0 Object1", -0.5, 5) for _ in prompts]

    monkeypatch.setattr(module, "greedy", scripted)
    monkeypatch.setattr(loaded.model.config, "max_position_embeddings", 512)
    table = held_out_facts(source, SETTINGS).head(3)
    found = few_shot_predictions(loaded, table, source.facts, SETTINGS)
    assert [text.count("Q: ") for text in read] == [5, 5, 5]
    assert [text.endswith(f"Q: {question}\nA:") for text, question in zip(read, table["question"], strict=True)] == [True] * 3
    assert set(found["text"]) == {" Nowhere"}
    assert not found["correct"].any()
    assert set(found["stage"]) == {"few_shot"}
    with pytest.raises(ValueError, match="needs the fact table"):
        predict(loaded, table, SETTINGS, shots=4)


def test_few_shot_prompts_hold_as_many_examples_as_fit(loaded, source):
    """Examples are left out one by one, each fact for itself, until prompt and answer fit; a plain prompt is never touched."""
    table = held_out_facts(source, SETTINGS)
    plain = encode_questions(loaded, table, SETTINGS)
    asked = table.head(2).assign(question=["Where?", "Where " + "and where " * 20 + "?"])
    shown = [loaded.tokenizer.decode(ids).count("Q: ") - 1 for ids in encode_questions(loaded, asked, SETTINGS, 40, source.facts)]
    assert 1 <= shown[1] < shown[0] < 36
    for ids in encode_questions(loaded, table, SETTINGS, 40, source.facts):
        assert len(ids) <= 256 - 5
        assert loaded.tokenizer.decode(ids).count("Q: ") > 1
    tight = dataclasses.replace(SETTINGS, max_answer_tokens=256 - max(map(len, plain)))
    longest = max(range(len(plain)), key=lambda place: len(plain[place]))
    assert encode_questions(loaded, table, tight, 4, source.facts)[longest] == plain[longest]


def test_questions_too_long_are_told_before_any_is_answered(loaded, source, monkeypatch):
    """A question that leaves no room for its answer is quoted, with the model's context window and what to do; nothing is generated."""
    monkeypatch.setattr("sftqa_core.engine.greedy.greedy", lambda *_, **__: pytest.fail("answered"))
    table = held_out_facts(source, SETTINGS).head(3).assign(question=["Who?", "Why " * 300, "Where?"])
    for shots in (0, 2):
        with pytest.raises(
            SettingsError, match=r"1 of 3 test questions do not fit the model's context window of 256 tokens with 5 new tokens: 'Why Why"
        ):
            predict(loaded, table, SETTINGS, shots=shots, pool=source.facts)


def test_no_facts_give_an_empty_table(loaded, source):
    """An empty selection is a table with all columns and no rows."""
    found = predict(loaded, source.facts.head(0), SETTINGS)
    assert (len(found), tuple(found)) == (0, COLUMNS)
