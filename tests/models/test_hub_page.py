"""What the hub says of a model that is not here, from one short request, and base or chat by what a folder gives away."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import constants, errors

from sftqa_core.artifacts.kept import Kept
from sftqa_core.errors import ModelUnavailable
from sftqa_core.models import hub_page
from sftqa_core.models.chat_hints import kind_of_model
from sftqa_core.models.hub_page import HubAnswer, ask_hub, has_token

FILES = {"config.json": 600, "model.safetensors": 10_000, "onnx/model.safetensors": 7, "pytorch_model.bin": 9, "tokenizer.json": 400}


class Hub:
    """Stands in for the hub's client."""

    def __init__(self, gate: Exception | None = None, **told: Any):
        self.asked, self.gate = 0, gate
        plain = {"gated": False, "card_data": SimpleNamespace(license="apache-2.0"), "tags": [], "config": {}, "safetensors": None}
        siblings = [SimpleNamespace(rfilename=name, size=size) for name, size in FILES.items()]
        self.info = SimpleNamespace(**{"siblings": siblings, **plain, **told})

    def model_info(self, name: str, timeout: float, files_metadata: bool) -> Any:
        assert timeout == 5.0
        assert files_metadata
        self.asked += 1
        if isinstance(self.info, Exception):
            raise self.info
        return self.info

    def get_hf_file_metadata(self, url: str, timeout: float) -> None:
        assert url.endswith("/config.json")
        assert timeout == 5.0
        if self.gate:
            raise self.gate


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch):
    """Puts a stand-in in the hub's place; nothing that was said before counts."""
    monkeypatch.setattr(hub_page, "_answers", Kept(100))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def put(hub: Hub) -> Hub:
        monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
        return hub

    return put


def made(kind: type[Exception]) -> Exception:
    error = kind.__new__(kind, "no luck")
    error.args = ("no luck",)
    return error


def test_size_licence_and_parameters_are_told(online):
    """Only files that would be fetched count."""
    online(Hub(safetensors=SimpleNamespace(total=5_000), config={"tokenizer_config": {"chat_template": "{{ messages }}"}}))
    assert ask_hub("owner/name") == HubAnswer(11_000, 5_000, "apache-2.0", False, None, True)
    online(Hub(card_data=None, tags=["text-generation", "license:llama3"], gated="manual"))
    assert ask_hub("owner/other") == HubAnswer(11_000, None, "llama3", True, None, None)


def test_the_hub_is_asked_once_a_minute_whatever_it_says(online, monkeypatch):
    """A page asks at every change of a form; an error is kept as an answer is."""
    monkeypatch.setattr(hub_page.time, "monotonic", lambda: 600.0)
    hub = online(Hub())
    assert {ask_hub("owner/name").licence for _ in range(3)} == {"apache-2.0"}
    assert hub.asked == 1
    hub.info = made(errors.RepositoryNotFoundError)
    for _ in range(3):
        with pytest.raises(ModelUnavailable, match="The hub has no model 'owner/missing'"):
            ask_hub("owner/missing")
    assert hub.asked == 2
    monkeypatch.setattr(hub_page.time, "monotonic", lambda: 661.0)
    with pytest.raises(ModelUnavailable):
        ask_hub("owner/missing")
    assert hub.asked == 3


def test_a_gated_model_is_asked_for_with_the_login_of_this_machine(online):
    """Refused, it says why; given out, it does not."""
    online(Hub(made(errors.GatedRepoError), gated="auto"))
    assert "is gated: accept its terms" in str(ask_hub("owner/name").refused)


def test_a_model_without_safetensors_is_refused(online):
    """As the download does."""
    online(Hub(siblings=[SimpleNamespace(rfilename="pytorch_model.bin", size=1)]))
    with pytest.raises(ModelUnavailable, match="has no safetensors weights on the hub"):
        ask_hub("owner/name")


def test_offline_nobody_is_asked(online, monkeypatch):
    """The sentence says how to go on."""
    hub = online(Hub())
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelUnavailable, match="is not on this machine and the hub can't be reached"):
        ask_hub("owner/name")
    assert hub.asked == 0


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
        ("Qwen/Qwen2.5-7B", True, "either"),
        ("google/gemma-3-1b-pt", True, "base"),
        ("Qwen/Qwen3-8B-Base", True, "base"),
        ("/models/chat/gpt2", False, "base"),
        ("owner/vision-italian", False, "base"),
        ("some_model_chat", False, "chat"),
    ],
)
def test_a_name_decides_where_it_says_anything(name: str, template: bool, kind: str):
    """Base models of some families bring a chat template, too."""
    assert kind_of_model(name, template) == kind


def test_the_configuration_may_know_the_name(tmp_path: Path):
    """A folder of any name that was saved from an instruct model."""
    assert kind_of_model(str(tmp_path), True, {"_name_or_path": "owner/Model-Instruct"}) == "chat"
