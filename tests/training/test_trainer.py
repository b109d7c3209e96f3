"""Fine-tuning with transformers' Trainer and peft, on a model of 30,000 parameters."""

import dataclasses
import gc
import json
import math
import warnings

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from sftqa_core.errors import SettingsError, Stopped
from sftqa_core.progress import Silent
from sftqa_core.records import TrainSettings
from sftqa_core.training import fine_tuning
from sftqa_core.training.adapters import state_sha256
from sftqa_core.training.encoding import IGNORED, encode_example
from sftqa_core.training.fine_tuning import fine_tune, quick_collections
from sftqa_core.training.objectives import PLAIN
from sftqa_core.training.optimizers import learning_rate_factor
from sftqa_core.training.trainer import Training, make_trainer
from tests.small import small_source
from tests.tiny import tiny_loaded

SETTINGS = TrainSettings(model="tiny", source="small", n=20, learning_rate=1e-2)
EXAMPLES = small_source(train=20).facts.query("split == 'train' and relation == 'P17'").reset_index(drop=True)
METHODS = ("full", "lora")


def with_(**changes):
    return dataclasses.replace(SETTINGS, **changes)


class Recorder(Silent):
    """Keeps what is reported; asks to stop after so many reports."""

    def __init__(self, stop_after=None):
        self.updates, self.stop_after = [], stop_after

    def progress(self, update):
        self.updates.append(update)

    def check(self):
        if self.stop_after is not None and len(self.updates) >= self.stop_after:
            raise Stopped("Stopped by the person.")


@pytest.fixture(scope="module")
def loaded():
    return tiny_loaded()


@pytest.fixture(scope="module", params=METHODS)
def tuned(request, loaded, tmp_path_factory):
    """(method, result, folder, reports, base hash before)"""
    folder, reporter = tmp_path_factory.mktemp(request.param), Recorder()
    before = state_sha256(loaded.model.state_dict())
    result = fine_tune(loaded, EXAMPLES, with_(method=request.param), folder, reporter)
    return request.param, result, folder, reporter.updates, before


def test_training_lowers_the_loss_and_counts_what_it_did(tuned):
    """20 examples are 3 steps; the result says so and the loss has fallen."""
    method, result, folder, _, _ = tuned
    curve = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
    assert result.steps == len(curve) == 3
    assert result.examples_seen == 20
    assert curve[-1]["loss"] < curve[0]["loss"]
    assert result.final_loss == curve[-1]["loss"]
    assert [row["step"] for row in curve] == [1, 2, 3]
    assert [row["learning_rate"] for row in curve] == pytest.approx([1e-2 * learning_rate_factor(step, 3) for step in range(3)])
    assert result.trained_parameters == (7936 if method == "lora" else sum(p.numel() for p in result.loaded.model.parameters()))


def test_progress_is_told_step_by_step(tuned):
    """Each step is reported with its loss; the last one is the total."""
    updates = tuned[3]
    assert [(u.phase, u.done, u.total, u.unit) for u in updates] == [("train", step, 3, "steps") for step in (1, 2, 3)]
    assert set(updates[-1].values) == {"loss", "learning_rate"}


def test_the_base_model_stays_as_it_was(tuned, loaded):
    """Neither weights, configuration nor gradient flags of the loaded model change; the tuned one differs from it."""
    _, result, _, _, before = tuned
    assert state_sha256(loaded.model.state_dict()) == before
    assert all(p.requires_grad and p.grad is None for p in loaded.model.parameters())
    assert loaded.model.config.use_cache
    assert not any("lora" in name for name, _ in loaded.model.named_modules())
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        assert not torch.equal(result.loaded.model(input_ids=ids).logits, loaded.model(input_ids=ids).logits)
    assert result.loaded.fingerprint != loaded.fingerprint
    assert not result.loaded.model.training


