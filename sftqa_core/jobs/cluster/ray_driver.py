"""The one process that talks to Ray: it gives pieces to workers of a cluster, one each, and says how it goes. Its starter can kill it.

    python -m sftqa_core.jobs.cluster.ray_driver

It is asked {"address", "namespace", "device", "gpus", "folder", "environment", "cwd"} first, then {"pieces": [...]} as often as its
starter likes, {"stop": true} or {"end": true}; it says {"ready": {...}}, {"done": number}, {"log": line}, {"failed": {...}},
{"over": true} when all pieces of a request are done or, after a failure or stop, nothing runs any more, and {"alive": true} meanwhile.

Nothing of Ray but its actors is used: no runtime environment (the program is installed on every node, which `Node.hello` proves), no
object store, no retries (a worker that dies comes back empty, and its piece is handed out again), no dashboard.
"""

import json
import os
import queue
import sys
import time
from dataclasses import dataclass
from typing import Any

from sftqa_core.errors import SettingsError, SftqaError
from sftqa_core.jobs.cluster.board import Board
from sftqa_core.jobs.cluster.node import Build, Node, told
from sftqa_core.planning.cluster_address import knock
from sftqa_core.processes import requests, say

GUARDED = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_gcs_rpc_server_reconnect_timeout_s": "30"}  # before the import
GRACE_S = 15.0  # that pieces have to end by themselves, once the work has failed or was stopped
_LOOK_S = 5.0  # how often devices are counted, and a worker that was lost is asked whether it is back
_POLL_S = 0.2
_KNOCK_S = 10.0


@dataclass
class Worker:
    """One actor: it greets, then does pieces."""

    number: int
    actor: Any
    call: Any = None  # that runs
    greeted: bool = False
    busy: bool = False  # with a piece, not with greeting
    host: str = ""
    again_s: float = 0.0  # not to be called before


