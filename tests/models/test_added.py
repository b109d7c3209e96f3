"""The list of added models: kept whole, read with care."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sftqa_core.errors import ArtifactDamaged, NotFound, OtherVersion, SettingsError
from sftqa_core.models import catalogue
from sftqa_core.models import lists as added
from sftqa_core.models.lists import added_models, drop_added, keep_added
from sftqa_core.workspace import Workspace


def test_names_are_kept_in_their_order_and_once(workspace: Workspace):
    """Adding twice changes nothing; what was taken off is gone."""
    assert added_models() == []
    assert [keep_added(name) for name in ("o/one", "/a/folder", "o/one")] == ["", "", ""]
    assert added_models() == ["o/one", "/a/folder"]
    assert json.loads(workspace.added_models.read_text()) == {"schema": 1, "models": ["o/one", "/a/folder"]}
    drop_added("o/one")
    assert added_models() == ["/a/folder"]


def test_what_is_not_there_can_not_be_taken_off():
    """The message names what is."""
    keep_added("o/one")
    with pytest.raises(NotFound, match=r"o/two is not among the added models\. Added models: o/one\."):
        drop_added("o/two")
    with pytest.raises(NotFound, match=r"^'' is not among the added models"):
        drop_added("")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "7",
        "null",
        '{"models": ["o/n"]}',
        '{"schema": 1, "models": [3]}',
        '{"schema": 1}',
        "\ud800x",
        '{"schema": 1, "models": ["\\ud800/n"]}',
    ],
)
def test_a_damaged_list_is_named_and_set_aside_when_it_changes(workspace: Workspace, text: str):
    """Reading only tells of it; the next change moves it aside, byte for byte, and begins anew."""
    workspace.root.mkdir(parents=True)
    content = text.encode("utf-8", "surrogatepass")
    workspace.added_models.write_bytes(content)
    with pytest.raises(ArtifactDamaged, match=r"added_models\.json, the list of added models, can't be read"):
        added_models()
    assert workspace.added_models.read_bytes() == content
    told = keep_added("o/one")
    assert "It was kept unchanged as added_models.json.damaged, and a new list was started." in told
    assert workspace.added_models.with_name("added_models.json.damaged").read_bytes() == content
    assert added_models() == ["o/one"]


def test_a_newer_programs_list_is_left_alone(workspace: Workspace):
    """It is not damaged, so nothing replaces it."""
    workspace.root.mkdir(parents=True)
    workspace.added_models.write_text('{"schema": 2, "models": {}}')
    with pytest.raises(OtherVersion, match="newer version"):
        keep_added("o/one")
    assert workspace.added_models.read_text() == '{"schema": 2, "models": {}}'


def test_a_list_has_an_end(monkeypatch: pytest.MonkeyPatch, workspace: Workspace):
    """A full one says so, and a huge file is not read."""
    monkeypatch.setattr(added, "MOST", 2)
    keep_added("o/1")
    keep_added("o/2")
    with pytest.raises(SettingsError, match="The list is full: it holds 2 models"):
        keep_added("o/3")
    monkeypatch.setattr(added, "MAX_BYTES", 10)
    with pytest.raises(ArtifactDamaged, match="more than 10 bytes"):
        added_models()


def test_what_a_person_wrote_beyond_the_end_is_not_lost(monkeypatch: pytest.MonkeyPatch, workspace: Workspace):
    """The lists show the first ones; a change keeps the others in the file, and takes off any of them."""
    monkeypatch.setattr(added, "MOST", 2)
    workspace.root.mkdir(parents=True)
    workspace.added_models.write_text('{"schema": 1, "models": ["o/1", "o/2", "o/3", "o/4"]}')
    drop_added("o/4")
    assert added_models() == ["o/1", "o/2"]
    drop_added("o/1")
    assert added_models() == ["o/2", "o/3"]


def test_two_that_add_at_once_lose_nothing():
    """Each reads, changes and writes alone."""
    names = [f"o/{at}" for at in range(24)]
    with ThreadPoolExecutor(8) as many:
        list(many.map(keep_added, names))
    assert sorted(added_models()) == sorted(names)


def test_pickers_offer_what_was_added(workspace: Workspace, tiny_folder: Path):
    """A folder as a model that is here, a hub id as one that is not yet; what is no model keeps its reason."""
    for name in (str(tiny_folder), "owner/later", str(tiny_folder / "gone"), "nonsense"):
        keep_added(name)
    cards = {card.name: card for card in catalogue.list_models()}
    assert (cards[str(tiny_folder)].kind, cards[str(tiny_folder)].available) == ("folder", True)
    assert (cards["owner/later"].kind, cards["owner/later"].available) == ("hub", False)
    assert "There is no folder" in cards[str(tiny_folder / "gone")].note
    assert cards["nonsense"].note == "It is neither a folder nor a hub id."
    assert list(cards)[-2:] == ["nonsense", "owner/later"]


def test_a_damaged_list_hides_no_other_model(workspace: Workspace):
    """The built-in ones are offered all the same, and names are looked up."""
    workspace.root.mkdir(parents=True)
    workspace.added_models.write_text("{")
    assert "atlas-llama" in [card.name for card in catalogue.list_models()]
    assert catalogue.find_model("atlas-llama").available


def test_an_added_name_is_no_answer_to_what_is_here(workspace: Workspace):
    """The message about an unknown name lists what is on this machine."""
    keep_added("owner/later")
    with pytest.raises(catalogue.ModelUnavailable) as told:
        catalogue.find_model("nonsense")
    assert "owner/later" not in str(told.value)
    assert "atlas-llama" in str(told.value)
