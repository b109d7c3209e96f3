"""Heavy: one fine-tuning on several GPUs, each driven by a process of its own.

The processes are started anew, not forked: a process that has used CUDA can't be. Each has a pipe to the one that started it: it sends
progress, lines for the log and the exception that ends it, and gets something when it is to stop. When one of them fails, is killed
or runs out of memory, all of them end; what they wrote to the last checkpoint stays, as in a training by one process.

Every process goes through the batches that one process would have, in the same order, and takes its part of each; the loss is the
mean over the answer tokens of the whole batch. So the result is that of one process, to rounding. accelerate's own way would give
each process batches of its own and fill up the last ones with examples that were seen already.
"""

import contextlib
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Self

import torch
from accelerate.data_loader import prepare_data_loader
from accelerate.hooks import remove_hook_from_module
from safetensors.torch import load_file, save_file
from torch import distributed
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader
from transformers import TrainerCallback, set_seed

from sftqa_core.engine.drawing import empty_cache
from sftqa_core.errors import OutOfMemory, SftqaError, Stopped
from sftqa_core.models import devices, loading, spreading
from sftqa_core.progress import Phase, Progress, Reporter, Silent
from sftqa_core.records import ModelCard, TrainSettings
from sftqa_core.training import adapters, encoding, objectives, optimizers, trainer, watching
from sftqa_core.training.checkpoints import Keeper, Unfinished

TUNED = "tuned.safetensors"
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
    @contextlib.contextmanager
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
            how = f"by signal {killed}" if killed else f"with status {next(code for code in codes if code)}"
            why = f" ({self.failures[0]})" if self.failures and not killed else ""
            raise SftqaError(f"One of the training's {len(codes)} processes ended {how}{why}. The log has details; start again to resume.")


def train_together(training: trainer.Training, curve: watching.CurveWriter, unfinished: Unfinished | None, reporter: Reporter) -> Any:
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
        model = adapters.trainable(loaded.model, settings, objective)
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


@contextlib.contextmanager
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


@dataclass(frozen=True)
class Work:
    """What all the processes of one training get."""

    card: ModelCard
    device: str  # resolved; cpu only in tests, since nobody gains from several processes on one processor
    settings: TrainSettings
    objective: objectives.Objective
    rate: float
    encoded: list[encoding.EncodedExample]
    curve: Path
    checkpoints: Path | None  # held by the process that started this one
    folder: Path  # where they meet, and where the first one writes the trained numbers
    threads: int  # of each, on a processor


@dataclass(frozen=True)
class Relay:
    """A reporter in the process that started this one, which sends something back when the training is to stop."""

    connection: Connection

    def progress(self, update: Progress) -> None:
        """See `Reporter`."""
        self.connection.send(update)

    def log(self, line: str) -> None:
        """See `Reporter`."""
        self.connection.send(line)

    def check(self) -> None:
        """See `Reporter`."""
        if self.connection.poll():
            raise Stopped("Stopped on request.")


def take_part(rank: int, connection: Connection, work: Work) -> None:
    """All that one process does; it ends with status 0 also when the training was stopped on request.

    Sends `Progress` and lines for the log (the first process), and an exception before it fails.
    """
    threading.Thread(target=end_with_parent, daemon=True).start()
    os.dup2(2, 1)  # standard output belongs to the command line's JSON
    try:
        with trainer.memory_errors(work.settings):
            _meet(rank, work)
            _train(rank, connection, work)
            distributed.destroy_process_group()
    except Stopped:
        return
    except Exception as error:
        connection.send(error if isinstance(error, SftqaError) else RuntimeError(str(error) or type(error).__name__))
        raise


def end_with_parent() -> None:
    """Wait for the end of the process that started this one, which may be killed, and end as well."""
    if parent := parent_process():
        parent.join()
    os._exit(1)


def _meet(rank: int, work: Work) -> None:
    """Find the others through a file: a port could be taken by somebody else."""
    count, backend = work.settings.gpus, "gloo"
    about = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    os.environ.update({name: str(value) for name, value in about.items()})
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29500")  # looked at, though they meet in a file
    if work.settings.sharding == "fsdp":
        os.environ["ACCELERATE_USE_FSDP"] = "true"
    if work.device == "cpu":
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
        torch.set_num_threads(work.threads)
    else:
        torch.cuda.set_device(rank)
        backend = "cuda:nccl,cpu:gloo"
    where = f"file://{(work.folder / 'meeting').absolute()}"
    distributed.init_process_group(backend, init_method=where, rank=rank, world_size=count)


