"""Which facts a model is tested on, and what it answers, fact by fact: the PREDICTIONS TABLE. Loads torch only when a model is asked.

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

The test facts are the same ones for every seed, size and method of a study: METHOD 8.9 averages each fact over seeds first, so the draw
has a seed of its own. A larger limit only adds facts. The base model's answers are kept, since they are the same for every run that asks
the same facts in the same way.

Baselines are the base model, also with examples in its prompt, and the commonest object of the relation. The latter alone answers 71.9%
of P495's test facts (METHOD section 1), so it stands beside every result.
It is the one that the most train facts of the relation name. A relation without train facts (the atlas's out-of-domain
ones) uses its dev facts; one without either has no guess, and its facts count as wrong with an empty text.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftqa_core.artifacts import Kept, is_finished, place_of, read_kept, write_folder
from sftqa_core.engine.capacity import fits_window, require_window, window_of
from sftqa_core.errors import ArtifactDamaged, NotEnoughFacts
from sftqa_core.jsonrecord import fingerprint
from sftqa_core.knowledge.aliases import Aliases, rule_of
from sftqa_core.knowledge.facts import FactSource, pick_facts
from sftqa_core.knowledge.matching import Matcher, normalise
from sftqa_core.models import catalogue
from sftqa_core.models.serving.served_models import AnyModel, ServedModel
from sftqa_core.progress import Phase, Reporter, Silent
from sftqa_core.records import TrainSettings
from sftqa_core.training.encoding import ExamplePool, asking
from sftqa_core.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

FACTS_SEED = 0
Prompts = list[list[int]] | list[str]
COLUMNS = ("fact_id", "stage", "text", "matched", "correct", "rival", "mean_logprob", "tokens")
FILE = "predictions.parquet"
# The same for every run of a source. The facts are kept beside them, so that no other table gets their id().
_chosen: Kept[tuple[pd.DataFrame, pd.DataFrame]] = Kept(8)


def held_out_facts(source: FactSource, settings: TrainSettings, split: str = "test") -> pd.DataFrame:
    """Held-out facts of both domains: `settings.test_limit` a relation, else all of a small source and 100 of a large one.

    `split="dev"` is for tuning (METHOD 8.5). Relations take turns in the order of the rows.
    """
    limit = settings.test_limit if settings.test_limit is not None else source.test_limit

    def make() -> tuple[pd.DataFrame, pd.DataFrame]:
        return source.facts, pick_facts(source.facts, split, None, seed=FACTS_SEED, per_relation=limit)

    return _chosen.get((id(source.facts), split, limit), make)[1]


def require_test_facts(facts: pd.DataFrame, source: str, model: str = "") -> None:
    """Raise `NotEnoughFacts` where a source has no test facts (for a model)."""
    if facts.empty:
        raise NotEnoughFacts(f"{source} has no test facts{f' for {model}' if model else ''}, so nothing could be measured.")


def predict(
    loaded: AnyModel,
    facts: pd.DataFrame,
    settings: TrainSettings,
    reporter: Reporter | None = None,
    *,
    stage: str = "before",
    aliases: Aliases | None = None,
    shots: int = 0,
    pool: pd.DataFrame | None = None,
    prompts: Prompts | None = None,
) -> pd.DataFrame:
    """Greedy answers of a model to `facts` (fact table rows), one row each in their order (METHOD section 2).

    At most `settings.max_answer_tokens` new tokens, an answer being right when it contains the object or an alias. With
    `shots`, that many answered train facts out of `pool` (a fact table) stand in front of each question, or as many of
    them as fit the model's context window. `prompts`: the result of `encode_questions`, to ask the same questions again. Progress is
    reported in facts; raises `Stopped` after a pass when the person asked for it, and `SettingsError` before the first one
    when a question alone does not fit.
    """
    from sftqa_core.engine.greedy import greedy
    from sftqa_core.engine.server_answers import greedy_answers

    shown: list[int] = []
    if prompts is None:
        prompts, shown = encode_shown(loaded, facts, settings, shots, pool)
    phase = Phase(reporter or Silent(), f"answers: {'few_shot' if shots else stage}", len(facts), "facts")
    asked = asking(loaded, settings.prompt)
    if isinstance(answering := asked.answering, ServedModel):
        answers = greedy_answers(answering, prompts, settings.max_answer_tokens, phase)
    else:
        answers = greedy(answering, prompts, settings.max_answer_tokens, phase=phase)  # type: ignore[arg-type]
    texts = [asked.answer_of(answer.text, shots) for answer in answers]
    table = score_texts(facts, texts, stage, settings.match, aliases)
    table = table.assign(mean_logprob=[float(a.mean_logprob) for a in answers], tokens=[int(a.tokens) for a in answers])
    return table.assign(shown=shown).astype({"shown": "Int64"}) if shots else table


def encode_questions(
    loaded: AnyModel, facts: pd.DataFrame, settings: TrainSettings, shots: int = 0, pool: pd.DataFrame | None = None
) -> Prompts:
    """Each question's prompt as token ids, or as a text for a server whose tokenizer is not known (see `predict`).

    Raises `SettingsError` when one does not fit the model.
    """
    return encode_shown(loaded, facts, settings, shots, pool)[0]


def encode_shown(
    loaded: AnyModel, facts: pd.DataFrame, settings: TrainSettings, shots: int = 0, pool: pd.DataFrame | None = None
) -> tuple[Prompts, list[int]]:
    """The same, and how many examples stand in front of each question."""
    if shots and pool is None:
        raise ValueError("A few-shot prompt needs the fact table to take its examples from.")
    window, asked = window_of(loaded), asking(loaded, settings.prompt)
    examples = ExamplePool(pool, settings.seed) if shots and pool is not None else None
    length = loaded.length if isinstance(loaded, ServedModel) else len  # of a text about, to be on the safe side
    prompts: list[Any] = []
    counts: list[int] = []
    for fact, relation, question in zip(facts["fact_id"], facts["relation"], facts["question"], strict=True):
        shown = examples.draw(fact, relation, question, shots) if examples else []
        ids = asked.prompt(question, shown)
        while shown and not fits_window(window, length(ids), settings.max_answer_tokens):
            shown = shown[:-1]
            ids = asked.prompt(question, shown)
        prompts.append(ids if isinstance(ids, str) else list(ids))
        counts.append(len(shown))
    lengths = [_length(ids) for ids in prompts]
    require_window(loaded, lengths, settings.max_answer_tokens, "test questions", facts["question"].tolist())
    return prompts, counts


def _length(prompt: str | Sequence[int]) -> int:
    """Tokens of a prompt; of a text at least so many: nobody here can count them."""
    return len(prompt) if not isinstance(prompt, str) else len(prompt.split())


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


def is_kept(
    stage: str, model: catalogue.ModelFingerprint, facts: pd.DataFrame, source: FactSource, settings: TrainSettings, aliases: Aliases
) -> bool:
    """Whether `kept_predictions` would find them; reads nothing but whether the folder is finished."""
    key = _key(stage, model, facts, source, settings, aliases)
    return any(is_finished(_folder(one)) for one in (key, _earlier(key)) if one)


def kept_predictions(
    stage: str,
    model: catalogue.ModelFingerprint,
    facts: pd.DataFrame,
    source: FactSource,
    settings: TrainSettings,
    aliases: Aliases,
    make: Callable[[], pd.DataFrame],
    origin: dict[str, Any] | None = None,
) -> tuple[pd.DataFrame, bool]:
    """The predictions table of a base-model stage and whether it was kept; if not, `make` is called and its table kept with the model's
    `origin` (models/catalogue.py)."""
    key = _key(stage, model, facts, source, settings, aliases)
    folder = _folder(key)
    kept = read_kept(folder, key, FILE, _table, own=True)
    if kept is not None:
        return kept, True
    earlier = _judged_anew(key, stage, facts, settings, aliases)
    table = make() if earlier is None else earlier
    write_folder(place_of(folder), lambda work: table.to_parquet(work / FILE), {"kind": "answers", "settings": key, "origin": origin})
    return table, earlier is not None


def _judged_anew(key: dict[str, Any], stage: str, facts: pd.DataFrame, settings: TrainSettings, aliases: Aliases) -> pd.DataFrame | None:
    """The kept answers that the matching rule's first version judged, judged by this one; None where that is the same or none are kept."""
    before = _earlier(key)
    kept = None if before is None else read_kept(_folder(before), before, FILE, _table, own=True)
    if kept is None or len(kept) != len(facts):
        return None
    told = score_texts(facts, kept["text"].tolist(), stage, settings.match, aliases)
    return kept.assign(**{name: told[name].to_numpy() for name in ("matched", "correct", "rival")}).astype({"matched": "str"})


