"""Questions and answers as token ids, the same for training and for testing.

A training example is `prompt ids + answer ids + end token`. The prompt ids are made from the prompt's text alone, so the
test prompt is a prefix of the training example by construction, whatever the tokenizer merges.

The answer ids are those of the answer *after* the prompt in running text: prompt and answer are encoded together and the
prompt's ids taken off the front. For a byte-level BPE that equals encoding " Paris" alone; a SentencePiece tokenizer would
put a second word mark in front of a lone " Paris" (or of "Paris"), which never occurs inside a text. When the prompt's
ids are not a prefix of the whole text's (a prompt that ends in a space, whose last token would have merged with the
answer), the answer is encoded after a line break instead, a border that no tokenizer merges over: the text stays the same.

The tokenizer's own special tokens are never asked for: `LoadedModel.bos_ids` says what stands in front, and exactly one
end token is appended, so a tokenizer that adds its own end token, or has no BOS, makes no difference.

In a chat the model's template (models/chat_templates.py) is put around both. It writes its own beginning token, or none, so none is
added, except where it forgets one that the model can't do without (Gemma). The turn ends with the first sign of the template's after
the answer that is one token of its own: it is the last token of a training example, and ends an answer at test. Where the template
writes no such sign, that is the tokenizer's end token, right after the answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import shown
from sftqa_core.knowledge.relations import fill
from sftqa_core.models.chat_templates import ChatTemplate, layout, require_chat_template
from sftqa_core.models.light_tokenizers import needs_beginning
from sftqa_core.models.loading import LoadedModel, Reader, continuation, plain_ids, require_known
from sftqa_core.models.serving.served_models import AnyModel, ServedModel
from sftqa_core.models.serving.server_limits import require_tokenizer
from sftqa_core.records import PromptFormat

if TYPE_CHECKING:
    import pandas as pd

IGNORED = -100  # the label that the loss leaves out
SEPARATOR = "\n\n"  # between the examples of a few-shot prompt


@dataclass(frozen=True)
class EncodedExample:
    """One training example. `labels` has the length of `ids` and holds `IGNORED` on the prompt."""

    ids: tuple[int, ...]
    prompt_length: int
    columns: dict[str, Any] = field(default_factory=dict)  # of its objective: a number, or numbers in a sequence

    @property
    def labels(self) -> tuple[int, ...]:
        return (IGNORED,) * self.prompt_length + self.ids[self.prompt_length :]


def prompt_text(question: str, form: PromptFormat) -> str:
    """What the model reads before it answers."""
    return fill(form.prompt, question=question)


def answer_text(answer: str, form: PromptFormat) -> str:
    """What it is to write, up to the end token."""
    return fill(form.answer, answer=answer)


def encode_prompt(loaded: Reader, text: str) -> tuple[int, ...]:
    """Token ids of a prompt as the model reads it: BOS where the tokenizer would put one, or forgets it, and no end token."""
    ids = (*loaded.bos_ids, *plain_ids(loaded.tokenizer, text))
    require_known(loaded, [ids], [text])
    return ids


def encode_example(loaded: Reader, question: str, answer: str, form: PromptFormat) -> EncodedExample:
    """One training example; its first `prompt_length` ids are exactly the test prompt's."""
    prompt, reply = prompt_text(question, form), answer_text(answer, form)
    ids = encode_prompt(loaded, prompt)
    answer_ids = continuation(loaded.tokenizer, prompt, reply)
    require_known(loaded, [(*ids, *answer_ids)], [reply])
    return EncodedExample((*ids, *answer_ids, loaded.end_ids[0]), len(ids))


def few_shot_prompt(question: str, examples: Sequence[tuple[str, str]], form: PromptFormat) -> str:
    """Answered questions in the same form, then the one that is asked. Without examples: the plain prompt."""
    shown = [prompt_text(q, form) + answer_text(a, form) for q, a in examples]
    return SEPARATOR.join([*shown, prompt_text(question, form)])


