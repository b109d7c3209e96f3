"""Levels for a workflow: exactly those of its device, known or sampled now."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from sftqa_core import workflows
from sftqa_core.errors import SettingsError
from sftqa_core.memory.prober import Prober, chosen_facts
from sftqa_core.memory.profiles import open_for
from sftqa_core.memory.stored_levels import stored_levels
from sftqa_core.models import devices
from sftqa_core.progress import Silent
from sftqa_core.records import LevelScheme, ProbeSettings, SamplerSettings

SCHEME = LevelScheme("four", ("unknown", "weak", "maybe", "sure"), (0.0, 0.3, 0.6), sampling=SamplerSettings(samples=2, max_new_tokens=4))


@pytest.fixture
def probe(world) -> ProbeSettings:
    return ProbeSettings("tiny", world, limit=10, scheme=SCHEME, device="cpu")


def prober(settings: ProbeSettings) -> Prober:
    return Prober(open_for(settings.model, settings.source), settings, Silent())


def test_levels_of_another_device_are_not_taken(probe, workspace, monkeypatch):
    """What a processor measured in float32 is shown to a browser, but a probe on a GPU does not count it as its own."""
    workflows.probe(probe)
    monkeypatch.setattr(devices, "why_no_gpu", lambda: None)
    here, there = prober(probe), prober(replace(probe, device="auto"))
    facts = chosen_facts(here.source, probe)
    assert len(here.known(facts)) == len(stored_levels(there.card, there.source, facts, there.settings)) == 10
    assert len(there.known(facts)) == 0
    assert (there.store.settings["model"]["device"], there.store.settings["model"]["dtype"]) == ("cuda", "bfloat16")
    assert here.store.key != there.store.key


def test_a_device_that_is_not_here_fails_alike_with_levels_known_or_not(probe, workspace, monkeypatch):
    """Asked for a GPU that is not there, neither a fresh probe nor one whose levels are all known goes through."""
    monkeypatch.setattr(devices, "why_no_gpu", lambda: "no NVIDIA GPU is visible here")
    for _ in range(2):
        with pytest.raises(SettingsError, match="device cuda was asked for, but no NVIDIA GPU is visible here"):
            workflows.probe(replace(probe, device="cuda"))
        workflows.probe(probe)


def test_known_levels_load_no_model(probe, workspace, monkeypatch):
    """The second probe of the same facts reads them, and its folder is the store's own."""
    first = workflows.probe(probe)
    monkeypatch.setattr("sftqa_core.models.loading.load_model", lambda *_: pytest.fail("loaded"))
    assert workflows.probe(probe).levels == first.levels
    again = prober(probe)
    again.levels(chosen_facts(again.source, probe))
    assert first.artifact == str(workspace.root / "completions" / again.store.key) == str(again.folder)
    assert (again.probed, again.rate) == (0, None)


def test_the_artifact_is_of_the_very_settings_asked_for(probe, workspace, monkeypatch):
    """Beside a store of another number format, older or newer, the folder is the one that was written."""
    first = workflows.probe(probe)
    monkeypatch.setattr(devices, "why_no_gpu", lambda: None)
    other = prober(replace(probe, device="cuda")).store
    other.writable()
    assert workflows.probe(probe).artifact == first.artifact
    assert str(other.folder) != first.artifact
    shown = Prober(open_for("atlas-llama", "atlas"), ProbeSettings("atlas-llama", device="cpu"), Silent())
    assert shown.folder == workspace.shipped / "completions" / shown.store.key


def test_what_was_sampled_is_counted_as_it_is_sampled(probe, workspace):
    """Six of sixteen facts are new; a fact asked for twice is sampled once, and one whose part was damaged again."""
    workflows.probe(probe)
    more = prober(replace(probe, limit=16))
    facts = chosen_facts(more.source, more.settings)
    more.levels(pd.concat([facts, facts.tail(2)]))
    assert more.probed == 6
    assert more.rate > 0
    for hits in (workspace.root / "hits").glob("*/*.parquet"):
        hits.unlink()
    oldest = min(more.folder.glob("part-*.parquet"))
    oldest.write_bytes(b"PAR1")
    again = prober(replace(probe, limit=16))
    again.levels(facts)
    assert again.probed == 10
