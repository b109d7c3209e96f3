"""A tokenizer's sanity is told from its files, by the rules that hold when the model is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from sftqa_core.errors import ModelUnavailable
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.loading import beginning_ids, continuation, load_model
from sftqa_core.models.model_files import ModelFolder
from sftqa_core.models.tokenizer_files import answers_check, light_tokenizer, prompt_check, tokenizer_checks
from sftqa_core.records import Check

END = "<|end|>"


def change(folder: Path, name: str, **values: Any) -> None:
    """Change entries of a JSON file; None takes one out."""
    content = {**json.loads((folder / name).read_text()), **values}
    (folder / name).write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def look(folder: Path) -> dict[str, Check]:
    return {check.name: check for check in tokenizer_checks(folder, ModelFolder(folder).config())}


def token(folder: Path, number: int, text: str) -> None:
    """Add a special token to tokenizer.json under this id."""
    content = json.loads((folder / "tokenizer.json").read_text())
    entry = {"id": number, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    content["added_tokens"].append(entry)
    (folder / "tokenizer.json").write_text(json.dumps(content))


def size(folder: Path) -> int:
    return ModelFolder(folder).config()["vocab_size"]


def no_bos(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    content["post_processor"] = None
    (folder / "tokenizer.json").write_text(json.dumps(content))


# --- the light tokenizer is the loaded one -------------------------------------------------------------------


CHANGES = {
    "as it is": {},
    "told to begin": {"add_bos_token": True},
    "told not to begin": {"add_bos_token": False},
    "told to end": {"add_bos_token": True, "add_eos_token": True},
    "without names": {"bos_token": None, "pad_token": None},
    "names as objects": {"eos_token": {"__type": "AddedToken", "content": END, "lstrip": False}},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=list(CHANGES))
def test_it_reads_as_the_loaded_tokenizer_does(tiny_folder: Path, changes: dict[str, Any]):
    """Ids of a text with and without special tokens, what stands in front, and answers behind a prompt."""
    change(tiny_folder, "tokenizer_config.json", **changes)
    light, loaded = light_tokenizer(tiny_folder), load_model(find_model(str(tiny_folder)), "cpu").tokenizer
    assert light is not None
    for text in ("Velor was born in Tamil.", "", " x", "Zoë\n"):
        for special in (True, False):
            assert light(text, add_special_tokens=special)["input_ids"] == loaded(text, add_special_tokens=special)["input_ids"]
    assert beginning_ids(light) == beginning_ids(loaded)
    assert continuation(light, "Q: Who?\nA:", " Tamil") == continuation(loaded, "Q: Who?\nA:", " Tamil")
    assert light.id_named("eos_token") == loaded.eos_token_id
    assert light.id_named("pad_token") == loaded.pad_token_id


def test_padding_and_truncation_of_the_file_do_not_count(tiny_folder: Path):
    """A file that cuts every text at two tokens still tells the whole text, as the loaded one does."""
    backend = Tokenizer.from_file(str(tiny_folder / "tokenizer.json"))
    before = light_tokenizer(tiny_folder)
    assert before is not None
    wanted = before("Velor was born in Tamil.")
    backend.enable_truncation(2)
    backend.enable_padding(length=9)
    backend.save(str(tiny_folder / "tokenizer.json"))
    after = light_tokenizer(tiny_folder)
    assert after is not None
    assert after("Velor was born in Tamil.") == wanted


def test_a_changed_file_is_read_again_and_a_broken_one_told(tiny_folder: Path):
    """What was read is kept only as long as the files stand as they did."""
    first = light_tokenizer(tiny_folder)
    assert light_tokenizer(tiny_folder) is first
    change(tiny_folder, "tokenizer_config.json", eos_token="Velor")
    assert light_tokenizer(tiny_folder).named["eos_token"] == "Velor"
    (tiny_folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelUnavailable, match=r"tokenizer\.json can't be read"):
        light_tokenizer(tiny_folder)
    (tiny_folder / "tokenizer.json").unlink()
    assert light_tokenizer(tiny_folder) is None


def test_the_older_file_names_tokens_too(tiny_folder: Path):
    """special_tokens_map.json counts where tokenizer_config.json does not say it."""
    change(tiny_folder, "tokenizer_config.json", eos_token=None)
    (tiny_folder / "special_tokens_map.json").write_text(json.dumps({"eos_token": {"content": END}}))
    assert look(tiny_folder)["end"] == Check("end", "ok", f"An answer ends with '{END}', and the end token is learned with it.")


# --- its points ----------------------------------------------------------------------------------------------


def test_a_tokenizer_in_order_is_ok_on_every_point(tiny_folder: Path):
    """Four points, each a sentence."""
    found = look(tiny_folder)
    assert list(found) == ["tokenizer", "beginning", "end", "padding"]
    assert {check.state for check in found.values()} == {"ok"}
    assert found["beginning"].said == f"The tokenizer puts '{END}' once in front of each text."
    assert found["padding"].said == "The padding token is '<|pad|>', which is never read."


def test_another_models_tokenizer_is_a_problem(tiny_folder: Path):
    """Ordinary tokens that the model has no numbers for; loading it refuses the same."""
    change(tiny_folder, "config.json", vocab_size=size(tiny_folder) - 2)
    found = look(tiny_folder)["tokenizer"]
    assert (found.state, found.fix) == ("problem", "Fetch the tokenizer that belongs to the model.")
    assert found.said.startswith("Its tokenizer knows 2 tokens that the model does not, such as ")


def test_without_a_file_it_is_unknown_or_missing(tiny_folder: Path):
    """A tokenizer in another format is checked when the model is loaded; none at all is a problem with its fix."""
    (tiny_folder / "tokenizer.json").unlink()
    (only,) = look(tiny_folder).values()
    assert (only.name, only.state) == ("tokenizer", "unknown")
    (tiny_folder / "tokenizer_config.json").unlink()
    (only,) = look(tiny_folder).values()
    assert (only.state, only.said) == ("problem", "The folder holds no tokenizer, so no text can be read.")
    (tiny_folder / "tokenizer.json").write_text("[]")
    (only,) = look(tiny_folder).values()
    assert only.state == "problem"


def test_a_beginning_that_is_named_but_not_put_there_is_a_note(tiny_folder: Path):
    """Unless it is the end token, as in GPT-2; and none at all is in order."""
    no_bos(tiny_folder)
    assert look(tiny_folder)["beginning"] == Check("beginning", "ok", "This tokenizer puts no token in front of a text.")
    change(tiny_folder, "tokenizer_config.json", bos_token="<|pad|>")
    found = look(tiny_folder)["beginning"]
    assert (found.state, found.said) == ("note", "The tokenizer names the beginning token '<|pad|>' but puts none in front of a text.")
    assert "tokenizer.json decides it" in found.fix


def test_a_beginning_other_than_the_named_one_is_a_note_and_beyond_the_model_a_problem(tiny_folder: Path):
    """What the post-processor puts there decides."""
    change(tiny_folder, "tokenizer_config.json", bos_token="<|pad|>")
    assert look(tiny_folder)["beginning"].state == "note"
    token(tiny_folder, size(tiny_folder), "<s>")
    content = json.loads((tiny_folder / "tokenizer.json").read_text())
    content["post_processor"]["special_tokens"][END]["ids"] = [size(tiny_folder)]
    (tiny_folder / "tokenizer.json").write_text(json.dumps(content))
    found = look(tiny_folder)["beginning"]
    assert found.state == "problem"
    assert found.said.endswith(f"in front of each text, but the model knows {size(tiny_folder):,} tokens.")


def test_no_end_token_is_a_problem(tiny_folder: Path):
    """Nothing would ever stop; a kind of tokenizer that may bring one of its own is left to the loading."""
    change(tiny_folder, "tokenizer_config.json", eos_token=None)
    change(tiny_folder, "config.json", eos_token_id=None)
    found = look(tiny_folder)["end"]
    assert (found.state, found.said) == ("problem", "No end token is named, so no answer would ever end.")
    change(tiny_folder, "tokenizer_config.json", tokenizer_class="LlamaTokenizer")
    assert look(tiny_folder)["end"].state == "unknown"


def test_an_end_token_that_the_model_does_not_know_is_a_problem(tiny_folder: Path):
    """Named but not there: a new token beyond the model. Loading the model says the same, before a step is taken."""
    change(tiny_folder, "tokenizer_config.json", eos_token="</s>")
    found = look(tiny_folder)["end"]
    assert (found.state, found.fix) == ("problem", f"Set eos_token in its tokenizer_config.json to '{END}'.")
    with pytest.raises(ModelUnavailable, match="the end token is number"):
        load_model(find_model(str(tiny_folder)), "cpu")
    change(tiny_folder, "config.json", vocab_size=size(tiny_folder) + 8)
    assert look(tiny_folder)["end"].state == "note"


def test_two_names_for_the_end_are_a_note(tiny_folder: Path):
    """The tokenizer's is taught, both end an answer; of several in the configuration one will do."""
    change(tiny_folder, "config.json", eos_token_id=5)
    found = look(tiny_folder)["end"]
    assert found.state == "note"
    assert f"tuning teaches '{END}'" in found.said
    change(tiny_folder, "config.json", eos_token_id=[5, 0])
    assert look(tiny_folder)["end"].state == "ok"


