"""The probing loop, with a scripted sampler and with the tiny model."""

import contextlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sftqa_core.engine.wanted_facts import wanted_facts
from sftqa_core.errors import SettingsError, Stopped
from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.memory import probing
from sftqa_core.memory.probing import probe_facts
from sftqa_core.memory.scores import LEVELS
from sftqa_core.models import devices
from sftqa_core.progress import Silent
from sftqa_core.records import LevelScheme, ProbeSettings, SamplerSettings
from tests.memory.memory_world import knowing_sampler, source_of

SETTINGS = ProbeSettings("tiny", "test", scheme=LevelScheme(sampling=SamplerSettings(samples=10, max_new_tokens=6)))
NONE = Aliases()


class Recorder(Silent):
    """Keeps what it is told, and asks to stop after some reports."""

    def __init__(self, stop_after=None):
        self.updates, self.lines, self.stop_after = [], [], stop_after

    def progress(self, update):
        self.updates.append(update)

    def log(self, line):
        self.lines.append(line)

    def check(self):
        if self.stop_after is not None and len(self.updates) >= self.stop_after:
            raise Stopped("Stopped; what was probed is kept.")


def test_levels_follow_what_the_model_knows(tiny, workspace):
    """A fact known with share s gets R near s, its level, hits per template, and intervals around R."""
    source = source_of(40)
    table = probe_facts(tiny, source, source.facts, SETTINGS, NONE, workspace, sampler=knowing_sampler(tiny, source))
    assert list(table.columns) == list(LEVELS)
    assert table["fact_id"].tolist() == source.facts["fact_id"].tolist()
    assert table["completions"].tolist() == [20, 30] * 20
    assert table.loc[0, "score"] == 0
    assert table.loc[0, "level"] == 0
    assert np.corrcoef(table["score"], np.arange(40) / 40)[0, 1] > 0.95
    assert (table["score"] == table["hits"] / table["completions"]).all()
    assert [sum(row) for row in table["hits_per_template"]] == table["hits"].tolist()
    assert ((table["low_samples"] <= table["score"] + 1e-4) & (table["score"] <= table["high_samples"] + 1e-4)).all()
    assert (table["high_samples"] > table["low_samples"]).all()
    assert table["seen_score"].isna().all()


def test_a_larger_limit_probes_only_the_rest(tiny, workspace):
    """After 10 facts, 25 facts cost 15: prompts are counted by the sampler, and the first levels stay as they were."""
    source = source_of(40)
    sampler = knowing_sampler(tiny, source)
    first = probe_facts(tiny, source, source.facts[:10], SETTINGS, NONE, workspace, sampler=sampler)
    assert sampler.prompts_seen == 25
    both = probe_facts(tiny, source, source.facts[:25], SETTINGS, NONE, workspace, sampler=sampler)
    assert sampler.prompts_seen == 25 + 37
    pd.testing.assert_frame_equal(both[:10], first)
    again = probe_facts(tiny, source, source.facts[:25], SETTINGS, NONE, workspace, sampler=sampler)
    assert sampler.prompts_seen == 62
    pd.testing.assert_frame_equal(again, both, check_exact=True)


def test_progress_tells_facts_rate_and_time_left(tiny, workspace):
    """Facts done rise to the number that had to be probed, with rate and time left; the log tells what was there before."""
    source, recorder = source_of(12), Recorder()
    probe_facts(tiny, source, source.facts[:4], SETTINGS, NONE, workspace, sampler=knowing_sampler(tiny, source))
    probe_facts(tiny, source, source.facts, SETTINGS, NONE, workspace, recorder, knowing_sampler(tiny, source, batch_size=3))
    done = [update.done for update in recorder.updates]
    assert done == sorted(done)
    assert (done[-1], recorder.updates[-1].total, recorder.updates[-1].unit) == (8, 8, "facts")
    assert recorder.updates[-1].rate > 0
    assert recorder.updates[-1].left_s == 0
    assert recorder.lines[0] == "4 of 12 facts were probed before with these settings."


def test_stopping_keeps_what_is_done(tiny, workspace, monkeypatch):
    """A stop between batches keeps every fact whose prompts are all through; the next probe does just the others."""
    monkeypatch.setattr(probing, "_PART_FACTS", ((1 << 62, 10),))
    source = source_of(30)
    sampler, rest, recorder = knowing_sampler(tiny, source, batch_size=4), knowing_sampler(tiny, source), Recorder(stop_after=12)
    with pytest.raises(Stopped):
        probe_facts(tiny, source, source.facts, SETTINGS, NONE, workspace, recorder, sampler)
    assert 25 < sampler.prompts_seen < 75
    table = probe_facts(tiny, source, source.facts, SETTINGS, NONE, workspace, after := Recorder(), rest)
    kept = int(after.lines[0].split()[0])
    assert 5 <= kept < 30
    assert after.updates[-1].total == 30 - kept
    assert 2 * (30 - kept) <= rest.prompts_seen <= 3 * (30 - kept)
    assert len(table) == 30


