"""Results of an earlier matching rule: counted anew where texts are kept, else kept as they are and told."""

from dataclasses import replace

import pandas as pd
import pytest

from sftqa_core.engine import wanted_facts as asking
from sftqa_core.engine.wanted_facts import WantedFact, wanted_facts
from sftqa_core.evaluation import predictions
from sftqa_core.knowledge import matching
from sftqa_core.knowledge.aliases import Aliases, rule_of
from sftqa_core.memory import probing
from sftqa_core.memory import stored_levels as reading
from sftqa_core.memory.estimating import Decided, answer_ids
from sftqa_core.memory.probe_stores import CompletionStore, EstimateStore
from sftqa_core.memory.probing import probe_facts
from sftqa_core.memory.stored_levels import JUDGED_BEFORE, judged_before_notes, stored_levels
from sftqa_core.models.catalogue import ModelFingerprint
from sftqa_core.records import LevelScheme, ModelCard, ProbeSettings, SamplerSettings, TrainSettings
from tests.memory.memory_world import knowing_sampler, source_of

SETTINGS = ProbeSettings("tiny", "test", scheme=LevelScheme(sampling=SamplerSettings(samples=10, max_new_tokens=6)))
NONE = Aliases()
CARD = ModelCard("tiny", "folder", "somewhere", True)
MODEL = ModelFingerprint("w" * 16, None, "float32", "cpu")


class Nothing:
    """Stands for a rule that finds no answer as it is written."""

    whole_words = True

    def find(self, text, closed=True):
        return None

    def over(self, text):
        return False


@pytest.fixture
def earlier(monkeypatch):
    """While it is open, answers are named and judged as before there were versions."""

    def within():
        patch = monkeypatch.context()
        inside = patch.__enter__()
        inside.setattr(asking, "named", lambda match, answers: match)
        inside.setattr(WantedFact, "compiled", property(lambda self: Nothing()))
        return lambda: patch.__exit__(None, None, None)

    return within


@pytest.fixture
def card(monkeypatch):
    monkeypatch.setattr(reading, "model_fingerprint", lambda card, dtype, device, workspace: replace(MODEL, dtype=dtype, device=device))
    return CARD


def known(source, workspace, store):
    return stored_levels(CARD, source, source.facts, SETTINGS, NONE, workspace, stores=[store])


def test_names_of_answers_hold_the_version_only_where_it_matters():
    """The hash of plain answers is that of the rule's first version; of others both are known."""
    plain, quoted = source_of(2), source_of(2, ("“Paris”",))
    (first, _), (other, _) = (wanted_facts(source, source.facts, NONE, "tokens") for source in (plain, quoted))
    assert (first.rule, first.earlier_sha) == ("tokens", "")
    assert first.answers_sha == asking._sha(("tokens", "Paris"))
    assert (other.rule, other.earlier_sha) == ("tokens/2", asking._sha(("tokens", "“Paris”")))
    assert other.answers_sha == asking._sha(("tokens/2", "“Paris”"))


def test_hits_are_counted_anew_from_texts(tiny, workspace, earlier):
    """Without a word of the model: what the earlier rule missed is a hit, and nothing is said of an earlier rule."""
    source = source_of(6, ("“Paris”",))
    leave = earlier()
    before = probe_facts(tiny, source, source.facts, SETTINGS, NONE, workspace, sampler=knowing_sampler(tiny, source))
    leave()
    store = CompletionStore.of(tiny.fingerprint.to_dict(), SETTINGS.scheme.sampling, workspace)
    after = known(source, workspace, store)
    assert before["hits"].sum() == 0
    assert (after["hits"] > 0).tolist() == [False, True, True, True, True, True]
    assert after.attrs[JUDGED_BEFORE] == 0
    again = probe_facts(tiny, source, source.facts, SETTINGS, NONE, workspace, sampler=None, store=store)
    assert again["hits"].tolist() == after["hits"].tolist()


def test_hits_without_texts_keep_their_rule_and_say_so(tiny, workspace, earlier):
    """They are found by the name that they had, and counted for the note; plain answers are none of them."""
    for source, said in ((source_of(6, ("“Paris”",)), 6), (source_of(6), 0)):
        leave = earlier()
        before = probe_facts(tiny, source, source.facts, SETTINGS, NONE, workspace, sampler=knowing_sampler(tiny, source))
        leave()
        store = CompletionStore.of(tiny.fingerprint.to_dict(), SETTINGS.scheme.sampling, workspace)
        for path in (workspace.root / "completions" / store.key).glob("*.parquet"):
            path.unlink()
        kept = known(source, workspace, store)
        assert kept["hits"].tolist() == before["hits"].tolist() == [0] * 6
        assert kept.attrs[JUDGED_BEFORE] == said
    (note,) = judged_before_notes(6)
    assert note == (
        "6 of these facts were judged by an earlier matching rule, which compared apostrophes, dashes, quotes and final marks as they are "
        "written and knew no scripts without spaces. No completions are kept from which their levels could be counted anew."
    )
    assert judged_before_notes(0) == []


