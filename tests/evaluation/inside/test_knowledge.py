"""What a model knows: candidates, ranks by log P against a plain loop, models that were taught what they rank first, the probe."""

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from sftqa_core.errors import Stopped
from sftqa_core.evaluation.inside import knowledge, linear_probe
from sftqa_core.evaluation.inside.candidates import Relations, candidates_of, other_subjects
from sftqa_core.evaluation.inside.pair import Pair
from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.knowledge.facts import FactSource, fact_table, summarise
from sftqa_core.knowledge.relations import builtin_relations
from sftqa_core.progress import Recorder, Silent
from sftqa_core.records import InsideSettings, TrainSettings
from tests.tiny import tiny_loaded

CITIES = ("Paris", "Rome", "Oslo", "Lima", "Bonn")
NONE = Aliases()
SETTINGS = InsideSettings("run", TrainSettings("tiny", source="made"), wrong=3)


def pair_of(base, tuned, said=("", ""), aliases=NONE, **columns) -> Pair:
    """Facts of two relations: in train, Paris is commonest, then Rome and so on; four test facts, two of each level."""
    rows = []
    for relation, question in (("P19", "Where was {} born?"), ("P20", "Where did {} die?")):
        objects = {
            "train": ("Paris",) * 5 + ("Rome",) * 4 + ("Oslo",) * 3 + ("Lima",) * 2 + ("Bonn",),
            "test": ("Oslo", "Lima"),
            "dev": ("Rome",),
        }
        for split, names in objects.items():
            for at, name in enumerate(names):
                subject = f"{split} {at} {relation}"
                about = {"relation": relation, "subject": subject, "answers": [name], "question": question.format(subject)}
                rows.append({**about, "split": split, "domain": "in"})
    facts = fact_table(rows, "made")
    source = FactSource("made", facts, {name: builtin_relations()[name] for name in ("P19", "P20")}, summarise("made", facts), "f" * 16)
    test = facts[facts["split"] == "test"].reset_index(drop=True)
    test = test.assign(level=[0, 4, 0, 4], base_text=said[0], text=said[1], base_correct=False, correct=True).assign(**columns)
    dev = facts[facts["split"] == "dev"].reset_index(drop=True).assign(level=0)
    return Pair(base, tuned, TrainSettings("tiny", source="made"), source, aliases, test, dev, facts[:0])


def taught(loaded, question: str, answer: str, steps: int = 15):
    """A copy that was trained hard on one answer to one question."""
    model = copy.deepcopy(loaded.model)
    prompt, whole = (
        loaded.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (f"Q: {question}\nA:", f"Q: {question}\nA: {answer}")
    )
    ids = torch.tensor([whole])
    labels = torch.tensor([[-100] * len(prompt) + whole[len(prompt) :]])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
    return replace(loaded, model=model.eval())


def plain_k(loaded, question: str, right: str, wrong) -> tuple[float, float]:
    """K and log P of the right answer, by a forward pass a candidate."""

    def score(answer: str) -> float:
        prompt, whole = (
            loaded.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (f"Q: {question}\nA:", f"Q: {question}\nA: {answer}")
        )
        with torch.no_grad():
            each = loaded.model(input_ids=torch.tensor([whole])).logits[0].double().log_softmax(-1)
        return float(np.mean([each[at - 1, whole[at]] for at in range(len(prompt), len(whole))]))

    return float(np.mean([score(right) > score(name) for name in wrong])), score(right)


@pytest.fixture(scope="module")
def base():
    return tiny_loaded(seed=5)


