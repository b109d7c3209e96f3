"""What the hub says of a model that is not on this machine: one short request, kept for a minute, whatever came of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from sftqa_core.artifacts.kept import Kept
from sftqa_core.errors import ModelUnavailable, SftqaError
from sftqa_core.models.download import ASK_S, as_hub_name, ask, model_info
from sftqa_core.models.folders import CONFIG
from sftqa_core.models.hub_errors import hub_errors

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
    commit: str | None = None  # that the branch or tag points to now


def ask_hub(name: str) -> HubAnswer:
    """What the hub says of `name`, maybe with @revision.

    Raises `ModelUnavailable` when it can't be reached, has no such model, or no safetensors of it.
    """

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
    hub = as_hub_name(name)
    info = model_info(hub)
    promised = ask(hub, info)
    answer = HubAnswer(
        sum(size or 0 for size in promised.sizes.values()),
        info.safetensors.total if info.safetensors else None,
        _licence(info),
        bool(info.gated),
        chat_template=_chat_template(info),
        commit=promised.commit,
    )
    if not answer.gated:
        return answer
    file = CONFIG if CONFIG in promised.sizes else next(iter(promised.sizes))
    return replace(answer, refused=_refused(hub.repository, file, promised.commit))


def _refused(repository: str, file: str, commit: str) -> str | None:
    """Why the files are not given out to this machine's login; None where they are."""
    try:
        with hub_errors(repository):
            from huggingface_hub import HfApi, hf_hub_url

            HfApi().get_hf_file_metadata(url=hf_hub_url(repository, file, revision=commit), timeout=ASK_S)
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
