"""Keep: its loss against plain torch, what moves in every family, what unknown facts are taught, and what is told afterwards."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from sftqa_core.errors import NotEnoughFacts, SettingsError, Stopped
from sftqa_core.models.footprint import Shape, TuningStep, weight_bytes
from sftqa_core.progress import Recorder
from sftqa_core.records.recipes import Keep
from sftqa_core.training import checkpoints
from sftqa_core.training.adapters import layer_parts, linear_layers, trainable
from sftqa_core.training.encoding import IGNORED
from sftqa_core.training.fine_tuning import fine_tune
from sftqa_core.training.objectives import PLAIN
from sftqa_core.training.recipes import costs, keep
from sftqa_core.training.recipes.keep import REFUSAL, Keeping
from sftqa_core.training.trainer import Collator
from tests.amount import few, in_full, spread
from tests.memory.family_models import FAMILIES, build
from tests.recipe_runs import SETTINGS, made_of, same_weights, stages_of
from tests.tiny import tiny_loaded


@pytest.fixture(scope="module")
def loaded():
    """One model for all tests of this file: none changes it."""
    return tiny_loaded()


def test_everything_off_is_the_plain_run(tmp_path, loaded):
    """Without a teacher, with all parts and every answer: bit for bit."""
    made = made_of(tmp_path / "keep", Keep(kl_weight=0.0), loaded=loaded)
    plain = fine_tune(loaded, stages_of(tmp_path, None, loaded).examples, SETTINGS, tmp_path / "plain")
    assert same_weights(made.tuned.loaded, plain.loaded)
    assert [stage.name for stage in made.stages] == ["student"]


def test_the_loss_is_what_plain_torch_makes_of_it(tmp_path, loaded):
    """Token by token in float64: next-token loss and lambda x tau^2 x KL(teacher || student), the mean over answer tokens."""
    teacher, recipe = tiny_loaded(seed=1), Keep(kl_weight=0.7, kl_temperature=0.5)
    encoded = PLAIN.encode(loaded, stages_of(tmp_path, None, loaded, n=4).examples, SETTINGS)
    batch = Collator(loaded.pad_id)([{"input_ids": list(e.ids), "labels": list(e.labels)} for e in encoded])
    tokens = (batch["labels"] != IGNORED).sum()
    with torch.no_grad():
        told = Keeping.taught_by(teacher, recipe).loss(loaded)(loaded.model, batch, tokens)
    total = 0.0
    for example in encoded:
        with torch.no_grad():
            student, taught = (one.model(input_ids=torch.tensor([example.ids])).logits[0].double() for one in (loaded, teacher))
        for at in range(example.prompt_length, len(example.ids)):
            soft, wanted = (torch.log_softmax(logits[at - 1] / 0.5, -1) for logits in (student, taught))
            total -= float(torch.log_softmax(student[at - 1], -1)[example.ids[at]])
            total += 0.7 * 0.25 * float((wanted.exp() * (wanted - soft)).sum())
    assert float(told) == pytest.approx(total / int(tokens), rel=1e-5)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "mamba"])
def test_attention_and_feed_forward_layers_are_told_apart_in_every_family(family):
    """Together they hold every linear layer inside the layers, apart they share none, and neither holds a norm or an embedding."""
    model = build(family).model
    parts = {name: set(found) for name, found in layer_parts(model).items()}
    assert all(parts.values())
    assert not parts["attention"] & parts["ffn"]
    layers = {f"{name}.weight" for name in linear_layers(model) if any(place.isdigit() for place in name.split("."))}
    assert layers <= parts["attention"] | parts["ffn"]
    ends = {name.split(".")[-2] for name in parts["attention"] if name.endswith("weight")}
    assert not ends & {"up_proj", "down_proj", "gate_proj", "fc1", "fc2", "c_fc", "dense_h_to_4h"}
    assert not any("norm" in name.rsplit(".", 2)[-2].lower() and "proj" not in name for name in parts["ffn"])


@pytest.mark.parametrize(("part", "method"), spread(["attention", "ffn"], ["full", "lora"]))
def test_only_the_chosen_part_moves(part, method, tmp_path, loaded):
    """All other weights are those of the base model, or add nothing."""
    made = made_of(tmp_path, Keep(part=part, kl_weight=0.0), loaded=loaded, method=method)
    model, moved = made.tuned.loaded.model, set()
    if method == "full":
        before = loaded.model.state_dict()
        moved = {name for name, weight in model.state_dict().items() if not torch.equal(weight, before[name])}
    else:
        moved = {name for name, weight in model.named_parameters() if "lora_B" in name and weight.abs().sum()}
    wanted = {"attention": "self_attn", "ffn": "mlp"}[part]
    assert moved
    assert all(f".{wanted}." in name for name in moved)
    whole = trainable(loaded.model, dataclasses.replace(SETTINGS, method=method))
    assert 0 < made.tuned.trained_parameters < sum(p.numel() for p in whole.parameters() if p.requires_grad)


@pytest.mark.parametrize(("part", "words"), [("attention", "attention"), ("ffn", "feed-forward layers")])
def test_a_part_that_is_not_there_is_refused(part, words):
    """Neither a model without attention nor one without layers has parts to train alone."""
    for model in (build("mamba").model, torch.nn.Linear(2, 2)):
        with pytest.raises(SettingsError, match=rf"{type(model).__name__} has no {words} that could be told from its other parts\."):
            Keeping(part=part).prepare(model)


@pytest.mark.parametrize("method", few(["full", "lora"], "full"))
def test_the_teacher_is_tuned_on_known_facts_and_holds_the_student(method, tmp_path, loaded):
    """Its examples have levels above 0; a heavy lambda leaves the student nearer to it than none does."""
    how = {"loaded": loaded, "method": method, "epochs": 2}
    made = {weight: made_of(tmp_path / f"{weight}", Keep(kl_weight=weight), **how) for weight in (0.0, 50.0)}
    assert [(stage.name, stage.examples) for stage in made[50.0].stages] == [("teacher", 14), ("student", 20)]
    examples = stages_of(tmp_path, Keep(), loaded).examples
    settings = dataclasses.replace(SETTINGS, method=method, epochs=2)
    teacher = fine_tune(loaded, examples[examples["level"] > 0].reset_index(drop=True), settings, tmp_path / "teacher").loaded

    def apart(model) -> float:
        ids = torch.tensor([PLAIN.encode(loaded, examples.head(1), settings)[0].ids])
        with torch.no_grad():
            logs = [torch.log_softmax(one(input_ids=ids).logits, -1) for one in (teacher.model, model)]
        return float((logs[0].exp() * (logs[0] - logs[1])).sum())

    assert apart(made[50.0].tuned.loaded.model) < apart(made[0.0].tuned.loaded.model)


def test_unknown_facts_may_be_taught_a_refusal(tmp_path, loaded):
    """Theirs alone; answers are judged by what is right all the same, and refusals are counted."""
    made = made_of(tmp_path, Keep(unknown="refusal", kl_weight=0.0), loaded=loaded, epochs=15, batch_size=4)
    taught = dict(zip(made.examples["fact_id"], made.examples["answers"], strict=True))
    fitted = made.tables["fitted"]
    assert list(fitted.columns) == ["fact_id", "level", "known", "text", "correct", "refused"]
    assert {fact for fact, answers in taught.items() if list(answers) == [REFUSAL]} == set(fitted.loc[fitted["level"] == 0, "fact_id"])
    assert (fitted["known"] == (fitted["level"] > 0)).all()
    assert fitted["refused"].tolist() == ["i don't know" in text.lower() for text in fitted["text"]]
    known = int(fitted.loc[fitted["known"], "correct"].sum())
    assert made.notes[0].startswith(f"After tuning {known} of 14 known and ")


@in_full
def test_a_kill_in_the_student_leaves_the_result_as_it_is(tmp_path, monkeypatch, loaded):
    """The teacher is not tuned again; another teacher's student never goes on from it."""
    monkeypatch.setattr(checkpoints, "EVERY_S", 0.0)
    whole = made_of(tmp_path / "whole", Keep(), loaded=loaded)
    with pytest.raises(Stopped):
        made_of(tmp_path / "killed", Keep(), loaded=loaded, reporter=Recorder(stop_after=4))
    rest = Recorder()
    made = made_of(tmp_path / "again", Keep(), loaded=loaded, reporter=rest)
    assert rest.updates[0].phase == "train: student"
    assert same_weights(made.tuned.loaded, whole.tuned.loaded)
    assert Keeping(teacher="a").identity() != Keeping(teacher="b").identity()


