"""One contract for every sampler: the reference, the fast one and the scripted one."""

import inspect
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from transformers import GenerationConfig

from sftqa_core.engine.drawing import StopCriteria, draw_tokens, halving
from sftqa_core.engine.greedy import greedy
from sftqa_core.engine.packed import PackedModel
from sftqa_core.engine.randomness import GREEDY
from sftqa_core.engine.sampling import FakeSampler, Prompt, SharedPrefixSampler, batches_by_length, make_sampler
from sftqa_core.errors import ModelUnavailable, OutOfMemory, SettingsError, Stopped
from sftqa_core.knowledge.matching import Matcher, exact_answers
from sftqa_core.records import SamplerSettings
from tests.amount import in_full, spread

SETTINGS = SamplerSettings(samples=10, temperature=1.0, max_new_tokens=12, seed=3)


def prompts_of(loaded, match="tokens"):
    """Prompts of several lengths about three facts; the third fact's answer is never produced."""
    facts = [("00000000000000a1", "Ada", "Paris"), ("ffffffffffffffb2", "Bo", "New York"), ("00000000000000c3", "Cy", "Nowhere")]
    forms = ["{} was born in", "{} lives in", "{} is from", "{} was born in Lima. {} lives"]
    return [
        Prompt(fact, t, (0, *loaded.tokenizer(form.format(subject, subject))["input_ids"]), Matcher(match).compile([answer]))
        for fact, subject, answer in facts
        for t, form in enumerate(forms)
    ]


def answer_of(prompt):
    return (prompt.answers.folded + prompt.answers.exact)[0][1]


def outcome(row):
    return (row.fact_id, row.template, row.text, row.tokens, row.stop)


def rows_of(sampler, prompts, settings=SETTINGS):
    return sorted(row for rows in sampler.sample(prompts, settings) for row in rows)


def scripted(prompt, uniform):
    """Right in 4 of 10 samples of the facts that can be known; very long in 1 of 10."""
    if uniform < 0.4 and answer_of(prompt) != "Nowhere":
        return f"it is {answer_of(prompt)} I think"
    return "no idea " * (10 if uniform > 0.9 else 1)


@pytest.fixture(params=["fake", "generate", "shared"])
def sampler(request, tiny):
    if request.param == "fake":
        return FakeSampler(scripted)
    return make_sampler(request.param, tiny, batch_size=5)


class TestContract:
    """What every sampler promises."""

    def test_counts_add_up_for_every_prompt(self, sampler, tiny):
        """Every prompt comes back once, with as many samples as were asked for."""
        prompts = prompts_of(tiny)
        totals = {}
        for batch in sampler.sample(prompts, SETTINGS):
            assert not {(r.fact_id, r.template) for r in batch} & totals.keys()
            for row in batch:
                totals[row.fact_id, row.template] = totals.get((row.fact_id, row.template), 0) + row.count
        assert totals == {(p.fact_id, p.template): 10 for p in prompts}

    def test_same_counters_same_completions(self, sampler, tiny):
        """Neither order nor company changes a prompt's completions; another seed does."""
        prompts = prompts_of(tiny)
        whole = rows_of(sampler, prompts)
        apart = sorted(row for p in reversed(prompts) for row in rows_of(sampler, [p]))
        assert apart == whole
        assert rows_of(sampler, prompts, SamplerSettings(samples=10, temperature=1.0, max_new_tokens=12, seed=4)) != whole

    def test_more_samples_keep_the_first_ones(self, sampler, tiny):
        """The first 4 of 10 samples are the 4 samples of a smaller probe."""
        small = rows_of(sampler, prompts_of(tiny), SamplerSettings(samples=4, temperature=1.0, max_new_tokens=12, seed=3))
        counts = {outcome(r): r.count for r in rows_of(sampler, prompts_of(tiny))}
        assert all(counts[outcome(r)] >= r.count for r in small)

    def test_a_row_stops_only_at_the_end_token_a_hit_or_the_limit(self, sampler, tiny):
        """The reason given fits the text: a hit is certain, an end has no certain hit before it, a length used every token."""
        answers = {(p.fact_id, p.template): p.answers for p in prompts_of(tiny)}
        rows = rows_of(sampler, prompts_of(tiny))
        assert {r.stop for r in rows} == {"end", "hit", "length"}
        for row in rows:
            certain = answers[row.fact_id, row.template].find(row.text, closed=False)
            assert (row.stop == "hit") == (certain is not None)
            assert 1 <= row.tokens <= 12
            assert row.stop != "length" or row.tokens == 12
        assert "hit" not in {r.stop for r in rows if r.fact_id == "00000000000000c3"}


