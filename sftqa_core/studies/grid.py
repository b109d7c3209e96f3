"""A study as a grid of runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sftqa_core.records import LevelScheme, StudySettings, TrainSettings
from sftqa_core.training.selection import needs_levels


def grid(study: StudySettings, model: str, most: int | None = None) -> list[TrainSettings]:
    """The runs of one model, seed after seed, so that a study that is stopped in the middle has whole seeds.

    A level study has one run a training level, beside the natural mix, all of the same n: at most `most`, the number of
    facts of the scarcest level (METHOD 8.7). Without examples no seed matters, so the untouched model is listed once; which examples it
    is shown (`shots`) is the seed's choice again.
    """
    cells = [] if study.kind == "amount" else [study.run(model, 0, study.seeds[0])]
    for seed in study.seeds:
        for n in study.examples:
            if study.kind == "level":
                n = n if most is None else most if n == TrainSettings.ALL else min(n, most)
                cells += [study.run(model, n, seed, levels=(level,), balance="matched") for level in range(len(study.scheme.labels))]
            if n != 0 or seed == study.seeds[0]:
                cells.append(study.run(model, n, seed))
        cells += [study.run(model, 0, seed, more_shots=(shots,)) for shots in study.shots]
    return cells


_UNSEEN: dict[str, Any] = {  # what is only looked at, and how the same steps are computed: equal but for rounding
    "micro_batch": None,
    "gradient_checkpointing": False,
    "eval_every": None,
    "eval_facts": 200,
}


def canonical(run: TrainSettings, learning_rate: float | None = None) -> TrainSettings:
    """Settings that decide a run's answers, others at their defaults: equal for runs that do the same.

    Names of model and source are replaced by their fingerprints elsewhere; `learning_rate` is what None stands for.
    """
    same = replace(run, model="", source="", device="auto", gpus=1, sharding="ddp", quantization="none", **_UNSEEN)
    same = replace(same, shots=0, more_shots=(), save_model=False, test_limit=None)
    if run.n == 0:
        seed = run.seed if run.more_shots else 0
        bare = TrainSettings(model="", source="", n=0, shots=0, save_model=False, more_shots=run.more_shots, seed=seed)
        return replace(bare, **_asking(run))
    scheme = run.scheme if needs_levels(run) else LevelScheme()
    lora_rank = run.lora_rank if run.method == "lora" else 8
    return replace(same, scheme=scheme, lora_rank=lora_rank, learning_rate=run.learning_rate or learning_rate)


def _asking(run: TrainSettings) -> dict:
    """What an untuned model's answers depend on."""
    return {"prompt": run.prompt, "match": run.match, "max_answer_tokens": run.max_answer_tokens}
