"""Answers given behind their questions: how probable they are, and whether greedy decoding would give them, against a plain loop."""

import pytest
import torch

from sftqa_core.engine import given_answers
from sftqa_core.engine.given_answers import GivenAnswer
from sftqa_core.engine.greedy import greedy
from sftqa_core.errors import ModelUnavailable
from tests.memory.conftest import SENTENCES
from tests.tiny import tiny_loaded


@torch.no_grad()
def slowly(loaded, ids, answer) -> tuple[float, bool]:
    """log P of an answer and whether it fits: a plain pass for the text, then token by token."""
    logits = loaded.model(input_ids=torch.tensor([[*ids, *answer]]), use_cache=False).logits[0].double()
    total, fits = 0.0, True
    for at, token in enumerate(answer, len(ids)):
        total += float(torch.log_softmax(logits[at - 1], -1)[token])
        fits &= int(logits[at - 1].argmax()) == token
    return total, fits


def questions_of(loaded):
    """Each sentence cut in two after its third word, with its own end and with that of a sentence of another name."""
    begins, ends = zip(*((" ".join(text.split()[:3]), " " + " ".join(text.split()[3:])) for text in SENTENCES), strict=True)
    pairs = [*zip(begins, ends, strict=True), *zip(begins, ends[3:] + ends[:3], strict=True)]
    return [([0, *loaded.tokenizer(first)["input_ids"]], loaded.tokenizer(second)["input_ids"]) for first, second in pairs]


@pytest.mark.parametrize("batch", [None, 1, 4])
def test_as_a_plain_loop_has_it(tiny, batch):
    """In the order of the questions, equal ones included, in batches of any size; some fit and some do not."""
    questions = questions_of(tiny)
    questions.append(questions[0])
    read = given_answers.given_answers(tiny, questions, batch)
    for answer, (ids, tokens) in zip(read, questions, strict=True):
        logprob, fits = slowly(tiny, ids, tokens)
        assert answer == GivenAnswer(pytest.approx(logprob, abs=1e-4), len(tokens), fits)
    assert {answer.fits for answer in read} == {True, False}


def test_what_fits_is_what_greedy_decoding_writes(tiny):
    """Given as an answer, a greedy continuation fits."""
    questions = questions_of(tiny)
    texts = [answer.text for answer in greedy(tiny, [ids for ids, _ in questions], 4)]
    given = [(ids, tiny.tokenizer(text)["input_ids"]) for (ids, _), text in zip(questions, texts, strict=True) if text]
    assert len(given) > 5
    assert all(answer.fits for answer in given_answers.given_answers(tiny, given))


def test_models_that_do_not_pack_are_read_alone(tiny, monkeypatch):
    """The same numbers."""
    packed = given_answers.given_answers(tiny, questions_of(tiny))
    monkeypatch.setattr(given_answers, "packs", lambda loaded: False)
    alone = given_answers.given_answers(tiny, questions_of(tiny))
    assert [answer.fits for answer in alone] == [answer.fits for answer in packed]
    assert [answer.logprob for answer in alone] == pytest.approx([answer.logprob for answer in packed], abs=1e-4)


def test_nothing_is_asked_and_nothing_answers():
    """No question, no pass; logits that are no numbers are reported under the model's name."""
    loaded = tiny_loaded()
    assert given_answers.given_answers(loaded, []) == []
    with torch.no_grad():
        loaded.model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(ModelUnavailable, match="tiny: The model's logits are not numbers"):
        given_answers.given_answers(loaded, [([5, 6], [7])])
