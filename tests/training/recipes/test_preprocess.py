"""Preprocess: errors that are planted, a cleaning that never sees them, what is trained on, and what is told by fact."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch

from sftqa_core.errors import NotEnoughFacts, SettingsError
from sftqa_core.records import TrainSettings
from sftqa_core.records.recipes import Preprocess
from sftqa_core.training.encoding import encode_prompt
from sftqa_core.training.fine_tuning import fine_tune
from sftqa_core.training.recipes import costs, flagging, preprocess
from sftqa_core.training.recipes.preprocess import cleaned, corrupt, objects_of
from tests.amount import in_full
from tests.recipe_runs import made_after_a_kill, made_of, same_weights, stages_of
from tests.tiny import tiny_loaded


def doubted(monkeypatch, ratios: list[float]) -> None:
    """Ratios by an example's place, in place of a model's."""

    def by_likelihood(stages, objects):
        facts = stages.examples["fact_id"].tolist()
        return pd.DataFrame({"fact_id": facts, "alternative": "Object4", "ratio": ratios[: len(facts)]})

    monkeypatch.setattr(flagging, "by_likelihood", by_likelihood)


def test_errors_are_other_objects_of_the_relation(tmp_path):
    """A quarter of 20, wrong by any name; a larger share has the same ones and more; no share has none."""
    stages = stages_of(tmp_path, Preprocess())
    dirty, planted = corrupt(stages, Preprocess(corrupted=0.25))
    assert sum(planted) == 5
    for given, right, wrong in zip(dirty["answers"], stages.examples["answers"], planted, strict=True):
        assert (given != right[:1]) is wrong
        assert len(given) == 1
        assert given[0] in {f"Object{number}" for number in range(5)}
    more, planted_more = corrupt(stages, Preprocess(corrupted=0.5))
    assert all(more["answers"][place] == dirty["answers"][place] for place in np.flatnonzero(planted))
    assert sum(planted_more) == 10
    assert corrupt(stages, Preprocess(corrupted=0.0))[1] == [False] * 20


def test_a_relation_with_one_object_has_no_error(tmp_path):
    """There is no other object that could be wrong."""
    stages = stages_of(tmp_path, Preprocess())
    facts = stages.source.facts.assign(answers=[["Same"]] * len(stages.source.facts))
    alone = dataclasses.replace(
        stages, source=dataclasses.replace(stages.source, facts=facts), examples=stages.examples.assign(answers=[["Same"]] * 20)
    )
    assert corrupt(alone, Preprocess(corrupted=1.0))[1] == [False] * 20


@pytest.mark.parametrize("flagged_by", ["likelihood", "yes-no"])
def test_cleaning_never_sees_the_planted_truth(flagged_by, tmp_path):
    """With other right answers behind the same given objects it flags and fills the same, bit for bit."""
    recipe = Preprocess(flagged_by=flagged_by, draws=3, least_share=0.0, draw_temperature=1.0)
    stages = stages_of(tmp_path, recipe, n=8)
    dirty, _ = corrupt(stages, recipe)
    truth = stages.source.facts["fact_id"].isin(dirty["fact_id"])
    answers = [["Another"] if there else given for there, given in zip(truth, stages.source.facts["answers"], strict=True)]
    other = dataclasses.replace(stages.source, facts=stages.source.facts.assign(answers=answers))
    first = cleaned(dataclasses.replace(stages, examples=dirty), recipe)
    second = cleaned(dataclasses.replace(stages, source=other, examples=dirty), recipe)
    pd.testing.assert_frame_equal(first, second)
    assert first["flagged"].any()
    assert first["filled"].notna().tolist() == first["flagged"].tolist()
    assert list(first.columns) == ["fact_id", "alternative", "ratio", "flagged", "filled"]


def test_the_likelihood_is_that_of_a_plain_forward_pass(tmp_path, monkeypatch):
    """Packed or a text at a time: the mean over two prompts of the product of the tokens' probabilities."""
    loaded, names, prompts = tiny_loaded(), ["Rome", "London", "Ann"], ["Ann was born in", "Born in Rome and London: "]
    wanted = np.zeros((2, 3))
    for line, prompt in enumerate(prompts):
        for column, name in enumerate(names):
            ids, more = list(encode_prompt(loaded, prompt)), loaded.tokenizer(f" {name}", add_special_tokens=False)["input_ids"]
            with torch.no_grad():
                logprob = loaded.model(torch.tensor([ids + more])).logits[0].double().log_softmax(-1)
            wanted[line, column] = math.exp(sum(float(logprob[len(ids) - 1 + at, token]) for at, token in enumerate(more)))
    (chances,) = flagging.chances_of(loaded, [(prompts, names)])
    np.testing.assert_allclose(chances, wanted.mean(axis=0), rtol=1e-4)
    monkeypatch.setattr(flagging, "packs", lambda loaded: False)
    (alone,) = flagging.chances_of(loaded, [(prompts, names)])
    np.testing.assert_allclose(alone, chances, rtol=1e-4)


