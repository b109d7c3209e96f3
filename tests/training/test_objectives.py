"""An objective of one's own goes the whole way: its columns, order, teacher and loss, however the work is divided or cut off."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from sftqa_core.errors import SettingsError, Stopped
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.footprint import Shape, TuningStep
from sftqa_core.models.footprint import weight_bytes as weights_of
from sftqa_core.models.loading import load_model
from sftqa_core.training import checkpoints as unfinished
from sftqa_core.training import distributed as several
from sftqa_core.training.checkpoints import Unfinished
from sftqa_core.training.encoding import IGNORED
from sftqa_core.training.fine_tuning import fine_tune
from sftqa_core.training.objectives import PLAIN, Objective, objective_of
from sftqa_core.training.trainer import Collator, Training, encode_examples, make_trainer
from tests.tiny import tiny_loaded
from tests.training.test_steps import UNEVEN, losses, weights
from tests.training.test_trainer import SETTINGS, Recorder

SOME = UNEVEN.head(18)  # batches of 8, 8 and 2, which two processes can't share: pairs stay together
SGD = dataclasses.replace(SETTINGS, epochs=2, optimizer="sgd", learning_rate=1e-1, save_model=False)


@dataclasses.dataclass(frozen=True)
class Taught(Objective):
    """Later tokens weigh more, and a teacher's opinion counts; examples are read in pairs, and the embeddings stay as they are."""

    name: ClassVar[str] = "taught"
    columns: ClassVar = {"weights": 0.0, "place": -1}
    together: ClassVar[int] = 2
    strength: float = 0.5
    teacher_seed: int = 1

    def encode(self, loaded: Any, examples: Any, settings: Any) -> Any:
        """Weights grow along an example; the place is its row."""
        encoded = super().encode(loaded, examples, settings)
        rows = [{"weights": [1 + at / 10 for at in range(len(e.ids))], "place": row} for row, e in enumerate(encoded)]
        return [dataclasses.replace(e, columns=columns) for e, columns in zip(encoded, rows, strict=True)]

    def order(self, encoded: Any, settings: Any, epoch: int) -> Sequence[int]:
        """Pairs of neighbours, in another order each epoch."""
        pairs = list(range(0, len(encoded), 2))
        random.Random(f"{settings.seed} {epoch}").shuffle(pairs)
        return [place for first in pairs for place in (first, first + 1)]

    def prepare(self, model: Any) -> None:
        """Leave the embeddings as they are."""
        model.get_input_embeddings().requires_grad_(False)

    def loss(self, loaded: Any) -> Any:
        """Weighted cross-entropy + strength x KL(teacher, model), a mean over the answer tokens of the whole batch."""
        teacher = tiny_loaded(seed=self.teacher_seed).model

        def taught(model: Any, batch: dict[str, torch.Tensor], answer_tokens: torch.Tensor) -> torch.Tensor:
            places = batch["place"].tolist()
            assert all(second == first + 1 for first, second in zip(places[::2], places[1::2], strict=True)), "pairs are whole"
            read = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
            with torch.no_grad():
                wanted = teacher(**read).logits[:, :-1]
            logits, labels = model(**read).logits[:, :-1], batch["labels"][:, 1:]
            taken = labels != IGNORED
            own = cross_entropy(logits[taken], labels[taken], reduction="none") * batch["weights"][:, 1:][taken]
            drift = kl_div(log_softmax(logits[taken], -1), log_softmax(wanted[taken], -1), reduction="sum", log_target=True)
            return (own.sum() + self.strength * drift) / answer_tokens

        return taught

    def memory(self, shape: Shape, device: str, step: TuningStep) -> int:
        """The teacher's weights, and its logits."""
        return weights_of(shape, device) + 4 * step.examples * step.length * shape.vocabulary


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """A model on the disk, from where every process reads it."""
    folder, tiny, threads = tmp_path_factory.mktemp("model"), tiny_loaded(), torch.get_num_threads()
    tiny.model.save_pretrained(folder)
    tiny.tokenizer.save_pretrained(folder)
    torch.set_num_threads(1)
    yield load_model(find_model(str(folder)), "cpu")
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def whole(loaded, tmp_path_factory):
    """One process and whole batches: the result, its losses, its folder."""
    recorder, folder = Recorder(), tmp_path_factory.mktemp("whole")
    return fine_tune(loaded, SOME, SGD, folder, recorder, objective=Taught()), losses(recorder), folder


def test_the_loss_is_the_objectives(loaded, tmp_path):
    """The first step's equals weighted cross-entropy and KL computed token by token in float64."""
    settings, teacher = dataclasses.replace(SGD, epochs=1), tiny_loaded(seed=1).model
    result = fine_tune(loaded, SOME.head(4), settings, tmp_path, objective=Taught())
    total, tokens = 0.0, 0
    for example in PLAIN.encode(loaded, SOME.head(4), settings):
        read = torch.tensor([example.ids])
        with torch.no_grad():
            own, wanted = (log_softmax(model(input_ids=read).logits[0].double(), -1) for model in (loaded.model, teacher))
        for at in range(example.prompt_length, len(example.ids)):
            drift = float((wanted[at - 1].exp() * (wanted[at - 1] - own[at - 1])).sum())
            total, tokens = total - (1 + at / 10) * float(own[at - 1, example.ids[at]]) + 0.5 * drift, tokens + 1
    assert result.final_loss == pytest.approx(total / tokens, rel=1e-5)
    assert result.loaded.fingerprint != fine_tune(loaded, SOME.head(4), settings, tmp_path).loaded.fingerprint


