"""How it was done, in a paragraph that an author can paste: made of the settings, so that it says nothing that was not done.

Citations stand in square brackets, by the keys of citing.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sftqa_core.evaluation.comparing import MCNEMAR
from sftqa_core.evaluation.intervals import DRAWS, LEAST
from sftqa_core.jsonrecord import declared
from sftqa_core.knowledge.atlas import is_atlas
from sftqa_core.knowledge.sources import ENTITY_QUESTIONS, SAMPLE
from sftqa_core.records import DOMAIN_NAMES, Comparison, LevelScheme, StudyReport, StudySettings, TrainSettings
from sftqa_core.records.comparison import UNTESTED
from sftqa_core.records.setting_words import ModelName, source_name

_OPTIMIZERS = {"adamw": "AdamW", "adafactor": "Adafactor", "sgd": "SGD", "adamw_8bit": "AdamW in 8 bits"}


def of_run(settings: TrainSettings, tested: dict[str, int], templates: int | None, names: ModelName) -> str:
    """One run's methods; `tested`: domain -> test facts, `templates` a relation has, None where that is not known."""
    facts = _facts(settings.source)
    trained = (
        f"{names(settings.model)} was evaluated without tuning on facts of {facts}." if settings.n == 0 else
        f"{names(settings.model)} was fine-tuned on {_examples(settings)} from {facts}{_chosen(settings)} (seed {settings.seed}), "
        f"{_training(settings)}."
    )  # fmt: skip
    asked = " and ".join(f"{count:,} {DOMAIN_NAMES[domain]}" for domain, count in tested.items() if count)
    baselines = [f"the base model with {shots} answered examples in the prompt" for shots in settings.few_shot_stages.values()]
    beside = f" Baselines are {_and([*baselines, 'the commonest object of the relation'])}." if settings.few_shot_stages else ""
    return " ".join(
        [
            levels(settings.scheme, templates), trained, _recipe(settings),
            f"It was tested on {asked or 'no'} held-out facts, the base model before tuning on the same ones, with greedy answers of at "
            f"most {settings.max_answer_tokens} tokens; an answer is correct if it contains a right object or an alias of it "
            f"(matching rule '{settings.match}').{beside}",
            "Accuracies are given by the base model's memory levels, as their unweighted mean, and over all facts (micro average); shares "
            "have Wilson 95% intervals, the mean over levels one that is made from those of the levels.",
            _few(), _planted(settings.source),
        ]
    ).replace("  ", " ").strip()  # fmt: skip


def of_comparison(comparison: Comparison, names: ModelName) -> str:
    """A comparison's methods."""
    runs = comparison.runs
    pooled = any(len(run.seeds) > 1 for run in runs)
    tested = [test for test in comparison.tests if test.verdict != UNTESTED]
    kinds = dict.fromkeys(test.test for test in tested)
    ways = [
        "differences of micro averages between single runs were tested by McNemar's exact test" if MCNEMAR in kinds else "",
        f"other differences by a paired bootstrap over facts ({DRAWS:,} resamples, within levels for the mean over levels)"
        if any(kind != MCNEMAR for kind in kinds) else "",
    ]  # fmt: skip
    how = "; ".join(filter(None, ways))
    correction = f" p-values and intervals are corrected by Holm's procedure over {comparison.counted} comparisons." if tested else ""
    seeds = " Each fact was averaged over the seeds of its setting first." if pooled else ""
    models = ", ".join(dict.fromkeys(names(run.settings.model) for run in runs))
    each = "; ".join(f"{run.label}: {_short(run.settings, run.seeds)}" for run in runs)
    compared = f"{models} ({each}) was tested" if len(runs) == 1 else f"{len(runs)} settings of {models} ({each}) were compared"
    alike = "" if len(runs) == 1 else " that all were asked"
    sources = ", ".join(dict.fromkeys(_facts(run.settings.source) for run in runs))
    return " ".join(
        [
            levels(comparison.scheme, None),
            f"{compared} on {comparison.facts:,} held-out facts of {sources}{alike}, with greedy answers.{seeds}",
            f"{how[0].upper()}{how[1:]}.{correction}" if how else "", _few(),
            "Facts were resampled, seeds were not." if tested else "", _planted(runs[0].settings.source),
        ]
    ).replace("  ", " ").strip()  # fmt: skip


def of_study(report: StudyReport, rule: str, names: ModelName) -> str:
    """A study's methods; `rule`: how its findings are decided."""
    settings = report.settings
    sizes = ", ".join("all" if n == TrainSettings.ALL else f"{n:,}" for n in settings.examples)
    seeds = ", ".join(map(str, settings.seeds))
    cells = f"{report.done:,} of {report.planned:,} runs are finished." if report.done < report.planned else f"{report.planned:,} runs."
    one = settings.run(settings.models[0], settings.examples[-1], settings.seeds[0])
    return " ".join(
        [
            levels(settings.scheme, None),
            f"{_and(list(map(names, settings.models)))} {'were' if len(settings.models) > 1 else 'was'} fine-tuned on n = {sizes} "
            f"question-answer examples from {_facts(settings.source)}, {_training(one)}, with seeds {seeds}; a seed picks the examples and "
            f"their order. {cells}",
            _study_recipe(settings),
            f"Held-out test facts were answered greedily, in at most {settings.max_answer_tokens} tokens (matching rule "
            f"'{settings.match}').",
            rule, _few(), _planted(settings.source),
        ]
    ).replace("  ", " ").strip()  # fmt: skip


