"""Does a text contain an answer? The one rule that the memory score and the accuracy after training share.

Rule "tokens" (METHOD 8.3): both sides in NFKC and one spelling (spelling.py: apostrophes, quotes and dashes are one each, what can't be
seen is dropped), case folded, runs of white space as one space; the answer must appear as whole words, so "Paris" is not found inside
"Kyparissia". Rule "substring" is the paper's variant: the same folding for every answer, found anywhere.

An answer's outer quotes and one final mark are not looked for, unless nothing would be left: "Paris." is found in "Paris, France". Where
the mark does stand in the text, the word must end after it, so "U.S." is not found in "U.S.S.R.". Answers of three characters or fewer
keep their case: "R" is not found in "r". For this a final mark counts, quotes and what can't be seen do not: "U.S." has four characters.

A letter, a digit or a combining mark belongs to a word; everything else closes it. In scripts without spaces, and before or after the
small words that Korean, Arabic and Hebrew attach to a name, "tokens" does what scripts.py says.

Rule "exact" asks whether a text is an answer and nothing else: SliCK's rule, for answers to few-shot questions (METHOD
section 1). The text counts up to its first line break. Both sides are normalised alike, and quotes, brackets, dashes and the
marks . , ; : ! ? … and those of other scripts are taken off both ends, unless nothing would be left. Then they must be equal: "Paris." is
the answer "Paris", "Paris, France" and "It is Paris" are not. The case of short answers does not count here, since nothing else can
stand around them.

**Versions.** All of this is version 2 of the rules; version 1 was NFKC and case folding alone, with a border on both sides in every
script. What was judged is known by the name of its rule and the answers (`named`): the version is part of the name only for answers that
version 2 treats otherwise. These are answers that hold an apostrophe, a quote, a dash or a character that can't be seen, since the text
may have another form of it; but for "exact", those that end in a mark; for "tokens", those that hold a letter of the scripts above. All
others are looked for as before and keep their keys. A text can be read otherwise even then, where a character that can't be seen stands
within a name, or a script without spaces beside it; stored hits of such answers stay as they were counted.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import one_of
from sftqa_core.knowledge import scripts, spelling
from sftqa_core.knowledge.scripts import unspaced
from sftqa_core.knowledge.spelling import in_word, left_out
from sftqa_core.records.probes import MATCHES

__all__ = [
    "CASE_SENSITIVE_LENGTH", "EXACT", "VERSION", "CompiledAnswers", "ExactAnswers", "Matcher", "Names", "exact_answers", "first_clause",
    "first_line", "in_word", "is_echo", "judged_earlier", "left_out", "named", "normalise", "plain_form", "same_name", "stands_inside",
    "treats_otherwise", "unspaced", "wanted_form",
]  # fmt: skip
VERSION = 2  # of the rules; see above
_EARLIER = (
    "{what} judged by an earlier matching rule, which compared apostrophes, dashes, quotes and final marks as they are written and knew no "
    "scripts without spaces. {then}"
)
EXACT = "exact"  # the rule's name, beside those of MATCHES
CASE_SENSITIVE_LENGTH = 3  # "R", "US" and "Oka" would otherwise be found in ordinary words
_BROKEN = "\ufffd"  # what a tokenizer decodes half a character to
_BREAKS = ("\n", "\r")
_MARKS = frozenset(spelling.FINAL + "'\"")
_plain = re.compile(r"[^-'\"`\x80-\U0010ffff]*[^-'\"`\x80-\U0010ffff.,;:!?\s]")  # most answers: ASCII that is treated as ever
_clause_end = re.compile(r"[.,;:!?](?=\s|$)|[。、，；：！？،؛؟।]|\s[-(\[\"]|[\n\r]")
_bare = re.compile(r"[A-Za-z0-9](?:[^\x80-\U0010ffff]*[A-Za-z0-9])?")  # ASCII with no mark at its ends: most clauses
_begins_word = re.compile(r"[^\W_]+")
_PAIRED = frozenset(("Ps", "Pe", "Pi", "Pf", "Pd"))  # brackets, typographic quotes, dashes


def normalise(text: str) -> str:
    """NFKC, one spelling, case folded, white space as single spaces, none at the ends."""
    return _folded(_composed(text)).strip()


def wanted_form(answer: str) -> str:
    """An answer as it is looked for, its case kept: in one spelling, without outer quotes and final mark."""
    return _looked_for(answer)[0]


def same_name(name: str) -> str:
    """What two spellings of one name have in common: as "tokens" looks for it."""
    needle, _, keeps_case = _looked_for(name)
    return needle if keeps_case else _folded(needle).strip()


def treats_otherwise(match: str, answers: Iterable[str]) -> bool:
    """Whether this version of a rule ("tokens", "substring" or "exact") may find one of these answers elsewhere than the first did."""
    return any(_newly_treated(match, answer) for answer in answers)


def named(match: str, answers: Iterable[str]) -> str:
    """The rule's name in the key of what was judged by it: with its version where that makes a difference to these answers."""
    return f"{match}/{VERSION}" if treats_otherwise(match, answers) else match


