"""Fields that are made of what settings say about themselves: the Lab's, a probe's, and what Results shows of them."""

from __future__ import annotations

import sys

import pandas as pd
import pytest

from pages._ui import fields
from pages._ui.runs import forms
from sftqa_core.jsonrecord import declared
from sftqa_core.records import PromptFormat, TrainSettings
from sftqa_core.records.schemes import MAX_SEED
from tests.pages import standin
from tests.pages.conftest import MORE, words
from tests.pages.test_pages import button, charts


def test_lab_launches_what_the_fields_say(explorer, jobs):
    """The defaults are the record's own; how many facts and for how long are asked only of a run that looks."""
    app = explorer("lab", MORE)
    assert not [box for box in app.number_input if box.key in ("lab-eval_facts", "lab-patience", "lab-lora_rank")]
    app.selectbox(key="lab-optimizer").set_value("adafactor").run()
    app.toggle(key="lab-gradient_checkpointing").set_value(True).run()
    app.number_input(key="lab-micro_batch").set_value(2).run()
    app.number_input(key="lab-eval_every").set_value(4).run()
    app.number_input(key="lab-patience").set_value(3).run()
    app.segmented_control(key="lab-method").set_value("lora").run()
    app.number_input(key="lab-lora_rank").set_value(16).run()
    app.segmented_control(key="lab-quantization").set_value("nf4").run()
    button(app, "Launch").click().run()
    (job,) = jobs.kept.values()
    steps = {"optimizer": "adafactor", "gradient_checkpointing": True, "micro_batch": 2, "eval_every": 4, "patience": 3}
    wanted = TrainSettings("stand-in", method="lora", lora_rank=16, quantization="nf4", **steps)
    assert job.settings == wanted.to_dict()
    app.segmented_control(key="lab-method").set_value("full").run()
    assert not [box for box in app.segmented_control if box.key == "lab-quantization"]


def test_what_is_folded_away_counts_all_the_same(explorer, jobs):
    """A link's values hold though their fields are not drawn; one that can't be read stops the launch and says why."""
    own = {"lab.prompt": "own", "lab.prompt-text": "Ask {question}:", "lab.prompt-answer": " {answer}."}
    app = explorer("lab", {"lab.epochs": "7", "lab.relations": "P17", "lab.shots": "0", **own})
    assert not [box for box in app.number_input if box.key == "lab-epochs"]
    button(app, "Launch").click().run()
    (job,) = jobs.kept.values()
    form = {"prompt": PromptFormat("own", "Ask {question}:", " {answer}."), "relations": ("P17",), "shots": 0}
    assert job.settings == TrainSettings("stand-in", epochs=7, **form).to_dict()
    app.query_params["lab.prompt-text"] = "no question"
    app.run()
    assert app.query_params["unfolded"] == "more"
    assert [box for box in app.number_input if box.key == "lab-epochs"]
    assert [error.value for error in app.error] == ["The prompt must hold \\{question\\} exactly once, got 'no question'\\."]
    assert button(app, "Launch").disabled


def test_lab_names_what_does_not_divide_by_its_label(explorer):
    app = explorer("lab", MORE)
    app.number_input(key="lab-micro_batch").set_value(3).run()
    assert "Micro-batch size must divide Batch size (8), got 3." in words(app).replace("\\", "")
    assert button(app, "Launch").disabled


def test_a_runs_settings_stand_in_the_address(monkeypatch):
    """Those that are not at their defaults and have an effect, by the settings' own names; lists and texts as people write them."""
    monkeypatch.setattr("pages._ui.resources.gpus", lambda: 0)
    settings = TrainSettings(
        "any", n=TrainSettings.ALL, levels=(0, 2), optimizer="sgd", micro_batch=4, eval_every=9, eval_facts=50, patience=2, shots=0,
        more_shots=(1,), save_model=False, lora_rank=64, learning_rate=0.00025,
    )  # fmt: skip
    assert fields.linked_record(settings, "lab", ("model", "source", "prompt", "scheme")) == {
        "lab.n": "all", "lab.levels": "0,2", "lab.optimizer": "sgd", "lab.micro_batch": "4", "lab.eval_every": "9", "lab.eval_facts": "50",
        "lab.patience": "2", "lab.shots": "0", "lab.more_shots": "1", "lab.save_model": "0", "lab.learning_rate": "0.00025",
    }  # fmt: skip


