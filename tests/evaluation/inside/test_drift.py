"""Drift against slow plain computations on tiny models, and where it is known by construction."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from peft import LoraConfig, get_peft_model

from sftqa_core.errors import ModelUnavailable, Stopped
from sftqa_core.evaluation.inside import drift
from sftqa_core.evaluation.inside.pair import Pair
from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.models.loading import without_stale_warning
from sftqa_core.progress import Phase, Recorder, Silent
from sftqa_core.records import TrainSettings
from sftqa_core.records.inside import InsideSettings
from sftqa_core.training.encoding import asking, prompt_text
from sftqa_core.training.recipes.restoring import SHARES, Changed
from tests.small import small_source
from tests.tiny import tiny_loaded

SETTINGS = TrainSettings("tiny", device="cpu")
SOURCE = small_source()


def pair_of(change=None, base=None, settings=SETTINGS, take=24) -> Pair:
    """A tiny model, and a copy of it after `change(model)`; test facts in relations' turns with levels 0 and 1."""
    base = base or tiny_loaded()
    tuned = copy.deepcopy(base.model)
    if change:
        with torch.no_grad():
            change(tuned)
    test = SOURCE.facts[SOURCE.facts["split"] == "test"].head(take).reset_index(drop=True)
    test = test.assign(level=pd.array([at % 2 for at in range(len(test))], dtype="Int64"))
    return Pair(base, replace(base, model=tuned), settings, SOURCE, Aliases(()), test, test.head(0), test.head(0))


def shaken(model) -> None:
    """Every parameter moves a little."""
    draw = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        parameter += 0.2 * torch.randn(parameter.shape, generator=draw)


def plain(loaded, ids) -> np.ndarray:
    """Log-probabilities of the next token in float64, by the model's own pass."""
    with torch.no_grad():
        logits = loaded.model(input_ids=torch.tensor([list(ids)])).logits[0, -1].double()
    return torch.log_softmax(logits, -1).numpy()


def test_every_column_is_what_a_plain_pass_gives():
    """KL, its published form, entropies, log P and the likeliest tokens of every question, prompt by prompt."""
    pair = pair_of(shaken)
    prompts = drift.questions(pair, pair.test)
    found = drift.compared(pair, prompts, Phase(Silent(), "drift", len(prompts), "prompts"))
    asked = asking(pair.tuned, SETTINGS.prompt)
    for prompt, question, answers, row in zip(prompts, pair.test["question"], pair.test["answers"], found.itertuples(), strict=True):
        example = asked.example(question, answers[0])
        assert prompt.ids == asked.prompt(question)
        assert prompt.answer == example.ids[example.prompt_length]
        before, after = plain(pair.base, prompt.ids), plain(pair.tuned, prompt.ids)
        assert row.kl == pytest.approx((np.exp(after) * (after - before)).sum(), rel=1e-3, abs=1e-6)
        top = np.argsort(-after)[:10]
        both = [scores[top] - np.log(np.exp(scores[top]).sum()) for scores in (after, before)]
        assert row.kl10 == pytest.approx((np.exp(both[0]) * (both[0] - both[1])).sum(), rel=1e-3, abs=1e-6)
        for kind, scores in (("base", before), ("tuned", after)):
            assert getattr(row, f"entropy_{kind}") == pytest.approx(-(np.exp(scores) * scores).sum(), rel=1e-5)
            assert getattr(row, f"logprob_{kind}") == pytest.approx(scores[prompt.answer], rel=1e-4)
            assert getattr(row, f"first_{kind}") == (scores.argmax() == prompt.answer)
        assert row.changed == (before.argmax() != after.argmax())
    assert found["kl"].min() > 1e-4
    assert found["changed"].any()


def test_a_model_that_cannot_be_read_packed_gives_the_same(monkeypatch):
    """A plain pass a prompt."""
    pair = pair_of(shaken, take=5)
    prompts = drift.questions(pair, pair.test)
    packed = drift.compared(pair, prompts, Phase(Silent(), "drift", 5, "prompts"))
    monkeypatch.setattr("sftqa_core.engine.last_logits.packs", lambda loaded: False)
    alone = drift.compared(pair, prompts, Phase(Silent(), "drift", 5, "prompts"))
    pd.testing.assert_frame_equal(packed, alone, rtol=1e-3, atol=1e-5)


def test_an_untouched_model_did_not_drift():
    """KL is exactly 0, nothing changed, and no weight moved."""
    pair = pair_of()
    tables = drift.look(pair, InsideSettings("run", SETTINGS), Silent())
    for name in ("questions", "statements"):
        assert tables[name]["kl"].tolist() == [0.0] * len(pair.test)
        assert not tables[name]["changed"].any()
        assert tables[name]["entropy_base"].equals(tables[name]["entropy_tuned"])
    assert set(tables["statements"]["kl10"]) == {0.0}
    assert tables["layers"][["changed", "top", "relative_share", "squared_share"]].to_numpy().sum() == 0
    assert set(tables["top"]["held"]) == {0.0}


