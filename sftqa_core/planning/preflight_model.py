"""Preflight, the model's part: is it here or can it be had, under which licence, does its tokenizer fit, base or chat.

The network is asked only for a model that is not on this machine (models/hub/fetch.py). Never loads torch.

Preflight, the texts' part: how answers are read behind their prompts, and whether the longest texts fit. Never loads torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftqa_core.errors import ModelUnavailable, SftqaError
from sftqa_core.models.catalogue import base_card, find_model
from sftqa_core.models.chat_templates import Layout, chat_template, layout, require_chat_template
from sftqa_core.models.hub.fetch import HubAnswer, ask_hub, has_token
from sftqa_core.models.lists import MADE, kind_of_model
from sftqa_core.models.model_files import ModelFolder
from sftqa_core.models.quantising import refuse_quantised
from sftqa_core.models.tokenizer_files import (
    FITTING,
    CountTokens,
    answers_check,
    light_tokenizer,
    prompt_check,
    token_counter,
    tokenizer_checks,
    vocabulary,
)
from sftqa_core.planning.fit import gigabytes, longest_example, longest_question, longest_statement
from sftqa_core.records import Check, ModelCard, ProbeSettings, TrainSettings

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.knowledge.facts import FactSource

FREE_LICENCES = ("apache-2.0", "mit", "bsd-3-clause", "bsd-2-clause", "cc0-1.0", "unlicense", "isc")
_LOGIN = "Accept its terms on its hub page, log in here with `hf auth login`, then try again."


@dataclass(frozen=True)
class Looked:
    """One model, looked at without loading it."""

    name: str
    checks: tuple[Check, ...]
    card: ModelCard | None = None  # None where there is no such model
    words: Path | None = None  # the folder of its tokenizer; None where it is not on this machine
    config: dict[str, Any] = field(default_factory=dict)  # of the model, or of the one under an adapter
    hub: HubAnswer | None = None  # what the hub says of one that has to be fetched
    parameters: int | None = None  # of the model, or of the one under an adapter


def look_at(name: str) -> Looked:
    """What can be told of the model that a person means: model, licence, access, the tokenizer's points."""
    try:
        card = find_model(name)
        base = base_card(card)
    except SftqaError as error:
        return Looked(name, (_refused(error),))
    whole = base or card
    if whole.path is None:
        return _on_the_hub(name, card, whole)
    folder = ModelFolder(Path(whole.path))
    try:
        config = folder.config()
        folder.weights()
        refuse_quantised(config, card.name, "none")
    except SftqaError as error:
        return Looked(name, (_refused(error),), card)
    own = Path(card.path or whole.path)
    words = own if (own / "tokenizer_config.json").is_file() else folder.path
    here = [_here(card, config), _licence(whole, None), Check("access", "ok", "Its files are here; nobody has to be asked for them.")]
    return Looked(name, (*here, *tokenizer_checks(words, config)), card, words, config, parameters=whole.parameters)


def _refused(error: SftqaError) -> Check:
    return Check.of_error("model", str(error), "Choose another model, or fetch this one again.")


def _here(card: ModelCard, config: dict[str, Any]) -> Check:
    size = f", {card.parameters:,} parameters" if card.parameters else ""
    kinds = [str(kind) for kind in config.get("architectures") or ()]
    if kinds and not any(kind.endswith(("ForCausalLM", "LMHeadModel")) for kind in kinds):
        fix = "Choose one whose architecture ends in ForCausalLM, unless you know that this one can write."
        return Check("model", "note", f"Its configuration names {kinds[0]}, which is no causal language model.", fix)
    if config.get("auto_map"):
        said = "It names program code of its own (auto_map), which is never run: it loads only if transformers knows its type itself."
        return Check("model", "note", said, "Look whether the library has this type, or choose another model.")
    return Check("model", "ok", f"{card.name} is on this machine with all its weights ({card.architecture}{size}).")


def _on_the_hub(name: str, card: ModelCard, whole: ModelCard) -> Looked:
    try:
        hub = ask_hub(whole.name)
    except SftqaError as error:
        return Looked(name, (_refused(error),), card)
    size = f", {gigabytes(hub.size_bytes)} to fetch" if hub.size_bytes else ""
    at = f" at commit {hub.commit[:12]}" if hub.commit else ""
    found = Check("model", "ok", f"{whole.name} is not on this machine yet; the hub has it{at}{size}.")
    later = Check("tokenizer", "unknown", "The tokenizer can't be looked at yet.", "It is, as soon as its files are on this machine.")
    return Looked(name, (found, _licence(whole, hub), _access(hub), later), card, hub=hub, parameters=whole.parameters or hub.parameters)