def test_shared_rows_draw_what_generate_draws(tiny):
    """In float32 on the CPU the fast sampler's completions are those of the reference, text by text and count by count."""
    prompts = prompts_of(tiny)
    settings = SamplerSettings(samples=40, temperature=0.7, max_new_tokens=16, seed=1)
    fast, slow = (rows_of(make_sampler(name, tiny, 64), prompts, settings) for name in ("shared", "generate"))
    assert sum(row.count for row in fast) == 480
    assert fast == slow
    assert len(fast) > 60


@in_full
@pytest.mark.parametrize("kind", ["GPTNeoX", "Qwen2", "GPT2", "Mistral"])
def test_other_architectures_agree_too(tiny, kind):
    """Rotary, absolute and sliding-window positions: both samplers draw the same from an untrained model of each kind."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 290}
    sizes |= {"Mistral": {"num_key_value_heads": 1, "sliding_window": 6}, "Qwen2": {"num_key_value_heads": 1}}.get(kind, {})
    sizes |= {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    torch.manual_seed(1)
    model = getattr(transformers, f"{kind}ForCausalLM" if kind != "GPT2" else "GPT2LMHeadModel")(
        getattr(transformers, f"{kind}Config")(**sizes)
    )
    loaded = replace(tiny, model=model.eval())
    prompts = prompts_of(tiny)
    assert rows_of(make_sampler("shared", loaded, 64), prompts) == rows_of(make_sampler("generate", loaded, 64), prompts)


def test_substring_rule_stops_alike(tiny):
    """The paper's matching rule gives the same rows in both samplers."""
    prompts = prompts_of(tiny, "substring")
    assert rows_of(make_sampler("shared", tiny, 64), prompts) == rows_of(make_sampler("generate", tiny, 64), prompts)


@pytest.mark.parametrize("name", ["shared", "generate"])
def test_hostile_generation_config_changes_nothing(tiny, name):
    """A model's own top-k, top-p, penalties, forced and suppressed tokens have no effect, and are left as they were."""
    prompts = prompts_of(tiny)
    clean = rows_of(make_sampler(name, tiny, 64), prompts)
    own = tiny.model.generation_config
    hostile = GenerationConfig(
        do_sample=True, top_k=1, top_p=0.1, temperature=0.01, repetition_penalty=5.0, no_repeat_ngram_size=1, min_new_tokens=9,
        suppress_tokens=[5, 6, 7], forced_eos_token_id=0, eos_token_id=[40, 41], max_new_tokens=3, num_return_sequences=2,
        typical_p=0.2, min_p=0.5, begin_suppress_tokens=list(range(100)), bad_words_ids=[[50], [60]],
    )  # fmt: skip
    try:
        tiny.model.generation_config = hostile
        assert rows_of(make_sampler(name, tiny, 64), prompts) == clean
        assert tiny.model.generation_config is hostile
    finally:
        tiny.model.generation_config = own


@pytest.mark.parametrize("name", ["shared", "generate"])
def test_nan_logits_are_named(tiny, name, monkeypatch):
    """A model that answers with NaN is called damaged, with what to do."""
    head = tiny.model.lm_head.weight
    monkeypatch.setattr(tiny.model.lm_head, "forward", lambda hidden: hidden @ (head.T * math.nan))
    with pytest.raises(ModelUnavailable, match=r"logits are not numbers.*float32"):
        rows_of(make_sampler(name, tiny, 64), prompts_of(tiny)[:1])


def test_full_memory_halves_the_batch(tiny, monkeypatch):
    """A device that holds one prompt's rows at a time gives the same completions as one that holds all."""
    prompts = prompts_of(tiny)
    whole = rows_of(make_sampler("generate", tiny, 64), prompts)
    sampler, sizes = make_sampler("generate", tiny, 64), []
    inner = sampler._batch

    def crowded(batch, settings):
        sizes.append(len(batch))
        if len(batch) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return inner(batch, settings)

    monkeypatch.setattr(sampler, "_batch", crowded)
    assert rows_of(sampler, prompts) == whole
    assert sizes.count(1) == len(prompts)


@pytest.mark.parametrize("most", [45, 25])
def test_full_memory_begins_again_with_less(tiny, monkeypatch, most):
    """A device that has room for so many tokens a pass, and not always, gives the same completions, each prompt once."""
    prompts = prompts_of(tiny)
    whole = rows_of(make_sampler("shared", tiny, 64), prompts)
    read, passes = PackedModel.read, []

    def crowded(self, segments):
        passes.append(sum(len(segment.ids) for segment in segments))
        if passes[-1] > most or len(passes) == 9:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return read(self, segments)

    monkeypatch.setattr(PackedModel, "read", crowded)
    assert rows_of(make_sampler("shared", tiny, 64), prompts) == whole
    assert passes[0] > most


