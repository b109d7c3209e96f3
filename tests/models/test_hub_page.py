"""What the hub says of a model that is not here, from one short request, and base or chat by what a folder gives away."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants

from sftqa_core.artifacts import Kept
from sftqa_core.errors import ModelUnavailable
from sftqa_core.models.hub import fetch as hub_page
from sftqa_core.models.hub.fetch import HubAnswer, ask_hub, has_token
from sftqa_core.models.lists import kind_of_model

FILES = {"config.json": b"{}" * 300, "model.safetensors": b"w" * 10_000, "tokenizer.json": b"t" * 400}
MORE = {"onnx/model.safetensors": b"w" * 7, "pytorch_model.bin": b"w" * 9, "consolidated.safetensors": b"w" * 90}


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was said before does not count."""
    monkeypatch.setattr(hub_page, "_answers", Kept(100))


def test_size_licence_and_parameters_are_told(fake_hub):
    """Only files that would be fetched count."""
    page = {"tags": ["license:apache-2.0"], "safetensors": {"parameters": {"F32": 5_000}, "total": 5_000}}
    told = {**page, "config": {"tokenizer_config": {"chat_template": "{{ messages }}"}}}
    commit = fake_hub.put("owner/name", {**FILES, **MORE}, told=told).branches["main"]
    assert ask_hub("owner/name") == HubAnswer(11_000, 5_000, "apache-2.0", False, None, True, commit)
    other = fake_hub.put("owner/other", FILES, told={"tags": ["text-generation", "license:llama3"]})
    assert ask_hub("owner/other") == HubAnswer(11_000, None, "llama3", False, None, None, other.branches["main"])


def test_another_revision_has_its_own_size(fake_hub):
    """A branch is asked for by its name."""
    fake_hub.put("owner/name", FILES).move({**FILES, "model.safetensors": b"w" * 20_000}, "refs/pr/1")
    assert ask_hub("owner/name").size_bytes == 11_000
    assert ask_hub("owner/name@refs/pr/1").size_bytes == 21_000


def test_the_hub_is_asked_once_a_minute_whatever_it_says(fake_hub, monkeypatch):
    """A page asks at every change of a form; an error is kept as an answer is."""
    monkeypatch.setattr(hub_page.time, "monotonic", lambda: 600.0)
    fake_hub.put("owner/name", FILES, told={"tags": ["license:mit"]})
    assert {ask_hub("owner/name").licence for _ in range(3)} == {"mit"}
    assert len(fake_hub.asked) == 1
    for _ in range(3):
        with pytest.raises(ModelUnavailable, match="The hub has no model 'owner/missing'"):
            ask_hub("owner/missing")
    assert len(fake_hub.asked) == 2
    monkeypatch.setattr(hub_page.time, "monotonic", lambda: 661.0)
    with pytest.raises(ModelUnavailable):
        ask_hub("owner/missing")
    assert len(fake_hub.asked) == 3


def test_a_gated_model_is_asked_for_with_the_login_of_this_machine(fake_hub):
    """Refused, it says why; given out, it does not."""
    repository = fake_hub.put("owner/name", FILES, "gated")
    assert "is gated: accept its terms" in str(ask_hub("owner/name").refused)
    hub_page._answers = Kept(100)
    repository.trouble, repository.told = "", {"gated": "auto"}
    assert (ask_hub("owner/name").gated, ask_hub("owner/name").refused) == (True, None)


def test_a_model_without_safetensors_is_refused(fake_hub):
    """As the download does."""
    fake_hub.put("owner/name", {"config.json": b"{}", **MORE})
    with pytest.raises(ModelUnavailable, match="has no safetensors weights on the hub"):
        ask_hub("owner/name")


def test_offline_nobody_is_asked(fake_hub, monkeypatch):
    """The sentence says how to go on."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelUnavailable, match="is not on this machine and the hub can't be reached"):
        ask_hub("owner/name")
    assert fake_hub.asked == []


def test_a_login_is_seen_and_never_told(monkeypatch):
    """Only whether there is one."""
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_secret")
    assert has_token() is True
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    assert has_token() is False


@pytest.mark.parametrize(
    ("name", "template", "kind"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", True, "chat"),
        ("meta-llama/Llama-2-7b-chat-hf", True, "chat"),
        ("google/gemma-2-2b-it", True, "chat"),
        ("meta-llama/Llama-2-7b-hf", False, "base"),
        ("owner/Qwen2.5-7B", True, "either"),
        ("Qwen/Qwen2.5-7B", True, "base"),
        ("HuggingFaceH4/mistral-7b-sft-beta", True, "chat"),
        ("owner/snapchat-lm", True, "either"),
        ("owner/snapchat-lm", False, "base"),
        ("google/gemma-3-1b-pt", True, "base"),
        ("Qwen/Qwen3-8B-Base", True, "base"),
        ("/models/chat/gpt2", False, "base"),
        ("owner/vision-italian", False, "base"),
        ("some_model_chat", False, "chat"),
    ],
)
def test_a_name_decides_where_it_says_anything(name: str, template: bool, kind: str):
    """The table of known models comes first; base models of some families bring a chat template, too."""
    assert kind_of_model(name, template) == kind
    assert kind_of_model(name, template, kind="pretrained") == "base"


def test_the_configuration_may_know_the_name(tmp_path: Path):
    """A folder of any name that was saved from an instruct model."""
    assert kind_of_model("/data/me@work/Model-Instruct", True) == "chat"
    assert kind_of_model("owner/Model@chat", True) == "either"
    assert kind_of_model(str(tmp_path), True, {"_name_or_path": "owner/Model-Instruct"}) == "chat"