def test_every_setting_of_a_run_is_asked_in_the_lab_or_named_as_unasked(explorer):
    """A setting that is added to the record appears by itself; its field starts at the record's default and has its help."""
    app = explorer("lab", MORE)
    known = declared(TrainSettings)
    for above in dict.fromkeys(about.under for about in known.values() if about.under not in ("", "gpus")):  # what others stand under
        if known[above].choices:
            app.segmented_control(key=f"lab-{above}").set_value(list(known[above].choices)[-1]).run()
        else:
            app.number_input(key=f"lab-{above}").set_value(4 if known[above].kind is int else 0.5).run()
    boxes = (app.number_input, app.text_input, app.selectbox, app.multiselect, app.segmented_control, app.toggle)
    keys = {box.key: box for kind in boxes for box in kind}
    elsewhere = {"model", "source", "n", "prompt", "scheme", "more_shots", "gpus", "sharding", "device"}  # other keys, or several GPUs
    for name, about in known.items():
        if name not in elsewhere:
            assert f"lab-{name}" in keys, name
            assert keys[f"lab-{name}"].label == about.label
            assert about.help, name


def test_the_largest_settings_that_a_run_can_have_fit_the_fields(explorer, jobs):
    """Where a run's settings are filled in: a field that is too small would go back to its default without a word."""
    most = {
        "lora_rank": 4_096, "epochs": 10_000, "batch_size": 65_536, "micro_batch": 65_536, "seed": MAX_SEED,
        "eval_every": 1_000_000, "eval_facts": 100_000, "patience": 10_000,
    }  # fmt: skip
    settings = TrainSettings("stand-in", method="lora", quantization="nf4", **most)
    linked = fields.linked_record(settings, "lab", ("model", "source", "prompt", "scheme"))
    app = explorer("lab", {**linked, **MORE})
    shown = {box.key: box.value for box in app.number_input}
    assert {name: shown[f"lab-{name}"] for name in most} == most
    assert not app.warning
    button(app, "Launch").click().run()
    (job,) = jobs.kept.values()
    assert job.settings == settings.to_dict()


def test_results_draw_looks_beside_the_loss(explorer, monkeypatch):
    """With patience, whose weights were kept is said; a source without dev facts is told as such."""
    app = explorer("results", query={"unfolded": "curves"})
    assert len(charts(app)) == 3
    module = sys.modules["sftqa_core.workflows"]
    run = module.run(standin.RUN)
    run.settings = TrainSettings("stand-in", eval_every=4, patience=1)
    run.manifest["training"] = {"steps": 8, "planned_steps": 16, "kept_step": 4}
    looks = pd.DataFrame({"step": [4, 8], "domain": "in", "n": 40, "correct": [9, 8], "accuracy": [0.2, 0.2], "low": 0.1, "high": 0.4})
    monkeypatch.setattr(module, "run", lambda run_id: run)
    monkeypatch.setattr(module, "run_looks", lambda run_id: looks, raising=False)
    app.run()
    assert charts(app)[-1]["layout"]["yaxis"]["title"]["text"] == "dev accuracy"
    assert "Patience 1: training ended early, after step 8 of 16; the weights of step 4 were restored." in words(app).replace("\\", "")


def test_results_say_what_a_time_limit_cut(explorer, monkeypatch):
    """Below the accuracy, and beside the curves of a run with patience in place of an early end."""
    app = explorer("results", query={"unfolded": "curves"})
    module = sys.modules["sftqa_core.workflows"]
    run = module.run(standin.RUN)
    run.settings = TrainSettings("stand-in", eval_every=4, patience=1, time_limit_min=5)
    run.manifest["training"] = {"steps": 8, "planned_steps": 16, "kept_step": 4, "cut": True}
    run.cut = "stopped after 8 of 16 steps by its time limit of 5 minutes"
    looks = pd.DataFrame({"step": [4, 8], "domain": "in", "n": 40, "correct": [9, 8], "accuracy": [0.2, 0.2], "low": 0.1, "high": 0.4})
    monkeypatch.setattr(module, "run", lambda run_id: run)
    monkeypatch.setattr(module, "run_looks", lambda run_id: looks, raising=False)
    told = words(app.run()).replace("\\", "")
    assert f"The training was {run.cut}; the weights it had then were kept and evaluated." in told
    assert f"Patience 1: training was {run.cut}; the weights of step 4 were restored." in told


@pytest.mark.parametrize("there", [0, 1])
def test_one_gpu_or_none_is_no_question(explorer, monkeypatch, there):
    """Nothing is drawn, and the settings stay at their defaults."""
    monkeypatch.setattr("pages._ui.resources.gpus", lambda: there)
    app = explorer("lab")
    assert not [box for box in (*app.number_input, *app.segmented_control) if box.key in ("lab-gpus", "lab-sharding")]


