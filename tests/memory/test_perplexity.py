"""Perplexity of held-out text against a plain loop."""

import math

import numpy as np
import pytest
import torch

from sftqa_core.engine import perplexity as module
from sftqa_core.engine.perplexity import perplexity_of
from tests.tiny import byte_level_tokenizer, tiny_loaded

DOCUMENTS = ["Ann was born in Paris.", "Ann.", "Q: Where was Ann born?\nA: Paris.", "Ann was born in Paris.", "Größe", "x"]


def perplexity(loaded, documents):
    return perplexity_of(loaded, documents).value


@pytest.fixture(scope="module")
def loaded():
    return tiny_loaded()


def plain(loaded, documents):
    """One document at a time, one token at a time: -log p of each token but the first, the end token last."""
    losses = []
    for text in documents:
        ids = [*loaded.bos_ids, *loaded.tokenizer(text, add_special_tokens=False)["input_ids"], loaded.end_ids[0]]
        with torch.no_grad():
            logs = loaded.model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
        losses += [-float(logs[place - 1, ids[place]]) for place in range(1, len(ids))]
    return math.exp(sum(losses) / len(losses))


def test_it_is_what_a_plain_loop_gives(loaded):
    """Documents of different lengths, one of them twice: the mean is over tokens, not over documents."""
    assert perplexity(loaded, DOCUMENTS) == pytest.approx(plain(loaded, DOCUMENTS), rel=1e-5)
    alone = [perplexity(loaded, [text]) for text in DOCUMENTS]
    assert min(alone) < perplexity(loaded, DOCUMENTS) < max(alone)


def test_a_start_token_is_read_and_not_predicted():
    """With a start token the first word is predicted too: one number more a document."""
    tokenizer = byte_level_tokenizer(bos_token="<|end|>")
    with_start = tiny_loaded(tokenizer=tokenizer)
    object.__setattr__(with_start, "bos_ids", (tokenizer.eos_token_id,))
    assert perplexity(with_start, DOCUMENTS) == pytest.approx(plain(with_start, DOCUMENTS), rel=1e-5)
    assert perplexity(with_start, ["x"]) != pytest.approx(perplexity(tiny_loaded(), ["x"]), rel=1e-3)


@pytest.mark.parametrize("size", [1, 2, 1_000])
def test_the_batch_size_does_not_matter(loaded, size, monkeypatch):
    """Twenty documents of each length, in batches of any size and in any order."""
    documents = DOCUMENTS * 20
    whole = perplexity(loaded, documents)
    monkeypatch.setattr(module, "BATCH", size)
    assert perplexity(loaded, documents) == pytest.approx(whole, rel=1e-6)
    assert perplexity(loaded, documents[::-1]) == pytest.approx(perplexity(loaded, DOCUMENTS), rel=1e-6)


def test_no_documents_have_no_perplexity(loaded):
    """NaN for none, and for empty ones without a start token, where nothing is predicted."""
    assert math.isnan(perplexity(loaded, []))
    assert list(loaded.bos_ids) == []
    assert math.isnan(perplexity(loaded, ["", ""]))
    assert perplexity(loaded, ["", "Ann."]) == perplexity(loaded, ["Ann."])


def test_a_model_that_knows_nothing_has_the_vocabulary_as_perplexity():
    """Equal logits: as many equally likely tokens as there are."""
    even = tiny_loaded(seed=1)
    with torch.no_grad():
        for parameter in even.model.parameters():
            parameter.zero_()
    assert perplexity(even, DOCUMENTS) == pytest.approx(len(even.tokenizer), rel=1e-5)


def test_a_diverged_model_has_an_infinite_perplexity():
    """Weights ten thousand times too large: more than any float, and no error."""
    broken = tiny_loaded(seed=2)
    with torch.no_grad():
        broken.model.model.norm.weight.mul_(1e6)
    assert perplexity(broken, DOCUMENTS) == math.inf


def test_a_change_has_a_standard_error_over_documents(loaded):
    """ln of the ratio of two perplexities; none where nothing changed, and that of the documents' spread where something did."""
    before = perplexity_of(loaded, DOCUMENTS)
    assert before.log_ratio(before) == (0.0, 0.0)
    more = module.Perplexity(before.nats + 0.1 * before.tokens, before.tokens)
    assert more.log_ratio(before) == pytest.approx((0.1, 0.0), abs=1e-12)
    uneven = module.Perplexity(before.nats + np.array([1.0, 0, 0, 0, 0, 0]), before.tokens)
    value, error = uneven.log_ratio(before)
    assert value == pytest.approx(math.log(uneven.value / before.value))
    assert error == pytest.approx(abs(value), rel=0.25)  # one document of six has all of it
