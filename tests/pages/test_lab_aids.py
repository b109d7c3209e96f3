"""The Lab's aids: presets, a sweep over learning rates, and a cost that names the queue; a study's cost before it is started."""

from __future__ import annotations

import sys

import pytest

from pages._ui import background, resources
from pages._ui.facts import tuned_reads
from sftqa_core.records import Agreement, Job, LevelScheme, ModelCard, RateAccuracy, SweepReport, SweepSettings, TrainSettings
from sftqa_core.workflows.lookups import BesideBase
from tests.pages import standin
from tests.pages.test_twin import address_of, plain

RATES = (1e-4, 2e-4, 4e-4, 8e-4, 1.6e-3)


def report(settings: SweepSettings, done: int) -> SweepReport:
    rows = tuple(RateAccuracy(rate, 3, 0.4, 0.35, 0.45, 0.38, 0.33, 0.43, rate >= 4e-4 if done == 15 else None) for rate in RATES)
    said = ("Learning rate 0.0004 has the highest in-domain mean over levels.", "Its differences from 0.0008 are within noise.")
    return SweepReport(settings, done, 15, 320, "in", "macro", rows, 4e-4 if done == 15 else None, said if done == 15 else ())


@pytest.fixture
def swept(monkeypatch):
    """How many of a sweep's 15 runs are done, to be set by the test."""
    state = {"done": 0}

    def put() -> None:
        module = sys.modules["sftqa_core.workflows"]
        monkeypatch.setattr(module, "sweep_report", lambda settings: report(settings, state["done"]), raising=False)
        monkeypatch.setattr(module, "preset", lambda name, model: ({"n": 240, "levels": (2,)}, ("Something is left.",)), raising=False)

    return state, put


def test_a_sweep_tells_its_cost_and_starts_once(explorer, jobs, swept):
    """Nothing starts before the button; the job holds the form's settings without its rate."""
    _, put = swept
    app = explorer("lab", {"lab.n": "120", "lab.learning_rate": "0.5"})
    put()
    assert not [button for button in app.button if button.key == "sweep-start"]
    app.session_state["sweep-box"] = True
    app.run()
    assert "measures each on **dev facts**, never on test facts" in plain(app)
    assert [metric.value for metric in app.metric if metric.label == "Runs left"] == ["6"]
    app.button(key="sweep-start").click().run()
    (job,) = jobs.kept.values()
    assert job.kind == "sweep"
    assert job.settings == SweepSettings(TrainSettings("stand-in", n=120)).to_dict()
    assert "Sweep learning rates of stand-in with 120 examples of atlas" in plain(app)


def test_the_chosen_rate_fills_the_form(explorer, jobs, swept):
    """The table says how sure it is; the button puts the rate into the address."""
    state, put = swept
    state["done"] = 15
    settings = SweepSettings(TrainSettings("stand-in"))
    base = {"created": "2026-11-23T12:00:00+00:00", "finished": "2026-11-23T12:01:00"}
    jobs.kept["s"] = Job(id="s", kind="sweep", settings=settings.to_dict(), state="done", result="0.0004", **base)
    app = explorer("lab")
    put()
    app.query_params["job"] = "s"
    app.run()
    assert "Its differences from 0.0008 are within noise." in plain(app)
    app.button(key="sweep-use-s").click().run()
    assert address_of(app)["lab.learning_rate"] == "0.0004"
    assert app.text_input(key="lab-learning_rate").value == "0.0004"


def test_a_preset_fills_the_form_and_says_what_it_leaves(explorer, swept):
    """Its source and what stays at the default stand above the form; an unknown one in a link is told."""
    _, put = swept
    app = explorer("lab", {"lab.epochs": "3"})
    put()
    app.button(key="preset-follow-up-240").click().run()
    linked = address_of(app)
    assert (linked["lab.n"], linked["lab.levels"], linked["preset"]) == ("240", "2", "follow-up-240")
    assert "lab.epochs" not in linked
    assert "Filled in from 240 of one level (follow-up)" in plain(app)
    assert "Something is left." in plain(app)
    assert "There is no preset 'x' here." in plain(explorer("lab", {"preset": "x"}))


def test_the_cost_names_the_queue(explorer, jobs):
    """How many run and wait before it, and when it would start."""
    for seed in (1, 2):
        jobs.submit("train", TrainSettings("stand-in", seed=seed).to_dict(), expected_s=(30.0, 90.0))
    assert "Starts after 2 queued jobs, in about 60 s to 3 min." in plain(explorer("lab"))
    jobs.kept.clear()
    assert "Starts after" not in plain(explorer("lab"))


def test_a_tuned_model_stands_beside_its_base(explorer, monkeypatch):
    """Shares of both on the same facts, how many moved, and what chance alone moves; nothing for other models."""
    app = explorer("memory")
    assert not [box for box in app.markdown if "Tuned from" in box.value]
    module = sys.modules["sftqa_core.workflows"]
    kept = {"base": "stand-in", "root": "stand-in", "n": 60, "method": "full", "seed": 0, "quantization": "none", "created": "x"}
    tuned = ModelCard("run:r", "tuned", "/x", True, details={"tuned": kept})
    base, profile = module.models(), module.profile
    monkeypatch.setattr(module, "models", lambda: [*base, tuned])
    monkeypatch.setattr(module, "profile", lambda model, *rest: profile("stand-in", *rest))
    both = Agreement(
        LevelScheme().labels, 100, 0.6, 0.5, 0.4, 0.6, 0.9, ((20, 10, 0, 0, 0), (0, 20, 10, 0, 0), *[(0, 0, 10, 10, 0)] * 2, (0,) * 5)
    )
    noise = Agreement(LevelScheme().labels, 100, 0.89, 0.9, 0.8, 0.95, 0.97, ())
    monkeypatch.setattr(module, "beside_base", lambda *rest: BesideBase("stand-in", 100, 100, both, noise), raising=False)
    resources._models.clear()
    resources._model_names.clear()
    app.query_params["model"] = "run:r"
    app.run()
    assert "Tuned from stand-in" in plain(app)
    assert "100 facts probed with both; 40.0% moved to another level, kappa 0.500." in plain(app)
    assert "A second probe of the base model alone moves 11.0% (100 facts)." in plain(app)
    nothing = Agreement(LevelScheme().labels, 0, None, None, None, None, None, ())
    monkeypatch.setattr(module, "beside_base", lambda *rest: BesideBase("stand-in", 0, 0, nothing, None))
    tuned_reads.beside_base.clear()
    app.run()
    assert "The base model is not probed on these facts yet. The tuned model is not probed on these facts yet." in plain(app)


def test_what_a_job_would_wait_for_is_counted_by_device(jobs):
    """A download takes no device; one job is no plural."""
    jobs.submit("fetch", {"model": "a/b"})
    assert background.starts_after(TrainSettings("m", device="cpu")) == ""
    jobs.submit("train", TrainSettings("m").to_dict())
    assert background.starts_after(TrainSettings("m", device="cpu")) == "Starts after 1 queued job."


def test_results_say_that_baselines_were_skipped(explorer, monkeypatch):
    """What is missing is said where it would stand."""
    app = explorer("results")
    assert "baselines were skipped" not in plain(app)
    module = sys.modules["sftqa_core.workflows"]
    run = module.run(standin.RUN)
    run.settings = TrainSettings("stand-in", shots=0)
    monkeypatch.setattr(module, "run", lambda run_id: run)
    app.run()
    assert "The k-shot baselines were skipped: how well the base model answers with examples in the prompt is not known here." in plain(app)
