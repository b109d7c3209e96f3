"""The Ask page over made-up replies: nothing is asked unasked, what models wrote is shown as text, and the address holds the question."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from sftqa_core.errors import SettingsError
from sftqa_core.jobs.ask_files import use_ask_service
from sftqa_core.jobs.ask_service import FakeAskService, ServiceState, Standing
from sftqa_core.records import Question
from sftqa_core.records.asking import Warm
from tests.pages import standin
from tests.pages.ask_standin import ASKED, KEPT, LOST, NASTY, column, reply
from tests.pages.conftest import words

LINK = {"q": ASKED, "columns": f"stand-in,{KEPT}"}


@pytest.fixture
def service(monkeypatch) -> Iterator[FakeAskService]:
    """Answers what the test settles; nobody waits for it."""
    monkeypatch.setattr("pages._ui.asking.ask_panel._PATIENCE_S", 0.0)
    with use_ask_service(FakeAskService()) as fake:
        yield fake


def press(app: AppTest, label: str) -> AppTest:
    (button,) = (button for button in app.button if button.label == label)
    button.click().run()
    assert not app.exception, app.exception
    return app


def tables(app: AppTest) -> list[dict[str, list]]:
    return [table.value.to_dict("list") for table in app.dataframe]


def plain(app: AppTest) -> str:
    """The page's words without the signs that keep them from being read as markup."""
    return words(app).replace("\\", "")


def asked(model: str, **more) -> Question:
    right = ("Answer 5",) if model else ()
    return Question(ASKED, right=right, **more)


def test_a_link_asks_nothing_and_offers_to(explorer, service):
    """The question, its columns, its right answer and level are there; the models were not asked."""
    app = explorer("ask", LINK)
    assert service.asked == []
    shown = plain(app)
    assert shown.count("Not asked yet.") == 2
    assert "Right answer: **Answer 5**" in shown
    assert "L3 in stand-in, R = 0.61" in shown
    assert app.text_area[0].value == ASKED
    assert app.multiselect[0].value == ["stand-in", KEPT]


def test_asking_queues_the_columns_and_shows_replies_as_they_come(explorer, service):
    """The base's is there while the tuned model's is still to come; both show whose weights they are."""
    app = press(explorer("ask", LINK), "Ask")
    base, tuned = service.asked
    assert (base.model, tuned.model, base.question) == ("stand-in", KEPT, tuned.question)
    assert base.question == Question(ASKED, right=("Answer 5",), max_new_tokens=16)
    service.settle(tuned, Standing("answering", f"Loading {KEPT}, 9 MB"))
    service.settle(base, Standing("done", reply=reply(base)))
    service.service = ServiceState(True, held=(Warm("stand-in", 9_000_000, "cpu"),), ram_bytes=500_000_000)
    app.run()
    shown = plain(app)
    assert "weights bbbbbbbbbbbbbbbb" in shown
    assert "aaaaaaaaaaaaaaaa" not in shown
    assert "Loaded: stand-in (9.0 MB, cpu)" in shown
    assert _bars(app)[0].startswith("Loading tuned: stand-in")
    service.settle(tuned, Standing("done", reply=reply(tuned, " Answer 5", True)))
    app.run()
    shown = plain(app)
    assert "adapter aaaaaaaaaaaaaaaa · float32 · cpu" in shown
    assert not any(button.label == "Cancel" for button in app.button)


def test_what_models_wrote_is_shown_as_text(explorer, service):
    """In plain text and tables, never in markdown; tokens show their blanks, the end of an answer its name."""
    base = column(asked("stand-in"), "stand-in")
    service.settle(base, Standing("done", reply=reply(base)))
    app = explorer("ask", {"q": ASKED, "columns": "stand-in"})
    assert NASTY in [text.value for text in app.text]
    assert NASTY not in "\n".join(str(element.value) for kind in ("markdown", "caption") for element in app.get(kind))
    samples, scores, steps, likely = tables(app)
    assert scores["answer"] == ["Answer 5 ✓", "Rome"]
    assert scores["total"] == [-2.5, -9.0]
    assert scores["per token"] == [-1.25, -3.0]
    assert steps["token"] == ["␣token0", "(end)"]
    assert likely["probability"] == pytest.approx([50 / (at + 1) for at in range(10)])
    assert (samples["text"], samples["count"]) == ([NASTY, "Cy"], [7, 3])


def test_the_form_writes_the_address_and_asks(explorer, service):
    """Text, kind, columns and answers, in one step; several answers are put apart."""
    app = explorer("ask")
    app.text_area[0].set_value(" Subject is in ")
    app.segmented_control[0].set_value("statement")
    app.multiselect[0].set_value(["stand-in"])
    app.text_input[0].set_value("Rome | Paris, France | Rome")
    press(app, "Ask")
    assert {key: app.query_params[key] for key in ("q", "kind", "columns", "answer")} == {
        "q": "Subject is in",
        "kind": "statement",
        "columns": "stand-in",
        "answer": "Rome | Paris, France | Rome",
    }
    (one,) = service.asked
    assert one.question == Question("Subject is in", "statement", answers=("Rome", "Paris, France"), max_new_tokens=16)