def judged_earlier(what: str, then: str) -> str:
    """Says of results that `what` ("14 cells were") keep the first version of the rules, and what can be done."""
    return _EARLIER.format(what=what, then=then)


def _newly_treated(match: str, answer: str) -> bool:
    if _plain.fullmatch(answer):
        return False
    if spelling.may_be_spelled_otherwise(answer):
        return True
    if match == EXACT:
        return not (last := answer.strip()[-1:]).isascii() and last in spelling.FINAL
    return bool(_looked_for(answer)[1]) or (match == "tokens" and scripts.attaches(answer))


@dataclass(frozen=True)
class CompiledAnswers:
    """One fact's answers, ready to be looked for in many texts. Build it with `Matcher.compile`; it can be pickled."""

    folded: tuple[tuple[str, str, str], ...]  # (what to look for in the case-folded text, the answer as it was given, its final mark)
    exact: tuple[tuple[str, str, str], ...]  # the same for answers whose case counts
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
            for needle, answer, mark in self.folded:
                if needle in folded and self._stands(folded, needle, mark, closed):
                    return answer
        for needle, answer, mark in self.exact:
            if needle in composed and self._stands(composed, needle, mark, closed):
                return answer
        return None

    def over(self, text: str) -> bool:
        """Whether text after `text` can no longer count: never, since an answer may always come later."""
        return False

    def _stands(self, text: str, needle: str, mark: str, closed: bool) -> bool:
        start = text.find(needle)
        while start >= 0:
            if self.bordered(text, start, start + len(needle), mark, closed):
                return True
            start = text.find(needle, start + 1)
        return False

    def bordered(self, text: str, start: int, end: int, mark: str, closed: bool) -> bool:
        """Whether words begin and end around `text[start:end]`, an answer with this final mark."""
        if not self.whole_words:
            return closed or (end < len(text) and not spelling.is_mark(text[end]))  # a mark may still be composed with the letter before it
        if mark and text.startswith(mark, end):
            end += 1
        ended = closed if end == len(text) else not in_word(text[end]) or scripts.may_follow(text, end, closed)
        return ended and not (start and in_word(text[start - 1]) and not scripts.may_precede(text, start))


@dataclass(frozen=True)
class Matcher:
    """A matching rule: "tokens" or "substring". Raises `SettingsError` for any other."""

    match: str = "tokens"

    def __post_init__(self) -> None:
        if wrong := one_of("match", self.match, tuple(MATCHES)):
            raise SettingsError(wrong)

    def compile(self, answers: Iterable[str]) -> CompiledAnswers:
        """`answers` (aliases already added) for repeated use. Empty answers are passed over."""
        folded: dict[tuple[str, str], str] = {}
        exact: dict[tuple[str, str], str] = {}
        for answer in answers:
            needle, mark, keeps_case = _looked_for(answer)
            if needle and keeps_case and self.match == "tokens":
                exact.setdefault((needle, mark), answer)
            elif needle:
                needle = _folded(needle).strip()
                folded.setdefault((needle, mark), answer)
                if other := scripts.without_article(needle):
                    folded.setdefault((other, mark), answer)
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


