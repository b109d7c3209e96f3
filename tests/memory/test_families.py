"""Packed reading, the shared-prefix sampler and greedy answers, on a tiny model of every family and on the one that ships."""

import math
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

from sftqa_core.engine.decoder import Load, packs
from sftqa_core.engine.packed import PrefixTree
from sftqa_core.engine.sampling import GenerateSampler, Prompt, SharedPrefixSampler, make_sampler
from sftqa_core.engine.wanted_facts import wanted_facts
from sftqa_core.knowledge.aliases import load_aliases
from sftqa_core.memory.prober import chosen_facts
from sftqa_core.memory.profiles import open_for
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.loading import encode_prompts, load_model
from sftqa_core.records import LevelScheme, ProbeSettings, SamplerSettings
from tests.amount import FULL, few, in_full
from tests.memory.family_models import (
    FAMILIES,
    GROUPED,
    MOE,
    NEAR,
    SETTINGS,
    Family,
    Wandering,
    agreement,
    build,
    chosen,
    generated,
    loaded_from,
    outcomes,
    plain_logits,
    prompts_of,
    rows_of,
    untraced,
    walked,
)

SOME = few(FAMILIES, "llama", "mistral-window", "bloom-alibi")  # whole attention, a window, not packed
SHIPPED_FACTS = 12 if FULL else 4
STARTS = {"start token": (0,), "no start token": ()}
FAMILY_STARTS = [(name, start) for name in SOME for start in STARTS]
TABLE_OF_T = {4: 3.182, 12: 2.201}  # number of facts -> Student's t, 97.5%, one degree of freedom less


def _shared(loaded):
    return make_sampler("shared", loaded, 64)


def _reference(loaded):
    return GenerateSampler(loaded, 64)


def expected(loaded, prompts):
    """The same from transformers' own `generate`."""
    found = []
    continued = generated(loaded, (prompt.ids for prompt in prompts), SETTINGS.max_new_tokens)
    for prompt in prompts:
        tokens = continued[prompt.ids]
        said = tokens[:-1] if tokens[-1] in loaded.end_ids else tokens
        found.append((loaded.tokenizer.decode(said, skip_special_tokens=True), len(tokens), said))
    return found


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    """A family's model, and what `generate` draws from it for each way to start."""
    loaded = build(request.param)
    drawn = {}
    if request.param in SOME:
        drawn = {start: rows_of(GenerateSampler(loaded, 64), prompts_of(loaded, ids)) for start, ids in STARTS.items()}
    return SimpleNamespace(name=request.param, packs=FAMILIES[request.param].packs, loaded=loaded, drawn=drawn)


# --- every family ---------------------------------------------------------------------------------------------


