"""What is asked of a store: a fact with the identity of its prompts and of its answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.knowledge.answers import CompiledAnswers, Matcher
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.knowledge.relations import Relation, statement_prompts


@dataclass(frozen=True)
class WantedFact:
    """One fact to score. Two of the same `prompts_sha` have the same completions, of the same `answers_sha` too the same hits."""

    fact_id: str
    relation: Relation
    subject: str
    question: str
    answers: tuple[str, ...]  # aliases included
    match: str
    prompts_sha: str
    answers_sha: str

    @cached_property
    def compiled(self) -> CompiledAnswers:
        """The answers, ready to be looked for."""
        return Matcher(self.match).compile(self.answers)

    @property
    def prompts(self) -> list[str]:
        """The filled templates, in order."""
        return statement_prompts(self.relation, self.subject, self.question)


def wanted_facts(source: FactSource, facts: pd.DataFrame, aliases: Aliases, match: str) -> list[WantedFact]:
    """The rows of `facts` (a fact table of `source`), in order."""
    of_relation = {name: _sha(relation.templates) for name, relation in source.relations.items()}
    asks = {name: any("{question}" in t for t in relation.templates) for name, relation in source.relations.items()}
    wanted = []
    columns = (facts[name].tolist() for name in ("fact_id", "relation", "subject", "question", "answers"))
    for fact_id, relation, subject, question, answers in zip(*columns, strict=True):
        names = aliases.expand(answers)
        prompts_sha = _sha((of_relation[relation], subject, question if asks[relation] else ""))
        answers_sha = _sha((match, *sorted(names)))
        wanted.append(WantedFact(fact_id, source.relations[relation], subject, question, names, match, prompts_sha, answers_sha))
    return wanted


def _sha(parts: Iterable[str]) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]
