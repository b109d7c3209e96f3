"""Each page through the real app entry: what it shows, what it says when there is nothing, and when something is wrong."""

import json
import sys
from types import SimpleNamespace

import pytest
import streamlit as st

from pages._ui import background, resources
from pages._ui.runs.twin import LABEL
from pages._ui.wording import literal
from sftqa_core.errors import FactsError, ModelUnavailable
from sftqa_core.jobs import use_executor
from sftqa_core.jobs.executor import FakeExecutor
from sftqa_core.progress import Progress, Recorder
from sftqa_core.records import Job, ProbeSettings, TrainSettings
from tests.pages import standin
from tests.pages.conftest import MORE, words


def charts(app):
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def links(app):
    """Labels of the page's links, but for those that fill in the Lab's form or Compare."""
    return [link.proto.label for link in app.get("page_link") if link.proto.label not in (LABEL, "Compare with…")]


def button(app, label):
    return next(button for button in app.button if button.label == label)


# --- Overview


def test_overview_shows_the_shipped_example_and_says_it_is_planted(explorer):
    """Overview draws both domains of the shipped run and says that the built-in world proves nothing about large models."""
    app = explorer()
    assert len(charts(app)) == 2
    assert "One run: 60 examples" in words(app)
    assert "In-domain mean over levels: 7% before, 42% after" in words(app)
    assert "It is no evidence about large models" in words(app)
    assert [b.label for b in app.button] == ["Take away", "Glossary", "Run it yourself in the Lab"]
    doors = ["learn", "memory", "own-facts"]
    studies = ["how-much-data", "which-data", "which-model", "what-moves", "what-if"]
    assert [link.proto.page for link in app.get("page_link")] == [*doors, "results", *studies, "how-much-data", "results"]


def test_overview_answers_what_people_ask(explorer):
    """Each question opens its view; its verdict and the sentence of the results stand beside it, as plain text."""
    app = explorer()
    suffice, lost = app.get("page_link")[-2:]
    assert (suffice.proto.label, lost.proto.label) == ("**Do 60 examples suffice?**", "**Which facts did it lose?**")
    assert lost.proto.query_string == f"run={standin.RUN}&change=lost"
    assert r"60 examples reach \*90%\*\. (stand\-in, in\-domain)" in words(app)
    assert "cannot tell" in words(app)


def test_overview_without_an_example_points_to_the_lab(explorer):
    """A copy without shipped runs says so and links to the Lab."""
    app = explorer(example=False)
    assert "No example run ships with this copy" in words(app)
    assert [link.proto.label for link in app.get("page_link")][3:] == ["Open the Lab"]


def test_overview_tells_of_a_damaged_example(explorer, tmp_path):
    """A shipped run that can't be read is an error in words."""
    (standin.write_run(tmp_path / "shipped" / "runs") / "summary.json").write_text("{")
    app = explorer(example=False)
    assert [error.value.endswith(r"Install the program again\.") for error in app.error] == [True]


# --- Memory


def test_memory_shows_levels_and_one_fact_down_to_its_completions(explorer):
    """Memory counts what is probed, draws shares, scores and one fact's templates, and lists its completions."""
    app = explorer("memory")
    assert "**270 of 300 facts probed**" in words(app)
    assert len(charts(app)) == 3
    facts, completions = (frame.value for frame in app.dataframe)
    assert len(facts) == 300
    assert set(completions["matched"]) == {"Answer 0", ""}
    assert "Interval over samples" in words(app)
    assert "Interval over templates" in words(app)


def test_memory_filters_by_level_and_search(explorer):
    """The fact table follows its filters, and an empty one says so."""
    app = explorer("memory")
    app.multiselect(key="pick-level").set_value(["L4"]).run()
    assert set(app.dataframe[0].value["level"]) == {"L4"}
    app.text_input(key="pick-search").set_value("no such subject").run()
    assert "No fact matches these filters." in words(app)