class TestFamily:
    """What holds for every family. Whether one is read packed is tried on each; what follows from that on some, in a full run on all."""

    def test_packs_tells_whether_packed_logits_are_the_models_own(self, family):
        """Packed logits are plain ones while prompts come and go and rows split, wait and stop, or `packs` says no."""
        texts = [p.ids for p in prompts_of(family.loaded) + prompts_of(family.loaded, ())[4:8]]
        own, before = family.loaded.model.config._attn_implementation, plain_logits(family.loaded, texts[:1])
        assert packs(family.loaded) is family.packs
        wandering = Wandering(family.loaded, Load(8, 2, 12), 6)
        assert sum(len(over) for over in wandering.run(texts)) == len(texts)
        assert wandering.worst() < 1e-4 if family.packs else wandering.worst() > 1
        assert wandering.seen["mixed"] > 5  # passes in which some prompts entered while others went on
        assert wandering.seen["waited"] > 10
        assert family.loaded.model.config._attn_implementation == own
        assert torch.equal(plain_logits(family.loaded, texts[:1]), before)

    @pytest.mark.parametrize(("family", "start"), FAMILY_STARTS, indirect=["family"])
    def test_both_samplers_draw_the_same(self, family, start):
        """Completions are those of `generate`, each difference a near-tie; rows end in all three ways and share prefixes."""
        prompts = prompts_of(family.loaded, STARTS[start])
        sampler = make_sampler("shared", family.loaded, 64)
        rows = rows_of(sampler, prompts)
        assert agreement(rows, family.drawn[start]) >= 0.99
        assert untraced(family.loaded, prompts, SETTINGS, rows, family.drawn[start]) == []
        assert {row.stop for row in [*family.drawn["start token"], *family.drawn["no start token"]]} == {"end", "hit", "length"}
        assert type(sampler) is (SharedPrefixSampler if family.packs else GenerateSampler)
        if family.packs:
            assert sampler.model.tokens < 0.9 * sum(row.count * row.tokens for row in rows)

    @pytest.mark.parametrize("family", SOME, indirect=True)
    def test_top_k_and_greedy_draws_are_generates(self, family):
        """With a k and the greedy completion beside the samples, both samplers draw the same again."""
        settings = replace(SETTINGS, samples=6, top_k=4, greedy=True)
        prompts = prompts_of(family.loaded)[3:7]
        rows, slow = (rows_of(make(family.loaded), prompts, settings) for make in (_shared, _reference))
        assert agreement(rows, slow) >= 0.98
        assert {row.template < 0 for row in rows} == {True, False}

    @pytest.mark.parametrize("family", SOME, indirect=True)
    def test_plain_passes_draw_the_same(self, family):
        """Whole texts through the model at every step, with the same numbers, end as the completions do."""
        counted = outcomes(family.drawn["start token"])
        for prompt in prompts_of(family.loaded)[5:8]:
            walks = walked(family.loaded, prompt, SETTINGS)
            firm = Counter(walk.outcome for walk in walks if walk.margin >= NEAR)
            assert firm.total() >= 0.9 * SETTINGS.samples
            assert firm <= counted[prompt.fact_id, prompt.template]

    @pytest.mark.parametrize(("family", "start"), FAMILY_STARTS, indirect=["family"])
    def test_greedy_is_generates(self, family, start, monkeypatch):
        """Greedy tokens, their number and the text are those of `generate`, prompt by prompt."""
        prompts = prompts_of(family.loaded, STARTS[start])[1:9]
        want = expected(family.loaded, prompts)
        assert chosen(family.loaded, prompts, monkeypatch) == want
        assert len({tuple(ids) for _, _, ids in want}) >= 3

    @pytest.mark.parametrize("family", SOME, indirect=True)
    def test_batch_size_does_not_matter(self, family, monkeypatch):
        """One, two or five prompts under way at a time give the completions and the answers that all together give."""
        prompts = prompts_of(family.loaded)[3:8]
        want = chosen(family.loaded, prompts, monkeypatch)
        drawn = [row for row in family.drawn["start token"] if (row.fact_id, row.template) in {(p.fact_id, p.template) for p in prompts}]
        for size in (1, 2, 5):
            rows = rows_of(make_sampler("shared", family.loaded, size), prompts)
            assert untraced(family.loaded, prompts, SETTINGS, rows, drawn) == []
            assert sum(row.count for row in rows) == SETTINGS.samples * len(prompts)
            assert not family.packs or chosen(family.loaded, prompts, monkeypatch, batch_size=size) == want

    @pytest.mark.parametrize("family", SOME, indirect=True)
    def test_bfloat16_agrees_mostly(self, family, monkeypatch, record_property):
        """In bfloat16 the samplers, and greedy and `generate`, agree on most completions; how far is printed."""
        loaded = build(family.name, torch.bfloat16)
        prompts = prompts_of(loaded)[4:10]
        slow = rows_of(GenerateSampler(loaded, 64), prompts)
        drawn = agreement(rows_of(make_sampler("shared", loaded, 64), prompts), slow)
        answered = np.mean([a == b for a, b in zip(chosen(loaded, prompts, monkeypatch), expected(loaded, prompts), strict=True)])
        print(f"bfloat16, {family.name}: packs {packs(loaded)}, samplers agree on {drawn:.1%}, greedy on {answered:.1%}")
        record_property("bfloat16", f"samplers {drawn:.3f}, greedy {answered:.3f}")
        assert packs(loaded) is family.packs
        assert drawn >= 0.5
        assert answered >= 0.5


# --- what does not depend on the family -----------------------------------------------------------------------


