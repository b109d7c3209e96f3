"""A run's model on the hub: what would be sent is shown first, and nothing of this machine is in it."""

import json

import pytest

from sftqa_core.cli.main import main
from sftqa_core.errors import SettingsError
from sftqa_core.reports import publishing
from tests.fake_hub import FakeHub, online
from tests.workflows.test_export import train

REPO = "somebody/tuned"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    fake = FakeHub()
    with online(fake, tmp_path / "hub", monkeypatch):
        monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
        yield fake
    fake.close()


def test_a_run_is_shown_and_then_sent(world, workspace, tmp_path, hub, capsys):
    """Without --yes the card is printed and nobody is asked; with it the files arrive, with no path and no key in any text."""
    run = train(world, method="full")
    with pytest.raises(SystemExit):
        main(["push", run.id, "--repo", REPO])
    said = capsys.readouterr().out
    assert "To somebody/tuned, private: only its owner sees it." in said
    assert "Nothing was sent. Send it: the same command with --yes" in said
    assert not [asked for asked in hub.asked if asked.startswith("POST")]
    with pytest.raises(SystemExit):
        main(["push", run.id, "--repo", REPO, "--yes", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["address"] == f"{hub.address}/{REPO}"
    (files,) = hub.repositories[REPO].commits.values()
    assert {"model.safetensors", "config.json", "README.md", "manifest.json"} <= files.keys()
    assert files.keys() == told["files"].keys()
    for name, content in files.items():
        for private in (str(tmp_path), str(workspace.root), "hf_of_a_test", str(world)):
            assert private.encode() not in content, (name, private)
    assert f"**Licence of the base model**: {publishing.UNKNOWN}." in files["README.md"].decode()


def test_an_adapter_whose_base_others_lack_is_sent_merged_or_not_at_all(world, hub):
    """The base is a model that was made here."""
    run = train(world, method="lora")
    with pytest.raises(SettingsError, match="is an adapter on tiny, which is not on the hub: others could not load it"):
        publishing.push(run.id, REPO, send=True)
    assert hub.repositories == {}
    sent = publishing.push(run.id, REPO, merge=True)
    assert "model.safetensors" in sent.files
    assert "adapter_config.json" not in sent.files
