"""A model over several devices is read as one: with hooks on the CPU, and with pretended devices that refuse to mix."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from sftqa_core.engine.decoder import packs
from sftqa_core.engine.greedy import greedy
from sftqa_core.engine.packed import KeyValues, NextTokens, PackedModel, PrefixTree, Texts
from sftqa_core.engine.perplexity import perplexity_of
from sftqa_core.engine.sampling import GenerateSampler, Prompt, SharedPrefixSampler
from sftqa_core.errors import SettingsError
from sftqa_core.knowledge.matching import Matcher
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.loading import load_model
from sftqa_core.models.spreading import is_spread, layer_places, places_of, spread
from sftqa_core.records import SamplerSettings
from tests.tiny import tiny_loaded

IDS = [[5, 6, 7], [5, 6, 9, 11], [40, 41]]
PROMPTS = [Prompt(f"f{at}", 0, tuple(ids), Matcher("tokens").compile(("nothing",))) for at, ids in enumerate(IDS)]
# Two devices on one machine: the first layer in memory, the second on the disk, fetched by accelerate's hooks when it is needed
PLACES = {"model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.layers.1": "disk", "model.norm": "cpu", "model.rotary_emb": "cpu"}


@pytest.fixture
def hooked(tmp_path):
    loaded = tiny_loaded()
    spread(loaded.model, {**PLACES, "lm_head": "cpu"}, tmp_path)
    assert is_spread(loaded.model)
    return loaded


@pytest.mark.parametrize("sampler", [SharedPrefixSampler, GenerateSampler])
def test_completions_are_bit_for_bit_those_of_the_whole_model(hooked, sampler):
    """The fast sampler and plain `generate`, through accelerate's hooks."""
    settings = SamplerSettings(samples=3, max_new_tokens=6)
    whole, parts = ([row for rows in sampler(loaded, 2).sample(PROMPTS, settings) for row in rows] for loaded in (tiny_loaded(), hooked))
    assert sorted(map(repr, whole)) == sorted(map(repr, parts))


def test_answers_and_perplexity_are_those_of_the_whole_model(hooked):
    """It can be read in packed form, and logits are the same bit for bit."""
    whole = tiny_loaded()
    assert packs(hooked)
    assert greedy(hooked, IDS, 5) == greedy(whole, IDS, 5)
    assert perplexity_of(hooked, ["Ann was born in Paris."]).nats.tolist() == perplexity_of(whole, ["Ann was born in Paris."]).nats.tolist()


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
def test_nothing_mixes_devices():
    """On two pretended devices, where such an operation fails: texts enter, then a token more of each, and logits come to the first."""
    loaded = tiny_loaded()
    places = {name: "cpu:1" if name in ("model.layers.1", "model.norm") else "cpu:0" for name in (*PLACES, "lm_head")}
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        spread(loaded.model, places)
        with pytest.raises(Exception, match="at least two devices, cpu:0 and cpu:1"):
            loaded.model.model.layers[0].mlp.up_proj.weight @ loaded.model.model.layers[1].mlp.up_proj.weight.T
        model, keys, tree = PackedModel(loaded), KeyValues(4), PrefixTree.of(sorted(map(tuple, IDS)))
        ends = tree.paths[np.arange(3), tree.lengths - 1]
        (first,) = model.read([Texts(keys, tree, np.arange(3), ends)])
        slots = tree.lengths
        sees = np.arange(6) <= slots[:, None]
        positions = np.broadcast_to(np.arange(6), (3, 6))
        (second,) = model.read([NextTokens(keys, np.array([1, 2, 3]), slots, np.arange(3), slots, sees, positions)])
    assert [states.device.index for states, _ in keys._layers] == [0, 1]
    assert [(tuple(logits.shape), str(logits.device)) for logits in (first, second)] == [((3, loaded.model.config.vocab_size), "cpu:0")] * 2


def test_layers_are_dealt_out_evenly_and_in_order():
    """Whole layers, each device with about the same bytes; tied output weights and rotary angles stay with the embeddings."""
    config = tiny_loaded().model.config
    config.update({"num_hidden_layers": 8, "vocab_size": 64})
    places = places_of(config, (0, 1))
    assert [places[f"model.layers.{layer}"] for layer in range(8)] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert (places["model.embed_tokens"], places["lm_head"], places["model.rotary_emb"], places["model.norm"]) == (0, 0, 0, 1)
    config.tie_word_embeddings = False
    assert places_of(config, (0, 1))["lm_head"] == 1


def test_a_described_model_is_dealt_out_like_the_real_one():
    """From its configuration alone, before a number is read."""
    model = tiny_loaded().model
    assert places_of(model.config, (0, 1, 2)) == layer_places(model, (0, 1, 2))


def test_more_gpus_than_torch_has_are_refused():
    """A processor is one device."""
    with pytest.raises(SettingsError, match="needs 2 GPUs, but this machine has 0 that can be used"):
        load_model(find_model("atlas-llama"), "cpu", gpus=2)