def test_a_text_that_is_too_long_for_an_address_is_asked_and_not_linked(explorer, service):
    """And the page says so."""
    app = explorer("ask", {"columns": "stand-in"})
    app.text_area[0].set_value("Who? " * 300)
    press(app, "Ask")
    assert "q" not in app.query_params
    assert service.asked[0].question.text == ("Who? " * 300).strip()
    assert "a copied link leaves it out" in words(app)


def test_without_a_question_examples_are_offered(explorer, service):
    """Taking one fills in the question and asks nothing; the columns are the newest run and its base."""
    app = explorer("ask")
    assert app.multiselect[0].value == ["stand-in", KEPT]
    press(app, next(button.label for button in app.button if "Subject P19" in button.label))
    assert app.query_params["q"] == ASKED
    assert app.text_area[0].value == ASKED
    assert service.asked == []


def test_waiting_is_told_in_words_and_can_be_cancelled(explorer, service, jobs):
    """Who has the device by the job's title, how many questions stand before, what failed and why."""
    job = jobs.submit("train", {"model": "stand-in", "source": "atlas", "n": 60})
    app = press(explorer("ask", LINK), "Ask")
    base, tuned = service.asked
    service.settle(base, Standing("answering", "Waiting: device in use by", f"job {job.id}"))
    service.settle(tuned, Standing("queued", ahead=2))
    app.run()
    told = _bars(app)
    assert told[0].startswith("Waiting: device in use by Fine-tune stand-in on 60 examples")
    assert told[1] == "Queued: 2 questions before this one."
    press(app, "Cancel")
    assert service.cancelled == [base, tuned]
    assert words(app).count("Not asked yet.") == 2
    service.settle(base, Standing("failed", "The asking process died. Ask again."))
    app.run()
    assert [error.value for error in app.error] == ["The asking process died\\. Ask again\\."]


def _bars(app: AppTest) -> list[str]:
    return [bar.proto.text.replace("\\", "") for bar in app.get("progress")]


def test_a_run_without_weights_says_how_to_make_it_again(explorer, service, monkeypatch):
    """In its own column; the others are asked."""
    app = explorer("ask", {"q": ASKED, "columns": f"stand-in,{LOST}"})
    assert "There is no model or run" in words(app), "a run that is not on the list at all"
    monkeypatch.setattr("tests.pages.ask_standin.LOST", KEPT)
    app = press(explorer("ask", LINK), "Ask")
    assert "did not keep its weights" in plain(app)
    assert [one.model for one in service.asked] == ["stand-in"]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"columns": "nothing,stand-in"}, "There is no model or run 'nothing' here."),
        ({"kind": "poem"}, "There is no kind 'poem'; asking a question."),
    ],
)
def test_what_is_wrong_in_a_link_is_dropped_and_told(explorer, service, query, told):
    """The rest is shown."""
    app = explorer("ask", {"q": ASKED, **query})
    assert told in words(app)
    assert "Right answer" in words(app)


def test_what_the_queue_refuses_is_told(explorer, service, monkeypatch):
    """In its own words."""

    def refuse(columns):
        raise SettingsError("50 questions wait already. Try again in a while.")

    monkeypatch.setattr(service, "ask", refuse)
    app = press(explorer("ask", LINK), "Ask")
    assert [error.value.replace("\\", "") for error in app.error] == ["50 questions wait already. Try again in a while."]


def test_without_models_or_torch_the_page_says_what_is_missing(explorer, service, monkeypatch):
    """No question can be asked then."""
    assert "There is no model on this machine yet" in words(explorer("ask", with_models=False, with_runs=False))
    monkeypatch.setattr("pages._ui.resources.missing_torch", lambda: True)
    assert "Asking a model needs PyTorch" in words(explorer("ask", LINK))


def test_a_panel_elsewhere_has_its_own_button(explorer, service):
    """On a fact's page: nothing is asked until it is pressed; then only what was not asked yet is offered."""
    fact = standin.facts_and_levels().iloc[5]
    app = explorer("fact", {"fact": fact["fact_id"]})
    assert service.asked == []
    assert plain(app).count("Not asked yet.") == 1
    press(app, "Ask")
    (one,) = service.asked
    assert (one.model, one.question.text) == ("stand-in", fact["question"])
    service.settle(one, Standing("done", reply=reply(one)))
    app.run()
    assert "weights bbbbbbbbbbbbbbbb" in plain(app)
    assert [button.disabled for button in app.button if button.label.startswith("Ask")] == [True]
