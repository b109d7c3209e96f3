"""What a probe asks of a model: facts with their prompts and answers, and the hashes by which results are looked up.

Prompts are filled templates, or SliCK's: a question after answered ones of the same relation (METHOD section 1). A relation
has `contexts` lists of `shots` answered questions, drawn at random and shared by all its facts, so that the text before the
questions is read once; only a fact that is in a list itself (or asks the same question) gets that list with the next example in its
place. Examples are train facts; a relation with too few of them (one that is out of domain here) adds dev facts, and then train
facts of other relations. Test facts and echo facts are never shown. The draw depends on the sampler's seed, the context's number and
the examples' ids alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from sftqa_core.artifacts import Kept
from sftqa_core.engine.randomness import keys_of, uniforms
from sftqa_core.jsonrecord import digest
from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.knowledge.facts import FactSource, subject_key
from sftqa_core.knowledge.matching import EXACT, CompiledAnswers, ExactAnswers, Matcher, exact_answers, named
from sftqa_core.knowledge.relations import Relation, fill, statement_prompts
from sftqa_core.records import LevelScheme, PromptFormat

FORM = PromptFormat()  # "Q: ...", a line break, "A:" and, of an example, a space and its first answer
SEPARATOR = "\n\n"  # after each example
_SPARE = 8  # examples beyond a context's own, to stand in for those that a fact may not be shown
_REMEMBERED = 50_000  # answers whose hash is kept while the rows go by
_DRAWS_EXAMPLES = np.uint64(0xFFFF)  # a sample's number that no completion has: the numbers that order the examples


@dataclass(frozen=True)
class Example:
    """One answered question as it is shown."""

    fact_id: str
    question: str
    text: str  # with the separator

    @classmethod
    def of(cls, fact_id: str, question: str, answers: Sequence[str]) -> "Example":
        """With the first of the answers."""
        return cls(fact_id, question, fill(FORM.prompt, question=question) + fill(FORM.answer, answer=answers[0]) + SEPARATOR)


@dataclass(frozen=True)
class Shown:
    """What stands before the questions of one relation's facts."""

    examples: tuple[tuple[Example, ...], ...]  # a list a context, spare ones at its end
    shots: int

    @cached_property
    def prefixes(self) -> tuple[str, ...]:
        """Of a fact that is none of the examples: a text a context."""
        return tuple(_joined(context[: self.shots]) for context in self.examples)

    @cached_property
    def sha(self) -> str:
        return _sha(self.prefixes)

    @cached_property
    def _own(self) -> set[str]:
        """Ids and questions of the facts that are shown."""
        shown = [example for context in self.examples for example in context[: self.shots]]
        return {name for example in shown for name in (example.fact_id, example.question)}

    def to(self, fact_id: str, question: str) -> tuple[tuple[str, ...], str]:
        """The texts before one fact's question, and their hash."""
        if fact_id not in self._own and question not in self._own:
            return self.prefixes, self.sha
        kept = [[e for e in context if e.fact_id != fact_id and e.question != question][: self.shots] for context in self.examples]
        prefixes = tuple(map(_joined, kept))
        return prefixes, _sha(prefixes)


class Contexts:
    """The examples of one source under one few-shot scheme, relation by relation as they are asked for."""

    def __init__(self, source: FactSource, scheme: LevelScheme):
        self._facts, self._scheme = source.facts[~source.facts["echo"]], scheme
        self._known: dict[str, Shown] = {}

    def shown(self, relation: str) -> Shown:
        """What the facts of a relation are shown."""
        if relation not in self._known:
            wanted = self._scheme.shots + _SPARE
            drawn: list[list[Example]] = [[] for _ in range(self._scheme.contexts)]
            train, same = self._facts["split"] == "train", self._facts["relation"] == relation
            choices = (train & same, (self._facts["split"] == "dev") & same, train & ~same)  # the first choice first
            for pool in (self._facts[chosen] for chosen in choices):
                if len(drawn[0]) < self._scheme.shots + 1:  # one more than is shown: the fact itself may be among them
                    more = self._drawn(pool, wanted - len(drawn[0]))
                    drawn = [[*context, *others] for context, others in zip(drawn, more, strict=True)]
            self._known[relation] = Shown(tuple(map(tuple, drawn)), self._scheme.shots)
        return self._known[relation]

    def _drawn(self, pool: pd.DataFrame, count: int) -> list[list[Example]]:
        """The first `count` of the pool in each context's own random order."""
        if not len(pool):
            return [[] for _ in range(self._scheme.contexts)]
        keys = keys_of(pool["fact_id"].tolist())
        numbers = np.arange(self._scheme.contexts, dtype=np.uint64)[:, None]
        order = uniforms(self._scheme.sampling.seed, keys, numbers, _DRAWS_EXAMPLES, 0).argsort(axis=1, kind="stable")
        drawn = [pool.iloc[places[:count]] for places in order]
        return [[Example.of(*row) for row in zip(some["fact_id"], some["question"], some["answers"], strict=True)] for some in drawn]


def contexts_of(source: FactSource, scheme: LevelScheme) -> Contexts:
    """The same object for the same facts and settings: a store is read part by part."""
    facts = source.facts  # kept beside it, so that no other table gets its identity
    key = (id(facts), scheme.contexts, scheme.shots, scheme.sampling.seed)
    return _kept.get(key, lambda: (facts, Contexts(source, scheme)))[1]


_kept: Kept[tuple[pd.DataFrame, Contexts]] = Kept(4)


