"""How many tokens texts have, counted with a model's own tokenizer file: without torch, and quick enough for a page."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

CountTokens = Callable[[str], int]

_TOKENIZER = "tokenizer.json"
_BYTES_PER_TOKEN = 3  # of names and short sentences, about; where the tokenizer can't be asked
_TRIED = 16  # of the longest texts: the one with most letters need not have most tokens


def token_counter(folder: Path | None) -> CountTokens:
    """Counts a text's tokens with those that the tokenizer puts around it; a third of its bytes where it can't be asked."""
    with contextlib.suppress(OSError, ImportError):
        path = (folder or Path()) / _TOKENIZER
        if folder is not None and path.is_file():
            return _counter(path, path.stat().st_mtime_ns)
    return _guess


def longest_tokens(texts: Iterable[str], count: CountTokens) -> int:
    """Tokens of the longest of these texts, at least 1."""
    most = sorted(set(texts), key=len)[-_TRIED:]
    return max(1, *(count(text) for text in most), 1)


def _guess(text: str) -> int:
    return 1 + len(text.encode()) // _BYTES_PER_TOKEN


@lru_cache(maxsize=1)
def _counter(path: Path, changed_ns: int) -> CountTokens:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception:  # the library raises no narrower class for a file that it can't read; loading the model will say it
        return _guess
    return lambda text: len(tokenizer.encode(text).ids)
