"""Counts and checks of a model's tokenizer from its files alone (light_tokenizers.py), neither transformers nor torch.

Each check is a sentence with its fix, by the rules of loading.py and training/encoding.py. A family's own class may do more than
tokenizer.json says; loading the model has the last word.
"""

import contextlib
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sftqa_core.artifacts import Kept
from sftqa_core.errors import ModelUnavailable
from sftqa_core.jsonrecord import fingerprint, shown
from sftqa_core.models.light_tokenizers import (
    SAVE,
    LightTokenizer,
    beginning_ids,
    forgotten_beginning,
    light_tokenizer,
    required_beginning,
    tokenizer_stamp,
)  # fmt: skip
from sftqa_core.models.loading import FITTING, continuation, foreign_tokens, plain_ids, tokenizer_panics
from sftqa_core.models.model_files import TOKENIZER_CONFIG, vocabulary
from sftqa_core.records import Check

_OTHERS = ("tokenizer.model", "vocab.json", "vocab.txt", TOKENIZER_CONFIG)  # of a tokenizer without tokenizer.json
_BYTES_PER_TOKEN = 3  # of names and short sentences, about; for models whose tokenizer is not here
_TRIED = 16  # of the longest texts: the one with most letters need not have most tokens
_PLAIN_CLASSES = ("PreTrainedTokenizerFast", "TokenizersBackend")  # they name no token by themselves


@dataclass(frozen=True)
class TokenCounter:
    """Counts a text's tokens with those around it; equal to another that counts the same."""

    tokenizer: LightTokenizer | None = field(compare=False, default=None)
    files: tuple[Hashable, ...] = ()  # which tokenizer it is
    more: int = 0

    def __call__(self, text: str) -> int:
        if self.tokenizer is None:
            return 1 + len(text.encode()) // _BYTES_PER_TOKEN
        return self.more + len(self.tokenizer(text)["input_ids"])


def token_counter(folder: Path | None, config: dict[str, Any] | None = None) -> TokenCounter:
    """Of a model's tokenizer, by the model's configuration also a token that it forgets; a third of the text's bytes where there is no
    tokenizer, or none that can be read: loading the model reports why."""
    with contextlib.suppress(OSError, ImportError, ModelUnavailable):
        if folder is not None and (tokenizer := light_tokenizer(folder)) is not None:
            more = int(forgotten_beginning(folder, config or {}) is not None)
            return TokenCounter(tokenizer, (folder, tokenizer_stamp(folder)), more)
    return TokenCounter()


def longest_tokens(texts: Iterable[str], count: TokenCounter) -> int:
    """Tokens of the longest of these texts, at least 1."""
    return max([1, *map(count, sorted(set(texts), key=len)[-_TRIED:])])


def tokenizer_checks(folder: Path, config: dict[str, Any]) -> list[Check]:
    """The checks tokenizer, beginning, end and padding of a tokenizer against its model's configuration; only the first where it makes
    the others impossible."""
    return list(_kept_checks.get((folder, tokenizer_stamp(folder), fingerprint(config)), lambda: tuple(_checked(folder, config))))


_kept_checks: Kept[tuple[Check, ...]] = Kept(20)


def _checked(folder: Path, config: dict[str, Any]) -> list[Check]:
    try:
        with tokenizer_panics():
            tokenizer, rows = light_tokenizer(folder), vocabulary(config)
            if tokenizer is not None:
                return [
                    _fits(tokenizer, rows),
                    _beginning(folder, tokenizer, config, rows),
                    _end(tokenizer, config, rows),
                    _padding(tokenizer, rows),
                ]
            if any((folder / name).exists() for name in _OTHERS):
                said = "Its tokenizer has no tokenizer.json, so it is checked when the model is loaded."
                return [Check("tokenizer", "unknown", said, SAVE)]
            return [Check("tokenizer", "problem", "The folder holds no tokenizer, so no text can be read.", SAVE)]
    except ModelUnavailable as error:
        return [Check("tokenizer", "problem", str(error), FITTING)]


