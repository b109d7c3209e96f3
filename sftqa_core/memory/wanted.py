"""What is asked of a store: a fact with the identity of its prompts and of its answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.knowledge.answers import CompiledAnswers, Matcher
from sftqa_core.knowledge.facts import FactSource, subject_key
from sftqa_core.knowledge.relations import Relation, statement_prompts

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
    columns = (facts[name].tolist() for name in ("fact_id", "relation", "subject", "question"))
    rows = zip(*columns, identities(source, facts, aliases, match), strict=True)
    return [
        WantedFact(fact_id, source.relations[relation], subject, question, names, match, prompts_sha, answers_sha)
        for fact_id, relation, subject, question, (prompts_sha, answers_sha, names) in rows
    ]


def identities(source: FactSource, facts: pd.DataFrame, aliases: Aliases, match: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """`prompts_sha`, `answers_sha` and the answers, aliases included, of each row in order."""
    templates_sha = {name: _sha(relation.templates) for name, relation in source.relations.items()}
    asks = {name: any("{question}" in t for t in relation.templates) for name, relation in source.relations.items()}
    known: dict[tuple[str, ...], tuple[str, tuple[str, ...]]] = {}  # many facts have the same answers
    columns = (facts[name].tolist() for name in ("relation", "subject", "question", "answers"))
    for relation, subject, question, answers in zip(*columns, strict=True):
        if (given := tuple(answers)) not in known:
            if len(known) >= _REMEMBERED:
                known.clear()
            names = aliases.expand(given)
            known[given] = _sha((match, *sorted(names))), names
        # the fact id says the relation and the subject as `subject_key` writes it, so the usual fact needs no hash of its own
        fills = [subject] if subject != subject_key(subject) else []
        fills += [question] if asks[relation] and question != subject else []
        prompts_sha = _sha((templates_sha[relation], *fills)) if fills else templates_sha[relation]
        yield prompts_sha, *known[given]


def _sha(parts: Iterable[str]) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]
