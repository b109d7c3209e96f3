"""How a question is put to models and runs, what is known of the fact behind it, and that every column is what it says it is."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace

import pytest

from sftqa_core import workflows
from sftqa_core.errors import ModelUnavailable, OutOfMemory, SettingsError
from sftqa_core.evaluation.predictions import score_texts
from sftqa_core.evaluation.replies import reply
from sftqa_core.jobs.ask_files import AskTiming, LocalAskService
from sftqa_core.knowledge.sources import open_source
from sftqa_core.models.catalogue import find_model, model_fingerprint, weights_fingerprint
from sftqa_core.models.loading import load_model
from sftqa_core.progress import Recorder
from sftqa_core.records import PROMPTS, Column, ModelCard, ProbeSettings, PromptFormat, Question, Reply
from sftqa_core.training.adapters import state_sha256
from sftqa_core.workflows.asking import warm_models
from sftqa_core.workflows.asking.questions import example_questions, find_fact, sources_of
from sftqa_core.workflows.asking.warm_models import WarmModels
from tests.amount import few
from tests.jobs.job_processes import until
from tests.workflows.test_training import SCHEME, settings

ASKED = Question("Where was p19 test 01 born?", answers=("Velora", "Brunn"), max_new_tokens=4)
OWN = PromptFormat("own", "{question} It is", " {answer}")


def tuned(world: str, **changes) -> str:
    """A run that kept its weights and answers otherwise than its base, as a model's name."""
    kept = settings(world, **{"save_model": True, "shots": 0, "n": 20, "epochs": 6, "learning_rate": 0.02, "test_limit": 1, **changes})
    return f"run:{workflows.train(kept).run}"


def alone(column: Column) -> Reply:
    """What the model of a column says when it is loaded for it alone."""
    return reply(load_model(find_model(column.model), "cpu"), column)


def same(one: Reply, other: Reply) -> bool:
    """Whether two replies say the same, but for rounding."""
    told = [(r.model, r.answer, [s.text for s in r.steps], r.samples, r.weights, r.adapter, r.dtype, r.device) for r in (one, other)]
    numbers = [[*(s.probability for s in r.steps), *(s.logprob for s in r.scored)] for r in (one, other)]
    return told[0] == told[1] and numbers[0] == pytest.approx(numbers[1], abs=1e-5)


# ---- every column is what it says it is ----
@pytest.mark.parametrize("method", few(["full", "lora"], "lora"))
def test_the_base_column_is_the_base(world, workspace, method):
    """Asked through the service before the tuned model, after it, and again: answers, probabilities and hashes are those of a base model
    that was loaded for itself. The tuned model answers otherwise, and as its run's own tests did."""
    run = tuned(world, method=method)
    base, other = workflows.columns(ASKED, [run, "tiny"])
    assert (base.model, other.model, other.base) == ("tiny", run, "tiny")
    expected = {column.model: alone(column) for column in (base, other)}
    assert expected["tiny"].steps[0].top != expected[run].steps[0].top
    assert expected["tiny"].scored != expected[run].scored
    service = LocalAskService(workspace, AskTiming(idle_s=60))
    try:
        for number, order in enumerate(([base, other], [other, base], [base], [other], [base])):
            # another seed is another question, which is answered by models that are loaded by now
            asked = [replace(column, question=replace(column.question, seed=number)) for column in order]
            service.ask(asked)
            until(lambda asked=asked: not any(standing.pending for standing in service.look(asked)))
            for column, standing in zip(asked, service.look(asked), strict=True):
                assert standing.reply is not None, standing.said
                again = replace(standing.reply, samples=expected[column.model].samples) if number else standing.reply
                assert same(again, expected[column.model])
                fingerprint = model_fingerprint(find_model(column.model), "float32", "cpu")
                assert (standing.reply.weights, standing.reply.adapter) == (fingerprint.weights, fingerprint.adapter)
        assert {model.name for model in service.state().held} == {"tiny", run}
        assert service.look([base])[0].reply.weights == weights_fingerprint(find_model("tiny"))
        assert (service.look([other])[0].reply.adapter is None) == (method == "full")
    finally:
        _end(service)


def _end(service: LocalAskService) -> None:
    process = service.folder.living()
    if process is not None:
        os.kill(process.process.pid, signal.SIGKILL)
        until(lambda: service.folder.living() is None)