def _licence(card: ModelCard, hub: HubAnswer | None) -> Check:
    if card.kind in MADE:
        told = "comes with this program, under its licence (MIT)" if card.kind == "built-in" else "was made here: it is yours"
        return Check("licence", "ok", f"The model {told}.")
    named = (hub.licence if hub else None) or getattr(card, "licence", None)
    if not named:
        return Check("licence", "unknown", "Its licence is not known here.", "Read it on the model's page before you publish anything.")
    if str(named).lower() in FREE_LICENCES:
        return Check("licence", "ok", f"Licence: {named}.")
    fix = "Read it on the model's page before you publish results or weights."
    return Check("licence", "note", f"Its licence is {named}, which may set conditions.", fix)


def _access(hub: HubAnswer) -> Check:
    if not hub.gated:
        return Check("access", "ok", "It can be fetched without a login.")
    if hub.refused is None:
        return Check("access", "ok", "It is gated, and the login of this machine may fetch it.")
    if not has_token():
        return Check("access", "problem", "It is gated, and this machine has no login for the hub.", _LOGIN)
    return Check("access", "problem", "It is gated, and the hub does not give it to the login of this machine.", _LOGIN)


def chat_check(looked: Looked, trains: bool, chat_prompt: bool) -> Check:
    """Base or chat model, and which prompt fits. `chat_prompt`: the model's own template is chosen."""
    try:
        template = _template(looked)
        if template:
            chat_layout(looked, chat_prompt)
    except SftqaError as error:
        return Check("chat", "problem" if chat_prompt else "note", str(error), "Choose the prompt qa or plain.")
    if template is None:
        return Check("chat", "unknown", "Whether it is a base or a chat model can't be told before its files are here.")
    kind = kind_of_model(looked.name, template, looked.config, looked.card.kind if looked.card is not None else "hub")
    if chat_prompt and not template:
        return Check("chat", "problem", "The prompt is the model's chat template, but it has none.", "Choose the prompt qa or plain.")
    if not trains:
        return _statements(kind)
    if kind == "base":
        if chat_prompt:
            return Check("chat", "note", "Its name says base model, and the prompt is a chat template.", "Choose the prompt qa or plain.")
        return Check("chat", "ok", "A base model, and a plain prompt fits it.")
    if chat_prompt:
        return Check("chat", "ok", "The questions are put in the model's own chat template.")
    if kind == "either":
        said = "It has a chat template, as some base models do; whether it was tuned to chat its name does not say."
        return Check("chat", "unknown", said, "If the model's page calls it a chat or instruct model, choose the prompt chat.")
    if not template:
        return Check("chat", "note", "Its name says chat model, but it has no chat template.", "See its page for the prompt it expects.")
    return Check("chat", "note", "This is a chat model, and the prompt is a plain one that it was not made for.", "Choose the prompt chat.")


def _statements(kind: str) -> Check:
    if kind == "chat":
        said = "This is a chat model: levels are measured by completing plain statements, which it may do less well than a base model."
        return Check("chat", "note", said, "Compare it with its own base model, not with others.")
    return Check("chat", "ok", "Levels are measured by completing plain statements, which needs no chat template.")


def _template(looked: Looked) -> bool | None:
    """Whether there is a chat template; None where that is not known. Raises `ModelUnavailable` for files that can't be read."""
    if looked.card is not None and looked.words is not None:
        return chat_template(looked.card) is not None
    return looked.hub.chat_template if looked.hub else None


def chat_layout(looked: Looked, chat_prompt: bool) -> Layout | None:
    """What the model's template puts around a question; None for other prompts, and while it is not on this machine.

    Raises `SettingsError` for a template that can't be used.
    """
    if not chat_prompt or looked.card is None or looked.words is None:
        return None
    return layout(require_chat_template(looked.card))


def about(checks: tuple[Check, ...] | list[Check], name: str) -> list[Check]:
    """The same findings under a model's name."""
    return [replace(check, about=name) for check in checks]


_SAMPLE = 24  # facts whose answers are read
_MOST = 10**9  # positions: beyond, a configuration says no limit
_LIMITS = ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length", "seq_length")
CHAT_PROMPT = Check("prompt", "ok", "The model's own chat template stands around each question, its beginning token included.")
STATEMENTS = Check("prompt", "ok", "Statements end where the answer would follow, without a space.")
_SHORTER = "Leave these facts out or shorten them, use a shorter prompt, or choose a model with more positions."


