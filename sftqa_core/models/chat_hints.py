"""Base or chat model, by what a name gives away and whether there is a chat template (chat_templates.py)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sftqa_core.models.hub_cache import without_revision

_CHAT_NAME = re.compile(r"(?<![a-z])(instruct|chat|it|sft|dpo|rlhf|assistant)(?![a-z])")
_BASE_NAME = re.compile(r"(?<![a-z])(base|pretrained|pt)(?![a-z])")


def kind_of_model(name: str, template: bool, config: dict[str, Any] | None = None) -> str:
    """ "base", "chat", or "either": base models of some families bring a chat template too, so a name decides where it says anything."""
    names = (without_revision(name), str((config or {}).get("_name_or_path") or ""))
    said = [Path(part).name.lower().replace("_", "-") for part in names]
    if any(_CHAT_NAME.search(part) for part in said):
        return "chat"
    if any(_BASE_NAME.search(part) for part in said) or not template:
        return "base"
    return "either"
