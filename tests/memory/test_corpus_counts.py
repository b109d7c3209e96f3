"""What is asked of a count service, what is kept of it, and how the work goes on after it was cut short."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from sftqa_core.errors import ServiceUnavailable, Stopped
from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.memory import corpus_counts
from sftqa_core.memory.corpus_counts import COUNTS, CountStore, ask, counts_of, missing, questions
from sftqa_core.models.corpora import count_service
from sftqa_core.models.corpora.count_service import CountService
from sftqa_core.models.corpora.training_corpora import Corpus
from sftqa_core.progress import Recorder, Silent
from tests.fake_counts import INDEX, FakeCounts, counting

ROOT = Path(__file__).parents[2]
PILE = Corpus("the Pile", INDEX, 1_000_000, "a test")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(count_service, "PAUSES_S", (0.01, 0.04))


def facts(*rows: tuple[str, list[str]]) -> pd.DataFrame:
    named = [(f"{at:016x}", subject, answers, f"Where is {subject}?") for at, (subject, answers) in enumerate(rows)]
    return pd.DataFrame(named, columns=["fact_id", "subject", "answers", "question"])


def many(count: int) -> pd.DataFrame:
    return facts(*[(f"Town {at}", ["Tamis"]) for at in range(count)])


def run(fake: FakeCounts, table: pd.DataFrame, window: int = 100, reporter=None, aliases: Aliases | None = None):
    asked, _ = questions(table, aliases or Aliases())
    store = CountStore(fake.address, INDEX)
    service = CountService(fake.address, INDEX, PILE.tokens, window, 0.0, (reporter or Silent()).check)
    return ask(missing(asked, store.table(), window), store, service, PILE, reporter or Silent())


def test_subject_answers_and_both_are_asked_and_kept(workspace):
    """An answer's aliases stand with it; the row says what was counted, where, how and when."""
    with counting(counts={"Velora": 40, "Tamis": 300, "Thames": 5}, together={"Velora": 6}) as fake:
        done = run(fake, facts(("Velora", ["Tamis"])), aliases=Aliases((("Tamis", "Thames"),)))
        table = CountStore(fake.address, INDEX).table()
    assert fake.queries == ["Velora", "Tamis OR Thames", "Velora AND Tamis OR Thames"]
    assert (done.asked, done.requests, done.refused) == (1, 3, 0)
    assert done.file.startswith(str(workspace.root / "exposures"))
    assert done.file.endswith("/exposures.parquet")
    stored = pd.read_parquet(done.file)
    assert list(stored.columns) == list(COUNTS)
    (row,) = table.to_dict("records")
    assert {name: row[name] for name in ("fact_id", "corpus", "index", "window", "count", "subject_count", "object_count")} == {
        "fact_id": "0" * 16, "corpus": "the Pile", "index": INDEX, "window": 100, "count": 6, "subject_count": 40, "object_count": 305
    }  # fmt: skip
    assert row["estimated"] is False or not row["estimated"]
    assert row["asked_at"].endswith("+00:00")
    assert row["method"] == "infini-gram: subject AND answers, 500,000 matches looked at"


def test_an_estimate_is_marked():
    """An answer with more matches than the service looks at."""
    with counting(counts={"Velora": 40, "Tamis": 300_000}, together={"Velora": 20}) as fake:
        run(fake, facts(("Velora", ["Tamis"])))
        assert CountStore(fake.address, INDEX).table()["estimated"].tolist() == [True]


def test_what_does_not_occur_alone_is_not_asked_together():
    """The count is 0, and exact."""
    with counting(counts={"Tamis": 300}) as fake:
        run(fake, facts(("Velora", ["Tamis"])))
        (row,) = CountStore(fake.address, INDEX).table().to_dict("records")
    assert fake.queries == ["Velora", "Tamis"]
    assert (row["count"], row["subject_count"], bool(row["estimated"])) == (0, 0, False)


