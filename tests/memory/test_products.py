"""Packed weights compute what the layers compute, only while they are asked to, and only where that was measured to be faster."""

import copy
import gc
import json

import pytest
import torch

from sftqa_core.engine import products
from sftqa_core.engine.packed import PackedModel
from sftqa_core.engine.sampling import GenerateSampler, Prompt, SharedPrefixSampler
from sftqa_core.knowledge.matching import CompiledAnswers
from sftqa_core.memory.estimating import Likelihood
from sftqa_core.models import footprint
from sftqa_core.records import SamplerSettings
from sftqa_core.workspace import Workspace


@pytest.fixture
def packing(monkeypatch):
    """Every layer is packed, whatever its model's size; the number of layers that were measured."""
    measured: list[torch.nn.Linear] = []
    monkeypatch.setattr(footprint, "PACKED", (0, 1 << 62))
    monkeypatch.setattr(products, "_chosen", {})
    monkeypatch.setattr(products, "measured", lambda layer: measured.append(layer) or True)
    return measured


def layers(dtype=torch.float32):
    torch.manual_seed(0)
    inner = torch.nn.Sequential(torch.nn.Linear(48, 96), torch.nn.GELU(), torch.nn.Linear(96, 20, bias=False))
    return torch.nn.Sequential(inner, torch.nn.LayerNorm(20)).to(dtype).eval()


def own(model):
    return all("forward" not in layer.__dict__ for layer in model.modules())


def test_packed_layers_give_the_layers_numbers(packing):
    """With and without bias, for one text and for many; outside, the layers are their own again, after an error, too."""
    model, states = layers(), torch.randn(2, 5, 48)
    made = products.Products(model)
    with torch.no_grad():
        plain = model(states)
        with made.used():
            assert not own(model)
            torch.testing.assert_close(model(states), plain, atol=1e-5, rtol=1e-5)
    assert own(model)
    with pytest.raises(KeyError), made.used():
        raise KeyError
    assert own(model)


def test_a_model_that_has_learned_is_packed_anew(packing, tiny):
    """One copy for all who read with a model at a time, none when nobody does, and a new one after a step."""
    loaded = copy.copy(tiny)
    loaded.model = copy.deepcopy(tiny.model)
    first = products.of(loaded)
    assert products.of(loaded) is first
    with torch.no_grad():
        next(iter(loaded.model.parameters())).add_(0.1)
    second = products.of(loaded)
    assert second is not first
    del first, second
    gc.collect()
    assert products._made[loaded.model]() is None


def test_a_choice_is_measured_once_a_machine(packing):
    """A shape's choice is kept in the workspace and holds in the next process; a damaged file is measured anew."""
    path = Workspace.current().state / "products.json"
    assert len(products.Products(layers())._forwards) == 2
    assert len(packing) == 2
    ((where, kept),) = json.loads(path.read_text()).items()
    assert kept == {"float32 48 x 96": True, "float32 96 x 20": True}
    assert f"{torch.get_num_threads()} threads" in where
    path.write_text(json.dumps({where: {"float32 48 x 96": False, "float32 96 x 20": True}, "another machine": {}}))
    products._chosen.clear()
    assert len(products.Products(layers())._forwards) == 1
    assert len(packing) == 2
    for damaged in ("[]", "{", json.dumps({where: {"float32 48 x 96": "no"}})):
        path.write_text(damaged)
        products._chosen.clear()
        assert len(products.Products(layers())._forwards) == 2


@pytest.mark.parametrize(("own_s", "packed_s", "chosen"), [(2.0, 1.0, True), (1.1, 1.0, False), (1.0, 2.0, False)])
def test_the_faster_one_is_chosen(monkeypatch, own_s, packed_s, chosen):
    """By the best of some timings, and only where the gain is clear."""
    layer = layers()[0][0]
    monkeypatch.setattr(products, "_seconds", lambda work, states: own_s if work is layer else packed_s)
    assert products.measured(layer) is chosen


def test_what_can_not_be_packed_stays_as_it_is(monkeypatch):
    """A number format that it does not know, weights that are not numbers, a torch without it, and one that gives other numbers."""
    monkeypatch.setattr(products, "_seconds", lambda work, states: 1.0 if isinstance(work, torch.nn.Module) else 0.1)
    layer = layers()[0][0]
    assert products.measured(layer)
    assert not products.measured(layers(torch.float64)[0][0])
    damaged = layers()[0][0]
    with torch.no_grad():
        damaged.weight[0, 0] = float("nan")
    assert not products.measured(damaged)
    monkeypatch.setattr(products, "_packed", lambda layer: lambda states: layer(states) * 1.01)
    assert not products.measured(layer)

    def lacking(layer):
        raise AttributeError

    monkeypatch.setattr(products, "_packed", lacking)
    assert not products.measured(layer)


def test_small_and_huge_models_are_read_as_they_are(packing, monkeypatch, tiny):
    """Packing takes longer than a small model's texts, and a huge one's copy takes too much memory."""
    size = tiny.model.num_parameters()
    for least, most, packs in ((size, 1 << 62, False), (0, size - 1, False), (0, size, True)):
        monkeypatch.setattr(footprint, "PACKED", (least, most))
        assert bool(products.said(tiny)) is packs


def test_who_reads_much_packs_and_nobody_else(packing, tiny):
    """Samplers and the likelihood; a few short texts are read as they are."""
    assert PackedModel(tiny).products is products.NONE
    samplers = SharedPrefixSampler(tiny, 4), Likelihood(tiny, 4)
    assert samplers[0].model.products is samplers[1].model.products is products.of(tiny)
    assert len(samplers[0].model.products._forwards) == products.said(tiny)["packed_layers"] > 8


def test_the_reference_rounds_alike(packing, tiny, monkeypatch):
    """`generate` uses the same products while it draws, leaves the model as it was, and draws what the shared sampler draws."""
    used, draw = [], tiny.model.generate
    monkeypatch.setattr(tiny.model, "generate", lambda **how: (used.append(not own(tiny.model)), draw(**how))[1], raising=False)
    texts = [tiny.tokenizer(text)["input_ids"] for text in ("Ada was born in", "Bo lives", "Cy")]
    prompts = [Prompt(f"{at:016x}", 0, (0, *ids), CompiledAnswers((), ())) for at, ids in enumerate(texts)]
    settings = SamplerSettings(samples=20, max_new_tokens=8)
    shared, slow = (
        sorted(r for some in s(tiny, 4).sample(prompts, settings) for r in some) for s in (SharedPrefixSampler, GenerateSampler)
    )
    assert (shared == slow, sum(row.count for row in shared), set(used), own(tiny.model)) == (True, 60, {True}, True)