def _fits(tokenizer: LightTokenizer, rows: int | None) -> Check:
    known = tokenizer.backend.get_vocab(with_added_tokens=True)
    special = {number for number, token in tokenizer.backend.get_added_tokens_decoder().items() if token.special}
    special |= {number for name in tokenizer.named if (number := tokenizer.id_named(name)) is not None}
    if rows is not None and (wrong := foreign_tokens(known, special, rows)):
        return Check("tokenizer", "problem", f"Its {wrong}.", FITTING)
    if not plain_ids(tokenizer, "The capital of"):
        return Check("tokenizer", "problem", "Its tokenizer produces no tokens for a plain sentence.", FITTING)
    return Check("tokenizer", "ok", f"The tokenizer and its {len(known):,} tokens fit the model.")


def _beginning(folder: Path, tokenizer: LightTokenizer, config: dict[str, Any], rows: int | None) -> Check:
    put, named = beginning_ids(tokenizer), tokenizer.named.get("bos_token")
    kind = config.get("model_type")
    try:
        required = required_beginning(folder, config)
    except ModelUnavailable as error:
        return Check.of_error("beginning", str(error), "")
    if required is not None and not put:
        text = shown(tokenizer.backend.id_to_token(required))
        said = f"The tokenizer puts no token in front of a text, and without {text} a {kind} model predicts wrongly: it is put there here."
        fix = "Nothing needs to be done. Levels and answers say so in their keys, so those measured without it are not taken for these."
        return Check("beginning", "note", said, fix)
    if put and rows is not None and max(put) >= rows:
        said = f"The tokenizer puts token {max(put):,} in front of each text, but the model knows {rows:,} tokens."
        return Check("beginning", "problem", said, FITTING)
    if put:
        text = shown(tokenizer.backend.decode(put, skip_special_tokens=False))
        said = f"The tokenizer puts {text} once in front of each text."
        if named is not None and put != [tokenizer.id_of(named)]:
            return Check("beginning", "note", f"{said} Its beginning token is {shown(named)}.", "See the model's page for what is meant.")
        return Check("beginning", "ok", said)
    if named is None or named == tokenizer.named.get("eos_token"):
        return Check("beginning", "ok", "This tokenizer puts no token in front of a text.")
    fix = "If the model's page asks for one, fetch its latest files: tokenizer.json decides it."
    return Check("beginning", "note", f"The tokenizer names the beginning token {shown(named)} but puts none in front of a text.", fix)


def _end(tokenizer: LightTokenizer, config: dict[str, Any], rows: int | None) -> Check:
    named, own = tokenizer.named.get("eos_token"), tokenizer.id_named("eos_token")
    ends = config.get("eos_token_id")
    others = [number for number in (ends if isinstance(ends, list) else [ends]) if isinstance(number, int)]
    if named is None and not others:
        if str(tokenizer.settings.get("tokenizer_class", _PLAIN_CLASSES[0])) not in _PLAIN_CLASSES:
            said = "The files name no end token. The tokenizer's class may define one; loading the model shows it."
            return Check("end", "unknown", said)
        return Check("end", "problem", "No end token is named, so no answer would ever end.", "Set eos_token in its tokenizer_config.json.")
    if named is not None and own is None:
        return _new_end(tokenizer, named, others, rows)
    end = others[0] if own is None else own
    if rows is not None and end >= rows:
        return Check("end", "problem", f"The end token is number {end:,}, but the model knows {rows:,} tokens.", FITTING)
    text = shown(named or tokenizer.backend.id_to_token(end))
    if own is not None and others and own not in others:
        other = shown(tokenizer.backend.id_to_token(others[0]))
        said = f"The tokenizer ends a text with {text}, the model's configuration with {other}: both end an answer, tuning teaches {text}."
        return Check("end", "note", said, "Nothing needs to be done, unless the model's page names another.")
    return Check("end", "ok", f"An answer ends with {text}, and the end token is learned with it.")


def _new_end(tokenizer: LightTokenizer, named: str, others: list[int], rows: int | None) -> Check:
    """The named end token is not among the tokens: transformers makes a new one, behind all others."""
    new = tokenizer.backend.get_vocab_size(with_added_tokens=True)
    known = [token for number in others if (token := tokenizer.backend.id_to_token(number)) is not None]
    fix = f"Set eos_token in its tokenizer_config.json to {shown(known[0]) if known else 'a token that is there'}."
    said = f"The end token {shown(named)} is not among the tokenizer's tokens, so it becomes a new one"
    if rows is not None and new < rows:
        return Check("end", "note", f"{said} that the model has never seen.", fix)
    return Check("end", "problem", f"{said} that the model does not have.", fix)