def test_memory_shows_how_far_levels_can_be_trusted(explorer):
    """On request: level against level for each other way of probing, its kappa, and what smaller probes would give."""
    app = explorer("memory")
    app.toggle(key="pick-trust").set_value(True).run()
    assert len(charts(app)) == 5
    assert "The full probe against a second full probe" in words(app)
    assert "kappa 0.880 (0.850 to 0.910)" in words(app)
    assert "R differs by +0.0041 on average (-0.0012 to +0.0094)" in words(app)
    assert "At the dotted line, a smaller probe loses nothing." in words(app)
    app.segmented_control(key="trust-other-sampling").set_value("likelihood").run()
    assert "The full probe against the likelihood" in words(app)
    assert app.button(key="probe-again").label == "Finish the second probe (60 facts left)"
    assert "So far 240 of 300 facts were probed twice" in words(app)


def test_memory_offers_a_second_probe(explorer, jobs):
    """Without one nothing is claimed about two probes; a button tells the cost, starts the other seed, and its job stands there."""
    app = explorer("memory", second_probe=False)
    app.toggle(key="pick-trust").set_value(True).run()
    assert "Only the full probe has been run" in words(app)
    assert "which favours small probes" in words(app)
    app.button(key="probe-again").click().run()
    (job,) = jobs.jobs()
    assert (job.kind, job.settings["scheme"]["sampling"]["seed"]) == ("probe", 1)
    assert app.button(key="probe-again").disabled
    assert app.button(key="probe-again").label == "In progress"
    assert [button.key for button in app.button if str(button.key).startswith("cancel-")] == [f"cancel-trust-{job.id}"]


def test_memory_takes_the_method_from_the_address(explorer):
    """A link to likelihood levels opens with that way of measuring picked."""
    app = explorer("memory", query={"method": "likelihood"})
    assert app.selectbox(key="pick-method").value == "likelihood"


def test_memory_leaves_echo_facts_out_on_request(explorer):
    """The echo toggle removes exactly the facts whose answer stands in their subject."""
    app = explorer("memory")
    app.toggle[0].set_value(True).run()
    assert len(app.dataframe[0].value) == 285
    assert not app.dataframe[0].value["echo"].any()


def test_memory_says_when_nothing_is_probed(explorer):
    """Facts without levels are listed with the way to probe them, and without charts."""
    app = explorer("memory", probed=False)
    assert "None of these facts has been probed with this model" in words(app)
    assert charts(app) == []
    assert "Every score here is 0 or 1, or not known yet." in words(app)
    app = explorer("memory", {"fact": standin.facts_and_levels()["fact_id"][3]}, probed=False)
    assert "This fact has not been probed" in words(app)


@pytest.mark.parametrize("page", ["memory", "lab"])
def test_without_models_pages_say_how_to_make_one(explorer, page):
    """No model at all is an empty state, not an error."""
    assert "sftqa pretrain NAME" in words(explorer(page, with_models=False))


def test_memory_shows_the_cores_words_when_a_model_cannot_be_had(explorer):
    """A linked model that is not here gives the core's message instead of a traceback."""
    app = explorer("memory", query={"model": "gone"})
    assert [error.value for error in app.error] == [r"There is no model 'gone' here\. Pick one from the list\."]


def test_links_set_the_pickers_and_unknown_values_are_dropped(explorer):
    """A shared link picks split and domain; a value that is no option falls back to the default."""
    app = explorer("memory", query={"split": "nonsense", "domain": "out"})
    assert app.selectbox(key="pick-domain").value == "out"
    assert app.selectbox(key="pick-split").value == "test"
    assert "split" not in app.query_params
    assert [warning.value for warning in app.warning] == ["There is no split 'nonsense' here; showing test."]
    assert len(app.dataframe[0].value) == 120


def test_text_of_models_is_never_read_as_markup(explorer):
    """Subjects full of markup reach only elements that show text as it is."""
    app = explorer("memory", {"fact": standin.facts_and_levels()["fact_id"][0]})
    assert "<b>bold</b> $x^2$ :smile:" in [text.value.removeprefix("What is the P17 of ").removesuffix("?") for text in app.text]
    assert "<b>bold" not in "".join(element.value for element in app.markdown)