def test_what_is_saved_loads_with_plain_libraries(tuned, loaded):
    """transformers (or peft on the base model) read the folder and give the same logits; the tokenizer lies beside it."""
    method, result, folder, _, _ = tuned
    if method == "full":
        again = AutoModelForCausalLM.from_pretrained(folder / "model")
        assert again.generation_config.eos_token_id == [loaded.end_ids[0]]
        assert again.config.use_cache
    else:
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")  # peft's own
        again = PeftModel.from_pretrained(tiny_loaded().model, folder / "model")
        assert json.loads((folder / "model" / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny"
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        assert torch.equal(again(input_ids=ids).logits, result.loaded.model(input_ids=ids).logits)
    assert AutoTokenizer.from_pretrained(folder / "model").eos_token == "<|end|>"
    assert {path.name for path in folder.iterdir()} == {"curve.jsonl", "model"}


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_weights(method, loaded, tmp_path):
    """Two runs of one seed are identical bit by bit, whatever random numbers were drawn between; another seed differs."""
    settings = with_(method=method, save_model=False)
    prints = []
    for number, seed in enumerate((3, 3, 4)):
        torch.rand(number + 1)
        prints.append(
            fine_tune(loaded, EXAMPLES.head(9), dataclasses.replace(settings, seed=seed), tmp_path / str(number)).loaded.fingerprint
        )
    assert prints[0] == prints[1] != prints[2]
    assert not (tmp_path / "0" / "model").exists()


@pytest.mark.parametrize("method", METHODS)
def test_half_precision_models_are_trained_in_full_precision(method, tmp_path):
    """A bfloat16 base learns at a rate below its own spacing, comes back in bfloat16, and stays as it was."""
    half = tiny_loaded()
    half.model.to(torch.bfloat16)
    before = state_sha256(half.model.state_dict())
    result = fine_tune(half, EXAMPLES, with_(method=method, learning_rate=1e-4, epochs=4), tmp_path)
    assert result.loaded.model.dtype == torch.bfloat16
    assert state_sha256(half.model.state_dict()) == before
    curve = [json.loads(line)["loss"] for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert len(set(curve)) == len(curve) == 12
    assert min(curve[-3:]) < curve[0]
    trained = [p for name, p in result.loaded.model.named_parameters() if "lora" in name]
    assert all(p.dtype == torch.float32 for p in trained)


def test_the_end_token_is_in_the_loss_even_where_pad_is_eos(loaded, tmp_path):
    """In the very batches that the Trainer feeds, each row's labels are answer and end token, and padding is ignored."""
    assert loaded.pad_id == loaded.end_ids[0]
    encoded = [encode_example(loaded, "Q" * (1 + i % 3), "Paris" * (1 + i % 2), SETTINGS.prompt) for i in range(10)]
    trainer = make_trainer(loaded.model, Training(loaded, encoded, SETTINGS, PLAIN, 1e-3), tmp_path)
    seen = []
    for batch in trainer.get_train_dataloader():
        for ids, labels, mask in zip(batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True):
            length = int(mask.sum())
            assert int(labels[length - 1]) == int(ids[length - 1]) == loaded.end_ids[0]
            assert (labels[length:] == IGNORED).all()
            seen.append((tuple(ids[:length].tolist()), tuple(labels[:length].tolist())))
    assert sorted(seen) == sorted((example.ids, example.labels) for example in encoded)


def test_the_loss_is_the_mean_over_answer_and_end_tokens(loaded, tmp_path):
    """The first step's loss equals a cross-entropy computed by hand on those tokens alone."""
    examples = EXAMPLES.head(5)
    encoded = [encode_example(loaded, q, a[0], SETTINGS.prompt) for q, a in zip(examples["question"], examples["answers"], strict=True)]
    losses = []
    for example in encoded:
        with torch.no_grad():
            logits = loaded.model(input_ids=torch.tensor([example.ids])).logits[0]
        logs = torch.log_softmax(logits, -1)
        losses += [-float(logs[i - 1, example.ids[i]]) for i in range(example.prompt_length, len(example.ids))]
    result = fine_tune(loaded, examples, with_(save_model=False), tmp_path)
    assert result.steps == 1
    assert result.final_loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_a_run_stops_when_asked_and_keeps_its_curve(loaded, tmp_path):
    """Stopped after the first step: the error passes through, one line is kept and nothing is saved."""
    with pytest.raises(Stopped):
        fine_tune(loaded, EXAMPLES, SETTINGS, tmp_path, Recorder(stop_after=1))
    assert len((tmp_path / "curve.jsonl").read_text().splitlines()) == 1
    assert not (tmp_path / "model").exists()


def test_a_loss_that_is_no_number_says_what_to_change(tmp_path):
    """A diverged run ends with the learning rate in the message and no NaN in the curve."""
    broken = tiny_loaded()
    with torch.no_grad():
        broken.model.model.norm.weight.fill_(math.nan)
    with pytest.raises(SettingsError) as error:
        fine_tune(broken, EXAMPLES, SETTINGS, tmp_path)
    assert str(error.value) == "The loss became nan in step 1 with a peak learning rate of 0.01. Lower the learning rate."
    assert (tmp_path / "curve.jsonl").read_text() == ""


def test_no_examples_mean_the_base_model(loaded, tmp_path):
    """n = 0 trains nothing: the base model comes back, the curve is empty, nothing is saved."""
    result = fine_tune(loaded, EXAMPLES.head(0), with_(n=0), tmp_path)
    assert result.loaded is loaded
    assert (result.steps, result.final_loss, result.trained_parameters) == (0, None, 0)
    assert (tmp_path / "curve.jsonl").read_text() == ""
    assert not (tmp_path / "model").exists()


def test_nothing_is_printed_and_the_default_rate_is_resolved(loaded, tmp_path, capsys):
    """Standard output belongs to the command line; an open learning rate becomes the one for the model's size."""
    result = fine_tune(loaded, EXAMPLES.head(2), with_(learning_rate=None, method="lora"), tmp_path)
    assert result.learning_rate == 3e-3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Writing" not in printed.err


def test_examples_too_long_are_told_before_the_first_step(loaded, tmp_path):
    """An example beyond the model's context window is quoted; one of exactly that length trains."""
    examples = EXAMPLES.head(3).assign(question=["Who?", "Why " * 300, "Where?"])
    with pytest.raises(
        SettingsError, match=r"1 of 3 training examples do not fit the model's context window of 256 tokens: 'Why Why .* shorten them"
    ):
        fine_tune(loaded, examples, with_(), tmp_path)
    assert (tmp_path / "curve.jsonl").read_text() == ""


def test_what_lives_before_a_training_is_left_out_of_its_collections_alone(monkeypatch):
    """Inside nothing that was there is walked through; afterwards everything is as it was, also where somebody had left it out before."""
    monkeypatch.setattr(fine_tuning, "_left_out", False)
    before = gc.get_freeze_count()
    gc.unfreeze()
    try:
        with quick_collections():
            assert gc.get_freeze_count() > 0
            with quick_collections():
                pass
            assert gc.get_freeze_count() > 0
        assert gc.get_freeze_count() == 0
        gc.freeze()
        with quick_collections():
            pass
        assert gc.get_freeze_count() > 0
    finally:
        if not before:
            gc.unfreeze()


def test_what_was_left_out_is_counted_once(monkeypatch):
    """That takes as long as a collection; whoever left it out is remembered."""
    counted = []
    monkeypatch.setattr(fine_tuning, "_left_out", False)
    monkeypatch.setattr(gc, "get_freeze_count", lambda: counted.append(1) or 1)
    for _ in range(3):
        with quick_collections():
            pass
    assert counted == [1]
