"""Self-guide: labels by majority that never see the right answer, what is taught of them, and when it can't work."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pandas as pd
import pytest

from sftqa_core.errors import NotEnoughFacts, SettingsError
from sftqa_core.records import TrainSettings
from sftqa_core.records.recipes import SelfGuide
from sftqa_core.training.fine_tuning import fine_tune
from sftqa_core.training.recipes import costs
from sftqa_core.training.recipes.labelling import labelled, most_frequent
from sftqa_core.training.recipes.stages import StageCost, Stages
from tests.amount import few
from tests.recipe_runs import SETTINGS, made_after_a_kill, made_of, same_weights, stages_of

SURE = SelfGuide(draws=4, draw_temperature=0.05, passes=2)


def drawing(monkeypatch, texts: dict[int, list[str]]) -> None:
    """Answers in place of a model's: texts by an example's place, else "Rome" four times."""

    def samples(self, name, model, facts, count, temperature, shots=0, seed=None):
        rows = []
        for place, fact in enumerate(facts["fact_id"]):
            rows += [(fact, text, n, False) for text, n in sorted(Counter(texts.get(place, ["Rome"] * 4)).items())]
        return pd.DataFrame(rows, columns=["fact_id", "text", "count", "correct"])

    monkeypatch.setattr(Stages, "samples", samples)


@pytest.mark.parametrize(
    ("texts", "label", "share"),
    [
        (["Rome", "Rome", "Oslo", "Bonn"], "Rome", 0.5),
        (["Berlin", "Oslo", "Berlin", "Oslo"], "Oslo", 0.5),  # a tie goes to the shortest
        (["Rome", "Oslo"], "Oslo", 0.5),  # of equal length, by alphabet
        (["rome", "Rome", "Rome", "Oslo"], "Rome", 0.75),  # spellings count together, the most frequent one is taught
        (["", "", "", "Oslo"], "Oslo", 0.25),  # an empty answer is a draw
        (["Oslo\nQ: What next?", "Oslo"], "Oslo", 1.0),  # the first line
        (["", " ", "..."], "...", 1 / 3),
        (["", ""], None, 0.0),
        ([], None, 0.0),
    ],
)
def test_the_most_frequent_answer_is_the_label(texts, label, share):
    """Its share is of all draws."""
    found, told = most_frequent(Counter(texts))
    assert (found, round(told, 9)) == (label, round(share, 9))


def test_labels_never_see_the_right_answer(tmp_path):
    """With other right answers they are the same bit for bit, and so are the draws' shares."""
    stages = stages_of(tmp_path, SURE)
    others = dataclasses.replace(stages, examples=stages.examples.assign(answers=[[f"Other {n}"] for n in range(20)]))
    first, second = (labelled(one, "labels", one.loaded, one.examples, SURE) for one in (stages, others))
    pd.testing.assert_frame_equal(first, second)
    assert first["label"].notna().any()
    assert first["share"].between(0.25, 1).all()


def test_the_shown_questions_are_never_to_be_labelled(tmp_path, monkeypatch):
    """Neither a fact of the examples nor its question, however the source names it."""
    shown: list[set[str]] = []
    stages = stages_of(tmp_path, SURE)
    monkeypatch.setattr(Stages, "samples", lambda self, *rest, **more: shown.append(set(self.pool["question"])) or pd.DataFrame(
        {"fact_id": [], "text": [], "count": []}
    ))  # fmt: skip
    twin = stages.source.facts.copy()
    free = twin.index[twin["fact_id"].isin(stages.pool["fact_id"])][0]
    twin.loc[free, "question"] = stages.examples["question"].iloc[0]
    doubled = dataclasses.replace(stages, source=dataclasses.replace(stages.source, facts=twin))
    for one in (stages, doubled):
        labelled(one, "labels", one.loaded, one.examples, SURE)
    assert [len(questions) for questions in shown] == [16, 15]
    assert not any(questions & set(stages.examples["question"]) for questions in shown)


