"""Samples, answers and likelihood of a served model: one contract for the fake server and for a real one.

The real one is asked where SFTQA_TEST_SERVER names it, with the model's tokenizer in SFTQA_TEST_TOKENIZER:

    SFTQA_TEST_SERVER=http://127.0.0.1:8099/v1#smollm2 SFTQA_TEST_TOKENIZER=FOLDER python -m pytest tests/memory/test_server_answers.py
"""

import math
import os
from collections import Counter

import pytest

from sftqa_core.engine.sampling import Prompt
from sftqa_core.engine.server_answers import ServerSampler, chance, greedy_answers, logprobs_after
from sftqa_core.errors import ModelUnavailable, Stopped
from sftqa_core.knowledge.matching import Matcher, exact_answers
from sftqa_core.models import catalogue
from sftqa_core.models.serving import addresses, server_client
from sftqa_core.models.serving.addresses import server_name
from sftqa_core.models.serving.served_models import name_tokenizer, open_served
from sftqa_core.progress import Phase, Recorder
from sftqa_core.records import SamplerSettings
from tests.fake_server import serving
from tests.tiny import byte_level_tokenizer

SETTINGS = SamplerSettings(samples=6, temperature=0.8, max_new_tokens=5, seed=3)
REAL = os.environ.get("SFTQA_TEST_SERVER")


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch):
    monkeypatch.setattr(addresses, "_typed", set())
    monkeypatch.setattr(server_client, "PAUSES_S", (0.01, 0.02))


@pytest.fixture
def fake(tmp_path):
    tokenizer = byte_level_tokenizer()
    tokenizer.save_pretrained(tmp_path / "words")
    with serving(tokenizer) as server:
        yield server


def opened(name, tokenizer=None):
    """The model of a name, sent token ids where a tokenizer is given."""
    addresses.allow_typed(name)
    if tokenizer:
        name_tokenizer(server_name(name), str(tokenizer))
    return open_served(catalogue.find_model(name))


@pytest.fixture(params=["texts", "ids", pytest.param("real", marks=pytest.mark.skipif(not REAL, reason="no real server is named"))])
def served(request, tmp_path):
    if request.param == "real":
        yield opened(REAL, os.environ.get("SFTQA_TEST_TOKENIZER"))
        return
    fake = request.getfixturevalue("fake")
    yield opened(fake.name, tmp_path / "words" if request.param == "ids" else None)


def prompts_of(served, texts=("Ann was born in", "Bo lives in", "Cy is from")):
    ids = [tuple(served.tokenizer(text)["input_ids"]) if served.tokenizer else () for text in texts]
    answers = Matcher("tokens").compile(["Paris"])
    return [Prompt(f"{at:016x}", at, row, answers, text) for at, (row, text) in enumerate(zip(ids, texts, strict=True))]


class TestContract:
    """What every served model gives."""

    def test_counts_add_up(self, served):
        """Every prompt comes back once, with as many samples as were asked for, each within the limit of tokens."""
        totals = Counter()
        for batch in ServerSampler(served).sample(prompts_of(served), SETTINGS):
            for row in batch:
                totals[row.fact_id, row.template] += row.count
                assert row.stop in ("end", "length")
                assert 1 <= row.tokens <= 5
                assert (row.stop == "length") <= (row.tokens == 5)
        assert totals == {(p.fact_id, p.template): 6 for p in prompts_of(served)}

    def test_greedy_beside_samples(self, served):
        """The most probable completion has a template of its own, as with every sampler, and is the greedy answer."""
        settings = SamplerSettings(samples=2, temperature=0.8, max_new_tokens=5, greedy=True)
        prompts = prompts_of(served)[:1]
        ((*rows,),) = ServerSampler(served).sample(prompts, settings)
        (chosen,) = [row for row in rows if row.template < 0]
        (answer,) = greedy_answers(served, [prompts[0].ids or prompts[0].text], 5)
        assert (chosen.template, chosen.count, chosen.text) == (-1, 1, answer.text)
        assert sum(row.count for row in rows) == 3

    def test_answers_in_order(self, served):
        """However they finish; each with the mean log-probability of its tokens."""
        prompts = [p.ids or p.text for p in prompts_of(served)]
        told = Recorder()
        together = greedy_answers(served, prompts, 4, Phase(told, "answers", 3, "facts"))
        assert [a.text for a in together] == [greedy_answers(served, [prompt], 4)[0].text for prompt in prompts]
        assert all(-50 < a.mean_logprob <= 0 and 1 <= a.tokens <= 4 for a in together)
        assert told.updates[-1].done == 3

    def test_likelihood_is_that_of_the_greedy_tokens(self, served):
        """The log-probability of what greedy decoding took, read off an echo, is the one that decoding gave."""
        if served.tokenizer is None:
            pytest.skip("likelihood needs token ids")
        (prompt, *_) = prompts_of(served)
        (choice,), _ = served.ask(prompt.ids, 1)
        ids = tuple(served.tokenizer.convert_tokens_to_ids([token.replace(" ", "\u0120") for token in choice.tokens]))
        assert logprobs_after(served, prompt.ids, ids)[0] == pytest.approx(choice.logprobs[0], abs=0.02)
        assert chance(served, prompt.ids, [ids]) == pytest.approx(math.exp(choice.logprobs[0]), rel=0.05)


def test_samples_follow_the_servers_distribution(fake):
    """By the fake's own table: first tokens of 400 samples at temperature 0.8."""
    served = opened(fake.name)
    (prompt, *_) = prompts_of(served)
    settings = SamplerSettings(samples=400, temperature=0.8, max_new_tokens=1)
    ((*rows,),) = ServerSampler(served).sample([prompt], settings)
    last = fake.tokenizer(prompt.text)["input_ids"][-1]
    scores = fake.logits()[last] / 0.8
    best = int(scores.argmax())
    share = math.exp(scores[best] - scores.max()) / sum(math.exp(s - scores.max()) for s in scores)
    seen = sum(row.count for row in rows if row.text == fake.tokenizer.decode([best]))
    assert abs(seen - 400 * share) < 4 * math.sqrt(400 * share * (1 - share))


def test_one_line_answers_end_with_their_line(fake):
    """Of answers that are compared line by line, what comes after the line is not kept."""
    served = opened(fake.name)
    prompt = Prompt("a" * 16, 0, (), exact_answers(["Paris"]), "Q: Who?\nA:")
    settings = SamplerSettings(samples=60, temperature=3.0, max_new_tokens=40, top_k=300)
    ((*rows,),) = ServerSampler(served).sample([prompt], settings)
    lines = [row for row in rows if row.stop == "line"]
    assert lines
    assert all(row.text.endswith(("\n", "\r")) and "\n" not in row.text[:-1] for row in lines)


class TestSideBySide:
    """Requests that run at the same time."""

    def test_results_come_as_they_finish(self, fake):
        """And items are drawn as there is room, not all at once."""
        served, drawn = opened(fake.name), []

        def items():
            for at in range(500):
                drawn.append(at)
                yield at

        results = served.client.side_by_side(lambda at: at * at, items())
        first = next(results)
        assert len(drawn) <= 4 * served.client.room.most
        assert sorted([first, *results]) == [at * at for at in range(500)]

    def test_failure_gives_the_others_up(self, fake):
        """One request that fails ends the work, and the connections are closed."""
        served = opened(fake.name)

        def work(at):
            if at == 3:
                raise ModelUnavailable("gone")
            return at

        with pytest.raises(ModelUnavailable, match="gone"):
            list(served.client.side_by_side(work, range(100)))
        with pytest.raises(Stopped):
            served.ask("Ann", 1)
