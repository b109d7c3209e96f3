"""A model on a server, ready to be asked: what `LoadedModel` is for one in this process."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sftqa_core.errors import ModelUnavailable, SettingsError, SftqaError
from sftqa_core.jsonrecord import fingerprint, shown
from sftqa_core.models import catalogue
from sftqa_core.models.light_tokenizers import beginning_ids, forgotten_beginning
from sftqa_core.models.loading import LoadedModel, explained, tokenizer_panics
from sftqa_core.models.model_files import TOKENIZER_FILES, ModelFolder, digests, refuse_growing_tokenizer
from sftqa_core.models.serving import server_identity
from sftqa_core.models.serving.addresses import KIND, ServerName, server_name
from sftqa_core.models.serving.server_client import Client, Refused
from sftqa_core.models.serving.server_identity import PROMPTS, TOKENS, Answered, Identity
from sftqa_core.models.serving.server_replies import Choice, choices_of, entry_of
from sftqa_core.progress import Reporter
from sftqa_core.records import ModelCard
from sftqa_core.workspace import Workspace, typed_path

MOST_AT_ONCE = 32  # requests under way: vLLM reads 256 completions together, a prompt has about ten
_RATHER_MORE = 1.2  # tokens than the fixed prompts say: a text that is a little too short fits, one that is too long ends the work
_SAME = 0.25  # that a first token's log-probability may differ between a text and its token ids


@dataclass(frozen=True)
class NamedTokenizer:
    """The tokenizer in a folder, or of a model, on this machine, which the served model has, too."""

    name: str
    tokenizer: Any
    bos_ids: list[int]
    end_ids: tuple[int, ...]
    model_type: str
    fingerprint: str

    def encode(self, text: str) -> list[int]:
        """Token ids behind the beginning token, if there is one."""
        with tokenizer_panics():
            return [*self.bos_ids, *self.tokenizer(text, add_special_tokens=False)["input_ids"]]


@dataclass
class ServedModel:
    """One model on a server. Threads may ask it at the same time."""

    card: ModelCard
    client: Client
    fingerprint: catalogue.ModelFingerprint
    identity: Identity
    extended: bool  # whether it takes what vLLM knows beyond OpenAI's API
    tokenizer: Any = None  # None where nobody named one: the server is sent texts
    bos_ids: list[int] = field(default_factory=list)
    end_ids: tuple[int, ...] = ()
    model_type: str = ""
    device: str = KIND
    dtype: str = KIND
    vocabulary: int | None = None  # tokens that it knows: no server tells

    def length(self, prompt: str | Sequence[int]) -> int:
        """Tokens of a prompt; of a text about so many, by the fixed prompts, and rather more than fewer."""
        if not isinstance(prompt, str):
            return len(prompt)
        tokens = sum(answered.prompt_tokens for answered in self.identity.answers)
        return math.ceil(_RATHER_MORE * len(prompt) * tokens / sum(map(len, PROMPTS)))

    @property
    def window(self) -> int | None:
        """Tokens of its context window; None where the server does not tell."""
        return self.identity.window

    def ask(
        self,
        prompt: str | Sequence[int],
        new_tokens: int,
        samples: int = 1,
        temperature: float = 0.0,
        *,
        top_k: int | None = None,
        top: int = 0,
        echo: bool = False,
    ) -> tuple[list[Choice], int]:
        """`samples` completions of a text, or of token ids, and the prompt's tokens as the server counts them; natural log-probabilities
        at temperature 1, of the `top` likeliest tokens, too; with `echo` of the prompt's tokens.

        Raises `SettingsError`, `Refused`, `ModelUnavailable`, `Stopped`.
        """
        more: dict[str, Any] = {"top_k": top_k, "logprobs": top, "echo": echo}
        return _ask(self.client, self.extended, prompt, new_tokens, samples, temperature, stop_ids=self.end_ids[1:], **more)


AnyModel = LoadedModel | ServedModel


def _ask(
    client: Client,
    extended: bool,
    prompt: str | Sequence[int],
    new_tokens: int,
    samples: int = 1,
    temperature: float = 0.0,
    *,
    top_k: int | None = None,
    logprobs: int = 0,
    echo: bool = False,
    stop_ids: Sequence[int] = (),
) -> tuple[list[Choice], int]:
    """One request; whatever is not said in it would come from the model's own settings, or the server's. It names no seed: vLLM 0.32 on a
    processor dies of one."""
    body: dict[str, Any] = {
        "model": client.name.model,
        "prompt": prompt if isinstance(prompt, str) else list(prompt),
        "n": samples,
        "temperature": temperature,
        "max_tokens": new_tokens,
        "top_p": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "logprobs": logprobs,
        "stream": False,
        **({"echo": True} if echo else {}),
    }
    if extended:
        body |= {"top_k": -1 if top_k is None else top_k, "min_p": 0.0, "repetition_penalty": 1.0}
        body |= {"stop_token_ids": list(stop_ids)} if stop_ids else {}
    elif top_k is not None:
        raise SettingsError(f"{client.name.root} does not know top-k, which this way of asking needs. Choose the paper's levels.")
    return choices_of(client.complete(body), samples, new_tokens, echo, client.name.root)


def open_served(
    card: ModelCard, reporter: Reporter | None = None, most: int | None = None, check: Callable[[], None] | None = None
) -> ServedModel:
    """Look at a served model again: that it is there, and which one it is; at most `most` requests are under way at once. `check` may
    raise `Stopped` meanwhile, and later; by default the reporter's.

    Raises `SettingsError` for a server that may not be asked, `ModelUnavailable` for one that is not there, serves no such model, or
    does not give what is needed.
    """
    name = server_name(card.name)
    assert name is not None, card.name
    workspace = Workspace.current()
    client = Client(name, most or MOST_AT_ONCE, check or (reporter.check if reporter else lambda: None))
    try:
        entry = entry_of(client.look(f"{name.path}/models"), name.model, name.root)
        tokenizer = server_identity.known(name, workspace).tokenizer
        words = named_tokenizer(tokenizer) if tokenizer else None
        extended, answers = _fixed_answers(client)
        server = " ".join(filter(None, (entry.owner, _version(client))))
        seen = Identity(str(name), server, entry.root, words.fingerprint if words else None, entry.window, answers)
        if words is not None:
            _require_same_words(client, extended, words, answers[0])
        _require_one_beginning(client, extended, words)
        identity, other = server_identity.remember(name, workspace, seen)
    except BaseException:
        client.close()
        raise
    if other and reporter is not None:
        reporter.log(f"{name} is another model, or version, than the last time: what was measured before stays apart.")
    model = catalogue.ModelFingerprint(identity, None, KIND, KIND)
    told = (words.tokenizer, words.bos_ids, words.end_ids, words.model_type) if words else ()
    return ServedModel(server_identity.served_card(name, workspace), client, model, seen, extended, *told)


def _fixed_answers(client: Client) -> tuple[bool, tuple[Answered, ...]]:
    """Whether the server takes more than OpenAI's API, and its answers to the fixed prompts."""

    def answers(extended: bool) -> tuple[Answered, ...]:
        replies = (_ask(client, extended, text, TOKENS) for text in PROMPTS)
        return tuple(Answered(count, choice.tokens, choice.logprobs) for (choice,), count in replies)

    try:
        return True, answers(True)
    except Refused as error:
        if error.status not in (400, 422):
            raise
    return False, answers(False)


