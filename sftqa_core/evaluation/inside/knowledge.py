"""What a model knows and what it says: the right answer ranked among wrong ones, before and after tuning (METHOD 10.3, after arXiv
2503.15299).

**K** of a fact is the share of its wrong answers that are less likely than the right one, ties half, after the run's own question prompt.
The likelihood of an answer is the mean over its tokens of log P, in the form in which it is trained: with its leading blank, and without
the end token, so that an answer that goes on is not punished for it. A wrong answer whose tokens are the beginning of a right one's says
nothing then, and is left out. candidates.py says what wrong answers are. A model *knows* a fact where K = 1. Of several right answers the
likeliest counts, so by chance r right and m wrong ones give K = 1 with r / (r + m).

**Which of the two knows more**, and which facts are answered after how many examples, is told by the fixed set. The whole set holds every
wrong answer of the tuned model, which likes it best of all, but seldom the base model's favourite: often the base model gives no answer.

**Another subject**: the same answers after a question about another subject of the relation, without those that are right for that one. A
common object ranks first there, too: what is known is the excess over this.

**Internal K**: the same pairs, ranked by a linear probe on the hidden state at an answer's last token (linear_probe.py), which learns from
dev facts; and by the answer's identity alone: how often it was right among dev facts that had it as a candidate.

FACTS, one row a fact and model:

| fact_id, model | category | model is base or tuned |
| m, rights | uint8 | wrong and right answers in the set, the same for both models; rights is missing in older looks: 1 there |
| k, k_other | float32 | K, and under another subject; the latter NaN where there is none |
| k_fixed | float32 | K among the wrong answers of the fixed set (candidates.py); NaN without any |
| logprob | float32 | of the likeliest right answer: mean over its tokens |
| said | bool | the model's stored answer is right |
| pairs | uint8 | (right, wrong) pairs that the probe is read on; both answers in the same half of the objects |
| outside, inside, inside_other, identity | float32 | share of these pairs ranked rightly: by likelihood, by the probe, by the probe under
  another subject, by the answer's identity; NaN without pairs or without a probe |

INTERNAL, one row a model:

| model | category | |
| layer, layers | int16 | the layer, from 1, that the probe reads, chosen on dev facts; 0: too few of them for a probe |
| dev_facts, dev_share | int16, float32 | facts it learns from, and the share of their pairs ranked rightly where the layer was chosen |
| facts, tokens, dev_tokens | int32 | test facts, and tokens that the model read for them, under both subjects, and for dev facts |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import repeat

import numpy as np
import pandas as pd

from sftqa_core.engine.candidate_scores import Asked, CandidateScores, Scored, block_count
from sftqa_core.errors import ModelUnavailable, SettingsError
from sftqa_core.evaluation.inside import linear_probe
from sftqa_core.evaluation.inside.candidates import Relations, candidates_of, half_of, other_subjects
from sftqa_core.evaluation.inside.pair import Pair
from sftqa_core.knowledge.facts import subject_key
from sftqa_core.memory.consistency import standing_for
from sftqa_core.models.loading import LoadedModel
from sftqa_core.progress import Phase, Reporter
from sftqa_core.records import InsideSettings
from sftqa_core.training.encoding import asking

DEV_FACTS = 400  # that the probe learns from, at most
_UNSEEN = ("", "")  # stands for an answer that no dev fact has
_STREAM = 0x4B  # of the run's seed: which other subject a fact's answers are ranked under


@dataclass(frozen=True, eq=False)
class _Sets:
    """Facts with their candidates as token ids. Of several right answers all are in front, the first one first."""

    facts: pd.DataFrame
    prompts: list[tuple[int, ...]]
    answers: list[list[tuple[int, ...]]]
    rights: list[int]  # how many of the answers are right
    names: list[list[str]]  # of the answers, as names are compared
    added: list[np.ndarray]  # of the answers, which are wrong and outside the fixed set
    others: list[int | None]  # position of the fact whose subject is the other one

    def asked(self, others: bool) -> list[Asked]:
        """Each fact's prompt at twice its position, the one about the other subject right behind."""
        own = [Asked(2 * at, prompt, tuple(self.answers[at])) for at, prompt in enumerate(self.prompts)]
        there = [(at, other) for at, other in enumerate(self.others) if others and other is not None]
        return own + [Asked(2 * at + 1, self.prompts[other], tuple(self.answers[at])) for at, other in there]

    def right_there(self, at: int) -> np.ndarray:
        """Which of a fact's answers [answers] are right for its other subject."""
        other = self.others[at]
        wanted = set() if other is None else set(self.names[other][: self.rights[other]])
        return np.array([name in wanted for name in self.names[at]])

    @cached_property
    def ranked(self) -> list[list[int]]:
        """Of each fact the numbers of the answers that a probe ranks: the first right one and the wrong ones."""
        return [[0, *range(rights, len(names))] for rights, names in zip(self.rights, self.names, strict=True)]

    def rows(self, scored: Sequence[Scored]) -> linear_probe.Rows:
        """These answers of all facts, in their order, with their states."""
        fact = np.repeat(np.arange(len(self.ranked)), [len(numbers) for numbers in self.ranked])
        right = np.concatenate([np.arange(len(numbers)) == 0 for numbers in self.ranked])
        half = np.array([half_of(names[at]) for numbers, names in zip(self.ranked, self.names, strict=True) for at in numbers])
        states = np.concatenate([one.states[:, numbers] for one, numbers in zip(scored, self.ranked, strict=True)], axis=1)
        return linear_probe.Rows(fact, right, half, states)


