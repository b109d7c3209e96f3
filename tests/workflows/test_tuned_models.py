"""What a run kept is a model: it can be named, probed, tuned again and exported, under the model that it was tuned from."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace

import pytest

from sftqa_core import workflows
from sftqa_core.artifacts import MANIFEST, read_manifest
from sftqa_core.errors import ModelUnavailable, SettingsError
from sftqa_core.memory.profiles import open_for
from sftqa_core.models.catalogue import base_card, exposures, find_model, list_models, made_from, model_fingerprint, origin, words_of
from sftqa_core.planning.preflight_model import look_at
from sftqa_core.records import ProbeSettings, TrainSettings
from sftqa_core.training.runs import new_run_id
from tests.amount import FULL
from tests.four_bits import needs_bitsandbytes
from tests.workflows.test_training import SCHEME
from tests.workflows.test_training import settings as small


def settings(world, model: str = "tiny", **changes) -> TrainSettings:
    return replace(small(world, **changes), model=model)


def train(world, **changes):
    return workflows.run(workflows.train(settings(world, **{"save_model": True, "shots": 0, "learning_rate": 0.02, **changes})).run)


def asked(world, model: str, **changes):
    """What the model answers to the test facts, by a run without examples."""
    run = workflows.train(settings(world, **{"model": model, "n": 0, "shots": 0, "save_model": False, **changes})).run
    return workflows.run(run).predictions("before").set_index("fact_id")["text"]


def answers(run, stage):
    return run.predictions(stage).set_index("fact_id")["text"]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_kept_run_is_a_model(world, method):
    """It answers what its run recorded; its numbers have a key of their own, and its card says what it was tuned from."""
    run = train(world, method=method, epochs=3)
    card = find_model(f"run:{run.id}")
    assert (card.kind, card.path, card.available) == ("tuned", str(run.folder / "model"), True)
    assert card.parameters == find_model("tiny").parameters
    assert card.note == f"Tuned from tiny on 4 examples ({'LoRA' if method == 'lora' else 'all weights'}, seed 0)."
    assert asked(world, card.name).tolist() == answers(run, "after").tolist() != answers(run, "before").tolist()
    print_of = {name: model_fingerprint(find_model(name), "float32", "cpu") for name in ("tiny", card.name)}
    assert print_of["tiny"] != print_of[card.name]
    assert (print_of[card.name].weights == print_of["tiny"].weights) == (method == "lora") == bool(print_of[card.name].adapter)
    assert origin(card)["root"] == {"name": "tiny", "kind": "pretrained"}


def test_kept_runs_are_listed_under_their_base(world, workspace):
    """Newest first, behind the model with which the chain of runs begins; runs without weights and damaged ones are left out."""
    bare, full = train(world, save_model=False), train(world)
    again = train(world, model=f"run:{full.id}", method="lora")
    broken = train(world, seed=1)
    (broken.folder / MANIFEST).write_text("{")
    names = [card.name for card in list_models()]
    at = names.index("tiny")
    newest = sorted((full, again), key=lambda run: (run.manifest["created"], run.id), reverse=True)
    assert names[at : at + 3] == ["tiny", *(f"run:{run.id}" for run in newest)]
    assert not {f"run:{bare.id}", f"run:{broken.id}"} & set(names)
    with pytest.raises(ModelUnavailable, match=r"did not keep its weights, so it is no model. Train again with them kept: sftqa train"):
        find_model(f"run:{bare.id}")
    assert again.id.split("-", 2)[2].startswith("tiny-tuned-n4-lora-s0-")
    assert again.manifest["model"]["root"] == {"name": "tiny", "kind": "pretrained"}
    listed = {card.name: card for card in list_models()}[f"run:{again.id}"]
    assert (listed.parameters, listed.architecture) == (find_model("tiny").parameters, "lora adapter")


def test_a_run_that_is_gone_is_no_model(world, workspace):
    """The name says so, whoever asks; so does one that is no run's."""
    run = train(world)
    shutil.rmtree(run.folder)
    with pytest.raises(ModelUnavailable, match=rf"There is no run '{run.id}', so there is no model 'run:{run.id}'"):
        find_model(f"run:{run.id}")
    for name in ("run:", "run:../models/tiny", "run:.hidden", "run:" + "x" * 300):
        with pytest.raises(ModelUnavailable, match="There is no run"):
            find_model(name)