class Driver:
    """Workers and pieces of one work."""

    def __init__(self, ray: Any, start: dict[str, Any]):
        self.ray, self.start = ray, start
        self.board, self.workers = Board(), list[Worker]()
        self.device = ""
        self.stop_s: float | None = None  # when what still runs is killed
        self.at_work = False
        self._build = Build.here()
        self._resource, self._counted_s, self._said_s = "", -1e9, -1e9

    def heard(self, request: dict[str, Any]) -> None:
        """Something new to do."""
        if "pieces" in request:
            self.board.put(request["pieces"])
            self.stop_s, self.at_work = None, True
        elif "stop" in request:
            self._let_go(GRACE_S)

    def turn(self) -> None:
        """Look once at everything."""
        now_s = time.monotonic()
        if now_s - self._counted_s >= _LOOK_S:
            self._counted_s = now_s
            self._count_devices()
        for worker in self.workers:
            if worker.call is None and now_s >= worker.again_s:
                self._call(worker)
        calls = {worker.call: worker for worker in self.workers if worker.call is not None}
        ready, _ = self.ray.wait(list(calls), num_returns=1, timeout=_POLL_S) if calls else ([], [])
        for call in ready:
            self._settle(calls[call])
        if not calls:
            time.sleep(_POLL_S)
        if self.stop_s is not None and now_s >= self.stop_s:
            self._kill_busy()
        if self.at_work and self.board.empty:
            self.at_work = False
            say({"over": True})
        if now_s - self._said_s >= 1.0:
            self._said_s = now_s
            say({"alive": True})

    def _count_devices(self) -> None:
        """A worker for each device that the cluster has now; nodes may join at any time."""
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        self._resource = self._resource or ("GPU" if self.start["device"] != "cpu" and any("GPU" in node for node in nodes) else "CPU")
        each = self.start["gpus"] if self._resource == "GPU" else 1
        devices = sum(int(node.get(self._resource, 0)) // each for node in nodes)
        if not devices and not self.workers:
            self._resource = ""  # none has joined yet
            say({"log": "Waiting: the cluster has no node with a GPU or a processor for work yet."})
        need = {"num_gpus": each, "num_cpus": 0} if self._resource == "GPU" else {"num_cpus": 1, "num_gpus": 0}
        while len(self.workers) < devices:
            kind = self.ray.remote(Node).options(**need, max_restarts=-1, max_task_retries=0)
            actor = kind.remote(self.start["folder"], self.start["environment"], self.start["cwd"])
            self.workers.append(Worker(len(self.workers), actor))

    def _call(self, worker: Worker) -> None:
        if not worker.greeted:
            worker.call = worker.actor.hello.remote(self.start["device"])
        elif self.stop_s is None and (task := self.board.take(worker.number)) is not None:
            worker.busy, worker.call = True, worker.actor.run.remote(json.dumps(task.piece))

    def _settle(self, worker: Worker) -> None:
        """A call has ended, in whatever way."""
        call, worker.call = worker.call, None
        try:
            said = self.ray.get(call)
        except self.ray.exceptions.RayActorError as error:
            self._lost(worker, str(error))
            return
        except Exception as error:
            said = {"error": told(error), "lines": []}
        if not worker.greeted:
            self._welcome(worker, said)
            return
        worker.busy = False
        for line in said["lines"]:
            say({"log": line})
        task = self.board.done(worker.number)
        if said["error"] is None:
            if task.lost_by:
                say({"log": f"The piece that was lost was done by worker {worker.number + 1}, in attempt {len(task.lost_by) + 1}."})
            say({"done": task.number})
        else:
            self._fail(said["error"])

    def _lost(self, worker: Worker, why: str) -> None:
        """Its process or machine is gone. Ray starts it again where there is room; until then it can't be reached."""
        worker.again_s = time.monotonic() + 1.0
        was, worker.greeted, worker.busy = worker.busy, False, False
        if "creation task" in why:  # it can't even import this program
            last = [line.strip() for line in why.splitlines() if line.strip()][-1]
            self._refuse(f"A node of the cluster can't start this program ({last}). Install the same version on all nodes.")
        if not was:
            return
        try:
            task = self.board.lost(worker.number)
        except SftqaError as error:
            self._fail(told(error))
            return
        if self.stop_s is not None:
            self.board.drop()
        elif task is not None:
            say({"log": f"Worker {worker.number + 1} ({worker.host}) was lost. Its piece is done again, attempt {len(task.lost_by) + 1}."})

    def _welcome(self, worker: Worker, said: dict[str, Any]) -> None:
        """Let a worker in if it is the same program with the same cache on the same kind of device. Else the work ends."""
        worker.again_s = time.monotonic() + _LOOK_S  # of one that is refused
        if said["error"] is not None:
            self._fail(said["error"])
            return
        host, wrong = said["host"], self._build.differs(Build.from_dict(said["build"]))
        self.device = self.device or said["device"]
        if wrong:
            self._refuse(f"{host} has another program: {wrong}. Install the same version on all nodes.")
        elif said["mark"] != self.start["mark"]:
            self._refuse(f"{host} does not see this machine's cache: {self.start['folder']} is another folder there, or none. {_SHARED}")
        elif said["device"] != self.device:
            self._refuse(f"{host} computes on {said['device']}, other nodes on {self.device}: their numbers may differ. Name a device.")
        else:
            worker.greeted, worker.host, worker.again_s = True, host, 0.0
            say({"ready": {"workers": sum(one.greeted for one in self.workers), "device": self.device}})
            say({"log": f"Worker {worker.number + 1}: {host}, process {said['pid']}, {said['device']}."})

    def _refuse(self, sentence: str) -> None:
        self._fail({"kind": SettingsError.__name__, "said": sentence, "errno": None})

    def _fail(self, error: dict[str, Any]) -> None:
        say({"failed": error})
        self._let_go(GRACE_S)

    def _let_go(self, after_s: float) -> None:
        """Hand out nothing more; what runs may end by itself for so long."""
        self.board.drop()
        self.stop_s = min(self.stop_s or 1e18, time.monotonic() + after_s)

    def _kill_busy(self) -> None:
        """End workers that did not end their pieces by themselves. They come back without what they had loaded."""
        self.stop_s = float("inf")
        for worker in self.workers:
            if worker.busy:
                self.ray.kill(worker.actor, no_restart=False)


_SHARED = "All must have the same folder on a shared file system as SFTQA_CACHE."


def connect(start: dict[str, Any]) -> Any:
    """Ray, connected to the running cluster at this address; none is ever started. Raises `SettingsError`."""
    os.environ.update(GUARDED)
    import ray

    try:
        knock(start["address"], _KNOCK_S)  # Ray itself would try for two minutes
        quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
        ray.init(address=start["address"], namespace=start["namespace"], **quiet)
    except Exception as error:
        last = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SettingsError(
            f"The cluster at {start['address']} can't be used: {last}. This machine must be a node of it (ray start --address "
            f"{start['address']} --num-cpus 0), with the same RAY_AUTH_TOKEN, the same Ray and the same Python. See docs/cluster.md."
        ) from error
    return ray


def main(arguments: list[str]) -> int:
    """Do what standard input asks for."""
    asked = requests()
    start = asked.get()
    try:
        ray = connect(start)
    except SettingsError as error:
        say({"failed": {"kind": SettingsError.__name__, "said": str(error), "errno": None}})
        return 1
    driver = Driver(ray, start)
    while True:
        try:
            request = asked.get_nowait()
        except queue.Empty:
            driver.turn()
            continue
        if "end" in request:
            break
        driver.heard(request)
    for worker in driver.workers:
        ray.kill(worker.actor)
    ray.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
