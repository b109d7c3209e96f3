"""A model's tokenizer from its files alone: the `tokenizers` package and JSON, neither transformers nor torch.

It replaces the loaded tokenizer where a page, a preflight or a key needs a text's tokens. tokenizer.json alone decides which tokens go
around a text: beside it transformers ignores `add_bos_token` and `add_eos_token` of tokenizer_config.json, for Gemma's own class too.

Gemma was trained with a beginning token in front of every text, and without it predicts next to nothing right (likelihood levels of 3,
0, 0, 0, 0 facts where 0, 3, 0, 0, 0 were right). Where its tokenizer forgets the token, it is put there, and every key says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftqa_core.artifacts import Kept
from sftqa_core.errors import ModelUnavailable, first_line
from sftqa_core.jsonrecord import shown
from sftqa_core.models.model_files import CHAT_TEMPLATE, SPECIAL_TOKENS, TOKENIZER, TOKENIZER_CONFIG, ModelFolder, refuse_growing_tokenizer

SAVE = "Save it there: AutoTokenizer.from_pretrained(name).save_pretrained(folder)."
_NAMED = ("bos_token", "eos_token", "pad_token", "unk_token")


@dataclass(frozen=True)
class LightTokenizer:
    """Called like the loaded one."""

    backend: Any  # tokenizers.Tokenizer
    settings: Mapping[str, Any]  # tokenizer_config.json
    named: Mapping[str, str]  # bos_token, eos_token, pad_token, unk_token, as far as the files name them

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": list(self.backend.encode(text, add_special_tokens=add_special_tokens).ids)}

    def id_of(self, token: str) -> int | None:
        """A token's id; None for one that the files do not have."""
        number = self.backend.token_to_id(token)
        if number is not None:
            return int(number)
        table = self.settings.get("added_tokens_decoder")  # tokens that only tokenizer_config.json knows
        rows = table.items() if isinstance(table, dict) else ()
        return {str(row["content"]): int(at) for at, row in rows if isinstance(row, dict) and at.isdigit()}.get(token)

    def id_named(self, name: str) -> int | None:
        """The id of "bos_token" and so on; None where none is named, or the named one is not there."""
        token = self.named.get(name)
        return None if token is None else self.id_of(token)

    def pieces(self, ids: list[int]) -> str:
        """Tokens as a person reads them: "Par is"."""
        return " ".join(self.backend.decode([number], skip_special_tokens=False).strip() or "(space)" for number in ids)


def light_tokenizer(folder: Path) -> LightTokenizer | None:
    """The tokenizer of a model's folder; None where it has no tokenizer.json. Raises `ModelUnavailable` for files that can't be read."""
    if not (folder / TOKENIZER).exists():
        return None
    return _kept.get((folder, *tokenizer_stamp(folder)), lambda: _read(folder))


_kept: Kept[LightTokenizer] = Kept(3)  # a large model's takes half a second to read and 100 MB


def tokenizer_stamp(folder: Path) -> tuple[int, ...]:
    """Changes with the files that decide what texts become."""
    paths = [folder / name for name in (TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS, CHAT_TEMPLATE)]
    return tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in paths)


def _read(folder: Path) -> LightTokenizer:
    from tokenizers import Tokenizer

    files = ModelFolder(folder)
    refuse_growing_tokenizer(files, folder.name)
    try:
        backend = Tokenizer.from_file(str(folder / TOKENIZER))
    except Exception as error:  # the library raises no narrower class for a file that it can't read
        raise ModelUnavailable(f"{folder / TOKENIZER} can't be read ({first_line(error)}). Fetch or save the model again.") from None
    backend.no_padding()
    backend.no_truncation()
    settings = files.json(TOKENIZER_CONFIG) if (folder / TOKENIZER_CONFIG).exists() else {}
    older = files.json(SPECIAL_TOKENS) if (folder / SPECIAL_TOKENS).exists() and "added_tokens_decoder" not in settings else {}
    named = {name: _text(settings.get(name)) or _text(older.get(name)) for name in _NAMED}
    return LightTokenizer(backend, settings, {name: token for name, token in named.items() if token})


def _text(token: Any) -> str | None:
    """A special token as its text: written as it is, or as an object with its content."""
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) and token else None


def beginning_ids(tokenizer: Any) -> list[int]:
    """Ids that the tokenizer puts before a text (its beginning token, or nothing)."""
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    for start in range(len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return list(whole[:start])
    return []


def needs_beginning(model_type: Any) -> bool:
    """Whether a model of this type can't do without a beginning token: all Gemmas."""
    return isinstance(model_type, str) and "gemma" in model_type


def required_beginning(words: Path, config: Mapping[str, Any]) -> int | None:
    """The token that every text of this model must begin with; None for models that need none, or whose tokenizer has no
    tokenizer.json.

    `words` is the tokenizer's folder. Raises `ModelUnavailable` where the token is needed and nowhere named.
    """
    if not needs_beginning(config.get("model_type")) or (tokenizer := light_tokenizer(words)) is None:
        return None
    if put := beginning_ids(tokenizer):
        return put[0]
    named = [tokenizer.id_named("bos_token"), config.get("bos_token_id"), (config.get("text_config") or {}).get("bos_token_id")]
    token = next((number for number in named if isinstance(number, int)), None)
    if token is None or tokenizer.backend.id_to_token(token) is None:
        raise ModelUnavailable(
            f"The tokenizer in {words} puts no token in front of a text, which a {shown(config['model_type'])} model can't do without, and "
            f"names none. Set bos_token in its {TOKENIZER_CONFIG}, or fetch the model's latest files."
        )
    return token


def forgotten_beginning(words: Path, config: Mapping[str, Any]) -> int | None:
    """The token of `required_beginning` where the tokenizer does not put it there itself; else None. Raises the same."""
    required = required_beginning(words, config)
    tokenizer = light_tokenizer(words) if required is not None else None
    return None if tokenizer is None or beginning_ids(tokenizer) else required
