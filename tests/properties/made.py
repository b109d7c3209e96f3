"""What the properties are tried on: texts as nobody would write them, and values of any shape."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

SPELLS = [
    '', ' ', '\t', '\n', '\r\n', '\x00', '\x1b[31m', '\u202e', '\u2066', '\u200b', '\u2028', '\ufeff', '\ufffd', '\ud800', '=1+1',
    '＝1', "'=x", '-', '@a', '<b>x</b>', '**x**', '$x$', ':material/home:', '{subject}', '{question}', '{0.__class__}',
    '{subject!r}', '{', '}', '{{}}', '%s', '|', 'a|b', ';', ',', '"', "'", '\\', '../../x', 'NaN', 'Infinity', '-0', '1e999',
    "9" * 400, 'null', '[', '[]', '[1]', '["a", "b"]', '[[[[', '{}', 'P17', 'P999', 'train', 'none', 'in', 'out', 'ﬁ', 'İ', 'ß',
    'é', 'e\u0301', 'ｆｕｌｌ', '字', '🦙', 'ا', "x" * 2001,
]  # fmt: skip
texts = st.one_of(st.sampled_from(SPELLS), st.text(max_size=30), st.lists(st.sampled_from(SPELLS), max_size=4).map("".join))
file_texts = texts.map(lambda text: text.encode("utf-8", "replace").decode())  # what can stand in a file
leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.integers(10**17, 10**25), st.floats(), texts)
values = st.recursive(
    leaves, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)), max_leaves=12
)


def file_of(content: bytes | str, name: str) -> Path:
    """A file of that content in a folder of its own; the system clears it away."""
    path = Path(_FOLDER.name) / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return path


def mutated(content: bytes, changes: list[tuple[int, int]]) -> bytes:
    """`content` with some bytes replaced, at places taken modulo its length."""
    found = bytearray(content)
    for at, byte in changes:
        if found:
            found[at % len(found)] = byte
    return bytes(found)


changes: st.SearchStrategy[list[tuple[int, int]]] = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6)
_FOLDER: Any = tempfile.TemporaryDirectory(prefix="sftqa-properties-")


def told(problems: list[str], longest: int = 4_000) -> None:
    """An error says something, and not too much."""
    assert problems
    assert len(problems) <= 21
    assert all(0 < len(problem) < longest for problem in problems)
