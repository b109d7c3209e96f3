"""Fine-tuning runs and what came out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sftqa_core.jsonrecord import Keys, Record, at_most, like, setting, shown, within
from sftqa_core.records.probes import MOST_GPUS, ProbeSettings, quantization_problems
from sftqa_core.records.recipes import PLAIN, Recipe
from sftqa_core.records.recipes.recipe_base import ALL, MOST_EPOCHS
from sftqa_core.records.schemes import MAX_NEW_TOKENS, MAX_SEED, LevelScheme

MAX_PROMPT = 10_000  # characters of a prompt's form
MAX_SHOTS = 100  # examples in front of a question
_TUNED = Keys.TRAINING | Keys.ANSWERS
_GIVEN = Keys.OTHERWISE | Keys.ANSWERS


@dataclass(frozen=True)
class PromptFormat(Record):
    """The question-answer form of training and test. Filled by literal replacement, never by str.format.

    As a chat, the prompt is what the user says and the answer what the model replies; the model's own template is put around both.
    """

    name: str = "qa"
    prompt: str = "Q: {question}\nA:"
    answer: str = " {answer}"  # what follows the prompt in training; the end token comes after it
    chat: bool = setting(False, later=True)

    def problems(self) -> list[str]:
        wrong = at_most("The prompt", self.prompt, MAX_PROMPT) + at_most("The answer form", self.answer, MAX_PROMPT)
        if self.prompt.count("{question}") != 1:
            wrong.append(f"The prompt must hold {{question}} exactly once, got {shown(self.prompt)}.")
        if self.answer.count("{answer}") != 1:
            wrong.append(f"The answer form must hold {{answer}} exactly once, got {shown(self.answer)}.")
        if self.chat and (self.prompt != self.prompt.strip() or self.answer != self.answer.strip()):
            said = f"{shown(self.prompt)} and {shown(self.answer)}"
            wrong.append(f"In a chat the prompt and the answer form can't begin or end with a blank or a line break, got {said}.")
        return wrong


PROMPTS = {  # the ones with a name: for pages, commands and YAML files
    "qa": PromptFormat(),
    "plain": PromptFormat("plain", "Question: {question}\nAnswer:"),
    "chat": PromptFormat("chat", "{question}", "{answer}", chat=True),
    # METHOD section 9: the markers are plain text, no added tokens
    "paper": PromptFormat("paper", "<|question|> {question} <|answer|>", " {answer} "),
}


def prompt_format(text: str) -> PromptFormat:
    """A prompt by its name, or from a text that holds {question}. Raises `SettingsError`."""
    return PROMPTS.get(text) or PromptFormat("own", text)


@dataclass(frozen=True)
class TrainSettings(Record):
    """One fine-tuning run and its evaluation, frozen when it starts."""

    ALL: ClassVar[int] = ALL  # as n: every fact that the levels and relations allow

    model: str = like(ProbeSettings, "model", keys=Keys.OTHERWISE)
    source: str = like(ProbeSettings, "source", keys=Keys.OTHERWISE)
    n: int = setting(
        60, label="Examples (n)", flag="--n", rank=0, low=0, named={"all": ALL}, unit="examples", keys=_GIVEN,
        help="examples to train on, or all that the levels and relations allow",
    )  # fmt: skip
    levels: tuple[int, ...] | None = setting(
        None, label="Memory levels to train on", flag="--levels", unset="any level", keys=_GIVEN,
        help="only facts at these levels are used as examples: 0,1,2. Where levels are not known yet, facts are probed until there are "
        "enough",
    )  # fmt: skip
    balance: str = setting(
        "relation", label="Balance", flag="--balance", title="balanced by {value}", keys=_GIVEN,
        choices={"relation": "relation", "level": "relation and level", "matched": "relations that every level has"},
        help="equally many examples of every relation; with level, of every level too; with matched, only as many of a relation as every "
        "level has",
    )  # fmt: skip
    relations: tuple[str, ...] | None = setting(
        None, label="Relations", flag="--relations", unset="the in-domain ones", keys=_GIVEN, help="relations to train on: P17,P19"
    )
    method: str = setting(
        "full", label="Method", flag="--method", rank=0, choices={"full": "all weights", "lora": "LoRA"}, title="{value}", keys=_TUNED,
        help="LoRA trains a small addition and leaves the model's own weights as they are",
    )  # fmt: skip
    learning_rate: float | None = setting(
        None, label="Learning rate", flag="--lr", unset="by method and model size", title="learning rate {value:g}", keys=_GIVEN,
        help="peak of the learning rate",
    )  # fmt: skip
    epochs: int = setting(
        1,
        label="Epochs",
        flag="--epochs",
        low=1,
        high=MOST_EPOCHS,
        title="{value} epochs",
        keys=_TUNED,
        help="how often each example is seen",
    )
    batch_size: int = setting(
        8, label="Batch size", flag="--batch", low=1, high=65_536, unit="examples", keys=_TUNED, help="examples a step"
    )
    lora_rank: int = setting(
        8, label="LoRA rank", flag="--lora-rank", low=1, high=4_096, title="LoRA rank {value}", under="method", keys=_TUNED,
        help="a higher rank is a larger addition",
    )  # fmt: skip
    prompt: PromptFormat = setting(
        make=PromptFormat, label="Prompt", flag="--prompt", keys=_GIVEN | Keys.ASKING,
        help="how a question is asked, in training and at test: qa, plain, chat (the model's own chat template), paper (its markers as "
        "text), or your own text with {question}",
    )  # fmt: skip
    seed: int = setting(
        0, label="Seed", flag="--seed", rank=2, low=0, high=MAX_SEED, keys=_TUNED,
        help="another seed picks other examples, in another order",
    )  # fmt: skip
    test_limit: int | None = setting(
        None, label="Test facts per relation", flag="--test-limit", low=1, unit="facts", title="{value:,} test facts per relation",
        unset="all of a small source, 100 of a large one", keys=Keys.NONE, help="test facts per relation",
    )  # fmt: skip
    scheme: LevelScheme = setting(make=LevelScheme, label="Level scheme", keys=_GIVEN)
    match: str = like(ProbeSettings, "match", keys=Keys.ANSWERS | Keys.ASKING)
    max_answer_tokens: int = setting(
        16, label="Answer length", flag="--max-answer-tokens", low=1, high=MAX_NEW_TOKENS, unit="tokens", keys=Keys.ANSWERS | Keys.ASKING,
        title="answers of at most {value} tokens", help="an answer ends after so many tokens",
    )  # fmt: skip
    shots: int = setting(
        4, label="k-shot examples", flag="--shots", low=0, high=MAX_SHOTS, unit="k", keys=Keys.NONE,
        help="the k-shot baseline: the base model with k answered questions in front of each question. 0: none. Several, such as 0,1,4,16, "
        "make several baselines; each takes about as long as reading that many more questions",
    )  # fmt: skip
    device: str = like(ProbeSettings, "device", keys=Keys.OTHERWISE)
    save_model: bool = setting(
        True, label="Keep the tuned weights", flag="--save-model", title="", keys=Keys.NONE,
        help="keep the tuned weights, or the adapter, in the run's folder",
    )  # fmt: skip
    more_shots: tuple[int, ...] = setting(
        (), label="Additional shot counts", flag="--more-shots", low=1, high=MAX_SHOTS, keys=Keys.NONE, later=True,
        help="more k-shot baselines: 1,16",
    )  # fmt: skip
    gpus: int = setting(
        1, label="GPUs", flag="--gpus", low=1, high=MOST_GPUS, title="{value} GPUs", keys=Keys.TRAINING | Keys.IF_SET, later=True,
        help="GPUs that train together and share each batch: the batch size must be a multiple. The result is that of one GPU. Not yet "
        "tried on real GPUs",
    )  # fmt: skip
    sharding: str = setting(
        "ddp", label="Sharding (DDP/FSDP)", flag="--sharding", title="sharded by {value}", under="gpus",
        choices={"ddp": "whole model on each GPU (DDP)", "fsdp": "part of the model on each (FSDP)"},
        keys=Keys.TRAINING | Keys.IF_SET, later=True,
        help="with several GPUs: ddp is faster; fsdp is for a model that does not fit one GPU",
    )  # fmt: skip
    optimizer: str = setting(
        "adamw", label="Optimizer", flag="--optimizer", title="{value}", keys=_TUNED, later=True,
        choices={"adamw": "AdamW", "adafactor": "Adafactor", "sgd": "SGD", "adamw_8bit": "AdamW in 8 bits (unverified)"},
        help="optimizer state per weight: AdamW two numbers, Adafactor next to none, SGD none. adamw_8bit needs "
        "bitsandbytes and a GPU",
    )  # fmt: skip
    micro_batch: int | None = setting(
        None, label="Micro-batch size", flag="--micro-batch", low=1, high=65_536, unset="the whole batch", unit="examples",
        title="micro-batches of {value}", keys=Keys.TRAINING, later=True,
        help="examples on the device at once; must divide the batch size. A step is still made of the whole batch",
    )  # fmt: skip
    gradient_checkpointing: bool = setting(
        False, label="Gradient checkpointing", flag="--gradient-checkpointing", title="gradient checkpointing", keys=Keys.TRAINING,
        later=True, help="compute activations twice instead of keeping them: less memory, about a third more time, the same numbers",
    )  # fmt: skip
    eval_every: int | None = setting(
        None, label="Evaluate every N steps", flag="--eval-every", low=1, high=1_000_000, unset="never", unit="steps",
        title="evaluated every {value:,} steps", keys=Keys.TRAINING, later=True,
        help="count correct answers to dev facts every N steps. Test facts are used at the end only",
    )  # fmt: skip
    eval_facts: int = setting(
        200, label="Dev facts", flag="--eval-facts", low=1, high=100_000, unit="facts", title="{value:,} dev facts", under="eval_every",
        keys=Keys.TRAINING, later=True, help="dev facts in each evaluation",
    )  # fmt: skip
    patience: int | None = setting(
        None, label="Patience (evaluations)", flag="--patience", low=1, high=10_000, unset="train to the last step", unit="evaluations",
        title="patience {value}", under="eval_every", keys=_TUNED, later=True,
        help="stop after this many evaluations without an improvement, and keep the best evaluation's weights",
    )  # fmt: skip
    quantization: str = like(
        ProbeSettings, "quantization", under="method", keys=Keys.OTHERWISE,
        help="nf4 holds the base model's weights in 4 bits while it is measured and tuned (with LoRA this is QLoRA): about a quarter of "
        "the memory. Its levels are measured separately. Needs bitsandbytes; not yet tried on a GPU",
    )  # fmt: skip
    dropout: float | None = setting(
        None, label="Dropout", flag="--dropout", low=0, high=0.9, unset="as the model has it", title="dropout {value:g}",
        keys=_TUNED | Keys.IF_SET, later=True,
        help="dropout of the model's own layers (in Llama and Qwen2 that is attention's) while it is tuned. Micro-batches and several GPUs "
        "draw other masks than one batch on one device",
    )  # fmt: skip
    dropout_from: float = setting(
        0.0, label="Dropout from", flag="--dropout-from", low=0, high=1, title="from {value:.0%} of the steps", under="dropout",
        keys=_TUNED | Keys.IF_SET, later=True, help="share of the steps after which this dropout applies; before, the model's own does",
    )  # fmt: skip
    lora_dropout: float = setting(
        0.0, label="LoRA dropout", flag="--lora-dropout", low=0, high=0.9, title="LoRA dropout {value:g}", under="method",
        keys=_TUNED | Keys.IF_SET, later=True, help="dropout in front of LoRA's matrices",
    )  # fmt: skip
    lora_dropout_from: float = setting(
        0.0, label="LoRA dropout from", flag="--lora-dropout-from", low=0, high=1, title="from {value:.0%} of the steps",
        under="lora_dropout", keys=_TUNED | Keys.IF_SET, later=True,
        help="share of the steps after which LoRA's dropout applies; before, it is 0",
    )  # fmt: skip
    time_limit_min: int | None = setting(
        None, label="Time limit", flag="--time-limit", low=1, high=100_000, unset="train to the last step", unit="minutes",
        title="time limit {value:,} min", keys=Keys.ANSWERS, later=True,
        help="minutes after which training stops at the end of a step; the weights so far are kept and evaluated. Levels and answers of "
        "the base model count, waiting for the device and evaluating afterwards do not. How far it gets depends on the machine",
    )  # fmt: skip
    recipe: Recipe | None = setting(
        None, label="Recipe", flag="--recipe", unset=PLAIN, title="{value}", keys=_TUNED | Keys.IF_SET, later=True,
        help="another way of tuning than one plain training, each from a paper and shown beside its control",
    )  # fmt: skip

    def problems(self) -> list[str]:
        wrong = shots_problems("more_shots", self.more_shots, self.shots) + self._step_problems()
        if 1 < self.gpus <= MOST_GPUS and self.batch_size % self.gpus:
            wrong.append(f"batch_size must be a multiple of gpus, which share each batch, got {self.batch_size} for {self.gpus}.")
        wrong += quantization_problems(self.quantization, self.gpus)
        if self.quantization == "nf4" and self.method == "full":
            wrong.append("Weights in 4 bits (quantization nf4) can't be tuned themselves: choose method lora, or quantization none.")
        if self.learning_rate is not None and not 0 < self.learning_rate <= 1:
            wrong.append(f"learning_rate must be above 0 and at most 1, got {self.learning_rate}.")
        allowed = range(len(self.scheme.labels))
        if self.levels is not None and (not self.levels or any(level not in allowed for level in self.levels)):
            wrong.append(f"levels must be one or more of {', '.join(map(str, allowed))}, got {list(self.levels)}.")
        return wrong + (self.recipe.refusals(self) if self.recipe else [])

    def _step_problems(self) -> list[str]:
        """How a step is made, and evaluations between steps."""
        wrong = []
        if self.micro_batch is not None and self.micro_batch > 0 and self.batch_size % self.micro_batch:
            wrong.append(f"micro_batch must divide batch_size ({self.batch_size}), got {self.micro_batch}.")
        if self.gpus > 1 and (self.micro_batch is not None or self.eval_every is not None):
            wrong.append(f"micro_batch and eval_every are for a training on one device, got {self.gpus} gpus.")
        if self.gpus > 1 and self.time_limit_min is not None:
            wrong.append(f"time_limit_min is for a training on one device, got {self.gpus} gpus.")
        if self.patience is not None and self.eval_every is None:
            wrong.append("patience counts evaluations: also give eval_every, the steps between two of them.")
        return wrong

    @property
    def few_shot_stages(self) -> dict[str, int]:
        """Stages in which the base model is shown answered examples -> how many; `shots` is the one called few_shot."""
        stages = {"few_shot": self.shots} if self.shots else {}
        return stages | {f"few_shot_{shots}": shots for shots in self.more_shots}


def minutes(count: int) -> str:
    """A time limit in words: "1 minute", "90 minutes"."""
    return f"{count:,} minute{'' if count == 1 else 's'}"


def cut_words(training: Any, limit_min: int | None) -> str:
    """ "stopped after 12 of 40 steps by its time limit of 5 minutes", from what a run's manifest says of its training; empty where no limit
    ended it."""
    if limit_min is None or not isinstance(training, Mapping) or training.get("cut") is not True:
        return ""
    return f"stopped after {training.get('steps')} of {training.get('planned_steps')} steps by its time limit of {minutes(limit_min)}"


def shots_problems(name: str, shots: tuple[int, ...], but: int = 0) -> list[str]:
    """For `problems`: sentences about numbers of examples that stand beside the number `but`."""
    wrong = [problem for count in shots for problem in within(name, count, 1, MAX_SHOTS)]
    if list(shots) != sorted({*shots} - {but}):
        wrong.append(f"{name} must be in ascending order, each once and none of them {but}, got {list(shots)}.")
    return wrong


@dataclass(frozen=True)
class LevelAccuracy(Record):
    """Accuracy on the test facts of one level."""

    level: str
    n: int
    correct: int
    accuracy: float | None  # None when no fact has this level
    low: float | None  # Wilson 95%
    high: float | None


@dataclass(frozen=True)
class DomainAccuracy(Record):
    """Accuracy on one domain's test facts: per level, their unweighted mean, and as they come."""

    per_level: tuple[LevelAccuracy, ...]
    macro: float | None  # mean over levels; None when a level is missing (METHOD 8.11)
    macro_low: float | None  # 95%, from the levels' Wilson intervals (evaluation/intervals.py)
    macro_high: float | None
    macro_levels: tuple[str, ...]  # the levels that hold facts
    natural: float | None
    natural_low: float | None  # Wilson 95%
    natural_high: float | None
    natural_n: int


