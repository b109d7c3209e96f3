"""What the driver does with workers and pieces, without Ray: a stand-in calls its workers in this process."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from sftqa_core.errors import SftqaError
from sftqa_core.jobs.cluster import ray_driver
from sftqa_core.jobs.cluster.board import Board
from sftqa_core.jobs.cluster.node import Build, Node, raised, told
from sftqa_core.jobs.cluster.ray_driver import Driver

START = {"device": "auto", "gpus": 1, "folder": "/nowhere", "mark": "seen", "environment": {}, "cwd": "/"}


class Gone(Exception):
    """What Ray raises for a call to a worker that is gone."""


class StandIn:
    """A worker: greets as it was told to, and dies at the pieces in `deadly`, so often."""

    def __init__(self, ray: StandInRay, number: int):
        self.ray, self.number = ray, number

    def hello(self, device: str) -> dict[str, Any]:
        return {
            "host": f"node-{self.number}",
            "pid": 1,
            "build": Build.here().to_dict(),
            "mark": "seen",
            "device": "cuda",
            "error": None,
        } | (self.ray.greetings.get(self.number, {}))

    def run(self, piece: str) -> dict[str, Any]:
        name = json.loads(piece)["name"]
        self.ray.given.append((self.number, name))
        if self.ray.deadly.get(name, 0) >= sum(given == name for _, given in self.ray.given):
            raise Gone("The actor died.")
        return {"error": self.ray.errors.get(name), "lines": []}


class StandInRay:
    """As much of Ray as the driver uses."""

    exceptions = SimpleNamespace(RayActorError=Gone)

    def __init__(self, devices: int = 2):
        self.devices, self.actors, self.turns = devices, 0, 0
        self.greetings: dict[int, dict[str, Any]] = {}
        self.deadly: dict[str, int] = {}
        self.errors: dict[str, dict[str, Any]] = {}
        self.given: list[tuple[int, str]] = []
        self.killed: list[Any] = []
        self.needs: list[dict[str, Any]] = []

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": 8.0}}, *[{"Alive": True, "Resources": {"GPU": 1.0}}] * self.devices]

    def remote(self, kind: type) -> Any:
        assert kind is Node

        def made(*arguments: Any) -> Any:
            self.actors += 1
            worker = StandIn(self, self.actors)
            return SimpleNamespace(**{name: SimpleNamespace(remote=self._later(getattr(worker, name))) for name in ("hello", "run")})

        def options(**needs: Any) -> Any:
            self.needs.append(needs)
            return SimpleNamespace(remote=made)

        return SimpleNamespace(options=options)

    def _later(self, method: Any) -> Any:
        return lambda *arguments: lambda: method(*arguments)

    def wait(self, calls: list[Any], num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        self.turns += 1
        one = calls[self.turns % len(calls)]  # none waits for ever
        return [one], [call for call in calls if call is not one]

    def get(self, call: Any) -> Any:
        return call()

    def kill(self, actor: Any, no_restart: bool = True) -> None:
        self.killed.append((actor, no_restart))


@pytest.fixture
def said(monkeypatch) -> list[dict[str, Any]]:
    """Everything that the driver says but that it lives."""
    messages: list[dict[str, Any]] = []
    monkeypatch.setattr(ray_driver, "say", lambda message: messages.append(message) if "alive" not in message else None)
    return messages


def work(ray: StandInRay, said: list[dict[str, Any]], *names: str) -> list[int]:
    """Let a driver do these pieces; the numbers of those that are done, in order."""
    driver = Driver(ray, START)
    driver.heard({"pieces": [{"name": name} for name in names]})
    for _ in range(200):
        for worker in driver.workers:
            worker.again_s = 0.0
        driver.turn()
        if {"over": True} in said or any("failed" in message for message in said):
            break
    return [message["done"] for message in said if "done" in message]


def test_each_piece_is_given_to_one_worker(said):
    """A worker a GPU, with that GPU and no retries of Ray's; both have something to do; then it is over."""
    ray = StandInRay()
    assert sorted(work(ray, said, "a", "b", "c", "d")) == [0, 1, 2, 3]
    assert sorted(name for _, name in ray.given) == ["a", "b", "c", "d"]
    assert ray.needs == [{"num_gpus": 1, "num_cpus": 0, "max_restarts": -1, "max_task_retries": 0}] * 2
    assert said[-1] == {"over": True}
    assert {"ready": {"workers": 1, "device": "cuda"}} in said