def test_prompts_of_all_kinds_stand_side_by_side(windowed, whole):
    """Long and short prompts, beginnings of others and the same prompt of two facts each get what they get alone."""
    prompts = prompts_of(windowed)
    texts = [p.ids for p in prompts]
    assert (min(map(len, texts)), max(map(len, texts))) == (2, 35)
    assert sum(len(a) < len(b) and b[: len(a)] == a for a in texts for b in texts) >= 8
    assert [(p.ids, p.template) for p in prompts[:4]] == [(p.ids, p.template) for p in prompts[12:]]
    for prompt in prompts:
        alone = rows_of(make_sampler("shared", windowed, 64), [prompt])
        assert untraced(windowed, [prompt], SETTINGS, alone, whole) == []
    counted = outcomes(whole)
    assert all(counted["00000000000000a1", t] != counted["00000000000000d4", t] for t in range(4))


def test_what_is_shared_is_read_once(windowed):
    """With samples that all draw the same, the tokens read are the nodes of the prompts' tree and one row a prompt."""
    settings = SamplerSettings(samples=20, temperature=0.01, max_new_tokens=10, seed=3)
    counted = outcomes(rows_of(make_sampler("shared", windowed, 64), prompts_of(windowed), settings))
    prompts = [p for p in prompts_of(windowed) if len(counted[p.fact_id, p.template]) == 1]
    assert len(prompts) >= 8
    sampler = make_sampler("shared", windowed, 64)
    rows = rows_of(sampler, prompts, settings)
    nodes = len({prompt.ids[:end] for prompt in prompts for end in range(1, len(prompt.ids) + 1)})
    assert sampler.model.tokens == nodes + sum(row.tokens - 1 for row in rows)


@pytest.mark.parametrize("name", ["mistral-window", "bloom-alibi"])
def test_hostile_generation_config_changes_nothing(name, monkeypatch):
    """A model's own top-k, penalties, suppressed tokens and limits reach neither samples nor answers, packed or by `generate`."""
    loaded = build(name)
    prompts = prompts_of(loaded)[4:8]
    clean = rows_of(make_sampler("shared", loaded, 64), prompts), chosen(loaded, prompts, monkeypatch)
    hostile = GenerationConfig(
        do_sample=True, top_k=1, top_p=0.1, temperature=0.01, repetition_penalty=5.0, no_repeat_ngram_size=1, min_new_tokens=9,
        suppress_tokens=[5, 6, 7], forced_eos_token_id=0, eos_token_id=[30, 31], max_new_tokens=3, num_return_sequences=2,
        typical_p=0.2, min_p=0.5, begin_suppress_tokens=list(range(20)), bad_words_ids=[[25], [26]], num_beams=2,
    )  # fmt: skip
    loaded.model.generation_config = hostile
    assert (rows_of(make_sampler("shared", loaded, 64), prompts), chosen(loaded, prompts, monkeypatch)) == clean
    assert loaded.model.generation_config is hostile


@pytest.mark.parametrize(
    ("texts", "ids", "positions", "owner", "rank", "paths"),
    [
        pytest.param([[7]], [7], [0], [0], [0], [[0]], id="one token"),
        pytest.param(
            [[1, 2, 3], [1, 2, 3, 4], [1, 2, 5], [6]], [1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 2, 0], [0, 0, 0, 1, 2, 3], [0, 1, 2, 0, 0, 0],
            [[0, 1, 2, 0], [0, 1, 2, 3], [0, 1, 4, 0], [5, 0, 0, 0]], id="a text begins another",
        ),
        pytest.param([[1, 2], [1, 2], [1, 2]], [1, 2], [0, 1], [0, 0], [0, 1], [[0, 1]] * 3, id="all the same"),
        pytest.param(
            [[0, 5, 9], [0, 6, 9], [1, 6, 9]], [0, 5, 9, 6, 9, 1, 6, 9], [0, 1, 2, 1, 2, 0, 1, 2], [0, 0, 0, 1, 1, 2, 2, 2],
            [0, 1, 2, 0, 1, 0, 1, 2], [[0, 1, 2], [0, 3, 4], [5, 6, 7]], id="alike again after a difference, which is not shared",
        ),
        pytest.param(
            [[3], [3, 1], [3, 1, 1, 1], [3, 1, 1, 2], [3, 2]], [3, 1, 1, 1, 2, 2], [0, 1, 2, 3, 3, 1], [0, 1, 2, 2, 3, 4],
            [0, 0, 0, 1, 0, 0], [[0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 2, 3], [0, 1, 2, 4], [0, 5, 0, 0]], id="growing and branching",
        ),
    ],
)  # fmt: skip
def test_tree_of_texts(texts, ids, positions, owner, rank, paths):
    """Nodes stand in the order of the texts, what is shared once, and each text is a path through them."""
    tree = PrefixTree.of(texts)
    assert tree.ids.tolist() == ids
    assert tree.positions.tolist() == positions
    assert tree.owner.tolist() == owner
    assert tree.rank.tolist() == rank
    assert tree.paths.tolist() == paths
    assert tree.lengths.tolist() == [len(text) for text in texts]
    assert [tree.ids[path[: len(text)]].tolist() for path, text in zip(tree.paths, texts, strict=True)] == texts


