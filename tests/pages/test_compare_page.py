"""The page Compare over the real core and made-up runs: nothing, one run, several, links that are wrong, what was not kept."""

from __future__ import annotations

import pytest

from sftqa_core.records import TrainSettings
from tests.made_runs import facts_of, made_run
from tests.pages.conftest import words

EVEN = [at % 2 == 0 for at in range(240)]
MORE = [at % 2 == 0 or at % 3 == 0 for at in range(240)]
CELL = "amount-9203b502:atlas-llama"


@pytest.fixture
def compare(explorer):
    """Opens the page with these runs in its address."""

    def open_page(*names: str, **query: str):
        link = {"runs": ",".join(names), **query} if names else query
        return explorer("compare", link, example=False, real=True)

    return open_page


@pytest.fixture
def two(workspace):
    """Two runs on 120 facts a domain: the second, tuned on more, has 20 more right in each."""
    facts = facts_of(count=120)
    made_run("one", EVEN, facts)
    made_run("two", MORE, facts, n=120)


def plain(app) -> str:
    return words(app).replace("\\", "").replace("\u2060", "")


def table_with(app, column):
    """The table on the page that has this column."""
    return next(frame.value for frame in app.dataframe if column in frame.value)


def settings_table(app):
    """A row for each that is compared, however the page draws them."""
    frame = next(frame.value for frame in app.dataframe if "" in frame.value)
    return frame if "In: micro" in frame else frame.set_index("").T


def test_without_runs_it_points_to_the_lab(compare):
    """Nothing to compare: why, and where to go."""
    assert "No run has finished yet." in plain(compare())


def test_without_a_pick_it_shows_the_table_of_runs(compare, two):
    """All runs with what tells them apart, and what will be shown."""
    app = compare()
    runs = table_with(app, "in_macro")
    assert runs["n"].tolist() == [120, 60]
    assert runs["in_micro"].tolist() == pytest.approx([100 * 80 / 120, 50.0])
    assert "Pick two or more runs above" in plain(app)


def test_one_run_stands_beside_its_base(compare, two):
    """Accuracies and facts, nothing to test yet."""
    app = compare("one")
    assert settings_table(app)["In: micro"].str[:5].tolist() == ["50.0%", "0.0% "]
    assert "Pick a second run" in plain(app)
    assert table_with(app, "subject")["A"].tolist()[:2] == ["✓ Object0", "✗ wrong"]


def test_two_runs_are_told_apart(compare, two):
    """The one setting that differs, the verdict in words with its numbers, and the facts on which they disagree."""
    app = compare("one", "two")
    assert settings_table(app)["n"].tolist() == ["60", "120", ""]
    tests = table_with(app, "Verdict")
    assert tests["Verdict"].tolist()[0] == "B is better than A"
    assert (tests["only first"][0], tests["only second"][0], tests["Test"][0]) == (20, 0, "McNemar, exact")
    assert tests["difference"][0] == pytest.approx(16.7)
    items = table_with(app, "subject")
    assert len(items) == 40
    assert set(items["A"]) == {"✗ wrong"}
    assert len(app.get("plotly_chart")) == 2
    assert "240 test facts in common" in plain(app)


def test_the_address_holds_the_filters(compare, two):
    """All facts of one level that hold a word, in one domain; a level that is none is dropped and told."""
    items = table_with(compare("one", "two", show="all", level="L1", facts="in", search="subject 6"), "subject")
    assert items["subject"].tolist() == ["Subject 6", "Subject 61", "Subject 66"]
    assert set(items["level"]) == {"L1"}
    assert "There is no level 'L9' here" in plain(compare("one", level="L9"))


def test_a_link_to_what_is_not_here_says_so(compare, two):
    """Runs and cells that are gone are left out, markup in their names is text, and the rest is shown."""
    app = compare("one", "gone", "<b>x</b>:y")
    assert "There is no run or cell 'gone' here; it is left out." in plain(app)
    assert "There is no run or cell '<b>x</b>:y' here" in plain(app)
    assert not app.exception
    assert len(settings_table(app)) == 2


