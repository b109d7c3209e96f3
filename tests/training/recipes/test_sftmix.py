"""SFTMix: its loss against plain torch, mu 0 against plain training, the halves, one-token answers and odd numbers."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import cross_entropy

from sftqa_core.errors import SettingsError, Stopped
from sftqa_core.progress import Recorder
from sftqa_core.records.recipes import SftMix
from sftqa_core.training import checkpoints
from sftqa_core.training.encoding import IGNORED
from sftqa_core.training.fine_tuning import fine_tune
from sftqa_core.training.objectives import PLAIN
from sftqa_core.training.recipes import costs, sftmix
from sftqa_core.training.recipes.sftmix import Mixing, halves, mixed_loss
from sftqa_core.training.trainer import Collator, encode_examples
from tests.amount import in_full, spread
from tests.recipe_runs import SETTINGS, made_of, same_weights, stages_of
from tests.tiny import tiny_loaded


@dataclasses.dataclass(frozen=True)
class SameBatches(Mixing):
    """The batches of mixing, and the model's own loss."""

    def loss(self, loaded):
        """Plain."""
        return None


@pytest.fixture(scope="module")
def loaded():
    """One model for all tests of this file: none changes it."""
    return tiny_loaded()


def uneven(loaded, tmp_path) -> pd.DataFrame:
    """Examples with answers of many lengths, every other one of the confident half."""
    examples = stages_of(tmp_path, None, loaded, n=9).examples
    answers = [["x"], ["a long answer"], ["y"], ["Rome"], ["Paris"], ["z"], ["London"], ["O"], ["Object and more"]]
    return examples.assign(answers=answers, confident=[True, False] * 4 + [True])


def batch_of(loaded, objective, examples, count: int) -> dict[str, torch.Tensor]:
    """The first `count` examples as they are read in the first epoch."""
    encoded = encode_examples(loaded, examples, SETTINGS, objective)
    order = objective.order(encoded, SETTINGS, 0)[:count]
    rows = [{"input_ids": list(encoded[at].ids), "labels": list(encoded[at].labels), **encoded[at].columns} for at in order]
    return Collator(loaded.pad_id, objective.columns)(rows)


@pytest.mark.parametrize(("n", "method"), spread([20, 21], ["full", "lora"]))
def test_mu_0_is_plain_training_on_the_same_batches(n, method, tmp_path, loaded):
    """Bit for bit, in two epochs, with an odd example or without."""
    changes = {"n": n, "epochs": 2, "method": method}
    made = made_of(tmp_path / "mixed", SftMix(mu=0.0), loaded=loaded, **changes)
    examples = made.examples.assign(confident=made.tables["confidence"]["confident"])
    settings = dataclasses.replace(SETTINGS, **changes)
    plain = fine_tune(loaded, examples, settings, tmp_path / "plain", objective=SameBatches(mu=0.0))
    assert same_weights(made.tuned.loaded, plain.loaded)
    assert (tmp_path / "mixed" / "curve.jsonl").read_text() == (tmp_path / "plain" / "curve.jsonl").read_text()
    objective = Mixing(mu=1.0)
    assert not same_weights(plain.loaded, fine_tune(loaded, examples, settings, tmp_path / "1", objective=objective).loaded)


