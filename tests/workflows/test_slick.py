"""SliCK's levels and own cut-offs through the whole path: probe, forecast, pages' columns, a run, the cross-table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sftqa_core import records, workflows
from sftqa_core.errors import SettingsError
from sftqa_core.memory.prober import Prober, chosen_facts
from sftqa_core.memory.profiles import open_for
from sftqa_core.progress import Silent
from sftqa_core.records import PAPER, SLICK, ProbeSettings, SamplerSettings, StudySettings, TrainSettings, with_cutoffs
from sftqa_core.records.job import command_of
from tests.amount import in_full

SMALL = replace(SLICK, contexts=2, shots=1, sampling=replace(SLICK.sampling, samples=3, max_new_tokens=4))
FEW = replace(PAPER, sampling=SamplerSettings(samples=2, max_new_tokens=4))


@pytest.fixture
def probe(world) -> ProbeSettings:
    return ProbeSettings("tiny", world, scheme=SMALL, device="cpu")


def test_a_probe_is_foretold_made_and_read_back_as_columns(probe, workspace):
    """All facts are counted before, none afterwards; columns say what the table says; the completions tell which are greedy."""
    assert workflows.forecast(probe).probes_needed == 32
    assert workflows.forecast(probe).fit.needed > 0
    result = workflows.probe(probe)
    assert {len(counts) for counts in result.levels.values()} == {4}
    assert sum(map(sum, result.levels.values())) == 32
    assert workflows.forecast(probe).probes_needed == 0
    profile = workflows.profile("tiny", probe.source, scheme=SMALL)
    assert profile.probed == 32
    prober = Prober(open_for("tiny", probe.source), probe, Silent())
    table = prober.levels(chosen_facts(prober.source, probe)).set_index("fact_id")
    columns = profile.table.set_index("fact_id").loc[table.index]
    assert columns["level"].tolist() == table["level"].tolist()
    assert [list(row) for row in columns["hits_per_template"]] == [list(row) for row in table["hits_per_template"]]
    assert columns["seen_score"].isna().all()
    rows = workflows.completions("tiny", probe.source, table.index[0], SMALL)
    assert rows[rows["greedy"]]["template"].tolist() == [0, 1]
    assert rows[~rows["greedy"]]["count"].sum() == 6
    assert all(prompt.count("Q: ") == 2 and prompt.endswith("A:") for prompt in rows["prompt"])


def test_a_run_can_choose_and_report_by_slicks_levels(world, workspace):
    """Examples of one of the four levels, accuracy at all four, and nothing of the paper's levels in between."""
    settings = TrainSettings("tiny", world, n=6, levels=(0,), scheme=SMALL, device="cpu", shots=0, save_model=False)
    summary = workflows.train(settings)
    assert [level.level for level in summary.after["in"].per_level] == list(SLICK.labels)
    examples = workflows.run(summary.run).manifest["examples"]["counts"]
    assert {label for row in examples.values() for label in row} == {"Unknown"}


def test_a_study_can_look_at_slicks_levels(world, workspace):
    """Before, after tuning and untouched again, each by the same prompts with other random numbers; nothing is lost on the way."""
    plan = StudySettings("shift", ("tiny",), world, sizes=(4,), seeds=(0,), scheme=SMALL, max_answer_tokens=4, retest_limit=2, device="cpu")
    report = workflows.study(plan)
    rows = report.tables["transitions"]
    assert {row["before"] for row in rows} <= set(SLICK.labels)
    assert {row["after"] for row in rows} == {"untouched, probed again", "n = 4"}
    counts = [sum(row["facts"] for row in rows if row["after"] == after) for after in ("untouched, probed again", "n = 4")]
    assert counts[0] == counts[1] > 0


def test_own_cutoffs_cost_no_probe(world, workspace):
    """Other levels of the same completions: nothing is left to probe, and facts move to where their R lies."""
    probe = ProbeSettings("tiny", world, scheme=FEW, device="cpu")
    workflows.probe(probe)
    own = replace(probe, scheme=with_cutoffs((0.0, 0.01, 0.9), FEW))
    assert workflows.forecast(own).probes_needed == 0
    profile = workflows.profile("tiny", world, scheme=own.scheme)
    scores, levels = profile.column("score"), profile.column("level")
    assert levels.tolist() == [sum(score > cut for cut in own.scheme.cutoffs) for score in scores]
    assert profile.scheme.labels == ("L0", "L1", "L2", "L3")


@in_full
def test_trust_lays_slicks_levels_beside_the_papers(probe, workspace, monkeypatch):
    """Without SliCK's levels there is no table; with them, one of five rows and four columns."""
    monkeypatch.setattr(records, "SLICK", SMALL)
    workflows.probe(replace(probe, scheme=FEW))
    assert workflows.trust("tiny", probe.source, scheme=FEW).slick is None
    workflows.probe(replace(probe, limit=20))
    found = workflows.trust("tiny", probe.source, scheme=FEW).slick
    assert (found.facts, len(found.counts), len(found.counts[0])) == (20, 5, 4)
    with pytest.raises(SettingsError, match="The comparison starts from levels by statements"):
        workflows.trust("tiny", probe.source, scheme=SMALL)


def test_the_command_line_writes_and_reads_both_schemes():
    """A run's command names SliCK, or the cut-offs, and is read back as the same settings."""
    from sftqa_core.cli.arguments import parse
    from sftqa_core.cli.typed_records import train_settings

    for scheme, words in ((SLICK, "--scheme slick"), (with_cutoffs((0.0, 1 / 3, 0.8)), "--cutoffs 0,0.3333333333333333,0.8")):
        settings = TrainSettings("m", scheme=scheme)
        command = command_of(settings)
        assert words in command
        assert train_settings(parse(command.split()[1:])) == settings