def test_probe_starts_one_job_for_what_is_not_known(explorer, jobs):
    """The Probe box tells the cost and queues a probe of the picked facts, which the page then shows."""
    app = explorer("memory", query={"domain": "in"})
    app.session_state["probe-box"] = True
    app.run()
    assert [metric.value for metric in app.metric if metric.label == "Facts to probe"] == ["30"]
    button(app, "Start probing").click().run()
    assert not app.exception
    (job,) = jobs.kept.values()
    assert job.kind == "probe"
    assert (job.settings["model"], job.settings["split"], job.settings["domain"]) == ("stand-in", "test", "in")
    assert "Probe stand-in on atlas (test)" in words(app)
    assert app.session_state["probe-box"] is False


@pytest.mark.parametrize("native", [False, True])
def test_a_probe_in_bfloat16_is_offered_where_it_is_faster(explorer, jobs, monkeypatch, native):
    """Only where the processor computes in it; its levels are kept apart, which the box says."""
    monkeypatch.setattr("pages._ui.resources.processor_bfloat16", lambda: native)
    app = explorer("memory", query={"domain": "in"})
    app.session_state["probe-box"] = True
    app.run()
    fields = [box for box in app.segmented_control if box.key == "probe-number_format"]
    assert bool(fields) is native
    if native:
        fields[0].set_value("bfloat16").run()
        assert "kept apart from float32's" in words(app)
        button(app, "Start probing").click().run()
        (job,) = jobs.kept.values()
        assert job.settings["number_format"] == "bfloat16"


def test_an_uploaded_file_becomes_the_picked_source(explorer):
    """Facts handed over in the browser are shown as they would be read, and are picked at once when used."""
    app = explorer("memory")
    button(app, "Add your own facts").click().run()
    app.file_uploader[0].set_value(("mine.csv", b"question,answers\n", "text/csv")).run()
    assert "The first rows, read as PopQA." in [caption.value for caption in app.caption]
    assert "**13 facts: 9 train, 0 dev, 4 test.**" in [text.value for text in app.markdown]
    assert r"2 of 13 \*end\*\." in [warning.value for warning in app.warning]
    button(app, "Use these facts").click().run()
    assert not app.exception
    assert app.selectbox(key="pick-source").value == "mine.csv"
    assert app.selectbox(key="pick-split").value == "all"
    assert [toast.value for toast in app.toast] == ["13 facts read: 9 train, 0 dev, 4 test."]


def test_a_bad_upload_is_told_and_changes_nothing(explorer):
    """A file that can't be used gives the core's list of problems, and no way to use it; the source stays."""
    app = explorer("memory")
    button(app, "Add your own facts").click().run()
    app.file_uploader[0].set_value(("bad.csv", b"x", "text/csv")).run()
    assert button(app, "Use these facts").disabled
    assert [error.value for error in app.error] == ["- Row 1\\: no question\\.\n- Row 2\\: no answer\\."]
    assert app.selectbox(key="pick-source").value == "atlas"


def test_columns_with_other_names_are_picked(explorer):
    """Where no layout is known the guess stands in the pickers; what is picked becomes the source's mapping."""
    app = explorer("memory")
    button(app, "Add your own facts").click().run()
    app.file_uploader[0].set_value(("mine.csv", b"other columns", "text/csv")).run()
    assert [error.value for error in app.error] == [r"It has no column for the answers\."]
    pickers = {box.label: box for box in (*app.selectbox, *app.multiselect)}
    assert (pickers["Question *"].value, pickers["Answers *"].value) == ("ask", [])
    pickers["Answers *"].set_value(["say"]).run()
    assert not app.error
    button(app, "Use these facts").click().run()
    assert app.selectbox(key="pick-source").value == "mine.csv?question=ask&answers=say"


def test_templates_are_written_where_a_file_is_handed_over(explorer):
    """A new relation opens the editor; with its templates, or as questions and answers, the facts can be used."""
    app = explorer("memory")
    button(app, "Add your own facts").click().run()
    app.file_uploader[0].set_value(("mine.csv", b"new relations", "text/csv")).run()
    assert not app.error
    assert button(app, "Use these facts").disabled
    (templates,) = [area for area in app.text_area if area.label.startswith("Templates")]
    templates.set_value("{subject} flows into").run()
    assert not button(app, "Use these facts").disabled
    templates.set_value("").run()
    (as_pairs,) = [toggle for toggle in app.toggle if "mouth" in toggle.label]
    as_pairs.set_value(True).run()
    button(app, "Use these facts").click().run()
    assert app.selectbox(key="pick-source").value == "mine.csv?read=pairs"


