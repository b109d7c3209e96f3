"""A training's process (training/distributed.py) where accelerate uses FSDP on the processor, though it does so on GPUs only."""

from multiprocessing.connection import Connection
from typing import Any

from accelerate import state
from accelerate.utils import DistributedType

from sftqa_core.training import distributed as process

_init = state.AcceleratorState.__init__


def _also_on_the_processor(self: Any, *arguments: Any, fsdp_plugin: Any = None, **more: Any) -> None:
    _init(self, *arguments, fsdp_plugin=fsdp_plugin, **more)
    if fsdp_plugin is not None:
        self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin


def take_part(rank: int, connection: Connection, work: process.Work) -> None:
    """As the training does it."""
    state.AcceleratorState.__init__ = _also_on_the_processor  # type: ignore[method-assign]
    process.take_part(rank, connection, work)
