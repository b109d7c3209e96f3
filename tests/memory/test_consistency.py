"""Consistency of answers: against a slow plain-Python computation, on cases known by construction, and on planted rivals."""

import math
import random
from collections import Counter
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from sftqa_core.engine.wanted_facts import wanted_facts
from sftqa_core.errors import SettingsError
from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.memory import consistency as consistent
from sftqa_core.memory.probe_stores import CompletionStore
from sftqa_core.memory.scores import COMPLETIONS
from sftqa_core.records import SLICK, LevelScheme
from tests.memory.memory_world import source_of

ALIASES = Aliases((("New York", "NYC", "Big Apple"),))
CITIES = ["Paris", "Lima", "New York", "Oslo", "York"]


def facts_of(*answers: list[str], relation: str = "P19") -> pd.DataFrame:
    rows = [(f"{at + 1:016x}", relation, given) for at, given in enumerate(answers)]
    return pd.DataFrame(rows, columns=["fact_id", "relation", "answers"])


def rows_of(*rows: tuple[int, int, str, int]) -> pd.DataFrame:
    """COMPLETIONS of rows (fact's number from 0, template, text, count)."""
    table = pd.DataFrame(rows, columns=["fact_id", "template", "text", "count"])
    return table.assign(fact_id=[f"{at + 1:016x}" for at in table["fact_id"]], tokens=3, stop="end")


def measured(rows: pd.DataFrame, facts: pd.DataFrame, aliases: Aliases = ALIASES) -> pd.DataFrame:
    given = consistent.given_answers(rows, facts, consistent.known_objects(facts, aliases))
    return consistent.consistency(given, facts["fact_id"])


def one(*rows: tuple[int, str, int], answers: tuple[str, ...] = ("Paris",)) -> pd.Series:
    """The row of one fact: (template, text, count) each; other facts know the other cities."""
    facts = facts_of(list(answers), *([city] for city in CITIES))
    return measured(rows_of(*((0, *row) for row in rows)), facts).iloc[0]


def test_where_all_completions_are_the_same_nothing_is_mixed():
    """One answer in every completion: share 1, entropy 0, all templates agree."""
    row = one(*((at, f" {text}", 10) for at, text in enumerate(["Paris.", "in Paris", "PARIS, of course", "Paris"])))
    assert (row["modal"], row["modal_share"], row["right"], row["different"]) == ("Paris", 1.0, True, 1)
    assert (row["agreement"], row["entropy"], row["kind"], row["second_share"]) == (1.0, 0.0, "settled", 0.0)
    assert (row["answered"], row["silent"], row["named"]) == (40, 0, 40)


def test_two_answers_half_and_half_are_torn():
    """Two templates say one city and two another: entropy ln 2, and 2 of 6 pairs of templates agree."""
    row = one((0, "Paris", 10), (1, "Paris", 10), (2, "Oslo", 10), (3, "Oslo", 10))
    assert row["entropy"] == pytest.approx(math.log(2))
    assert row["agreement"] == pytest.approx(2 / 6)
    assert (row["kind"], row["modal"], row["modal_share"]) == ("torn", "Oslo", 0.5)  # the first in the alphabet, though it is wrong
    assert (row["right"], row["second"], row["second_share"]) == (False, "Paris", 0.5)


def test_a_uniform_spread_has_the_entropy_of_its_answers():
    """Twenty answers, each as common as the others: entropy ln 20, no pair of templates agrees, and nothing leads."""
    row = one(*((at, f"word{chr(97 + at)}", 10) for at in range(20)))
    assert row["entropy"] == pytest.approx(math.log(20))
    assert (row["agreement"], row["kind"], row["different"], row["named"]) == (0.0, "vague", 20, 0)


def test_the_border_of_vague_is_nine_equal_answers():
    """Nine equally common answers still lead nowhere but are not vague, ten are."""
    assert one(*((at, f"word{at}x", 10) for at in range(9)))["kind"] == "rival"
    assert one(*((at, f"word{at}x", 10) for at in range(10)))["kind"] == "vague"


def test_one_wrong_answer_that_leads_is_a_rival():
    """A planted rival in most completions, the right answer in few."""
    row = one((0, "Lima", 9), (0, "Paris", 1), (1, "Lima.", 10), (2, "it is Lima", 10))
    assert (row["kind"], row["modal"], row["right"], row["modal_share"]) == ("rival", "Lima", False, pytest.approx(29 / 30))


