"""Heavy: one fine-tuning on several GPUs, each driven by a process of its own (process.py), watched over from here.

The processes are started anew, not forked: a process that has used CUDA can't be. When one of them fails, is killed or runs out of
memory, all of them end; what they wrote to the last checkpoint stays, as in a training by one process.
"""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.hooks import remove_hook_from_module
from safetensors.torch import load_file

from sftqa_core import errors
from sftqa_core.engine.drawing import empty_cache
from sftqa_core.errors import OutOfMemory, SftqaError, Stopped
from sftqa_core.models.devices import torch_device
from sftqa_core.models.spreading import layer_places, spread
from sftqa_core.processes import our_environment, start
from sftqa_core.progress import Progress, Reporter
from sftqa_core.training.adapters import trainable_copy
from sftqa_core.training.distributed.process import STOP, TOLD, TUNED, WORK, Work

if TYPE_CHECKING:
    from sftqa_core.models.loading import LoadedModel
    from sftqa_core.training.trainer import Training

_POLL_S = 0.05
_GRACE_S = 5.0  # for the others to say why they failed, once one has
_MODULE = "sftqa_core.training.distributed.process"


@dataclass(frozen=True)
class Group:
    """The processes of one training and the folder in which they and this process leave word for each other."""

    folder: Path
    processes: Sequence[subprocess.Popen[bytes]]

    @classmethod
    @contextmanager
    def of(cls, work: Work) -> Iterator[Group]:
        """Start them; whatever happens, none is left afterwards."""
        with tempfile.TemporaryDirectory(prefix="sftqa-several-") as scratch:
            folder, processes = Path(scratch), []
            (folder / WORK).write_text(json.dumps(work.to_dict()), encoding="utf-8")
            try:
                processes += [_start(folder, rank, work) for rank in range(work.settings.gpus)]
                yield cls(folder, processes)
            finally:
                for process in processes:
                    process.kill()
                    process.wait()
                    if process.stdin:
                        process.stdin.close()

    def finish(self, reporter: Reporter) -> None:
        """Wait until all are through, passing on what they tell, and to them the wish to stop. Raises what one of them raised."""
        read, stopped, failed_s = 0, None, None
        while any(process.poll() is None for process in self.processes):
            read = self._pass_on(reporter, read)
            try:
                reporter.check()
            except Stopped as error:
                stopped = error
                (self.folder / STOP).touch()
            if any(process.poll() for process in self.processes):
                failed_s = failed_s or time.monotonic()
                if time.monotonic() - failed_s > _GRACE_S or list(self.folder.glob("failed-*.json")):
                    break
            time.sleep(_POLL_S)
        self._pass_on(reporter, read)
        self._raise_failure()
        if stopped and not (self.folder / TUNED).exists():
            raise stopped

    def _pass_on(self, reporter: Reporter, read: int) -> int:
        """Whole lines from byte `read` on; returns where the next reading begins."""
        try:
            content = (self.folder / TOLD).read_bytes()[read:]
        except FileNotFoundError:
            return read
        whole = content[: content.rfind(b"\n") + 1]
        for line in whole.splitlines():
            told = json.loads(line)
            if "log" in told:
                reporter.log(told["log"])
            else:
                reporter.progress(Progress.from_dict(told["progress"]))
        return read + len(whole)

    def _raise_failure(self) -> None:
        """The first cause: where one dies, the others fail because it no longer answers them."""
        told = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(self.folder.glob("failed-*.json"))]
        for known in (failure for failure in told if failure["kind"]):
            raise getattr(errors, known["kind"], SftqaError)(known["text"])
        codes = [process.poll() for process in self.processes]
        killed = next((-code for code in codes if code is not None and code < 0), None)
        if killed == signal.SIGKILL:
            raise OutOfMemory(
                f"One of the training's {len(codes)} processes was killed, most likely because the machine's memory ran out. "
                "Use a smaller batch size or model, or train with LoRA."
            )
        if killed or any(codes):
            what = f"by signal {killed}" if killed else f"with status {next(code for code in codes if code)}"
            why = f" ({told[0]['text']})" if told and not killed else ""
            raise SftqaError(f"One of the training's {len(codes)} processes ended {what}{why}. Its log says more; start it again to go on.")


def train_together(training: Training) -> Any:
    """The tuned model, on the devices of the base model, after `settings.gpus` processes trained it. Raises as `fine_tune` does."""
    loaded, settings, curve = training.loaded, training.settings, training.curve
    examples = tuple(asdict(example) for example in training.encoded)
    place = None
    if training.unfinished:
        training.unfinished.newest()  # for the seconds that were spent before
        place = str(training.unfinished.folder)
    work = Work(loaded.card, loaded.device, settings, training.rate, examples, str(curve.path.absolute()), place)
    with _waiting(loaded), Group.of(work) as group:
        group.finish(training.reporter)
        curve.read_again()
        model = trainable_copy(loaded.model, settings)
        found = model.load_state_dict(load_file(group.folder / TUNED), strict=False)
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        if found.unexpected_keys or trained & set(found.missing_keys):
            raise SftqaError("What the training's processes made does not fit the model. Train again.")
    return _placed_like(model, loaded)


def _placed_like(model: Any, loaded: LoadedModel) -> Any:
    """A model from main memory to where the base model is, in its number format where it is not LoRA's own float32."""
    if loaded.gpus == 1:
        return model.to(torch_device(loaded.device))
    return spread(model, layer_places(model, range(loaded.gpus)))


@contextmanager
def _waiting(loaded: LoadedModel) -> Iterator[None]:
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


def _start(folder: Path, rank: int, work: Work) -> subprocess.Popen[bytes]:
    count = work.settings.gpus
    about = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    own = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}  # looked at, though they meet in a file
    if work.device == "cpu":
        own |= {"OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // count)), "GLOO_SOCKET_IFNAME": "lo"}
    if work.settings.sharding == "fsdp":
        own["ACCELERATE_USE_FSDP"] = "true"
    environment = {**our_environment(), **own, **{name: str(value) for name, value in about.items()}}
    # standard output belongs to the command line's JSON, and standard input tells them when this process ends
    return start(_MODULE, [str(folder)], environment, stdin=subprocess.PIPE, stdout=2)