def test_a_slow_model_keeps_what_is_done_as_time_goes(tiny, workspace, monkeypatch):
    """A part does not wait until it has all its facts."""
    monkeypatch.setattr(probing, "_PART_S", 0.0)
    source = source_of(12)
    probe_facts(tiny, source, source.facts, SETTINGS, NONE, workspace, sampler=knowing_sampler(tiny, source, batch_size=4))
    assert len(list(workspace.root.rglob("part-*.parquet"))) > 3


def test_a_crash_keeps_whole_facts(tiny, workspace):
    """When the sampler fails, facts that are through are stored and half-done ones are not."""
    source = source_of(8)
    good = knowing_sampler(tiny, source)

    class Failing:
        def sample(self, prompts, settings):
            prompts = list(prompts)
            first = [p for p in prompts if p.fact_id in set(source.facts["fact_id"][:3])]
            yield from good.sample([*first, prompts[-1]], settings)
            raise RuntimeError("the device fell off")

    with pytest.raises(RuntimeError, match="fell off"):
        probe_facts(tiny, source, source.facts, SETTINGS, NONE, workspace, sampler=Failing())
    recorder = Recorder()
    probe_facts(tiny, source, source.facts, SETTINGS, NONE, workspace, recorder, good)
    assert recorder.lines[0].startswith("3 of 8 facts")


def test_scheme_of_four_levels(tiny, workspace):
    """The whole path runs with four levels of other cut-offs, on the completions that were already drawn."""
    source = source_of(40)
    sampler = knowing_sampler(tiny, source)
    five = probe_facts(tiny, source, source.facts, SETTINGS, NONE, workspace, sampler=sampler)
    seen = sampler.prompts_seen
    scheme = LevelScheme("thirds", ("none", "low", "mid", "high"), (0.0, 1 / 3, 2 / 3), sampling=SETTINGS.scheme.sampling)
    four = probe_facts(tiny, source, source.facts, ProbeSettings("tiny", "test", scheme=scheme), NONE, workspace, sampler=sampler)
    assert sampler.prompts_seen == seen
    assert set(four["level"]) == {0, 1, 2, 3}
    assert four["level"].tolist() == [0 if s == 0 else int(np.ceil(s * 3 - 1e-9)) for s in four["score"]]
    assert four["score"].tolist() == five["score"].tolist()


def test_new_alias_scores_again_without_sampling(tiny, workspace):
    """An alias added later changes the hits of stored completions and costs no inference."""
    source = source_of(20)
    sampler = knowing_sampler(tiny, source)
    before = probe_facts(tiny, source, source.facts, SETTINGS, NONE, workspace, sampler=sampler)
    seen = sampler.prompts_seen
    wider = probe_facts(tiny, source, source.facts, SETTINGS, Aliases((("Paris", "somewhere"),)), workspace, sampler=sampler)
    assert sampler.prompts_seen == seen
    assert (wider["hits"] == wider["completions"]).all()
    assert before["hits"].sum() < wider["hits"].sum()


def test_removed_alias_probes_only_facts_that_stopped_on_it(tiny, workspace):
    """Without an alias only facts with a row that ended on it are sampled again."""
    source = source_of(20, answers=("Lutetia",))
    sampler = knowing_sampler(tiny, source)
    probe_facts(tiny, source, source.facts, SETTINGS, Aliases((("Lutetia", "Paris"),)), workspace, sampler=sampler)
    seen, recorder = sampler.prompts_seen, Recorder()
    bare = probe_facts(tiny, source, source.facts, SETTINGS, NONE, workspace, recorder, sampler)
    known = int(recorder.lines[0].split()[0])
    assert 1 <= known < 20  # the facts of the lowest shares never said Paris
    assert 0 < sampler.prompts_seen - seen < seen
    assert (bare["hits"] == 0).all()


def test_settings_are_part_of_what_is_done(tiny, workspace):
    """Another seed, temperature or template text is another probe."""
    source = source_of(4)
    sampler = knowing_sampler(tiny, source)
    probe_facts(tiny, source, source.facts, SETTINGS, NONE, workspace, sampler=sampler)
    other = LevelScheme(sampling=SamplerSettings(samples=10, max_new_tokens=6, seed=1))
    probe_facts(tiny, source, source.facts, ProbeSettings("tiny", "test", scheme=other), NONE, workspace, sampler=sampler)
    assert sampler.prompts_seen == 20
    spaced = source.facts.assign(subject=["Person  " + s[7:] for s in source.facts["subject"]])  # the same fact ids
    probe_facts(tiny, source, spaced, SETTINGS, NONE, workspace, sampler=sampler)
    assert sampler.prompts_seen == 30
    source.relations["P26"] = replace(source.relations["P26"], templates=("{subject} wed",))
    table = probe_facts(tiny, source, source.facts, SETTINGS, NONE, workspace, sampler=sampler)
    assert sampler.prompts_seen == 32
    assert table["completions"].tolist() == [20, 10, 20, 10]