@pytest.mark.parametrize(
    ("text", "answer", "named"),
    [
        (" Lima, not Paris.", "Lima", True),  # the first that is named, though the other is right
        (" the city of Oslo in Norway", "Oslo", True),
        (" New York City", "New York", True),  # the longest at its place, not "York"
        (" in the Big Apple", "New York", True),  # by another name
        (" Parisian suburbs, near it", "parisian suburbs", False),  # no whole word: its first clause
        (" a small town (Lim a)", "a small town", False),
        ("\nsomewhere - far off", "somewhere", False),
        (" St.Ives\nLi", "st.ives", False),
        (" “Quoted” words", "quoted” words".replace("”", '"'), False),
        (" ...", "", False),
        ("", "", False),
    ],
)
def test_the_answer_of_a_completion(text, answer, named):
    """A known object where one is named, else the first clause, else nothing."""
    row = one((0, text, 1))
    assert (row["modal"], row["named"]) == (answer, int(named))
    assert row["silent"] == (0 if answer else 1)


def test_a_fact_that_only_says_nothing_has_no_kind():
    """Empty texts are counted, and nothing is claimed of them."""
    row = one((0, "...", 10), (1, "", 10))
    assert (row["kind"], row["answered"], row["silent"], row["right"], row["modal"]) == ("", 0, 20, False, "")
    assert np.isnan(row["entropy"])
    assert np.isnan(row["agreement"])


def test_all_correct_answers_are_one():
    """A fact with two answers, and an alias of one: no disagreement among them."""
    row = one((0, "Paris", 5), (0, "NYC", 5), (1, "New York", 10), answers=("Paris", "Big Apple"))
    assert (row["right"], row["modal_share"], row["entropy"], row["agreement"]) == (True, 1.0, 0.0, 1.0)


def test_greedy_completions_and_other_facts_are_left_out():
    """Template -1 is no template, and a fact that nobody asked for is none."""
    rows = rows_of((0, 0, "Paris", 10), (0, -1, "Lima", 1), (7, 0, "Lima", 10))
    table = measured(rows, facts_of(["Paris"]))
    assert table["fact_id"].tolist() == [f"{1:016x}"]
    assert table["answered"].tolist() == [10]


def test_no_completions_give_an_empty_table():
    """Columns, no rows."""
    table = measured(pd.DataFrame(columns=COMPLETIONS.names), facts_of(["Paris"]))
    assert len(table) == 0
    assert {"fact_id", "kind", "entropy"} <= set(table)


def slowly(rows: pd.DataFrame, facts: pd.DataFrame, known: list[str]) -> dict[str, dict]:
    """The same by definition, in plain Python: answers are one known word or another single word."""
    out, of_fact = {}, {}
    for row in rows.to_dict("records"):
        of_fact.setdefault(row["fact_id"], []).append(row)
    for fact_id, answers in zip(facts["fact_id"], facts["answers"], strict=True):
        own = of_fact[fact_id]
        answer = {row["text"]: "" if not row["text"].strip(" .") else row["text"].strip(" .") for row in own}
        answer = {text: answers[0] if said in answers else said for text, said in answer.items()}
        name = {word: word.casefold() for word in answer.values()}
        counts, by_template = Counter(), {}
        for row in own:
            if said := answer[row["text"]]:
                counts[said] += row["count"]
                by_template.setdefault(row["template"], Counter())[said] += row["count"]
        total = sum(counts.values())
        order = sorted(counts, key=lambda word: (-counts[word], name[word]))
        modal = [min(some, key=lambda word: (-some[word], -counts[word], name[word])) for some in by_template.values()]
        pairs = list(combinations(modal, 2))
        out[fact_id] = {
            "answered": total,
            "silent": sum(row["count"] for row in own if not answer[row["text"]]),
            "named": sum(row["count"] for row in own if row["text"].strip(" .") in known),
            "modal": order[0],
            "modal_share": counts[order[0]] / total,
            "second_share": counts[order[1]] / total if len(order) > 1 else 0.0,
            "right": order[0] == answers[0],
            "different": len(order),
            "agreement": sum(a == b for a, b in pairs) / len(pairs),
            "entropy": -sum(n / total * math.log(n / total) for n in counts.values()),
        }
    return out


@pytest.mark.parametrize("seed", range(3))
def test_it_equals_a_slow_computation_on_random_completions(seed):
    """40 facts of two relations, 6 templates, known objects, other words and silence, in no order."""
    draw = random.Random(seed)
    known = ["Paris", "Lima", "Oslo", "Cairo", "Bern"]
    facts = pd.concat([facts_of(*(draw.sample(known, draw.choice([1, 1, 2])) for _ in range(40))).assign(relation=["P19", "P26"] * 20)])
    facts.loc[:9, "answers"] = pd.Series([[word] for word in known * 2], dtype=object)  # both relations know them all
    rows = []
    for fact in range(40):
        favourites = draw.choices([*known, "somewhere", "nobody", "elsewhere", "..."], k=3)
        for template in range(6):
            texts = Counter(draw.choice(favourites) if draw.random() < 0.7 else draw.choice(known) for _ in range(10))
            rows += [(fact, template, f" {text}{draw.choice(['.', ''])}", count) for text, count in texts.items()]
    draw.shuffle(rows)
    completions = rows_of(*rows)
    found = measured(completions, facts, Aliases()).set_index("fact_id")
    for fact_id, expected in slowly(completions, facts, known).items():
        for name, value in expected.items():
            assert found.at[fact_id, name] == (pytest.approx(value) if isinstance(value, float) else value), (fact_id, name)


