"""SliCK's prompts and levels: which examples stand before a question, and what makes a level."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from sftqa_core.engine.packed import PrefixTree
from sftqa_core.engine.sampling import FakeSampler, fact_prompts
from sftqa_core.engine.wanted_facts import Contexts, contexts_of, wanted_facts
from sftqa_core.errors import Stopped
from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.memory import probing
from sftqa_core.memory.probe_stores import CompletionStore
from sftqa_core.memory.probing import probe_facts
from sftqa_core.memory.scores import LEVELS, judge, levels_of, miscounted
from sftqa_core.memory.stored_levels import stored_levels
from sftqa_core.records import PAPER, SLICK, ModelCard, ProbeSettings, SamplerSettings
from tests.memory.test_probing import Recorder
from tests.small import small_source
from tests.tiny import tiny_loaded

NONE = Aliases()
SCHEME = replace(SLICK, contexts=3, shots=2, sampling=replace(SLICK.sampling, samples=4, max_new_tokens=6))
SETTINGS = ProbeSettings("tiny", "small", scheme=SCHEME)


@pytest.fixture(scope="module")
def source() -> FactSource:
    return small_source()


@pytest.fixture(scope="module")
def loaded():
    return tiny_loaded()


def wanted_of(source, facts, scheme=SCHEME):
    return wanted_facts(source, facts, NONE, "tokens", scheme)


def questions(prefix):
    return [line.removeprefix("Q: ") for line in prefix.splitlines() if line.startswith("Q: ")]


def knowing(source, batch_size=64):
    """Facts by their number in the split: 0 knows nothing, 1 some samples, 2 and 3 the greedy answer of the first prompt, 4 and 5 all."""
    number = {f: int(s.split()[-1]) for f, s in zip(source.facts["fact_id"], source.facts["subject"], strict=True)}

    def text(prompt, uniform):
        right, know = prompt.answers.forms[0][1], number[prompt.fact_id] % 6
        greedy = know >= 4 or (know >= 2 and prompt.template == 0)
        return f"{right.upper()}. " if (greedy if uniform < 0 else know and uniform < 0.5) else "no idea"

    return FakeSampler(text, batch_size)


# --- which examples


def test_a_prompt_is_answered_questions_and_the_one_that_is_asked(source):
    """Every part stands where it should, to the last space: four lines of examples, a blank line after each, the open question."""
    (fact,) = wanted_of(source, source.facts.head(1))
    assert (fact.count, fact.slots, fact.match) == (3, 6, "exact")
    for prompt in fact.prompts:
        parts = prompt.split("\n\n")
        assert len(parts) == 3
        assert parts[-1] == f"Q: {fact.question}\nA:"
        assert all(part.startswith("Q: ") and "\nA: Object" in part for part in parts[:-1])


def test_examples_are_train_facts_of_the_relation_and_shared_by_its_facts(source):
    """The same texts before all test facts of a relation, of its train facts only; other contexts and seeds show others."""
    facts = source.facts[(source.facts["relation"] == "P17") & (source.facts["split"] == "test")]
    prefixes = {w.prefixes for w in wanted_of(source, facts)}
    assert len(prefixes) == 1
    (own,) = prefixes
    train = set(source.facts.loc[(source.facts["split"] == "train") & (source.facts["relation"] == "P17"), "question"])
    shown = [questions(prefix) for prefix in own]
    assert all(len(set(some)) == 2 and set(some) <= train for some in shown)
    assert len({tuple(some) for some in shown}) == 3
    again = replace(SCHEME, sampling=replace(SCHEME.sampling, seed=1))
    assert wanted_of(source, facts, again)[0].prefixes != own
    assert wanted_of(source, facts.tail(1))[0].prefixes == own


def test_a_fact_never_sees_itself_or_its_own_question(source):
    """A fact that stands in a context gets the next example for itself; the other examples stay, and its prompts are its own."""
    shown = Contexts(source, SCHEME).shown("P17")
    inside = source.facts[source.facts["fact_id"] == shown.examples[0][0].fact_id]
    (fact,) = wanted_of(source, inside)
    seen = questions(fact.prefixes[0])
    assert seen == [shown.examples[0][1].question, shown.examples[0][2].question]
    assert all(fact.question not in questions(prefix) for prefix in fact.prefixes)
    plain = wanted_of(source, source.facts[source.facts["split"] == "test"].head(1))[0]
    assert fact.prompts_sha != plain.prompts_sha
    twin = inside.assign(fact_id="0" * 16)  # another fact that asks the same
    assert wanted_of(source, twin)[0].prefixes == fact.prefixes


def test_a_relation_with_too_few_train_facts_shows_dev_facts_then_others(source):
    """Out of domain there are no train facts: its dev facts stand in, and where those do not do, train facts of other relations."""
    facts = source.facts[(source.facts["relation"] == "P26") & (source.facts["split"] == "test")]
    dev = set(source.facts.loc[(source.facts["split"] == "dev") & (source.facts["relation"] == "P26"), "question"])
    assert all(set(questions(p)) <= dev and len(questions(p)) == 2 for p in wanted_of(source, facts)[0].prefixes)
    more = wanted_of(source, facts, replace(SCHEME, shots=5))[0].prefixes
    for prefix in more:
        assert set(questions(prefix)[:3]) == dev
        assert set(questions(prefix)[3:]) <= set(source.facts.loc[source.facts["split"] == "train", "question"])
    assert all("test" not in prefix and "none" not in prefix for prefix in more)


def test_echo_facts_are_no_examples_and_too_few_facts_make_short_lists(source):
    """Where nearly all train facts echo, what is left is shown; without any, the question stands alone."""
    table = source.facts[source.facts["relation"] == "P17"]
    train = table["split"] == "train"
    few = replace(source, facts=table.assign(echo=~table["fact_id"].isin(table[train]["fact_id"].head(1))))
    asked = table[table["split"] == "test"].head(1)
    assert [len(questions(p)) for p in wanted_of(few, asked)[0].prefixes] == [1, 1, 1]
    none = replace(source, facts=table.assign(echo=True))
    assert wanted_of(none, asked)[0].prompts == [f"Q: {asked['question'].iloc[0]}\nA:"] * 3


def test_prompts_of_a_relation_are_read_as_one_tree(source, loaded):
    """Twelve facts with three prompts each need little more than each prefix once."""
    facts = source.facts[(source.facts["relation"] == "P17") & (source.facts["split"] == "test")]
    ids = sorted(p.ids for fact in fact_prompts(loaded, wanted_of(source, facts)) for p in fact)
    tree = PrefixTree.of(ids)
    prefix = min(len(next(iter(fact))) for fact in [[w.prefixes[0]] for w in wanted_of(source, facts)])
    assert prefix > 50
    assert len(tree.ids) < 0.5 * sum(map(len, ids))


def test_contexts_are_made_once_for_the_same_facts(source):
    """What reads a store part by part asks again and again."""
    assert contexts_of(source, SCHEME) is contexts_of(source, SCHEME)
    assert contexts_of(source, SCHEME) is not contexts_of(source, replace(SCHEME, shots=1))


# --- levels


@pytest.mark.parametrize(
    ("sampled", "greedy", "level"),
    [
        ([0, 0, 0], [0, 0, 0], "Unknown"),
        ([1, 0, 0], [0, 0, 0], "WeaklyKnown"),
        ([4, 4, 4], [0, 0, 0], "WeaklyKnown"),
        ([0, 0, 0], [0, 1, 0], "MaybeKnown"),
        ([4, 4, 4], [1, 1, 0], "MaybeKnown"),
        ([0, 0, 0], [1, 1, 1], "HighlyKnown"),
        ([4, 4, 4], [1, 1, 1], "HighlyKnown"),
    ],
)
def test_levels_follow_which_answers_are_right(sampled, greedy, level):
    """METHOD section 1, case by case: greedy answers decide, samples only tell WeaklyKnown from Unknown."""
    assert SLICK.labels[levels_of([sampled + greedy], [sum(sampled) / 12], SCHEME)[0]] == level


def test_levels_of_no_facts_are_none():
    """Nothing asked, nothing told, under either kind of scheme."""
    assert levels_of([], [], SCHEME).tolist() == levels_of([], [], PAPER).tolist() == []


def test_samples_and_greedy_completions_are_counted_apart(source, loaded, workspace):
    """The score is of the samples; greedy completions follow in the list; a missing or doubled one of them is noticed."""
    wanted = wanted_of(source, source.facts.head(1))
    right, wrong = f" {wanted[0].answers[0]}.", " Nowhere"
    rows = [(t, right, 1) for t in range(3)] + [(t, wrong, 3) for t in range(3)] + [(-1, right, 1), (-2, wrong, 1), (-3, right, 1)]
    table = pd.DataFrame([(wanted[0].fact_id, t, text, n, 2, "end") for t, text, n in rows])
    table.columns = ["fact_id", "template", "text", "count", "tokens", "stop"]
    hits = judge(table, wanted, 4)
    assert hits[["completions", "hits"]].iloc[0].tolist() == [12, 3]
    assert hits["hits_per_template"][0] == [1, 1, 1, 1, 0, 1]
    store = CompletionStore.under_scheme(loaded.fingerprint.to_dict(), SCHEME, workspace)
    store.add_hits(hits)
    card = ModelCard("tiny", "folder", None, True, details={"corpus": {"seen_templates": {"P17": [0, 1]}}})
    levels = stored_levels(card, source, source.facts.head(1), SETTINGS, NONE, stores=[store])
    assert (levels["score"][0], levels["level"][0]) == (0.25, 2)
    assert levels["seen_score"].isna().all()
    assert levels["low_samples"][0] < 0.25 < levels["high_samples"][0]
    for broken in (table[table["template"] != -3], pd.concat([table, table.tail(1)]), table.assign(template=table["template"] - 1)):
        assert miscounted(broken, wanted, 4) == [wanted[0].fact_id]


# --- the probe


def test_the_probe_gives_the_four_levels_and_never_works_twice(source, loaded, workspace):
    """What is known of each fact becomes its level; asked again nothing is drawn, and more facts cost only themselves."""
    facts, sampler = source.facts[source.facts["split"] == "test"], knowing(source)
    table = probe_facts(loaded, source, facts.head(12), SETTINGS, NONE, workspace, sampler=sampler)
    assert list(table.columns) == list(LEVELS)
    number = facts["subject"].str.split().str[-1].astype(int).head(12).to_numpy()
    assert table["level"].tolist() == np.array([0, 1, 2, 2, 3, 3])[number].tolist()
    assert (table["completions"] == 12).all()
    assert sampler.prompts_seen == 36
    probe_facts(loaded, source, facts, SETTINGS, NONE, workspace, sampler=sampler)
    assert sampler.prompts_seen == 3 * len(facts)


def test_slick_lies_beside_the_paper_and_under_all_its_settings(loaded, workspace):
    """Statements, other contexts, shots, k and seeds have stores of their own."""
    model = loaded.fingerprint.to_dict()
    others = [replace(SCHEME, contexts=4), replace(SCHEME, shots=3)]
    others += [replace(SCHEME, sampling=replace(SCHEME.sampling, **{name: 7})) for name in ("samples", "top_k", "seed")]
    keys = {CompletionStore.under_scheme(model, scheme, workspace).key for scheme in (PAPER, SCHEME, *others)}
    assert len(keys) == 7
    assert CompletionStore.under_scheme(model, PAPER, workspace).key == CompletionStore.of(model, SamplerSettings(), workspace).key


def test_an_alias_scores_again_and_a_removed_one_draws_nothing(source, loaded, workspace):
    """Rows end with their line and not on an answer, so they hold whatever the answers are."""
    facts, sampler = source.facts[source.facts["split"] == "test"].head(6), knowing(source)
    first = probe_facts(loaded, source, facts, SETTINGS, NONE, workspace, sampler=sampler)
    seen = sampler.prompts_seen
    every = Aliases((("no idea", *(f"Object{n}" for n in range(5))),))
    wider = probe_facts(loaded, source, facts, SETTINGS, every, workspace, sampler=sampler)
    assert (wider["level"] == 3).all()
    again = probe_facts(loaded, source, facts, SETTINGS, NONE, workspace, sampler=sampler)
    pd.testing.assert_frame_equal(again, first)
    assert sampler.prompts_seen == seen


def test_a_stopped_probe_goes_on_where_it_was(source, loaded, workspace, monkeypatch):
    """Whole facts are kept with their greedy completions, of several relations, and only the others are drawn afterwards."""
    monkeypatch.setattr(probing, "_PART_FACTS", ((1 << 62, 3),))
    monkeypatch.setattr(probing, "_BLOCK", 8)
    facts, rest = source.facts[source.facts["split"] == "test"], knowing(source)
    with pytest.raises(Stopped):
        probe_facts(loaded, source, facts, SETTINGS, NONE, workspace, Recorder(stop_after=3), knowing(source, batch_size=2))
    whole = probe_facts(loaded, source, facts, SETTINGS, NONE, workspace, after := Recorder(), rest)
    kept = int(after.lines[0].split()[0])
    assert 0 < kept < len(facts)
    assert rest.prompts_seen == 3 * (len(facts) - kept)
    assert len(whole) == len(facts)
    fresh = replace(workspace, root=workspace.root / "fresh")
    pd.testing.assert_frame_equal(whole, probe_facts(loaded, source, facts, SETTINGS, NONE, fresh, sampler=knowing(source)))


def test_both_samplers_give_the_same_levels_of_a_real_model(source, loaded, workspace):
    """From few-shot prompts to hits, the reference and the fast sampler give one table."""
    facts = source.facts[source.facts["split"] == "test"].head(3)
    tables = []
    for name in ("shared", "generate"):
        scheme = replace(SCHEME, contexts=2, shots=1, sampling=replace(SCHEME.sampling, sampler=name, temperature=2.0))
        tables.append(probe_facts(loaded, source, facts, replace(SETTINGS, scheme=scheme), NONE, workspace))
        store = CompletionStore.under_scheme(loaded.fingerprint.to_dict(), scheme, workspace)
        tables.append(store.completions(store.locate(wanted_of(source, facts, scheme))).sort_values(LIST, ignore_index=True))
    for left, right in pairwise(tables[::2]):
        pd.testing.assert_frame_equal(left, right)
    for left, right in pairwise(tables[1::2]):
        pd.testing.assert_frame_equal(left, right)
    assert tables[1]["template"].nunique() == 4


LIST = ["fact_id", "template", "text", "count"]
