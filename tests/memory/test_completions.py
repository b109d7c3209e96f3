"""The store of completions: layers, parts, damage, keys, and the form that ships."""

import json

import pandas as pd
import pytest

from sftqa_core.engine.wanted_facts import wanted_facts
from sftqa_core.errors import ArtifactDamaged
from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.memory import stored_levels as reading
from sftqa_core.memory.probe_stores import CompletionStore, find_stores
from sftqa_core.memory.probing import probe_facts
from sftqa_core.memory.stored_levels import stored_completions, stored_levels
from sftqa_core.models.catalogue import ModelFingerprint
from sftqa_core.records import LevelScheme, ModelCard, ProbeSettings, SamplerSettings
from sftqa_core.workspace import Workspace
from tests.amount import few
from tests.memory.memory_world import knowing_sampler, source_of

SETTINGS = ProbeSettings("tiny", "test", scheme=LevelScheme(sampling=SamplerSettings(samples=10, max_new_tokens=6)))
NONE = Aliases()
CARD = ModelCard("tiny", "folder", "somewhere", True, details={"corpus": {"seen_templates": {"P19": [0]}}})


@pytest.fixture
def layers(tmp_path):
    return Workspace(tmp_path / "user", tmp_path / "shipped")


@pytest.fixture
def card(monkeypatch):
    """A card whose weights have the tiny model's fingerprint, without files."""
    monkeypatch.setattr(
        reading, "model_fingerprint", lambda card, dtype, device, workspace: ModelFingerprint("w" * 16, None, dtype, device)
    )
    return CARD


def store_of(tiny, workspace):
    return CompletionStore.of(tiny.fingerprint.to_dict(), SETTINGS.scheme.sampling, workspace)


def probed(tiny, source, workspace, facts=None, sampler=None):
    facts = source.facts if facts is None else facts
    return probe_facts(tiny, source, facts, SETTINGS, NONE, workspace, sampler=sampler or knowing_sampler(tiny, source))


def test_key_holds_the_model_the_format_the_device_and_the_settings(workspace):
    """Any of weights, adapter, dtype, device and each sampler setting changes the key; nothing else is in it."""
    base = ModelFingerprint("a", None, "float32", "cpu")
    others = [ModelFingerprint("b", None, "float32", "cpu"), ModelFingerprint("a", "x", "float32", "cpu")]
    others += [ModelFingerprint("a", None, "bfloat16", "cpu"), ModelFingerprint("a", None, "float32", "cuda")]
    samplers = [SamplerSettings(9), SamplerSettings(temperature=0.8), SamplerSettings(max_new_tokens=31), SamplerSettings(seed=1)]
    samplers.append(SamplerSettings(sampler="generate"))
    keys = {CompletionStore.of(m.to_dict(), SamplerSettings(), workspace).key for m in [base, *others]}
    keys |= {CompletionStore.of(base.to_dict(), s, workspace).key for s in samplers}
    assert len(keys) == 10
    elsewhere = CompletionStore.of(base.to_dict(), SamplerSettings(), Workspace(workspace.root / "x", workspace.shipped))
    assert elsewhere.key in keys


def test_interrupted_part_is_not_read(tiny, layers):
    """A part whose facts file was never written counts for nothing."""
    source = source_of(6)
    probed(tiny, source, layers)
    store = store_of(tiny, layers)
    wanted = wanted_facts(source, source.facts, NONE, "tokens")
    assert len(store.locate(wanted)) == 6
    next((layers.root / "completions" / store.key).glob("facts-*.parquet")).unlink()
    assert store.locate(wanted) == {}