def test_templates_have_modal_answers_of_their_own():
    """Of answers that a template gives as often, the one that the fact has more often in all."""
    facts = facts_of(["Paris"], ["Lima"], ["Oslo"])
    rows = rows_of((0, 0, "Paris", 5), (0, 0, "Lima", 5), (0, 3, "Paris", 9), (0, 3, "Oslo", 1), (0, 4, "..", 10))
    given = consistent.given_answers(rows, facts, consistent.known_objects(facts, ALIASES))
    found = consistent.template_answers(given)
    assert found[["template", "answer", "count", "answered", "right"]].values.tolist() == [
        [0, "Paris", 5, 10, True],
        [3, "Paris", 9, 10, True],
    ]


def test_many_completions_of_many_facts():
    """30,000 rows of 2,000 facts, a third of them with a text of their own: every completion is counted once, and names what it names."""
    facts = facts_of(*([f"Town{at % 200}"] for at in range(2_000)))
    rows = [(at % 2_000, at % 21, f" said of Town{at % 200}" if at % 3 else f" nobody number{at}", 4) for at in range(30_000)]
    found = measured(rows_of(*rows), facts, Aliases())
    assert len(found) == 2_000
    assert (found["answered"].sum(), found["named"].sum()) == (120_000, 80_000)
    assert found["right"].all()


@pytest.fixture
def probed(workspace, monkeypatch):
    """Facts with completions in a store of the workspace; the newest part of fact 1 says otherwise than an older one."""
    source = source_of(4)
    store = CompletionStore.under({"made": "for this test", "sampler": {"samples": 10}}, workspace)
    scheme = LevelScheme()
    wanted = wanted_facts(source, source.facts, Aliases(), "tokens", scheme)
    for facts, text in ((wanted[:3], "Lima"), (wanted[:1], "Paris")):
        rows = [(w.fact_id, at, text, 10, 2, "end") for w in facts for at in range(w.count)]
        store.add(pd.DataFrame(rows, columns=COMPLETIONS.names), facts)
    monkeypatch.setattr(consistent, "open_for", lambda model, name: source)
    monkeypatch.setattr(consistent, "find_model", lambda name: name)
    monkeypatch.setattr(consistent, "stores_of", lambda card, settings: [store])
    monkeypatch.setattr(consistent, "profile_stamp", lambda model, name, scheme: str(store.lists()))
    return source, store


def test_stored_completions_are_read_for_all_facts_and_for_one(probed):
    """The latest completions count; a fact without any is left out; one fact has the same row alone."""
    source, _ = probed
    table = consistent.stored_consistency("any", "test")
    assert table["fact_id"].tolist() == source.facts["fact_id"].tolist()[:3]
    assert table["modal"].tolist() == ["Paris", "lima", "lima"]  # Lima is no answer here, so no known object
    assert table["kind"].tolist() == ["settled", "rival", "rival"]
    for at, fact_id in enumerate(table["fact_id"]):
        alone = consistent.fact_answers("any", "test", fact_id)
        assert alone is not None
        assert alone.row == table.iloc[at].to_dict()
        assert alone.answers[["answer", "count", "share"]].values.tolist() == [[table["modal"][at], 10 * len(alone.templates), 1.0]]
    assert consistent.fact_answers("any", "test", source.facts["fact_id"][3]) is None
    assert consistent.fact_answers("any", "test", "f" * 16) is None


def test_it_is_read_again_only_when_something_was_probed(probed):
    """The same table until the store has more."""
    source, store = probed
    first = consistent.stored_consistency("any", "test")
    assert consistent.stored_consistency("any", "test") is first
    wanted = wanted_facts(source, source.facts.iloc[[3]], Aliases(), "tokens", LevelScheme())
    rows = [(w.fact_id, at, "Paris", 10, 2, "end") for w in wanted for at in range(w.count)]
    store.add(pd.DataFrame(rows, columns=COMPLETIONS.names), wanted)
    assert len(consistent.stored_consistency("any", "test")) == 4


def test_a_damaged_part_is_set_aside_and_an_older_one_holds(probed):
    """What can't be read is no answer; what was said before is."""
    _, store = probed
    newest = store.newest_first("completions", "part-*.parquet")[0]
    newest.write_bytes(newest.read_bytes()[:-20])
    table = consistent.stored_consistency("any", "test")
    assert table["modal"].tolist() == ["lima", "lima", "lima"]
    assert any(str(newest) == path for path in store.damaged)


def test_levels_by_few_shot_prompts_are_refused():
    """Their prompts are no statements."""
    with pytest.raises(SettingsError, match="completed statements"):
        consistent.stored_consistency("any", "test", SLICK)
