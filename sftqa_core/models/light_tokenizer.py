"""A model's tokenizer from its files alone: the `tokenizers` package and JSON, neither transformers nor torch.

It stands in for the loaded tokenizer where a page or a preflight asks what texts become. What stands around a text is what
tokenizer.json says: beside it transformers ignores `add_bos_token` and `add_eos_token` of tokenizer_config.json. A family's own
class may do more; loading the model has the last word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftqa_core.artifacts.kept import Kept
from sftqa_core.errors import ModelUnavailable
from sftqa_core.knowledge.download import first_line
from sftqa_core.models.checks import TOKENIZER, refuse_growing_tokenizer
from sftqa_core.models.folders import ModelFolder

SETTINGS = "tokenizer_config.json"
_MAP = "special_tokens_map.json"
TEMPLATE = "chat_template.jinja"
_NAMED = ("bos_token", "eos_token", "pad_token", "unk_token")
_PLAIN_CLASSES = ("PreTrainedTokenizerFast", "TokenizersBackend")  # they name no token by themselves


@dataclass(frozen=True)
class LightTokenizer:
    """Called like the loaded one."""

    backend: Any  # tokenizers.Tokenizer
    settings: Mapping[str, Any]  # tokenizer_config.json
    named: Mapping[str, str]  # bos_token, eos_token, pad_token, unk_token, as far as the files name them

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": list(self.backend.encode(text, add_special_tokens=add_special_tokens).ids)}

    @property
    def plain_class(self) -> bool:
        """Whether transformers' class for it names no special token that the files do not."""
        return str(self.settings.get("tokenizer_class", _PLAIN_CLASSES[0])) in _PLAIN_CLASSES

    def id_of(self, token: str) -> int | None:
        """A token's id; None for one that the files do not have."""
        found = self.backend.token_to_id(token)
        return found if found is not None else self._declared().get(token)

    def id_named(self, name: str) -> int | None:
        """The id of "bos_token" and so on; None where none is named, or the named one is not there."""
        token = self.named.get(name)
        return None if token is None else self.id_of(token)

    def special_ids(self) -> set[int]:
        """Ids that mark something and are no part of ordinary text."""
        added = self.backend.get_added_tokens_decoder()
        named = {found for name in self.named if (found := self.id_named(name)) is not None}
        return named | {number for number, token in added.items() if token.special}

    def pieces(self, ids: list[int]) -> str:
        """Tokens as a person reads them: "Par is"."""
        return " ".join(self.backend.decode([number], skip_special_tokens=False).strip() or "(space)" for number in ids)

    def _declared(self) -> dict[str, int]:
        """Tokens that only tokenizer_config.json knows."""
        table = self.settings.get("added_tokens_decoder")
        rows = table.items() if isinstance(table, dict) else ()
        return {str(token["content"]): int(number) for number, token in rows if isinstance(token, dict) and number.isdigit()}


def light_tokenizer(folder: Path) -> LightTokenizer | None:
    """The tokenizer of a model's folder; None where it has no tokenizer.json. Raises `ModelUnavailable` for files that can't be read."""
    if not (folder / TOKENIZER).exists():
        return None
    return _kept.get((folder, *tokenizer_stamp(folder)), lambda: _read(folder))


_kept: Kept[LightTokenizer] = Kept(3)  # a large model's takes half a second to read and 100 MB


def tokenizer_stamp(folder: Path) -> tuple[int, ...]:
    """Changes with the files that decide what texts become."""
    return tuple((folder / name).stat().st_mtime_ns if (folder / name).exists() else 0 for name in (TOKENIZER, SETTINGS, _MAP, TEMPLATE))


def _read(folder: Path) -> LightTokenizer:
    from tokenizers import Tokenizer

    own = ModelFolder(folder)
    refuse_growing_tokenizer(own, folder.name)
    try:
        backend = Tokenizer.from_file(str(folder / TOKENIZER))
    except Exception as error:  # the library raises no narrower class for a file that it can't read
        raise ModelUnavailable(f"{folder / TOKENIZER} can't be read ({first_line(error)}). Fetch or save the model again.") from None
    backend.no_padding()
    backend.no_truncation()
    settings = own.json(SETTINGS) if (folder / SETTINGS).exists() else {}
    older = own.json(_MAP) if (folder / _MAP).exists() and "added_tokens_decoder" not in settings else {}
    found = {name: _text(settings.get(name)) or _text(older.get(name)) for name in _NAMED}
    return LightTokenizer(backend, settings, {name: token for name, token in found.items() if token})


def _text(token: Any) -> str | None:
    """A special token as its text: written as it is, or as an object with its content."""
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) and token else None
