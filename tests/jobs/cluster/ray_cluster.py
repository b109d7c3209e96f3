"""One cluster of Ray for a whole run of tests, in a process of its own: a head without devices and two nodes with a pretended GPU each.

    python -m tests.jobs.cluster.ray_cluster FOLDER

It is asked {"add": true} or {"remove": node}, over pipes as the driver is, and says {"address"} and {"nodes"}.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from sftqa_core.processes import requests, say

TOKEN = "f" * 64
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": TOKEN,
    "OMP_NUM_THREADS": "1",
}
_NODE: dict[str, Any] = {"num_cpus": 1, "num_gpus": 1, "object_store_memory": 80_000_000}


def patient(get_node: Callable[..., Any]) -> Callable[..., Any]:
    """Ray gives a node 30 s to appear, which is too little on a busy machine."""

    def get(*arguments: Any) -> Any:
        end_s = time.monotonic() + 200.0
        while True:
            try:
                return get_node(*arguments)
            except RuntimeError:
                if time.monotonic() > end_s:
                    raise
                time.sleep(0.2)

    return get


def main(arguments: list[str]) -> int:
    """Start the cluster, change its nodes as asked, and end it."""
    asked = requests()
    os.environ.update(ENVIRONMENT)
    place = tempfile.mkdtemp(prefix="r", dir="/tmp")  # short: the paths of sockets are limited to 107 bytes
    os.environ["RAY_TMPDIR"] = place
    from ray._private import services
    from ray.cluster_utils import Cluster

    services.get_node = patient(services.get_node)
    cluster = Cluster(initialize_head=True, head_node_args={**_NODE, "num_cpus": 0, "num_gpus": 0, "include_dashboard": False})
    nodes = {number: cluster.add_node(**_NODE) for number in range(1, 1 + int(os.environ.get("NODES", "2")))}
    while True:
        pids = {number: [info.process.pid for infos in node.all_processes.values() for info in infos] for number, node in nodes.items()}
        say({"address": cluster.address, "nodes": {str(number): {"id": nodes[number].node_id, "pids": pids[number]} for number in nodes}})
        request = asked.get()
        if "remove" in request:
            cluster.remove_node(nodes.pop(request["remove"]), allow_graceful=False)
        elif "add" in request:
            nodes[max(nodes, default=0) + 1] = cluster.add_node(**_NODE)
        elif "end" in request:
            break
    cluster.shutdown()
    shutil.rmtree(place, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