def test_other_base_models_are_told(compare, workspace):
    """No test of the mean over levels; the levels to use can be picked."""
    facts = facts_of(count=120)
    made_run("one", EVEN, facts)
    made_run("two", MORE, facts, model="other")
    app = compare("one", "two")
    assert "The base models differ: A base (weights of base, float32); B other (weights of other, float32)." in plain(app)
    assert "Not tested, in-domain, mean over levels: other base models (B against A)." in plain(app)
    assert set(table_with(app, "Verdict")["Facts"]) == {"In: micro average", "Out: micro average"}
    assert [box.label for box in app.selectbox if box.label == "Levels of"] == ["Levels of"]


def test_without_facts_in_common_only_settings_are_compared(compare, two):
    """Neither charts nor tests of nothing."""
    made_run("else", EVEN, facts_of("else.csv", 120, "Else"))
    app = compare("one", "else")
    assert "These were asked no fact in common" in plain(app)
    assert len(app.get("plotly_chart")) == 0
    assert settings_table(app)["Facts"].tolist()[:2] == ["facts.csv", "else.csv"]


def test_texts_of_runs_are_never_read_as_markup(compare, workspace):
    """A model with markup in its name is shown as it is called."""
    made_run("one", [at % 2 == 0 for at in range(80)], model="<i>*m*</i>")
    app = compare("one")
    assert "\\*m\\*" in words(app)
    assert "<i>" not in words(app)


def test_seeds_are_pooled_on_request(compare, workspace):
    """One column of two seeds: the switch is in the address."""
    facts = facts_of(count=120)
    made_run("one", EVEN, facts)
    made_run("two", MORE, facts, seed=1)
    app = compare("one", "two")
    assert settings_table(app)["Seed"].tolist() == ["0", "1", ""]
    app.toggle(key="pick-pool").set_value(True).run()
    assert app.query_params["pool"] == "1"
    assert len(settings_table(app)) == 2
    assert "seeds 0, 1" in plain(app)


def test_what_was_not_kept_is_made_again(page, jobs):
    """A cell's settings become one background run that keeps its weights; a second click starts no other."""
    app = page("compare", runs=f"{CELL}:n60:s1", unfolded="remake")
    assert not app.exception
    assert "on this machine" in plain(app)
    next(button for button in app.button if button.label == "Make it again").click().run()
    (job,) = jobs.jobs()
    settings = TrainSettings.from_dict(job.settings)
    assert (settings.n, settings.seed, settings.save_model, settings.device, settings.learning_rate) == (60, 1, True, "auto", 4e-4)
    assert "Make it again" not in [button.label for button in app.button]


def test_what_was_made_again_is_checked_and_can_take_its_place(compare, two, tmp_path):
    """The new run's answers are those that are stored: said, and one click puts it into the comparison."""
    (tmp_path / "scratch" / "model").mkdir(parents=True)
    (tmp_path / "scratch" / "model" / "weights").write_bytes(b"w")
    made_run("again", EVEN, facts_of(count=120), scratch=tmp_path / "scratch", save_model=True)
    app = compare("one", "two", unfolded="remake")
    assert "again: Right and wrong are equal on all 240 facts." in "\n".join(box.value.replace("\\", "") for box in app.success)
    next(button for button in app.button if button.label.startswith("Compare with the new one")).click().run()
    assert app.query_params["runs"] == "again,two"


def test_a_study_opens_compare_with_its_cells(page):
    """Cells are picked by what they were tuned on; all seeds of it go along."""
    app = page("how_much_data", unfolded="cells-amount")
    assert not app.exception
    (box,) = [box for box in app.multiselect if box.label == "Settings"]
    assert "n = 60" in box.options
    assert "n = all" in box.options