def test_what_is_kept_is_taught(tmp_path, monkeypatch):
    """Its own answers to the questions that have one, three passes; the table says which are right, the notes count."""
    right = stages_of(tmp_path, SelfGuide()).examples["answers"].str[0].tolist()
    drawing(monkeypatch, {0: [right[0]] * 4, 1: [right[1], right[1], "Oslo", "Bonn"], 2: ["", "", "", ""], 3: ["A", "B", "C", "D"]})
    made = made_of(tmp_path / "run", SelfGuide(draws=4, least_share=0.5))
    table = made.tables["labels"]
    assert list(table.columns) == ["fact_id", "level", "label", "share", "kept", "correct"]
    assert table["kept"].tolist() == [True, True, False, False, *[True] * 16]
    assert table["correct"].tolist() == [True, True, *[False] * 18]
    assert table["share"].tolist() == [1.0, 0.5, 0.0, 0.25, *[1.0] * 16]
    assert table["level"].notna().all()
    assert made.examples["answers"].tolist() == [[right[0]], [right[1]], *[["Rome"]] * 16]
    assert made.stages[0].planned_steps == 9  # 18 examples, 3 times
    assert made.notes == (
        "18 of 20 questions got a label; 2 of the labels are right.",
        "17 labels were given by at least 75% of the draws; 16 of those are wrong all the same.",
    )


def test_its_control_teaches_the_right_answers_to_the_same_questions(tmp_path, monkeypatch):
    """Bit for bit what fine-tuning on them for as many epochs gives."""
    drawing(monkeypatch, {5: ["", "", "", ""]})
    made = made_of(tmp_path / "gold", SelfGuide(draws=4, labels="gold", passes=2))
    stages = stages_of(tmp_path, None)
    kept = stages.examples.drop(index=5).reset_index(drop=True)
    assert made.examples["answers"].tolist() == kept["answers"].tolist()
    tuned = fine_tune(stages.loaded, kept, dataclasses.replace(SETTINGS, epochs=2), tmp_path / "plain")
    assert same_weights(made.tuned.loaded, tuned.loaded)


@pytest.mark.parametrize("phase", few(["drawn answers: labels", "train: train"], "drawn answers: labels"))
def test_a_kill_in_any_stage_leaves_labels_and_result(phase, tmp_path):
    """Started again: the same weights and the same table."""
    whole, again = made_after_a_kill(tmp_path, SURE, phase, n=10)
    assert same_weights(again.tuned.loaded, whole.tuned.loaded)
    pd.testing.assert_frame_equal(again.tables["labels"], whole.tables["labels"])


def test_too_few_labels_are_refused(tmp_path, monkeypatch):
    """With how many there were and what to do."""
    drawing(monkeypatch, {place: ["A", "B", "C", "D"] for place in range(13)})
    with pytest.raises(NotEnoughFacts) as told:
        made_of(tmp_path, SelfGuide(draws=4, least_share=0.5))
    assert str(told.value) == (
        "Recipe self-guide has 7 of 20 questions with an answer that at least 50% of 4 draws gave and needs 8. Ask for more examples, or "
        "accept a smaller share (--least-share); a model that gives no such answers can't guide itself."
    )


def test_nothing_left_to_show_is_refused(tmp_path):
    """34 of 36 train facts are examples: two are left, four would be shown."""
    with pytest.raises(NotEnoughFacts, match=r"not among the 34 examples, but only 2 train facts are left for that\. Ask for fewer"):
        made_of(tmp_path, SelfGuide(), n=34)


def test_what_it_can_not_do_is_refused_at_once():
    """All facts, other epochs, too few examples."""
    with pytest.raises(SettingsError) as told:
        TrainSettings("m", n=7, epochs=2, recipe=SelfGuide())
    assert told.value.problems == [
        "epochs must be 1 with recipe self-guide, whose passes take their place, got 2.",
        "Recipe self-guide needs 8 examples or more, got 7.",
    ]
    with pytest.raises(SettingsError, match="n can't be all, give a number"):
        TrainSettings("m", n=TrainSettings.ALL, recipe=SelfGuide())


def test_cost_and_controls():
    """Ten draws to each question share its reading; gold answers for as many epochs, on the same questions and on all."""
    run = dataclasses.replace(SETTINGS, recipe=SelfGuide())
    stages = costs(run, 20)
    assert stages == [StageCost("labels", few_shot=20, draws=10), StageCost("train", 20, 3)]
    assert [stage.words() for stage in stages] == ["labels: 200 drawn answers", "train: 20 examples x 3 epochs"]
    assert stages[0].pieces()["few_shot"] == pytest.approx(20 * 1.72)
    assert run.recipe.controls(run) == {
        "right answers to the same questions": dataclasses.replace(run, recipe=SelfGuide(labels="gold")),
        "right answers to all questions": dataclasses.replace(SETTINGS, epochs=3),
    }
