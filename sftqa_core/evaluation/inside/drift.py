"""Heavy: where a model's answers and weights drifted to in tuning (METHOD sections 5, 9 and 10.2).

p is the tuned model's distribution of the token after a prompt, p' the base model's; KL(tuned || base) = sum p log(p / p'), in nats. A
prompt is read once by each model. Prompts are the run's questions to all test facts, and, for the first facts of each memory level and
domain (`InsideSettings.statements`), the statement that their relation's best template makes: the one with most hits among the base
model's stored completions of test facts.

Tables. What is measured of a fact is float16, and rounded (KL to 2 digits, others to 0.05 nats): a run's tables must stay small.

QUESTIONS, a row a test fact, in the order of the facts' ids (which would take as much room as all numbers; `Look.facts` has them):

| kl | over the whole vocabulary |
| entropy_base, entropy_tuned | nats |
| logprob_base, logprob_tuned | log P of the first token of the fact's first answer |
| changed | bool: the likeliest token is another one |
| first_base, first_tuned | bool: the likeliest token is the first of the fact's first answer |

STATEMENTS, the same of the facts that have one, with `place`, the position of the fact among the test facts in the order of their ids,
and kl10, as published: over the tuned model's ten likeliest tokens, both models' logits of these brought to a sum of 1.

TEMPLATES, a row a relation: relation, template (its number), hits and completions of it (both 0 where none are stored: the first template).
Where levels are by likelihood, hits are those to be expected, rounded, and completions is 0.

LAYERS, a row a module and layer (restoring.by_layer): module, layer (null outside of layers), parameters, changed, top (changed ones
among the `TOP` share of all parameters that changed most, relatively), relative_share, squared_share.

TOP, what the top `share` of parameters holds of the sum of all changes (`held`), by `measure`: relative as published, absolute, and
shuffled: relative, after the values of |s - p| were dealt out anew among the changed parameters of the whole model, which shows what
small |p| alone do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from sftqa_core.engine import capacity, drawing
from sftqa_core.engine.greedy import most_probable
from sftqa_core.engine.last_logits import LastLogits
from sftqa_core.evaluation.inside.pair import Pair
from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.knowledge.relations import fill
from sftqa_core.memory.stored_levels import level_columns
from sftqa_core.models.loading import continuation, encode_prompts
from sftqa_core.progress import Phase, Reporter, uncounted
from sftqa_core.records import LevelScheme, ModelCard, TrainSettings
from sftqa_core.records.inside import InsideSettings
from sftqa_core.records.tuning import probe_settings
from sftqa_core.training.encoding import Plain, answer_text, asking, prompt_text
from sftqa_core.training.recipes import restoring

TOP = 0.2  # of all parameters: the largest share that the paper could put back at n = 240 without harm
LIKELIEST = 10  # tokens of the published KL
FEWER = "Use a smaller model or fewer test facts, or run on the CPU (device 'cpu')."
NUMBERS = ["kl", "kl10", "entropy_base", "entropy_tuned", "logprob_base", "logprob_tuned"]
SIGNS = ["changed", "first_base", "first_tuned"]
LAYERS = ["module", "layer", "parameters", "changed", "top", "relative_share", "squared_share"]
_DIGITS, _STEP = 2, 0.05
_STREAM = 1  # of the run's seed: how the shuffled changes are dealt out


def look(pair: Pair, settings: InsideSettings, reporter: Reporter) -> dict[str, pd.DataFrame]:
    """The tables above. Deterministic; the shuffle follows the run's seed. Raises `Stopped` between passes, `OutOfMemory` where not even
    one prompt has room, `ModelUnavailable` for logits that are not numbers."""
    facts = pair.test.sort_values("fact_id", kind="stable").reset_index(drop=True)
    templates = best_templates(pair.base.card, pair.source, pair.test, pair.settings, pair.aliases)
    asked = stated_facts(pair.test, settings.statements)
    places = np.flatnonzero(facts["fact_id"].isin(asked["fact_id"]))
    stated = facts.iloc[places]
    phase = Phase(reporter, "drift", len(facts) + len(stated), "prompts")
    tables = {
        "questions": _rounded(compared(pair, questions(pair, facts), phase)).drop(columns="kl10"),
        "statements": _rounded(compared(pair, statements(pair, stated, templates), phase)),
        "templates": templates,
    }
    tables["statements"].insert(0, "place", places.astype(np.int16 if len(facts) < 1 << 15 else np.int32))
    reporter.check()
    uncounted(reporter, "drift: weights")
    return {**tables, **weights(pair)}


# ---- prompts ----
@dataclass(frozen=True)
class Prompt:
    """What both models read, and how the right answer begins after it."""

    ids: tuple[int, ...]
    answer: int  # a token


def questions(pair: Pair, facts: pd.DataFrame) -> list[Prompt]:
    """The run's test prompts."""
    form, asked = pair.settings.prompt, asking(pair.tuned, pair.settings.prompt)
    rows = list(zip(facts["question"], (answers[0] for answers in facts["answers"]), strict=True))
    if isinstance(asked, Plain):
        return prompts_of(pair, [prompt_text(question, form) for question, _ in rows], [answer_text(answer, form) for _, answer in rows])
    examples = [asked.example(question, answer) for question, answer in rows]
    return [Prompt(example.ids[: example.prompt_length], example.ids[example.prompt_length]) for example in examples]