def test_no_room_for_one_prompt_is_told(tiny, monkeypatch):
    """When even one prompt does not fit, the error names the settings to change."""

    def full(self, segments):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(PackedModel, "read", full)
    sampler = SharedPrefixSampler(tiny, 64)
    with pytest.raises(OutOfMemory, match=r"no room for a batch of one.*fewer new tokens"):
        rows_of(sampler, prompts_of(tiny))


def test_no_room_for_one_is_told():
    """When even a single prompt does not fit, the message names the settings to change; other errors pass through."""

    def full(batch):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(OutOfMemory, match=r"no room for a batch of one\. Use less\."):
        list(halving([[1, 2, 3, 4]], full, "Use less."))
    with pytest.raises(RuntimeError, match="shapes differ"):
        list(halving([[1, 2]], lambda batch: (_ for _ in ()).throw(RuntimeError("shapes differ")), ""))


def test_halving_keeps_the_size_that_fitted():
    """After one failure later batches are cut before they are tried, and nothing is lost or done twice."""
    tried = []

    def small_only(batch):
        tried.append(len(batch))
        if len(batch) > 2:
            raise MemoryError
        return sum(batch)

    done = list(halving([[1, 2, 3, 4, 5], [6, 7, 8]], small_only, ""))
    assert [batch for batch, _ in done] == [[1, 2], [3, 4], [5], [6, 7], [8]]
    assert [total for _, total in done] == [3, 7, 5, 13, 8]
    assert tried == [5, 2, 2, 1, 2, 1]


def test_inverse_cdf_hits_the_right_token():
    """The token is the first whose cumulative probability exceeds the number; tokens of probability 0 are never drawn."""
    logits = torch.tensor([[0.0, -math.inf, math.log(2.0), math.log(1.0), -math.inf]])  # 1/4, 0, 1/2, 1/4, 0
    uniform = torch.tensor([[0.0, 0.2499, 0.25, 0.74, 0.76, 1 - 2.0**-53]], dtype=torch.float64)
    assert draw_tokens(logits, 1.0, uniform).tolist() == [[0, 0, 2, 2, 3, 3]]
    assert draw_tokens(logits, 0.5, uniform).tolist() == [[0, 2, 2, 2, 2, 3]]  # 1/6, 0, 4/6, 1/6, 0


def test_top_k_draws_among_exactly_k_tokens():
    """Of equal logits at the border those that stand first count; the rest have no chance; k beyond the vocabulary changes nothing."""
    logits = torch.tensor([[1.0, 0.0, 1.0, 2.0, 1.0, -math.inf]])  # the largest, then three equal ones
    uniform = torch.linspace(0, 1 - 2.0**-53, 4001, dtype=torch.float64)[None]
    assert set(draw_tokens(logits, 1.0, uniform, 3)[0].tolist()) == {0, 2, 3}
    assert set(draw_tokens(logits, 1.0, uniform, 1)[0].tolist()) == {3}
    shares = torch.bincount(draw_tokens(logits, 0.5, uniform, 3)[0], minlength=6) / 4001
    total = 2 * math.e**2 + math.e**4
    assert shares.tolist() == pytest.approx([math.e**2 / total, 0, math.e**2 / total, math.e**4 / total, 0, 0], abs=1e-3)
    assert torch.equal(draw_tokens(logits, 1.0, uniform, 6), draw_tokens(logits, 1.0, uniform))


def test_a_greedy_draw_takes_the_first_of_the_largest_logits():
    """Whatever the temperature and k, in a row beside plain draws."""
    logits = torch.tensor([[0.0, 3.0, 3.0, 1.0]])
    uniform = torch.tensor([[GREEDY, 0.999999, 0.0]], dtype=torch.float64)
    assert draw_tokens(logits, 10.0, uniform).tolist() == [[1, 3, 0]]
    assert draw_tokens(logits, 10.0, uniform, 2).tolist() == [[1, 2, 1]]


