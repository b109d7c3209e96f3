"""Chat templates: found in files as transformers finds them, rendered within limits, never handed a question."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from transformers import AutoTokenizer

from sftqa_core.errors import ModelUnavailable, SettingsError
from sftqa_core.models import chat_child
from sftqa_core.models.catalogue import ModelFingerprint, folder_card
from sftqa_core.models.chat_templates import ChatTemplate, asked_by, chat_notes, chat_template, layout, require_chat_template
from sftqa_core.records import PROMPTS, ModelCard
from tests.amount import FULL
from tests.chats import FAMILIES, HOSTILE, tokenizer_of

CHATML, LLAMA3 = FAMILIES["chatml with a default system text"], FAMILIES["llama 3, dated"]
TEMPLATE = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}"


def card(folder):
    return folder_card(folder, "tiny", "folder")


def configured(folder, template):
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": template}))


@pytest.mark.parametrize(
    "found",
    ["file", "setting", "list", "both", "none", "empty"],
)
def test_the_template_is_the_one_that_transformers_takes(tiny_folder, found):
    """From its file, else from the tokenizer's settings, of several the default one; with the tokenizer's own signs."""
    if found in ("file", "both"):
        (tiny_folder / "chat_template.jinja").write_text(TEMPLATE)
    if found != "file":
        other = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": TEMPLATE}]
        configured(tiny_folder, {"setting": TEMPLATE, "list": other, "both": "old", "none": None, "empty": ""}[found])
    tokenizer, here = AutoTokenizer.from_pretrained(tiny_folder), chat_template(card(tiny_folder))
    if found in ("none", "empty"):
        assert (here, tokenizer.chat_template or None) == (None, None)
    else:
        assert here.text == tokenizer.get_chat_template() == TEMPLATE
        assert dict(here.tokens)["eos_token"] == tokenizer.eos_token


def test_templates_tell_models_apart(tiny_folder):
    """The same weights under another template are another model where they are asked by it, and the same where they are not."""
    plain = ModelFingerprint("w", None, "float32", "cpu")
    found = []
    for text in (TEMPLATE, TEMPLATE + " "):
        (tiny_folder / "chat_template.jinja").write_text(text)
        found.append(asked_by(plain, card(tiny_folder), PROMPTS["chat"]))
        assert asked_by(plain, card(tiny_folder), PROMPTS["qa"]) == plain
    assert len({plain.fingerprint(), *(one.fingerprint() for one in found)}) == 3
    assert "template" not in plain.to_dict()  # keys made before stand


def test_adapters_without_a_tokenizer_use_their_bases_template(tiny_folder, tmp_path):
    """An adapter's own tokenizer goes first, as when it is loaded."""
    (tiny_folder / "chat_template.jinja").write_text(TEMPLATE)
    own = tmp_path / "adapter"
    own.mkdir()
    (own / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tiny_folder), "peft_type": "LORA"}))
    (own / "adapter_model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    assert chat_template(card(own)).text == TEMPLATE
    (own / "tokenizer_config.json").write_text("{}")
    assert chat_template(card(own)) is None


def test_templates_that_are_no_text_are_named(tiny_folder, tmp_path):
    """Too large, not UTF-8, or a link that leads out of the folder: nothing of it is read."""
    path = tiny_folder / "chat_template.jinja"
    path.write_bytes(b"x" * 1_000_001)
    with pytest.raises(ModelUnavailable, match=r"1,000,001 bytes, the limit is 1,000,000"):
        chat_template(card(tiny_folder))
    path.write_bytes(b"\xff")
    with pytest.raises(ModelUnavailable, match="is not readable text"):
        chat_template(card(tiny_folder))
    path.unlink()
    (tmp_path / "secret").write_text("s")
    path.symlink_to(tmp_path / "secret")
    with pytest.raises(ModelUnavailable, match="leads out of its folder"):
        chat_template(card(tiny_folder))


@pytest.mark.parametrize(("template", "told"), HOSTILE.items(), ids=[text[:30] for text in HOSTILE])
def test_hostile_templates_are_a_sentence(template, told, monkeypatch):
    """Endless loops, floods, tricks, errors and templates that change what is said end in one sentence with what to do."""
    assert chat_child.CPU_S == 5
    if not FULL:
        monkeypatch.setattr(chat_child, "CPU_S", 1)
    with pytest.raises(SettingsError) as error:
        layout(ChatTemplate(template))
    (sentence,) = error.value.problems
    assert told.replace("5 s", f"{chat_child.CPU_S} s") in sentence
    assert sentence.endswith("Choose prompt qa or plain, or write your own.")


@pytest.mark.anew
def test_what_a_hostile_template_takes_is_spent_once(monkeypatch):
    """Asked again, the reason is known without rendering."""
    template = ChatTemplate("{{ raise_exception('once') }}")
    for _ in range(2):
        with pytest.raises(SettingsError, match="once"):
            layout(template)
        monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("rendered again"))