def test_it_has_read_what_its_base_read(world, workspace):
    """Questions that stood in the base's corpus are left out of tuning and testing; without the base that is unknown, and refused."""
    first = train(world, method="lora")
    second = train(world, model=f"run:{first.id}", method="full")
    base = open_for("tiny", world).facts
    for run in (first, second):
        card = find_model(f"run:{run.id}")
        assert exposures(card).equals(exposures(find_model("tiny")))
        assert open_for(card.name, world).facts.equals(base)
        assert made_from(card).name == "tiny"
    shutil.rmtree(workspace.models / "tiny")
    with pytest.raises(ModelUnavailable, match="was tuned from tiny, which is gone, so it is unknown which questions it has read"):
        exposures(find_model(f"run:{second.id}"))


def test_it_is_tuned_again(world, tmp_path):
    """A whole model by either method, an adapter with all weights; each answers what its run recorded."""
    lora, full = train(world, method="lora", epochs=2), train(world, epochs=2) if FULL else None
    ways = [(full, "lora"), (full, "full"), (lora, "full")]
    for base, method in ways if FULL else ways[-1:]:
        run = train(world, model=f"run:{base.id}", method=method, epochs=2)
        assert answers(run, "before").tolist() == answers(base, "after").tolist()
        assert asked(world, f"run:{run.id}").tolist() == answers(run, "after").tolist()
    workflows.export(run.id, tmp_path / "out")
    assert asked(world, str(tmp_path / "out"), test_limit=99).loc[answers(run, "after").index].tolist() == answers(run, "after").tolist()


def test_no_adapter_is_kept_on_an_adapter(world):
    """It could not be loaded; preflight says what the work says, with what to do. Not kept, it may be trained."""
    lora = train(world, method="lora")
    wanted = settings(world, model=f"run:{lora.id}", method="lora", save_model=True, shots=0)
    with pytest.raises(SettingsError) as refused:
        workflows.train(wanted)
    assert f"Merge it first (sftqa export {lora.id} --merge --out FOLDER) and tune that folder, choose method full" in str(refused.value)
    (found,) = look_at(wanted.model, wanted).checks
    assert (found.state, found.line) == ("problem", str(refused.value))
    assert workflows.train(replace(wanted, save_model=False)).n == 4
    merged = lora.folder.parent.parent / "merged"
    workflows.export(lora.id, merged, merge=True)
    assert workflows.train(replace(wanted, model=str(merged))).n == 4


def test_other_weights_under_the_adapters_base_are_refused(world, workspace):
    """Preflight and loading say the same, with the command that trains again."""
    run = train(world, method="lora")
    config = workspace.models / "tiny" / "config.json"
    config.write_text(config.read_text() + "\n")
    with pytest.raises(ModelUnavailable) as refused:
        asked(world, f"run:{run.id}")
    assert "tiny is not what it was trained on any more: its files have changed. Put those back, or train again: sftqa" in str(
        refused.value
    )
    assert look_at(f"run:{run.id}").checks[0].line == str(refused.value)


def test_a_base_that_moved_can_be_named(world, workspace, tmp_path):
    """The run's settings name a folder that is somewhere else now."""
    old, new = tmp_path / "old", tmp_path / "new"
    shutil.copytree(workspace.models / "tiny", old)
    run = train(world, model=str(old), method="lora", epochs=2)
    old.rename(new)
    with pytest.raises(ModelUnavailable, match=r"its base model is not at .*old.* \(as its run's settings name it\)"):
        base_card(find_model(f"run:{run.id}"))
    workflows.add_model(f"run:{run.id}", str(new))
    assert base_card(find_model(f"run:{run.id}")).path == str(new)
    assert asked(world, f"run:{run.id}").tolist() == answers(run, "after").tolist()
    with pytest.raises(SettingsError, match="is already listed: it was tuned here"):
        workflows.add_model(f"run:{run.id}")