def _earlier(key: dict[str, Any]) -> dict[str, Any] | None:
    """The key of the same answers under the matching rule's first version; None where this version treats them as that did."""
    rule, version, _ = str(key.get("match", "")).partition("/")
    return {**key, "match": rule} if version else None


def _table(manifest: dict[str, Any], content: bytes) -> pd.DataFrame:
    import pandas as pd
    import pyarrow

    try:
        return pd.read_parquet(io.BytesIO(content))
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise ArtifactDamaged(f"{FILE} of kept answers can't be read ({error}).") from error


def _folder(key: dict[str, Any]) -> Path:
    return Workspace.current().root / "answers" / fingerprint(key)


def _key(
    stage: str, model: catalogue.ModelFingerprint, facts: pd.DataFrame, source: FactSource, settings: TrainSettings, aliases: Aliases
) -> dict[str, Any]:
    """Everything that the answers and their judgement depend on."""
    shots = settings.few_shot_stages.get(stage)
    ids, rule = _judged(facts, settings.match, aliases)
    few_shot = {"shots": shots, "seed": settings.seed, "answer": settings.prompt.answer} if shots else {}
    return {
        "stage": "few_shot" if shots else stage,  # the same for a run's only k-shot baseline and for one of several
        "model": model.to_dict(),
        "source": source.fingerprint,
        "facts": ids,
        "prompt": settings.prompt.prompt,
        "max_answer_tokens": settings.max_answer_tokens,
        "match": rule,
        "aliases": aliases.fingerprint(),
        **few_shot,
    }


