"""The lesson over what ships: its steps in the address, guesses before truths, one job for a class, presenter mode."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from streamlit.testing.v1 import AppTest

from pages._ui.learn import amount_step, asking_step, learn_reads, memory_step, models_step, own_step, unknown_step
from sftqa_core import workflows
from sftqa_core.jobs import use_executor
from sftqa_core.jobs.ask_files import use_ask_service
from sftqa_core.jobs.ask_service import FakeAskService, ServiceState, Standing
from sftqa_core.jobs.local import LocalExecutor
from sftqa_core.jobs.queue import new_job
from sftqa_core.progress import Progress
from sftqa_core.records import PAPER, TrainSettings
from sftqa_core.records.asking import Warm
from tests.amount import few
from tests.pages.ask_standin import reply
from tests.pages.conftest import words

CLASS = 20  # visitors
UNTOLD = [  # a step, what was guessed there, and why nobody can tell
    (*step, taken, *verdict)
    for step in (("4", "unknown"), ("5", "models"))
    for taken in ("better", "none", "worse")
    for verdict in (("cannot tell", "the interval holds 0"), ("too few facts to tell", "there are too few facts"))
]


def plain(app: AppTest) -> str:
    return words(app).replace("\\", "").replace("\u2060", "")


def press(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click().run()
    assert not app.exception, app.exception
    return app


def figures(app: AppTest) -> list[dict]:
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def keys(app: AppTest) -> list[str]:
    return [button.key for button in app.button]


def step_of(app: AppTest) -> str:
    return (app.header or app.title)[0].value  # presenter mode has no other title


# ---- the frame ----
def test_the_address_names_the_step_and_the_buttons_walk_through_it(page):
    """Next and back write it; the first step needs no name; there is no way before the first nor behind the last."""
    app = page("learn", step="3")
    assert step_of(app) == "How many examples does it take until it answers?"
    press(app, "learn-next")
    assert (app.query_params["step"], step_of(app)) == ("4", "Should you teach it what it does not know?")
    press(press(press(app, "learn-back"), "learn-back"), "learn-back")
    assert "step" not in app.query_params
    assert app.button(key="learn-back").disabled
    last = page("learn", step="6")
    assert last.button(key="learn-next").disabled


@pytest.mark.parametrize("presenting", [{}, {"present": "1"}], ids=["page", "presenter"])
def test_a_step_that_is_not_there_is_said(page, presenting):
    """The first is shown; markup in the address is text."""
    app = page("learn", step="<b>9</b>", **presenting)
    assert "There is no step '<b>9</b>' here; showing" in plain(app)
    assert step_of(app).startswith("You ask a model")


def test_presenter_mode_shows_nothing_but_the_step_and_has_keys(page):
    """No title, no row of steps, no teacher's notes; arrows and Escape are the buttons' own keys; the way out keeps the step."""
    app = page("learn", step="2", present="1")
    assert [title.value for title in app.title] == ["How well does it know this fact?"]
    assert not app.segmented_control
    assert not app.expander
    assert [box.proto.popover.label for box in app.get("popover")] == ["Why?"]
    shortcuts = {key: app.button(key=f"learn-{key}").proto.shortcut for key in ("back", "next", "leave")}
    assert shortcuts == {"back": "left", "next": "right", "leave": "escape"}
    press(app, "learn-leave")
    assert (app.title[0].value, app.query_params["step"]) == ("Learn", "2")
    assert "present" not in app.query_params
    assert app.button(key="learn-next").proto.shortcut == ""  # a key that turns the page would be one that scrolls it


def test_presenter_mode_walks_from_screen_to_screen(page):
    """The first step has two, each with one thing to do; leaving takes the screen out of the address, and shows both."""
    app = page("learn", present="1")
    assert "ask-learn" in keys(app)
    assert not [key for key in keys(app) if key.startswith("guess-")]
    assert "Step 1 of 6, screen 1 of 2" in plain(app)
    press(app, "learn-next")
    assert app.query_params["screen"] == "2"
    assert "ask-learn" not in keys(app)
    assert "guess-answers-few" in keys(app)
    press(app, "learn-next")
    assert (app.query_params["step"], "screen" in app.query_params) == ("2", False)
    assert "Step 2 of 6" in plain(app)
    press(app, "learn-back")
    assert ("step" in app.query_params, app.query_params["screen"]) == (False, "2")
    press(app, "learn-leave")
    assert not app.query_params.keys() & {"screen", "present"}
    assert {"ask-learn", "guess-answers-few"} <= set(keys(app))


def test_a_screen_that_is_not_there_is_said(page):
    """The first of the step is shown."""
    assert "There is no screen '3' here; showing the first." in plain(page("learn", step="5", screen="3", present="1"))


def test_each_step_has_its_method_and_a_teachers_note(page):
    """Folded; drawn when they are opened, with something to ask the class."""
    app = page("learn", step="6", unfolded="why-6,teach-6")
    folds = [fold.label for fold in app.expander]
    assert folds == ["Why? The method", "For teachers: what to ask the class"]
    for step in (asking_step, memory_step, amount_step, unknown_step, models_step, own_step):
        assert min(len(step.WHY), len(step.TEACH)) > 200
        assert "?" in step.TEACH
    assert own_step.WHY.replace("\n\n", " ")[:80] in plain(app)
    assert own_step.TEACH in plain(app)


def test_without_a_model_the_page_says_where_to_get_one(explorer):
    """No model at all, and a machine that has others only."""
    assert "There is no model on this machine yet" in plain(explorer("learn", with_models=False))
    assert "The lesson is given on the built-in model atlas-llama, which this copy lacks." in plain(explorer("learn"))


# ---- the steps ----
def test_the_first_step_asks_only_when_asked(page):
    """Three questions of three levels; the button asks the base model the one that is picked; the share comes after a guess."""
    with use_ask_service(FakeAskService()) as service:
        app = page("learn")
        assert service.asked == []
        assert "L4 in atlas-llama" in plain(app)
        press(app, "learn-question-2")
        assert "L0 in atlas-llama" in plain(app)
        press(app, "ask-learn")
        (column,) = service.asked
        assert column.model == "atlas-llama"
        assert column.question.text in app.button(key="learn-question-2").label.replace("\\", "")
    assert "11.1%" not in plain(app)
    press(app, "guess-answers-few")
    assert "You are right: of all test questions of these topics the base model answers **11.1%** (9.6 to 12.8%; 1,520 facts)" in plain(app)
    assert "With 4 answered questions in front of each: **9.4%** (8.0 to 11.0%; 1,520 facts)." in plain(app)
    press(press(app, "again-answers"), "guess-answers-most")
    assert "Not what you guessed" in plain(app)


def test_opening_the_first_step_starts_what_answers_and_asks_nothing(page):
    """Once, for all visitors; other steps start nothing."""
    with use_ask_service(FakeAskService()) as service:
        page("learn", step="2")
        assert not service.state().alive
        page("learn")
        assert service.state().alive
        assert service.asked == []


def test_a_presented_reply_is_the_answer_and_its_samples(page, monkeypatch):
    """Nothing of weights, tokens and RAM; the button stays where it is, and nothing is left to ask."""
    monkeypatch.setattr("pages._ui.asking.ask_panel._PATIENCE_S", 0.0)
    with use_ask_service(FakeAskService()) as service:
        app = press(page("learn", present="1"), "ask-learn")
        (column,) = service.asked
        service.settle(column, Standing("done", reply=reply(column)))
        service.service = ServiceState(True, held=(Warm("atlas-llama", 9_400_000, "cpu"),), ram_bytes=500_000_000)
        app.run()
        assert app.button(key="ask-learn").disabled
        shown = plain(app)
        assert "atlas-llama's most probable answer" in shown
        assert len(app.get("plotly_chart")) == 1
        assert not app.dataframe
        for noise in ("weights", "Loaded", "RAM", "Token by token", "test fact of"):
            assert noise not in shown
        press(app, "learn-leave")
        assert "weights" in plain(app)
        assert "Loaded: atlas-llama" in plain(app)


@pytest.mark.parametrize(
    ("low", "high", "few", "half", "most"),
    [(0.20, 0.24, "right", "not", "not"), (0.23, 0.27, "close", "close", "not"), (0.70, 0.76, "not", "close", "close"),
     (0.80, 0.90, "not", "not", "right"), (0.25, 0.75, "not", "right", "not"), (0.10, 0.90, "close", "close", "close")],
)  # fmt: skip
def test_a_guess_at_a_share_is_judged_by_its_interval(low, high, few, half, most):
    """An interval across a border judges no guess on either side of it; what it leaves out is wrong."""
    said = {"right": "You are right", "not": "Not what you guessed", "close": "Too close to tell whether you are right"}
    judged = [asking_step._judged(taken, low, high) for taken in ("few", "half", "most")]
    assert judged == [said[few], said[half], said[most]]


@pytest.mark.parametrize(
    ("shots", "mean", "words"),
    [
        (4, None, "4 answered questions"),
        (1, None, "1 answered question"),
        (16, 2.7, "2.7 answered questions on average (of 16: no more fitted)"),
    ],
)
def test_the_answered_questions_in_front_are_those_that_fitted(shots, mean, words):
    """The run's own number; the mean where the window held fewer."""
    assert asking_step._in_front(shots, mean) == words


