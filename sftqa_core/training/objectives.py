"""What a model is tuned for: the seam that recipes sit on. Loads no torch itself, so that planning can ask for memory.

An objective says

- which columns an example has beside its token ids and labels: one number an example (an id), one a token (a weight), or ids of
  another length (an example to mix in). `encode` makes them and `columns` says how a batch pads them;
- in what order an epoch reads the examples (`order`), and how many neighbours must meet in one forward pass (`together`);
- which parameters move and where they start (`prepare`), and what is needed beside the model (`loss`: a teacher is loaded there);
- the loss of a part of a batch (`loss`), and the bytes that all this takes (`memory`).

It is a frozen record of a class in some module: several processes get it, and every example's columns, as they are. The key of a
training's checkpoints holds both, so what a field refers to (a teacher's weights) belongs in a field as a fingerprint. Plain
fine-tuning is in no key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sftqa_core.jsonrecord import Record
from sftqa_core.models.footprint import Shape, TuningStep
from sftqa_core.models.loading import LoadedModel
from sftqa_core.records import TrainSettings
from sftqa_core.training.encoding import EncodedExample, asking

if TYPE_CHECKING:
    import pandas as pd
    import torch

Loss = Callable[[Any, dict[str, "torch.Tensor"], "torch.Tensor"], "torch.Tensor"]


@dataclass(frozen=True)
class Objective(Record):
    """Plain fine-tuning (SFT), the loss being the model's own: cross-entropy of answer and end token. Others override what differs."""

    name: ClassVar[str] = "sft"  # in keys and logs
    columns: ClassVar[Mapping[str, int | float]] = {}  # name -> padding; its type is the column's: int64 or float32
    together: ClassVar[int] = 1  # neighbours in `order` that one forward pass must hold; a last batch may end within them

    def encode(self, loaded: LoadedModel, examples: pd.DataFrame, settings: TrainSettings) -> list[EncodedExample]:
        """What is trained on, one a row of `examples` (fact table rows; the first answer is taught), each with all `columns`."""
        asked = asking(loaded, settings.prompt)
        return [asked.example(question, answers[0]) for question, answers in zip(examples["question"], examples["answers"], strict=True)]

    def order(self, encoded: Sequence[EncodedExample], settings: TrainSettings, epoch: int) -> Sequence[int] | None:
        """Places of the examples as an epoch (counted from 0) reads them, each once; None: shuffled by the seed.

        Called in every process, and again after an interruption: it must not depend on anything but its arguments.
        """
        return None

    def prepare(self, model: Any) -> None:
        """Called on the model that will be trained, in every process: freeze parts of it, or give it weights to start from."""

    def loss(self, loaded: LoadedModel) -> Loss | None:
        """The loss as a function (model, batch, answer_tokens) -> scalar; None: the model's own. `loaded` is the base model.

        Called once a process. A batch has int64 tensors [examples, tokens] input_ids, attention_mask and labels, and `columns`; labels
        are encoding.IGNORED where nothing is learned. It may be part of a step's batch (micro-batches, several processes), and
        `answer_tokens` counts the labels of all of that: a sum over its own answer tokens divided by `answer_tokens` adds up to the
        same step however the batch was divided. A part without labels must give 0 and depend on the trained parameters all the same.
        """
        return None

    def memory(self, shape: Shape, device: str, step: TuningStep) -> int:
        """Bytes on each device at the peak beside those of plain fine-tuning (a teacher's weights and logits)."""
        return 0

    def identity(self) -> dict[str, Any] | None:
        """What tells its checkpoints from others'; None for plain fine-tuning."""
        return None if type(self) is Objective else {"name": self.name, **self.to_dict()}


def own_loss(model: Any, logits: torch.Tensor, labels: torch.Tensor, answer_tokens: torch.Tensor) -> torch.Tensor:
    """The model's own loss of logits [examples, tokens, vocabulary], as plain fine-tuning has it, for losses that add to it."""
    loss: torch.Tensor = model.loss_function(logits=logits, labels=labels, vocab_size=logits.shape[-1], num_items_in_batch=answer_tokens)
    return loss


PLAIN = Objective()


def objective_of(settings: TrainSettings) -> Objective:
    """The objective that a run's settings ask for by themselves; a recipe hands its own to `fine_tune`."""
    return PLAIN