@pytest.mark.parametrize(("top_k", "rule"), spread([None, 1, 3, 40, 10_000], ["tokens", "exact"]))
def test_top_k_and_greedy_draw_what_generate_draws(tiny, top_k, rule):
    """Both samplers give the same rows with any k, greedy ones among them, by either way of matching; the greedy row is `greedy`'s."""
    settings = replace(SETTINGS, samples=6, top_k=top_k, greedy=True, seed=2)
    prompts = prompts_of(tiny)
    prompts = prompts if rule == "tokens" else [replace(p, answers=exact_answers([answer_of(p)])) for p in prompts]
    fast, slow = (rows_of(make_sampler(name, tiny, 64), prompts, settings) for name in ("shared", "generate"))
    assert fast == slow
    assert sum(row.count for row in fast if row.template >= 0) == 6 * len(prompts)
    told = {(row.fact_id, -1 - row.template): (row.text, row.count) for row in fast if row.template < 0}
    if rule == "exact":  # nothing stops a row before its end token, so whole answers can be compared
        assert {row.stop for row in fast} <= {"end", "length", "line"}
        answers = greedy(tiny, [p.ids for p in prompts], 12)
        assert told == {(p.fact_id, p.template): (a.text, 1) for p, a in zip(prompts, answers, strict=True)}
    if top_k == 1:
        assert all(row.text == told[row.fact_id, row.template][0] for row in fast if row.template >= 0)


def test_rows_of_exact_answers_stop_at_the_end_of_a_line(tiny):
    """A line break ends the row whatever stands in the line, and keeps the text as it was drawn."""
    watch, answers = StopCriteria.of(tiny), [exact_answers(["Paris"])]

    def check(text):
        drawn = np.array([tiny.tokenizer(text)["input_ids"]])
        return watch.check(drawn, np.array([drawn.shape[1]]), answers, 32).get(0)

    assert check(" Paris.") is None
    assert check(" Paris\n") == ("line", " Paris\n")
    assert check("\n") == ("line", "\n")
    assert check(" Paris" + "." * 31) == ("length", " Paris" + "." * 31)


def test_word_still_open_is_no_hit(tiny):
    """An answer at the very end of the text is no hit until the next token closes the word."""
    watch, answers = StopCriteria.of(tiny), [Matcher().compile(["Paris"])]
    ids = tiny.tokenizer(" Paris")["input_ids"]

    def check(extra):
        drawn = np.array([[*ids, *extra]])
        return watch.check(drawn, np.array([drawn.shape[1]]), answers, 32).get(0)

    letter, dot = tiny.tokenizer("x")["input_ids"], tiny.tokenizer(".")["input_ids"]
    first_byte_of_u_umlaut = tiny.tokenizer.convert_tokens_to_ids("Ã")
    assert check([]) is None
    assert check(letter) is None
    assert check([first_byte_of_u_umlaut]) is None
    assert check(dot) == ("hit", " Paris.")
    assert check([0]) == ("end", " Paris")


def test_prompts_of_one_length_go_together():
    """Batches hold one length each, the longest first, and no more than the batch size."""
    assert batches_by_length([3, 5, 3, 3, 5], 2) == [[1, 4], [0, 2], [3]]
    assert batches_by_length([], 2) == []


def test_unknown_sampler_is_refused(tiny):
    """A wrong name is answered with the right ones."""
    with pytest.raises(SettingsError, match="sampler must be one of shared, generate, got 'fast'"):
        make_sampler("fast", tiny, 1)


@pytest.mark.parametrize("name", ["shared", "generate"])
def test_a_sampler_tells_of_every_pass(tiny, name):
    """Long before a prompt is through: completions at their end, and what is done of prompts in progress; all of it ends as prompts."""
    told, handed_over = [], []
    sampler = make_sampler(name, tiny, 12, lambda now: told.append((now, sum(handed_over))))
    settings = replace(SETTINGS, greedy=True)
    for batch in sampler.sample(prompts_of(tiny), settings):
        handed_over.append(len({(row.fact_id, row.template) for row in batch if row.template >= 0}))
    assert sum(handed_over) == 12
    first, last = told[0][0], told[-1][0]
    assert first.prompts > 0
    assert (last.completions, last.prompts) == (0, 0.0)
    assert max(now.completions for now, through in told if not through) > 0
    assert all(now.completions <= 11 * (12 - through) and now.prompts <= 12 - through for now, through in told)
    early = [now.prompts for now, through in told if not through and now.completions]
    assert early == sorted(early)


@pytest.mark.parametrize("name", ["shared", "generate"])
def test_a_sampler_is_stopped_after_a_pass(tiny, name, monkeypatch):
    """Not only when prompts are through: the watch raises, and no other pass is made."""
    passes, forward = [], tiny.model.forward

    def counted(*arguments, **options):
        passes.append(1)
        return forward(*arguments, **options)

    counted.__signature__ = inspect.signature(forward)

    def stop(now):
        raise Stopped("Stopped.")

    sampler = make_sampler(name, tiny, 12, stop)
    monkeypatch.setattr(tiny.model, "forward", counted)
    with pytest.raises(Stopped):
        list(sampler.sample(prompts_of(tiny), SETTINGS))
    assert len(passes) == 1
