"""A folder becomes a new model on the hub: private unless asked otherwise, never over one that is there."""

import pytest

from sftqa_core.errors import ModelUnavailable, SettingsError
from sftqa_core.models.hub.publish import check_new, publish
from tests.fake_hub import FakeHub, online


@pytest.fixture
def hub(tmp_path, monkeypatch):
    fake = FakeHub()
    with online(fake, tmp_path / "hub", monkeypatch):
        monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
        yield fake
    fake.close()


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "model"
    place.mkdir()
    (place / "README.md").write_text("---\nlibrary_name: peft\n---\n# Card\n")
    (place / "model.safetensors").write_bytes(b"weights")
    return place


@pytest.mark.parametrize("public", [False, True])
def test_every_file_arrives(hub, folder, public):
    """In one commit, under the name that was asked for."""
    address = publish(folder, "somebody/tuned", public)
    assert address == f"{hub.address}/somebody/tuned"
    repository = hub.repositories["somebody/tuned"]
    assert repository.told.get("private", repository.told.get("visibility") == "private") is not public
    (files,) = repository.commits.values()
    assert files == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_there_is_left_as_it_is(hub, folder):
    """A name that is taken is refused before a file is sent; an owner that the login may not write for, too."""
    hub.put("somebody/tuned", {"config.json": b"{}"})
    with pytest.raises(SettingsError, match="The hub has somebody/tuned already, which is left as it is"):
        publish(folder, "somebody/tuned", False)
    with pytest.raises(ModelUnavailable, match="does not let this login make others/tuned"):
        publish(folder, "others/tuned", False)
    assert len(hub.repositories["somebody/tuned"].commits) == 1
    assert not [asked for asked in hub.asked if "commit" in asked]


def test_without_a_login_or_a_whole_name_nobody_is_asked(hub, folder, monkeypatch):
    """The sentence says what to do."""
    for name in ("tuned", "somebody/tuned@main", "../tuned", "a/b/c"):
        with pytest.raises(SettingsError, match="must be the hub's OWNER/NAME"):
            check_new(name)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(SettingsError, match="There is no login for the hub here"):
        publish(folder, "somebody/tuned", False)
    assert hub.asked == []