@pytest.mark.parametrize("harm", ["cut", "garbled", "gone"])
def test_damaged_part_is_set_aside_and_probed_again(tiny, layers, harm, caplog):
    """A part cut short, altered or missing is renamed and named, and only its facts are sampled anew, to the same levels."""
    source = source_of(12)
    first = probed(tiny, source, layers, source.facts[:6])
    part = next((layers.root / "completions").glob("*/part-*.parquet"))
    whole = probed(tiny, source, layers)
    content = bytearray(part.read_bytes())
    content[len(content) // 3 : len(content) // 3 + 60] = bytes(60)
    part.unlink() if harm == "gone" else part.write_bytes(part.read_bytes()[:-50] if harm == "cut" else bytes(content))
    for hits in (layers.root / "hits").glob("*/*.parquet"):
        hits.unlink()
    sampler = knowing_sampler(tiny, source)
    again = probed(tiny, source, layers, sampler=sampler)
    assert sampler.prompts_seen == 15
    pd.testing.assert_frame_equal(again, whole)
    pd.testing.assert_frame_equal(again[:6], first)
    assert "is damaged" in caplog.text
    if harm != "gone":
        assert part.with_name(part.name + ".damaged").exists()


def rewrite(path, change):
    """Put a changed table in a parquet file's place."""
    change(pd.read_parquet(path)).to_parquet(path)


WRONG = {
    "row missing": lambda rows: rows.drop(index=rows.index[:1]),
    "row doubled": lambda rows: pd.concat([rows, rows.tail(1)]),
    "template beyond": lambda rows: rows.assign(template=rows["template"] + 1),
    "template before": lambda rows: rows.assign(template=rows["template"] - 1),
    "empty": lambda rows: rows.iloc[:0],
    "no count": lambda rows: rows.drop(columns="count"),
    "no fact": lambda rows: rows.drop(columns="fact_id"),
}


@pytest.mark.parametrize("wrong", few(WRONG, "row missing", "template beyond", "no count"))
def test_part_with_wrong_contents_is_set_aside_and_probed_again(tiny, layers, wrong, caplog):
    """A readable part whose completions are too few or too many, or that lacks a column, heals like one that is cut short."""
    source = source_of(12)
    probed(tiny, source, layers, source.facts[:6])
    part = next((layers.root / "completions").glob("*/part-*.parquet"))
    whole = probed(tiny, source, layers)
    rewrite(part, WRONG[wrong])
    for hits in (layers.root / "hits").glob("*/*.parquet"):
        hits.unlink()
    sampler = knowing_sampler(tiny, source)
    pd.testing.assert_frame_equal(probed(tiny, source, layers, sampler=sampler), whole)
    assert sampler.prompts_seen == 15
    assert part.with_name(part.name + ".damaged").exists()
    assert "is damaged" in caplog.text
    probed(tiny, source, layers, sampler=sampler)
    assert sampler.prompts_seen == 15


@pytest.mark.parametrize("name", ["facts", "hits"])
def test_lists_and_hits_without_a_column_are_set_aside(tiny, layers, name):
    """Without `prompts_sha` a list of probed facts costs its facts a new probe, judged hits only another judgement."""
    source = source_of(6)
    first = probed(tiny, source, layers)
    hits = next((layers.root / "hits").glob("*/part-*.parquet"))
    if name == "hits":
        rewrite(hits, lambda rows: rows.drop(columns="prompts_sha"))
    else:
        hits.unlink()
        rewrite(next((layers.root / "completions").glob("*/facts-*.parquet")), lambda rows: rows.drop(columns="prompts_sha"))
    sampler = knowing_sampler(tiny, source)
    pd.testing.assert_frame_equal(probed(tiny, source, layers, sampler=sampler), first)
    assert sampler.prompts_seen == (0 if name == "hits" else 15)


def test_wrong_shipped_part_is_replaced_by_the_persons_own(tiny, layers):
    """A shipped part with too few completions is passed over, probed once into the person's layer, and never again."""
    source = source_of(4)
    probed(tiny, source, layers)
    folder = store_of(tiny, layers).compact(layers.shipped, wanted_facts(source, source.facts, NONE, "tokens"))
    rewrite(folder / "part-000.parquet", lambda rows: rows.drop(index=rows.index[:1]))
    next((layers.shipped / "hits").glob("*/part-000.parquet")).unlink()
    fresh, sampler = Workspace(layers.root.parent / "other", layers.shipped), knowing_sampler(tiny, source)
    assert len(probed(tiny, source, fresh, sampler=sampler)) == 4
    probed(tiny, source, fresh, sampler=sampler)
    assert sampler.prompts_seen == 10
    assert (folder / "part-000.parquet").exists()


def test_damaged_shipped_part_stays_where_it_is(tiny, layers, caplog):
    """The shipped layer is only read: its broken part is passed over, told, and not renamed."""
    source = source_of(4)
    probed(tiny, source, layers)
    wanted = wanted_facts(source, source.facts, NONE, "tokens")
    folder = store_of(tiny, layers).compact(layers.shipped, wanted)
    (folder / "part-000.parquet").write_bytes(b"PAR1")
    fresh = Workspace(layers.root.parent / "other", layers.shipped)
    store = store_of(tiny, fresh)
    assert store.locate(wanted) == {}
    assert (folder / "part-000.parquet").exists()
    assert "part-000.parquet is damaged" in caplog.text


def test_reading_a_broken_part_says_what_happens_next(tiny, layers):
    """Whoever asks for rows of a part that broke since is told that its facts will be probed again."""
    source = source_of(2)
    probed(tiny, source, layers)
    store, wanted = store_of(tiny, layers), wanted_facts(source, source.facts, NONE, "tokens")
    located = store.locate(wanted)
    next(iter(located.values())).write_bytes(b"")
    with pytest.raises(ArtifactDamaged, match="was set aside; its facts will be probed again"):
        store.completions(located)


def test_compacted_results_ship_as_one_part(tiny, layers, card):
    """What several probes left becomes one part under another layer, and the browser finds all of it there."""
    source = source_of(12)
    for end in (4, 8, 12):
        probed(tiny, source, layers, source.facts[:end])
    levels = probed(tiny, source, layers)
    folder = store_of(tiny, layers).compact(layers.shipped, wanted_facts(source, source.facts, NONE, "tokens"))
    assert sorted(path.name for path in folder.iterdir()) == ["facts-000.parquet", "part-000.parquet", "settings.json"]
    assert json.loads((folder / "settings.json").read_text())["sampler"]["samples"] == 10
    fresh = Workspace(layers.root.parent / "other", layers.shipped)
    shown = stored_levels(card, source, source.facts, SETTINGS, NONE, fresh)
    pd.testing.assert_frame_equal(shown.drop(columns=["seen_score", "unseen_score"]), levels.drop(columns=["seen_score", "unseen_score"]))
    assert shown["seen_score"][0] == shown["hits_per_template"][0][0] / 10
    sampler = knowing_sampler(tiny, source)
    probed(tiny, source, fresh, sampler=sampler)
    assert sampler.prompts_seen == 0
    assert not fresh.root.exists()


def test_levels_can_ship_without_every_text(tiny, layers, card):
    """Facts shipped with hits alone have their levels without sampling, and no completions to show."""
    source = source_of(6)
    levels = probed(tiny, source, layers)
    wanted = wanted_facts(source, source.facts, NONE, "tokens")
    store_of(tiny, layers).compact(layers.shipped, wanted, texts_of=wanted[:2])
    fresh, sampler = Workspace(layers.root.parent / "other", layers.shipped), knowing_sampler(tiny, source)
    assert probed(tiny, source, fresh, sampler=sampler)["hits"].tolist() == levels["hits"].tolist()
    assert sampler.prompts_seen == 0
    sizes = [len(stored_completions(card, source, w.fact_id, SETTINGS, NONE, fresh)) for w in wanted]
    assert [size > 0 for size in sizes] == [True, True, False, False, False, False]


def test_user_results_go_before_shipped_ones(tiny, layers):
    """The user's newer completions of a fact hide the shipped ones."""
    source = source_of(2)
    probed(tiny, source, layers)
    wanted = wanted_facts(source, source.facts, NONE, "tokens")
    store_of(tiny, layers).compact(layers.shipped, wanted)
    assert all(path.is_relative_to(layers.root) for path in store_of(tiny, layers).locate(wanted).values())


def test_stored_levels_need_no_inference_and_write_nothing(tiny, layers, card):
    """Known facts come back in the order asked for, unknown ones not at all; an edited alias is judged on the spot."""
    source = source_of(10)
    levels = probed(tiny, source, layers, source.facts[:6])
    before = sorted(layers.root.rglob("*"))
    shown = stored_levels(card, source, source.facts[::-1], SETTINGS, NONE, layers)
    assert shown["fact_id"].tolist() == levels["fact_id"].tolist()[::-1]
    assert shown["hits"].tolist() == levels["hits"].tolist()[::-1]
    wider = stored_levels(card, source, source.facts, SETTINGS, Aliases((("Paris", "somewhere"),)), layers)
    assert (wider["score"] == 1).all()
    assert sorted(layers.root.rglob("*")) == before


def test_stored_completions_show_prompt_and_answer(tiny, layers, card):
    """One fact's completions, by template, the commonest first, with the filled prompt and the answer that was found."""
    source = source_of(4)
    probed(tiny, source, layers)
    shown = stored_completions(card, source, source.facts["fact_id"][3], SETTINGS, NONE, layers)
    assert shown.groupby("template")["count"].sum().tolist() == [10, 10, 10]
    assert shown["prompt"].unique().tolist() == [f"Person 3 0.750 {verb}" for verb in ("is married to", "shares a home with", "wed")]
    assert set(shown["answer"].dropna()) == {"Paris"}
    assert shown.loc[shown["answer"].notna(), "stop"].unique().tolist() == ["hit"]
    assert stored_completions(card, source, "0" * 16, SETTINGS, NONE, layers).empty


def test_nothing_probed_is_an_empty_table(card, layers):
    """A model never probed, with other settings, or not on this machine has an empty table of levels with every column."""
    source = source_of(3)
    for asked in (card, ModelCard("away", "hub", None, False)):
        table = stored_levels(asked, source, source.facts, SETTINGS, NONE, layers)
        assert len(table) == 0
        assert "level" in table.columns
        assert stored_completions(asked, source, source.facts["fact_id"][0], SETTINGS, NONE, layers).empty


def test_unreadable_settings_are_passed_over(tiny, layers, caplog):
    """A settings file that is no JSON hides its own store only, with a warning."""
    source = source_of(2)
    probed(tiny, source, layers)
    broken = layers.root / "completions" / "0123456789abcdef"
    broken.mkdir()
    (broken / "settings.json").write_text("{")
    assert [s.key for s in find_stores("w" * 16, None, SETTINGS.scheme.sampling, layers)] == [store_of(tiny, layers).key]
    assert "its results are not shown" in caplog.text
