"""A Gemma whose tokenizer forgets its beginning token gets it once in every text, and every key says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sftqa_core.errors import ModelUnavailable
from sftqa_core.models.catalogue import find_model, model_fingerprint
from sftqa_core.models.chat_templates import asked_by
from sftqa_core.models.loading import encode_prompts, load_model
from sftqa_core.models.model_files import ModelFolder
from sftqa_core.models.tokenizer_files import token_counter, tokenizer_checks
from sftqa_core.records import PROMPTS
from sftqa_core.training.encoding import asking
from tests.families.checkpoints import BOS, write_checkpoint

START = 1  # the id of BOS
CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
SHOWN = [("Where is Tamis?", "Velora")]


def change(folder: Path, name: str, **values: object) -> None:
    content = {**json.loads((folder / name).read_text()), **values}
    (folder / name).write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A Gemma whose tokenizer puts the token there."""
    return write_checkpoint("gemma3", tmp_path / "whole")


@pytest.fixture
def forgetful(tmp_path: Path) -> Path:
    """The same weights and words; only the tokenizer puts nothing in front."""
    folder = write_checkpoint("gemma3", tmp_path / "forgetful")
    change(folder, "tokenizer.json", post_processor=None)
    return folder


def test_it_is_told_before_anything_runs(forgetful: Path, whole: Path):
    """Preflight names the token and says what is done; the texts are counted with it."""
    found = {check.name: check for check in tokenizer_checks(forgetful, ModelFolder(forgetful).config())}["beginning"]
    said = (
        f"The tokenizer puts no token in front of a text, and without '{BOS}' a gemma3_text model predicts wrongly: it is put there here."
    )
    assert (found.state, found.said) == ("note", said)
    assert found.fix.startswith("Nothing needs to be done.")
    config = ModelFolder(forgetful).config()
    assert token_counter(forgetful, config)("p17 test 1") == token_counter(whole, config)("p17 test 1")
    assert {check.name: check.state for check in tokenizer_checks(whole, config)}["beginning"] == "ok"


def test_prompts_and_examples_are_those_of_the_whole_tokenizer(forgetful: Path, whole: Path):
    """Statements, questions, few-shot prompts and training examples begin with the token exactly once."""
    made, wanted = (load_model(find_model(str(folder)), "cpu") for folder in (forgetful, whole))
    assert made.bos_ids == wanted.bos_ids == [START]
    assert encode_prompts(made, ["p17 test 1", ""]) == encode_prompts(wanted, ["p17 test 1", ""])
    ours, theirs = (asking(loaded, PROMPTS["qa"]) for loaded in (made, wanted))
    example = ours.example("Where is p17?", "Velora")
    assert example == theirs.example("Where is p17?", "Velora")
    assert ours.prompt("Where is p17?", SHOWN) == theirs.prompt("Where is p17?", SHOWN)
    for ids in (example.ids, ours.prompt("Where is p17?", SHOWN)):
        assert (ids[0], ids.count(START)) == (START, 1)


def test_every_key_says_so(forgetful: Path, whole: Path):
    """The loaded model's identity and the one from its files; a whole tokenizer's key has no such entry."""
    card = find_model(str(forgetful))
    identity = model_fingerprint(card, "float32", "cpu")
    assert identity.to_dict()["beginning"] == START
    assert load_model(card, "cpu").fingerprint == identity
    assert replace(identity, beginning=None).to_dict() != identity.to_dict()
    assert "beginning" not in model_fingerprint(find_model(str(whole)), "float32", "cpu").to_dict()


@pytest.mark.parametrize("writes", [True, False])
@pytest.mark.parametrize("tokenizer", ["forgetful", "whole"])
def test_a_chat_begins_with_it_once(request: pytest.FixtureRequest, tokenizer: str, writes: bool):
    """Whether the template writes it or forgets it, and whether the tokenizer does; what was put there is in the answers' key."""
    folder = request.getfixturevalue(tokenizer)
    change(folder, "tokenizer_config.json", chat_template=("{{ bos_token }}" if writes else "") + CHAT)
    card = find_model(str(folder))
    loaded = load_model(card, "cpu")
    chat = asking(loaded, PROMPTS["chat"])
    for ids in (chat.prompt("Where is p17?"), chat.prompt("Where is p17?", SHOWN), chat.example("Where is p17?", "Velora").ids):
        assert (ids[0], ids.count(START)) == (START, 1)
    identity = asked_by(loaded.fingerprint, card, PROMPTS["chat"])
    assert identity.beginning == (None if writes and tokenizer == "whole" else START)


def test_without_a_name_for_it_the_model_is_refused(forgetful: Path):
    """Preflight says what loading says."""
    change(forgetful, "tokenizer_config.json", bos_token=None)
    change(forgetful, "config.json", bos_token_id=None)
    found = {check.name: check for check in tokenizer_checks(forgetful, ModelFolder(forgetful).config())}["beginning"]
    assert found.state == "problem"
    assert found.said.endswith("which a 'gemma3_text' model can't do without, and names none.")
    assert found.fix == "Set bos_token in its tokenizer_config.json, or fetch the model's latest files."
    with pytest.raises(ModelUnavailable, match=r"names none\. Set bos_token"):
        load_model(find_model(str(forgetful)), "cpu")


def test_other_families_keep_what_their_tokenizer_does(tmp_path: Path):
    """Many of them were trained without a beginning token."""
    folder = write_checkpoint("llama", tmp_path)
    change(folder, "tokenizer.json", post_processor=None)
    loaded = load_model(find_model(str(folder)), "cpu")
    assert (loaded.bos_ids, loaded.fingerprint.beginning) == ([], None)