@pytest.mark.parametrize(
    ("level", "low", "high", "others"),
    [
        ("L0", 0.0, 0.018, ["L1"]),
        ("L1", 0.0008, 0.0265, ["L0"]),  # one completion of 210
        ("L1", 0.0741, 0.159, []),
        ("L1", 0.1542, 0.2554, ["L2"]),
        ("L2", 0.24, 0.51, ["L1", "L3"]),
        ("L3", 0.5, 0.75, ["L2"]),  # 0.5 is the last of L2, 0.75 the last of L3
        ("L4", 0.833, 0.9021, []),
    ],
)
def test_another_draw_may_give_each_level_that_the_interval_reaches(level, low, high, others):
    """By the scheme's cut-offs: a level holds its upper border."""
    assert memory_step._reached(level, low, high, 210) == others


def test_a_level_near_a_border_is_said_to_be_near_it(page):
    """The first fact's R of 0.533 has an interval from below 0.5; the fifth's, of 0.871, crosses none."""
    ids = workflows.quiz(workflows.profile("atlas-llama", "atlas", "test", "in", PAPER), 5)
    near = plain(press(page("learn", step="2"), f"guess-level-{ids[0]}-L3"))
    assert "So near a border, another draw may say L2." in near
    far = plain(press(page("learn", step="2", round="5"), f"guess-level-{ids[4]}-L4"))
    assert "You are right: **L4** is the measured level." in far
    assert "another draw may say" not in far


