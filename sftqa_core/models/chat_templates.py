"""A model's chat template: found in its files without torch, and turned into plain pieces of text.

A template is untrusted code. transformers' own sandbox renders it in a process of its own (chat_child.py), which the system ends
after 5 s of processor time, 60 s in all, 1 GB of memory or 500,000 characters; of the environment that process gets its search paths
alone. It never sees a question: it is rendered for made-up exchanges, whose words are then taken out. The pieces that remain go around
questions and answers by literal replacement. Two different exchanges must leave the same pieces, so a template that cuts, changes or
repeats a message is refused.

The prompt ends where the answer begins in a finished conversation, so it is a prefix of the training example by construction, also
where a template knows no generation prompt, or one with more in it (the beginning of a thought). Nothing is said as "system"; what a
template says there by itself stays.
"""

import queue
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from sftqa_core.errors import ModelUnavailable, SettingsError
from sftqa_core.jsonrecord import fingerprint, shown
from sftqa_core.models import catalogue, chat_child, model_files
from sftqa_core.models.light_tokenizers import light_tokenizer, required_beginning
from sftqa_core.models.serving.addresses import KIND as SERVER
from sftqa_core.processes import answers, our_environment
from sftqa_core.records import ModelCard, PromptFormat

MAX_TEMPLATE_BYTES = 1_000_000
MAX_TURNS = 101  # exchanges of one conversation: the most examples that can be shown, and the question
_INSTEAD = "Choose prompt qa or plain, or write your own."
_STARTS = (0, 1, 5, 17)  # numbers of examples that are rendered together: up to the next one
_RULES = 1  # raised when pieces are taken out of a rendered template otherwise
_PASSED_ON = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "LANG")
_TRIALS = (
    ("ask {} now", "say {} then"),
    ("Who's <{}> & \u201c\u00dc\u201d {{x}}?", "It's {}, \u00e9: 'a' </b> {{{{y}}}}!"),
)  # to be filled in


@dataclass(frozen=True)
class ChatTemplate:
    """A template and the special tokens that it may write."""

    text: str
    tokens: tuple[tuple[str, str], ...] = ()  # bos_token and the like -> its text

    def fingerprint(self) -> str:
        """16 hex digits over the text; the tokens belong to the tokenizer, and so to the model's fingerprint."""
        return fingerprint({"template": self.text, "rules": _RULES})


@dataclass(frozen=True)
class Layout:
    """What a template puts around `shots` answered questions and one that is asked.

    The prompt is pieces[0], a question, pieces[1], an answer, pieces[2] and so on, up to pieces[-1] after the last question; the reply
    is `lead`, the answer, `tail`.
    """

    pieces: tuple[str, ...]  # 2 * shots + 2 of them
    lead: str  # blanks
    tail: str
    dated: bool  # the template writes the day, here always 26 July 2024

    def prompt(self, question: str, examples: Sequence[tuple[str, str]], form: PromptFormat) -> str:
        """What the model reads before it answers; `examples` are as many as the layout has room for."""
        said = [text for q, a in examples for text in (_said(form.prompt, "{question}", q), _said(form.answer, "{answer}", a))]
        said.append(_said(form.prompt, "{question}", question))
        return "".join(text for pair in zip(self.pieces, said, strict=False) for text in pair) + self.pieces[-1]

    def reply(self, answer: str, form: PromptFormat) -> str:
        """What follows it in training, up to where the template ends the turn."""
        return f"{self.lead}{_said(form.answer, '{answer}', answer)}"