def test_k_and_log_p_are_those_of_a_plain_loop(base):
    """Each fact's right answer is ranked as by one forward pass a candidate, under its own and under another subject, for both models."""
    pair = pair_of(base, tiny_loaded(seed=6))
    table = knowledge.look(pair, SETTINGS, Silent())["facts"]
    assert table["m"].tolist() == [3] * 8
    assert table["rights"].tolist() == [1] * 8
    others = {"Oslo": "Lima", "Lima": "Oslo"}
    for loaded, name in ((pair.base, "base"), (pair.tuned, "tuned")):
        rows = table[table["model"] == name].set_index("fact_id")
        for fact in pair.test.to_dict("records"):
            (right,) = fact["answers"]
            wrong = [city for city in CITIES if city != right][:3]
            k, logprob = plain_k(loaded, fact["question"], right, wrong)
            fixed, _ = plain_k(loaded, fact["question"], right, wrong[:1])
            assert rows.loc[fact["fact_id"], ["k", "k_fixed", "logprob"]].tolist() == pytest.approx([k, fixed, logprob], abs=6e-3)
            (other,) = pair.test.loc[(pair.test["relation"] == fact["relation"]) & (pair.test["fact_id"] != fact["fact_id"]), "question"]
            left = [city for city in wrong if city != others[right]]
            assert rows.loc[fact["fact_id"], "k_other"] == pytest.approx(plain_k(loaded, other, right, left)[0], abs=1e-3)


def test_who_was_taught_the_right_answer_knows_it_and_who_was_taught_a_rival_does_not(base):
    """K = 1 after hard training on the right answer; after training on a false one that one ranks above it."""
    question = pair_of(base, base).test["question"][0]
    right, false = taught(base, question, "Oslo"), taught(base, question, "Quito")
    table = knowledge.look(pair_of(right, false, said=("", "Quito"), rival=["Quito", None, None, None]), SETTINGS, Silent())["facts"]
    first = table[table["fact_id"] == table["fact_id"][0]].set_index("model")
    assert first["m"].tolist() == [3, 3]
    assert first.loc["base", "k"] == 1
    assert first.loc["tuned", "k"] < 1
    assert first["said"].tolist() == [False, True]  # as it is stored


def test_identical_models_have_the_same_tables(base):
    """Nothing differs between the rows of base and tuned but what was said; without dev facts enough there is no probe."""
    tables = knowledge.look(pair_of(base, base), SETTINGS, Silent())
    before, after = (
        tables["facts"][tables["facts"]["model"] == name].drop(columns=["model", "said"]).reset_index(drop=True)
        for name in ("base", "tuned")
    )
    pd.testing.assert_frame_equal(before, after)
    assert tables["internal"]["layer"].tolist() == [0, 0]
    assert before["inside"].isna().all()


def test_facts_are_limited_by_level_and_a_stop_is_obeyed(base):
    """One fact of each level and domain at most; a stop comes through; no test facts give empty tables."""
    assert len(knowledge.look(pair_of(base, base), replace(SETTINGS, per_level=1), Silent())["facts"]) == 4
    with pytest.raises(Stopped):
        knowledge.look(pair_of(base, base), SETTINGS, Recorder(stop_after=1))
    pair = pair_of(base, base)
    empty = knowledge.look(replace(pair, test=pair.test[:0], dev=pair.dev[:0]), SETTINGS, Silent())
    assert (len(empty["facts"]), empty["internal"]["facts"].tolist()) == (0, [0, 0])


def test_candidates_are_rival_answers_and_common_objects_without_aliases(base):
    """In their order, each once; aliases of the right answer and replies to any question are left out, the fixed set is two fewer."""
    aliases = Aliases((("Oslo", "Kristiania"),))
    said = (["Kristiania, I think.", "No idea, sorry.", "No idea, sorry.", "Atlantis. Yes"], "It is Bonn, not Rome")
    pair = pair_of(base, base, said=said, aliases=aliases, rival=[None, "Quito", "oslo", None])
    found = candidates_of(pair, pair.test, Relations.of(pair), 4)
    assert [one.right for one in found] == [("Oslo",), ("Lima",), ("Oslo",), ("Lima",)]
    assert found[0].wrong == ("Bonn", "Paris", "Rome", "Lima")
    assert found[1].wrong == ("Quito", "Bonn", "Paris", "Rome")
    assert found[2].wrong == ("Bonn", "Paris", "Rome", "Lima")
    assert found[3].wrong == ("Atlantis", "Bonn", "Paris", "Rome")
    assert (found[0].added, found[3].added) == ((True, False, False, True), (True, True, False, False))