def test_a_level_is_revealed_after_the_guess_and_guesses_are_counted(page):
    """210 completions with their answers; the score has its interval, and few guesses tell nothing."""
    ids = workflows.quiz(workflows.profile("atlas-llama", "atlas", "test", "in", PAPER), 30)
    rows = workflows.profile("atlas-llama", "atlas", "test", "in", PAPER).table.set_index("fact_id").loc[ids]
    first, second = (f"L{level}" for level in rows["level"].head(2))
    app = page("learn", step="2")
    assert "completions name" not in plain(app)
    assert not app.get("plotly_chart")
    press(app, f"guess-level-{ids[0]}-{first}")
    assert (
        f"You are right: **{first}** is the measured level. {rows['hits'].iloc[0]:.0f} of 210 completions name the right answer"
        in plain(app)
    )
    assert len(app.get("plotly_chart")) == 1
    press(app, "learn-another")
    assert app.query_params["round"] == "2"
    wrong = next(label for label in PAPER.labels if label != second)
    press(app, f"guess-level-{ids[1]}-{wrong}")
    assert f"Not {wrong}: **{second}** is the measured level." in plain(app)
    assert "**1 of 2** right (9 to 91%). Blind guessing: 20%; too few to tell" in plain(app)


def test_the_first_guess_at_a_fact_is_the_one_that_counts(page):
    """It can't be taken back once the level is shown; neither a late press of another button nor the way back changes it."""
    (first,) = workflows.quiz(workflows.profile("atlas-llama", "atlas", "test", "in", PAPER), 1)
    app = page("learn", step="2")
    late = app.button(key=f"guess-level-{first}-L3")  # it is at L3
    press(app, f"guess-level-{first}-L0")
    late.click().run()
    assert "Your guess: **L0**" in plain(app)
    assert f"again-level-{first}" not in keys(app)
    assert "**0 of 1** right" in plain(app)
    press(press(app, "learn-next"), "learn-back")
    assert "Your guess: **L0**" in plain(app)


def test_all_facts_guessed_are_enough_to_tell_a_score(page):
    """The last of 30 facts, with the levels of all taken: better than blind guessing; then the first comes again."""
    profile = workflows.profile("atlas-llama", "atlas", "test", "in", PAPER)
    ids = workflows.quiz(profile, 30)
    levels = profile.table.set_index("fact_id")["level"]
    app = page("learn", step="2", round="30")
    assert "fact 30 of 30" in plain(app)
    app.session_state["learn-guesses"] = {f"level-{fact_id}": f"L{levels[fact_id]}" for fact_id in ids}
    app.run()
    assert "**30 of 30** right (89 to 100%). Blind guessing: 20%; better than blind guessing." in plain(app)
    press(app, "learn-another")
    assert "fact 1 of 30" in plain(app)