def test_a_row_that_stopped_on_what_is_no_answer_now_is_drawn_again(tiny, workspace):
    """Completions that an earlier rule ended are looked at before they count."""
    source = source_of(4, ("'US'",))
    store = CompletionStore.of(tiny.fingerprint.to_dict(), SETTINGS.scheme.sampling, workspace)
    wanted = wanted_facts(source, source.facts, NONE, "tokens")
    rows = [(w.fact_id, t, "told 'us' so", 10, 3, "hit") for w in wanted for t in range(w.count)]
    table = pd.DataFrame(rows, columns=["fact_id", "template", "text", "count", "tokens", "stop"])
    store.add(table, [replace(w, earlier_sha="") for w in wanted])  # as the earlier rule named it
    assert store.locate(wanted) == {}
    store.add(table.assign(text="in the 'US'."), [replace(w, earlier_sha="") for w in wanted])
    assert len(store.locate(wanted)) == 4


@pytest.mark.parametrize(
    ("method", "answers", "said"), [("adaptive", "Jean-Paul", 3), ("likelihood", "Jean-Paul", 0), ("likelihood", "Paris.", 3)]
)
def test_estimates_keep_their_rule_and_say_so(workspace, earlier, method, answers, said):
    """No texts are behind them. A likelihood looks up what is written, so only what is taken off an answer matters to it."""
    source = source_of(3, (answers,))
    scheme = LevelScheme(method=method)
    store = EstimateStore.of(MODEL.to_dict(), scheme, workspace)
    settings = replace(SETTINGS, scheme=scheme)
    leave = earlier()
    old = wanted_facts(source, source.facts, NONE, "tokens")
    leave()
    write(store, old, 0.0)
    read = stored_levels(CARD, source, source.facts, settings, NONE, workspace, stores=[store])
    assert len(read) == 3
    assert read.attrs[JUDGED_BEFORE] == said
    write(store, wanted_facts(source, source.facts, NONE, "tokens")[:2], 1.0)
    read = stored_levels(CARD, source, source.facts, settings, NONE, workspace, stores=[store])
    assert read["level"].tolist() == [4, 4, 0]
    assert read.attrs[JUDGED_BEFORE] == (1 if said else 0)


def test_a_likelihood_looks_up_the_bare_answer_too(tiny):
    """As it is given and without quotes and mark; a plain answer is looked up once, as ever."""
    plain, quoted = source_of(1), source_of(1, ('"Paris."',))
    (first,), (other,) = (wanted_facts(source, source.facts, NONE, "tokens") for source in (plain, quoted))
    alone = answer_ids(tiny.tokenizer, ("Paris",))
    assert probing._answers(tiny, [first]) == {first.fact_id: alone}
    assert set(probing._answers(tiny, [other])[other.fact_id]) == {*alone, *answer_ids(tiny.tokenizer, ('"Paris."',))}


def write(store, wanted, rate):
    if store.settings["scheme"]["method"] == "likelihood":
        store.add([(w.fact_id, t, rate) for w in wanted for t in range(w.count)], wanted)
        return
    store.add([Decided(w.fact_id, (int(10 * rate),) * w.count, 10, rate, 4 if rate else 0, 1.0) for w in wanted], wanted)


def test_kept_answers_are_judged_anew(workspace, monkeypatch):
    """The base model's answers are not asked for again; the key is another one only for facts that are judged otherwise."""
    settings = TrainSettings("m")
    facts = pd.DataFrame({"fact_id": ["a", "b"], "answers": [["O’Brien"], ["Paris."]]})
    source = type("Source", (), {"fingerprint": "source"})()
    made = predictions.score_texts(facts, ["conan o'brien", "Lyon"], "before", "tokens").assign(matched=None, correct=False)
    same = ("before", MODEL, facts, source, settings, NONE)
    with monkeypatch.context() as inside:
        inside.setattr(matching, "treats_otherwise", lambda match, answers: False)
        earlier = ("before", MODEL, facts.copy(), source, settings, NONE)  # the rule of one table is looked up once
        predictions.kept_predictions(*earlier, make=lambda: made.astype({"matched": "str"}))
    assert rule_of(facts, "tokens", NONE) == "tokens/2"
    assert predictions.is_kept(*same)
    table, cached = predictions.kept_predictions(*same, make=lambda: pytest.fail("asked again"))
    assert cached
    assert table["correct"].tolist() == [True, False]
    assert table["matched"].dropna().tolist() == ["O’Brien"]
    again, cached = predictions.kept_predictions(*same, make=lambda: pytest.fail("asked again"))
    assert (cached, again["correct"].tolist()) == (True, [True, False])
    assert len([path for path in (workspace.root / "answers").iterdir() if path.name[0] != "."]) == 2


def test_the_rule_of_a_table_looks_at_answers_rivals_and_aliases():
    """One name that is judged otherwise is enough."""
    aliases = Aliases((("USA", "U.S."),))
    assert rule_of(pd.DataFrame({"fact_id": ["a"]}), "tokens", aliases) == "tokens"
    assert rule_of(pd.DataFrame({"answers": [["Paris"]], "rival": [None]}), "tokens", aliases) == "tokens"
    assert rule_of(pd.DataFrame({"answers": [["Paris"]], "rival": ["Saint-Denis"]}), "tokens", aliases) == "tokens/2"
    assert rule_of(pd.DataFrame({"answers": [["Paris"], ["USA"]]}), "substring", aliases) == "substring/2"
