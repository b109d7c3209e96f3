"""Which answers to a question are ranked: the right one, and wrong ones that a model could take for it (METHOD 10.3).

One set a fact, the same for both models. Wrong are, in this order and each once: the planted rival of a contested fact; what the base
model and what the tuned model answered; the relation's commonest objects. What the run's matching takes for right is left out, aliases
with it.

**The fixed set** is the rival and the commonest objects, two fewer than there are wrong answers: it is the same whatever models answer.

**What a model answered** is the first known object of the relation that its text names, else its first clause. A first clause that is
said to questions of two relations or more ("No idea, sorry") is a reply to any question and no answer to this one: ranking it would ask
whether the model says the answer, not whether it knows it. It is left out. So is a first clause that is a sentence: one that repeats the
question's subject and says more, or that has more than four words and more than any object of the relation ("Ann Lee was a writer who").
A model's own words are likelier to it than any name, so a sentence among the candidates would hide what it knows.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from sftqa_core.evaluation.inside.pair import Pair
from sftqa_core.jsonrecord import digest
from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.knowledge.matching import Matcher
from sftqa_core.memory.consistency import KnownObjects, known_objects, standing_for

TEXTS = ("base_text", "text")  # columns with the answers of the base and of the tuned model, where a fact table has them
MOST_RIGHT = 4  # of several right answers, so many at most: the likeliest one counts
SHORT = 4  # words that any answer may have


@dataclass(frozen=True)
class Candidates:
    """The answers to one question, as facts or models write them; both without aliases of one another."""

    right: tuple[str, ...]
    wrong: tuple[str, ...]
    added: tuple[bool, ...]  # of each wrong one whether it is outside the fixed set


@dataclass(frozen=True)
class Relations:
    """What is known of a source's relations: their objects, and which are the commonest."""

    objects: Mapping[str, KnownObjects]
    common: Mapping[str, tuple[str, ...]]  # the commonest first; of equally common ones the first in the alphabet
    longest: Mapping[str, int]  # the most words that an answer may have: those of the longest object, `SHORT` at least

    @classmethod
    def of(cls, pair: Pair) -> Relations:
        """Objects are those of all facts; how common they are is counted on train facts, or on all where a relation has none."""
        facts = pair.source.facts
        objects = known_objects(facts, pair.aliases)
        common, longest = {}, {}
        for relation, rows in facts.groupby(facts["relation"].astype("str")):
            train = rows[rows["split"] == "train"]
            known = objects[str(relation)]
            counts = Counter(known.standing[answers[0]] for answers in (train if len(train) else rows)["answers"])
            ordered = sorted(counts, key=lambda name: (-counts[name], name))
            common[str(relation)] = tuple(known.shown[name] for name in ordered)
            longest[str(relation)] = max(SHORT, *(len(answer.split()) for answers in rows["answers"] for answer in answers))
        return cls(objects, common, longest)


def candidates_of(pair: Pair, facts: pd.DataFrame, relations: Relations, most: int) -> list[Candidates]:
    """The candidates of each of these facts, in their order; `most` wrong ones."""
    names = [column for column in TEXTS if column in facts]
    clauses = {column: _replies(facts, column, relations) for column in names}
    matcher, rivals = Matcher(pair.settings.match), facts["rival"] if "rival" in facts else [None] * len(facts)
    texts = zip(*(facts[column] for column in names), strict=True) if names else [()] * len(facts)
    found = []
    rows = zip(facts["relation"].astype("str"), facts["subject"], facts["answers"], rivals, texts, strict=True)
    for relation, subject, answers, rival, said in rows:
        known, longest = relations.objects[relation], relations.longest[relation]
        spans = [_span(text, known, clauses[column], subject, longest) for column, text in zip(names, said, strict=True)]
        planted = [rival] if isinstance(rival, str) else []
        right = _Right(answers, known, pair.aliases, matcher)
        fixed = right.others((*planted, *relations.common[relation]), max(1, most - len(TEXTS)))
        wrong = right.others((*planted, *spans, *relations.common[relation]), most)
        found.append(Candidates(right.each_once()[:MOST_RIGHT], tuple(wrong.values()), tuple(name not in fixed for name in wrong)))
    return found


def half_of(answer: str) -> int:
    """Which half of all objects an answer belongs to, 0 or 1: by its name alone, so that it is the same in every run."""
    return int(digest(answer)[-1], 16) & 1


def _replies(facts: pd.DataFrame, column: str, relations: Relations) -> frozenset[str]:
    """First clauses that are said to questions of two relations or more, where no known object is named."""
    said: defaultdict[str, set[str]] = defaultdict(set)
    for relation, text in zip(facts["relation"].astype("str"), facts[column], strict=True):
        answer, known = relations.objects[relation].read(text)
        if not known:
            said[answer].add(relation)
    return frozenset(answer for answer, where in said.items() if len(where) > 1)


def _span(text: str, known: KnownObjects, replies: frozenset[str], subject: str, longest: int) -> str:
    """What a text answers, as it is written; "" for nothing, for a reply to any question, and for a sentence."""
    answer, is_known = known.read(text)
    if is_known:
        return known.shown[answer]
    words, repeated = len(answer.split()), subject.casefold() in answer.casefold()
    if not answer or answer in replies or words > longest or (repeated and words > len(subject.split())):
        return ""
    written = re.search(re.escape(answer), text, re.IGNORECASE)  # first clauses are told in lower case, which is not what the model wrote
    return written[0] if written else ""


class _Right:
    """The right answers to one question, by which wrong ones are told."""

    def __init__(self, answers: Sequence[str], known: KnownObjects, aliases: Aliases, matcher: Matcher):
        self._answers, self._known, self._aliases = answers, known, aliases
        self._compiled = matcher.compile(aliases.expand(answers))

    def each_once(self) -> tuple[str, ...]:
        """The first of all names of each answer."""
        named: dict[str, str] = {}
        for answer in self._answers:
            named.setdefault(self._standing(answer), answer)
        return tuple(named.values())

    def others(self, offered: Iterable[str], most: int) -> dict[str, str]:
        """The first `most` of the names offered that are wrong, each once: the name that stands for one -> as it is written."""
        right = {self._standing(answer) for answer in self._answers}
        found: dict[str, str] = {}
        for name in offered:
            if len(found) == most:
                break
            standing = self._standing(name)
            if standing and standing not in right and standing not in found and self._compiled.find(name) is None:
                found[standing] = name
        return found

    def _standing(self, name: str) -> str:
        return self._known.standing.get(name) or (standing_for(name, self._aliases) if name.strip() else "")


def other_subjects(facts: pd.DataFrame, order: Sequence[int]) -> list[int | None]:
    """For each fact the position of another one of its relation that has no right answer in common with it; None where there is none.

    `order` is a permutation of the positions, which the next one in it is taken from.
    """
    of_relation: defaultdict[str, list[int]] = defaultdict(list)
    relation, answers = facts["relation"].astype("str").tolist(), [set(row) for row in facts["answers"]]
    for at in order:
        of_relation[relation[at]].append(at)
    chosen: list[int | None] = [None] * len(facts)
    for places in of_relation.values():
        for number, at in enumerate(places):
            turns = (places[(number + step) % len(places)] for step in range(1, len(places)))
            chosen[at] = next((other for other in turns if answers[at].isdisjoint(answers[other])), None)
    return chosen