def test_processors_are_devices_where_no_node_has_a_gpu(said):
    """As many workers as Ray has processors to give."""
    ray = StandInRay(devices=0)
    work(ray, said, "a")
    assert ray.needs == [{"num_cpus": 1, "num_gpus": 0, "max_restarts": -1, "max_task_retries": 0}] * 8


def test_a_lost_piece_is_done_by_another_worker(said):
    """The next that asks gets it, and the log says so."""
    ray = StandInRay()
    ray.deadly = {"a": 1}
    assert sorted(work(ray, said, "a", "b", "c")) == [0, 1, 2]
    first, second = [number for number, name in ray.given if name == "a"]
    assert first != second
    lines = [message["log"] for message in said if "log" in message]
    assert f"Worker {first} (node-{first}) was lost. Its piece is done again, attempt 2." in lines
    assert f"The piece that was lost was done by worker {second}, in attempt 2." in lines


def test_a_piece_that_ends_every_worker_ends_the_work(said):
    """After the third time that it was handed out again."""
    ray = StandInRay()
    ray.deadly = {"a": 9}
    work(ray, said, "a")
    assert len(ray.given) == 4
    (failed,) = [message["failed"] for message in said if "failed" in message]
    assert failed["said"].startswith("A piece of the work ended 4 workers of the cluster, one after the other: they were killed")


@pytest.mark.parametrize(
    ("greeting", "sentence"),
    [
        (
            {"mark": ""},
            "node-1 does not see this machine's cache: /nowhere is another folder there, or none. All must have the same folder",
        ),
        ({"build": replace(Build.here(), version="9.9").to_dict()}, "node-1 has another program: version 9.9, here it is"),
        (
            {"build": replace(Build.here(), code="0" * 12, commit="1" * 40).to_dict()},
            "node-1 has another program: commit 111111111111 (code 0",
        ),
        ({"build": replace(Build.here(), libraries={"torch": "1.0"}).to_dict()}, "torch 1.0, here"),
        ({"error": {"kind": "SettingsError", "said": "device cuda was asked for, but", "errno": None}}, "device cuda was asked for, but"),
    ],
)
def test_who_is_not_the_same_program_with_the_same_cache_is_refused(said, greeting, sentence):
    """Before any piece is given out, with what is different."""
    ray = StandInRay(devices=1)
    ray.greetings = {1: greeting}
    assert work(ray, said, "a") == []
    assert sentence in next(message["failed"]["said"] for message in said if "failed" in message)
    assert ray.given == []


def test_an_error_of_a_piece_ends_the_work(said):
    """It is passed on, nothing more is handed out, and the rest may end by itself for a while."""
    ray = StandInRay(devices=1)
    ray.errors = {"a": {"kind": "NotEnoughFacts", "said": "60 facts were asked for", "errno": None}}
    assert work(ray, said, "a", "b") == []
    assert [name for _, name in ray.given] == ["a"]


def test_whoever_does_not_stop_is_killed_and_may_come_back(said):
    """Only workers with a piece, once their time is over; then it is over."""
    ray = StandInRay()
    driver = Driver(ray, START)
    driver.heard({"pieces": [{"name": "a"}]})
    while not any(worker.busy for worker in driver.workers):
        driver.turn()
    driver.heard({"stop": True})
    driver.stop_s = 0.0
    driver._kill_busy()
    assert [no_restart for _, no_restart in ray.killed] == [False]


def test_errors_travel_as_json():
    """Their kind, their sentence with the machine's name, and of the disk its number."""
    import errno

    from sftqa_core.errors import NotEnoughFacts, OutOfMemory, StorageError

    again = raised(json.loads(json.dumps(told(NotEnoughFacts("60 facts were asked for.")))))
    assert isinstance(again, NotEnoughFacts)
    assert str(again).startswith("60 facts were asked for. (on ")
    full = raised(told(OSError(errno.ENOSPC, "No space left on device")))
    assert isinstance(full, StorageError)
    assert full.errno == errno.ENOSPC
    assert isinstance(raised(told(MemoryError("x"))), OutOfMemory)
    assert type(raised({"kind": "Exception", "said": "no", "errno": None})) is SftqaError


def test_the_board_prefers_who_has_not_lost_a_piece():
    """The same worker gets it only where no other piece waits."""
    board = Board()
    board.put([{"name": "a"}, {"name": "b"}])
    assert board.take(1).piece == {"name": "a"}
    board.lost(1)
    assert board.take(1).piece == {"name": "b"}
    board.done(1)
    assert board.take(1).piece == {"name": "a"}
    assert not board.empty
