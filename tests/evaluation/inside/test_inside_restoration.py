"""What putting weights back does, on a tiny model: against plain torch, against the recipe, and where the answer is known."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from sftqa_core.errors import Stopped
from sftqa_core.evaluation import predictions
from sftqa_core.evaluation.inside import restoration
from sftqa_core.evaluation.inside.pair import Pair
from sftqa_core.evaluation.inside.restoration_tables import NONE, WAYS
from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.progress import Recorder, Silent
from sftqa_core.records import InsideSettings
from sftqa_core.records.recipes import Restore
from sftqa_core.training.fine_tuning import fine_tune
from sftqa_core.training.recipes import restoring
from tests.recipe_runs import SETTINGS, SOURCE, levels_of, made_of, same_weights, stages_of
from tests.tiny import tiny_loaded

RUN = dataclasses.replace(SETTINGS, epochs=2, max_answer_tokens=4)
LOOK = InsideSettings("run", RUN, per_level=1, draws=2)
FEW = (0.0, 0.05, 0.4)  # shares: each costs an evaluation in every way


def with_levels(facts: pd.DataFrame) -> pd.DataFrame:
    return facts.assign(level=levels_of(facts)["level"].astype("Int64").to_numpy()).reset_index(drop=True)


def answers(loaded, facts: pd.DataFrame) -> list[str]:
    return predictions.predict(loaded, facts, RUN)["text"].tolist()


def mixed_up(facts: pd.DataFrame, first, second) -> pd.DataFrame:
    """Facts whose answer is what the first model says, every second one what the second says: none is right by both."""
    says = [answers(loaded, facts) for loaded in (first, second)]
    return facts.assign(answers=[[says[at % 2][at].strip() or "nothing"] for at in range(len(facts))])


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Pair:
    base = tiny_loaded()
    examples = stages_of(tmp_path_factory.mktemp("stages"), None, n=20).examples
    tuned = fine_tune(base, examples, RUN, tmp_path_factory.mktemp("tuned")).loaded
    test, dev = (with_levels(SOURCE.facts[SOURCE.facts["split"] == split]) for split in ("test", "dev"))
    return Pair(base, tuned, RUN, SOURCE, Aliases(()), mixed_up(test, tuned, base), mixed_up(dev, tuned, base), with_levels(examples))


@pytest.fixture(scope="module", autouse=True)
def few_shares():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restoration, "SHARES", FEW)
        yield


@pytest.fixture(scope="module")
def looked(pair, few_shares) -> dict[str, pd.DataFrame]:
    return restoration.look(pair, LOOK, Silent())


def unpacked(bits: bytes, count: int) -> list[bool]:
    return np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=count).astype(bool).tolist()


def by_hand(pair: Pair, facts: pd.DataFrame, way: str, share: float) -> list[bool]:
    """Slowly: all parameters in one row, sorted by what is ranked; answers by `generate`."""
    before, after = ({n: p.detach() for n, p in one.model.named_parameters()} for one in (pair.base, pair.tuned))
    p, s = (torch.cat([tensor.flatten() for tensor in one.values()]) for one in (before, after))
    change = (s - p).abs()
    ranked = torch.where(change == 0, 0.0, change / p.abs()) if way == "relative" else change
    back = torch.sort(ranked, descending=True, stable=True).indices[: round(share * len(ranked))]
    s = s.index_copy(0, back, p[back])
    model = tiny_loaded().model
    with torch.no_grad():
        for parameter, piece in zip(model.parameters(), s.split([len(one.flatten()) for one in before.values()]), strict=True):
            parameter.copy_(piece.view(parameter.shape))
    right = []
    for question, wanted in zip(facts["question"], facts["answers"], strict=True):
        ids = torch.tensor([pair.tuned.tokenizer(f"Q: {question}\nA:", add_special_tokens=False)["input_ids"]])
        new = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=RUN.max_answer_tokens, do_sample=False)
        text = pair.tuned.tokenizer.decode(new[0, ids.shape[1] :], skip_special_tokens=True)
        right.append(bool(predictions.score_texts(facts.head(1).assign(answers=[wanted]), [text], "after", RUN.match)["correct"].iloc[0]))
    return right


def test_the_tables_have_every_way_share_and_draw(looked, pair):
    """A fact of each level and domain; controls twice at 5% and what dev facts chose, all else once."""
    assert {name: str(kind) for name, kind in looked["answers"].dtypes.items() if name != "correct"} == {
        "way": "category", "share": "float32", "draw": "int8", "restored": "int64", "undone": "float32",
    }  # fmt: skip
    asked = pair.test.set_index("fact_id").loc[looked["facts"]["fact_id"]]
    assert asked.groupby(["domain", "level"]).size().tolist() == [1] * 10
    chosen = looked["chosen"]
    assert chosen.groupby("way", observed=True)["chosen"].sum().tolist() == [1] * 4
    assert (chosen["facts"].unique().tolist(), chosen["by_level"].any()) == ([6], False)  # dev facts of three levels only
    best = {row.way: round(row.share, 4) for row in chosen[chosen["chosen"]].itertuples()}
    rows = looked["answers"].groupby(["way", "share"], observed=True).size()
    counts = {(way, round(share, 4)): count for (way, share), count in rows.items()}
    twice = {way: {0.05, best[way]} - {0.0} if way.startswith("random") else set() for way in WAYS}
    assert counts == {(NONE, 0.0): 1} | {(way, share): 1 + (share in twice[way]) for way in WAYS for share in FEW if share}


def test_answers_are_those_of_plain_torch(looked, pair):
    """Both rankings at two shares: one sort over all parameters and `generate` say the same of every fact."""
    asked = pair.test.set_index("fact_id", drop=False).loc[looked["facts"]["fact_id"]]
    seen = set()
    for way in ("relative", "absolute"):
        for share in FEW[1:]:
            row = looked["answers"].query(f"way == '{way}' and abs(share - {share}) < 1e-6").iloc[0]
            assert unpacked(row["correct"], len(asked)) == by_hand(pair, asked, way, share)
            seen.add(row["correct"])
    assert len(seen) > 1


def test_nothing_put_back_is_the_tuned_model_and_all_of_it_the_base(looked, pair):
    """By construction the tuned model answers every second fact rightly, the base model the others."""
    restored = restoration.Restored.of(pair)
    facts = pair.test.head(10)
    questions = restoration.Questions.of(pair, facts)
    says = [np.array(answers(loaded, facts)) for loaded in (pair.tuned, pair.base)]
    assert (says[0] != says[1]).all()
    everything = restored.masks("relative", 1.0, 0)
    assert restored.put_back(everything) == (restored.changed.by_layer(everything)["changed"].sum(), 1.0)
    assert same_weights(restored.loaded, pair.base)
    assert answers(restored.loaded, facts) == says[1].tolist()
    assert questions.right(restored, Silent()).tolist() == [at % 2 == 1 for at in range(10)]
    assert restored.put_back(restored.masks("relative", 0.0, 0)) == (0, 0.0)
    assert same_weights(restored.loaded, pair.tuned)
    assert questions.right(restored, Silent()).tolist() == [at % 2 == 0 for at in range(10)]


def test_an_adapter_is_merged_into_a_copy(pair, tmp_path):
    """LoRA: what goes back is of the merged weights; base and adapter stay as they are."""
    base = tiny_loaded()
    run = dataclasses.replace(RUN, method="lora", epochs=1)
    tuned = fine_tune(base, pair.examples, run, tmp_path).loaded
    restored = restoration.Restored.of(dataclasses.replace(pair, base=base, tuned=tuned, settings=run))
    assert restored.put_back(restored.masks("absolute", 0.0, 0)) == (0, 0.0)
    assert same_weights(restored.loaded, SimpleNamespace(model=restoring.whole(tuned.model)))
    assert not same_weights(restored.loaded, base)
    changed, undone = restored.put_back(restored.masks("absolute", 1.0, 0))
    assert 0 < changed < sum(parameter.numel() for parameter in base.model.parameters())
    assert undone == pytest.approx(1)
    assert same_weights(restored.loaded, tiny_loaded())
    assert any("lora" in name for name, _ in tuned.model.named_parameters())


@pytest.mark.parametrize("way", list(WAYS))
def test_a_kept_run_is_the_model_that_was_looked_at(way, pair, tmp_path):
    """The recipe `restore` with the same way, share and draw gives the same weights bit for bit."""
    restored = restoration.Restored.of(pair)
    restored.put_back(restored.masks(way, 0.1, 1))
    kept = made_of(tmp_path, Restore(share=0.1, ranked=way, draw=1), n=20, epochs=RUN.epochs, max_answer_tokens=RUN.max_answer_tokens)
    assert same_weights(restored.loaded, kept.tuned.loaded)
    assert not same_weights(restored.loaded, pair.tuned)


def test_blocks_hold_every_parameter_once(looked, pair):
    """A tied weight counts once; two layers are two blocks, and their shares of the squared update add up."""
    parameters = dict(pair.tuned.model.named_parameters())
    blocks = restoration.blocks_of(list(parameters))
    assert list(blocks) == ["other", "0", "1"]
    assert sorted(name for inside in blocks.values() for name in inside) == sorted(parameters)
    assert "lm_head.weight" not in parameters
    assert looked["blocks"]["undone"].sum() == pytest.approx(1, abs=1e-5)
    assert looked["blocks"]["restored"].sum() <= sum(parameter.numel() for parameter in parameters.values())


@pytest.mark.parametrize(
    ("layers", "blocks"),
    [
        (32, ["other", "0-7", "8-15", "16-23", "24-31"]),
        (6, ["other", "0-1", "2-3", "4", "5"]),
        (1, ["other", "0"]),
        (0, ["other"]),
    ],
)
def test_layers_fall_into_four_blocks(layers, blocks):
    """As many as there are layers, if there are fewer."""
    assert list(restoration.blocks_of(["embed.weight", *(f"layers.{at}.up.weight" for at in range(layers))])) == blocks


def test_own_examples_are_asked_at_three_shares(looked, pair):
    """By level, at most as many as were wanted."""
    own = looked["own"]
    assert own["share"].unique().tolist() == pytest.approx([0.0, 0.05, 0.2])
    assert own["level"].tolist() == [0, 1, 2, 3, 4] * 3
    assert own["facts"].tolist() == [1] * 15
    each = looked["own_examples"]  # the same, one by one
    assert each["example"].astype(str).tolist() == pair.examples.drop_duplicates("level")["fact_id"].tolist() * 3
    assert each.groupby(["share", "level"])["correct"].sum().tolist() == own["correct"].tolist()
    unknown = pair.examples.assign(level=pd.array([pd.NA] * len(pair.examples), dtype="Int64"))
    phase = restoration.Phase(Silent(), "own", 3, "models")
    table = restoration._own(dataclasses.replace(pair, examples=unknown), restoration.Restored.of(pair), 7, Silent(), phase)["own"]
    assert (table["level"].isna().all(), table["facts"].tolist()) == (True, [7, 7, 7])


def test_the_same_look_twice_is_the_same(looked, pair):
    """Bit by bit, and neither model is touched by it."""
    weights = {name: tensor.clone() for name, tensor in pair.tuned.model.state_dict().items()}
    for name, table in restoration.look(pair, LOOK, Silent()).items():
        pd.testing.assert_frame_equal(table, looked[name])
    assert all(torch.equal(tensor, weights[name]) for name, tensor in pair.tuned.model.state_dict().items())
    assert same_weights(pair.base, tiny_loaded())


def test_the_tables_survive_parquet(looked, tmp_path):
    """Packed bits, categories and unknown levels included."""
    for name, table in looked.items():
        table.to_parquet(tmp_path / f"{name}.parquet")
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / f"{name}.parquet"), table)


def test_it_stops_between_models(pair):
    """When a person asks for it, after the piece in progress."""
    recorder = Recorder(stop_after=2)
    with pytest.raises(Stopped):
        restoration.look(pair, LOOK, recorder)
    assert [(update.phase, update.done) for update in recorder.updates] == [("restoration: shares", 1), ("restoration: shares", 2)]


def test_without_levels_as_many_facts_are_asked():
    """Of each domain as many as there would be; with some levels known, only facts that have one."""
    facts = pd.DataFrame({"domain": ["in"] * 9 + ["out"] * 3, "level": pd.array([pd.NA] * 12, dtype="Int64")})
    assert restoration.first_of_each(facts, 2, 3)["domain"].value_counts().to_dict() == {"in": 6, "out": 3}
    facts["level"] = pd.array([0, 0, 0, 1, pd.NA, 1, 1, 2, pd.NA, 0, pd.NA, 0], dtype="Int64")
    assert restoration.first_of_each(facts, 2, 3).index.tolist() == [0, 1, 3, 5, 7, 9, 11]
    assert len(restoration.first_of_each(facts.iloc[:0], 2, 3)) == 0


def test_dev_facts_choose_the_best_mean_over_levels():
    """Of equal shares the smallest; share 0 is one of them."""
    facts = pd.DataFrame({"level": pd.array([0, 0, 0, 1], dtype="Int64")})
    rights = {0.0: [0, 0, 0, 1], 0.1: [1, 1, 1, 0], 0.2: [1, 1, 0, 1], 0.4: [1, 0, 1, 1]}
    on_dev = [(NONE if not share else way, share, np.array(right, bool)) for way in ("relative",) for share, right in rights.items()]
    table = restoration.choices(on_dev, facts, 2)
    relative = table[table["way"] == "relative"]
    assert relative["accuracy"].tolist() == pytest.approx([0.5, 0.5, 5 / 6, 5 / 6])
    assert relative["chosen"].tolist() == [False, False, True, False]
    assert table[table["way"] == "random"]["chosen"].tolist() == [True]  # nothing else was tried
    nothing = restoration.choices([(NONE, 0.0, np.array([], bool))], facts.iloc[:0], 2)
    assert not nothing["chosen"].any()