def _judged(facts: pd.DataFrame, match: str, aliases: Aliases) -> tuple[str, str]:
    """Which facts a table has, and the rule's name for its answers (`rule_of`)."""

    def make() -> tuple[pd.DataFrame, tuple[str, str]]:
        return facts, (fingerprint(list(facts["fact_id"])), rule_of(facts, match, aliases))

    return _rules.get((id(facts), match, aliases.fingerprint()), make)[1]


_rules: Kept[tuple[pd.DataFrame, tuple[str, str]]] = Kept(500_000, lambda kept: len(kept[0]))


@dataclass(frozen=True)
class MajorityObject:
    """The guess for one relation."""

    answer: str | None  # the object as its facts most often write it; None: no facts to count
    split: str | None  # "train" or "dev": where it was counted
    facts: int  # facts of that split that have it among their answers
    of: int  # facts counted


def majority_objects(facts: pd.DataFrame, aliases: Aliases | None = None) -> dict[str, MajorityObject]:
    """Per relation of a fact table the commonest object; names that are aliases count as one, ties go by alphabet."""
    guesses: dict[str, MajorityObject] = {}
    for relation, rows in facts.groupby("relation", sort=False):
        guesses[str(relation)] = MajorityObject(None, None, 0, 0)
        for split in ("train", "dev"):
            counted = rows.loc[rows["split"] == split, "answers"]
            if len(counted):
                guesses[str(relation)] = _commonest(counted, split, aliases)
                break
    return guesses


def majority_predictions(facts: pd.DataFrame, source_facts: pd.DataFrame, match: str, aliases: Aliases | None = None) -> pd.DataFrame:
    """The predictions table (stage `majority`) that answers each fact with its relation's commonest object."""
    guesses = majority_objects(source_facts, aliases)
    texts = [guesses[relation].answer or "" for relation in facts["relation"]]
    return score_texts(facts, texts, "majority", match, aliases)


def few_shot_predictions(
    loaded: AnyModel,
    facts: pd.DataFrame,
    source_facts: pd.DataFrame,
    settings: TrainSettings,
    reporter: Reporter | None = None,
    aliases: Aliases | None = None,
    stage: str = "few_shot",
) -> pd.DataFrame:
    """The base model's answers with the stage's number of answered train facts in front of each question, or as many as fit."""
    shots = settings.few_shot_stages[stage]
    return predict(loaded, facts, settings, reporter, stage=stage, aliases=aliases, shots=shots, pool=source_facts)


def fewer_shown(stages: dict[str, pd.DataFrame], settings: TrainSettings) -> dict[str, float]:
    """Few-shot stages in which some questions had no room for all examples -> how many they were shown on average."""
    means = {name: float(stages[name]["shown"].mean()) for name in settings.few_shot_stages if "shown" in stages.get(name, ())}
    return {name: round(mean, 2) for name, mean in means.items() if mean < settings.few_shot_stages[name]}


def _commonest(answers: Iterable[list[str]], split: str, aliases: Aliases | None) -> MajorityObject:
    facts: Counter[str] = Counter()  # one object, however it is written -> facts that have it
    spellings: dict[str, Counter[str]] = {}
    keys: dict[str, str] = {}
    total = 0
    for names in answers:
        total += 1
        for name in names:
            if name not in keys:
                keys[name] = min(map(normalise, aliases.expand((name,)))) if aliases else normalise(name)
            spellings.setdefault(keys[name], Counter())[name] += 1
        facts.update({keys[name] for name in names})
    best = min(facts, key=lambda key: (-facts[key], key))
    spelling = min(spellings[best], key=lambda name: (-spellings[best][name], name))
    return MajorityObject(spelling, split, facts[best], total)