def test_a_link_to_a_job_that_is_gone_says_so(explorer):
    """A job that nobody knows is told, on Memory as in the Lab."""
    for page in ("memory", "lab"):
        app = explorer(page, query={"job": "train-1"})
        assert [warning.value for warning in app.warning] == [r"There is no job 'train\-1' here."]
        assert "job" not in app.query_params


def test_a_picked_fact_stays_while_filters_change(explorer):
    """The fact picked last is shown as long as the filters let it through, wherever its row stands."""
    app = explorer("memory")
    wanted = standin.facts_and_levels().query("level == 4").iloc[3]
    app.query_params["fact"] = wanted["fact_id"]
    app.multiselect(key="pick-level").set_value(["L4"]).run()
    assert wanted["question"] in [text.value for text in app.text]
    app.multiselect(key="pick-level").set_value(["L0"]).run()
    assert wanted["question"] not in [text.value for text in app.text]
    app.multiselect(key="pick-level").set_value([]).run()
    assert wanted["question"] in [text.value for text in app.text]


def test_memory_does_not_claim_that_a_models_text_held_foreign_facts(explorer):
    """Facts that a pre-trained model never read are said to be so, without hit rates on wordings of its text."""
    app = explorer("memory", read="elsewhere")
    assert [info.value for info in app.info] == [r"stand\-in was pre-trained only on elsewhere; expect level L0 here."]
    assert "pre-training text used" not in words(app)
    own = explorer("memory", read="atlas")
    assert "It is no evidence about large models" in words(own)
    assert "on templates that the pre-training text used" in words(own)


# --- Lab


def test_lab_shows_the_cost_before_launch(explorer):
    """The Lab's default form is 60 examples in 8 steps, with the time range and the default learning rate."""
    app = explorer("lab")
    assert {metric.label: metric.value for metric in app.metric} == {"Examples": "60", "Steps": "8", "Test facts": "3,000"}
    assert "**About 20 s to 60 s** on this machine." in words(app).replace("\\", "")
    assert app.text_input(key="lab-learning_rate").placeholder == "0.0004 (default for this model)"


def test_launching_twice_starts_one_run(explorer, jobs):
    """A second click on the same settings, in this tab or in another, finds the first click's job."""
    app = explorer("lab")
    button(app, "Launch").click().run()
    assert button(app, "Launch").disabled
    other = explorer("lab")
    assert "A run with these settings is already in progress" in words(other)
    background.submit("train", TrainSettings(model="stand-in"))
    assert [job.settings for job in jobs.kept.values()] == [TrainSettings(model="stand-in").to_dict()]


def test_the_same_settings_can_run_again_later(explorer, jobs):
    """Once a run is over, launching its settings makes a new job."""
    settings = TrainSettings(model="stand-in")
    first = background.submit("train", settings)
    jobs.run_all()
    assert background.submit("train", settings).id != first.id


def test_lab_tells_problems_before_anything_starts(explorer):
    """An n that can't be supplied is told, and Launch is off."""
    app = explorer("lab")
    app.segmented_control(key="lab-size").set_value(1920).run()
    assert [error.value for error in app.error] == [r"Only 1,500 facts are there; 1,920 were asked for\."]
    assert not app.metric
    assert "on this machine" not in words(app)
    assert button(app, "Launch").disabled


def test_lab_refuses_a_learning_rate_that_is_no_number(explorer):
    """A form that makes no settings says what was seen."""
    app = explorer("lab")
    app.text_input(key="lab-learning_rate").set_value("fast").run()
    assert [error.value for error in app.error] == [r"Learning rate must be a number such as 4e\-4, got 'fast'\."]
    assert button(app, "Launch").disabled


def test_lab_keeps_its_other_fields_while_one_is_wrong(explorer):
    """A learning rate out of range or an unknown model leaves epochs as they were, and is told by the fields' names."""
    app = explorer("lab", MORE)
    app.number_input(key="lab-epochs").set_value(7).run()
    app.text_input(key="lab-learning_rate").set_value("5").run()
    assert [error.value for error in app.error] == [r"Learning rate must be above 0 and at most 1, got 5\.0\."]
    assert app.number_input(key="lab-epochs").value == 7
    app.text_input(key="lab-learning_rate").set_value("").run()
    assert not app.error
    assert app.number_input(key="lab-epochs").value == 7