def chat_template(card: ModelCard) -> ChatTemplate | None:
    """The template that transformers would use for this model; None where it has none, or is not on this machine.

    Raises `ModelUnavailable` for files that can't be read.
    """
    if card.path is None or (card.kind == SERVER and not card.details["served"]["tokenizer"]):
        return None
    folder = model_files.ModelFolder(catalogue.words_of(card, None) if card.kind == SERVER else Path(card.path))
    if not (folder.path / model_files.TOKENIZER_CONFIG).is_file():
        base = catalogue.base_card(card)
        if base is None or base.path is not None:
            folder = model_files.ModelFolder(catalogue.words_of(card, base))
    settings, special = _json(folder, model_files.TOKENIZER_CONFIG), _json(folder, model_files.SPECIAL_TOKENS)
    there = (folder.path / model_files.CHAT_TEMPLATE).exists()
    file = folder.text(model_files.CHAT_TEMPLATE, MAX_TEMPLATE_BYTES) if there else None
    text = file or _named(settings.get("chat_template"))
    if not text:
        return None
    named = {name: value for name, value in {**special, **settings}.items() if name.endswith("_token")}
    tokens = {name: value.get("content") if isinstance(value, dict) else value for name, value in named.items()}
    return ChatTemplate(text, tuple(sorted((name, token) for name, token in tokens.items() if isinstance(token, str))))


def require_chat_template(card: ModelCard) -> ChatTemplate:
    """The same; raises `SettingsError` with what to do where there is none."""
    if template := chat_template(card):
        return template
    if card.path is None:
        raise SettingsError(f"{card.name} is not on this machine yet, so its chat template is unknown. Download it, or use it once.")
    raise SettingsError(
        f"{card.name} has no chat template, so the prompt chat can't be used. Choose prompt qa or plain, as is usual for base models, or "
        "pick the chat version of the model (its name often ends in Instruct, Chat or it)."
    )


def asked_by(model: catalogue.ModelFingerprint, card: ModelCard, form: PromptFormat) -> catalogue.ModelFingerprint:
    """The identity of what answers: with the template's, where the form is a chat. Raises as `require_chat_template` does."""
    if not form.chat:
        return model
    template = require_chat_template(card)
    words, config = catalogue.words_and_config(card, catalogue.base_card(card))
    required = required_beginning(words, config)
    if required is not None and not _begins(words, layout(template).pieces[0], required):
        model = replace(model, beginning=required)  # training/encoding.py puts it there
    return replace(model, template=template.fingerprint())


def _begins(words: Path, opening: str, token: int) -> bool:
    """Whether what a template writes first is this token."""
    tokenizer = light_tokenizer(words)
    return tokenizer is not None and tokenizer(opening, add_special_tokens=False)["input_ids"][:1] == [token]


def chat_notes(card: ModelCard, form: PromptFormat) -> list[str]:
    """Notes on the template for people; raises `SettingsError` where it can't be used."""
    if not form.chat or card.path is None or not layout(require_chat_template(card)).dated:
        return []
    return [f"The chat template includes the date; it always gets {chat_child.TODAY:%d %B %Y}, so that answers stay the same."]


def layout(template: ChatTemplate, shots: int = 0) -> Layout:
    """The pieces of a conversation of `shots` answered questions and one that is asked.

    Raises `SettingsError` for a template that can't be rendered within the limits, or changes what is said.
    """
    if shots >= MAX_TURNS:
        raise SettingsError(f"A chat may show {MAX_TURNS - 1} examples, got {shots:,}.")
    first = max(start for start in _STARTS if start <= shots)
    layouts = _worked_out(template, range(first, next((start for start in _STARTS if start > shots), MAX_TURNS)))
    if isinstance(layouts, str):
        raise SettingsError(layouts)
    return layouts[shots - first]


@lru_cache(maxsize=256)
def _worked_out(template: ChatTemplate, counts: range) -> list[Layout] | str:
    """The layouts for these numbers of examples, or why there are none: a hostile template costs its time once."""
    trials = [[[(q.format(at), a.format(at)) for at in range(count + 1)] for q, a in _TRIALS] for count in counts]
    chats: list[dict[str, Any]] = []
    for trial in trials:  # both made-up conversations, finished, and the first one up to where the model is to reply
        chats += [{"messages": _messages(exchanges), "generate": False} for exchanges in trial]
        chats.append({"messages": _messages(trial[0])[:-1], "generate": True})
    try:
        rendered = _render(template, chats)
        texts = [rendered["texts"][at : at + 3] for at in range(0, len(chats), 3)]
        return [_layout(trial, of_trial, bool(rendered["dated"])) for trial, of_trial in zip(trials, texts, strict=True)]
    except SettingsError as error:
        return str(error)


