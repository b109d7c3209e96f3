"""LLM2LLM: it always ends, never teaches a near-copy, and its controls have as many additions."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from sftqa_core.errors import Stopped
from sftqa_core.knowledge.near_copies import rouge_l, words_of
from sftqa_core.progress import Recorder
from sftqa_core.records.recipes import Llm2Llm
from sftqa_core.training.fine_tuning import fine_tune
from sftqa_core.training.recipes import costs
from sftqa_core.training.recipes.llm2llm import NEAR_COPY, Teacher, together
from sftqa_core.training.recipes.stages import StageCost, Stages
from sftqa_core.workspace import Workspace
from tests.amount import in_full
from tests.recipe_runs import SETTINGS, levels_of, made_of, same_weights, stages_of

SHORT = {"n": 8, "max_answer_tokens": 4}


@pytest.fixture
def answered(monkeypatch):
    """Answers in place of a model's: `wrong` says how many of the seeds are wrong in each round, the last number from then on."""

    def those(*wrong: int) -> None:
        left = list(wrong)

        def answers(self: Stages, name: str, model: object, facts: pd.DataFrame) -> pd.DataFrame:
            count = left.pop(0) if len(left) > 1 else left[0]
            return pd.DataFrame({"fact_id": facts["fact_id"].tolist(), "text": "", "correct": [at >= count for at in range(len(facts))]})

        monkeypatch.setattr(Stages, "answers", answers)

    return those


def test_it_ends_when_no_seed_is_wrong(answered, tmp_path):
    """Two rounds of ten; the model is that of the seeds and all additions, trained from the base."""
    answered(5, 0)
    made = made_of(tmp_path / "rounds", Llm2Llm(), **SHORT)
    rounds = made.tables["rounds"]
    assert rounds[["round", "examples", "wrong", "added"]].to_numpy().tolist() == [[1, 8, 5, 5], [2, 13, 0, 0]]
    assert [stage.name for stage in made.stages] == ["round-1", "round-2", "final"]
    assert (len(made.examples), len(made.tables["additions"]), len(made.tables["seeds"])) == (13, 5, 16)
    assert made.notes[-1] == "It ended because no training question was answered wrongly."
    stages = stages_of(tmp_path, Llm2Llm(), **SHORT)
    plain = fine_tune(stages.loaded, made.examples, dataclasses.replace(SETTINGS, epochs=3, **SHORT), tmp_path / "plain")
    assert same_weights(made.tuned.loaded, plain.loaded)


def test_it_ends_after_the_last_round(answered, tmp_path):
    """Every seed is wrong for ever: as many trainings as rounds, the last additions are trained on and asked about, too."""
    answered(8)
    made = made_of(tmp_path, Llm2Llm(rounds=3, round_epochs=1), **SHORT)
    assert made.tables["rounds"][["examples", "wrong", "added"]].to_numpy().tolist() == [[8, 8, 8], [16, 8, 8], [24, 8, 0]]
    assert [stage.name for stage in made.stages] == ["round-1", "round-2", "final"]
    assert len(made.examples) == 24


def test_it_ends_when_the_teacher_has_nothing_new(answered, tmp_path):
    """Of 12 train facts of the relation 8 are seeds: 4 are left, of any level at most these."""
    answered(8)
    made = made_of(tmp_path, Llm2Llm(teacher="fact", round_epochs=1), relations=("P17",), **SHORT)
    added = made.tables["additions"]
    assert 0 < len(added) <= 4
    assert made.tables["rounds"]["added"].tolist()[-1] == 0
    assert made.notes[-1] == "It ended early because the teacher had nothing new for the wrong ones."


def test_one_round_is_plain_training(answered, tmp_path):
    """No round looks for wrong seeds; they are asked once, at the end."""
    answered(8)
    made = made_of(tmp_path, Llm2Llm(rounds=1, round_epochs=1), **SHORT)
    assert made.tables["rounds"].to_numpy().tolist() == [[1, 8, 8, 0, 0]]
    assert made.tables["additions"].empty