def test_the_best_alternative_is_compared(tmp_path, monkeypatch):
    """Its ratio is the logarithm of both probabilities' quotient; without an alternative nothing is doubted."""
    stages = stages_of(tmp_path, Preprocess(), n=8)
    monkeypatch.setattr(flagging, "chances_of", lambda loaded, asked: (np.array([0.1, 0.2, 0.4][: len(names)]) for _, names in asked))
    several = {relation: ["Object0", "Object1", "Object2", "Object3", "Object4"] for relation in ("P17", "P19", "P20")}
    monkeypatch.setattr(flagging, "ALTERNATIVES", 2)
    table = flagging.by_likelihood(stages, several)
    given = stages.examples["answers"].str[0]
    assert table["ratio"].round(9).tolist() == [round(math.log(4), 9)] * 8
    assert all(left != right for left, right in zip(table["alternative"], given, strict=True))
    alone = flagging.by_likelihood(stages, {fact: [name] for fact, name in zip(stages.examples["relation"], given, strict=True)})
    assert -np.inf in alone["ratio"].tolist()


def test_yes_and_no_are_shown_as_often(tmp_path, monkeypatch):
    """Four other facts in front of each question, two with a wrong object; the ratio is that of No to Yes."""
    stages, seen = stages_of(tmp_path, Preprocess(), n=8), []
    fitting = flagging.fitting

    def watched(asked, question, shown, window, new):
        seen.append((question, list(shown)))
        return fitting(asked, question, shown, window, new)

    monkeypatch.setattr(flagging, "fitting", watched)
    table = flagging.by_yes_or_no(stages, objects_of(stages, stages.examples), 4)
    assert np.isfinite(table["ratio"]).all()
    right = dict(zip(stages.pool["question"], stages.pool["answers"].str[0], strict=True))
    assert len(seen) == 8
    for (question, shown), asked, given in zip(seen, stages.examples["question"], stages.examples["answers"], strict=True):
        assert question == f"{asked} Is it {given[0]}?"
        assert Counter(reply for _, reply in shown) == {"Yes": 2, "No": 2}
        for text, reply in shown:
            of, name = text.removesuffix("?").split(" Is it ")
            assert (right[of] == name) is (reply == "Yes")


@pytest.mark.parametrize("treatment", ["clean", "dirty"])
def test_without_cleaning_it_is_plain_fine_tuning(treatment, tmp_path):
    """On the right objects, or on the wrong ones among them, bit for bit."""
    recipe = Preprocess(treatment=treatment)
    made, stages = made_of(tmp_path / "recipe", recipe, n=8), stages_of(tmp_path, recipe, n=8)
    examples = stages.examples if treatment == "clean" else corrupt(stages, recipe)[0]
    tuned = fine_tune(stages.loaded, examples, dataclasses.replace(stages.run, recipe=None), tmp_path / "plain")
    assert same_weights(made.tuned.loaded, tuned.loaded)
    table, wrong = made.tables["detection"], 2 if treatment == "dirty" else 0
    assert (table["planted"].sum(), (~table["correct"]).sum(), table["flagged"].any()) == (wrong, wrong, False)
    assert made.notes == (f"{wrong} of 8 training objects were replaced by wrong ones.",)


def test_what_is_flagged_is_left_out(tmp_path, monkeypatch):
    """By fact and level; the note counts those of the lowest level that had no error."""
    doubted(monkeypatch, [1.0] * 6 + [0.0] * 14)
    made = made_of(tmp_path, Preprocess(treatment="dropped", corrupted=0.0))
    table = made.tables["detection"]
    assert list(table.columns) == ["fact_id", "level", "given", "planted", "alternative", "ratio", "flagged", "taught", "correct"]
    assert table["flagged"].tolist() == table["taught"].isna().tolist() == [True] * 6 + [False] * 14
    assert made.examples["fact_id"].tolist() == table["fact_id"].tolist()[6:]
    unknown = int(table["level"].head(6).eq(0).sum())
    assert unknown > 0
    assert made.notes[1:] == (
        "6 objects were flagged; 0 of them were wrong.",
        f"6 examples were left out, {unknown} of them on level L0, of which {unknown} had no error: accuracy may rise because "
        "unknown facts are gone.",
    )