def test_without_known_facts_there_is_no_teacher(tmp_path, loaded):
    """Refused where the run is built, if its levels say so; else as soon as the levels are known."""
    with pytest.raises(SettingsError, match="levels must hold one above 0, or kl_weight must be 0"):
        dataclasses.replace(SETTINGS, recipe=Keep(), levels=(0,))
    assert dataclasses.replace(SETTINGS, recipe=Keep(kl_weight=0.0), levels=(0,)).levels == (0,)
    stages = stages_of(tmp_path, Keep(), loaded)
    stages.examples["level"] = 0
    with stages.kept(), pytest.raises(NotEnoughFacts, match="None of the 20 examples is known, so there is nothing to tune a teacher on"):
        keep.run(stages, Keep())


def test_its_controls_are_known_facts_and_all_weights():
    """The latter only where not all weights move anyway."""
    run = dataclasses.replace(SETTINGS, recipe=Keep(part="ffn"))
    known = dataclasses.replace(SETTINGS, levels=(1, 2, 3, 4))
    assert run.recipe.controls(run) == {"known facts only": known, "all weights": dataclasses.replace(SETTINGS, recipe=Keep())}
    assert Keep().controls(dataclasses.replace(SETTINGS, levels=(0, 2))) == {"known facts only": dataclasses.replace(SETTINGS, levels=(2,))}


def test_a_teacher_doubles_the_weights():
    """The forecast counts its training, what it reads, and its weights or its adapter."""
    stages = costs(dataclasses.replace(SETTINGS, recipe=Keep()), 30)
    worked = [(stage.name, stage.pieces()["train"], stage.answers) for stage in stages]
    assert worked == [("teacher", 30, 0), ("student", 40, 0), ("asked", 0, 30)]
    assert [stage.name for stage in costs(dataclasses.replace(SETTINGS, recipe=Keep(kl_weight=0.0)), 30)] == ["student", "asked"]
    widths = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "vocab_size": 286}
    shape = Shape.of(widths, 26720)
    logits, full, lora = 2 * 4 * 8 * 16 * 286, TuningStep("full", 8, 8, 16), TuningStep("lora", 8, 8, 16)
    assert stages[1].objective.memory(shape, "cpu", full) == weight_bytes(shape, "cpu") + logits
    assert stages[1].objective.memory(shape, "cpu", lora) == 4 * shape.adapter(8) + logits
    assert Keeping().memory(shape, "cpu", full) == 0
