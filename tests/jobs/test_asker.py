"""The queue of questions and the process that answers them, with a stand-in for the models."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest

from sftqa_core.errors import ModelUnavailable, SettingsError
from sftqa_core.jobs import ask_files, asker
from sftqa_core.jobs.ask_files import AskFolder, AskTiming, Doing, KeptReply, LocalAskService, Service
from sftqa_core.jobs.ask_service import FakeAskService, Standing
from sftqa_core.jobs.asker import HOLDER, Asker
from sftqa_core.jobs.lease import device_lease, leases
from sftqa_core.processes import ProcessId
from sftqa_core.records import Candidate, Column, Question, Reply, Resources, Sampled, Step
from sftqa_core.records.asking import Warm
from tests.jobs.job_processes import until

FAST = AskTiming(poll_s=0.005, idle_s=30.0)


def column(model: str, text: str = "Who?") -> Column:
    return Column(model, Question(text, max_new_tokens=4), "files")


def said(model: str) -> Reply:
    step = Step(" Bo", 0.5, (Candidate(" Bo", 0.5), Candidate(" Cy", 0.25)))
    return Reply(model, "Q: Who?\nA:", 5, " Bo", False, None, (step,), (Sampled(" Bo", 10),), (), "w" * 16, None, "float32", "cpu")


@dataclass
class Models:
    """Answers when `go` is set; remembers what it was asked, and who held the device meanwhile."""

    go: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)
    holders: list[str] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    error: Exception | None = None
    kept: tuple[Warm, ...] = ()

    def answer(self, column: Column, device: str, say: Callable[[str], None], check: Callable[[], None]) -> Reply:
        self.asked.append(column.model)
        self.devices.append(device)
        self.holders += [lease.holder for lease in leases()]
        say(f"Loading {column.model}, 9 MB")
        while not self.go.wait(0.005):
            check()
        if self.error:
            raise self.error
        return said(column.model)

    def held(self) -> tuple[Warm, ...]:
        return self.kept

    def drop(self) -> None:
        self.kept = ()


@pytest.fixture
def models() -> Models:
    return Models()


@pytest.fixture
def service(workspace, monkeypatch) -> LocalAskService:
    """A service that starts no process: a thread of the test answers, and the GPU that it stays with is forgotten afterwards."""
    monkeypatch.setenv(asker.devices.gpu_variable(), "0")
    monkeypatch.delenv(asker.devices.gpu_variable())
    local = LocalAskService(workspace, FAST)
    monkeypatch.setattr(local, "ensure", lambda: False)
    return local


@contextmanager
def answering(service: LocalAskService, models: Models) -> Iterator[Asker]:
    """An asker in a thread of this process."""
    running = Asker(service.workspace, FAST, models)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    until(lambda: (told := service.folder.living()) is not None and told.ram_bytes)  # registered, and through with its first words
    try:
        yield running
    finally:
        models.go.set()
        until(lambda: service.folder.retire() or not thread.is_alive(), 10)


def states(service: LocalAskService, *columns: Column) -> list[str]:
    return [standing.state for standing in service.look(columns)]


def test_columns_are_answered_one_by_one_in_their_order(service, models):
    """The first one's reply is there while the second is answered, and what is being done is told."""
    first, second = column("base"), column("run:tuned")
    assert states(service, first, second) == ["new", "new"]
    with answering(service, models):
        service.ask([first, second])
        until(lambda: states(service, first, second) == ["answering", "queued"])
        until(lambda: service.look([first])[0].said == "Loading base, 9 MB")
        assert models.holders == [HOLDER]
        models.go.set()
        until(lambda: states(service, first, second) == ["done", "done"])
    assert models.asked == ["base", "run:tuned"]
    assert service.look([second])[0].reply == said("run:tuned")
    assert service.folder.tickets() == []
    assert not leases()


def test_the_same_question_is_answered_once(service, models):
    """A reload, or another visitor, finds the reply that is kept, and a question that stands in the queue is not put into it again."""
    one = column("base")
    with answering(service, models):
        service.ask([one])
        service.ask([one])
        LocalAskService(service.workspace, FAST).look([one])
        assert len(service.folder.tickets()) == 1
        models.go.set()
        until(lambda: states(service, one) == ["done"])
        until(lambda: service.folder.tickets() == [])  # the reply is there a moment before its ticket goes
        service.ask([one])
        assert service.folder.tickets() == []
    assert models.asked == ["base"]
    assert states(service, column("base", "Else?")) == ["new"]


