"""Does a text contain an answer? The one rule that the memory score and the accuracy after training share.

Rule "tokens" (METHOD 8.3): both sides in NFKC, case folded, runs of white space as one space; the answer must appear as
whole words, so "Paris" is not found inside "Kyparissia". Answers of three characters or fewer keep their case: "R" is
not found in "r". Rule "substring" is the paper's variant: the same folding for every answer, found anywhere.

A letter, a digit or a combining mark belongs to a word; everything else closes it. Scripts written without spaces
(Chinese, Thai) have no such borders, so there "tokens" only finds an answer that is alone.

Rule "exact" asks whether a text is an answer and nothing else: SliCK's rule, for answers to few-shot questions (METHOD
section 1). The text counts up to its first line break. Both sides are normalised alike, and quotes, brackets, dashes and the
marks . , ; : ! ? … are taken off both ends, unless nothing would be left. Then they must be equal: "Paris." is the answer
"Paris", "Paris, France" and "It is Paris" are not. The case of short answers does not count here, since nothing else can
stand around them.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import one_of
from sftqa_core.records.probes import MATCHES

EXACT = "exact"  # the rule's name, beside those of MATCHES
CASE_SENSITIVE_LENGTH = 3  # "R", "US" and "Oka" would otherwise be found in ordinary words
_BROKEN = "\ufffd"  # what a tokenizer decodes half a character to
_BREAKS = ("\n", "\r")
_MARKS = frozenset(".,;:!?…'\"`´")
_PAIRED = frozenset(("Ps", "Pe", "Pi", "Pf", "Pd"))  # brackets, typographic quotes, dashes


def normalise(text: str) -> str:
    """NFKC, case folded, white space as single spaces, none at the ends."""
    return _folded(_composed(text)).strip()


@dataclass(frozen=True)
class CompiledAnswers:
    """One fact's answers, ready to be looked for in many texts. Build it with `Matcher.compile`; it can be pickled."""

    folded: tuple[tuple[str, str], ...]  # (what to look for in the case-folded text, the answer as it was given)
    exact: tuple[tuple[str, str], ...]  # the same for answers whose case counts
    whole_words: bool = True

    def find(self, text: str, closed: bool = True) -> str | None:
        """The answer, as it was given, that stands in `text`; the longest when several do; None without one.

        With `closed=False` more text may follow: an answer counts only when no continuation can undo it, that is when
        a character after it is already there and ends the word. Half-decoded characters at the end are not looked at.
        """
        if not closed:
            text = text.rstrip(_BROKEN)
        composed = _composed(text)
        if self.folded:
            folded = _folded(composed)
            for needle, answer in self.folded:
                if needle in folded and self._stands(folded, needle, closed):
                    return answer
        for needle, answer in self.exact:
            if needle in composed and self._stands(composed, needle, closed):
                return answer
        return None

    def over(self, text: str) -> bool:
        """Whether text after `text` can no longer count: never, since an answer may always come later."""
        return False

    def _stands(self, text: str, needle: str, closed: bool) -> bool:
        start = text.find(needle)
        while start >= 0:
            if self._bordered(text, start, start + len(needle), closed):
                return True
            start = text.find(needle, start + 1)
        return False

    def _bordered(self, text: str, start: int, end: int, closed: bool) -> bool:
        if end == len(text):
            ended = closed
        elif self.whole_words:
            ended = not in_word(text[end])
        else:
            ended = closed or not _is_mark(text[end])  # a mark may still be composed with the letter before it
        return ended and not (self.whole_words and start and in_word(text[start - 1]))


@dataclass(frozen=True)
class Matcher:
    """A matching rule: "tokens" or "substring". Raises `SettingsError` for any other."""

    match: str = "tokens"

    def __post_init__(self) -> None:
        if wrong := one_of("match", self.match, tuple(MATCHES)):
            raise SettingsError(wrong)

    def compile(self, answers: Iterable[str]) -> CompiledAnswers:
        """`answers` (aliases already added) for repeated use. Empty answers are passed over."""
        folded: dict[str, str] = {}
        exact: dict[str, str] = {}
        for answer in answers:
            plain = _composed(answer).strip()
            keeps_case = self.match == "tokens" and len(plain) <= CASE_SENSITIVE_LENGTH
            if plain and keeps_case:
                exact.setdefault(plain, answer)
            elif plain:
                folded.setdefault(_folded(plain).strip(), answer)
        return CompiledAnswers(_longest_first(folded), _longest_first(exact), self.match == "tokens")

    def find(self, text: str, answers: Iterable[str]) -> str | None:
        """The one of `answers` that `text` contains, or None. Use `compile` for many texts."""
        return self.compile(answers).find(text)


@dataclass(frozen=True)
class ExactAnswers:
    """One fact's answers, ready to be compared with many texts; has the methods of `CompiledAnswers`."""

    forms: tuple[tuple[str, str], ...]  # (plain form, the answer as it was given)
    whole_words: bool = True  # a letter or digit ends no answer: after one, a row that is being drawn need not be looked at

    def find(self, text: str, closed: bool = True) -> str | None:
        """The answer, as it was given, that equals the first line of `text`, or None. With `closed=False`, None: the line may go on."""
        return dict(self.forms).get(plain_form(first_line(text))) if closed else None

    def over(self, text: str) -> bool:
        """Whether text after `text` can no longer count: the line has ended."""
        return any(mark in text for mark in _BREAKS)


def exact_answers(answers: Iterable[str]) -> ExactAnswers:
    """`answers` (aliases already added) for repeated use. Empty answers are passed over."""
    forms: dict[str, str] = {}
    for answer in answers:
        if plain := plain_form(answer):
            forms.setdefault(plain, answer)
    return ExactAnswers(tuple(forms.items()))


def first_line(text: str) -> str:
    """A text up to its first line break."""
    for mark in _BREAKS:
        text = text.split(mark, 1)[0]
    return text


def plain_form(text: str) -> str:
    """What rule "exact" compares: the text normalised, without marks, quotes, brackets and dashes at its ends."""
    folded = normalise(text)
    trimmed = "".join({mark for mark in folded if mark.isspace() or mark in _MARKS or unicodedata.category(mark) in _PAIRED})
    return folded.strip(trimmed) or folded


def is_echo(subject: str, answers: Iterable[str]) -> bool:
    """Whether repeating the subject would count as an answer, under either rule (case respected for "substring")."""
    whole = normalise(subject)
    wanted = [answer for answer in answers if normalise(answer) in whole]  # nearly always none, and quickly found
    return stands_inside(subject, wanted) or Matcher().find(subject, wanted) is not None


def stands_inside(subject: str, answers: Iterable[str]) -> bool:
    """Whether an answer's text, exactly as written, is part of the subject's: METHOD section 1's count of 14,371."""
    return any(bool(answer.strip()) and answer in subject for answer in answers)


def in_word(character: str) -> bool:
    """Whether a character belongs to a word: a letter, a digit, or a mark that is written on one."""
    return character.isalnum() or _is_mark(character)


def _is_mark(character: str) -> bool:
    return character > "\u02ff" and unicodedata.category(character)[0] == "M"


def _composed(text: str) -> str:
    """NFKC with runs of white space as one space; a space at the end stays, because it closes a word."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    folded = " ".join(text.split())
    return folded + " " if folded and text[-1].isspace() else folded


def _folded(composed: str) -> str:
    if composed.isascii():
        return composed.lower()
    return unicodedata.normalize("NFKC", composed.casefold())  # folding can take a composed letter apart


def _longest_first(needles: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(needles.items(), key=lambda item: -len(item[0])))
