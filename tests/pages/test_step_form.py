"""How a training step is made, and looks at dev facts, in the Lab and on Results."""

from __future__ import annotations

import sys

import pandas as pd

from pages._ui import forms, step_form
from sftqa_core.records import MAX_SEED, TrainSettings
from tests.pages import standin
from tests.pages.conftest import words
from tests.pages.test_pages import button, charts


def test_lab_launches_what_the_fields_say(explorer, jobs):
    """The defaults are the record's own; how many facts and for how long are asked only of a run that looks."""
    app = explorer("lab")
    assert not [box for box in app.number_input if box.key in ("lab-dev-facts", "lab-patience", "lab-rank")]
    app.selectbox(key="lab-optimizer").set_value("adafactor").run()
    app.toggle(key="lab-checkpointing").set_value(True).run()
    app.number_input(key="lab-micro").set_value(2).run()
    app.number_input(key="lab-every").set_value(4).run()
    app.number_input(key="lab-patience").set_value(3).run()
    app.segmented_control(key="lab-method").set_value("lora").run()
    app.number_input(key="lab-rank").set_value(16).run()
    app.toggle(key="lab-nf4").set_value(True).run()
    button(app, "Launch").click().run()
    (job,) = jobs.kept.values()
    steps = {"optimizer": "adafactor", "gradient_checkpointing": True, "micro_batch": 2, "eval_every": 4, "patience": 3}
    wanted = TrainSettings("stand-in", method="lora", lora_rank=16, quantization="nf4", **steps)
    assert job.settings == wanted.to_dict()
    app.segmented_control(key="lab-method").set_value("full").run()
    assert not [box for box in app.toggle if box.key == "lab-nf4"]


def test_lab_names_what_does_not_divide_by_its_label(explorer):
    app = explorer("lab")
    app.number_input(key="lab-micro").set_value(3).run()
    assert "Micro-batch size must divide Batch size (8), got 3." in words(app).replace("\\", "")
    assert button(app, "Launch").disabled


def test_a_runs_settings_fill_the_fields():
    settings = TrainSettings("any", optimizer="sgd", micro_batch=4, eval_every=9, eval_facts=50, patience=2)
    assert step_form.filled(settings) == {
        "lab-nf4": False,
        "lab-optimizer": "sgd", "lab-micro": 4, "lab-checkpointing": False, "lab-every": 9, "lab-dev-facts": 50, "lab-patience": 2,
    }  # fmt: skip


def test_the_largest_settings_that_a_run_can_have_fit_the_fields(explorer, monkeypatch):
    """Where a run's settings are filled in: a field that is too small would go back to its default without a word."""
    most = {
        "lora_rank": 4_096, "epochs": 10_000, "batch_size": 65_536, "micro_batch": 65_536, "seed": MAX_SEED,
        "eval_every": 1_000_000, "eval_facts": 100_000, "patience": 10_000,
    }  # fmt: skip
    filled: dict = {}
    with monkeypatch.context() as patch:
        patch.setattr(forms.st, "session_state", filled)
        forms.fill_in(TrainSettings("stand-in", method="lora", quantization="nf4", **most))
    app = explorer("lab")
    for key, value in filled.items():
        app.session_state[key] = value
    app.run()
    shown = {box.key: box.value for box in app.number_input if box.key in filled}
    assert shown == {key: filled[key] for key in shown}
    assert {"lab-batch", "lab-epochs", "lab-rank", "lab-seed", "lab-micro", "lab-every", "lab-dev-facts", "lab-patience"} <= set(shown)


def test_results_draw_looks_beside_the_loss(explorer, monkeypatch):
    """With patience, whose weights were kept is said; a source without dev facts is told as such."""
    app = explorer("results")
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
    assert "Patience 1: it ended early, after step 8 of 16; the weights of step 4 were put back." in words(app).replace("\\", "")