def test_padding_by_the_end_token_is_fine(tiny_folder: Path):
    """Without a padding token, and where it is the end token, since labels are masked by position."""
    for named in (None, END):
        change(tiny_folder, "tokenizer_config.json", pad_token=named)
        found = look(tiny_folder)["padding"]
        assert (found.state, found.said) == (
            "ok",
            "The end token also serves as padding. Labels are masked by position, so the end token is learned all the same.",
        )


def test_a_padding_token_beyond_the_model_is_not_used(tiny_folder: Path):
    """It is looked up, though never attended to; the end token stands in, and that is said."""
    change(tiny_folder, "tokenizer_config.json", pad_token="[PAD]")
    assert look(tiny_folder)["padding"].state == "note"
    loaded = load_model(find_model(str(tiny_folder)), "cpu")
    assert loaded.pad_id == loaded.end_ids[0] == 0


def test_a_tokenizer_that_makes_a_library_of_a_letter_is_not_run(tiny_folder: Path):
    """It is refused by its file, as loading does."""
    content = json.loads((tiny_folder / "tokenizer.json").read_text())
    content["normalizer"] = {"type": "Replace", "pattern": {"String": "a"}, "content": "b" * 2_000_000}
    (tiny_folder / "tokenizer.json").write_text(json.dumps(content))
    (only,) = look(tiny_folder).values()
    assert (only.name, only.state) == ("tokenizer", "problem")
    assert "expands text beyond any use" in only.said


