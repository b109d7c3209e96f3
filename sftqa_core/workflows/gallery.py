"""Questions that people ask, each with the answer that the shipped results give in one sentence, and the view that shows it.

Nothing is written down here but the questions: every answer is a finding of a shipped study, or is counted from the shipped example run and
the shipped looks, with its n and interval. Where the results cannot tell, that is the answer.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from sftqa_core.errors import SftqaError
from sftqa_core.records import STUDIES
from sftqa_core.workflows.study_reports import KnownStudy, studies, study_report

FOUND = {  # question that people ask -> kind of study, its recipe, how the finding's question begins
    "Do 60 examples suffice?": ("amount", "", "Do 60 examples reach 95% of the best?"),
    "Do unknown facts hurt?": ("level", "", "Does training on "),
    "Do facts fall to lower levels after 60 examples?": ("shift", "", "Do facts fall to lower levels?"),
    "Do models of one size know different facts?": ("models", "", "Do they know different facts?"),
    "Does SFTMix beat twice the epochs?": ("recipe", "sftmix", "Does SFTMix beat its control"),
}


@dataclass(frozen=True)
class Prepared:
    """A question, its answer, and the page (a script) with the address that shows it."""

    question: str
    verdict: str  # yes, no or cannot tell; empty where the question asks for a number
    about: str  # model and domain
    text: str  # one sentence, with n or interval
    page: str
    to: Mapping[str, str] = field(default_factory=dict)


def gallery() -> tuple[Prepared, ...]:
    """Every question that the shipped results answer. One whose result does not ship, or cannot be read, is left out."""
    answers: list[Prepared] = []
    shipped = [study for study in studies() if study.shipped]
    asked: list[Callable[[], list[Prepared]]] = [partial(_found, question, shipped, *about) for question, about in FOUND.items()]
    for answer in (*asked, _lost, _unsaid):
        with contextlib.suppress(SftqaError):
            answers += answer()
    return tuple(answers)


def _found(question: str, shipped: list[KnownStudy], kind: str, recipe: str, asked: str) -> list[Prepared]:
    """The first finding that answers it: of the study's first model (or pair), in-domain where findings are by domain; none without it."""
    for study in shipped:
        if study.settings.kind == kind and (study.settings.recipe.name if study.settings.recipe else "") == recipe:
            finding = next((one for one in study_report(study.settings).findings if one.question.startswith(asked)), None)
            if finding is not None:
                to = {"study": study.name, "model": study.settings.models[0]} | ({"recipe": recipe} if recipe else {})
                return [Prepared(question, finding.verdict, finding.about, _brief(finding.text), STUDIES[kind].page, to)]
    return []


def _brief(text: str) -> str:
    """A finding's sentences up to the one that holds an interval."""
    sentences = re.split(r"(?<=\.) (?=[A-Z])", text)
    last = next((at for at, sentence in enumerate(sentences) if re.search(r"\d%? to [+-]?\d", sentence)), len(sentences) - 1)
    return " ".join(sentences[: last + 1])


def _lost() -> list[Prepared]:
    """Facts that the newest shipped run answered before tuning and not after it (predictions are greedy: nothing changes by chance)."""
    from sftqa_core.evaluation.intervals import wilson
    from sftqa_core.training.runs import list_runs, read_run

    listed = next((run for run in list_runs() if run.shipped), None)
    if listed is None:
        return []
    run = read_run(listed.id)
    right = run.predictions().pivot(index="fact_id", columns="stage", values="correct")
    inside = run.facts().set_index("fact_id")["domain"] == "in"
    known = right[right["before"].astype(bool) & inside.reindex(right.index, fill_value=False)]
    lost, n = int((~known["after"].astype(bool)).sum()), len(known)
    if not n:
        return []
    low, high = wilson(lost, n)
    share = f"{lost / n:.1%} ({low:.1%} to {high:.1%})"
    text = f"Of {n:,} test facts that it answered before, {lost:,} are wrong after {listed.n:,} examples (one run): {share}."
    to = {"run": run.id, "change": "lost", "in": "in"}
    return [Prepared("Which facts did it lose?", "", f"{listed.settings.model}, in-domain", text, "pages/results.py", to)]


def _unsaid() -> list[Prepared]:
    """How much of what the base model ranks first and does not say is said after the fewest examples that were looked at, beside the same
    share of what it does not rank first. In-domain, over all seeds (evaluation/inside/knowledge_tables.py)."""
    from sftqa_core.evaluation.inside import knowledge_tables
    from sftqa_core.workflows.tested.insides import looks, read_looks, same_setting

    shipped = [look for look in looks() if look.shipped and "knowledge" in look.measures and look.settings.levels is None]
    fewest = min(shipped, key=lambda look: look.settings.n, default=None)
    if fewest is None:
        return []
    seeds = [look for look in shipped if same_setting(look) == same_setting(fewest)]
    moves = knowledge_tables.named_moves(read_looks(seeds, ("knowledge",)))
    moves = moves[moves["domain"] == "in"].set_index("move")
    shares = [
        f"{row['share']:.1%} ({row['low']:.1%} to {row['high']:.1%}) of {row['facts']:,.0f}"
        for row in (moves.loc["activated"], moves.loc["control"])
    ]
    text = (
        f"{fewest.settings.n:,} examples bring out {shares[0]} facts whose right answer it ranks first without saying it, and {shares[1]} "
        "that it does not rank first."
    )
    about = f"{fewest.settings.model}, in-domain"
    return [Prepared("What does it know but not say?", "", about, text, "pages/inside.py", {"run": fewest.name})]