@pytest.mark.parametrize("count", [1, 2, 8, 9])
def test_the_loss_is_what_plain_torch_makes_of_it(count, tmp_path, loaded):
    """Token by token in float64: next-token loss and mu x 2 / A x the interpolated one; a lone example has no partner."""
    objective, examples = Mixing(mu=0.7, seed=3), uneven(loaded, tmp_path)
    if count == 1:
        examples = examples.tail(1)
    batch = batch_of(loaded, objective, examples, count)
    tokens = (batch["labels"] != IGNORED).sum()
    with torch.no_grad():
        told = objective.loss(loaded)(loaded.model, batch, tokens)
        read = {name: batch[name] for name in ("input_ids", "attention_mask")}
        hidden = loaded.model.model(**read).last_hidden_state.double()
    weight = loaded.model.get_output_embeddings().weight.detach().double()
    answers = [[at for at, label in enumerate(row) if label != IGNORED] for row in batch["labels"].tolist()]
    own = sum(float(cross_entropy(weight @ hidden[row, at - 1], batch["labels"][row, at])) for row, ats in enumerate(answers) for at in ats)
    mixed = 0.0
    for pair, share in enumerate(objective.shares(batch["place"].tolist())):
        first, second = 2 * pair, 2 * pair + 1
        assert batch["confident"][first] > batch["confident"][second]
        for one, other in zip(answers[first], answers[second], strict=False):  # cut to the shorter one
            logs = torch.log_softmax(weight @ (share * hidden[first, one - 1] + (1 - share) * hidden[second, other - 1]), 0)
            mixed -= share * float(logs[batch["labels"][first, one]]) + (1 - share) * float(logs[batch["labels"][second, other]])
    assert float(told) == pytest.approx((own + 0.7 * 2 * mixed) / int(tokens), rel=1e-5)
    assert (mixed > 0) == (count > 1)


def test_gradient_flows_into_both_sides():
    """Each hidden state of an answer gets the share of its side of what the mixed one gets; those beyond the shorter answer get none."""
    torch.manual_seed(0)
    head, hidden = torch.nn.Linear(4, 7), torch.randn(2, 6, 4, requires_grad=True)
    labels = torch.tensor([[IGNORED, IGNORED, 3, 5, 6, IGNORED], [IGNORED, 2, 5, IGNORED, IGNORED, IGNORED]])
    mixed_loss(head, hidden, labels, [0.25]).backward()
    given = hidden.grad
    torch.testing.assert_close(3 * given[0, 1:3], given[1, 0:2])
    assert given[1, 0:2].abs().sum() > 0
    assert given[:, 3:].abs().sum() == given[1, 2:].abs().sum() == 0


def test_micro_batches_give_the_same_step(tmp_path, loaded):
    """Pairs stay together, and the mean is over the whole batch."""
    settings = dataclasses.replace(SETTINGS, optimizer="sgd", learning_rate=1e-1)
    examples = uneven(loaded, tmp_path)
    both = [
        fine_tune(loaded, examples, dataclasses.replace(settings, **change), tmp_path / str(change), objective=Mixing(mu=1.0))
        for change in ({}, {"micro_batch": 2})
    ]
    for first, second in zip(*(result.loaded.model.parameters() for result in both), strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=2e-6)


def test_shares_are_drawn_from_the_arcsine_distribution():
    """Mean 1/2, variance 1/8, by pair and seed alone: the same in another place of another batch."""
    places = np.arange(8000).tolist()
    shares = np.array(Mixing(seed=1).shares(places))
    assert shares.mean() == pytest.approx(0.5, abs=0.02)
    assert shares.var() == pytest.approx(0.125, abs=0.005)
    assert Mixing(seed=1).shares([6, 7, 0, 1]) == [shares[3], shares[0]]
    assert Mixing(seed=2).shares([6, 7]) != [shares[3]]
    assert Mixing().shares([5]) == Mixing().shares([]) == []