def _padding(tokenizer: LightTokenizer, rows: int | None) -> Check:
    named, own = tokenizer.named.get("pad_token"), tokenizer.id_named("pad_token")
    by_place = "Labels are masked by position, so the end token is learned all the same."
    if named is None or named == tokenizer.named.get("eos_token"):
        return Check("padding", "ok", f"The end token also serves as padding. {by_place}")
    if own is None or (rows is not None and own >= rows):
        said = f"The model does not know the padding token {shown(named)}, so the end token serves as padding."
        return Check("padding", "note", said, "Nothing needs to be done: padding is never read.")
    return Check("padding", "ok", f"The padding token is {shown(named)}, which is never read.")


def answers_check(tokenizer: LightTokenizer, rows: int | None, texts: Sequence[tuple[str, str]]) -> Check:
    """How replies are tokenized after their prompts: one or more (prompt, reply) texts."""
    with tokenizer_panics():
        read = []
        for prompt, reply in texts:
            head, whole = plain_ids(tokenizer, prompt), plain_ids(tokenizer, prompt + reply)
            read.append((reply, continuation(tokenizer, prompt, reply), whole[: len(head)] != head))
    many = len(read)
    if lost := [reply for reply, ids, _ in read if not ids]:
        return Check("answers", "problem", f"The tokenizer makes no token of {shown(lost[0])} ({len(lost)} of {many}).", FITTING)
    if rows is not None and (strange := [reply for reply, ids, _ in read if max(ids) >= rows]):
        said = f"The tokenizer makes tokens of {shown(strange[0])} that the model does not know ({len(strange)} of {many})."
        return Check("answers", "problem", said, FITTING)
    unknown = tokenizer.id_named("unk_token")
    if unreadable := [reply for reply, ids, _ in read if unknown is not None and unknown in ids]:
        said = f"The tokenizer can't represent {len(unreadable)} of {many} answers, such as {shown(unreadable[0].strip())}."
        return Check("answers", "note", said, "Leave these facts out, or choose a model that can write them.")
    if grown := [reply for reply, _, grows in read if grows]:
        said = f"Prompt and answer share a token in {len(grown)} of {many} examples, so answers are tokenized as on a new line."
        return Check("answers", "note", said, "Let the prompt end without a space and the answer form begin with one.")
    # whether the tokens give the answer back
    back = [(reply.strip(), tokenizer.backend.decode(ids, skip_special_tokens=False).strip()) for reply, ids, _ in read]
    if changed := [(reply, text) for reply, text in back if reply != text]:
        said = f"The tokenizer changes {len(changed)} of {many} answers: {shown(changed[0][0])} comes back as {shown(changed[0][1])}."
        return Check("answers", "note", said, "Check that the answers are still matched: short ones are compared with their case.")
    reply, ids, _ = min(read, key=lambda row: len(row[0]))
    count = f"{len(ids)} token{'s' if len(ids) != 1 else ''}"
    return Check("answers", "ok", f"After the prompt, {shown(reply)} is tokenized as in running text: {count} ({tokenizer.pieces(ids)}).")


def prompt_check(tokenizer: LightTokenizer | None, prompt: str, reply: str) -> Check:
    """The border between a prompt and its reply, and the prompt's beginning."""
    first = tokenizer.named.get("bos_token") if tokenizer else None
    if tokenizer and first and prompt.startswith(first) and beginning_ids(tokenizer):
        said = f"The prompt begins with {shown(first)}, which the tokenizer adds as well, so it appears twice."
        return Check("prompt", "note", said, "Remove it from the prompt.")
    if prompt[-1:] in (" ", "\t"):
        said = "The prompt ends in a space, which belongs to the next word for most tokenizers."
        return Check("prompt", "note", said, "Move the space from the prompt's end to the front of the answer.")
    if not prompt[-1:].isspace() and not reply[:1].isspace():
        return Check("prompt", "note", "No space separates prompt and answer.", "Put a space in front of the answer.")
    return Check("prompt", "ok", f"The prompt ends in {shown(prompt.rstrip()[-1:])} without a space, and the answer brings its own.")
