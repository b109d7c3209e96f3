"""The Lab's form stands in the address, and a run's settings fill it in, with what was changed told."""

from __future__ import annotations

import pytest

from pages._ui import resources
from pages._ui.runs.twin import LABEL, changes_of
from pages._ui.wording import day_and_time
from sftqa_core.models.model_names import names_of
from sftqa_core.records import Job, ModelCard, PromptFormat, StudySettings, TrainSettings, with_cutoffs
from tests.pages import standin
from tests.pages.conftest import MORE, words
from tests.pages.test_pages import button


def plain(app) -> str:
    return words(app).replace("\\", "").replace("\u2060", "")


def address_of(app) -> dict[str, str]:
    return {key: value if isinstance(value, str) else value[0] for key, value in app.query_params.items()}


def launched(app, jobs) -> dict:
    button(app, "Launch").click().run()
    (job,) = jobs.kept.values()
    return job.settings


def test_a_form_is_its_address(explorer, jobs):
    """What is picked stands there by the settings' names; the same address in another tab launches the same run."""
    app = explorer("lab")
    assert not [key for key in app.query_params if key.startswith("lab.")]
    app.segmented_control(key="lab-size").set_value("other").run()
    app.number_input(key="lab-n").set_value(90).run()
    app.segmented_control(key="lab-method").set_value("lora").run()
    app.multiselect(key="lab-levels").set_value([2, 0]).run()
    app.toggle(key="lab-skip").set_value(True).run()
    app.text_input(key="lab-learning_rate").set_value("1e-3").run()
    linked = {key: value for key, value in address_of(app).items() if key.startswith("lab.")}
    assert linked == {"lab.n": "90", "lab.method": "lora", "lab.levels": "0,2", "lab.shots": "0", "lab.learning_rate": "1e-3"}
    assert "Missing then: how well the base model answers with examples in the prompt." in plain(app)
    other = explorer("lab", linked)
    wanted = TrainSettings("stand-in", n=90, method="lora", levels=(0, 2), shots=0, learning_rate=1e-3)
    assert launched(other, jobs) == wanted.to_dict()
    other.toggle(key="lab-skip").set_value(False).run()
    assert "lab.shots" not in other.query_params


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("lab.n", "many", "Examples (n) must be a number, got 'many'."),
        ("lab.n", "-5", "Examples (n) must be 0 or more, or all, got '-5'."),
        ("lab.method", "magic", "Method must be one of full, lora, got 'magic'."),
        ("lab.epochs", "0", "Epochs must be 1 to 10,000, got 0."),
        ("lab.save_model", "yes", "Keep the tuned weights must be 1 or 0, got 'yes'."),
        ("lab.levels", "L1", "Memory levels to train on must be a number, got 'L1'."),
        ("lab.prompt", "<b>", "There is no prompt '<b>'; showing Q/A prompt."),
        ("lab.dropout", "nan", "Dropout must be a number, got 'nan'."),
        ("twin", "no-such-run", "There is no run or job 'no-such-run' here; changes are not told."),
        ("what", "dance", "There is no what 'dance' here; showing One run."),
    ],
)
def test_what_a_link_says_wrongly_is_dropped_with_a_sentence(explorer, jobs, key, value, said):
    """The field is at its default, and the run can be launched."""
    app = explorer("lab", {key: value})
    assert said in plain(app)
    assert key not in app.query_params
    assert launched(app, jobs) == TrainSettings("stand-in").to_dict()


def test_a_study_form_is_its_address(explorer, jobs):
    """Kind, models, sizes and seeds; back in another tab it is the same study."""
    app = explorer("lab", {"what": "study"})
    app.segmented_control(key="study-kind").set_value("level").run()
    app.selectbox(key="study-size-level").set_value(60).run()
    app.number_input(key="study-seeds").set_value(2).run()
    app.segmented_control(key="study-method").set_value("lora").run()
    linked = address_of(app)
    study = StudySettings("level", ("stand-in",), seeds=(0, 1), sizes=(60,), method="lora")
    assert {key: linked[key] for key in linked if key.startswith("study.")} == {
        "study.kind": "level", "study.sizes": "60", "study.seeds": "0,1", "study.method": "lora"
    }  # fmt: skip
    other = explorer("lab", linked)
    assert other.segmented_control(key="study-kind").value == "level"
    assert launched(other, jobs) == study.to_dict()
    assert explorer("lab", {**linked, "study.models": "stand-in"}).multiselect(key="study-models").value == ["stand-in"]


def test_seeds_that_the_form_can_not_hold_are_told(explorer):
    """A file can."""
    app = explorer("lab", {"what": "study", "study.seeds": "5,6"})
    assert "The form repeats runs with seeds from 0 on, 1 to 20 of them; other seeds need a YAML file." in plain(app)
    assert app.number_input(key="study-seeds").value == 3


def test_a_prompt_of_ones_own_stands_in_the_address_unless_it_is_too_long(explorer):
    """One that is too long holds for the session, and the form says so."""
    app = explorer("lab", {**MORE, "lab.prompt": "own", "lab.prompt-text": "Ask: {question}\n", "lab.prompt-answer": " {answer}."})
    assert "Ask: {question}\n\u2588 {answer}." in [code.value for code in app.code]
    app.text_area(key="lab-prompt").set_value("x" * 1_000 + "{question}").run()
    assert "Too long for a link (1,010 characters, 1,000 at most): a copied link leaves this text out." in plain(app)
    assert "lab.prompt-text" not in app.query_params
    app.number_input(key="lab-epochs").set_value(2).run()
    assert app.text_area(key="lab-prompt").value == "x" * 1_000 + "{question}"
    del app.query_params["unfolded"]  # folded away, its field is drawn all the same: else the session would forget it
    app.run()
    assert app.text_area(key="lab-prompt").value == "x" * 1_000 + "{question}"
    app.selectbox(key="lab-prompt-kind").set_value("qa").run()
    assert not [key for key in app.query_params if key.startswith("lab.prompt")]


