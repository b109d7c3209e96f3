"""The editor for templates: every line is checked, tried with a model, and saved beside the file."""

import json

import pytest

from sftqa_core.jobs.executor import FakeExecutor
from sftqa_core.knowledge.relations import Relation, relations_toml
from sftqa_core.knowledge.tables.files import read_relations
from tests.pages.conftest import words

FACTS = "relation,subject,object\nrivers,the Rhine,North Sea\nrivers,<b>Po</b> *x*,Adriatic\n"
TWO = ("{subject} flows into", "The mouth of {subject} is in")


@pytest.fixture
def waters(tmp_path):
    path = tmp_path / "waters.csv"
    path.write_text(FACTS)
    return path


@pytest.fixture
def executor(jobs):
    """Jobs that complete each prompt with its number of characters, thrice."""
    jobs._run_job = lambda kind, settings, reporter, token: json.dumps([[f" {len(text)}"] * 3 for text in settings["prompts"]])
    return jobs


def field(app, kind, label):
    return next(element for element in app.get(kind) if element.label == label)


def press(app, label):
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception, app.exception
    return app


def typed(app, text, again="Write templates"):
    """Fill in the templates. A run of a test is a run of the whole page, so the dialog is opened once more."""
    field(app, "text_area", "Templates, one a line").set_value(text)
    return press(app, again)


def opened(explorer, path, label):
    return press(explorer("memory", query={"source": str(path), "split": "all"}), label)


def test_a_file_without_templates_leads_to_the_editor(explorer, waters, executor):
    """Memory says which relations have none, checks each line as it is typed, and counts."""
    app = explorer("memory", query={"source": str(waters)})
    assert [info.value for info in app.info] == ["These facts can't be used yet. There are no templates for rivers."]
    press(app, "Write templates")
    assert field(app, "text_input", "Question").value == "What is the rivers of {subject}?"
    assert next(button for button in app.button if button.label == "Save beside the file").disabled
    typed(app, f"{TWO[0]}\n\n  {TWO[1]} \nno subject in\n{TWO[0]}\n{{subject}} ends in,")
    assert "**5 of 21 templates**" in words(app)
    table = app.dataframe[0].value
    assert table["Statement"].tolist()[:2] == ["the Rhine flows into", "The mouth of the Rhine is in"]
    assert table["Check"].tolist() == [
        "ok",
        "ok",
        "must hold {subject} (or {question}) exactly once, got no placeholder in 'no subject in'.",
        "has the same words as template 1.",
        "must end with a word, got ',' at the end of '{subject} ends in,'.",
    ]
    assert "Template 4 has the same words as template 1" in app.error[0].value
    assert next(button for button in app.button if button.label == "Save beside the file").disabled


def test_templates_are_saved_beside_the_file(explorer, waters, executor):
    """Once all is right the button writes the file of relations, and the page shows the facts."""
    app = opened(explorer, waters, "Write templates")
    field(app, "text_input", "Question").set_value("Where does {subject} end?")
    typed(app, "\n".join(TWO))
    press(app, "Save beside the file")
    expected = Relation("rivers", "rivers", "in", "Where does {subject} end?", TWO)
    assert read_relations(waters.with_name("waters.relations.toml")) == {"rivers": expected}
    assert [toast.value for toast in app.toast] == ["Saved. Probes and runs use these templates from now on."]
    press(app, "Templates")
    assert field(app, "text_area", "Templates, one a line").value == "\n".join(TWO)


def test_a_model_completes_the_good_templates(explorer, waters, executor: FakeExecutor):
    """One job with what is right and not known yet; its texts stand beside the templates as long as those stay."""
    app = opened(explorer, waters, "Write templates")
    typed(app, f"{TWO[0]}\nwrong")
    press(app, "Try with stand\\-in")
    (job,) = executor.jobs()
    assert (job.kind, job.settings["model"], job.settings["prompts"], job.settings["samples"]) == (
        "complete", "stand-in", ["the Rhine flows into"], 3,
    )  # fmt: skip
    executor.run_all()
    press(app, "Write templates")
    table = app.dataframe[0].value
    assert table[["Completion 1", "Completion 2", "Completion 3"]].to_numpy().tolist() == [["20", "20", "20"], ["", "", ""]]
    assert next(button for button in app.button if button.label == "Try with stand\\-in").disabled
    typed(app, "\n".join(TWO))
    assert app.dataframe[0].value["Completion 1"].tolist() == ["20", ""]
    press(app, "Try with stand\\-in")
    assert executor.jobs()[0].settings["prompts"] == ["The mouth of the Rhine is in"]