def test_visitors_share_one_queue_first_come_first_served(service, models):
    """Whoever waits is told how many questions stand before."""
    mine, theirs, last = column("a"), column("b"), column("c")
    with answering(service, models):
        for one in (mine, theirs, last):
            service.ask([one])
        until(lambda: states(service, mine) == ["answering"])
        assert [standing.ahead for standing in service.look([mine, theirs, last])] == [0, 1, 2]
        assert service.state().waiting == 3
        models.go.set()
        until(lambda: states(service, mine, theirs, last) == ["done"] * 3)
    assert models.asked == ["a", "b", "c"]


def test_a_question_can_be_cancelled_while_it_waits_and_while_it_is_answered(service, models):
    """The next one is answered; the cancelled ones can be asked again."""
    running, waiting, after = column("a"), column("b"), column("c")
    with answering(service, models):
        for one in (running, waiting, after):
            service.ask([one])
        until(lambda: states(service, running) == ["answering"])
        service.cancel([waiting])
        service.cancel([running])
        until(lambda: states(service, after) == ["answering"])
        assert states(service, running, waiting) == ["new", "new"]
        models.go.set()
        until(lambda: states(service, after) == ["done"])
        service.ask([running])
        until(lambda: states(service, running) == ["done"])
    assert models.asked == ["a", "c", "a"]


def test_a_column_that_fails_says_why_and_the_others_are_answered(service, models):
    """The sentence is kept; asking again tries again."""
    models.error = ModelUnavailable("There is no such model. Pick another.")
    first, second = column("a"), column("b")
    models.go.set()
    with answering(service, models):
        service.ask([first, second])
        until(lambda: states(service, first, second) == ["failed", "failed"])
        assert service.look([first])[0].said == "There is no such model. Pick another."
        models.error = None
        service.ask([first])
        until(lambda: states(service, first, second) == ["done", "failed"])
        models.error = KeyError("loss")
        service.ask([second])
        until(lambda: service.look([second])[0].said == "Something went wrong inside: KeyError: 'loss'")


def test_a_question_waits_visibly_while_a_run_holds_the_device(service, models):
    """Who holds it is told; it is answered once the device is free, and can be cancelled before."""
    one, other = column("a"), column("b")
    models.go.set()
    with answering(service, models):
        with device_lease(Resources(0), "job train-1"):
            service.ask([one])
            service.ask([other])
            until(lambda: service.look([one])[0].holder == "job train-1")
            assert service.look([one])[0].said == "Waiting: device in use by"
            service.cancel([one])
            until(lambda: states(service, one) == ["new"])
            until(lambda: service.look([other])[0].holder == "job train-1")
            assert models.asked == []
        until(lambda: states(service, other) == ["done"])
    assert models.asked == ["b"]


def test_it_is_answered_on_the_processor_where_only_the_gpu_is_taken(service, models, monkeypatch):
    """Also a question that began to wait while both were taken."""
    monkeypatch.setattr(asker.devices, "resolve_device", lambda setting: "cuda" if setting == "auto" else setting)
    monkeypatch.setattr(asker.devices, "visible_gpus", lambda: ["0"])
    monkeypatch.setattr("sftqa_core.jobs.lease.usable_device", lambda device, *more: device)
    models.go.set()
    one, other, free = column("a"), column("b"), column("c")
    with answering(service, models):
        with device_lease("cuda", "job train-1"):
            service.ask([one])
            until(lambda: states(service, one) == ["done"])
            with device_lease("cpu", "sftqa probe"):
                service.ask([other])
                until(lambda: service.look([other])[0].holder == "job train-1")
            until(lambda: states(service, other) == ["done"])
        service.ask([free])
        until(lambda: states(service, free) == ["done"])
    assert models.devices == ["cpu", "cpu", "cuda"]


def test_it_leaves_where_it_is_in_the_way(service, models, monkeypatch):
    """A process that holds a GPU's memory ends when somebody else gets that GPU; the next question starts it anew."""
    monkeypatch.setattr(asker, "_LOOK_S", 0.01)
    monkeypatch.setattr(asker.devices, "visible_gpus", lambda: ["0"])
    monkeypatch.setattr("sftqa_core.jobs.lease.usable_device", lambda device, *more: device)
    models.kept = (Warm("a", 10, "cuda"),)
    with answering(service, models):
        time.sleep(0.1)
        assert service.state().held == models.kept
        with device_lease("cuda", "job train-1"):
            until(lambda: not service.state().alive)


def test_it_leaves_when_nothing_is_asked(service, models):
    """After `idle_s`, and not while a question stands in the queue."""
    began = time.monotonic()
    Asker(service.workspace, AskTiming(0.005, idle_s=0.2), models).run()
    assert time.monotonic() - began >= 0.2
    assert service.folder.service() is None
    one = column("a")
    service.ask([one])
    models.go.set()
    Asker(service.workspace, AskTiming(0.005, idle_s=0.0), models).run()
    assert states(service, one) == ["done"]