def _train(rank: int, connection: Connection, work: Work) -> None:
    settings, sharded = work.settings, work.settings.sharding == "fsdp"
    # under FSDP the whole model is in main memory first: it may fit no GPU
    loaded = replace(loading.load_model(work.card, "cpu" if sharded else work.device), device=work.device)
    set_seed(settings.seed)  # before the adapter's random start
    model = adapters.trainable(loaded.model, settings, work.objective, copied=False)
    reporter: Reporter = Relay(connection) if rank == 0 else Silent()
    unfinished = Unfinished(work.checkpoints) if work.checkpoints else None
    keeper = Keeper(unfinished, reporter, adapters.trained_parameters(model))
    phase = Phase(reporter, "train", optimizers.training_steps(len(work.encoded), settings.batch_size, settings.epochs), "steps")
    callbacks = [watching.CurveWriter(work.curve, phase, work.rate)] if rank == 0 else []
    training = trainer.Training(loaded, work.encoded, settings, work.objective, work.rate)
    more = together_arguments(model, settings)
    made = trainer.make_trainer(model, training, work.checkpoints or work.folder, SharedTrainer, **more)
    trainer.run_trainer(made, [*callbacks, Together(keeper, rank)], keeper)
    state = {name: _whole(p) for name, p in model.named_parameters() if p.requires_grad}
    if rank == 0:
        save_file(state, work.folder / TUNED)
    distributed.barrier()


def _whole(parameter: torch.Tensor) -> torch.Tensor:
    """All of a parameter, on the processor; its parts are fetched from all processes, so that each of them must ask."""
    value = parameter.detach()
    value = value.full_tensor() if isinstance(value, DTensor) else value
    return value.cpu().contiguous().clone()


def together_arguments(model: Any, settings: TrainSettings) -> dict[str, Any]:
    """What transformers' TrainingArguments must say beside what one process says."""
    if settings.sharding == "ddp":
        return {"ddp_find_unused_parameters": False}
    layers = sorted(model._no_split_modules) if settings.method == "full" else sorted(model.get_base_model()._no_split_modules)
    return {"fsdp": True, "fsdp_config": {"version": 2, "transformer_layer_cls_to_wrap": layers}}


@dataclass(frozen=True)
class Share:
    """A collator of one process's part of each batch; `together` neighbours stay together."""

    collate: Any
    rank: int
    of: int
    together: int = 1

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        size = -(-len(examples) // (self.of * self.together)) * self.together
        mine = examples[self.rank * size : (self.rank + 1) * size]
        # a last batch smaller than the number of processes: one without a share reads examples and learns nothing from them
        return self.collate(mine or [{**some, "labels": [encoding.IGNORED] * len(some["labels"])} for some in examples[: self.together]])


class SharedTrainer(trainer.ObjectiveTrainer):
    """The optimizer is handed in as for one process; FSDP exchanges its parameters for parts of them."""

    def __init__(self, *, training: trainer.Training, optimizers: tuple[Any, Any], data_collator: Any, **more: Any):
        share = Share(data_collator, distributed.get_rank(), distributed.get_world_size(), training.objective.together)
        super().__init__(training=training, data_collator=share, **more)
        self._own = optimizers

    def create_optimizer(self, model: Any = None) -> Any:
        """See `Trainer`."""
        self.optimizer = self._own[0]
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """See `Trainer`."""
        self.lr_scheduler = self._own[1]
        return self.lr_scheduler

    def get_train_dataloader(self) -> DataLoader:
        """The one that a single process has."""
        sampler = self._get_train_sampler()
        loader = DataLoader(self.train_dataset, self._train_batch_size, sampler=sampler, collate_fn=self.data_collator)
        seed = self.args.data_seed
        return prepare_data_loader(loader, num_processes=1, process_index=0, put_on_device=False, use_seedable_sampler=True, data_seed=seed)


@dataclass
class Together(TrainerCallback):
    """The first process decides when to write a checkpoint and when to stop, and the others do the same in the same step."""

    keeper: Keeper
    rank: int

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Called in all processes when a step is in the curve."""
        if "loss" not in (logs or {}):
            return
        if self.rank == 0:
            self.keeper.on_log(args, state, control, logs)
        decided = torch.tensor([self.keeper.stopped is not None, control.should_save], dtype=torch.int64)
        distributed.broadcast(decided, 0)
        stop, control.should_save = (bool(value) for value in decided.tolist())
        if stop and self.keeper.stopped is None:
            self.keeper.stopped, control.should_training_stop = Stopped("Stopped with the first process."), True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called in all processes when their files of a checkpoint are written."""
        distributed.barrier()
        if self.rank == 0:
            self.keeper.on_save(args, state, control)
