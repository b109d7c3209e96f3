"""What a model answers, fact by fact: the PREDICTIONS TABLE. Loads torch only when a model is asked.

| column | type | meaning |
|---|---|---|
| fact_id | str | the fact that was asked about |
| stage | str | `before` (base model, the plain prompt), `few_shot`, `few_shot_16` and the like, `majority` or `after` |
| text | str | what was answered, special tokens left out; of a few-shot answer in plain text the part before the separator |
| matched | str, null | the answer (or alias) that stands in the text; null (NaN) when none does |
| correct | bool | whether there is one |
| rival | bool | not correct, and the rival object of a contested fact stands in the text (METHOD 8.8) |
| mean_logprob | float | mean log-probability (natural) of the generated tokens; NaN where nothing was generated |
| tokens | int | generated tokens, the end token counted when it came |
| shown | int | few-shot stages only (null in others): answered examples in front of the question |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sftqa_core.knowledge.answers import Matcher
from sftqa_core.memory.room import positions, require_room
from sftqa_core.progress import Phase, Reporter, Silent
from sftqa_core.records import TrainSettings
from sftqa_core.training.asking import asking
from sftqa_core.training.prompts import ExamplePool

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.knowledge.aliases import Aliases
    from sftqa_core.models.loading import LoadedModel

COLUMNS = ("fact_id", "stage", "text", "matched", "correct", "rival", "mean_logprob", "tokens")


def predict(
    loaded: LoadedModel,
    facts: pd.DataFrame,
    settings: TrainSettings,
    reporter: Reporter | None = None,
    *,
    stage: str = "before",
    aliases: Aliases | None = None,
    shots: int = 0,
    pool: pd.DataFrame | None = None,
    prompts: list[list[int]] | None = None,
) -> pd.DataFrame:
    """Greedy answers of a model to `facts` (fact table rows), one row each in their order (METHOD section 2).

    At most `settings.max_answer_tokens` new tokens, an answer being right when it contains the object or an alias. With
    `shots`, that many answered train facts out of `pool` (a fact table) stand in front of each question, or as many of
    them as fit the model's positions. `prompts` are what `encode_questions` gave, for those who ask the same again. Progress is
    reported in facts; raises `Stopped` between batches when the person asked for it, and `SettingsError` before the first one
    when a question alone does not fit.
    """
    from sftqa_core.memory.greedy import greedy

    shown: list[int] = []
    if prompts is None:
        prompts, shown = encode_shown(loaded, facts, settings, shots, pool)
    phase = Phase(reporter or Silent(), f"answers: {'few_shot' if shots else stage}", len(facts), "facts")
    asked = asking(loaded, settings.prompt)
    answers = greedy(asked.answering, prompts, settings.max_answer_tokens, phase=phase)
    texts = [asked.answer_of(answer.text, shots) for answer in answers]
    table = score_texts(facts, texts, stage, settings.match, aliases)
    table = table.assign(mean_logprob=[float(a.mean_logprob) for a in answers], tokens=[int(a.tokens) for a in answers])
    return table.assign(shown=shown).astype({"shown": "Int64"}) if shots else table


def encode_questions(
    loaded: LoadedModel, facts: pd.DataFrame, settings: TrainSettings, shots: int = 0, pool: pd.DataFrame | None = None
) -> list[list[int]]:
    """Each question's prompt as token ids (see `predict`). Raises `SettingsError` when one does not fit the model."""
    return encode_shown(loaded, facts, settings, shots, pool)[0]


def encode_shown(
    loaded: LoadedModel, facts: pd.DataFrame, settings: TrainSettings, shots: int = 0, pool: pd.DataFrame | None = None
) -> tuple[list[list[int]], list[int]]:
    """The same, and how many examples stand in front of each question."""
    if shots and pool is None:
        raise ValueError("A few-shot prompt needs the fact table to take its examples from.")
    room, asked = positions(loaded), asking(loaded, settings.prompt)
    examples = ExamplePool(pool, settings.seed) if shots and pool is not None else None
    prompts, counts = [], []
    for fact, relation, question in zip(facts["fact_id"], facts["relation"], facts["question"], strict=True):
        shown = examples.draw(fact, relation, question, shots) if examples else []
        ids = asked.prompt(question, shown)
        while shown and room is not None and len(ids) + settings.max_answer_tokens > room:
            shown = shown[:-1]
            ids = asked.prompt(question, shown)
        prompts.append(list(ids))
        counts.append(len(shown))
    require_room(loaded, [len(ids) for ids in prompts], settings.max_answer_tokens, "test questions", facts["question"].tolist())
    return prompts, counts


def score_texts(facts: pd.DataFrame, texts: list[str], stage: str, match: str, aliases: Aliases | None = None) -> pd.DataFrame:
    """The predictions table of given texts: right, the rival's, or wrong. `mean_logprob` is NaN and `tokens` 0."""
    import pandas as pd

    finder = _Finder(Matcher(match), aliases)
    rivals = facts["rival"] if "rival" in facts else [None] * len(facts)
    rows: list[dict[str, Any]] = []
    for fact, answers, rival, text in zip(facts["fact_id"], facts["answers"], rivals, texts, strict=True):
        matched = finder.find(text, tuple(answers))
        named = matched is None and isinstance(rival, str) and finder.find(text, (rival,)) is not None
        rows.append({"fact_id": fact, "stage": stage, "text": text, "matched": matched, "correct": matched is not None, "rival": named})
    table = pd.DataFrame(rows, columns=list(COLUMNS[:6])).assign(mean_logprob=float("nan"), tokens=0)
    return table.astype({"text": "str", "matched": "str", "correct": bool, "rival": bool, "mean_logprob": float, "tokens": int})


class _Finder:
    """Looks answers up with their aliases; facts that share answers share the compiled form."""

    def __init__(self, matcher: Matcher, aliases: Aliases | None):
        self._matcher, self._aliases = matcher, aliases
        self._compiled: dict[tuple[str, ...], Any] = {}

    def find(self, text: str, answers: tuple[str, ...]) -> str | None:
        if answers not in self._compiled:
            names = self._aliases.expand(answers) if self._aliases else answers
            self._compiled[answers] = self._matcher.compile(names)
        return self._compiled[answers].find(text)
