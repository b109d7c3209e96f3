"""Fine-tuning runs and what came out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from sftqa_core.jsonrecord import Record, at_least, at_most, later, one_of, shown, within
from sftqa_core.records.schemes import MAX_NEW_TOKENS, MAX_SEED, MOST_GPUS, LevelScheme, ProbeSettings, quantization_problems

SHARDINGS = ("ddp", "fsdp")
MAX_PROMPT = 10_000  # characters of a prompt's form
MAX_SHOTS = 100  # examples in front of a question
OPTIMIZERS = ("adamw", "adafactor", "sgd", "adamw_8bit")  # training/optimizers.py says what each is


@dataclass(frozen=True)
class PromptFormat(Record):
    """The question-answer form of training and test. Filled by literal replacement, never by str.format.

    As a chat, the prompt is what the user says and the answer what the model replies; the model's own template is put around both.
    """

    name: str = "qa"
    prompt: str = "Q: {question}\nA:"
    answer: str = " {answer}"  # what follows the prompt in training; the end token comes after it
    chat: bool = later(False)

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
}


def prompt_format(text: str) -> PromptFormat:
    """A prompt by its name, or as a text of one's own that holds {question}. Raises `SettingsError`."""
    return PROMPTS.get(text) or PromptFormat("own", text)


@dataclass(frozen=True)
class TrainSettings(Record):
    """One fine-tuning run and its evaluation, frozen when it starts."""

    ALL: ClassVar[int] = -1  # as n: every fact that the levels and relations allow

    model: str
    source: str = "atlas"
    n: int = 60
    levels: tuple[int, ...] | None = None  # train only on facts of these levels; None: whatever the source holds
    balance: str = "relation"  # equal counts per "relation", also per "level", or "matched": per topic what every level could give
    relations: tuple[str, ...] | None = None  # topics; None: the in-domain ones
    method: str = "full"  # full or lora
    learning_rate: float | None = None  # None: the default for this method and model size
    epochs: int = 1
    batch_size: int = 8
    lora_rank: int = 8
    prompt: PromptFormat = field(default_factory=PromptFormat)
    seed: int = 0
    test_limit: int | None = None  # test facts a relation; None: all of a small source, 100 of a large one
    scheme: LevelScheme = field(default_factory=LevelScheme)
    match: str = "tokens"
    max_answer_tokens: int = 16
    shots: int = 4  # examples in front of the few-shot base line's question
    device: str = "auto"
    save_model: bool = True  # keep the tuned weights or adapter in the run folder
    more_shots: tuple[int, ...] = later(())  # other numbers of examples that the base model is shown, each a base line of its own
    gpus: int = later(1)  # that train together; batch_size is that of all
    sharding: str = later("ddp")  # of several: each holds the whole model (ddp), or a part of it (fsdp)
    optimizer: str = later("adamw")  # one of OPTIMIZERS
    micro_batch: int | None = later(None)  # examples on the device at once; a step is made of batch_size examples all the same
    gradient_checkpointing: bool = later(False)  # activations are computed again where they are needed: less memory, more time
    eval_every: int | None = later(None)  # steps between two looks at dev facts; None: none
    eval_facts: int = later(200)  # dev facts that are looked at
    patience: int | None = later(None)  # looks without an improvement that end the training; None: never (METHOD 8.5)
    quantization: str = later("none")  # of the base model's weights while it is measured and tuned; with nf4 and lora this is QLoRA

    def problems(self) -> list[str]:
        wrong = [] if self.n == self.ALL else at_least("n", self.n, 0)
        wrong += within("epochs", self.epochs, 1, 10_000) + within("batch_size", self.batch_size, 1, 65_536)
        wrong += within("lora_rank", self.lora_rank, 1, 4_096) + at_least("test_limit", self.test_limit, 1)
        wrong += within("max_answer_tokens", self.max_answer_tokens, 1, MAX_NEW_TOKENS) + within("shots", self.shots, 0, MAX_SHOTS)
        wrong += within("seed", self.seed, 0, MAX_SEED) + shots_problems("more_shots", self.more_shots, self.shots)
        wrong += one_of("method", self.method, ("full", "lora")) + one_of("balance", self.balance, ("relation", "level", "matched"))
        wrong += one_of("match", self.match, ("tokens", "substring"))
        wrong += within("gpus", self.gpus, 1, MOST_GPUS) + one_of("sharding", self.sharding, SHARDINGS)
        if 1 < self.gpus <= MOST_GPUS and self.batch_size % self.gpus:
            wrong.append(f"batch_size must be a multiple of gpus, which share each batch, got {self.batch_size} for {self.gpus}.")
        wrong += one_of("optimizer", self.optimizer, OPTIMIZERS) + self._step_problems()
        wrong += quantization_problems(self.quantization, self.gpus)
        if self.quantization == "nf4" and self.method == "full":
            wrong.append("Weights in 4 bits (quantization nf4) can't be tuned themselves: choose method lora, or quantization none.")
        if self.learning_rate is not None and not 0 < self.learning_rate <= 1:
            wrong.append(f"learning_rate must be above 0 and at most 1, got {self.learning_rate}.")
        known = range(len(self.scheme.labels))
        if self.levels is not None and (not self.levels or any(level not in known for level in self.levels)):
            wrong.append(f"levels must be one or more of {', '.join(map(str, known))}, got {list(self.levels)}.")
        return wrong

    def _step_problems(self) -> list[str]:
        """How a step is made, and what is looked at between steps."""
        wrong = within("eval_every", self.eval_every, 1, 1_000_000) + within("eval_facts", self.eval_facts, 1, 100_000)
        wrong += within("patience", self.patience, 1, 10_000)
        if self.micro_batch is not None and (self.micro_batch < 1 or self.batch_size % self.micro_batch):
            wrong.append(f"micro_batch must divide batch_size ({self.batch_size}), got {self.micro_batch}.")
        if self.gpus > 1 and (self.micro_batch is not None or self.eval_every is not None):
            wrong.append(f"micro_batch and eval_every are for a training on one device, got {self.gpus} gpus.")
        if self.patience is not None and self.eval_every is None:
            wrong.append("patience counts looks at dev facts: give eval_every, the steps between two of them, too.")
        return wrong

    @property
    def few_shot_stages(self) -> dict[str, int]:
        """Stages in which the base model is shown answered examples -> how many; `shots` is the one called few_shot."""
        stages = {"few_shot": self.shots} if self.shots else {}
        return stages | {f"few_shot_{shots}": shots for shots in self.more_shots}


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
    shown: dict[str, float] | None = later(None)  # noqa: RUF009 - it is a field


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