def test_results_open_the_lab_with_the_runs_settings(explorer):
    """The link holds them all; nothing is started."""
    app = explorer("results")
    (link,) = [link for link in app.get("page_link") if link.proto.label == LABEL]
    assert link.proto.page == "lab"
    assert f"twin={standin.RUN}" in link.proto.query_string


def test_what_was_changed_is_told_and_taken_back(explorer, jobs):
    """The line follows the form; Reset goes back to the run's settings."""
    app = explorer("lab", {"model": "stand-in", "twin": standin.RUN})
    assert f"Filled in from {standin.RUN}; nothing is changed yet." in plain(app)
    assert app.button(key="twin-reset").disabled
    app.segmented_control(key="lab-size").set_value(240).run()
    app.segmented_control(key="lab-method").set_value("lora").run()
    assert f"Changed from {standin.RUN}: Examples (n) 60 → 240, Method all weights → LoRA." in plain(app)
    app.button(key="twin-reset").click().run()
    assert "nothing is changed yet" in plain(app)
    assert "lab.n" not in app.query_params
    app.button(key="twin-off").click().run()
    assert "twin" not in app.query_params
    assert "Filled in from" not in plain(app)


def test_every_train_job_offers_its_twin(explorer, jobs):
    """On the Jobs page, and in its panel on the Lab, where it fills in the form; one whose settings are damaged does not."""
    base = {"kind": "train", "created": "2026-11-23T12:00:00+00:00", "finished": "2026-11-23T12:01:00"}
    jobs.kept["a"] = Job(id="a", state="cancelled", settings=TrainSettings("stand-in", n=120, shots=0).to_dict(), **base)
    jobs.kept["b"] = Job(id="b", state="failed", settings={"n": "<b>"}, **base)
    app = explorer("jobs")
    (link,) = [link for link in app.get("page_link") if link.proto.label == LABEL]
    assert "lab.n=120" in link.proto.query_string
    assert "twin=a" in link.proto.query_string
    app = explorer("lab", {"job": "a", "twin": "a", "lab.shots": "0"})
    assert "Changed from a: Examples (n) 120 → 60." in plain(app)
    app.button(key="link-twin-lab-a").click().run()
    assert (app.query_params["lab.n"], app.query_params["twin"]) == ("120", "a")
    assert "nothing is changed yet" in plain(app)


def test_changes_name_both_values(monkeypatch):
    """In the order of the form; a rate that is the model's default is no change."""
    monkeypatch.setattr(resources, "default_learning_rate", lambda method, model: 4e-4)
    before = TrainSettings("a", learning_rate=4e-4, levels=(0,), more_shots=(1,), device="cpu")
    now = TrainSettings("b", n=TrainSettings.ALL, prompt=PromptFormat("own", "{question}?"), save_model=False, scheme=with_cutoffs((0.5,)))
    assert changes_of(before, now) == [
        "Model a → b", "Examples (n) 60 → all", "Memory levels to train on L0 → any level",
        "Prompt Q: {question}\nA: {answer} → {question}? {answer}", "Level scheme paper-5 → levels L0/L1, cut-offs 50%",
        "Keep the tuned weights yes → no", "Additional shot counts 1 → none",
    ]  # fmt: skip


def test_a_run_is_a_file_that_the_form_reads(explorer, jobs):
    """Command and file stand below the cost; the file goes before the form, or fills it in."""
    app = explorer("lab", {"lab.n": "120", "unfolded": "command"})
    codes = [code.value for code in app.code]
    assert "sftqa train --model stand-in --source atlas --n 120 --method full --seed 0" in codes
    (text,) = [code for code in codes if code.startswith("# A run of SFT-QA Explorer. Run it with: sftqa train --config")]
    app.file_uploader[0].upload("run.yaml", text.replace("n: 120", "n: 480").encode(), "text/yaml").run()
    assert "sftqa train --model stand-in --source atlas --n 480 --method full --seed 0" in [code.value for code in app.code]
    app.button(key="file-fill").click().run()
    assert address_of(app)["lab.n"] == "480"


def test_names_of_tuned_models_are_read():
    """What it was tuned from, how, and when; two that are called alike end in their last signs."""

    def card(run: str, **more: object) -> ModelCard:
        kept = {"base": "atlas-llama", "root": "atlas-llama", "n": 1_920, "method": "lora", "seed": 0, "quantization": "none"}
        return ModelCard(f"run:{run}", "tuned", "/x", True, details={"tuned": {**kept, "created": "2025-11-29T10:12:30+00:00", **more}})

    named = names_of(
        [ModelCard("atlas-llama", "built-in", "/x", True), card("x-0001"), card("x-0002"), card("y", base="run:x-0001", seed=3)],
        day_and_time,
    )
    assert list(names_of([ModelCard("tiny-q4_1", "measured", None, False, quantisation="Q4_1, from GGUF")], day_and_time).values()) == [
        "tiny-q4_1 (results only)"
    ]
    assert list(named.values()) == [
        "atlas-llama",
        "atlas-llama tuned: 1,920 ex., LoRA, seed 0, 29 Nov 2025 10:12 · 0001",
        "atlas-llama tuned: 1,920 ex., LoRA, seed 0, 29 Nov 2025 10:12 · 0002",
        "atlas-llama tuned again: 1,920 ex., LoRA, seed 3, 29 Nov 2025 10:12",
    ]
