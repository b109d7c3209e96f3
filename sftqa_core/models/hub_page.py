"""What the hub says of a model that is not on this machine: one short request, kept for a minute, whatever came of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from sftqa_core.artifacts.kept import Kept
from sftqa_core.errors import ModelUnavailable, SftqaError
from sftqa_core.models.download import ASK_S, hub_errors, wanted_file

KEPT_S = 60.0  # a page asks at every change of a form, and an unreachable hub takes ASK_S to say nothing


@dataclass(frozen=True)
class HubAnswer:
    """One model's page on the hub."""

    size_bytes: int  # of the files that would be fetched; 0 where the hub does not say
    parameters: int | None
    licence: str | None
    gated: bool  # its terms have to be accepted by an account
    refused: str | None = None  # why this account can't have it, in a sentence; only looked into where it is gated
    chat_template: bool | None = None  # None where the hub does not say


def ask_hub(name: str) -> HubAnswer:
    """What the hub says of `name`. Raises `ModelUnavailable` when it can't be reached, has no such model, or no safetensors of it."""

    def ask() -> HubAnswer | SftqaError:
        try:
            return _asked(name)
        except SftqaError as error:
            return error

    found = _answers.get((name, has_token(), int(time.monotonic() // KEPT_S)), ask)
    if isinstance(found, SftqaError):
        raise found
    return found


_answers: Kept[HubAnswer | SftqaError] = Kept(100)


def has_token() -> bool:
    """Whether there is a login for the hub here: HF_TOKEN or a stored one. It is never shown."""
    try:
        from huggingface_hub import get_token
    except ImportError:
        return False
    return get_token() is not None


def _asked(name: str) -> HubAnswer:
    with hub_errors(name):
        from huggingface_hub import HfApi, hf_hub_url
        from huggingface_hub.constants import HF_HUB_OFFLINE
        from huggingface_hub.errors import OfflineModeIsEnabled

        if HF_HUB_OFFLINE:
            raise OfflineModeIsEnabled("offline")
        api = HfApi()
        info = api.model_info(name, timeout=ASK_S, files_metadata=True)
        files = [entry for entry in info.siblings or () if wanted_file(entry.rfilename)]
        answer = HubAnswer(
            sum(entry.size or 0 for entry in files),
            info.safetensors.total if info.safetensors else None,
            _licence(info),
            bool(info.gated),
            chat_template=_chat_template(info),
        )
    if not any(entry.rfilename.endswith(".safetensors") for entry in files):
        raise ModelUnavailable(f"{name} has no safetensors weights on the hub. Look for a converted copy.")
    return answer if not answer.gated else replace(answer, refused=_refused(api, name, hf_hub_url(name, "config.json")))


def _refused(api: Any, name: str, url: str) -> str | None:
    """Why the files are not given out to this machine's login; None where they are."""
    try:
        with hub_errors(name):
            api.get_hf_file_metadata(url=url, timeout=ASK_S)
    except ModelUnavailable as error:
        return str(error)
    return None


def _licence(info: Any) -> str | None:
    told = getattr(info.card_data, "license", None)
    named = told[0] if isinstance(told, list) and told else told
    tags = (tag.partition(":")[2] for tag in info.tags or () if tag.startswith("license:"))
    return named if isinstance(named, str) else next(tags, None)


def _chat_template(info: Any) -> bool | None:
    if not isinstance(info.config, dict) or not isinstance(info.config.get("tokenizer_config"), dict):
        return None
    return bool(info.config["tokenizer_config"].get("chat_template"))