def look(pair: Pair, settings: InsideSettings, reporter: Reporter) -> dict[str, pd.DataFrame]:
    """FACTS and INTERNAL of at most `settings.per_level` test facts of each level and domain. Raises `Stopped`, `OutOfMemory`, and
    `ModelUnavailable` for a model whose logits are not numbers."""
    relations = Relations.of(pair)
    some = pair.test.groupby(["domain", "level"], dropna=False, observed=True).cumcount() < settings.per_level
    tested = _sets(pair, pair.test[some].reset_index(drop=True), relations, settings.wrong)
    subjects = set(pair.test["subject"].map(subject_key))
    fresh = pair.dev[~pair.dev["subject"].map(subject_key).isin(subjects)].head(DEV_FACTS).reset_index(drop=True)
    dev = _sets(pair, fresh, relations, settings.wrong)
    identity = _identity(dev)
    facts, internal = [], []
    for name, loaded, said in (("base", pair.base, "base_correct"), ("tuned", pair.tuned, "correct")):
        reporter.check()
        model = _Model(name, loaded, dev, Phase(reporter, f"knowledge: {name}", len(dev.asked(False)) + len(tested.asked(True)), "prompts"))
        table = model.facts(tested, identity)
        facts.append(table.assign(said=tested.facts[said].to_numpy(dtype=bool)))
        internal.append(model.internal(len(tested.facts)))
    kinds = pd.CategoricalDtype(["base", "tuned"])
    found = pd.concat(facts, ignore_index=True).astype({"fact_id": "category", "model": kinds})
    whole = {"layer": np.int16, "layers": np.int16, "dev_facts": np.int16, "facts": np.int32, "tokens": np.int32, "dev_tokens": np.int32}
    return {"facts": found, "internal": pd.DataFrame(internal).astype({"model": kinds, "dev_share": np.float32, **whole})}