def statements(pair: Pair, facts: pd.DataFrame, templates: pd.DataFrame) -> list[Prompt]:
    """Each fact's statement by its relation's template (TEMPLATES). Raises `SettingsError` where one is too long for the model."""
    best = dict(zip(templates["relation"].astype("str"), templates["template"], strict=True))
    rows = zip(facts["relation"].astype("str"), facts["subject"], facts["question"], strict=True)
    texts = [
        fill(pair.source.relations[relation].templates[best[relation]], subject=subject, question=question)
        for relation, subject, question in rows
    ]
    prompts = prompts_of(pair, texts, [f" {answers[0].strip()}" for answers in facts["answers"]])
    capacity.require_window(pair.tuned, [len(prompt.ids) for prompt in prompts], 0, "statements", texts)
    return prompts


def prompts_of(pair: Pair, texts: Sequence[str], replies: Sequence[str]) -> list[Prompt]:
    """Texts and how these replies to them begin, as `loading.continuation` has it; all are encoded together, which is much faster."""
    heads = encode_prompts(pair.tuned, texts)
    wholes = encode_prompts(pair.tuned, [text + reply for text, reply in zip(texts, replies, strict=True)])
    rows = zip(heads, wholes, texts, replies, strict=True)
    follows = [
        whole[len(head)] if whole[: len(head)] == head and len(whole) > len(head) else continuation(pair.tuned.tokenizer, text, reply)[0]
        for head, whole, text, reply in rows
    ]
    return [Prompt(tuple(head), token) for head, token in zip(heads, follows, strict=True)]


def stated_facts(facts: pd.DataFrame, count: int) -> pd.DataFrame:
    """The first `count` of each memory level and domain, relations in turns as they come; the same facts for every run."""
    return facts[facts["level"].notna()].groupby(["level", "domain"], sort=False, observed=True).head(count)