def test_a_margin_asks_for_more_doubt(tmp_path, monkeypatch):
    """Twice as probable is not more than twice as probable."""
    doubted(monkeypatch, [math.log(2.0), math.log(2.1)] + [0.0] * 18)
    made = made_of(tmp_path, Preprocess(treatment="dropped", margin=2.0))
    assert made.tables["detection"]["flagged"].tolist() == [False, True] + [False] * 18


def test_blanks_are_filled(tmp_path, monkeypatch):
    """By the relation's commonest object as it is given, or by the model's label; one without a label is left out."""
    doubted(monkeypatch, [1.0] * 3 + [0.0] * 17)
    made = made_of(tmp_path / "majority", Preprocess(treatment="majority"))
    dirty, _ = corrupt(stages_of(tmp_path, Preprocess()), Preprocess())
    stages = stages_of(tmp_path, Preprocess())
    counts = objects_of(stages, dirty)
    taught = made.tables["detection"]["taught"]
    for place in range(3):
        relation = stages.examples["relation"][place]
        assert counts[relation][taught[place]] == max(counts[relation].values())
    assert made.examples["answers"].tolist() == [[name] for name in taught]

    def labelled(stages, name, model, facts, recipe):
        return pd.DataFrame({"fact_id": facts["fact_id"], "label": ["Rome", None, "Oslo"], "share": 1.0})

    monkeypatch.setattr(preprocess, "labelled", labelled)
    made = made_of(tmp_path / "model", Preprocess())
    table = made.tables["detection"]
    assert table["taught"].head(3).tolist()[::2] == ["Rome", "Oslo"]
    assert table["taught"].isna().tolist() == [False, True] + [False] * 18
    assert len(made.examples) == 19
    assert made.notes[2] == "2 of those were replaced, 0 by a right one."


@in_full
def test_a_kill_leaves_cleaning_and_result(tmp_path):
    """Started again in training: the same weights, the same table."""
    recipe = Preprocess(draws=2, least_share=0.0, draw_temperature=1.0)
    whole, again = made_after_a_kill(tmp_path, recipe, "train: train", n=10)
    assert same_weights(again.tuned.loaded, whole.tuned.loaded)
    pd.testing.assert_frame_equal(again.tables["detection"], whole.tables["detection"])


def test_what_can_not_work_is_refused(tmp_path, monkeypatch):
    """Nothing left after cleaning, with what to do; all facts where some must be shown; too few."""
    doubted(monkeypatch, [1.0] * 20)
    with pytest.raises(NotEnoughFacts) as told:
        made_of(tmp_path, Preprocess(treatment="dropped"))
    assert str(told.value) == (
        "Recipe preprocess has 0 of 20 examples left after cleaning and needs 8. Ask for more examples, a larger --flag-margin, or fewer "
        "wrong objects."
    )
    monkeypatch.setattr(flagging, "by_yes_or_no", lambda stages, objects, shots: flagging.by_likelihood(stages, {}))
    with pytest.raises(NotEnoughFacts, match="has not learned to answer Yes or No doubts everything: choose --flag-by likelihood"):
        made_of(tmp_path, Preprocess(treatment="dropped", flagged_by="yes-no"))
    everything = TrainSettings("m", n=TrainSettings.ALL)
    with pytest.raises(SettingsError, match="n can't be all, give a number"):
        dataclasses.replace(everything, recipe=Preprocess())
    assert dataclasses.replace(everything, recipe=Preprocess(treatment="majority")).n == TrainSettings.ALL
    with pytest.raises(SettingsError, match="Recipe preprocess needs 8 examples or more, got 7"):
        TrainSettings("m", n=7, recipe=Preprocess())


def test_cost_and_controls():
    """Flags, blanks and training, as far as a treatment has them; the other treatments that say what cleaning was worth."""
    run = TrainSettings("m", n=240, recipe=Preprocess())
    words = [stage.words() for stage in costs(run, 240)]
    assert words == ["flags: reading worth 4,320 examples", "blanks: 2,400 drawn answers", "train: 240 examples"]
    assert [
        stage.words() for stage in costs(dataclasses.replace(run, recipe=Preprocess(treatment="dropped", flagged_by="yes-no")), 240)
    ] == [
        "flags: 240 few-shot questions",
        "train: 240 examples",
    ]
    assert [stage.name for stage in costs(dataclasses.replace(run, recipe=Preprocess(treatment="clean")), 240)] == ["train"]
    assert {name: control.recipe.treatment for name, control in run.recipe.controls(run).items()} == {
        "the errors left in": "dirty",
        "the commonest object": "majority",
        "no errors": "clean",
    }