def _layout(trial: list[list[tuple[str, str]]], texts: list[str], dated: bool) -> Layout:
    *finished, opened = texts
    first, second = (_between(text, exchanges) for text, exchanges in zip(finished, trial, strict=True))
    if first != second:
        raise SettingsError(f"The model's chat template puts different text around different questions. {_INSTEAD}")
    *pieces, last, tail = first
    lead = _lead(finished[0][: finished[0].rindex(trial[0][-1][1])], opened)
    return Layout((*pieces, last[: len(last) - len(lead)]), lead, tail, dated)


def _lead(before: str, opened: str) -> str:
    """Blanks that belong to the answer: `before` is all that stands in front of it, `opened` what the template opens a reply with.

    "[INST] Who? [/INST] " is read by its model without the last blank, which is part of the answer's first word.
    """
    if before.startswith(opened) and not before[len(opened) :].strip():
        return before[len(opened) :]
    return before[len(before.rstrip(" ")) :]


def _between(text: str, exchanges: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """The text before, between and after the messages. Raises `SettingsError` unless each message occurs once, in order."""
    pieces, rest = [], text
    for said in (text for exchange in exchanges for text in exchange):
        before, mark, rest = rest.partition(said)
        if not mark or text.count(said) != 1:
            raise SettingsError(f"The model's chat template drops, changes or repeats part of the conversation ({shown(said)}). {_INSTEAD}")
        pieces.append(before)
    return (*pieces, rest)


def _messages(exchanges: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"role": role, "content": said} for q, a in exchanges for role, said in (("user", q), ("assistant", a))]


def _said(form: str, name: str, value: str) -> str:
    """Without blanks around it: templates differ in whether they keep those."""
    return form.replace(name, value).strip()


def _render(template: ChatTemplate, chats: list[dict[str, Any]]) -> dict[str, Any]:
    """What the child process says. Raises `SettingsError` with the reason when it ends without an answer."""
    request = {"template": template.text, "tokens": dict(template.tokens), "chats": chats}
    environment = {name: value for name, value in our_environment().items() if name in _PASSED_ON}
    environment |= {"HF_HUB_OFFLINE": "1", "USE_TORCH": "0", "PYTHONIOENCODING": "utf-8"}
    try:
        with answers(chat_child.__name__, request, environment) as lines:
            answer = lines.get(timeout=2 * chat_child.WALL_S)
    except queue.Empty:
        answer = {"ended": ""}
    if "ended" in answer:
        limits = f"{chat_child.CPU_S} s of processor time or {chat_child.MEMORY_BYTES / 1e9:.0f} GB of RAM"
        raise SettingsError(f"The model's chat template was stopped: it took more than {limits}. {_INSTEAD}")
    if "error" in answer:
        raise SettingsError(f"The model's chat template can't be rendered ({answer['error']}). {_INSTEAD}")
    return answer


def _named(setting: Any) -> str | None:
    """The default one of several templates."""
    if isinstance(setting, list):
        setting = {entry.get("name"): entry.get("template") for entry in setting if isinstance(entry, dict)}
    text = setting.get("default") if isinstance(setting, dict) else setting
    if isinstance(text, str) and len(text) > MAX_TEMPLATE_BYTES:
        raise ModelUnavailable(f"The chat template has {len(text):,} characters, the limit is {MAX_TEMPLATE_BYTES:,}.")
    return text if isinstance(text, str) and text else None


def _json(folder: model_files.ModelFolder, name: str) -> dict[str, Any]:
    return folder.json(name, model_files.MAX_TOKENIZER_BYTES) if (folder.path / name).exists() else {}
