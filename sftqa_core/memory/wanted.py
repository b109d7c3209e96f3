"""What is asked of a store: a fact with the identity of its prompts and of its answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.knowledge.answers import CompiledAnswers, Matcher
from sftqa_core.knowledge.exact import EXACT, ExactAnswers, exact_answers
from sftqa_core.knowledge.facts import FactSource, subject_key
from sftqa_core.knowledge.relations import Relation, statement_prompts
from sftqa_core.memory.few_shot import contexts_of, identity, question_prompts
from sftqa_core.records import LevelScheme

_REMEMBERED = 50_000  # answers whose hash is kept while the rows go by


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
        WantedFact(fact_id, source.relations[relation], subject, question, names, used, prompts_sha, answers_sha, prefixes)
        for fact_id, relation, subject, question, (prompts_sha, answers_sha, names, prefixes) in rows
    ]


def identities(
    source: FactSource, facts: pd.DataFrame, aliases: Aliases, match: str, scheme: LevelScheme | None = None
) -> Iterator[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
    """`prompts_sha`, `answers_sha`, the answers, aliases included, and `WantedFact.prefixes` of each row in order."""
    match = match_of(match, scheme)
    known: dict[tuple[str, ...], tuple[str, tuple[str, ...]]] = {}  # many facts have the same answers
    asked = _questions(source, facts, scheme) if scheme and scheme.few_shot else _statements(source, facts)
    for (prompts_sha, prefixes), answers in zip(asked, facts["answers"].tolist(), strict=True):
        if (given := tuple(answers)) not in known:
            if len(known) >= _REMEMBERED:
                known.clear()
            names = aliases.expand(given)
            known[given] = _sha((match, *sorted(names))), names
        yield prompts_sha, *known[given], prefixes


def _questions(source: FactSource, facts: pd.DataFrame, scheme: LevelScheme) -> Iterator[tuple[str, tuple[str, ...]]]:
    """`prompts_sha` and prefixes of few-shot prompts."""
    contexts = contexts_of(source, scheme)
    for fact_id, relation, question in zip(*(facts[name].tolist() for name in ("fact_id", "relation", "question")), strict=True):
        prefixes, sha = contexts.shown(relation).to(fact_id, question)
        yield identity(sha, question), prefixes


def _statements(source: FactSource, facts: pd.DataFrame) -> Iterator[tuple[str, tuple[str, ...]]]:
    """`prompts_sha` of filled templates, which have no prefixes."""
    templates_sha = {name: _sha(relation.templates) for name, relation in source.relations.items()}
    asks = {name: any("{question}" in t for t in relation.templates) for name, relation in source.relations.items()}
    for relation, subject, question in zip(*(facts[name].tolist() for name in ("relation", "subject", "question")), strict=True):
        # the fact id says the relation and the subject as `subject_key` writes it, so the usual fact needs no hash of its own
        fills = [subject] if subject != subject_key(subject) else []
        fills += [question] if asks[relation] and question != subject else []
        yield (_sha((templates_sha[relation], *fills)) if fills else templates_sha[relation]), ()


def _sha(parts: Iterable[str]) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]