class Names:
    """Many names, ready to be looked for in many texts: which of them does a text name first?

    By rule "tokens" as above; where several begin at one place, the longest counts ("New York City" before "New York"). Of two names
    that this rule takes for the same, the one that came first is told. A text is read once, whatever the number of names.
    """

    def __init__(self, names: Iterable[str]):
        self._folded: dict[str, list[_Needle]] = {}  # by the letters that the first word begins with
        self._exact: dict[str, list[_Needle]] = {}
        self._anywhere: dict[str, list[_Needle]] = {}  # by their first character: names that may begin inside what looks like a word
        for name in names:
            needle, mark, keeps_case = _looked_for(name)
            forms = [needle if keeps_case else _folded(needle).strip()]
            forms += [other for form in forms if not keeps_case and (other := scripts.without_article(form))]
            for form in filter(None, forms):
                word = None if scripts.attaches(form) else _begins_word.search(form)
                by_key = self._anywhere if word is None else self._exact if keeps_case else self._folded
                by_key.setdefault(word[0] if word else form[0], []).append((form, mark, word.start() if word else 0, name))
        for by_key in (self._folded, self._exact, self._anywhere):
            for needles in by_key.values():
                needles.sort(key=lambda one: -len(one[0]))  # stable: of equal ones the first stays in front

    def first(self, text: str) -> str | None:
        """The name that `text` names first, as it was given; None where it names none."""
        plain = text.isascii() and not (self._exact or self._anywhere)
        if plain and self._folded.keys().isdisjoint(_begins_word.findall(text.lower())):  # most texts: quicker than what follows
            return None
        composed = _composed(text)
        folded = _folded(composed)
        found = [_earliest(folded, self._folded), _earliest(composed, self._exact)]
        if self._anywhere:
            places = ((at, needle) for at, letter in enumerate(folded) for needle in self._anywhere.get(letter, ()))
            found.append(next(((at, -len(needle[0]), needle[3]) for at, needle in places if _is_at(folded, at, needle)), None))
        return min(filter(None, found), default=(0, 0, None))[2]


_Needle = tuple[str, str, int, str]  # what is looked for, its final mark, where its first word begins in it, the name as it was given
_whole_words = CompiledAnswers((), ())


def _earliest(text: str, by_word: Mapping[str, list[_Needle]]) -> tuple[int, int, str] | None:
    """Where the first name stands, minus its length, and the name: of those that are known by their first word."""
    for word in _begins_word.finditer(text) if by_word else ():
        for needle in by_word.get(word[0], ()):
            if (start := word.start() - needle[2]) >= 0 and _is_at(text, start, needle):
                return start, -len(needle[0]), needle[3]
    return None


def _is_at(text: str, start: int, needle: _Needle) -> bool:
    """Whether a name stands in `text` at `start`, as whole words."""
    return text.startswith(needle[0], start) and _whole_words.bordered(text, start, start + len(needle[0]), needle[1], True)


def first_clause(text: str) -> str:
    """What a text says before its first mark that ends a clause, line break, bracket or dash, in `plain_form`; empty where there are no
    letters or digits in it."""
    plain = spelling.plain(text).strip()
    ends = _clause_end.search(plain)
    clause = plain[: ends.start()] if ends else plain
    clause = " ".join(clause.lower().split()) if _bare.fullmatch(clause) else plain_form(clause)
    return clause if _begins_word.search(clause) else ""


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
    wanted = [a for a in answers if _folded(_looked_for(a)[0]).strip() in whole or scripts.attaches(a)]  # nearly always none
    return stands_inside(subject, wanted) or Matcher().find(subject, wanted) is not None


def stands_inside(subject: str, answers: Iterable[str]) -> bool:
    """Whether an answer's text, exactly as written, is part of the subject's: METHOD section 1's count of 14,371."""
    return any(bool(answer.strip()) and answer in subject for answer in answers)


def _composed(text: str) -> str:
    """NFKC and one spelling with runs of white space as one space; a space at the end stays, because it closes a word."""
    text = spelling.plain(text)
    folded = " ".join(text.split())
    return folded + " " if folded and text[-1].isspace() else folded


def _looked_for(answer: str) -> tuple[str, str, bool]:
    """An answer without what stands around it, its final mark, and whether it is so short that its case counts."""
    needle = _composed(answer).strip()
    needle, mark = (needle, "") if _plain.fullmatch(needle) else spelling.bare(needle)
    return needle, mark, len(needle) + len(mark) <= CASE_SENSITIVE_LENGTH


def _folded(composed: str) -> str:
    if composed.isascii():
        return composed.lower()
    return unicodedata.normalize("NFKC", composed.casefold())  # folding can take a composed letter apart


def _longest_first(needles: dict[tuple[str, str], str]) -> tuple[tuple[str, str, str], ...]:
    return tuple((needle, answer, mark) for (needle, mark), answer in sorted(needles.items(), key=lambda item: -len(item[0][0])))