def test_logits_that_are_moved_by_hand_give_a_known_kl():
    """With one logit raised by ln 3 where all were equal, KL follows from the two distributions on paper."""
    words, raised = 8, 2
    base, tuned = torch.zeros(1, words), torch.zeros(1, words)
    tuned[0, raised] = float(np.log(3))
    ((kl, kl10, *entropies, before, after, changed, _, first),) = drift.drift_of(base, tuned, [raised])
    share = np.where(np.arange(words) == raised, 0.3, 0.1)  # 3 / 10, and 1 / 10 seven times
    assert kl == pytest.approx((share * np.log(share * words)).sum(), rel=1e-6)
    assert kl10 == pytest.approx(kl, rel=1e-5)  # there are but eight tokens; float32, summed in another order
    assert entropies == pytest.approx([np.log(8), -(share * np.log(share)).sum()])
    assert (before, after) == pytest.approx((np.log(1 / 8), np.log(0.3)))
    assert (changed, first) == (1, 1)


def test_the_published_kl_looks_at_ten_tokens_alone():
    """What moved outside of the tuned model's ten likeliest tokens is in the whole KL only."""
    base, tuned = torch.zeros(1, 30), torch.zeros(1, 30)
    tuned[0, :10] = 2.0
    ((kl, kl10, *_),) = drift.drift_of(base, tuned, [0])
    assert kl > 0.3
    assert kl10 == pytest.approx(0, abs=1e-7)


def test_a_row_of_the_output_changed_by_hand_is_found_in_the_weights():
    """One parameter of 4 was doubled in one module: it holds all change, and the top of every ranking."""

    def double(model):
        model.model.layers[1].mlp.up_proj.weight[0] *= 2

    tables = drift.look(pair_of(double), InsideSettings("run", SETTINGS), Silent())
    layers = tables["layers"].set_index(["module", "layer"])
    row = layers.loc[("up_proj", 1)]
    assert (row["changed"], row["top"]) == (32, 32)
    assert (row["relative_share"], row["squared_share"]) == (1, 1)
    assert layers["changed"].sum() == 32
    assert set(tables["top"]["held"].round(6)) == {1.0}  # 32 parameters are less than the top 1%


def test_shares_of_the_top_are_those_of_the_recipe_and_beside_them_chance():
    """`held` adds up what restoring.top has by module; a shuffle keeps the changes and moves them to other parameters."""
    pair = pair_of(shaken)
    changed = Changed.of(pair.base.model, pair.tuned.model, "relative")
    expected = changed.top(0).groupby("share")["change_share"].sum()
    assert dict(drift.held(changed)) == pytest.approx({share: expected[share] for share in SHARES})
    dealt = drift.shuffled(changed, np.random.default_rng(0))
    values = [np.sort(np.concatenate(list(each.change.values()))) for each in (changed, dealt)]
    assert np.array_equal(*values)
    assert dealt.change.keys() == changed.change.keys()
    assert not np.array_equal(dealt.change["model.norm.weight"], changed.change["model.norm.weight"])
    top = drift.weights(pair)["top"].pivot(index="share", columns="measure", values="held")
    assert top["relative"].tolist() == pytest.approx([value for _, value in drift.held(changed)], rel=1e-6)
    assert (top["absolute"] < top["relative"]).all()


def test_only_changed_parameters_are_dealt_to():
    """A parameter that did not move gets no change by chance either."""
    before = {"a": np.array([1, 2, 4, 8], dtype=np.float32)}
    dealt = drift.shuffled(Changed({"a": np.array([0, 3, 0, 1], dtype=np.float32)}, before, "relative"), np.random.default_rng(1))
    assert dealt.change["a"][[0, 2]].tolist() == [0, 0]
    assert sorted(dealt.change["a"][[1, 3]].tolist()) == [1, 3]


def test_statements_are_made_by_the_template_with_most_hits(monkeypatch):
    """Hits are added over facts; a relation without stored completions takes its first template and says so by 0 of 0."""
    pair = pair_of(take=12)
    hits = [[0.0, 5.0, 9.0] if relation == "P17" else None for relation in pair.test["relation"]]
    known = pd.DataFrame({"hits_per_template": hits, "completions": [30 if each else pd.NA for each in hits]})
    monkeypatch.setattr(drift, "level_columns", lambda *_: known)
    templates = drift.best_templates(pair.base.card, pair.source, pair.test, pair.settings, pair.aliases).set_index("relation")
    facts = int((pair.test["relation"] == "P17").sum())
    assert templates.loc["P17"].tolist() == [2, 9 * facts, 10 * facts]
    assert all(templates.loc[name].tolist() == [0, 0, 0] for name in templates.index if name != "P17")
    prompts = drift.statements(pair, pair.test, drift.best_templates(pair.base.card, pair.source, pair.test, pair.settings, pair.aliases))
    texts = pair.tuned.tokenizer.batch_decode([prompt.ids for prompt in prompts])
    at = pair.test["relation"].tolist().index("P17")
    assert texts[at] == SOURCE.relations["P17"].templates[2].replace("{subject}", pair.test["subject"][at])
    assert pair.tuned.tokenizer.decode([prompts[at].answer]).startswith(" ")


