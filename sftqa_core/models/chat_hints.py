"""Base or chat model: what a folder and a name give away. Light: it reads JSON and looks for files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sftqa_core.errors import ModelUnavailable
from sftqa_core.models.folders import ModelFolder
from sftqa_core.models.light_tokenizer import SETTINGS

_FILES = ("chat_template.jinja", "chat_template.json")
_FOLDER = "additional_chat_templates"
_CHAT_NAME = re.compile(r"(?<![a-z])(instruct|chat|it|sft|dpo|rlhf|assistant)(?![a-z])")
_BASE_NAME = re.compile(r"(?<![a-z])(base|pretrained|pt)(?![a-z])")
KINDS = ("base", "chat", "either")


def has_chat_template(folder: Path) -> bool:
    """Whether a tokenizer's folder says how a conversation is written down."""
    if any((folder / name).is_file() for name in _FILES) or (folder / _FOLDER).is_dir():
        return True
    try:
        return bool(ModelFolder(folder).json(SETTINGS).get("chat_template"))
    except ModelUnavailable:
        return False


def kind_of_model(name: str, template: bool, config: dict[str, Any] | None = None) -> str:
    """ "base", "chat", or "either": base models of some families bring a chat template too, so a name decides where it says anything."""
    names = " ".join([name, str((config or {}).get("_name_or_path") or "")]).lower().replace("_", "-")
    said = [Path(part).name for part in names.split()]
    if any(_CHAT_NAME.search(part) for part in said):
        return "chat"
    if any(_BASE_NAME.search(part) for part in said) or not template:
        return "base"
    return "either"
