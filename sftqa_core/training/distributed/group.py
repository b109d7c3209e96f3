"""Heavy: one fine-tuning on several GPUs, each driven by a process of its own (process.py), watched over from here.

The processes are started anew, not forked: a process that has used CUDA can't be. Each has a pipe to this one: it sends progress,
lines for the log and the exception that ends it, and is sent something when it is to stop. When one of them fails, is killed or runs
out of memory, all of them end; what they wrote to the last checkpoint stays, as in a training by one process.
"""

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Self

import torch
from accelerate.hooks import remove_hook_from_module
from safetensors.torch import load_file

from sftqa_core.engine.drawing import empty_cache
from sftqa_core.errors import OutOfMemory, SftqaError, Stopped
from sftqa_core.models import devices, loading, spreading
from sftqa_core.progress import Progress, Reporter
from sftqa_core.training.adapters import trainable
from sftqa_core.training.distributed.process import TUNED, Work, take_part
from sftqa_core.training.trainer import Training
from sftqa_core.training.unfinished import Unfinished
from sftqa_core.training.watching import CurveWriter

_START = "spawn"  # how processes are started; tests have a quicker way
_POLL_S = 0.05
_GRACE_S = 5.0  # for the others to say why they failed, once one has


@dataclass
class Group:
    """Processes that do one work together."""

    processes: list[BaseProcess] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)  # that they sent

    @classmethod
    @contextmanager
    def started(cls, count: int, target: Callable[..., None], *arguments: Any) -> Iterator[Self]:
        """Start `count` of them, each calling target(rank, connection, *arguments); whatever happens, none is left afterwards."""
        os.environ.setdefault("PYTHONSAFEPATH", "1")  # a random.py in the person's folder is not imported
        context: Any = get_context(_START)  # typeshed knows no processes of a context whose name is not literal
        group = cls()
        try:
            for rank in range(count):
                ours, theirs = context.Pipe()
                group.connections.append(ours)
                group.processes.append(context.Process(target=target, args=(rank, theirs, *arguments), daemon=True))
                group.processes[-1].start()
                theirs.close()
            yield group
        finally:
            for process in group.processes:
                process.kill()
                process.join()
            for connection in group.connections:
                connection.close()

    def finish(self, reporter: Reporter) -> Stopped | None:
        """Wait until all have ended, passing on what they send, and to the first one the wish to stop. Raises what one of them raised.

        Returns that wish; it may have come too late.
        """
        stopped, failed_s = None, None
        while alive := [process.sentinel for process in self.processes if process.is_alive()]:
            wait(alive, _POLL_S)
            self._receive(reporter)
            try:
                reporter.check()
            except Stopped as error:
                if stopped is None:
                    with contextlib.suppress(OSError):  # it has just ended
                        self.connections[0].send("stop")
                stopped = error
            if any(process.exitcode for process in self.processes):
                failed_s = failed_s or time.monotonic()
                if time.monotonic() - failed_s > _GRACE_S or self.failures:
                    break
        self._receive(reporter)
        self._raise_failure()
        return stopped

    def _receive(self, reporter: Reporter) -> None:
        for connection in self.connections:
            with contextlib.suppress(EOFError, OSError):  # that process has ended
                while connection.poll():
                    match connection.recv():
                        case Progress() as update:
                            reporter.progress(update)
                        case Exception() as error:
                            self.failures.append(error)
                        case line:
                            reporter.log(line)

    def _raise_failure(self) -> None:
        """The first cause: where one dies, the others fail because it no longer answers them."""
        for error in self.failures:
            if isinstance(error, SftqaError):
                raise error
        codes = [process.exitcode for process in self.processes]
        killed = next((-code for code in codes if code is not None and code < 0), None)
        if killed == signal.SIGKILL:
            raise OutOfMemory(
                f"One of the training's {len(codes)} processes was killed, most likely because the machine's memory ran out. "
                "Use a smaller batch size or model, or train with LoRA."
            )
        if killed or any(codes):
            what = f"by signal {killed}" if killed else f"with status {next(code for code in codes if code)}"
            why = f" ({self.failures[0]})" if self.failures and not killed else ""
            raise SftqaError(f"One of the training's {len(codes)} processes ended {what}{why}. The log has details; start again to resume.")


def train_together(training: Training, curve: CurveWriter, unfinished: Unfinished | None, reporter: Reporter) -> Any:
    """The tuned model, on the devices of the base model, after `settings.gpus` processes trained it. Raises as `fine_tune` does."""
    loaded, settings, objective, checkpoints = training.loaded, training.settings, training.objective, None
    if unfinished:
        unfinished.newest()  # for the seconds that were spent before
        checkpoints = unfinished.folder
    with _waiting(loaded), tempfile.TemporaryDirectory(prefix="sftqa-several-") as scratch:
        folder = Path(scratch)
        threads = max(1, torch.get_num_threads() // settings.gpus)
        where = curve.path.absolute(), checkpoints, folder
        work = Work(loaded.card, loaded.device, settings, objective, training.rate, training.encoded, *where, threads)
        with Group.started(settings.gpus, take_part, work) as group:
            stopped = group.finish(reporter)
        if stopped and not (folder / TUNED).exists():
            raise stopped
        curve.read_again()
        model = trainable(loaded.model, settings, objective)
        keys = model.load_state_dict(load_file(folder / TUNED), strict=False)
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        if keys.unexpected_keys or trained & set(keys.missing_keys):
            raise SftqaError("The weights that the training's processes wrote do not fit the model. Train again.")
    return _placed_like(model, loaded)


def _placed_like(model: Any, loaded: loading.LoadedModel) -> Any:
    """A model from main memory to where the base model is, in its number format where it is not LoRA's own float32."""
    if loaded.gpus == 1:
        return model.to(devices.torch_device(loaded.device))
    return spreading.spread(model, spreading.layer_places(model, range(loaded.gpus)))


@contextmanager
def _waiting(loaded: loading.LoadedModel) -> Iterator[None]:
    """The base model makes room on the GPUs while others train there."""
    if loaded.device == "cpu":
        yield
        return
    if loaded.gpus > 1:
        remove_hook_from_module(loaded.model, recurse=True)
    loaded.model.to("cpu")
    empty_cache()
    try:
        yield
    finally:
        _placed_like(loaded.model, loaded)