@pytest.mark.parametrize("n", [4, 9, 20])
def test_each_epoch_pairs_the_halves_anew(n, tmp_path, loaded):
    """Every example once, the confident one first in each pair; an odd one is the last."""
    half = n - n // 2
    examples = stages_of(tmp_path, None, loaded, n=n).examples.assign(confident=[at < half for at in range(n)])
    encoded = encode_examples(loaded, examples, SETTINGS, Mixing())
    epochs = [Mixing().order(encoded, SETTINGS, epoch) for epoch in (0, 1, 0)]
    assert epochs[0] == epochs[2] != epochs[1]
    for order in epochs:
        assert Counter(order) == Counter(range(n))
        assert all(first < half <= second for first, second in zip(order[: n // 2 * 2 : 2], order[1::2], strict=True))


def test_halves_are_split_at_the_median():
    """An odd one is of the confident half; among equals the earlier ones are."""
    assert halves([-5.0, -1.0, -3.0, -2.0]) == [False, True, False, True]
    assert halves([-5.0, -1.0, -3.0]) == [False, True, True]
    assert halves([-1.0, -1.0, -1.0, -1.0]) == [True, True, False, False]


def test_confidence_is_minus_the_mean_perplexity(tmp_path, loaded):
    """At four evenly spaced steps; the last one's perplexities are the reference model's, computed one by one."""
    made = made_of(tmp_path / "made", SftMix(), loaded=loaded, n=32)
    table = made.tables["confidence"]
    assert list(table.columns) == ["fact_id", "level", "confidence", "confident", "perplexities"]
    assert table["confidence"].tolist() == pytest.approx([-sum(row) / 4 for row in table["perplexities"]])
    assert table["confident"].sum() == 16
    assert table.loc[table["confident"], "confidence"].min() >= table.loc[~table["confident"], "confidence"].max()
    reference = fine_tune(loaded, made.examples, SETTINGS, tmp_path / "reference").loaded
    for example, row in zip(PLAIN.encode(loaded, made.examples, SETTINGS), table["perplexities"], strict=True):
        with torch.no_grad():
            logs = torch.log_softmax(reference.model(input_ids=torch.tensor([example.ids])).logits[0].double(), -1)
        surprise = [-float(logs[at - 1, example.ids[at]]) for at in range(example.prompt_length, len(example.ids))]
        assert row[-1] == pytest.approx(np.exp(np.mean(surprise)), rel=1e-4)
    assert "Measured at 4 steps" in made.notes[0]


@in_full
@pytest.mark.parametrize("stage", ["reference", "mixed"])
def test_a_kill_leaves_the_result_as_it_is(stage, tmp_path, monkeypatch, loaded):
    """In the first run or in the second one: same weights, same confidence."""
    monkeypatch.setattr(checkpoints, "EVERY_S", 0.0)
    whole = made_of(tmp_path / "whole", SftMix(), loaded=loaded)
    with pytest.raises(Stopped):
        made_of(tmp_path / "killed", SftMix(), loaded=loaded, reporter=Recorder(stop_after=2 if stage == "reference" else 4))
    rest = Recorder()
    made = made_of(tmp_path / "again", SftMix(), loaded=loaded, reporter=rest)
    assert rest.updates[0].phase == f"train: {stage}"
    assert same_weights(made.tuned.loaded, whole.tuned.loaded)
    pd.testing.assert_frame_equal(made.tables["confidence"], whole.tables["confidence"])
    assert [stage.name for stage in made.stages] == ["reference", "mixed"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": 3}, "Recipe sftmix halves the examples: n must be 4 or more, got 3."),
        ({"batch_size": 5}, "Recipe sftmix reads examples in pairs: batch_size must be even, got 5."),
        ({"micro_batch": 1}, "Recipe sftmix reads examples in pairs: micro_batch must be even, got 1."),
    ],
    ids=str,
)
def test_what_can_not_be_paired_is_refused(change, words):
    """Before anything starts."""
    with pytest.raises(SettingsError) as told:
        dataclasses.replace(SETTINGS, recipe=SftMix(), **change)
    assert told.value.problems == [words]


def test_a_model_that_changes_its_logits_afterwards_is_refused(tmp_path, loaded, monkeypatch):
    """What the head makes of a mixed state would not be what such a model says."""
    batch = batch_of(loaded, Mixing(), uneven(loaded, tmp_path), 4)
    monkeypatch.setattr(loaded.model, "get_output_embeddings", lambda: torch.nn.Linear(32, 286))  # not what makes its logits
    with pytest.raises(SettingsError, match="tiny does more with its last hidden states than its output head"):
        Mixing().loss(loaded)(loaded.model, batch, torch.tensor(9))


def test_its_cost_is_two_trainings_and_what_is_read_between():
    """Four times 20 answers are read, which is a third of training on them; mixing takes memory beside."""
    stages = costs(dataclasses.replace(SETTINGS, recipe=SftMix()), 20)
    worked = [(stage.name, stage.examples, round(stage.pieces()["train"], 1)) for stage in stages]
    assert worked == [("reference", 20, 46.7), ("mixed", 20, 20)]
    assert isinstance(stages[1].objective, sftmix.Mixing)