def test_a_tuned_column_answers_as_its_run_was_tested(world, workspace):
    """The greedy answers to the run's test questions are the words that the run recorded, and so are the base model's before."""
    run = tuned(world, prompt=OWN, test_limit=3)
    stored = workflows.run(run.removeprefix("run:"))
    facts = stored.facts()
    for model, stage in (("tiny", "before"), (run, "after")):
        recorded = dict(zip(stored.predictions(stage)["fact_id"], stored.predictions(stage)["text"], strict=True))
        warm = WarmModels()
        for fact, question in zip(facts["fact_id"], facts["question"], strict=True):
            column = workflows.column(Question(question), model, [run, "tiny"])
            assert warm.answer(column, "cpu", lambda line: None).answer == recorded[fact]


def test_models_share_no_weights(world, workspace):
    """Base and tuned model are loaded side by side, with an adapter merged into a copy: the base's tensors stay as they were."""
    run, warm = tuned(world, method="lora"), WarmModels()
    base, other = workflows.columns(ASKED, ["tiny", run])
    first, fresh = warm.model_of(base, "cpu")
    before = state_sha256(first.model.state_dict())
    second, _ = warm.model_of(other, "cpu")
    assert fresh
    places = [{tensor.data_ptr() for tensor in model.model.parameters()} for model in (first, second)]
    assert not places[0] & places[1]
    warm.answer(other, "cpu", lambda line: None)
    assert state_sha256(first.model.state_dict()) == before != state_sha256(second.model.state_dict())
    assert warm.model_of(base, "cpu") == (first, False)


def test_a_killed_process_is_noticed_and_the_next_question_starts_another(world, workspace):
    """What was answered stays; the page is told, and asking again answers."""
    service = LocalAskService(workspace, AskTiming(idle_s=60))
    (column,) = workflows.columns(ASKED, ["tiny"])
    later = replace(column, question=replace(column.question, seed=5))
    try:
        service.ask([column])
        until(lambda: service.look([column])[0].state == "done")
        first = service.folder.living()
        _end(service)
        assert not service.state().alive
        assert service.look([column])[0].state == "done"
        service.ask([later])
        until(lambda: service.look([later])[0].state == "done")
        second = service.folder.living()
        assert first is not None
        assert second is not None
        assert first.process != second.process
    finally:
        _end(service)


# ---- which weights, and how they are asked ----
def test_a_run_is_asked_as_it_was_trained_and_the_base_beside_it_likewise(world, workspace):
    """Prompt and length of an answer; a base model alone is asked by prompt qa, and what the question says goes before all."""
    run = tuned(world, prompt=OWN, max_answer_tokens=7, n=4, epochs=1)
    question = replace(ASKED, max_new_tokens=None)
    base, other = workflows.columns(question, [run, "tiny"])
    assert [(column.question.prompt, column.question.max_new_tokens) for column in (base, other)] == [(OWN, 7)] * 2
    (single,) = workflows.columns(question, ["tiny"])
    assert (single.question.prompt, single.question.max_new_tokens) == (PromptFormat(), 16)
    told = workflows.column(replace(question, prompt=PROMPTS["plain"], max_new_tokens=3), run)
    assert (told.question.prompt, told.question.max_new_tokens) == (PROMPTS["plain"], 3)
    stated = workflows.column(Question("p19 test 01 was born in", "statement"), run)
    assert (stated.question.prompt, stated.question.max_new_tokens) == (None, 32)
    assert len({column.fingerprint() for column in (base, other, single, told, stated)}) == 5


def test_other_files_under_the_same_name_are_another_column(world, workspace):
    """A reply of weights that are gone is not shown, and a question that was asked of them is not answered by others."""
    (before,) = workflows.columns(ASKED, ["tiny"])
    config = workspace.models / "tiny" / "config.json"
    os.utime(config, (1, 1))
    (after,) = workflows.columns(ASKED, ["tiny"])
    assert before.fingerprint() != after.fingerprint()
    with pytest.raises(ModelUnavailable, match=r"have changed since it was asked\. Ask again"):
        WarmModels().model_of(before, "cpu")
    assert WarmModels().model_of(after, "cpu")[1]


def test_what_can_not_be_asked_says_what_to_do(world, workspace, monkeypatch):
    """A run without weights, with the command that keeps them; a model of the hub that is not here; no such run; too many."""
    run = workflows.train(settings(world, n=0, shots=0)).run
    with pytest.raises(ModelUnavailable, match=r"did not keep its weights, .* Train again with them kept: sftqa train --model tiny"):
        workflows.column(ASKED, f"run:{run}")
    with pytest.raises(ModelUnavailable, match=r"is not on this machine\. Download it first, on the Models page"):
        workflows.column(ASKED, "owner/name")
    gguf = ModelCard("/models/some.gguf", "gguf", None, True)
    monkeypatch.setattr("sftqa_core.workflows.asking.questions.find_model", lambda name: gguf if name == gguf.name else find_model(name))
    with pytest.raises(
        ModelUnavailable, match=r"some.gguf has not been read from GGUF yet\. Read it first, .* by: sftqa fetch /models/some"
    ):
        workflows.column(ASKED, gguf.name)
    with pytest.raises(ModelUnavailable, match="There is no run 'nothing'"):
        workflows.column(ASKED, "run:nothing")
    with pytest.raises(SettingsError, match="put to 1 to 8 models, got 9"):
        workflows.columns(ASKED, [f"m{number}" for number in range(9)])


