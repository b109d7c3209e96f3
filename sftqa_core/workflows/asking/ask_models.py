"""Asking models in this process, one after the other: `sftqa ask`."""

from collections.abc import Sequence
from dataclasses import dataclass

from sftqa_core.jsonrecord import Record
from sftqa_core.progress import Reporter, Silent
from sftqa_core.records import Question, Reply
from sftqa_core.workflows.asking.questions import KnownFact, KnownLevel, base_models, columns, known_level, with_right_answers


@dataclass(frozen=True)
class Asked(Record):
    """What `sftqa ask --json` prints."""

    question: Question
    replies: tuple[Reply, ...]
    fact: KnownFact | None = None
    levels: tuple[KnownLevel, ...] = ()  # of that fact, in base models, where they are known


def ask(question: Question, models: Sequence[str], device: str = "auto", reporter: Reporter | None = None) -> Asked:
    """Put a question to models, base models first. Raises what `columns`, `load_model` and `reply` (evaluation/replies.py) do."""
    from sftqa_core.workflows.asking.warm_models import WarmModels

    reporter, warm = reporter or Silent(), WarmModels()
    asked, fact = with_right_answers(question, models)
    replies = [warm.answer(one, device, reporter.log, reporter.check) for one in columns(asked, models)]
    levels = [known for base in base_models(models) if fact is not None and (known := known_level(base, fact)) is not None]
    return Asked(asked, tuple(replies), fact, tuple(levels))