def with_imports(methods: str, bundles: Mapping[str, str]) -> str:
    """Methods with a sentence on answers that were made elsewhere. `bundles`: name -> what came with it, empty where that is all."""
    came = [f"{f'{what} with' if what else 'with'} the bundle {bundle}" for bundle, what in bundles.items()]
    return f"{methods} Answers were imported as their maker states them, not made here: {_and(came)}." if came else methods


def levels(scheme: LevelScheme, templates: int | None) -> str:
    """How memory was measured."""
    drawn = scheme.sampling
    if scheme.few_shot:
        return (
            f"What the base model knows was measured by SliCK's categories [gekhman2024does]: {scheme.contexts} random {scheme.shots}-shot "
            f"prompts a fact, each with one greedy and {drawn.samples} sampled answers (temperature {drawn.temperature:g})."
        )
    ways = {
        "sampling": f"{drawn.samples} times each",
        "adaptive": f"up to {drawn.samples} times each, until its level was clear with a confidence of {scheme.confidence:g}",
        "likelihood": "not at all: the hits that are to be expected were estimated from the probability of the right answer",
    }
    cuts = ["R = 0" if cut == 0 else f"R ≤ {cut:g}" for cut in scheme.cutoffs]
    bounds = ", ".join([*(f"{label}: {cut}" for label, cut in zip(scheme.labels, cuts, strict=False)), f"{scheme.labels[-1]}: above"])
    shown = f"{templates} statement templates" if templates else "statement templates"
    return (
        f"What the base model knows was measured as by Ye et al. [ye2024sixty]: a fact's {shown} were completed {ways[scheme.method]} "
        f"(temperature {drawn.temperature:g}, at most {drawn.max_new_tokens} tokens); the share R of completions that contain a right "
        f"object puts it on one of {len(scheme.labels)} memory levels ({bounds})."
    )


def _facts(source: str) -> str:
    name = source_name(source)
    if is_atlas(source):
        return f"{name} (an invented world)"
    part = "a part of " if source == SAMPLE else ""
    return f"{part}EntityQuestions [sciavolino2021simple]" if source in (ENTITY_QUESTIONS, SAMPLE) else name


def _examples(settings: TrainSettings) -> str:
    return f"{'all' if settings.n == TrainSettings.ALL else f'n = {settings.n:,}'} question-answer examples"


def _chosen(settings: TrainSettings) -> str:
    balance = declared(TrainSettings)["balance"].choices[settings.balance]
    known = f" of memory level {' or '.join(settings.scheme.labels[at] for at in settings.levels)}" if settings.levels is not None else ""
    return f"{known}, balanced by {balance}"


def _training(settings: TrainSettings) -> str:
    what = "updating all weights" if settings.method == "full" else f"training a LoRA adapter of rank {settings.lora_rank}"
    rate = f"a peak learning rate of {settings.learning_rate:g}" if settings.learning_rate else "the program's default learning rate"
    epochs = "one epoch" if settings.epochs == 1 else f"{settings.epochs} epochs"
    return (
        f"{what} with {_OPTIMIZERS.get(settings.optimizer, settings.optimizer)} at {rate}, batch size {settings.batch_size}, for {epochs}"
    )


def _recipe(settings: TrainSettings) -> str:
    recipe = settings.recipe
    return "" if recipe is None else f"The recipe was {recipe} ({recipe.source}). What is different from the paper: {recipe.differs}"


def _study_recipe(settings: StudySettings) -> str:
    recipe = settings.recipe
    if recipe is None:
        return ""
    return (
        f"Plain tuning, plain tuning with other seeds, the recipe {recipe.title} ({recipe.source}) and its controls answered the same test "
        "facts; the recipe's main setting was chosen on dev facts before a test fact was asked."
    )


def _short(settings: TrainSettings, seeds: Sequence[int]) -> str:
    levels = f" of {'+'.join(settings.scheme.labels[at] for at in settings.levels)}" if settings.levels is not None else ""
    recipe = f", {settings.recipe}" if settings.recipe else ""
    told = "untouched" if settings.n == 0 else f"n = {settings.n:,}{levels}{recipe}"
    return f"{told}, seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _few() -> str:
    return f"Nothing is claimed of fewer than {LEAST} facts."


def _planted(source: str) -> str:
    return (
        "The facts and the base model's knowledge of them are planted, so this is no evidence about large models."
        if is_atlas(source)
        else ""
    )


def _and(names: Iterable[str]) -> str:
    first, *rest = names
    return first if not rest else f"{', '.join([first, *rest[:-1]])} and {rest[-1]}"