def test_lab_tells_of_an_unknown_model_with_all_its_fields_drawn(explorer, monkeypatch):
    """A model that can't be had is one more problem of the form, not its end."""

    def gone(method, model):
        raise ModelUnavailable("There is no such model.")

    monkeypatch.setattr(resources, "default_learning_rate", gone)
    app = explorer("lab", MORE)
    assert [error.value for error in app.error] == [r"There is no such model\."]
    assert app.number_input(key="lab-epochs").value == 1


def test_lab_is_as_it_was_after_a_visit_elsewhere(explorer):
    """Form fields and picked facts hold when another page was looked at; the facts are those of Memory too."""
    app = explorer("lab", MORE)
    app.number_input(key="lab-epochs").set_value(7).run()
    app.selectbox(key="pick-source").select("entity-questions").run()
    app.switch_page("pages/memory.py").run()
    assert app.selectbox(key="pick-source").value == "entity-questions"
    app.switch_page("pages/lab.py").run()
    assert app.number_input(key="lab-epochs").value == 7
    assert app.selectbox(key="pick-source").value == "entity-questions"


def test_lab_warns_of_placeholders_that_nothing_fills(explorer):
    """A prompt with a sign other than {question} is allowed, and said."""
    app = explorer("lab", MORE)
    app.selectbox(key="lab-prompt-kind").set_value("own").run()
    app.text_area(key="lab-prompt").set_value("{name}: {question}").run()
    assert f"{literal('{name}')} is passed to the model unchanged" in words(app)


def test_lab_without_torch_says_what_to_install(explorer, monkeypatch):
    """Without torch the form stays readable, Launch is off and the install command stands there."""
    monkeypatch.setattr(resources, "missing_torch", lambda: True)
    app = explorer("lab")
    assert "pip install torch transformers peft accelerate" in [code.value for code in app.code]
    assert button(app, "Launch").disabled


def test_lab_shows_a_running_job_in_any_tab(explorer, jobs):
    """A job under way shows its phase, its rate, the time left and its loss curve wherever the Lab is opened."""
    job = jobs.submit("train", TrainSettings(model="stand-in").to_dict())
    jobs.put(job, state="running", started=job.created)
    jobs.reports[job.id] = Recorder()
    jobs.reports[job.id].updates += [Progress("train", step, 8, "steps", 2.0, 3.0, {"loss": 2.0 / step}) for step in (1, 2)]
    app = explorer("lab")
    assert [bar.text for bar in app.get("progress")] == ["Step 1 of 2, training\\: 2 of 8 steps, 2.0 a second, about 3 s left in this step"]
    assert app.get("progress")[0].value == 12
    assert charts(app)[0]["data"][0]["y"] == [2.0, 1.0]
    button(app, "Cancel").click().run()


def test_titles_tell_runs_apart(explorer):
    """A run's title holds every setting that is not the default, and when it was made."""
    from pages._ui.titles import run_title

    explorer("results")
    settings = TrainSettings(model="stand-in", learning_rate=3e-3, method="lora", test_limit=20)
    line = {"n": 60, "method": "lora", "seed": 0, "created": "2026-11-23T12:00:05+00:00", "shipped": False}
    run = SimpleNamespace(model="stand-in", source="/tmp/mine.csv", **line)
    assert run_title(run) == "stand-in · mine.csv · n = 60 · LoRA · 2026-11-23 12:00 UTC"
    run.settings = settings
    assert run_title(run) == "stand-in · mine.csv · n = 60 · LoRA · 20 test facts per relation · 2026-11-23 12:00 UTC"


def test_a_runs_settings_are_told_as_a_short_table(explorer):
    """Results lists what differs from the defaults by its visible name, and the versions."""
    tables = [frame.value for frame in explorer("results", query={"unfolded": "made-with"}).dataframe]
    settings, versions = tables[-2:]
    assert settings.to_dict("list") == {"Setting": ["Model", "Facts", "Examples (n)"], "Value": ["stand-in", "atlas", "60"]}
    assert versions.to_dict("list") == {"Package": ["torch"], "Value": ["2"]}