@pytest.mark.parametrize(
    ("right", "made", "words"),
    [(3, 29, "too few"), (20, 30, "better than blind"), (6, 30, "cannot tell from blind"), (0, 30, "worse than blind")],
)
def test_a_score_is_told_from_blind_guessing_by_its_interval(right, made, words):
    """Wilson's, against one in five; nothing below 30 guesses."""
    assert words in memory_step._tally(right, made)


@pytest.mark.parametrize("wanted", ["0", "31", "x", "٣", "99999999999"])
def test_a_round_that_is_not_there_is_the_first(page, wanted):
    """Whatever the address says."""
    assert "fact 1 of 30" in plain(page("learn", step="2", round=wanted))


def test_results_that_are_there_are_shown_at_once_but_after_the_guess(page, jobs):
    """60 ships: nobody has to train it. Two are missing, so nothing is said of the guess but what is known."""
    app = page("learn", step="3")
    assert "37.6%" not in words(app)
    assert [app.button(key=f"learn-train-{n}").disabled for n in (10, 240)] == [True, True]
    press(app, "guess-examples-60")
    assert [metric.value for metric in app.metric] == ["11.1%", "37.6%"]
    assert "95% 35.2 to 40.0%; 1,520 facts" in plain(app)
    assert "Is 60 enough? Cannot tell yet: 2 of the runs are missing." in plain(app)
    assert "learn-train-60" not in keys(app)
    press(press(app, "again-examples"), "guess-examples-0")
    assert "**0 is too few**: with 60 examples accuracy changes by +26.4 points (95% +" in plain(app)
    assert jobs.jobs() == []


def test_visitors_who_press_the_same_button_get_one_job(page, jobs):
    """Each has a page from before the first press; all see the progress of the one job, whose settings are those of the Lab's own form."""
    visitors = [press(page("learn", step="3"), "guess-examples-60") for _ in range(3)]
    for visitor in visitors:
        press(visitor, "learn-train-240")
    (job,) = jobs.jobs()
    assert TrainSettings.from_dict(job.settings) == TrainSettings(model="atlas-llama", source="atlas", n=240)
    assert not any("learn-train-240" in keys(visitor) for visitor in visitors)
    assert [len(visitor.get("progress")) for visitor in visitors] == [1, 1, 1]


@pytest.mark.parametrize(
    ("spent_s", "steps", "words"),
    [
        (0, [], "about 20 s to 2 min left in all"),
        (30, [], "up to about 90 s left in all"),
        (30, [Progress("answers: before", 5, 10, "facts", 1.0, 40.0)], "about 40 s to 90 s left in all"),
        (30, [Progress("answers: after", 5, 10, "facts", 1.0, 7.0)], "about 7 s left in all"),
        (200, [], "longer than forecast"),
    ],
)
def test_what_is_left_of_a_run_is_corrected_as_it_runs(spent_s, steps, words):
    """The forecast less what is spent, no less than its step reports; of the last step what that reports."""
    started = datetime.now(UTC) - timedelta(seconds=spent_s)
    job = replace(new_job("train", learn_reads.settings(10).to_dict(), (20.0, 120.0)), state="running", started=started.isoformat())
    assert amount_step._left(job, steps) == words


def test_a_run_without_a_forecast_says_nothing_of_what_is_left():
    """An empty line."""
    assert amount_step._left(new_job("train", {}), []) == ""


def test_a_class_that_presses_at_the_same_moment_gets_one_job(workspace):
    """Twenty threads and the real queue, with no worker that would begin."""

    class Idle(LocalExecutor):
        def work_on(self) -> bool:
            return False

    with use_executor(Idle(workspace)) as executor, ThreadPoolExecutor(CLASS) as visitors:
        together = Barrier(CLASS)

        def visit() -> None:
            together.wait()
            amount_step._start(240, ())

        for visitor in [visitors.submit(visit) for _ in range(CLASS)]:
            visitor.result()
        assert [job.settings["n"] for job in executor.jobs()] == [240]


def test_a_press_after_the_run_was_finished_by_others_starts_nothing(page, jobs, monkeypatch):
    """The page is from before: the button looks once more."""
    app = press(page("learn", step="3"), "guess-examples-60")
    monkeypatch.setattr(learn_reads, "finished_now", lambda n: "somebody's run")
    press(app, "learn-train-240")
    assert jobs.jobs() == []