def test_statements_are_of_the_first_facts_of_each_level_and_domain():
    """As many as asked for; a fact without a level has none."""
    facts = pd.DataFrame({"level": pd.array([0, 0, 0, 1, None, 0], dtype="Int64"), "domain": ["in", "in", "in", "in", "in", "out"]})
    assert drift.stated_facts(facts, 2).index.tolist() == [0, 1, 3, 5]


def test_tables_are_rounded_compact_and_in_the_order_of_ids(tmp_path):
    """Two digits of KL, steps of 0.05 nats, half floats that Parquet gives back; the same whatever the order of the facts."""
    pair = pair_of(shaken)
    tables = drift.look(pair, InsideSettings("run", SETTINGS, statements=3), Silent())
    again = drift.look(
        replace(pair, test=pair.test.iloc[::-1].reset_index(drop=True)), InsideSettings("run", SETTINGS, statements=100), Silent()
    )
    pd.testing.assert_frame_equal(tables["questions"], again["questions"])
    ordered = pair.test.sort_values("fact_id").reset_index(drop=True)
    prompts = drift.questions(pair, ordered)
    exact = drift.compared(pair, prompts, Phase(Silent(), "drift", len(prompts), "prompts"))
    assert tables["questions"]["kl"].astype(float).tolist() == pytest.approx(exact["kl"].tolist(), rel=0.051)
    steps = tables["questions"]["entropy_base"].astype(float) / 0.05
    assert np.abs(steps - steps.round()).max() < 0.2  # a half float has three digits
    counts = ordered.iloc[tables["statements"]["place"]].groupby(["level", "domain"]).size()
    assert counts.max() == 3
    tables["questions"].to_parquet(tmp_path / "questions.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "questions.parquet"), tables["questions"])


def test_nothing_to_ask_and_one_batch_after_another():
    """No prompts give an empty table; every pass is reported, and a stop is obeyed after it."""
    pair = pair_of(shaken)
    assert drift.compared(pair, [], Phase(Silent(), "drift", 0, "prompts")).shape == (0, 9)
    recorder = Recorder()
    drift.look(pair, InsideSettings("run", SETTINGS), recorder)
    assert [(update.phase, update.done) for update in recorder.updates] == [("drift", 24), ("drift", 48), ("drift: weights", 0)]
    with pytest.raises(Stopped):
        drift.look(pair, InsideSettings("run", SETTINGS), Recorder(stop_after=1))


def test_an_adapter_is_read_as_it_answers_and_merged_for_its_weights():
    """LoRA on one module: next tokens are those of a plain pass with it, and only that module changed."""
    pair = pair_of(take=4)
    config = LoraConfig(r=2, target_modules=["v_proj"], init_lora_weights=False)
    with without_stale_warning():
        model = get_peft_model(pair.tuned.model, config).eval()
    adapted = replace(pair, tuned=replace(pair.tuned, model=model))
    prompts = drift.questions(adapted, adapted.test)
    found = drift.compared(adapted, prompts, Phase(Silent(), "drift", len(prompts), "prompts"))
    for prompt, kl in zip(prompts, found["kl"], strict=True):
        before, after = plain(adapted.base, prompt.ids), plain(adapted.tuned, prompt.ids)
        assert kl == pytest.approx((np.exp(after) * (after - before)).sum(), rel=1e-3, abs=1e-6)
    assert found["kl"].min() > 0
    layers = drift.weights(adapted)["layers"]
    assert set(layers.loc[layers["changed"] > 0, "module"]) == {"v_proj"}
    assert layers["squared_share"].sum() == pytest.approx(1)


def test_a_broken_model_is_named():
    """Logits that are not numbers are an error of that model."""
    pair = pair_of(lambda model: model.model.norm.weight.fill_(float("nan")), take=2)
    with pytest.raises(ModelUnavailable, match="not numbers"):
        drift.look(pair, InsideSettings("run", SETTINGS), Silent())


def test_the_prompt_text_is_the_runs():
    """Another prompt form is asked as that form has it."""
    settings = replace(SETTINGS, prompt=replace(SETTINGS.prompt, prompt="Say: {question} ->"))
    pair = pair_of(settings=settings, take=1)
    (prompt,) = drift.questions(pair, pair.test)
    assert pair.tuned.tokenizer.decode(prompt.ids) == prompt_text(pair.test["question"][0], settings.prompt)