# --- Aliases


def test_alias_rows_of_separators_only_are_refused():
    """A row that would be passed over without a word is told instead."""
    from pages._ui.facts.alias_panel import _check

    _check([{"name": "USA", "same_as": ""}, {"name": None, "same_as": None}])
    with pytest.raises(FactsError, match=r"Row 2: ' \| ' holds no name"):
        _check([{"name": "USA", "same_as": "U.S."}, {"name": "UK", "same_as": " | "}])


# --- Results


def test_results_show_accuracy_headline_and_changes(explorer):
    """Results draws both domains, the headline with intervals, and the facts that flipped."""
    app = explorer("results")
    assert [metric.value for metric in app.metric] == ["41.7%", "33.3%", "23.9%", "19.4%"]
    assert app.metric[0].delta == "+34.3 points"
    assert "39.7 to 43.7% (95%, from the levels' Wilson intervals)" in words(app)
    assert "without echo facts: 41.7%" in words(app)
    counts, changed = app.dataframe[0].value, app.dataframe[1].value
    assert list(counts.columns) == ["level", "gained", "lost", "kept", "still wrong"]
    assert int(counts.drop(columns="level").to_numpy().sum()) == 300
    assert set(changed["change"]) == {"gained", "lost"}
    assert "It is no evidence about large models" in words(app)


def test_results_split_contested_from_uncontested(explorer):
    """Where contested facts are known the charts can be drawn for them alone."""
    app = explorer("results")
    app.segmented_control(key="pick-part").set_value("contested").run()
    assert not app.exception
    assert len(charts(app)) == 2
    facts = standin.facts_and_levels()
    assert int(app.dataframe[0].value.drop(columns="level").to_numpy().sum()) == facts["contested"].sum()
    assert "Everything below is about contested test facts only." in words(app)


def test_results_read_a_run_folder_through_the_core(explorer):
    """The same page over the real workflows and a run folder on disk, whole and split by contested facts."""
    app = explorer("results", real=True)
    assert app.selectbox(key="pick-run").options == ["stand-in · atlas · n = 60 · all weights · shipped example"]
    assert [metric.value for metric in app.metric] == ["41.7%", "33.3%", "23.9%", "19.4%"]
    counts = {}
    for part in ("contested", "uncontested"):
        app.segmented_control(key="pick-part").set_value(part).run()
        assert not app.exception
        ticks = charts(app)[0]["layout"]["xaxis"]["ticktext"]
        counts[part] = sum(int(tick.partition("n = ")[2]) for tick in ticks)
    facts = standin.facts_and_levels()
    assert sum(counts.values()) == ((facts["domain"] == "in") & facts["level"].notna()).sum()


def test_results_say_that_a_run_was_judged_by_an_earlier_rule(explorer, monkeypatch):
    """Where today's matching rule may judge its answers otherwise; else nothing is said of rules."""
    assert "earlier matching rule" not in words(explorer("results"))
    monkeypatch.setattr(resources, "run_rule", lambda run_id: "The answers of this run were judged by an earlier matching rule.")
    assert "judged by an earlier matching rule" in words(explorer("results"))


def test_results_without_runs_point_to_the_lab(explorer):
    """No run is an empty state."""
    assert "No run has finished yet." in words(explorer("results", with_runs=False))


def test_results_of_a_damaged_run_say_what_to_do(explorer, monkeypatch):
    """What the core can't read is told in its words."""

    def damaged(run_id):
        raise ModelUnavailable("The run can't be read. Delete it and train again.")

    monkeypatch.setattr(resources, "run", damaged)
    app = explorer("results")
    assert [error.value for error in app.error] == [r"The run can't be read\. Delete it and train again\."]


def test_an_unknown_run_in_a_link_falls_back_to_the_newest(explorer):
    """A link to a run that is gone opens the newest one and says so."""
    app = explorer("results", query={"run": "../../etc"})
    assert [warning.value for warning in app.warning] == [r"There is no run '\.\./\.\./etc' here; showing the newest."]
    assert app.selectbox(key="pick-run").value == standin.RUN


