"""Where words end in scripts that are written without spaces, or attach small words to a name.

- **Han, Kana, Thai, Lao, Khmer, Burmese** put no spaces between words. Beside one of their letters no border is asked for: 東京 stands
  in 日本の首都は東京です, NBA in 彼はNBAの選手. Within Katakana it is, since a foreign name is one run of it: インド does not stand
  in インドネシア. A sign that belongs to the letter before it (a mark, ー, 々, a small kana, a Thai vowel) does not let a word end, and
  a Thai or Lao vowel that is written first does not let one begin behind it.
- **Hangul**: after a name one of `PARTICLES` may follow and up to two of `AFTER_PARTICLES`, then the word must end: 서울 stands in
  서울에서는, not in 서울대학교. After a digit any Hangul may follow (1990년). Before a name the word must begin.
- **Arabic and Hebrew**: one of `ARABIC_PREFIXES` or `HEBREW_PREFIXES` may stand before a name: القاهرة in والقاهرة, ירושלים in
  בירושלים. Vowel signs do not count in them.

Known errors: a longer name of Han that holds the answer is a hit (京都 in 東京都), so is a Hangul name that is the answer and a
particle (서울고), an Arabic or Hebrew name that begins like a prefix, and a Burmese syllable within a longer one. A Katakana name within
a compound (トヨタ in トヨタカローラ) is none.
"""

import re
import unicodedata

from sftqa_core.knowledge.spelling import in_word, is_mark

_THAI_LAO = "\u0e00-\u0e4f\u0e5a-\u0ecf\u0eda-\u0eff"  # digits left out, as in the next
_BURMESE_KHMER = "\u1000-\u103f\u104a-\u108f\u109a-\u109f\u1780-\u17df\u19e0-\u19ff\ua9e0-\ua9ef\ua9fa-\ua9ff\uaa60-\uaa7f"
_HIRAGANA, _KATAKANA = "\u3041-\u309f", "\u30a0-\u30ff\u31f0-\u31ff"
_HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_HANGUL = "\u1100-\u11ff\u3131-\u318e\ua960-\ua97f\uac00-\ud7ff"
_ARABIC = "\u0610-\u061a\u0620-\u065f\u066e-\u06d3\u06d5-\u06ff\u0750-\u077f\u08a0-\u08ff"
_HEBREW = "\u0591-\u05bd\u05bf-\u05c7\u05d0-\u05ea"

_unspaced = re.compile(f"[{_THAI_LAO}{_BURMESE_KHMER}{_HIRAGANA}{_KATAKANA}{_HAN}\U0001b000-\U0001b16f]")
_katakana = re.compile(f"[{_KATAKANA}]")
_hangul = re.compile(f"[{_HANGUL}]+")
_attaching = re.compile(f"[{_THAI_LAO}{_BURMESE_KHMER}{_HIRAGANA}{_KATAKANA}{_HAN}\U0001b000-\U0001b16f{_HANGUL}{_ARABIC}{_HEBREW}]")
_BELONGS_BEFORE = frozenset("ーゝゞヽヾ々ぁぃぅぇぉゃゅょゎะาๅະາ")
_BELONGS_AFTER = frozenset("เแโใไເແໂໃໄ\u17d2\u1039")  # vowels that are written first, and what puts the next letter under this one

# of Korean: topic, subject, object, place, company, means, comparison; "called"; forms of "to be"
PARTICLES = (
    *("은", "는", "이", "가", "을", "를", "의", "에", "에서", "에게", "에게서", "께", "께서", "한테", "한테서", "와", "과", "랑", "이랑"),
    *("하고", "도", "만", "까지", "부터", "마저", "조차", "밖에", "로", "으로", "로서", "으로서", "로써", "으로써", "로부터", "으로부터"),
    *(
        "보다",
        "처럼",
        "같이",
        "마다",
        "나",
        "이나",
        "든지",
        "이든지",
        "라",
        "이라",
        "라고",
        "이라고",
        "라는",
        "이라는",
        "고",
        "이고",
        "며",
        "이며",
    ),
    *("다", "이다", "였다", "이었다", "였고", "이었고", "입니다", "이에요", "예요", "이죠", "지만", "이지만", "인데", "야", "이야"),
)
AFTER_PARTICLES = ("은", "는", "도", "만", "의", "까지", "부터", "조차", "마저")
_particles = re.compile(f"(?:{'|'.join(PARTICLES)})(?:{'|'.join(AFTER_PARTICLES)}){{0,2}}")

ARABIC_PREFIXES = "[وف]?(?:[بك]?(?:ال)?|ل|لل)"  # and, so; with, like; the; for, for the
HEBREW_PREFIXES = "ו?(?:לכש|כש|מש|ש)?[בכלמ]?ה?"  # and; when, that; in, like, to, from; the
_PREFIXES = (
    (re.compile(f"[{_ARABIC}]"), re.compile(ARABIC_PREFIXES)),
    (re.compile(f"[{_HEBREW}]"), re.compile(HEBREW_PREFIXES)),
)
_LONGEST_PREFIX = 16  # characters, vowel signs included
_STRETCH = "\u0640"  # the Arabic line that widens a word


def may_follow(text: str, end: int, closed: bool) -> bool:
    """Whether a word may end before `text[end]`, a character of a word. With `closed=False` the text may go on."""
    last, following = text[end - 1], text[end]
    if is_mark(following) or following in _BELONGS_BEFORE:
        return False
    if _unspaced.match(following):
        return not (_katakana.match(following) and _katakana.match(last))
    if _unspaced.match(last):
        return True
    attached = _hangul.match(text, end)
    if not attached:
        return False
    if last.isdecimal():
        return True
    if not _particles.fullmatch(attached[0]):
        return False
    return closed if attached.end() == len(text) else not in_word(text[attached.end()])


def may_precede(text: str, start: int) -> bool:
    """Whether a word may begin at `text[start]` behind a character of a word."""
    before, first = text[start - 1], text[start]
    if is_mark(first) or before in _BELONGS_AFTER:
        return False
    if _unspaced.match(before):
        return not (_katakana.match(before) and _katakana.match(first))
    return bool(_unspaced.match(first)) or any(
        script.match(first) and forms.fullmatch(_attached(text, start, script)) for script, forms in _PREFIXES
    )


def without_article(name: str) -> str | None:
    """An Arabic name with "the" as it is written after "for" (للقاهرة, where القاهرة loses a letter); None for any other."""
    return "لل" + name[2:] if name.startswith("ال") and len(name) > 3 else None


def attaches(text: str) -> bool:
    """Whether a text holds a letter of a script that is written without spaces, or attaches small words to names."""
    return not text.isascii() and _attaching.search(text) is not None


def unspaced(text: str) -> bool:
    """Whether most of a text's letters are of a script that is written without spaces."""
    letters = [letter for letter in unicodedata.normalize("NFKC", text) if letter.isalpha()]
    return 2 * sum(_unspaced.match(letter) is not None for letter in letters) > len(letters)


def _attached(text: str, start: int, script: re.Pattern[str]) -> str:
    """The letters between the beginning of the word and `start`; "?" where they can't be a prefix."""
    at = start
    while at and start - at <= _LONGEST_PREFIX and script.match(text[at - 1]):
        at -= 1
    if start - at > _LONGEST_PREFIX or (at and in_word(text[at - 1])):
        return "?"
    return "".join(letter for letter in text[at:start] if letter != _STRETCH and not is_mark(letter))