def test_nothing_is_asked_twice():
    """Facts that share an answer ask for it once; what is kept is not asked again, another window only for both together."""
    with counting(counts={"Velora": 4, "Orkeld": 5, "Tamis": 9}, together={"Velora": 1, "Orkeld": 2}) as fake:
        two = facts(("Velora", ["Tamis"]), ("Orkeld", ["Tamis"]))
        assert run(fake, two).requests == 5
        assert run(fake, two).requests == 0
        assert run(fake, two, window=10).requests == 2
        assert fake.queries[-2:] == ["Velora AND Tamis", "Orkeld AND Tamis"]
        table = CountStore(fake.address, INDEX).table()
        assert run(fake, facts(("Velora", ["Tamis"]), ("Velora", ["Tamis"]))).requests == 0
    assert sorted(table["window"]) == [10, 10, 100, 100]


def test_a_new_alias_asks_that_fact_anew():
    """What was sent is what a count is found by."""
    with counting(counts={"Velora": 4, "Tamis": 9, "Thames": 1}, together={"Velora": 1}) as fake:
        run(fake, facts(("Velora", ["Tamis"])))
        run(fake, facts(("Velora", ["Tamis"])), aliases=Aliases((("Tamis", "Thames"),)))
        assert fake.queries[3:] == ["Tamis OR Thames", "Velora AND Tamis OR Thames"]
        asked, _ = questions(facts(("Velora", ["Tamis"])), Aliases((("Tamis", "Thames"),)))
        assert counts_of(asked, CountStore(fake.address, INDEX).table())["object_count"].tolist() == [10]


def test_counts_of_another_service_or_index_are_not_these():
    """A stand-in's numbers never count as the real ones."""
    with counting(counts={"Velora": 4, "Tamis": 9}, together={"Velora": 1}) as fake:
        run(fake, facts(("Velora", ["Tamis"])))
        assert len(CountStore("https://api.infini-gram.io/", INDEX).table()) == 0
        assert len(CountStore(fake.address, "v4_rpj_llama_s4").table()) == 0


def test_what_can_not_be_asked_is_left_out():
    """Words of the service, questions without a subject, texts beyond the limit; answers like it are passed over."""
    table = facts(
        ("Romeo AND Juliet", ["Verona"]), ("Velora", ["this OR that"]), ("x" * 990, ["Verona"]), ("Good", ["this OR that", "Tamis"])
    )
    table = pd.concat([table, table.tail(1).assign(fact_id="f" * 16, question="Good", subject="Good")], ignore_index=True)
    asked, left_out = questions(table, Aliases())
    assert [(asks.subject, asks.objects) for asks in asked] == [("Good", ("Tamis",))]
    assert left_out == 4


def test_a_name_inside_another_is_counted_once():
    """The longer stands wherever it does; at most four names are asked for."""
    asked, _ = questions(
        facts(("Velora", ["United States of America", "United States", "Unit", "USA", "US", "America", "The US"])), Aliases()
    )
    assert asked[0].objects == ("United States", "Unit", "USA", "US")


class StopsAfter(Silent):
    """Asks the work to stop once so many facts are done."""

    def __init__(self, facts: int):
        self.facts, self.done = facts, 0

    def progress(self, update) -> None:
        self.done = update.done

    def check(self) -> None:
        if self.done >= self.facts:
            raise Stopped("Stopped on request.")


def test_what_was_told_before_a_stop_is_kept():
    """All of it; the next call asks the rest."""
    with counting(counts={f"Town {at}": 1 for at in range(30)} | {"Tamis": 9}) as fake:
        with pytest.raises(Stopped):
            run(fake, many(30), reporter=StopsAfter(13))
        assert len(CountStore(fake.address, INDEX).table()) == 13
        assert run(fake, many(30)).asked == 17
        assert len(fake.queries) == len(set(fake.queries)) == 61