def best_templates(card: ModelCard, source: FactSource, test: pd.DataFrame, run: TrainSettings, aliases: Aliases) -> pd.DataFrame:
    """TEMPLATES, of the test facts' relations in turn, from what is stored of the base model."""
    settings = probe_settings(run)
    scheme = settings.scheme if settings.scheme.by_statements else LevelScheme()
    known = level_columns(card, source, test, replace(settings, scheme=scheme), aliases)
    rows = []
    for relation, group in known.groupby(test["relation"].astype("str").to_numpy(), sort=True):
        there = group[group["hits_per_template"].notna()]
        hits = np.array([np.asarray(each, dtype=float) for each in there["hits_per_template"]]).sum(axis=0) if len(there) else np.zeros(1)
        best = int(hits.argmax())
        rows.append((relation, best, round(hits[best]), int(there["completions"].sum()) // len(hits)))
    return pd.DataFrame(rows, columns=["relation", "template", "hits", "completions"]).astype({"relation": "category", "template": "int16"})


# ---- both models' next tokens ----
def compared(pair: Pair, prompts: Sequence[Prompt], phase: Phase) -> pd.DataFrame:
    """The columns of STATEMENTS but `place` for each prompt in order, exact. Prompts that begin alike are read together."""
    values = np.zeros((len(prompts), len(NUMBERS) + len(SIGNS)))
    longest = max((len(prompt.ids) for prompt in prompts), default=1)
    base, tuned = (LastLogits(loaded, len(prompts), longest) for loaded in (pair.base, pair.tuned))
    order = sorted(range(len(prompts)), key=lambda at: prompts[at].ids)
    size = min(base.at_once, tuned.at_once)
    batches = [order[start : start + size] for start in range(0, len(order), size)]

    def read(batch: list[int]) -> np.ndarray:
        ids = [prompts[at].ids for at in batch]
        return drift_of(base.read(ids), tuned.read(ids), [prompts[at].answer for at in batch])

    for batch, found in drawing.halving(batches, read, FEWER):
        values[batch] = found
        phase.advance(len(batch))
    return pd.DataFrame(values, columns=[*NUMBERS, *SIGNS]).astype(dict.fromkeys(SIGNS, bool))


@torch.no_grad()
def drift_of(base: torch.Tensor, tuned: torch.Tensor, answers: Sequence[int]) -> np.ndarray:
    """The columns of STATEMENTS but `place` as float64 [prompts, columns] of both models' logits [prompts, vocabulary] and the answers'
    first tokens.

    Raises `ModelUnavailable` for logits that are not numbers.
    """
    (first, before), (likeliest, after) = _logarithms(base.to(tuned.device)), _logarithms(tuned)
    share = after.exp()
    kl = torch.where(share > 0, share * (after - before), 0).sum(-1, dtype=torch.float64).clamp(min=0)
    top, ids = after.topk(min(LIKELIEST, after.shape[1]))
    top, same = torch.log_softmax(top, -1), torch.log_softmax(before.gather(1, ids), -1)
    kl10 = (top.exp() * (top - same)).sum(-1, dtype=torch.float64).clamp(min=0)
    entropies = [-torch.where(log > -torch.inf, log.exp() * log, 0).sum(-1, dtype=torch.float64) for log in (before, after)]
    place = torch.tensor(answers, device=after.device)[:, None]
    logprobs = [log.gather(1, place)[:, 0].double() for log in (before, after)]
    numbers = torch.stack([kl, kl10, *entropies, *logprobs], dim=1).cpu().numpy()
    return np.column_stack([numbers, first != likeliest, first == answers, likeliest == answers])


def _logarithms(logits: torch.Tensor) -> tuple[np.ndarray, torch.Tensor]:
    """The likeliest tokens of logits [prompts, vocabulary], and log-probabilities in float32."""
    logits = drawing.in_reach_of_float64(logits).float()
    tokens, logprob = most_probable(logits)
    likeliest = logits.gather(1, torch.from_numpy(tokens).to(logits.device)[:, None])
    return tokens, logits - likeliest + torch.from_numpy(logprob).to(logits)[:, None]


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    """Few different numbers, which Parquet writes as a few bits each."""
    numbers = table.copy()
    for name in NUMBERS[:2]:
        numbers[name] = [float(f"{value:.{_DIGITS - 1}e}") for value in table[name]]
    numbers[NUMBERS[2:]] = (table[NUMBERS[2:]] / _STEP).round() * _STEP
    return numbers.astype(dict.fromkeys(NUMBERS, "float16"))


# ---- weights ----
def weights(pair: Pair) -> dict[str, pd.DataFrame]:
    """LAYERS and TOP."""
    changed = restoring.Changed.of(pair.base.model, restoring.whole(pair.tuned.model), "relative")
    layers = changed.by_layer(changed.first(TOP)).rename(columns={"restored": "top"})[LAYERS]
    rankings = {"relative": changed, "absolute": replace(changed, measure="absolute")}
    rankings["shuffled"] = shuffled(changed, np.random.default_rng([pair.settings.seed, _STREAM]))
    rows = [(name, *row) for name, ranking in rankings.items() for row in held(ranking)]
    top = pd.DataFrame(rows, columns=["measure", "share", "held"])
    small = {"relative_share": "float32", "squared_share": "float32", "module": "category", "layer": "Int16"}
    return {"layers": layers.astype(small), "top": top.astype({"measure": "category", "held": "float32"})}


def held(changed: restoring.Changed) -> list[tuple[float, float]]:
    """Each of the paper's shares of all parameters, and what its top holds of the sum of what is ranked (0 where nothing changed)."""
    ordered = changed.ordered[::-1]
    finite = np.where(np.isfinite(ordered), ordered, 0).astype(np.float64)  # from 0, a relative change has no size
    sums = np.concatenate([[0.0], finite.cumsum()])
    whole = sums[-1] or 1.0
    return [(share, float(sums[round(share * len(ordered))] / whole)) for share in restoring.SHARES]


def shuffled(changed: restoring.Changed, draw: np.random.Generator) -> restoring.Changed:
    """The same values of |s - p|, dealt out anew among the changed parameters."""
    change = np.concatenate(list(changed.change.values()))
    moved = np.flatnonzero(change)
    change[moved] = draw.permutation(change[moved])
    borders = np.cumsum([len(each) for each in changed.change.values()])[:-1]
    return restoring.Changed(dict(zip(changed.change, np.split(change, borders), strict=True)), changed.before, "relative")