# --- Jobs


def test_jobs_without_any_point_to_the_lab(explorer):
    """No job is an empty state."""
    assert "No jobs yet" in words(explorer("jobs"))


def test_failed_jobs_show_their_error_and_last_log_lines(explorer, jobs):
    """A failed job tells its error and the end of its log; a finished one links to its result."""
    jobs.reports["a"] = Recorder()
    jobs.reports["a"].lines += ["step 3", "<b>died</b>"]
    base = {"kind": "train", "settings": TrainSettings(model="stand-in").to_dict(), "created": "2026-11-23T12:00:00+00:00"}
    jobs.kept["a"] = Job(
        id="a", state="failed", error="The device had no room. Use a smaller batch size.\nstep 3", finished="2026-11-23T12:01:00", **base
    )
    jobs.kept["b"] = Job(id="b", state="done", result=standin.RUN, finished="2026-11-23T12:01:00", **base)
    app = explorer("jobs")
    assert [error.value for error in app.error] == [r"The device had no room\. Use a smaller batch size\."]
    assert "step 3\n<b>died</b>" in [code.value for code in app.code]
    assert links(app) == ["**See the results**"]


def test_jobs_that_are_over_can_be_cleared(explorer, jobs):
    """The button asks the core to forget what is over; one that waits stays on the page, and without others there is no button."""
    base = {"kind": "train", "settings": TrainSettings(model="stand-in").to_dict(), "created": "2026-11-23T12:00:00+00:00"}
    waiting = jobs.submit("train", base["settings"]).id
    jobs.kept["b"] = Job(id="b", state="done", result=standin.RUN, finished="2026-11-23T12:01:00", **base)
    app = explorer("jobs")
    button(app, "Clear the list").click().run()
    assert not app.exception
    assert list(jobs.kept) == [waiting]
    assert "Clear the list" not in [shown.label for shown in app.button]


def test_titles_tell_jobs_apart(explorer, jobs):
    """Every setting that is not the default stands in a job's title; the default learning rate does not."""
    from pages._ui.titles import job_title

    explorer("jobs")
    special = TrainSettings(model="stand-in", levels=(2, 3), method="lora", learning_rate=0.01, epochs=3, seed=3, balance="level")
    usual = TrainSettings(model="stand-in", learning_rate=4e-4)
    probe = ProbeSettings("stand-in", split="all", limit=50, domain="in")
    titles = [job_title(jobs.submit(kind, s.to_dict())) for kind, s in (("train", special), ("train", usual), ("probe", probe))]
    assert titles == [
        "Fine-tune stand-in on 60 examples of atlas · levels L2+L3 · balanced by relation and level · LoRA · learning rate 0.01 · 3 epochs"
        " · seed 3",
        "Fine-tune stand-in on 60 examples of atlas",
        "Probe stand-in on atlas (all splits) · in-domain · at most 50 facts",
    ]


@pytest.mark.parametrize("page", ["memory", "lab", "results", "jobs"])
def test_a_broken_queue_is_told_on_every_page(explorer, page):
    """When the queue can't be read, a page says so in words."""

    class Broken(FakeExecutor):
        def jobs(self, *arguments, **more):
            raise ModelUnavailable("The queue can't be read.")

        counts = stamp = queue = jobs

    with use_executor(Broken()):
        assert r"The queue can't be read\." in [error.value for error in explorer(page).error]


def test_results_that_cannot_be_read_are_counted(explorer, monkeypatch):
    """A run of a newer version is not silently missing: Results says that it is there, and why it is not shown."""
    app = explorer("results")
    assert not app.expander or "not shown" not in " ".join(box.label for box in app.expander)
    st.cache_data.clear()
    reasons = [(None, f"run-{number}/manifest.json has schema 99: *another* version wrote it.") for number in range(7)]
    monkeypatch.setattr(sys.modules["sftqa_core.workflows"], "unreadable_results", lambda: reasons)
    app.run()
    assert "7 results are not shown" in [box.label for box in app.expander]
    assert r"\*another\* version wrote it" in words(app)
    assert "2 more: 'sftqa cache verify' lists them all." in words(app)