@dataclass(frozen=True)
class RunSummary(Record):
    """A finished run's headline: `sftqa train --json` prints it, Results draws it."""

    run: str
    n: int  # examples really trained on
    before: dict[str, DomainAccuracy]  # domain -> base model, the same prompt without examples
    after: dict[str, DomainAccuracy]
    baselines: dict[str, dict[str, DomainAccuracy]]  # "few_shot", "few_shot_16", "majority" -> domain -> accuracy
    seconds: dict[str, float]  # "train", "eval", and others that were needed
    without_echo: dict[str, dict[str, DomainAccuracy]] = field(default_factory=dict)  # stage -> domain -> accuracy
    # few-shot stage -> examples that fitted, on average, where not all did
    shown: dict[str, float] | None = setting(None, later=True)


def parts_of(settings: TrainSettings) -> int:
    """GPUs that a run's model is spread over where it answers: one is enough where each of them trains on the whole of it."""
    return settings.gpus if settings.sharding == "fsdp" else 1


def probe_settings(settings: TrainSettings) -> ProbeSettings:
    """How a run's levels are measured."""
    return ProbeSettings(
        model=settings.model,
        source=settings.source,
        split="all",
        scheme=settings.scheme,
        match=settings.match,
        device=settings.device,
        gpus=parts_of(settings),
        quantization=settings.quantization,
    )