def test_the_tiny_model_is_probed_alike_by_both_samplers(tiny, workspace):
    """From templates to levels, the reference and the fast sampler give one table, twice over."""
    source = source_of(6)
    facts = source.facts.assign(subject=["Ada", "Bo", "Cy", "Di", "Ed", "Flo"], answers=[["Paris"], ["New York"], ["Zürich"]] * 2)
    tables = []
    for name in ("shared", "generate"):
        scheme = LevelScheme(sampling=SamplerSettings(samples=5, max_new_tokens=8, sampler=name))
        tables.append(probe_facts(tiny, source, facts, ProbeSettings("tiny", "test", scheme=scheme), NONE, workspace))
    pd.testing.assert_frame_equal(*tables)
    assert tables[0]["hits"].sum() > 0


def test_prompt_too_long_is_told_before_sampling(tiny, workspace, monkeypatch):
    """Facts that do not fit the model's context window are counted and quoted before the first part is sampled, wherever they stand."""
    monkeypatch.setattr(probing, "_PART_FACTS", ((1 << 62, 2),))
    source = source_of(12)
    facts = source.facts.assign(subject=[*(f"Ada {i}" for i in range(7)), *(f"Bo {i} " * 200 for i in range(5))])
    sampler = knowing_sampler(tiny, source)
    told = r"5 of 12 facts' statements do not fit the model's context window of 128 tokens with 6 new tokens: "
    told += r"'Bo 0 .*' \([\d,]+ tokens\), .* and 2 more\."
    with pytest.raises(SettingsError, match=told):
        probe_facts(tiny, source, facts, SETTINGS, NONE, workspace, sampler=sampler)
    assert sampler.prompts_seen == 0
    assert len(probe_facts(tiny, source, facts[:7], SETTINGS, NONE, workspace, sampler=sampler)) == 7


def test_prompts_may_fill_the_positions_to_the_last(tiny, workspace, monkeypatch):
    """The longest prompt and its new tokens may be exactly as long as the model allows, and not one token longer."""
    source = source_of(4)
    wanted = wanted_facts(source, source.facts, NONE, "tokens")
    lengths = [len(prompt.ids) for fact in probing.fact_prompts(tiny, wanted) for prompt in fact]
    for spare, fits in ((6, True), (5, False)):
        monkeypatch.setattr(tiny.model.config, "max_position_embeddings", max(lengths) + spare)
        with contextlib.nullcontext() if fits else pytest.raises(SettingsError, match="choose a model with a larger context window"):
            probe_facts(
                tiny,
                source,
                source.facts,
                SETTINGS,
                NONE,
                replace(workspace, root=workspace.root / str(spare)),
                sampler=knowing_sampler(tiny, source),
            )


def test_no_facts_give_an_empty_table(tiny, workspace):
    """Nothing asked, nothing sampled, and the columns are there."""
    source = source_of(2)
    table = probe_facts(tiny, source, source.facts[:0], SETTINGS, NONE, workspace, sampler=knowing_sampler(tiny, source))
    assert (len(table), list(table.columns)) == (0, list(LEVELS))


def test_memory_is_given_back_with_every_part(tiny, workspace, monkeypatch):
    """What is freed does not stay with the process until a probe of thousands of facts ends: asked for at each part on disk."""
    asked = []
    monkeypatch.setattr(devices, "return_freed_ram", lambda: asked.append(len(list((workspace.root / "completions").rglob("part-*")))))
    monkeypatch.setattr(probing, "_PART_FACTS", ((1 << 62, 2),))
    source = source_of(5)
    probe_facts(tiny, source, source.facts, ProbeSettings("tiny", "test", scheme=SETTINGS.scheme), NONE, workspace)
    assert asked == [1, 2, 3]


@pytest.mark.parametrize("method", ["sampling", "adaptive"])
def test_progress_moves_before_a_prompt_is_through(tiny, workspace, method):
    """A report before the first pass, one after it; prompts and completions only grow, and the bar with them; at the end all is told."""
    source, recorder = source_of(4), Recorder()
    settings = replace(SETTINGS, scheme=replace(SETTINGS.scheme, method=method))
    probe_facts(tiny, source, source.facts, settings, NONE, workspace, recorder)
    (begun, first), last = recorder.updates[:2], recorder.updates[-1]
    assert (begun.details, begun.share, begun.left_s) == (", 0 of 10 prompts", 0.0, None)
    assert (first.done, first.within[0].done, first.within[0].total) == (0, 0, 10)
    assert 0 < first.share < 0.5
    for told in ([u.share for u in recorder.updates], [u.within[0].done for u in recorder.updates]):
        assert told == sorted(told)
    drawn = [update.within[1].done for update in recorder.updates if len(update.within) > 1]
    assert drawn == sorted(drawn)
    assert (last.done, last.share, last.left_s) == (4, 1.0, 0)
    if method == "sampling":
        assert last.details == ", 10 of 10 prompts, 100 completions"


def test_a_stop_is_seen_within_prompts(tiny, workspace):
    """After the pass that was being made when the person asked."""
    source, recorder = source_of(4), Recorder(stop_after=2)
    with pytest.raises(Stopped):
        probe_facts(tiny, source, source.facts, SETTINGS, NONE, workspace, recorder)
    assert [(update.done, update.within[0].done) for update in recorder.updates] == [(0, 0)] * 2
    assert recorder.updates[-1].share > 0
