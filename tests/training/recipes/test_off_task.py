"""Off-task data: what is mixed in, how it is counted and trained on, and that no share of it is plain fine-tuning."""

from __future__ import annotations

import ast
import dataclasses
from itertools import islice

import pandas as pd
import pytest

from sftqa_core.errors import NotEnoughFacts
from sftqa_core.records import TrainSettings
from sftqa_core.records.recipes import OffTask
from sftqa_core.training.fine_tuning import fine_tune
from sftqa_core.training.recipes import costs
from sftqa_core.training.recipes.off_task import Mixed, _questions, code
from sftqa_core.training.selection import select_examples
from tests.amount import in_full
from tests.recipe_runs import SETTINGS, SOURCE, levels_of, made_after_a_kill, made_of, same_weights, stages_of
from tests.tiny import tiny_loaded


def test_no_share_of_it_is_plain_fine_tuning(tmp_path):
    """Bit for bit."""
    made = made_of(tmp_path / "none", OffTask(share=0.0))
    stages = stages_of(tmp_path, None)
    tuned = fine_tune(stages.loaded, stages.examples, SETTINGS, tmp_path / "plain")
    assert same_weights(made.tuned.loaded, tuned.loaded)
    assert made.tables["mix"]["form"].tolist() == ["question"]


@pytest.mark.parametrize("kind", ["statements", "code"])
def test_n_stays_and_the_questions_are_those_of_the_control(kind, tmp_path):
    """8 of 20 are replaced; the other 12 are what a run of 12 examples would choose, whatever the balance."""
    made = made_of(tmp_path, OffTask(share=0.4, kind=kind))
    form = kind.removesuffix("s")
    assert made.tables["mix"][["form", "examples"]].values.tolist() == [["question", 12], [form, 8]]
    control = select_examples(SOURCE, None, dataclasses.replace(SETTINGS, n=12)).facts
    questions = made.examples[made.examples["form"] == "question"]
    assert questions["fact_id"].tolist() == control["fact_id"].tolist()
    assert len(made.examples) == len(set(made.examples["fact_id"])) == 20
    assert made.notes[0].startswith("Trained on 12 question examples (")


def test_a_balanced_run_stays_balanced(tmp_path):
    """Of levels 0 and 1 as many each."""
    recipe, settings = OffTask(share=0.5), {"n": 8, "levels": (0, 1), "balance": "level"}
    stages = stages_of(tmp_path, recipe)
    run = dataclasses.replace(stages.run, **settings)
    chosen = select_examples(SOURCE, levels_of(SOURCE.facts), run).facts
    questions = _questions(dataclasses.replace(stages, run=run, examples=chosen), 4)
    control = select_examples(SOURCE, levels_of(SOURCE.facts), dataclasses.replace(run, recipe=None, n=4)).facts
    assert questions["fact_id"].tolist() == control["fact_id"].tolist()
    assert sorted(questions["level"]) == [0, 0, 1, 1]


def test_statements_are_of_other_train_facts(tmp_path):
    """None of an example or of a test fact; one a fact while there are facts, and then another of its statements."""
    made = made_of(tmp_path, OffTask(share=0.9))
    told = made.examples[made.examples["form"] == "statement"]
    pool = set(SOURCE.facts.loc[SOURCE.facts["split"] == "train", "fact_id"])
    assert set(told["fact_id"]) <= pool - set(stages_of(tmp_path, OffTask()).examples["fact_id"])
    assert [told["fact_id"].head(16).nunique(), told["fact_id"].nunique()] == [16, 16]
    assert told["question"].nunique() == 18
    assert all(subject in text for subject, text in zip(told["subject"], told["question"], strict=True))