def test_what_stays_as_it_is_stays(loaded, whole):
    """`prepare` decides what moves."""
    result, _, _ = whole
    own = loaded.model.get_input_embeddings().weight
    assert torch.equal(result.loaded.model.get_input_embeddings().weight, own)
    assert result.trained_parameters == sum(p.numel() for p in loaded.model.parameters()) - own.numel()
    assert own.requires_grad


@pytest.mark.parametrize("change", [{"micro_batch": 2}, {"gpus": 2}, {"micro_batch": 4, "gradient_checkpointing": True}], ids=str)
def test_a_divided_batch_gives_what_the_whole_one_gives(change, loaded, whole, tmp_path, monkeypatch):
    """Micro-batches and two processes: columns, pairs and weights arrive, and losses and weights are the same to rounding."""
    monkeypatch.setattr(several, "_START", "forkserver")
    result, curve, _ = whole
    recorder = Recorder()
    parts = fine_tune(loaded, SOME, dataclasses.replace(SGD, **change), tmp_path, recorder, objective=Taught())
    assert losses(recorder) == pytest.approx(curve, rel=1e-5)
    torch.testing.assert_close(weights(parts), weights(result), rtol=0, atol=2e-6)
    assert (parts.steps, parts.examples_seen, parts.trained_parameters) == (6, 36, result.trained_parameters)


@pytest.mark.parametrize("cut", [1, 4])
def test_it_goes_on_from_its_own_checkpoint(cut, loaded, whole, tmp_path, monkeypatch):
    """Stopped in either epoch: the same weights and curve, bit by bit; plain fine-tuning, or other fields, never go on from it."""
    monkeypatch.setattr(unfinished, "EVERY_S", 0.0)
    result, _, folder = whole
    with pytest.raises(Stopped):
        fine_tune(loaded, SOME, SGD, tmp_path, Recorder(stop_after=cut), objective=Taught())
    other = Recorder()
    fine_tune(loaded, SOME, SGD, tmp_path / "other", other, objective=Taught(strength=0.25)).settle()
    assert other.updates[0].done == 1
    rest = Recorder()
    again = fine_tune(loaded, SOME, SGD, tmp_path, rest, objective=Taught())
    assert [update.done for update in rest.updates] == list(range(cut + 1, 7))
    assert again.loaded.fingerprint == result.loaded.fingerprint
    assert (tmp_path / "curve.jsonl").read_text() == (folder / "curve.jsonl").read_text()
    again.settle()


def test_an_objective_is_part_of_the_key_unless_it_is_plain(loaded):
    """Its fields and its examples' columns too."""

    def key(objective, encoded):
        with Unfinished.of(loaded, encoded, SGD, 1e-3, objective) as kept:
            return kept.folder.name

    plain, taught = (encode_examples(loaded, SOME, SGD, objective) for objective in (PLAIN, Taught()))
    with Unfinished.of(loaded, plain, SGD, 1e-3) as unnamed:
        name = unnamed.folder.name
    assert name == key(PLAIN, plain) == key(Objective(), plain)
    assert len({key(PLAIN, plain), key(Taught(), plain), key(Taught(), taught), key(Taught(teacher_seed=2), taught)}) == 4
    assert (PLAIN.identity(), Taught().identity()) == (None, {"name": "taught", "strength": 0.5, "teacher_seed": 1})
    assert objective_of(SETTINGS) is PLAIN


def test_columns_are_padded_as_they_say():
    """Numbers become a vector, sequences a matrix of their own width; whole numbers stay whole."""
    columns = {"weight": 0.0, "place": -1, "partner": 9}
    rows = [
        {"input_ids": [1, 2, 3], "labels": [IGNORED, 2, 3], "weight": [1, 1, 2], "place": 4, "partner": [5]},
        {"input_ids": [1, 2], "labels": [IGNORED, 2], "weight": [0.5, 1], "place": 6, "partner": [7, 8, 8, 8]},
    ]
    batch = Collator(0, columns)(rows)
    assert {name: (value.dtype, value.tolist()) for name, value in batch.items()} == {
        "input_ids": (torch.int64, [[1, 2, 3], [1, 2, 0]]),
        "attention_mask": (torch.int64, [[1, 1, 1], [1, 1, 0]]),
        "labels": (torch.int64, [[IGNORED, 2, 3], [IGNORED, 2, IGNORED]]),
        "weight": (torch.float32, [[1.0, 1.0, 2.0], [0.5, 1.0, 0.0]]),
        "place": (torch.int64, [4, 6]),
        "partner": (torch.int64, [[5, 9, 9, 9], [7, 8, 8, 8]]),
    }
    assert list(Collator(0)(rows)) == ["input_ids", "attention_mask", "labels"]


def test_what_belongs_together_is_not_parted(loaded, tmp_path):
    """A micro-batch of one can hold no pair."""
    training = Training(loaded, encode_examples(loaded, SOME, SGD, Taught()), dataclasses.replace(SGD, micro_batch=1), Taught(), 1e-3)
    with pytest.raises(SettingsError, match="taught reads 2 examples together: 1 at once is no multiple of that"):
        make_trainer(loaded.model, training, tmp_path)