GPUS = {"auto": "any free GPU", "cuda:0": "GPU 0: NVIDIA A", "cuda:1": "GPU 1", "cpu": "CPU"}


def test_of_several_gpus_one_can_be_chosen(explorer, jobs, monkeypatch):
    """By name; the choice stands in the address, and in the settings of the job that is launched."""
    monkeypatch.setattr("pages._ui.resources.gpus", lambda: 2)
    monkeypatch.setattr("pages._ui.resources.device_choices", lambda: GPUS)
    app = explorer("lab", MORE)
    box = app.selectbox(key="lab-device")
    assert (box.label, box.options, box.value) == ("Device", list(GPUS.values()), "auto")
    assert "lab.device" not in app.query_params
    box.set_value("cuda:1").run()
    assert app.query_params["lab.device"] in ("cuda:1", ["cuda:1"])
    button(app, "Launch").click().run()
    (job,) = jobs.kept.values()
    assert job.settings == TrainSettings("stand-in", device="cuda:1").to_dict()


def test_a_link_to_a_gpu_that_is_not_here_is_told(explorer, monkeypatch):
    """The form says so and takes any; a run of such a GPU fills in none."""
    monkeypatch.setattr("pages._ui.resources.gpus", lambda: 2)
    monkeypatch.setattr("pages._ui.resources.device_choices", lambda: GPUS)
    app = explorer("lab", {**MORE, "lab.device": "cuda:7"})
    assert "Device must be one of auto, cuda:0, cuda:1, cpu, got 'cuda:7'" in words(app).replace("\\", "").replace("\u2060", "")
    assert app.selectbox(key="lab-device").value == "auto"
    asked = {device: forms.lab_address(TrainSettings("m", device=device)).get("lab.device") for device in ("auto", "cuda:1", "cuda:7")}
    assert asked == {"auto": None, "cuda:1": "cuda:1", "cuda:7": None}


def test_with_one_gpu_no_device_is_asked(explorer, monkeypatch):
    """Nor filled in from a run that names one."""
    monkeypatch.setattr("pages._ui.resources.gpus", lambda: 1)
    assert not [box for box in explorer("lab", MORE).selectbox if box.key == "lab-device"]
    assert "lab.device" not in forms.lab_address(TrainSettings("m", device="cuda:0"))


def test_of_several_gpus_as_many_as_there_are_can_be_had(explorer, jobs, monkeypatch):
    """How they share the model is asked from two on."""
    monkeypatch.setattr("pages._ui.resources.gpus", lambda: 4)
    app = explorer("lab", MORE)
    number = app.number_input(key="lab-gpus")
    assert (number.label, number.value, number.min, number.max) == ("GPUs", 1, 1, 4)
    assert not [box for box in app.segmented_control if box.key == "lab-sharding"]
    number.set_value(2).run()
    assert app.segmented_control(key="lab-sharding").value == "ddp"
    button(app, "Launch").click().run()
    (job,) = jobs.kept.values()
    assert job.settings == TrainSettings("stand-in", gpus=2).to_dict()


@pytest.mark.parametrize(("there", "gpus", "sharding"), [(0, 1, "ddp"), (2, 2, "fsdp"), (1, 1, "ddp")])
def test_a_runs_gpus_are_filled_in_where_there_are_so_many(monkeypatch, there, gpus, sharding):
    """A run from another machine is no reason for a number that can't be had."""
    monkeypatch.setattr("pages._ui.resources.gpus", lambda: there)
    linked = fields.linked_record(TrainSettings("any", gpus=2, sharding="fsdp"), "lab")
    assert (int(linked.get("lab.gpus", 1)), linked.get("lab.sharding", "ddp")) == (gpus, sharding)
    assert "lab.gpus" not in fields.linked_record(TrainSettings("any"), "lab")


def test_a_probe_can_be_spread_where_there_are_several(explorer, jobs, monkeypatch):
    """What is launched says over how many."""
    monkeypatch.setattr("pages._ui.resources.gpus", lambda: 2)
    app = explorer("memory", probed=False)
    app.session_state["probe-box"] = True
    app.run()
    app.number_input(key="probe-gpus").set_value(2).run()
    app.button(key="probe-start").click().run()
    (job,) = jobs.kept.values()
    assert job.settings["gpus"] == 2
