"""What putting weights back does: shares of a tuned model's parameters as they were before, chosen by four rankings, and blocks of layers
(METHOD 5, 9, 10.2). Heavy; restoration_tables.py reads what is stored.

The four ways are those of the recipe `restore`, with its draws: by relative change |s - p| / |p|, by |s - p|, and two controls by chance.
A mask of a way, share and draw is the one that the recipe would put back in the same run. The first `per_level` test facts of each level
and domain are asked; dev facts likewise, to choose a share for each way. The controls are drawn `draws` times at the shares `DRAWN` and
at the share that dev facts chose for them, else once: one evaluation costs as much as another, and there would be 85 of them.

| table | column | type | meaning |
|---|---|---|---|
| facts | fact_id | str | test facts that were asked, in the order of the bits below |
| answers | way | category | `none` (share 0: as tuned), relative, absolute, random or random-update |
| | share, draw | float32, int8 | of all parameters; 0 for what is not drawn |
| | restored | int64 | changed parameters that were put back |
| | undone | float32 | their share of the squared update |
| | correct | bytes | a bit for each of `facts`, packed (numpy.packbits): whether the greedy answer is right |
| chosen | way, share | category, float32 | as in `answers`, the first draw |
| | accuracy | float32 | on dev facts of both domains: mean over levels, or of all where not every level has facts |
| | facts, by_level | int16, bool | dev facts; whether it is the mean over levels |
| | chosen | bool | the best share of this way; of equal ones the smallest |
| blocks | block | category | `0-1` and so on: layers that were put back; `other`: all that is in no layer (embeddings, last norm, head) |
| | restored, undone, correct | | as in `answers` |
| own | share, level | float32, Int8 | examples of the run by relative change; level null where it is not known |
| | facts, correct | int16 | examples asked, and answered rightly |
| own_examples | share, level | as in `own` | the same, one by one; missing in older looks |
| | example | category | its fact_id, which the source need not have: recipes make examples |
| | correct | bool | answered rightly |
| own_facts | fact_id, level | str, Int8 | of the twelve looks that ship, which lack `own_examples`: the examples that were asked |
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from sftqa_core.evaluation import predictions
from sftqa_core.evaluation.inside.pair import Pair
from sftqa_core.evaluation.inside.restoration_tables import CONTROLS, NONE, SHARES, WAYS
from sftqa_core.models.loading import LoadedModel
from sftqa_core.progress import Phase, Reporter, Silent
from sftqa_core.records import InsideSettings
from sftqa_core.training.recipes import restoring

DRAWN = (0.05, 0.1, 0.2)  # shares at which a control is drawn several times
OWN = (0.0, 0.05, 0.2)  # shares at which the run's own examples are asked, as the paper has them
BLOCKS = 4  # of layers, or as many as there are layers
Masks = dict[str, NDArray[np.bool_]]
Right = NDArray[np.bool_]  # [facts]


def look(pair: Pair, settings: InsideSettings, reporter: Reporter) -> dict[str, pd.DataFrame]:
    """The tables above. Raises `Stopped`, `OutOfMemory`, and `SettingsError` where a question does not fit the model."""
    levels = len(pair.settings.scheme.labels)
    restored = Restored.of(pair)
    test, dev = (Questions.of(pair, first_of_each(facts, settings.per_level, levels)) for facts in (pair.test, pair.dev))
    shares = [(NONE, 0.0), *((way, share) for way in WAYS for share in SHARES if share)]
    phase = Phase(reporter, "restoration: shares", len(shares), "models")
    answers, on_dev = [], []
    for way, share in shares:
        change = restored.put_back(restored.masks(way, share, 0))
        answers.append((way, share, 0, *change, test.bits(restored, reporter)))
        on_dev.append((way, share, dev.right(restored, reporter)))
        phase.advance(1)
    chosen = choices(on_dev, dev.facts, levels)
    best = {(row.way, row.share) for row in chosen[chosen["chosen"]].itertuples()}
    again = [(way, share) for way in CONTROLS for share in SHARES if share and (share in DRAWN or (way, np.float32(share)) in best)]
    blocks = blocks_of(list(restored.changed.change))
    phase = Phase(reporter, "restoration: draws and layers", len(again) * (settings.draws - 1) + len(blocks) + len(OWN), "models")
    for way, share in again:
        for draw in range(1, settings.draws):
            answers.append((way, share, draw, *restored.put_back(restored.masks(way, share, draw)), test.bits(restored, reporter)))
            phase.advance(1)
    by_block = []
    for name, inside in blocks.items():
        masks = {tensor: np.full(len(each), tensor in inside) for tensor, each in restored.changed.change.items()}
        by_block.append((name, *restored.put_back(masks), test.bits(restored, reporter)))
        phase.advance(1)
    own = _own(pair, restored, settings.per_level, reporter, phase)
    return {"facts": test.facts[["fact_id"]].reset_index(drop=True), **_stored(answers, by_block), "chosen": chosen, **own}


def _stored(answers: Sequence[tuple[Any, ...]], blocks: Sequence[tuple[Any, ...]]) -> dict[str, pd.DataFrame]:
    small = {"restored": "int64", "undone": "float32"}
    kept = pd.DataFrame(answers, columns=["way", "share", "draw", "restored", "undone", "correct"])
    by_block = pd.DataFrame(blocks, columns=["block", "restored", "undone", "correct"])
    return {
        "answers": kept.astype({"way": "category", "share": "float32", "draw": "int8", **small}),
        "blocks": by_block.astype({"block": "category", **small}),
    }


def first_of_each(facts: pd.DataFrame, per_level: int, levels: int) -> pd.DataFrame:
    """The first `per_level` facts of each level and domain. Facts without a level are left out; where none has one, as many of each domain
    as there would be."""
    known = facts[facts["level"].notna()]
    if not len(known):
        return facts[facts.groupby("domain").cumcount() < per_level * levels]
    return known[known.groupby(["domain", "level"]).cumcount() < per_level]


def choices(on_dev: Sequence[tuple[str, float, Right]], facts: pd.DataFrame, levels: int) -> pd.DataFrame:
    """The table `chosen`, from answers to dev facts. Share 0 is a choice of every way."""
    at = facts["level"].to_numpy(float, na_value=np.nan)
    groups = [at == level for level in range(levels)]
    by_level = all(group.any() for group in groups)

    def accuracy(right: Right) -> float:
        return float(np.mean([right[group].mean() for group in groups]) if by_level else right.mean() if len(right) else np.nan)

    rows = [(way, 0.0, accuracy(right)) for name, _, right in on_dev if name == NONE for way in WAYS]
    rows += [(name, share, accuracy(right)) for name, share, right in on_dev if name != NONE]
    table = pd.DataFrame(rows, columns=["way", "share", "accuracy"]).astype({"share": "float32", "accuracy": "float32"})
    table = table.sort_values(["way", "share"], ignore_index=True).assign(facts=np.int16(len(facts)), by_level=by_level, chosen=False)
    for _, own in table.groupby("way"):
        if own["accuracy"].notna().any():
            table.loc[own["accuracy"].idxmax(), "chosen"] = True
    return table.astype({"way": "category"})


def blocks_of(names: Sequence[str]) -> dict[str, set[str]]:
    """Names of tensors by block: `BLOCKS` of layers, and what is in no layer."""
    layers = {name: restoring.layer_of(name) for name in names}
    numbers = sorted({layer for layer in layers.values() if layer is not None})
    blocks = {"other": {name for name, layer in layers.items() if layer is None}}
    for part in np.array_split(numbers, min(BLOCKS, len(numbers)) or 1):
        ends = (str(part[0]), str(part[-1])) if len(part) else ("", "")
        blocks["-".join(dict.fromkeys(ends))] = {name for name, layer in layers.items() if layer in part}
    return {block: inside for block, inside in blocks.items() if inside}


@dataclass(frozen=True)
class Questions:
    """Facts whose questions are asked again and again, encoded once."""

    pair: Pair
    facts: pd.DataFrame
    prompts: predictions.Prompts

    @classmethod
    def of(cls, pair: Pair, facts: pd.DataFrame) -> Questions:
        """Raises `SettingsError` where a question does not fit the model."""
        return cls(pair, facts, predictions.encode_questions(pair.tuned, facts, pair.settings))

    def right(self, restored: Restored, reporter: Reporter) -> Right:
        """Which are answered rightly now."""
        table = predictions.predict(
            restored.loaded, self.facts, self.pair.settings, _Checked(reporter), stage="after", aliases=self.pair.aliases,
            prompts=self.prompts,
        )  # fmt: skip
        return table["correct"].to_numpy(bool)

    def bits(self, restored: Restored, reporter: Reporter) -> bytes:
        """The same, packed."""
        return np.packbits(self.right(restored, reporter)).tobytes()


class Restored:
    """A copy of the tuned model, LoRA merged, whose parameters are put back in place. Beside the pair and what `Changed` takes it needs
    RAM for one model, after LoRA for two."""

    def __init__(self, base: Any, tuned: Any, as_loaded: LoadedModel, seed: int):
        self._base, self._tuned, self._seed = base, tuned, seed
        self.changed = restoring.Changed.of(base, tuned, "relative")
        self._absolute = restoring.Changed(self.changed.change, self.changed.before, "absolute")
        self._whole = sum(_squares(each) for each in self.changed.change.values()) or 1.0
        self.loaded = replace(as_loaded, model=copy.deepcopy(tuned).to(base.dtype).eval())

    @classmethod
    def of(cls, pair: Pair) -> Restored:
        """Of a run's two models."""
        return cls(pair.base.model, restoring.whole(pair.tuned.model), pair.tuned, pair.settings.seed)

    def masks(self, way: str, share: float, draw: int) -> Masks:
        """What is put back: the same parameters as by the recipe `restore` with these settings."""
        chance = np.random.default_rng([self._seed, draw])
        if way == "random":
            return self.changed.by_chance(share, chance)
        if way == "random-update":
            return self.changed.as_much_by_chance(share, chance)
        return (self._absolute if way == "absolute" else self.changed).first(share)

    @torch.no_grad()
    def put_back(self, masks: Mapping[str, NDArray[np.bool_]]) -> tuple[int, float]:
        """Make `loaded` the tuned model but for these parameters; how many of them had changed, and their share of the squared update."""
        after = dict(self._tuned.named_parameters())
        for name, parameter in self.loaded.model.named_parameters():
            parameter.copy_(after[name])
        restoring.put_back(self.loaded.model, self._base, dict(masks))
        changes = [self.changed.change[name][mask] for name, mask in masks.items()]
        return sum(int((each > 0).sum()) for each in changes), sum(map(_squares, changes)) / self._whole


