"""What Results says of a run whose facts lack a domain or a level, and of how sure the levels are."""

from dataclasses import replace

from tests.pages import standin
from tests.pages.conftest import words


def test_only_tiles_with_a_number_are_drawn(explorer, monkeypatch):
    """Out of domain there are no facts, and in-domain none of L0: one tile, which says why there is no mean; one chart."""
    whole = standin.summary()

    def lacking(domains):
        levels = (replace(domains["in"].per_level[0], n=0, correct=0, accuracy=None, low=None, high=None), *domains["in"].per_level[1:])
        inside = replace(
            domains["in"], per_level=levels, macro=None, macro_low=None, macro_high=None, macro_levels=("L1", "L2", "L3", "L4")
        )
        nothing = tuple(replace(level, n=0, correct=0, accuracy=None, low=None, high=None) for level in domains["out"].per_level)
        outside = replace(domains["out"], per_level=nothing, macro=None, natural=None, natural_low=None, natural_high=None, natural_n=0)
        return {"in": inside, "out": outside}

    stages = {name: lacking(domains) for name, domains in whole.baselines.items()}
    poor = replace(whole, before=lacking(whole.before), after=lacking(whole.after), baselines=stages, without_echo={})
    monkeypatch.setattr(standin, "summary", lambda n=60: poor)
    app = explorer("results")
    assert not app.exception
    assert [metric.label for metric in app.metric] == ["In-domain: micro average"]
    assert "No test facts of L0, so there is no mean over levels." in words(app)
    assert "No out-of-domain test facts." in words(app)
    assert "**Out-of-domain facts**" not in words(app)


def test_the_error_of_levels_is_the_runs_own(explorer, monkeypatch):
    """Of its own model and facts, with their number; where it was not measured no number is given."""
    assert "a second probe of stand\\-in assigns a different level to 11% of 270 of these test facts" in words(explorer("results"))
    known = standin.workflows()
    known.moved_levels = lambda run_id: None
    monkeypatch.setattr(standin, "workflows", lambda **settings: known)
    told = words(explorer("results"))
    assert "To how many of these was not measured." in told
    assert "11%" not in told


def test_a_signed_difference_of_nothing_is_not_minus_nothing(explorer, monkeypatch):
    """-0.04 points are "0.0 points", without an arrow."""
    whole = standin.summary()
    after = {domain: replace(accuracy, macro=whole.before[domain].macro - 0.0004) for domain, accuracy in whole.after.items()}
    monkeypatch.setattr(standin, "summary", lambda n=60: replace(whole, after=after))
    assert explorer("results").metric[0].delta == "0.0 points"


def test_moved_levels_are_counted_over_facts_probed_twice(monkeypatch, workspace):
    """The shipped example: its test facts on another level in the shipped second probe, of those that were probed twice."""
    from sftqa_core import workflows
    from sftqa_core.memory import profiles

    (run,) = [run for run in workflows.runs() if run.shipped][:1]
    moved, facts = workflows.moved_levels(run.id)
    assert facts == 3_060
    assert 0.1 < moved / facts < 0.12
    reader = profiles.levels_reader
    monkeypatch.setattr(profiles, "levels_reader", lambda settings: lambda asked: reader(settings)(asked).head(100))
    assert workflows.moved_levels(run.id) == (moved, facts)  # nothing was probed since
    monkeypatch.setattr(profiles, "profile_stamp", lambda *about: "something was probed")
    assert workflows.moved_levels(run.id)[1] <= 100