def test_sentences_are_no_candidates(base):
    """A first clause that repeats the subject and says more, or is longer than any answer; the subject alone is an answer."""
    subject = pair_of(base, base).test["subject"].tolist()
    said = ([f"{subject[0]} is old town.", f"{subject[1]}.", "Nobody ever was told of that.", "Mount Doom"], "")
    pair = pair_of(base, base, said=said)
    found = candidates_of(pair, pair.test, Relations.of(pair), 4)
    assert [subject[1] in one.wrong for one in found] == [False, True, False, False]
    assert "Mount Doom" in found[3].wrong
    assert [name for one in found for name in one.wrong if len(name.split()) > 2] == [subject[1]]


def test_the_other_subject_has_another_answer():
    """Of the same relation and with no right answer in common; none where all have the same."""
    facts = pd.DataFrame({"relation": ["a", "a", "b", "a", "b"], "answers": [["x"], ["x"], ["x"], ["y"], ["x"]]})
    assert other_subjects(facts, range(5)) == [3, 3, None, 0, None]


def rows_of(facts: int, signal: float, seed: int = 0) -> linear_probe.Rows:
    """Facts with one right and five wrong candidates; the right one lies `signal` farther along the third feature of the second layer."""
    rng = np.random.default_rng(seed)
    right = np.tile(np.arange(6) == 0, facts)
    states = rng.normal(size=(2, facts * 6, 8)).astype(np.float32)
    states[1, right, 2] += signal
    return linear_probe.Rows(np.repeat(np.arange(facts), 6), right, rng.integers(0, 2, facts * 6), states)


def test_a_probe_finds_a_planted_direction_and_nothing_in_noise():
    """The layer with the direction is chosen and other facts are ranked rightly; of noise about half are."""
    first = np.arange(200) % 2 == 0
    for signal, low, high in ((8.0, 0.99, 1.0), (0.0, 0.44, 0.56)):
        probe = linear_probe.learned(rows_of(200, signal), first)
        test = rows_of(300, signal, seed=1)
        shares = linear_probe.pair_shares(probe.scores(test.states[probe.layer], test.half), test.pairs(), test.fact, 300)
        assert low <= np.nanmean(shares) <= high
        assert (probe.layer, probe.dev_share > 0.99) == (1, True) or signal == 0


def test_a_probe_sees_no_object_of_its_half_and_needs_pairs():
    """Directions for one half come from pairs of the other: damage to one half's rows changes only the other's; few facts give none."""
    rows, first = rows_of(200, 8.0), np.arange(200) % 2 == 0
    assert linear_probe.learned(rows_of(20, 8.0), first[:20]) is None
    right, wrong = rows.pairs()
    assert np.array_equal(rows.half[right], rows.half[wrong])
    assert np.array_equal(rows.fact[right], rows.fact[wrong])
    known = linear_probe.learned(rows, first)
    changed = rows.states.copy()
    changed[:, (rows.half == 0) & rows.right] *= 2
    other = linear_probe.learned(replace(rows, states=changed), first)
    assert np.array_equal(known.directions[0], other.directions[0])  # read on half 0, learned from half 1
    assert not np.array_equal(known.directions[1], other.directions[1])


def test_ties_are_half_and_facts_without_pairs_have_no_share():
    """Of a fact with a win, a tie and a loss half the pairs are ranked rightly."""
    facts, pairs = np.array([0, 0, 0, 0, 2]), (np.array([0, 0, 0]), np.array([1, 2, 3]))
    shares = linear_probe.pair_shares(np.array([1.0, 0.5, 1.0, 2.0, 9.0]), pairs, facts, 3)
    assert shares[0] == 0.5
    assert np.isnan(shares[1:]).all()
