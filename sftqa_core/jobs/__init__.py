"""Work in the background: a queue, a light worker that starts one process a job, and one lease a device. Nothing here imports torch.

`current_executor` is the one place where pages and commands get the executor that they hand work to and ask how it stands.
"""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from sftqa_core.errors import SettingsError
from sftqa_core.jobs.executor import Executor
from sftqa_core.jobs.executor import left_s as left_s
from sftqa_core.jobs.executor import next_start as next_start
from sftqa_core.planning.cluster_address import VARIABLE as CLUSTER

# what SFTQA_EXECUTOR may name -> a class that is made without arguments
EXECUTORS = {"local": "sftqa_core.jobs.local.LocalExecutor", "ray": "sftqa_core.jobs.cluster.ray_executor.RayExecutor"}
_used: Executor | None = None
AnExecutor = TypeVar("AnExecutor", bound=Executor)


def current_executor() -> Executor:
    """The executor of the current workspace: the one in use, else the one that SFTQA_EXECUTOR names; without a name the one for a cluster
    where SFTQA_CLUSTER gives an address. Raises `SettingsError`."""
    if _used is not None:
        return _used
    name = os.environ.get("SFTQA_EXECUTOR") or ("ray" if os.environ.get(CLUSTER) else "local")
    if name not in EXECUTORS:
        raise SettingsError(f"SFTQA_EXECUTOR must be one of {', '.join(EXECUTORS)}, got {name!r}.")
    module, _, kind = EXECUTORS[name].rpartition(".")
    return getattr(importlib.import_module(module), kind)()


@contextmanager
def use_executor(executor: AnExecutor) -> Iterator[AnExecutor]:
    """Inside, all threads of this process hand their work to this one: a `FakeExecutor`, say."""
    global _used
    before, _used = _used, executor
    try:
        yield executor
    finally:
        _used = before