def test_whole_weights_without_a_tokenizer_take_the_bases(world, workspace):
    """Its key is that of the same files in one folder."""
    run = train(world)
    name = f"run:{run.id}"
    before = model_fingerprint(find_model(name), "float32", "cpu")
    for path in (run.folder / "model").glob("*token*"):
        path.unlink()
    card = find_model(name)
    assert words_of(card, None) == workspace.models / "tiny"
    after = model_fingerprint(card, "float32", "cpu")
    assert asked(world, name).tolist() == answers(run, "after").tolist()
    for path in (workspace.models / "tiny").glob("*token*"):
        shutil.copy(path, run.folder / "model")
    assert model_fingerprint(find_model(name), "float32", "cpu") == after
    assert before.dtype == after.dtype


@needs_bitsandbytes
def test_an_adapter_of_4_bits_says_what_it_was_tuned_with(world):
    """In 4 bits it answers what its run recorded; on whole weights preflight says that answers differ."""
    run = train(world, method="lora", quantization="nf4", epochs=2)
    name = f"run:{run.id}"
    assert asked(world, name, quantization="nf4", method="lora").tolist() == answers(run, "after").tolist()
    said = [check.said for check in look_at(name, ProbeSettings(name, world)).checks if check.name == "quantisation"]
    assert said == [
        "It was tuned with base weights in 4 bits (nf4), and is used with them in the device's number format. Some answers differ."
    ]
    assert not [c for c in look_at(name, ProbeSettings(name, world, quantization="nf4")).checks if c.name == "quantisation"]


def test_it_is_probed_and_its_levels_are_its_own(world):
    """The probe's levels lie under the tuned weights; the base's stay as they were."""
    run = train(world, epochs=3)
    name = f"run:{run.id}"
    wanted = ProbeSettings("tiny", world, scheme=SCHEME, device="cpu", limit=8)
    workflows.probe(wanted)
    told = workflows.probe(replace(wanted, model=name))
    assert told.facts == 8
    assert told.facts_per_s is not None  # nothing was taken from the base
    both = [workflows.profile(model, world, "test", scheme=SCHEME).probed for model in ("tiny", name)]
    assert both == [8, 8]
    assert workflows.completions(name, world, workflows.profile(name, world, "test", scheme=SCHEME).table["fact_id"].iloc[0], SCHEME)[
        "seen"
    ].any()


def test_a_thousand_runs_are_listed_at_once(world, workspace):
    """Each manifest is read once; the files of the models are not read at all."""
    run = train(world)
    manifest = read_manifest(run.folder)
    for number in range(1_000):
        folder = workspace.runs / f"{number:04d}"
        folder.mkdir()
        (folder / MANIFEST).write_text(json.dumps({key: value for key, value in manifest.items() if key != "digest"}))
    began = time.monotonic()
    assert sum(card.kind == "tuned" for card in list_models()) == 1_001
    first, began = time.monotonic() - began, time.monotonic()
    assert len(workflows.offered_models("cpu").offers) > 1_001
    assert time.monotonic() - began < 2
    assert first < 5


def test_the_id_of_a_run_from_a_tuned_model_stays_readable():
    """It names the model with which the chain begins, not the whole chain."""
    once = new_run_id(TrainSettings("run:20260131-142501-atlas-llama-n60-lora-s0-3f9c", n=8))
    assert once.split("-", 2)[2].startswith("atlas-llama-tuned-n8-full-s0-")
    twice = new_run_id(TrainSettings(f"run:{once}", n=8))
    assert twice.split("-", 2)[2].startswith("atlas-llama-tuned-n8-full-s0-")
