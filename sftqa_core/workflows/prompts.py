"""What a prompt looks like to a model, without loading it."""

from __future__ import annotations

from sftqa_core.errors import SftqaError
from sftqa_core.knowledge.relations import fill
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.chat_templates import layout, require_chat_template
from sftqa_core.records import PromptFormat

QUESTION, ANSWER = "Where was Ada Lovelace born?", "London"


def prompt_preview(model: str, form: PromptFormat) -> tuple[str, str]:
    """An example as the model reads it and what it is to write, up to the sign that ends it.

    Raises `SettingsError` where the form is a chat and the model's template can't be used.
    """
    if not form.chat:
        return fill(form.prompt, question=QUESTION), fill(form.answer, answer=ANSWER)
    made = layout(require_chat_template(find_model(model)))
    return made.prompt(QUESTION, (), form), made.reply(ANSWER, form)


def why_no_chat(model: str) -> str:
    """Why a model can't be asked by a chat template, in a sentence; empty where it can."""
    try:
        require_chat_template(find_model(model))
    except SftqaError as error:
        return str(error)
    return ""