def first_answer(text: str) -> str:
    """A few-shot completion up to the separator: what follows is the model's own next question."""
    return text.split(SEPARATOR)[0]


Model = TypeVar("Model", bound=AnyModel)


@dataclass(frozen=True)
class Plain(Generic[Model]):
    """One model asked by a prompt in plain text; `Chat` is its counterpart, `asking` chooses."""

    loaded: Model
    form: PromptFormat

    @property
    def answering(self) -> Model:
        """The model that stops where an answer ends."""
        return self.loaded

    def prompt(self, question: str, examples: Sequence[tuple[str, str]] = ()) -> tuple[int, ...]:
        """Token ids of the test prompt, the examples in front."""
        return encode_prompt(self.loaded, few_shot_prompt(question, examples, self.form))

    def example(self, question: str, answer: str) -> EncodedExample:
        """One training example."""
        return encode_example(self.loaded, question, answer, self.form)

    def answer_of(self, text: str, shots: int) -> str:
        """A completion as it is judged."""
        return first_answer(text) if shots else text


class ExamplePool:
    """Train facts to show in few-shot prompts.

    For each tested fact `shots` examples of its own relation, and of any relation where its own has too few. The draw
    depends on seed and fact id only. The tested fact, and any fact that asks the same question, is never shown.
    """

    def __init__(self, facts: pd.DataFrame, seed: int):
        train = facts[(facts["split"] == "train") & ~facts["echo"]]
        self._seed = seed
        self._rows = list(zip(train["fact_id"], train["question"], (answers[0] for answers in train["answers"]), strict=True))
        self._places: dict[str, list[int]] = {}
        for place, relation in enumerate(train["relation"]):
            self._places.setdefault(relation, []).append(place)

    def draw(self, fact_id: str, relation: str, question: str, shots: int) -> list[tuple[str, str]]:
        """(question, answer) pairs, `shots` of them or as many as there are."""
        places = self._places.get(relation, [])
        chosen = self._take(fact_id, question, places, shots, ())
        if len(chosen) < shots:
            chosen += self._take(fact_id, question, range(len(self._rows)), shots - len(chosen), chosen)
        return [self._rows[place][1:] for place in chosen]

    def _take(self, fact_id: str, question: str, places: Sequence[int], count: int, taken: Sequence[int]) -> list[int]:
        """Up to `count` different places in seeded order."""
        import numpy as np

        if not places:
            return []
        digest = hashlib.sha256(f"{self._seed}\x1f{fact_id}\x1f{len(places)}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8]))
        more = count + len(taken) + 9  # than wanted, because some may have to be passed over
        drawn = [places[index] for index in rng.choice(len(places), size=min(len(places), more), replace=False)]
        usable = (place for place in drawn if self._rows[place][0] != fact_id and self._rows[place][1] != question and place not in taken)
        return list(islice(usable, count))


@dataclass(frozen=True)
class Chat(Generic[Model]):
    """One model asked by its chat template."""

    loaded: Model
    form: PromptFormat
    template: ChatTemplate
    signs: dict[int, str]  # token id -> its text
    end_id: int  # ends the turn
    start: tuple[int, ...] = ()  # what the ids must begin with, whatever the template writes

    @classmethod
    def of(cls, loaded: Model, form: PromptFormat) -> Chat[Model]:
        """Raises `SettingsError` for a model without a template, or with one that can't be used."""
        tokenizer = loaded.tokenizer
        if tokenizer.chat_template:  # as the tokenizer was loaded with it
            tokens = {name: str(value) for name, value in tokenizer.special_tokens_map.items() if isinstance(value, str)}
            template = ChatTemplate(tokenizer.get_chat_template(), tuple(sorted(tokens.items())))
        else:
            template = require_chat_template(loaded.card)
        chat = layout(template)
        signs = _signs(tokenizer, chat.tail)
        after = continuation(tokenizer, chat.prompt("Who?", (), form), chat.reply("x", form) + chat.tail)
        end_id = next((token for token in after if token in signs), loaded.end_ids[0])
        start = tuple(loaded.bos_ids) if needs_beginning(loaded.model_type) else ()
        return cls(loaded, form, template, signs, end_id, start)

    @property
    def answering(self) -> Model:
        """The model that stops where its turn ends."""
        return replace(self.loaded, end_ids=tuple(dict.fromkeys((*self.loaded.end_ids, self.end_id))))

    def prompt(self, question: str, examples: Sequence[tuple[str, str]] = ()) -> tuple[int, ...]:
        """Token ids of the test prompt, the examples as earlier turns."""
        self._refuse_signs([question, *(text for pair in examples for text in pair)])
        text = layout(self.template, len(examples)).prompt(question, examples, self.form)
        ids = tuple(plain_ids(self.loaded.tokenizer, text))
        ids = ids if ids[: len(self.start)] == self.start else (*self.start, *ids)
        require_known(self.loaded, [ids], [text])
        return ids

    def example(self, question: str, answer: str) -> EncodedExample:
        """One training example: the test prompt, the answer, the token that ends the turn."""
        self._refuse_signs([answer])
        ids, chat, tokenizer = self.prompt(question), layout(self.template, 0), self.loaded.tokenizer
        prompt, text = chat.prompt(question, (), self.form), chat.reply(answer, self.form)
        whole = continuation(tokenizer, prompt, text + chat.tail)
        reply = whole[: whole.index(self.end_id) + 1] if self.end_id in whole else [*continuation(tokenizer, prompt, text), self.end_id]
        require_known(self.loaded, [(*ids, *reply)], [answer])
        return EncodedExample((*ids, *reply), len(ids))

    def answer_of(self, text: str, shots: int) -> str:
        """A completion as it is judged: the turn has ended by itself."""
        return text

    def _refuse_signs(self, texts: Sequence[str]) -> None:
        """A sign inside a question or an answer would end it, or speak for somebody else."""
        for text in texts:
            if sign := next((sign for sign in self.signs.values() if sign in text), None):
                raise SettingsError(
                    f"{shown(text)} contains {shown(sign)}, a special token of the model's chat template. Leave this fact out, or "
                    "choose prompt qa or plain."
                )


def _signs(tokenizer: Any, tail: str) -> dict[int, str]:
    """Tokens that are signs and no words: the special ones, and added ones that the template writes after an answer."""
    added = {token: str(sign.content) for token, sign in tokenizer.added_tokens_decoder.items()}
    special = {token for token, sign in tokenizer.added_tokens_decoder.items() if sign.special} | set(tokenizer.all_special_ids)
    return {token: text for token, text in added.items() if text.strip() and (token in special or text in tail)}


@dataclass(frozen=True)
class Texts:
    """A served model whose tokenizer is not known, asked by a prompt in plain text: the server is sent the text."""

    loaded: ServedModel
    form: PromptFormat

    @property
    def answering(self) -> ServedModel:
        """The model itself."""
        return self.loaded

    def prompt(self, question: str, examples: Sequence[tuple[str, str]] = ()) -> str:
        """The test prompt, the examples in front."""
        return few_shot_prompt(question, examples, self.form)

    def answer_of(self, text: str, shots: int) -> str:
        """A completion as it is judged."""
        return first_answer(text) if shots else text


@overload
def asking(loaded: LoadedModel, form: PromptFormat) -> Plain[LoadedModel] | Chat[LoadedModel]: ...
@overload
def asking(loaded: ServedModel, form: PromptFormat) -> Plain[ServedModel] | Chat[ServedModel] | Texts: ...
def asking(loaded: AnyModel, form: PromptFormat) -> Plain[Any] | Chat[Any] | Texts:
    """Makes prompts of questions and, but for `Texts`, training examples. Raises `SettingsError` for a chat with a model that knows
    none."""
    if isinstance(loaded, ServedModel) and loaded.tokenizer is None:
        if form.chat:
            require_tokenizer(loaded.card, "A chat template")
        return Texts(loaded, form)
    return Chat.of(loaded, form) if form.chat else Plain(loaded, form)