# --- answers and prompts -------------------------------------------------------------------------------------

PAIRS = [("Q: Where was Velor born?\nA:", " Tamil")]


def test_answers_behind_a_prompt_are_told_by_their_tokens(tiny_folder: Path):
    """One of them is shown as it is read."""
    found = answers_check(light_tokenizer(tiny_folder), size(tiny_folder), PAIRS)
    assert found.state == "ok"
    assert found.said.startswith("After the prompt, ' Tamil' is tokenized as in running text: 1 token (Tamil)")


def test_answers_that_grow_together_with_the_prompt_are_a_note(tiny_folder: Path):
    """A prompt that ends in a space whose last token would have merged with the answer."""
    tokenizer = light_tokenizer(tiny_folder)
    found = answers_check(tokenizer, size(tiny_folder), [("in Tam", "il"), *PAIRS])
    assert (found.state, found.said) == (
        "note",
        "Prompt and answer share a token in 1 of 2 examples, so answers are tokenized as on a new line.",
    )


def test_answers_that_the_model_cannot_read_are_a_problem(tiny_folder: Path):
    """Tokens beyond its vocabulary, and none at all."""
    found = answers_check(light_tokenizer(tiny_folder), 10, PAIRS)
    assert (found.state, found.said) == ("problem", "The tokenizer makes tokens of ' Tamil' that the model does not know (1 of 1).")
    assert answers_check(light_tokenizer(tiny_folder), None, [("A:", "")]).said == "The tokenizer makes no token of '' (1 of 1)."


def test_signs_that_a_tokenizer_lacks_and_texts_that_it_changes_are_notes(tiny_folder: Path):
    """A word list without the answer; a tokenizer that knows no capitals."""
    small = Tokenizer(models.WordLevel({"[UNK]": 0, "A:": 1, "paris": 2}, unk_token="[UNK]"))
    small.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    small.normalizer = normalizers.Lowercase()
    small.decoder = decoders.WordPiece()
    small.save(str(tiny_folder / "tokenizer.json"))
    (tiny_folder / "tokenizer_config.json").write_text(json.dumps({"unk_token": "[UNK]"}))
    tokenizer = light_tokenizer(tiny_folder)
    lost = answers_check(tokenizer, 3, [("a:", " Paris"), ("a:", " Ürüm")])
    assert (lost.state, lost.said) == ("note", "The tokenizer can't represent 1 of 2 answers, such as 'Ürüm'.")
    changed = answers_check(tokenizer, 3, [("a:", " Paris")])
    assert (changed.state, changed.said) == ("note", "The tokenizer changes 1 of 1 answers: 'Paris' comes back as 'paris'.")


@pytest.mark.parametrize(
    ("prompt", "reply", "state", "said"),
    [
        ("Q: Who?\nA:", " Tamil", "ok", "The prompt ends in ':' without a space, and the answer brings its own."),
        ("Q: Who?\nA: ", "Tamil", "note", "The prompt ends in a space, which belongs to the next word for most tokenizers."),
        ("Q: Who?\nA:", "Tamil", "note", "No space separates prompt and answer."),
        (f"{END}Q: Who?\nA:", " Tamil", "note",
         f"The prompt begins with '{END}', which the tokenizer adds as well, so it appears twice."),
    ],
)  # fmt: skip
def test_the_border_of_prompt_and_answer(tiny_folder: Path, prompt: str, reply: str, state: str, said: str):
    """Each way to write it is told, with the fix."""
    found = prompt_check(light_tokenizer(tiny_folder), prompt, reply)
    assert (found.state, found.said, bool(found.fix)) == (state, said, state == "note")