@pytest.mark.parametrize(("kind", "options"), [("Phimoe", {}), ("Qwen2Moe", {"use_sliding_window": True, "max_window_layers": 2})])
def test_window_that_attention_is_not_told_of(kind, options):
    """A family whose window is in its mask alone is not read in packed form, or prompts past the window would see too much."""
    sizes = GROUPED | MOE | {"num_experts": 4, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "sliding_window": 16}
    loaded = loaded_from(Family(f"{kind}ForCausalLM", f"{kind}Config", sizes | options))
    wandering = Wandering(loaded, Load(64, 64, 1), 2)
    list(wandering.run([p.ids for p in prompts_of(loaded)]))
    assert wandering.worst() > 1
    assert not packs(loaded)


class Thrice(Wandering):
    """Items of three texts each, which are over once they were read."""

    def texts(self, item):
        return [item, item, item]

    def advance(self, reads):
        over = list(self.items)
        for place in over:
            self.finish(place)
        self.keep(np.empty(0, dtype=np.int64))
        return over


@pytest.mark.parametrize("places", [1, 2])
def test_item_of_more_texts_than_places_still_enters(windowed, places):
    """A fact with 21 prompts, or a question with many answers, gets through with a smaller batch size than that."""
    texts = [p.ids for p in prompts_of(windowed)]
    assert sum(len(over) for over in Thrice(windowed, Load.of(places, 1), 4).run(texts)) == len(texts)


# --- the model that ships -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped():
    """The shipped model, and the 21 prompts of each of some facts."""
    settings = ProbeSettings("atlas-llama", limit=SHIPPED_FACTS, device="cpu")
    source = open_for(settings.model, "atlas")
    loaded = load_model(find_model(settings.model), "cpu")
    wanted = wanted_facts(source, chosen_facts(source, settings), load_aliases(), settings.match)
    return loaded, [Prompt(w.fact_id, t, tuple(ids), w.compiled) for w in wanted for t, ids in enumerate(encode_prompts(loaded, w.prompts))]


@in_full
def test_shipped_model_draws_what_generate_draws(shipped):
    """Of 12 (or 4) facts' completions 99.9% are identical, differences are near-ties, and memory scores differ by less than 0.005."""
    loaded, prompts = shipped
    settings = LevelScheme().sampling
    fast, slow = (rows_of(make_sampler(name, loaded, 64), prompts, settings) for name in ("shared", "generate"))
    assert sum(row.count for row in fast) == sum(row.count for row in slow) == 210 * SHIPPED_FACTS
    assert agreement(fast, slow) >= 0.999
    assert untraced(loaded, prompts, settings, fast, slow) == []
    differences = _scores(fast, prompts) - _scores(slow, prompts)
    half = TABLE_OF_T[SHIPPED_FACTS] * differences.std(ddof=1) / math.sqrt(SHIPPED_FACTS)
    assert -0.005 < differences.mean() - half <= differences.mean() + half < 0.005
    assert 0.1 < _scores(fast, prompts).mean() < 0.9


def test_shipped_model_draws_what_plain_passes_draw(shipped):
    """One fact's completions are those of whole texts sent through the model at every step."""
    loaded, prompts = shipped
    settings = LevelScheme().sampling
    counted = outcomes(rows_of(make_sampler("shared", loaded, 64), prompts, settings))
    for prompt in prompts[:21:5]:
        walks = walked(loaded, prompt, settings)
        assert Counter(walk.outcome for walk in walks if walk.margin >= NEAR) <= counted[prompt.fact_id, prompt.template]


def _scores(rows, prompts):
    """Memory scores of the facts, in order."""
    answers = {p.fact_id: p.answers for p in prompts}
    hits = {fact_id: sum(r.count for r in rows if r.fact_id == fact_id and found.find(r.text)) for fact_id, found in answers.items()}
    return np.array([hits[fact_id] for fact_id in answers]) / 210