def test_a_run_that_failed_says_why_and_can_be_tried_again(page, jobs):
    """In the words of its job."""
    app = press(page("learn", step="3"), "guess-examples-60")
    press(app, "learn-train-10")
    (job,) = jobs.jobs()
    jobs.put(job, state="failed", error="The disk is full.", finished=job.created)
    app.run()
    assert "The disk is full." in plain(app)
    press(app, f"again-learn-{job.id}")
    assert jobs.status(job.id).state == "queued"


def test_unknown_facts_are_predicted_then_shown(page):
    """The shipped study: 240 examples of L0 instead of L4, three seeds, an interval that leaves out 0."""
    app = page("learn", step="4")
    assert not app.get("plotly_chart")
    press(app, "guess-unknown-better")
    text = plain(app)
    assert (
        "Not what you predicted: unknown facts are **worse**. 240 examples of L0 instead of L4 change accuracy by -11.6 points (95% -13.8"
        in text
    )
    assert "1,520 facts, 3 seeds): **32.2%**" in text
    (chart,) = figures(app)
    names = chart["layout"]["xaxis"]["ticktext"]
    assert [name.split("<br>")[0] for name in names] == ["<b>L0</b>", "<b>L1</b>", "<b>L2</b>", "<b>L3</b>", "<b>L4</b>", "<b>all</b>"]
    assert "all: every test fact counts once" in text


def test_two_models_are_predicted_then_shown(page):
    """What they read differs by their own settings; the one that read the facts more often answers more."""
    app = page("learn", step="5")
    assert "- documents of questions and answers: **20,000** and **30,000**" in plain(app)
    assert "- how often facts are mentioned, against the first: **1** and **0.7**" in plain(app)
    press(app, "guess-models-worse")
    text = plain(app)
    assert "You predicted it: **atlas-llama answers more**. atlas-llama-sparse beside atlas-llama: -5.5 points (95% -8.0 to -3.1;" in text
    assert "**32.5%** (30.3 to 34.7%; 1,520 facts) right answers against **38.0%**" in text
    answers, levels = figures(app)
    assert {trace["name"]: trace["text"] for trace in answers["data"]} == {
        "before": ["<b>11.1%</b>", "<b>10.3%</b>"], "after 60 examples": ["<b>38.0%</b>", "<b>32.5%</b>"]
    }  # fmt: skip
    assert {"L0", "L4"} <= {trace.get("name") for trace in levels["data"]}


def test_what_two_models_knew_is_presented_after_the_prediction(page):
    """A screen of its own; before it says what to do first."""
    app = page("learn", step="5", screen="2", present="1")
    assert "Go back, and predict first." in plain(app)
    assert not app.get("plotly_chart")
    press(press(press(app, "learn-back"), "guess-models-worse"), "learn-next")
    assert len(app.get("plotly_chart")) == 1
    assert "What each knew **before** it was tuned" in plain(app)


@pytest.mark.parametrize(("step", "about", "taken", "verdict", "why"), few(UNTOLD, UNTOLD[0], UNTOLD[-1]))
def test_no_guess_is_judged_where_nobody_can_tell(page, monkeypatch, step, about, taken, verdict, why):
    """Neither "no difference" nor a direction is called right or wrong; the numbers are shown all the same."""
    tested = unknown_step.micro_test
    for module in (unknown_step, models_step):
        monkeypatch.setattr(module, "micro_test", lambda comparison: replace(tested(comparison), verdict=verdict))
    text = plain(press(page("learn", step=step), f"guess-{about}-{taken}"))
    assert f"**Nobody can tell from these runs**, whatever was predicted: {why}. " in text
    assert "1,520 facts, 3 seeds)" in text
    assert "You predicted it" not in text
    assert "Not what you predicted" not in text


@pytest.mark.parametrize(("step", "way"), [("4", "pages/which_data.py"), ("5", "pages/which_model.py")])
def test_without_the_studies_a_step_says_where_they_are_made(page, monkeypatch, step, way):
    """No guess, no claim."""
    monkeypatch.setattr("pages._ui.background.studies", list)
    app = page("learn", step=step)
    assert "No finished study here" in plain(app)
    assert not [key for key in keys(app) if key and key.startswith("guess-")]


def test_own_facts_are_named_where_there_are_any(page, workspace):
    """A file that was added is named, as text; without one the step says what to expect."""
    assert "No facts of your own are here yet. atlas-llama has read only its invented world" in plain(page("learn", step="6"))
    workspace.uploads.mkdir(parents=True, exist_ok=True)
    (workspace.uploads / "my_facts.csv").write_text("relation,subject,object\nP19,A,B\n")
    assert "Facts of your own that are here already: my_facts.csv." in plain(page("learn", step="6"))