def test_relations_that_the_file_refuses_are_told(explorer, waters, executor):
    """What only shows when the file is opened with them is the file's own message, and nothing is written."""
    app = opened(explorer, waters, "Write templates")
    field(app, "text_input", "Question").set_value("{question}")
    typed(app, "The answer to {question} is")
    press(app, "Save beside the file")
    assert "relation rivers has no question form with" in app.error[0].value
    assert not waters.with_name("waters.relations.toml").exists()
    assert not app.toast


def test_what_a_job_could_not_do_is_told(explorer, waters, executor):
    """The job's own sentence stands under the table."""
    app = opened(explorer, waters, "Write templates")
    typed(app, TWO[0])
    press(app, "Try with stand\\-in")
    (job,) = executor.jobs()
    executor.put(job, state="failed", error="Memory ran out.")
    press(app, "Write templates")
    assert [error.value for error in app.error] == [r"Memory ran out\."]


def test_a_model_that_is_not_here_is_no_model_to_try(explorer, waters, executor):
    """The sentence says what to do; nothing is downloaded by this button."""
    app = press(explorer("memory", query={"source": str(waters), "model": "owner/far"}), "Write templates")
    typed(app, TWO[0])
    assert r"owner/far is not on this machine yet\. Download it first\." in words(app)
    assert "Try with owner/far" not in [button.label for button in app.button]
    assert executor.jobs() == []


def test_the_texts_of_a_file_are_never_markup(explorer, waters, executor):
    """A relation and a subject full of markup are shown as they stand."""
    waters.write_text("relation,subject,object\n**a** <b>c</b>,<b>Po</b> *x*,Adriatic\n")
    app = opened(explorer, waters, "Write templates")
    typed(app, TWO[0])
    shown = "".join(element.value for kind in ("markdown", "caption", "info", "error") for element in app.get(kind))
    assert r"\*\*a\*\* \<b\>c\</b\>" in shown
    assert "<b>" not in shown.replace("\\<b\\>", "")
    assert app.dataframe[0].value["Statement"].tolist() == ["<b>Po</b> *x* flows into"]


def test_other_sources_have_no_templates_to_edit(explorer, waters):
    """The built-in world has none of one's own, nor a file of built-in relations."""
    assert "Templates" not in [button.label for button in explorer("memory").button]
    waters.write_text("relation,subject,object\nP19,Ann,Paris\n")
    app = explorer("memory", query={"source": str(waters)})
    assert "Templates" not in [button.label for button in app.button]


def test_the_component_returns_the_relations_that_are_complete(jobs):
    """For other dialogs: relations without templates in, a file of relations out; texts of a relation that is not shown stay."""
    from streamlit.testing.v1 import AppTest

    def page():
        import streamlit as st

        from pages._ui.facts.relations_panel import templates_editor

        st.session_state["toml"] = templates_editor({"rivers": ["the Rhine"], "lakes": ["Baikal"]}, "atlas-llama", "new")

    app = AppTest.from_function(page, default_timeout=120).run()
    assert not app.exception, app.exception
    assert app.session_state["toml"] == ""
    field(app, "text_area", "Templates, one a line").set_value(TWO[0]).run()
    rivers = Relation("rivers", "rivers", "in", "What is the rivers of {subject}?", TWO[:1])
    assert app.session_state["toml"] == relations_toml({"rivers": rivers})
    assert r"1 of 2 relations are complete. Left: lakes." in words(app)
    app.selectbox(key="new-relation").set_value("lakes").run()
    field(app, "text_area", "Templates, one a line").set_value("{subject} lies in").run()
    lakes = Relation("lakes", "lakes", "in", "What is the lakes of {subject}?", ("{subject} lies in",))
    assert app.session_state["toml"] == relations_toml({"rivers": rivers, "lakes": lakes})