def question_prompts(prefixes: Iterable[str], question: str) -> list[str]:
    """A question after each of these texts, up to where its answer follows."""
    asked = fill(FORM.prompt, question=question)
    return [prefix + asked for prefix in prefixes]


def _joined(examples: Iterable[Example]) -> str:
    return "".join(example.text for example in examples)


def _sha(parts: Iterable[str]) -> str:
    return digest("\x1f".join(parts))


@dataclass(frozen=True)
class WantedFact:
    """One fact to score. With the same `prompts_sha` a fact has the same completions, with the same `answers_sha` too the same hits."""

    fact_id: str
    relation: Relation
    subject: str
    question: str
    answers: tuple[str, ...]  # aliases included
    match: str
    prompts_sha: str
    answers_sha: str
    prefixes: tuple[str, ...] = ()  # what stands before the question in each of its few-shot prompts; empty: statements are completed
    earlier_sha: str = ""  # the `answers_sha` of results judged by the rule's first version; empty where that is the same rule to it

    @property
    def rule(self) -> str:
        """The matching rule, with its version where that makes a difference to these answers."""
        return named(self.match, self.answers) if self.earlier_sha else self.match

    @cached_property
    def compiled(self) -> CompiledAnswers | ExactAnswers:
        """The answers, ready to be looked for."""
        return exact_answers(self.answers) if self.match == EXACT else Matcher(self.match).compile(self.answers)

    @property
    def prompts(self) -> list[str]:
        """Its prompts in order: the filled templates, or the question after each list of examples."""
        if self.prefixes:
            return question_prompts(self.prefixes, self.question)
        return statement_prompts(self.relation, self.subject, self.question)

    @property
    def count(self) -> int:
        """How many prompts it has."""
        return len(self.prefixes) or len(self.relation.templates)

    @property
    def slots(self) -> int:
        """How many numbers `hits_per_template` has: those of the samples and, of few-shot prompts, of the greedy completions after them."""
        return (1 + bool(self.prefixes)) * self.count


def match_of(match: str, scheme: LevelScheme | None) -> str:
    """The rule by which a scheme's completions are judged: SliCK has its own, whatever the settings say of others."""
    return EXACT if scheme and scheme.few_shot else match


def wanted_facts(
    source: FactSource, facts: pd.DataFrame, aliases: Aliases, match: str, scheme: LevelScheme | None = None
) -> list[WantedFact]:
    """The rows of `facts` (a fact table of `source`), in order, as a scheme asks for them (None: by statements)."""
    columns = (facts[name].tolist() for name in ("fact_id", "relation", "subject", "question"))
    rows = zip(*columns, identities(source, facts, aliases, match, scheme), strict=True)
    used = match_of(match, scheme)
    return [
        WantedFact(fact_id, source.relations[relation], subject, question, names, used, prompts_sha, answers_sha, prefixes, earlier)
        for fact_id, relation, subject, question, (prompts_sha, answers_sha, earlier, names, prefixes) in rows
    ]


def identities(
    source: FactSource, facts: pd.DataFrame, aliases: Aliases, match: str, scheme: LevelScheme | None = None
) -> Iterator[tuple[str, str, str, tuple[str, ...], tuple[str, ...]]]:
    """`prompts_sha`, `answers_sha`, `earlier_sha`, the answers, aliases included, and `WantedFact.prefixes` of each row in order."""
    match = match_of(match, scheme)
    hashed: dict[tuple[str, ...], tuple[str, str, tuple[str, ...]]] = {}  # many facts have the same answers
    asked = _questions(source, facts, scheme) if scheme and scheme.few_shot else _statements(source, facts)
    for (prompts_sha, prefixes), answers in zip(asked, facts["answers"].tolist(), strict=True):
        if (given := tuple(answers)) not in hashed:
            if len(hashed) >= _REMEMBERED:
                hashed.clear()
            names = aliases.expand(given)
            earlier, rule = _sha((match, *sorted(names))), named(match, names)
            hashed[given] = (earlier, "", names) if rule == match else (_sha((rule, *sorted(names))), earlier, names)
        yield prompts_sha, *hashed[given], prefixes


def _questions(source: FactSource, facts: pd.DataFrame, scheme: LevelScheme) -> Iterator[tuple[str, tuple[str, ...]]]:
    """`prompts_sha` and prefixes of few-shot prompts."""
    contexts = contexts_of(source, scheme)
    for fact_id, relation, question in zip(*(facts[name].tolist() for name in ("fact_id", "relation", "question")), strict=True):
        prefixes, sha = contexts.shown(relation).to(fact_id, question)
        yield _sha((FORM.prompt, sha, question)), prefixes


def _statements(source: FactSource, facts: pd.DataFrame) -> Iterator[tuple[str, tuple[str, ...]]]:
    """`prompts_sha` of filled templates, which have no prefixes."""
    templates_sha = {name: _sha(relation.templates) for name, relation in source.relations.items()}
    asks = {name: any("{question}" in t for t in relation.templates) for name, relation in source.relations.items()}
    for relation, subject, question in zip(*(facts[name].tolist() for name in ("relation", "subject", "question")), strict=True):
        # the fact id says the relation and the subject as `subject_key` writes it, so the usual fact needs no hash of its own
        fills = [subject] if subject != subject_key(subject) else []
        fills += [question] if asks[relation] and question != subject else []
        yield (_sha((templates_sha[relation], *fills)) if fills else templates_sha[relation]), ()