@pytest.mark.anew
def test_the_renderer_is_given_nothing_but_the_template(monkeypatch):
    """No token, no home and no other word of the environment reaches the process that renders."""
    seen = {}

    def start(command, **options):
        seen.update(options["env"])
        return begin([sys.executable, "-c", ""], **options)

    monkeypatch.setenv("HF_TOKEN", "secret")
    begin = subprocess.Popen
    monkeypatch.setattr("subprocess.Popen", start)
    with pytest.raises(SettingsError, match="was stopped"):
        layout(ChatTemplate("never rendered before"))
    assert "secret" not in seen.values()
    assert "HOME" not in seen


def test_earlier_turns_that_a_template_drops_are_told_when_examples_are_wanted():
    """It can be asked one question, and says why it can't be shown any."""
    template = ChatTemplate("{% for m in messages[-2:] %}{{ m.content }};{% endfor %}{{ messages | length > 99 }}")
    assert layout(template).pieces == ("", ";")
    with pytest.raises(SettingsError, match="drops, changes or repeats"):
        layout(template, 1)
    with pytest.raises(SettingsError, match="may show 100 examples, got 101"):
        layout(template, 101)


def test_the_day_is_fixed_and_told(tiny_folder):
    """A template that writes the date gets the same day every day, and the person is told so."""
    assert "Today Date: 26 Jul 2024" in layout(ChatTemplate(LLAMA3.template)).pieces[0]
    (tiny_folder / "chat_template.jinja").write_text(LLAMA3.template)
    (note,) = chat_notes(card(tiny_folder), PROMPTS["chat"])
    assert "it always gets 26 July 2024" in note
    (tiny_folder / "chat_template.jinja").write_text(CHATML.template)
    assert chat_notes(card(tiny_folder), PROMPTS["chat"]) == chat_notes(card(tiny_folder), PROMPTS["qa"]) == []


def test_models_without_a_template_are_told_what_to_do(tiny_folder):
    """Not there, or not known yet because the model is not."""
    with pytest.raises(SettingsError, match=r"tiny has no chat template.*pick the chat version"):
        require_chat_template(card(tiny_folder))
    with pytest.raises(SettingsError, match="is not on this machine yet, so its chat template is unknown"):
        require_chat_template(ModelCard("owner/name", "hub", None, False))


def test_saved_and_loaded_again_a_template_stays_the_same(tmp_path):
    """The folder that save_pretrained writes has the template of the tokenizer that was saved."""
    for number, family in enumerate((CHATML, LLAMA3)):
        folder = tmp_path / str(number)
        tokenizer_of(family).save_pretrained(folder)
        (folder / "config.json").write_text("{}")
        found = chat_template(ModelCard("x", "folder", str(folder), True))
        assert (found.text, dict(found.tokens)["eos_token"]) == (family.template, family.eos)