def _version(client: Client) -> str:
    """The server's version where it tells one."""
    try:
        told = client.look("/version")
    except Refused as error:
        if error.status not in (404, 405, 501):
            raise  # a name of its own would else be made for one bad moment
        return ""
    version = told.get("version") if isinstance(told, dict) else None
    return version[:60] if isinstance(version, str) and version.isprintable() else ""


def _require_same_words(client: Client, extended: bool, words: NamedTokenizer, answered: Answered) -> None:
    """Raise `ModelUnavailable` unless the named tokenizer's ids are to the server what the text is."""
    ids = words.encode(PROMPTS[0])
    (choice,), count = _ask(client, extended, ids, TOKENS)
    near = bool(choice.logprobs) and abs(choice.logprobs[0] - answered.logprobs[0]) <= _SAME
    if count == answered.prompt_tokens and count == len(ids) and near and choice.tokens[:1] == answered.tokens[:1]:
        return
    raise ModelUnavailable(
        f"{client.name} does not have the tokenizer of {words.name}: {shown(PROMPTS[0])} has {len(ids)} tokens by that, and "
        f"{answered.prompt_tokens} on the server, or is answered in another way. Name another model: sftqa models --add {client.name} "
        "--tokenizer MODEL"
    )


def _require_one_beginning(client: Client, extended: bool, words: NamedTokenizer | None) -> None:
    """Raise `ModelUnavailable` for a server that puts a second beginning token in front, as far as it shows what it read."""
    try:
        (choice,), _ = _ask(client, extended, words.encode(PROMPTS[0]) if words else PROMPTS[0], 1, echo=True)
    except Refused as error:
        if error.status not in (400, 422, 501):
            raise
        return  # it echoes no prompt
    if len(choice.tokens) > 1 and choice.tokens[0] == choice.tokens[1]:
        raise ModelUnavailable(
            f"{client.name} reads {shown(choice.tokens[0])} twice in front of a text, which changes what it says. Its tokenizer and its "
            "server both put one there: start the server so that only one does."
        )


def named_tokenizer(name: str) -> NamedTokenizer:
    """The tokenizer that a person named: a folder with its files, or a model on this machine. Raises `ModelUnavailable`."""
    words, config = catalogue.words_named(name)
    refuse_growing_tokenizer(ModelFolder(words), name)
    with explained(name):
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(words, trust_remote_code=False, local_files_only=True)
    forgotten = forgotten_beginning(words, config)
    begin = [forgotten] if forgotten is not None else list(beginning_ids(tokenizer))
    named = config.get("eos_token_id")
    ends = [tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])]
    end_ids = tuple(dict.fromkeys(token for token in ends if type(token) is int))
    files = [words / file for file in TOKENIZER_FILES if (words / file).is_file()]
    same = fingerprint([digests(files, Workspace.current()), begin])
    return NamedTokenizer(name, tokenizer, begin, end_ids, str(config.get("model_type", "")), same)


def name_tokenizer(name: ServerName, tokenizer: str) -> None:
    """Remember whose tokenizer a served model has. Raises `ModelUnavailable` for one that can't be used here."""
    try:
        named_tokenizer(tokenizer)
    except SftqaError as error:
        raise ModelUnavailable(f"The tokenizer of {name} can't be that of {tokenizer}. {error}") from None
    path, kind = typed_path(tokenizer)
    server_identity.keep_tokenizer(name, Workspace.current(), str(path.absolute()) if kind == "folder" else tokenizer)
