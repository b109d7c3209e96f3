"""When the memory is full: sampling and answering go on with fewer prompts at once, and lose nothing."""

from types import SimpleNamespace

import pytest
import torch

from sftqa_core.engine import drawing
from sftqa_core.engine import greedy as greedy_module
from sftqa_core.engine import packed as segments
from sftqa_core.engine.greedy import greedy
from sftqa_core.engine.packed import PackedModel
from sftqa_core.engine.sampling import make_sampler
from sftqa_core.errors import OutOfMemory
from tests.amount import few, spread
from tests.memory.family_models import SETTINGS, build, chosen, prompts_of, rows_of, untraced

FULL = "CUDA out of memory. Tried to allocate 2.00 GiB"


def in_hand(read):
    """Prompts of which a pass reads tokens."""
    return len({int(place) for segment in read for place in segment.places})


def room_for(most, monkeypatch):
    """Let a pass hold tokens of at most so many prompts. Returns, of every pass that was tried, how many it wanted to hold."""
    tried, read = [], PackedModel.read

    def limited(model, parts):
        tried.append(in_hand(parts))
        if tried[-1] > most:
            raise torch.OutOfMemoryError(FULL)
        return read(model, parts)

    monkeypatch.setattr(PackedModel, "read", limited)
    return tried


def full_once(monkeypatch, owner, name, call, alone=False):
    """Let the memory be full once: after the `call`th call of a function, or the next with several prompts (`alone`: one) in hand."""
    told = SimpleNamespace(calls=0, times=0, in_hand=0)
    read, inner = PackedModel.read, getattr(owner, name)

    def reading(model, parts):
        told.in_hand = in_hand(parts)
        return read(model, parts)

    def failing(*args, **options):
        if owner is PackedModel:
            told.in_hand = in_hand(args[1])
        told.calls += 1
        found = inner(*args, **options)
        if told.calls >= call and not told.times and (told.in_hand == 1) == alone:
            told.times += 1
            raise torch.OutOfMemoryError(FULL)
        return found

    if owner is not PackedModel:
        monkeypatch.setattr(PackedModel, "read", reading)
    monkeypatch.setattr(owner, name, failing)
    return told


@pytest.mark.parametrize("most", few([1, 2, 5], 2))
def test_full_memory_goes_on_with_fewer(windowed, whole, most, monkeypatch):
    """With room for few prompts all of them are sampled, none twice, and answered, with the same results as with plenty."""
    prompts = prompts_of(windowed)
    answers = chosen(windowed, prompts, monkeypatch)
    tried = room_for(most, monkeypatch)
    batches = list(make_sampler("shared", windowed, 16).sample(prompts, SETTINGS))
    places = [place for batch in batches for place in {(row.fact_id, row.template) for row in batch}]
    assert sorted(places) == sorted((p.fact_id, p.template) for p in prompts)
    assert untraced(windowed, prompts, SETTINGS, [row for batch in batches for row in batch], whole) == []
    assert chosen(windowed, prompts, monkeypatch, batch_size=16) == answers
    assert max(tried) > most
    assert sum(size > most for size in tried) <= 6  # a size that failed is not tried again and again


MOMENTS = (1, 3, 8, 2 * SETTINGS.max_new_tokens + 1)  # calls; the last one late on the way


@pytest.mark.parametrize(("where", "call"), spread([(PackedModel, "read"), (segments, "attention"), (drawing, "draw_tokens")], MOMENTS))
def test_full_memory_at_any_moment_loses_no_completion(windowed, whole, where, call, monkeypatch):
    """Memory that is full once, in a layer, after a pass or while drawing, costs no prompt and doubles none."""
    prompts = prompts_of(windowed)
    told = full_once(monkeypatch, *where, call)
    rows = rows_of(make_sampler("shared", windowed, 6), prompts)
    assert told.times == 1
    assert sum(row.count for row in rows) == SETTINGS.samples * len(prompts)
    assert untraced(windowed, prompts, SETTINGS, rows, whole) == []


@pytest.mark.parametrize(("where", "call"), spread([(PackedModel, "read"), (greedy_module, "most_probable")], MOMENTS))
def test_full_memory_at_any_moment_loses_no_answer(windowed, where, call, monkeypatch):
    """Greedy answers are the same when memory was full once on the way."""
    prompts = prompts_of(windowed)
    want = chosen(windowed, prompts, monkeypatch)
    told = full_once(monkeypatch, *where, call)
    assert chosen(windowed, prompts, monkeypatch, batch_size=6) == want
    assert told.times == 1


def test_last_prompt_under_way_begins_again_alone(windowed, whole, monkeypatch):
    """A prompt that was left over from many, with their room still taken, is tried by itself before anyone is told that it can't fit."""
    prompts = prompts_of(windowed)
    told = full_once(monkeypatch, PackedModel, "read", 1, alone=True)
    rows = rows_of(make_sampler("shared", windowed, 2), prompts)
    assert told.times == 1
    assert untraced(windowed, prompts, SETTINGS, rows, whole) == []


def test_no_room_for_a_single_prompt_is_told(windowed, monkeypatch):
    """When even one prompt does not fit, samples and answers end with what to do, after having tried with one."""
    prompts = prompts_of(windowed)
    tried = room_for(0, monkeypatch)
    with pytest.raises(OutOfMemory, match=r"no room for a batch of one\. Use a smaller model, fewer samples or fewer new tokens"):
        rows_of(make_sampler("shared", windowed, 16), prompts)
    assert tried[-1] == 1
    with pytest.raises(OutOfMemory, match=r"no room for a batch of one\. Use a smaller model or fewer test facts"):
        greedy(windowed, [p.ids for p in prompts], 16)
    assert tried[-1] == 1


def test_no_room_for_a_single_prompt_of_generate_is_told(monkeypatch):
    """Answers by `generate` end with the same advice when one prompt does not fit."""
    loaded = build("bloom-alibi")

    def full(**options):
        raise torch.OutOfMemoryError(FULL)

    monkeypatch.setattr(loaded.model, "generate", full)
    with pytest.raises(OutOfMemory, match="Use a smaller model or fewer test facts"):
        greedy(loaded, [p.ids for p in prompts_of(loaded)], 16)
