"""Questions and answers as token ids where the model's chat template is put around them (models/chat_templates.py).

The template writes its own beginning token, or none, so none is added. The turn ends with the first sign of the template's after the
answer that is one token of its own: it is the last token of a training example, and ends an answer at test. Where the template writes
no such sign, that is the tokenizer's end token, right after the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import shown
from sftqa_core.models.chat_templates import ChatTemplate, Layout, layout, require_chat_template
from sftqa_core.models.loading import continuation, plain_ids, require_known
from sftqa_core.records import PromptFormat
from sftqa_core.training.prompts import EncodedExample

if TYPE_CHECKING:
    from sftqa_core.models.loading import LoadedModel


@dataclass(frozen=True)
class Chat:
    """One model asked by its chat template."""

    loaded: LoadedModel
    form: PromptFormat
    template: ChatTemplate
    signs: dict[int, str]  # token id -> its text
    end_id: int  # ends the turn

    @classmethod
    def of(cls, loaded: LoadedModel, form: PromptFormat) -> Chat:
        """Raises `SettingsError` for a model without a template, or with one that can't be used."""
        template = _template(loaded)
        made = layout(template)
        signs = _signs(loaded.tokenizer, made.tail)
        after = continuation(loaded.tokenizer, made.prompt("Who?", (), form), made.reply("x", form) + made.tail)
        end_id = next((token for token in after if token in signs), loaded.end_ids[0])
        return cls(loaded, form, template, signs, end_id)

    @property
    def answering(self) -> LoadedModel:
        """The model that stops where its turn ends."""
        return replace(self.loaded, end_ids=tuple(dict.fromkeys((*self.loaded.end_ids, self.end_id))))

    def prompt(self, question: str, examples: Sequence[tuple[str, str]] = ()) -> tuple[int, ...]:
        """Token ids of the test prompt, the examples as earlier turns."""
        self._refuse_signs([question, *(text for pair in examples for text in pair)])
        text = self._layout(len(examples)).prompt(question, examples, self.form)
        ids = tuple(plain_ids(self.loaded.tokenizer, text))
        require_known(self.loaded, [ids], [text])
        return ids

    def example(self, question: str, answer: str) -> EncodedExample:
        """One training example: the test prompt, the answer, the token that ends the turn."""
        self._refuse_signs([answer])
        ids, made = self.prompt(question), self._layout(0)
        reply = self._reply(made.prompt(question, (), self.form), made.reply(answer, self.form))
        require_known(self.loaded, [(*ids, *reply)], [answer])
        return EncodedExample((*ids, *reply), len(ids))

    def answer_of(self, text: str, shots: int) -> str:
        """A completion as it is judged: the turn has ended by itself."""
        return text

    def _layout(self, shots: int) -> Layout:
        return layout(self.template, shots)

    def _reply(self, prompt: str, reply: str) -> list[int]:
        """Ids of the answer in running text, its end token last."""
        whole = continuation(self.loaded.tokenizer, prompt, reply + self._layout(0).tail)
        if self.end_id in whole:
            return whole[: whole.index(self.end_id) + 1]
        return [*continuation(self.loaded.tokenizer, prompt, reply), self.end_id]

    def _refuse_signs(self, texts: Sequence[str]) -> None:
        """A sign inside a question or an answer would end it, or speak for somebody else."""
        for text in texts:
            if sign := next((sign for sign in self.signs.values() if sign in text), None):
                raise SettingsError(
                    f"{shown(text)} holds {shown(sign)}, which the model reads as a sign of its chat template. Leave this fact out, or "
                    "choose prompt qa or plain."
                )


def _template(loaded: LoadedModel) -> ChatTemplate:
    """As the tokenizer was loaded with it."""
    tokenizer = loaded.tokenizer
    if not tokenizer.chat_template:
        return require_chat_template(loaded.card)
    tokens = {name: str(value) for name, value in tokenizer.special_tokens_map.items() if isinstance(value, str)}
    return ChatTemplate(tokenizer.get_chat_template(), tuple(sorted(tokens.items())))


def _signs(tokenizer: Any, tail: str) -> dict[int, str]:
    """Tokens that are signs and no words: the special ones, and added ones that the template writes after an answer."""
    added = {token: str(one.content) for token, one in tokenizer.added_tokens_decoder.items()}
    special = {token for token, one in tokenizer.added_tokens_decoder.items() if one.special} | set(tokenizer.all_special_ids)
    return {token: text for token, text in added.items() if text.strip() and (token in special or text in tail)}