class _Model:
    """One of the two models: its probe, and what it is read on."""

    def __init__(self, name: str, loaded: LoadedModel, dev: _Sets, phase: Phase):
        self.name, self.loaded, self.phase, self.of = name, loaded, phase, len(dev.facts)
        self.blocks = block_count(loaded.model)
        self.layers = tuple(sorted({max(1, self.blocks // 2), self.blocks})) if self.blocks else ()
        self.probe, self.dev = self._learned(dev)
        self.tokens = 0

    def _learned(self, dev: _Sets) -> tuple[linear_probe.Probe | None, int]:
        """The probe, and the tokens that were read for it."""
        if not len(dev.facts) or not self.layers:
            return None, 0
        scores = CandidateScores(self.loaded, self.layers)
        rows = dev.rows(scores.of(dev.asked(False), self.phase))
        first = np.array([half_of(subject_key(subject)) == 0 for subject in dev.facts["subject"]])
        return linear_probe.learned(rows, first), scores.tokens

    def facts(self, sets: _Sets, identity: Mapping[tuple[str, str], float]) -> pd.DataFrame:
        """FACTS of this model, without `said`."""
        scores = CandidateScores(self.loaded, (self.layers[self.probe.layer],) if self.probe else ())
        scored = {one.place: one for one in scores.of(sets.asked(True), self.phase)}
        self.tokens = scores.tokens
        own = [scored[2 * at] for at in range(len(sets.facts))]
        others = [scored.get(2 * at + 1) for at in range(len(sets.facts))]
        columns = {
            "k": [_ranked(one.logprobs, rights) for one, rights in zip(own, sets.rights, strict=True)],
            "k_fixed": [_ranked(one.logprobs, rights, added) for one, rights, added in zip(own, sets.rights, sets.added, strict=True)],
            "k_other": [
                np.nan if one is None else _ranked(one.logprobs, sets.rights[at], sets.right_there(at)) for at, one in enumerate(others)
            ],
            "logprob": [one.logprobs[:rights].max() for one, rights in zip(own, sets.rights, strict=True)],
            **self._pairs(sets, own, others, identity),
        }
        wrong = [len(names) - rights for rights, names in zip(sets.rights, sets.names, strict=True)]
        table = pd.DataFrame(
            {"fact_id": sets.facts["fact_id"].astype(str), "model": self.name, "m": wrong, "rights": sets.rights, **columns}
        )
        floats = [name for name in columns if name != "pairs"]
        return table.astype({"m": np.uint8, "rights": np.uint8, "pairs": np.uint8, **dict.fromkeys(floats, np.float32)}).round(
            {**dict.fromkeys(floats, 3), "logprob": 2}
        )

    def _pairs(
        self, sets: _Sets, own: list[Scored], others: list[Scored | None], identity: Mapping[tuple[str, str], float]
    ) -> dict[str, np.ndarray]:
        """How the pairs that the probe is read on are ranked, of each fact."""
        count = len(own)
        if not count:
            return dict.fromkeys(("pairs", "outside", "inside", "inside_other", "identity"), np.zeros(0))
        rows, relations = sets.rows(own), sets.facts["relation"].astype("str").tolist()
        likely = np.concatenate([one.logprobs[numbers] for one, numbers in zip(own, sets.ranked, strict=True)])
        known_by = [
            identity.get((relations[at], sets.names[at][number]), identity[_UNSEEN])
            for at, numbers in enumerate(sets.ranked)
            for number in numbers
        ]
        scores = {"outside": likely, "identity": np.array(known_by), "inside": None, "inside_other": None}
        if self.probe:
            there = sets.rows(
                [replace(mine, states=mine.states * np.nan) if one is None else one for one, mine in zip(others, own, strict=True)]
            )
            scores["inside"] = self.probe.scores(rows.states[0], rows.half)
            scores["inside_other"] = self.probe.scores(there.states[0], rows.half)
        pairs, none = rows.pairs(), np.full(count, np.nan)
        shares = {name: none if of is None else linear_probe.pair_shares(of, pairs, rows.fact, count) for name, of in scores.items()}
        shares["inside_other"] = np.where([one is None for one in others], np.nan, shares["inside_other"])
        return {"pairs": np.bincount(rows.fact[pairs[1]], minlength=count), **shares}

    def internal(self, facts: int) -> dict[str, object]:
        """The row of INTERNAL."""
        layer, share = (self.layers[self.probe.layer], round(self.probe.dev_share, 4)) if self.probe else (0, np.nan)
        read = {"facts": facts, "tokens": self.tokens, "dev_tokens": self.dev}
        return {"model": self.name, "layer": layer, "layers": self.blocks, "dev_facts": self.of, "dev_share": share, **read}


def _sets(pair: Pair, facts: pd.DataFrame, relations: Relations, most: int) -> _Sets:
    """Of those of these facts that have a wrong answer. An answer that the model can't read, or that holds a sign of its chat template, is
    left out."""
    asked = asking(pair.base, pair.settings.prompt)
    prompts, answers, rights, names, added, kept = [], [], [], [], [], []
    for at, (question, own) in enumerate(zip(facts["question"], candidates_of(pair, facts, relations, most), strict=True)):
        found: list[list[tuple[tuple[int, ...], str, bool]]] = [[], []]  # right, wrong: ids, name, whether added
        offered = [*((0, answer, False) for answer in own.right), *zip(repeat(1), own.wrong, own.added, strict=False)]
        for place, answer, more in offered:
            with suppress(ModelUnavailable, SettingsError):
                example = asked.example(question, answer)
                ids = example.ids[example.prompt_length : -1]
                if ids and not (place and any(right[: len(ids)] == ids for right, *_ in found[0])):
                    found[place].append((ids, standing_for(answer, pair.aliases), more))
        if all(found):
            kept.append(at)
            prompts.append(asked.prompt(question))
            answers.append([ids for ids, *_ in (*found[0], *found[1])])
            names.append([name for _, name, _ in (*found[0], *found[1])])
            added.append(np.array([more for *_, more in (*found[0], *found[1])]))
            rights.append(len(found[0]))
    facts = facts.iloc[kept].reset_index(drop=True)
    order = np.random.default_rng([pair.settings.seed, _STREAM]).permutation(len(facts))
    return _Sets(facts, prompts, answers, rights, names, added, other_subjects(facts, order.tolist()))


def _ranked(logprobs: np.ndarray, rights: int, left_out: np.ndarray | None = None) -> float:
    """K: the share of wrong answers, without those left out, that are less likely than the likeliest right one; NaN without any."""
    wrong = logprobs[rights:] if left_out is None else logprobs[rights:][~left_out[rights:]]
    right = logprobs[:rights].max()
    return float(((right > wrong) + 0.5 * (right == wrong)).mean()) if len(wrong) else float("nan")


def _identity(dev: _Sets) -> dict[tuple[str, str], float]:
    """How often an answer was right among the dev facts of a relation that had it as a candidate, drawn towards what is usual by the
    weight of one fact; `_UNSEEN`: what is usual."""
    counts, rights = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for relation, names, numbers in zip(dev.facts["relation"].astype("str"), dev.names, dev.ranked, strict=True):
        counts.update((relation, names[number]) for number in numbers)
        rights[relation, names[0]] += 1
    usual = sum(rights.values()) / max(1, sum(counts.values()))
    return {_UNSEEN: usual, **{name: (rights[name] + usual) / (count + 1) for name, count in counts.items()}}