def test_a_statement_is_trained_on_as_text():
    """Every token after the first, and the end token; a question's prompt is not trained on."""
    loaded = tiny_loaded()
    rows = pd.DataFrame({"form": ["statement", "question"], "question": ["Ann was born in", "Q?"], "answers": [["Rome"], ["Rome"]]})
    statement, question = Mixed().encode(loaded, rows, SETTINGS)
    assert loaded.tokenizer.decode(list(statement.ids[:-1])) == "Ann was born in Rome."
    assert (statement.ids[-1], statement.prompt_length) == (loaded.end_ids[0], 1)
    assert loaded.tokenizer.decode(list(question.ids[: question.prompt_length])) == "Q: Q?\nA:"


def test_counted_by_tokens_the_mix_is_as_large_as_plain_training(tmp_path):
    """Trained tokens are those of the 20 questions, but for less than one example; there are fewer examples."""
    plain = made_of(tmp_path / "plain", OffTask(share=0.0)).tables["mix"]["trained_tokens"].sum()
    made = made_of(tmp_path / "mixed", OffTask(share=0.5, kind="code", counted="tokens"))
    mix = made.tables["mix"].set_index("form")
    longest = max(len(answers[0]) for answers in made.examples["answers"]) + 3
    assert 0 <= mix["trained_tokens"].sum() - plain < longest
    assert mix.loc["question", "examples"] == 10
    assert 1 <= mix.loc["code", "examples"] < 10
    encoded = Mixed().encode(tiny_loaded(), made.examples, SETTINGS)
    assert mix["trained_tokens"].sum() == sum(label != -100 for example in encoded for label in example.labels)


def test_code_is_made_by_the_seed_and_can_be_parsed():
    """The same for a seed, other code for another; descriptions differ; nothing is executed to make it."""
    first, again, other = (list(islice(code(seed), 300)) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert len({row["question"] for row in first}) == len({row["fact_id"] for row in first}) == 300
    for row in first:
        (function,) = ast.parse(row["answers"][0]).body
        assert function.name == row["subject"]
        assert not set("{}") & set(row["question"] + row["answers"][0])


def test_there_is_code_for_any_run():
    """Tens of thousands of functions."""
    assert sum(1 for _ in code(0)) == 8 * 98 * 99 // 2


def test_too_few_statements_are_refused(tmp_path):
    """All train facts are examples: there is no other one to state."""
    with pytest.raises(NotEnoughFacts) as told:
        made_of(tmp_path, OffTask(share=0.5), n=36)
    assert str(told.value) == (
        "Recipe off-task has only 0 statements to mix in, 18 examples too few. Ask for fewer examples or a smaller share, add relations, "
        "or choose --off-task-kind code."
    )
    assert len(made_of(tmp_path, OffTask(share=0.5, kind="code"), n=36).examples) == 36


def test_all_of_it_is_off_task(tmp_path):
    """No question is left."""
    made = made_of(tmp_path, OffTask(share=1.0, kind="code"), n=8)
    assert made.tables["mix"]["form"].tolist() == ["code"]


@in_full
def test_a_kill_leaves_the_result(tmp_path):
    """The same mix and weights."""
    whole, again = made_after_a_kill(tmp_path, OffTask(share=0.5, kind="code"), "train: train", n=10)
    assert same_weights(again.tuned.loaded, whole.tuned.loaded)
    pd.testing.assert_frame_equal(again.examples, whole.examples)


def test_cost_and_control():
    """As many examples, in longer batches where there is code; the questions alone, which are none where all is off-task."""
    run = dataclasses.replace(SETTINGS, n=240, recipe=OffTask(share=0.25, kind="code"))
    assert [(stage.examples, stage.weight) for stage in costs(run, 240)] == [(240, 2.1)]
    assert run.recipe.controls(run) == {"as many questions alone": dataclasses.replace(SETTINGS, n=180)}
    assert OffTask(share=1.0).controls(run) == {"as many questions alone": dataclasses.replace(SETTINGS, n=0)}
    whole = dataclasses.replace(run, n=TrainSettings.ALL)
    assert OffTask().controls(whole) == OffTask(share=0.0).controls(run) == {}
