"""What this machine has too little room for may still be done by a cluster."""

from __future__ import annotations

import pytest

from sftqa_core import workflows
from sftqa_core.planning import forecast as forecasts
from sftqa_core.records import LevelScheme, ProbeSettings, SamplerSettings

PROBE = ProbeSettings("atlas-llama", limit=4, scheme=LevelScheme(sampling=SamplerSettings(seed=5)))  # facts that nobody has probed
TOO_LARGE = "It needs about 30 GB of RAM; this machine has 8.0 GB in total. Choose a smaller model."


def test_this_machines_room_is_no_reason_against_work_of_a_cluster(monkeypatch: pytest.MonkeyPatch):
    """Here it is a problem; where a cluster does the work the forecast has none, and preflight says that it is not known."""
    monkeypatch.setattr(forecasts, "verdict", lambda *about: ([TOO_LARGE], []))
    monkeypatch.setenv("SFTQA_CLUSTER", "")
    assert forecasts.forecast(PROBE).problems == (TOO_LARGE,)
    monkeypatch.setenv("SFTQA_CLUSTER", "192.0.2.7:6379")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "f" * 64)
    monkeypatch.setattr("sftqa_core.planning.cluster_address.installed", lambda: True)
    assert forecasts.forecast(PROBE).problems == ()
    looked = workflows.preflight(PROBE)
    assert looked.ok
    assert [check.said for check in looked.checks if check.name == "memory"] == [
        "Whether it fits the devices of the cluster is not known here: each worker finds out."
    ]
    monkeypatch.setenv("SFTQA_CLUSTER", "no address")
    assert forecasts.forecast(PROBE).problems == (TOO_LARGE,)
