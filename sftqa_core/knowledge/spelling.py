"""One spelling for what people and models write in several: apostrophes, dashes, quotes, and characters that can't be seen.

`plain` is applied to answers and to texts alike. Beyond NFKC:

- apostrophes and single quotes (’ ‘ ʼ ʻ ′ ` ´ ‹ › ׳) become ', double ones (“ ” „ ″ « » ״) become ";
- hyphens and dashes (‐ ‑ ‒ – — ― − ־) become -;
- format characters (Unicode's category Cf: zero-width spaces, marks of direction, byte order marks, soft hyphens) are dropped. The two
  joiners (U+200C and U+200D) stay between two letters: there they belong to the spelling of Persian and of Indian scripts.

`bare` takes off what stands around an answer and is no part of it: quotes on both sides, and one mark at the end.
"""

import re
import unicodedata

_APOSTROPHES = "`\u02b9\u02bb\u02bc\u02bd\u2018\u2019\u201a\u201b\u2032\u2035\u2039\u203a\u055a\u05f3\ua78b\ua78c"
_DOUBLE = "\u201c\u201d\u201e\u201f\u301d\u301e\u301f\u00ab\u00bb\u05f4"
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\u02d7\u05be"
# Category Cf but for the joiners, written down: another Python knows other characters, and what counts must not depend on it
_UNSEEN = (
    "\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff"
    "\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f"
)
_JOINERS = "\u200c\u200d"
_DECOMPOSING = {"\u00b4": "'", "\u1ffd": "'", "\u1fef": "'", "\u2033": '"', "\u2036": '"'}  # NFKC would take these apart
FINAL = ".,;:!?。、،؛؟۔।։។၊။"  # marks that end an answer, in NFKC (which writes … as three full stops)
_PAIRS = {'"': '"', "'": "'", "「": "」", "『": "』", "《": "》", "〈": "〉"}

_COMPOSED = "\u0149\u0374\u2034\u2037\u2057\u207b\u208b\ufe31\ufe32\ufe58\uff40" + "".join(_DECOMPOSING)  # NFKC makes one of those

_dropped = re.compile(f"[{_UNSEEN}]+")
_joiners = re.compile(f"[{_JOINERS}]+")
_invisible = re.compile(f"[{_JOINERS}{_UNSEEN}]")
_touched = re.compile(f"[{_APOSTROPHES}{_DOUBLE}{_DASHES}{_JOINERS}{_UNSEEN}{_COMPOSED}]")
# what is folded, what it is folded to, and quotes that are taken off
_folded = re.compile(f"[-'\"\uff07\uff02\ufe63\uff0d\uff62\uff63{_touched.pattern[1:-1]}{''.join(_PAIRS)}{''.join(_PAIRS.values())}]")
_TABLE = str.maketrans({**dict.fromkeys(_APOSTROPHES, "'"), **dict.fromkeys(_DOUBLE, '"'), **dict.fromkeys(_DASHES, "-")})
_EARLY = str.maketrans(_DECOMPOSING)


def plain(text: str) -> str:
    """A text in NFKC with one apostrophe, one double quote, one dash, and nothing that can't be seen. White space stays."""
    if text.isascii():
        return text.replace("`", "'") if "`" in text else text
    if not _touched.search(text):
        return unicodedata.normalize("NFKC", text)
    text = unicodedata.normalize("NFKC", text.translate(_EARLY))
    text = _dropped.sub("", text.translate(_TABLE))
    text = _joiners.sub(_joiner, text)
    return unicodedata.normalize("NFKC", text)  # what was kept apart by a dropped character may compose


def unseen_left_out(text: str) -> str:
    """A text without any character that can't be seen, joiners too: for names of columns, which are no words of a language."""
    return text if text.isascii() else _invisible.sub("", text)


def bare(text: str) -> tuple[str, str]:
    """A `plain` text without the quotes around it and one final mark, and that mark ("" without one); three full stops are one mark.

    Neither is taken off where nothing would be left: "!!!" stays.
    """
    stem, mark, _ = _taken_off(text)
    return stem, mark


def left_out(text: str) -> set[str]:
    """What `plain` and `bare` take off a text: "characters that can't be seen", "outer quotes", "a final mark"."""
    _, mark, quoted = _taken_off(plain(text).strip())
    hidden = any(not _joiner_stays(text, at.start()) for at in _invisible.finditer(text))
    told = {"characters that can't be seen": hidden, "outer quotes": quoted, "a final mark": bool(mark)}
    return {what for what, found in told.items() if found}


def may_be_spelled_otherwise(text: str) -> bool:
    """Whether a text holds an apostrophe, a quote, a dash or a character that can't be seen."""
    return _folded.search(text) is not None


def in_word(character: str) -> bool:
    """Whether a character belongs to a word: a letter, a digit, or a mark that is written on one."""
    return character.isalnum() or is_mark(character)


def is_mark(character: str) -> bool:
    """Whether a character is written on the one before it."""
    return character > "\u02ff" and unicodedata.category(character)[0] == "M"


def _taken_off(text: str) -> tuple[str, str, bool]:
    mark, quoted = "", False
    while text:
        if len(text) > 2 and _PAIRS.get(text[0]) == text[-1] and (inner := text[1:-1].strip()):
            text, quoted = inner, True
        elif not mark and text[-1] in FINAL and any(map(in_word, text)):
            mark = text[-1]
            text = (text.rstrip(".") if text.endswith("...") else text[:-1]).rstrip()
        else:
            break
    return text, mark, quoted


def _joiner(found: re.Match[str]) -> str:
    return found[0][0] if _between_letters(found.string, found.start(), found.end()) else ""


def _joiner_stays(text: str, at: int) -> bool:
    return text[at] in _JOINERS and _between_letters(text, at, at + 1)


def _between_letters(text: str, start: int, end: int) -> bool:
    return start > 0 and end < len(text) and all(unicodedata.category(text[at])[0] in "LM" for at in (start - 1, end))