def answer_points(looked: Looked, pairs: list[tuple[str, str]], border: Check | None = None) -> list[Check]:
    """The points prompt and answers of (prompt, reply) texts; nothing without any. `border`: what is said where no person wrote it."""
    if not pairs:
        return []
    try:
        tokenizer = light_tokenizer(looked.words) if looked.words else None
        prompt = border or prompt_check(tokenizer, *pairs[0])
        if tokenizer is None:
            return [prompt, Check("answers", "unknown", "How answers are read behind the prompt shows when the model is loaded.")]
        return [prompt, answers_check(tokenizer, vocabulary(looked.config), pairs)]
    except ModelUnavailable as error:
        return [Check("answers", "problem", str(error), FITTING)]


def question_pairs(settings: TrainSettings, facts: pd.DataFrame, chat: Layout | None = None) -> list[tuple[str, str]]:
    """(prompt, reply) as they are trained on, of some facts; `chat` is put around them."""
    form = settings.prompt
    rows = facts.head(_SAMPLE)
    asked = list(zip(rows["question"], rows["answers"], strict=True))
    if chat is not None:
        return [(chat.prompt(question, (), form), chat.reply(answers[0], form)) for question, answers in asked]
    return [(form.prompt.replace("{question}", q), form.answer.replace("{answer}", answers[0])) for q, answers in asked]


def statement_pairs(source: FactSource, facts: pd.DataFrame) -> list[tuple[str, str]]:
    """(statement, answer) as a probe reads them, of some facts."""
    return list(_statement_texts(source, facts.head(_SAMPLE)))


def _statement_texts(source: FactSource, facts: pd.DataFrame) -> Iterator[tuple[str, str]]:
    from sftqa_core.knowledge.relations import statement_prompts

    rows = zip(facts["relation"], facts["subject"], facts["question"], facts["answers"], strict=True)
    for relation, subject, question, answers in rows:
        yield statement_prompts(source.relations[relation], subject, question)[0], f" {answers[0]}"


def positions(config: dict[str, Any]) -> int | None:
    """Tokens that the model can hold at once; None where its configuration sets no limit."""
    config = {**config, **(config.get("text_config") or {})}
    found = (config.get(name) for name in _LIMITS)
    return next((value for value in found if type(value) is int and 0 < value <= _MOST), None)


def training_context(
    looked: Looked, settings: TrainSettings, pool: pd.DataFrame, tests: pd.DataFrame, n: int, chat: Layout | None = None
) -> Check:
    """Whether the longest example and the longest question with its answer fit, and what of the few-shot line."""
    room, count = positions(looked.config), _counter(looked)
    if room is None:
        return _no_limit(looked)
    asked = longest_question(replace(settings, shots=0, more_shots=()), pool, tests, count, chat)
    example = longest_example(settings, pool, n, count, chat) if n else 0
    longest = max(example, asked + settings.max_answer_tokens)
    if longest > room:
        return _too_long(longest, room)
    if n and (rare := longest_example(settings, pool, len(pool), count, chat)) > room:
        said = f"A few facts make examples of up to {rare:,} tokens, more than the model's {room:,} positions; a draw may hold one."
        return Check("context", "note", said, _SHORTER)
    most = max(settings.shots, *settings.more_shots, 0)
    shown = longest_question(settings, pool, tests, count, chat) + settings.max_answer_tokens if most else 0
    if shown > room:
        said = f"{most} examples in front of the question take about {shown:,} tokens of {room:,}; fewer are shown."
        return Check("context", "note", said, "Choose fewer examples for that base line, or a model with more positions.")
    return Check("context", "ok", f"The longest text takes {max(longest, shown):,} of the model's {room:,} positions.")


def probing_context(looked: Looked, settings: ProbeSettings, source: FactSource, facts: pd.DataFrame) -> Check:
    """Whether the longest statement with its completion fits."""
    room = positions(looked.config)
    if room is None:
        return _no_limit(looked)
    new = 0 if settings.scheme.method == "likelihood" else settings.scheme.sampling.max_new_tokens
    longest = longest_statement(source, facts, _counter(looked)) + new
    if longest > room:
        return _too_long(longest, room)
    return Check("context", "ok", f"The longest text takes {longest:,} of the model's {room:,} positions.")


def _counter(looked: Looked) -> CountTokens:
    return token_counter(looked.words)


def _no_limit(looked: Looked) -> Check:
    if not looked.config:
        return Check("context", "unknown", "How long a text may be is not known before the model is on this machine.")
    return Check("context", "ok", "The model's configuration sets no limit to the length of a text.")


def _too_long(longest: int, room: int) -> Check:
    return Check("context", "problem", f"The longest text takes {longest:,} tokens, more than the model's {room:,} positions.", _SHORTER)