def own_asked(examples: pd.DataFrame, per_level: int) -> pd.DataFrame:
    """The run's examples that are asked: the first `per_level` of each level, those without one in a group of their own."""
    return examples[examples.groupby("level", dropna=False).cumcount() < per_level].reset_index(drop=True)


def _own(pair: Pair, restored: Restored, per_level: int, reporter: Reporter, phase: Phase) -> dict[str, pd.DataFrame]:
    """The tables `own` and `own_examples`. Examples whose level is not known stand in a row of their own."""
    examples = own_asked(pair.examples, per_level)
    questions, tables = Questions.of(pair, examples), list[pd.DataFrame]()
    for share in OWN:
        restored.put_back(restored.masks("relative", share, 0))
        right = questions.right(restored, reporter)
        tables.append(pd.DataFrame({"share": share, "level": examples["level"], "example": examples["fact_id"], "correct": right}))
        phase.advance(1)
    each = pd.concat(tables, ignore_index=True).astype({"share": "float32", "level": "Int8", "example": "category"})
    counted = each.groupby(["share", "level"], dropna=False)["correct"].agg(facts="size", correct="sum").reset_index()
    return {"own": counted.astype({"facts": "int16", "correct": "int16"}), "own_examples": each}


def _squares(change: restoring.Floats) -> float:
    return float(np.square(change, dtype=np.float64).sum())


class _Checked(Silent):
    """A reporter that hears of no piece, and stops the work where another one does."""

    def __init__(self, other: Reporter):
        self.check = other.check  # type: ignore[method-assign]