def test_another_phrasing_asks_for_the_same_fact(tmp_path):
    """21 of a fact, each once; none is a near-copy of a text before, in any round; then there is nothing."""
    stages = stages_of(tmp_path, Llm2Llm(), n=3)
    teacher, taught = (
        Teacher(stages, Llm2Llm(attempts=1)),
        [f"{q} {a[0]}" for q, a in zip(stages.examples["question"], stages.examples["answers"], strict=True)],
    )
    refused = 0
    for _ in range(25):
        more = teacher.more(stages.examples, 3)
        refused += teacher.refused
        assert set(more["fact_id"]) <= set(stages.examples["fact_id"])
        for question, answers, subject in zip(more["question"], more["answers"], more["subject"], strict=True):
            assert subject in question
            text = f"{question} {answers[0]}"
            assert max(rouge_l(words_of(text), words_of(other)) for other in taught) <= NEAR_COPY
            taught.append(text)
    assert len(taught) - 3 + refused == 3 * 21
    assert teacher.more(stages.examples, 3).empty


def test_near_copies_are_refused(tmp_path):
    """What another seed's fact is taught as already is offered, refused and counted; the attempts are capped."""
    stages = stages_of(tmp_path, Llm2Llm(), n=1)
    seeds = stages.examples
    first = Teacher(stages, Llm2Llm()).more(seeds, 1)
    stages.examples = pd.concat([seeds, first[seeds.columns]], ignore_index=True)
    teacher = Teacher(stages, Llm2Llm(attempts=1))
    assert teacher.more(seeds, 1).empty
    assert teacher.refused == 1
    assert len(Teacher(stages, Llm2Llm(attempts=2)).more(seeds, 1)) == 1


def test_another_fact_has_the_relation_and_level(tmp_path):
    """None is an example already, none comes twice, and only train facts are taken."""
    stages = stages_of(tmp_path, Llm2Llm(teacher="fact"), n=15)
    more = Teacher(stages, Llm2Llm(teacher="fact")).more(stages.examples, 15)
    assert len(more) >= 5
    assert set(more["split"]) == {"train"}
    assert more["fact_id"].is_unique
    assert not set(more["fact_id"]) & set(stages.examples["fact_id"])
    seeds = stages.examples.set_index("fact_id")
    real = levels_of(more).set_index("fact_id")["level"]
    for fact, seed, relation in zip(more["fact_id"], more["seed"], more["relation"], strict=True):
        assert (relation, real[fact]) == (seeds.loc[seed, "relation"], seeds.loc[seed, "level"])


@pytest.mark.parametrize("additions", ["random", "again"])
def test_controls_add_as_many(additions, answered, tmp_path):
    """As many as the rounds, for seeds drawn at random or those themselves; one training more, of the same size."""
    answered(5, 3, 0)
    made = made_of(tmp_path, Llm2Llm(additions=additions, round_epochs=1), **SHORT)
    assert made.tables["rounds"]["added"].tolist() == [5, 3, 0, 0]
    assert (len(made.examples), made.stages[-1].examples) == (16, 16)
    added = made.tables["additions"]
    assert added["round"].tolist() == [1] * 5 + [2] * 3
    assert added.groupby("round")["fact_id"].nunique().tolist() == [5, 3]
    questions = set(made.examples["question"].head(8))
    assert set(added["question"]) <= questions if additions == "again" else not set(added["question"]) & questions


@in_full
def test_a_kill_between_rounds_leaves_the_result_as_it_is(tmp_path):
    """A round that was asked is not trained again; weights and tables are those of an undisturbed run."""
    recipe, recorder = Llm2Llm(rounds=3, round_epochs=1), Recorder()
    whole = made_of(tmp_path / "whole", recipe, reporter=recorder, **SHORT)
    before = [update.phase for update in recorder.updates].index("train: round-2")
    with pytest.raises(Stopped):
        made_of(tmp_path / "killed", recipe, reporter=Recorder(stop_after=before + 1), **SHORT)
    rest = Recorder()
    made = made_of(tmp_path / "again", recipe, reporter=rest, **SHORT)
    assert not any(update.phase == "train: round-1" for update in rest.updates)
    assert same_weights(made.tuned.loaded, whole.tuned.loaded)
    for name, table in whole.tables.items():
        pd.testing.assert_frame_equal(made.tables[name], table)
    assert list(Workspace.current().unfinished.iterdir()) == []


def test_its_cost_counts_half_of_the_seeds_wrong():
    """In each round; the questions are asked after each."""
    stages = costs(dataclasses.replace(SETTINGS, recipe=Llm2Llm(rounds=3)), 20)
    assert stages == [StageCost(name, n, 3, answers=20) for name, n in (("round-1", 20), ("round-2", 30), ("final", 40))]
    assert together(pd.DataFrame({"level": [1]}), []).dtypes["level"] == "Int64"
