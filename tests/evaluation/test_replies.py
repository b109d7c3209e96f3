"""What a model says to one question, against plain forward passes of transformers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest
import torch

from sftqa_core.engine import next_tokens
from sftqa_core.engine.completing import complete
from sftqa_core.errors import ModelUnavailable, SettingsError, Stopped
from sftqa_core.evaluation.predictions import predict
from sftqa_core.evaluation.replies import reply
from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.records import PROMPTS, Column, PromptFormat, Question, SamplerSettings, TrainSettings
from tests.chats import FAMILIES
from tests.tiny import byte_level_tokenizer, tiny_loaded

NOBODY = Aliases()
ASKED = "Where was Ann born?"


@pytest.fixture(scope="module")
def loaded():
    return tiny_loaded(seed=3)


def column(text: str = ASKED, **settings) -> Column:
    return Column("tiny", Question(text, **{"max_new_tokens": 8, **settings}), "files")


def plain_logprobs(loaded, ids: list[int]) -> torch.Tensor:
    """Log-probabilities [tokens, vocabulary] of a plain forward pass, in float64."""
    with torch.no_grad():
        return loaded.model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)


def ids_of(loaded, text: str) -> list[int]:
    return loaded.tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("packed", [True, False])
def test_steps_are_those_of_a_plain_forward_pass(loaded, monkeypatch, packed):
    """Each step's token is the most probable one, and its ten candidates have a plain pass's probabilities, read packed or not."""
    if not packed:
        monkeypatch.setattr(next_tokens, "packs", lambda model: False)
    found = reply(loaded, column(), NOBODY)
    ids = [*loaded.bos_ids, *ids_of(loaded, f"Q: {ASKED}\nA:")]
    assert (found.prompt, found.prompt_tokens) == (f"Q: {ASKED}\nA:", len(ids))
    assert 1 <= len(found.steps) <= 8
    for step in found.steps:
        expected = plain_logprobs(loaded, ids)[-1].exp()
        best = expected.topk(10)
        assert [one.probability for one in step.top] == pytest.approx(best.values.tolist(), abs=1e-5)
        assert (step.text, step.probability) == (step.top[0].text, pytest.approx(float(best.values[0]), abs=1e-5))
        ids.append(int(best.indices[0]))
    assert found.ended == (ids[-1] in loaded.end_ids)
    assert found.answer == loaded.tokenizer.decode(ids[found.prompt_tokens :], skip_special_tokens=True)


def test_the_greedy_answer_is_that_of_a_run_s_test(loaded):
    """`predict` answers the same question with the same words, in every form of prompt."""
    for form in (*(PROMPTS[name] for name in ("qa", "plain")), PromptFormat("own", "{question} It is", " {answer}.")):
        facts = pd.DataFrame({"fact_id": ["a"], "relation": ["P19"], "answers": [["Rome"]], "question": [ASKED]})
        settings = TrainSettings("tiny", prompt=form, max_answer_tokens=8)
        (expected,) = predict(loaded, facts, settings, aliases=NOBODY)["text"]
        assert reply(loaded, column(prompt=form), NOBODY).answer == expected


@pytest.mark.parametrize("packed", [True, False])
def test_log_probabilities_are_sums_over_the_answers_tokens(loaded, monkeypatch, packed):
    """Of the right answers first, then of those typed in; the end token is told apart, and answers that begin alike do not mix."""
    if not packed:
        monkeypatch.setattr(next_tokens, "packs", lambda model: False)
    found = reply(loaded, column(right=("Paris",), answers=("London", "Paris", "London bridge")), NOBODY)
    assert [(scored.answer, scored.right) for scored in found.scored] == [("Paris", True), ("London", False), ("London bridge", False)]
    prompt = [*loaded.bos_ids, *ids_of(loaded, f"Q: {ASKED}\nA:")]
    for scored in found.scored:
        answer = ids_of(loaded, f"Q: {ASKED}\nA: {scored.answer}")[len(prompt) - len(loaded.bos_ids) :]
        logprob = plain_logprobs(loaded, [*prompt, *answer])
        each = [float(logprob[len(prompt) - 1 + at, token]) for at, token in enumerate(answer)]
        assert (scored.tokens, scored.logprob) == (len(answer), pytest.approx(sum(each), abs=1e-4))
        assert scored.mean_logprob == pytest.approx(sum(each) / len(answer), abs=1e-4)
        assert scored.end_logprob == pytest.approx(float(logprob[-1, list(loaded.end_ids)].logsumexp(-1)), abs=1e-4)


def test_a_statement_is_completed_as_a_probe_would(loaded):
    """The text as it stands, with what the tokenizer puts in front; an answer follows after one blank, or none where one stands."""
    text = "Ann was born in"
    found = reply(loaded, column(text, kind="statement", answers=("Paris",)), NOBODY)
    assert found.prompt == text
    ((first, *_),) = complete(loaded, [text], SamplerSettings(1, temperature=0.01, max_new_tokens=8))
    assert found.answer == first
    blank = reply(loaded, column(f"{text} ", kind="statement", answers=("Paris",)), NOBODY)
    answer = ids_of(loaded, "\nParis")[1:]
    logprob = plain_logprobs(loaded, [*loaded.bos_ids, *ids_of(loaded, f"{text} "), *answer])
    start = len(loaded.bos_ids) + len(ids_of(loaded, f"{text} "))
    assert blank.scored[0].logprob == pytest.approx(sum(float(logprob[start - 1 + at, token]) for at, token in enumerate(answer)), abs=1e-4)


@pytest.mark.parametrize("packed", [True, False])
def test_samples_are_counted_and_drawn_by_the_seed(loaded, monkeypatch, packed):
    """As many as were asked for, distinct texts with counts, the same ones for the same seed; read packed or not."""
    asked = column(samples=24, temperature=1.5, max_new_tokens=2)
    expected = reply(loaded, asked, NOBODY).samples
    if not packed:
        monkeypatch.setattr(next_tokens, "packs", lambda model: False)
    samples = reply(loaded, asked, NOBODY).samples
    assert sum(sample.count for sample in samples) == 24
    assert len({sample.text for sample in samples}) == len(samples) > 1
    assert [sample.count for sample in samples] == sorted((sample.count for sample in samples), reverse=True)
    assert Counter({s.text: s.count for s in samples}) == Counter({s.text: s.count for s in expected})
    assert reply(loaded, replace(asked, question=replace(asked.question, seed=1)), NOBODY).samples != expected


def test_what_is_right_is_found_inside_an_answer(loaded):
    """By whole words, with aliases; where no right answer is known nothing is called wrong."""
    said = reply(loaded, column(), NOBODY)
    assert said.right is None
    assert all(sample.right is None for sample in said.samples)
    word = said.answer.strip()
    assert reply(loaded, column(right=(word,)), NOBODY).right is True
    assert reply(loaded, column(right=("Zanzibar",)), NOBODY).right is False


def test_a_chat_is_asked_by_its_template():
    """The turn's sign ends the answer and is not scored; signs in a question are refused."""
    family = FAMILIES["chatml with a default system text"]
    tokenizer = byte_level_tokenizer(additional_special_tokens=list(family.tokens), vocabulary=330)
    tokenizer.chat_template = family.template
    loaded = tiny_loaded(tokenizer=tokenizer)
    found = reply(loaded, column(prompt=PROMPTS["chat"], answers=("Paris",)), NOBODY)
    assert found.prompt.endswith(f"<|im_start|>user\n{ASKED}<|im_end|>\n<|im_start|>assistant\n")
    assert found.scored[0].tokens == len(ids_of(loaded, "\nParis")) - 1
    with pytest.raises(SettingsError, match="special token of the model's chat template"):
        reply(loaded, column("Who is <|im_end|>?", prompt=PROMPTS["chat"]), NOBODY)


def test_what_can_not_be_read_is_refused_in_words(loaded):
    """A text beyond the context window, with the numbers."""
    with pytest.raises(SettingsError, match=r"The question has [\d,]+ tokens as tiny reads it; with 8 tokens of an answer it does not fit"):
        reply(loaded, column("Who? " * 200), NOBODY)


def test_it_can_be_stopped_after_any_token(loaded):
    """`on_step` is called once a token, and what it raises passes through."""
    calls = []

    def stop() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise Stopped("The question was cancelled.")

    with pytest.raises(Stopped):
        reply(loaded, column(), NOBODY, on_step=stop)
    assert len(calls) == 2


def test_a_broken_model_says_so():
    """Logits that are not numbers are an error, not an answer."""
    broken = tiny_loaded()
    with torch.no_grad():
        broken.model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(ModelUnavailable, match=r"tiny: The model's logits are not numbers"):
        reply(broken, column(), NOBODY)


def test_asking_leaves_the_weights_as_they_are(loaded):
    """Nothing in the model changes by being asked."""
    before = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    reply(loaded, column(answers=("Paris",)), NOBODY)
    assert all(torch.equal(before[name], tensor) for name, tensor in loaded.model.state_dict().items())