def test_its_death_is_noticed_and_what_it_died_of_is_not_tried_again(service, models):
    """The page says so; the next process tells the question that was being answered, and answers those behind it."""
    killer, behind = column("huge"), column("b")
    folder = service.folder
    first, second = folder.put([killer]), folder.put([behind])
    folder.tell(Service(ProcessId.nobody(), Doing(first, killer.fingerprint(), "Loading huge")))
    folder.log.write_text("x\nKilled\n")
    assert states(service, killer, behind) == ["failed", "failed"]
    said = "The process that answers questions has ended. Its last words: Killed. Ask again: it starts anew."
    assert service.look([behind])[0].said == said
    assert service.state().alive is False
    models.go.set()
    service.ask([behind])
    assert folder.tickets() == [first, second], "a question that still waits is not queued twice"
    with answering(service, models):
        until(lambda: states(service, behind) == ["done"])
        assert states(service, killer) == ["failed"]
        assert "died while it answered this" in service.look([killer])[0].said
        service.ask([killer])
        until(lambda: states(service, killer) == ["done"])
    assert models.asked == ["b", "huge"]


def test_only_one_answers(service, models):
    """A second process of the same state folder leaves at once."""
    with answering(service, models):
        before = service.folder.service()
        assert before is not None
        living = Service(ProcessId.of(os.getppid()))
        service.folder.tell(living)
        second = Models()
        Asker(service.workspace, FAST, second).run()
        assert AskFolder(service.workspace).service() == living
        assert second.asked == []


def test_replies_are_kept_for_a_while(service, monkeypatch):
    """Old ones and those beyond the number that is kept go, as do questions that nobody answered."""
    folder = service.folder
    for number in range(5):
        folder.keep(f"{number}", KeptReply(said("a")))
        os.utime(folder.replies / f"{number}.json", (time.time() - number,) * 2)
    folder.keep("old", KeptReply(said("a")))
    os.utime(folder.replies / "old.json", (1, 1))
    name = folder.put([column("a")])
    os.utime(folder.queue / name, (1, 1))
    assert folder.kept("old") is None
    monkeypatch.setattr(ask_files, "MOST_KEPT", 3)
    folder.sweep()
    assert sorted(path.stem for path in folder.replies.glob("*")) == ["0", "1", "2"]
    assert folder.tickets() == []


def test_a_full_queue_is_refused(service, monkeypatch):
    """In a sentence, and nothing is queued."""
    monkeypatch.setattr(ask_files, "MOST_WAITING", 2)
    for name in "ab":
        service.ask([column(name)])
    with pytest.raises(SettingsError, match="2 questions wait already"):
        service.ask([column("c")])
    assert len(service.folder.tickets()) == 2


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"process": 3}', '{"columns": "x"}', json.dumps({"reply": {"model": 3}}), "\udcff"])
def test_damaged_files_are_passed_over(service, models, content):
    """Queue, replies and service.json may hold anything; the question is then asked anew."""
    one = column("a")
    for path in (
        service.folder.queue / "0.json",
        service.folder.replies / f"{one.fingerprint()}.json",
        service.folder.path / "service.json",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode(errors="surrogateescape"))
    assert states(service, one) == ["new"]
    assert service.state().alive is False
    models.go.set()
    with answering(service, models):
        service.ask([one])
        until(lambda: states(service, one) == ["done"])


def test_a_process_that_can_not_be_started_is_told(workspace, monkeypatch):
    """The question stays in the queue, and the page has a sentence."""
    local = LocalAskService(workspace, FAST)

    def refuse(*arguments, **how):
        raise OSError("no more processes")

    monkeypatch.setattr(ask_files.processes, "start", refuse)
    with pytest.raises(Exception, match="could not be started: no more processes"):
        local.ask([column("a")])


def test_the_fake_stands_in():
    """It queues what is new, and settles as the test says."""
    fake, one = FakeAskService(), column("a")
    fake.ask([one])
    fake.ask([one])
    assert [c.model for c in fake.asked] == ["a"]
    assert fake.look([one])[0].pending
    fake.cancel([one])
    assert (fake.look([one])[0].state, fake.cancelled) == ("new", [one])
    fake.settle(one, Standing("done", reply=said("a")))
    fake.ask([one])
    assert len(fake.asked) == 1
    assert [fake.ensure(), fake.ensure(), fake.state().alive] == [True, False, True]
    with suppress(SettingsError):
        Standing("asleep")
