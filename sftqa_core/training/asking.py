"""How a model is asked: in plain text, or by its chat template."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sftqa_core.records import PromptFormat
from sftqa_core.training.chat import Chat
from sftqa_core.training.prompts import Plain

if TYPE_CHECKING:
    from sftqa_core.models.loading import LoadedModel


def asking(loaded: LoadedModel, form: PromptFormat) -> Plain | Chat:
    """Makes prompts and training examples of questions. Raises `SettingsError` for a chat with a model that knows none."""
    return Chat.of(loaded, form) if form.chat else Plain(loaded, form)