# ---- what stays loaded ----
def test_the_least_recently_used_model_leaves(world, workspace):
    """Where the bytes are used up; what is held is told with its size, and a model that was let go is loaded again."""
    for name in ("second", "third"):
        shutil.copytree(workspace.models / "tiny", workspace.models / name)
    columns = {name: workflows.columns(ASKED, [name])[0] for name in ("tiny", "second", "third")}
    (size,) = {model.size_bytes for model in _held(columns["tiny"])}
    said: list[str] = []
    warm = WarmModels(most_bytes=2 * size + warm_models._needed(find_model("tiny"), "cpu", "none"))
    for name in ("tiny", "second", "tiny", "third"):
        warm.model_of(columns[name], "cpu", said.append)
    assert [model.name for model in warm.held()] == ["third", "tiny", "second"]
    warm = WarmModels(most_bytes=size + warm_models._needed(find_model("tiny"), "cpu", "none"))
    for name in ("tiny", "second", "tiny", "third"):
        warm.model_of(columns[name], "cpu", said.append)
    assert [model.name for model in warm.held()] == ["third", "tiny"]
    assert warm.model_of(columns["second"], "cpu")[1]
    assert said[0].startswith("Loading tiny, ")
    warm.drop()
    assert warm.held() == ()


def _held(column: Column):
    warm = WarmModels()
    warm.model_of(column, "cpu")
    return warm.held()


def test_a_model_without_room_is_refused_in_words(world, workspace, monkeypatch):
    """With what it needs and what is free."""
    monkeypatch.setattr(warm_models, "_needed", lambda *model: 10**18)
    (column,) = workflows.columns(ASKED, ["tiny"])
    with pytest.raises(OutOfMemory, match=r"tiny needs about 1000000000 GB of RAM to answer, and .* are free"):
        WarmModels().model_of(column, "cpu")


# ---- the fact behind a question ----
def test_the_fact_behind_a_question_or_a_statement_is_found(world):
    """By its very words, with all answers that are right for them; by other words none."""
    fact = open_source(world).facts.query("relation == 'P19' and split == 'test'").iloc[1]
    found = find_fact(f" {fact['question']} ", world)
    assert found is not None
    assert (found.fact_id, found.answers, found.split, found.relation) == (fact["fact_id"], tuple(fact["answers"]), "test", "P19")
    template = open_source(world).relations["P19"].templates[0]
    stated = find_fact(template.replace("{subject}", fact["subject"]), world, "statement")
    assert stated is not None
    assert stated.fact_id == fact["fact_id"]
    assert find_fact("Where was nobody born?", world) is None
    assert find_fact("", world, "statement") is None
    assert (
        example_questions(["tiny"], 2)
        == open_source(world).facts.query("split == 'test'").drop_duplicates("relation")["question"].tolist()[:2]
    )


def test_right_answers_and_the_level_come_with_the_question(world, workspace):
    """From the source that the run was trained on, or that the model has read; a level where it was probed."""
    assert sources_of(["tiny"]) == (world,)
    workflows.probe(ProbeSettings("tiny", world, limit=4, scheme=SCHEME, device="cpu"))
    profile = workflows.profile("tiny", world, scheme=SCHEME)
    fact = profile.table[profile.table["level"].notna()].iloc[0]
    recorder = Recorder()
    asked = workflows.ask(replace(ASKED, text=fact["question"]), ["tiny"], "cpu", recorder)
    assert asked.question.right == tuple(fact["answers"])
    (said,) = asked.replies
    expected = score_texts(fact.to_frame().T, [said.answer], "after", "tokens")["correct"].item()
    assert said.right == expected
    assert asked.fact is not None
    assert workflows.known_level("tiny", asked.fact) is None, "by other settings than it was probed with"
    level = workflows.known_level("tiny", asked.fact, SCHEME)
    assert level is not None
    assert (level.model, level.level, level.score) == ("tiny", SCHEME.labels[fact["level"]], fact["score"])
    assert recorder.lines[0].startswith("Loading tiny, ")
    assert recorder.lines[1] == "Asking tiny"
