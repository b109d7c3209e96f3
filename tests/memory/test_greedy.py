"""Greedy answers against transformers' own greedy generation."""

import math

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

from sftqa_core.engine.greedy import greedy
from sftqa_core.errors import ModelUnavailable, Stopped
from sftqa_core.progress import Phase, Recorder, Silent

TEXTS = ["Ada was born in", "Bo lives in", "Cy is", "Di", "", "Ed is from Lima. Ada", "Bo was", "Zü"]


def prompts_of(loaded):
    return [[0, *loaded.tokenizer(text)["input_ids"]] for text in TEXTS]


def generated(loaded, prompt, limit):
    """Token ids of `generate` with nothing but greedy settings."""
    ids = torch.tensor([prompt])
    config = GenerationConfig(do_sample=False, eos_token_id=0, pad_token_id=0, max_new_tokens=limit, top_k=0)
    return loaded.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config)[0, len(prompt) :]


def test_same_tokens_as_generate(tiny):
    """Text, number of tokens and mean log-probability are those of `generate`, prompt by prompt, in the prompts' order."""
    prompts = prompts_of(tiny)
    for prompt, answer in zip(prompts, greedy(tiny, prompts, 16, batch_size=3), strict=True):
        tokens = generated(tiny, prompt, 16)
        logits = tiny.model(input_ids=torch.tensor([[*prompt, *tokens.tolist()]])).logits[0, len(prompt) - 1 : -1].double()
        expected = logits.log_softmax(-1).gather(1, tokens[:, None]).mean().item()
        assert answer.text == tiny.tokenizer.decode(tokens, skip_special_tokens=True)
        assert answer.tokens == len(tokens)
        assert answer.mean_logprob == pytest.approx(expected, abs=1e-4)


def test_stops_at_the_end_token_or_the_limit(tiny):
    """The end token counts as a token and is not in the text; without one the limit holds."""
    full = greedy(tiny, prompts_of(tiny), 30)
    short = greedy(tiny, prompts_of(tiny), 3)
    assert any(a.tokens < 30 for a in full)
    assert all(a.tokens <= 3 for a in short)
    assert all(long.text.startswith(cut.text) for long, cut in zip(full, short, strict=True) if "\ufffd" not in cut.text)
    assert not any("<|end|>" in a.text for a in full)


def test_batch_size_and_company_do_not_matter(tiny):
    """One prompt at a time gives what all at once give."""
    prompts = prompts_of(tiny)
    together, alone = greedy(tiny, prompts, 12), greedy(tiny, prompts, 12, batch_size=1)
    assert [(a.text, a.tokens) for a in together] == [(a.text, a.tokens) for a in alone]
    assert np.allclose([a.mean_logprob for a in together], [a.mean_logprob for a in alone], atol=1e-5)


def test_hostile_generation_config_changes_nothing(tiny):
    """The model's own repetition penalty and forced tokens do not reach evaluation."""
    clean, own = greedy(tiny, prompts_of(tiny), 12), tiny.model.generation_config
    try:
        tiny.model.generation_config = GenerationConfig(repetition_penalty=9.0, forced_eos_token_id=3, no_repeat_ngram_size=1, max_length=4)
        assert greedy(tiny, prompts_of(tiny), 12) == clean
    finally:
        tiny.model.generation_config = own


def test_no_prompts_no_answers(tiny):
    """An empty list is answered with an empty list."""
    assert greedy(tiny, [], 16) == []


def test_nan_logits_are_named(tiny, monkeypatch):
    """A model that training has broken is told as such."""
    head = tiny.model.lm_head.weight
    monkeypatch.setattr(tiny.model.lm_head, "forward", lambda hidden: hidden @ (head.T * math.nan))
    with pytest.raises(ModelUnavailable, match="lower the learning rate"):
        greedy(tiny, prompts_of(tiny), 4)


def test_counts_progress_and_can_be_stopped(tiny):
    """The phase hears of every prompt, and its reporter can end the work between batches."""

    class Impatient(Silent):
        def check(self):
            raise Stopped("Stopped.")

    recorder = Recorder()
    phase = Phase(recorder, "evaluate", len(TEXTS), "facts")
    greedy(tiny, prompts_of(tiny), 4, phase=phase)
    assert phase.done == len(TEXTS)
    first, last = recorder.updates[0], recorder.updates[-1]
    assert (first.done, first.share) == (0, 0.25)  # after one of four tokens
    assert (last.done, last.share) == (len(TEXTS), 1.0)
    with pytest.raises(Stopped):
        greedy(tiny, prompts_of(tiny), 4, phase=Phase(Impatient(), "evaluate", 8, "facts"))