ASKS = """
import sys
from tests.memory.test_corpus_counts import CountStore, INDEX, PILE, CountService, Aliases, Silent, ask, many, missing, questions
asked, _ = questions(many(30), Aliases())
store = CountStore(sys.argv[1], INDEX)
ask(missing(asked, store.table(), 100), store, CountService(sys.argv[1], INDEX, PILE.tokens, 100, 0.0), PILE, Silent())
"""


def test_a_kill_loses_less_than_one_write():
    """Killed while the service is silent on the 28th fact: what was written is whole, and the rest is asked by the next call."""
    with counting(counts={f"Town {at}": 1 for at in range(30)} | {"Tamis": 9}, trouble="silent", only="Town 27") as fake:
        process = subprocess.Popen([sys.executable, "-c", ASKS, fake.address], cwd=ROOT)
        try:
            until = time.monotonic() + 60
            while "Town 27" not in fake.queries and time.monotonic() < until:
                time.sleep(0.02)
            assert "Town 27" in fake.queries
        finally:
            process.kill()
            process.wait()
        assert len(CountStore(fake.address, INDEX).table()) == 20
        fake.trouble = ""
        assert run(fake, many(30)).asked == 10
        assert len(CountStore(fake.address, INDEX).table()) == 30
        assert run(fake, many(30)).asked == 0


def test_a_service_that_goes_down_says_what_is_kept():
    """And how to go on."""
    with counting(counts={f"Town {at}": 1 for at in range(20)} | {"Tamis": 9}, trouble="down", only="Town 12 AND") as fake:
        with pytest.raises(ServiceUnavailable, match=r"is busy or down \(503\)\. Counts of 12 facts are kept; the same command goes on"):
            run(fake, many(20))
        assert len(CountStore(fake.address, INDEX).table()) == 12


def test_one_query_that_fails_is_passed_over_and_three_in_a_row_are_not():
    """It is named in the log, and asked again by the next call."""
    with counting(counts={f"Town {at}": 1 for at in range(8)} | {"Tamis": 9}, trouble="error", only="Town 3") as fake:
        reporter = Recorder()
        done = run(fake, many(8), reporter=reporter)
        assert (done.asked, done.refused) == (7, 1)
        assert "Town 3 AND Tamis" in reporter.lines[0]
        assert "refused a query: Please limit your input to <= 500 tokens!" in reporter.lines[0]
    gave_up = pytest.raises(ServiceUnavailable, match=r"So it did 3 times in a row\. Counts of 0 facts are kept")
    with counting(counts={"Tamis": 9}, trouble="error", only="Town") as fake, gave_up:
        run(fake, many(8))


def test_a_damaged_file_is_set_aside_and_asked_again(workspace):
    """Its checksum tells."""
    with counting(counts={"Velora": 4, "Tamis": 9}, together={"Velora": 1}) as fake:
        one = facts(("Velora", ["Tamis"]))
        done = run(fake, one)
        file = CountStore(fake.address, INDEX).file
        file.write_bytes(file.read_bytes()[:-20] + b"x" * 20)
        assert len(CountStore(fake.address, INDEX).table()) == 0
        assert run(fake, one).asked == done.asked == 1
        assert len(CountStore(fake.address, INDEX).table()) == 1


def test_two_at_once_lose_nothing():
    """Each adds to what the other has kept."""
    with counting(counts={"Velora": 4, "Orkeld": 5, "Tamis": 9}) as fake:
        first, second = (CountStore(fake.address, INDEX) for _ in range(2))
        empty = first.table()
        for store, subject in ((first, "Velora"), (second, "Orkeld")):
            asked, _ = questions(facts((subject, ["Tamis"])), Aliases())
            service = CountService(fake.address, INDEX, PILE.tokens, 100, 0.0)
            ask(missing(asked, empty, 100), store, service, PILE, Silent())
        assert sorted(first.table()["subject_query"]) == ["Orkeld", "Velora"]


def test_written_in_pieces():
    """The number of facts that a kill can lose is small."""
    assert corpus_counts.AT_ONCE == 10
