"""The vocabulary: every record that crosses a border between parts of the program.

Settings say what to do, results say what came out; both are frozen and both become JSON. Per-fact data is not
here: it travels as tables whose columns are documented in knowledge/facts.py, memory/tables.py and
evaluation/predictions.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from sftqa_core.jsonrecord import Record, at_least, one_of, within

SPLITS = ("train", "dev", "test")
DOMAINS = ("in", "out")
MAX_SEED = 2**32 - 1  # what numpy and torch take


# --- how memory is measured ---------------------------------------------------------------------------


@dataclass(frozen=True)
class SamplerSettings(Record):
    """How completions are drawn (METHOD section 1; defaults are the paper's)."""

    samples: int = 10  # completions per template
    temperature: float = 0.7
    max_new_tokens: int = 32
    seed: int = 0
    sampler: str = "shared"  # which implementation of memory.sampling.Sampler drew them

    def problems(self) -> list[str]:
        wrong = within("samples", self.samples, 1, 1000) + within("temperature", self.temperature, 0.01, 10)
        return wrong + within("max_new_tokens", self.max_new_tokens, 1, 512) + within("seed", self.seed, 0, MAX_SEED)


@dataclass(frozen=True)
class LevelScheme(Record):
    """How a memory score R in [0, 1] becomes a level. Nobody else knows how many levels there are."""

    name: str = "paper-5"
    labels: tuple[str, ...] = ("L0", "L1", "L2", "L3", "L4")
    cutoffs: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75)  # level i holds cutoffs[i-1] < R <= cutoffs[i]; the last goes to 1
    prompts: str = "statements"  # which prompts are completed
    sampling: SamplerSettings = field(default_factory=SamplerSettings)

    def problems(self) -> list[str]:
        wrong = []
        if len(self.labels) < 2 or len(set(self.labels)) != len(self.labels):
            wrong.append(f"A level scheme needs two or more different labels, got {list(self.labels)}.")
        if len(self.cutoffs) != len(self.labels) - 1:
            wrong.append(f"{len(self.labels)} levels need {len(self.labels) - 1} cut-offs, got {len(self.cutoffs)}.")
        if any(not 0 <= c < 1 for c in self.cutoffs) or list(self.cutoffs) != sorted(set(self.cutoffs)):
            wrong.append(f"Cut-offs must rise within [0, 1), got {list(self.cutoffs)}.")
        return wrong


@dataclass(frozen=True)
class ProbeSettings(Record):
    """One probing job: which model, which facts, how."""

    model: str
    source: str = "atlas"
    split: str = "test"  # train, dev, test or all
    domain: str = "all"  # in, out or all
    limit: int | None = None  # at most this many facts, in seeded random order, spread over relations
    scheme: LevelScheme = field(default_factory=LevelScheme)
    match: str = "tokens"  # how an answer is found in a completion: whole tokens, or the paper's substring
    device: str = "auto"
    batch_size: int = 64  # prompts a batch
    facts_seed: int = 0  # order in which facts are taken when there is a limit

    def problems(self) -> list[str]:
        wrong = one_of("split", self.split, (*SPLITS, "all")) + one_of("domain", self.domain, (*DOMAINS, "all"))
        wrong += one_of("match", self.match, ("tokens", "substring"))
        wrong += at_least("limit", self.limit, 1) + at_least("batch_size", self.batch_size, 1)
        return wrong


# --- models and facts -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelCard(Record):
    """What is known of a model without loading it."""

    name: str  # what a person types to pick it
    kind: str  # "built-in" (shipped), "pretrained" (made here), "folder" or "hub"
    path: str | None  # its folder, when its files are on this machine
    available: bool  # can be loaded now, without the network
    architecture: str | None = None
    parameters: int | None = None
    weights_sha256: str | None = None
    revision: str | None = None  # the hub's commit; empty when it could not be looked up
    note: str = ""  # one sentence for people
    details: dict[str, Any] = field(default_factory=dict)  # a built-in model's manifest


@dataclass(frozen=True)
class SourceReport(Record):
    """What a fact source holds; `sftqa facts --json` prints it."""

    source: str
    facts: int  # rows of the fact table
    relations: dict[str, dict[str, int]]  # relation -> split -> rows in the files (for atlas: facts)
    unparsed: int  # rows whose question did not fit the relation's form
    unique: int  # distinct (relation, subject) keys
    merged: int  # rows that joined another row of the same key
    excluded_from_train: int  # train rows whose key or question stands in dev or test
    echo: int  # facts with an answer inside the subject's own text


# --- fine-tuning -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PromptFormat(Record):
    """The question-answer form of training and test. Filled by literal replacement, never by str.format."""

    name: str = "qa"
    prompt: str = "Q: {question}\nA:"
    answer: str = " {answer}"  # what follows the prompt in training; the end token comes after it

    def problems(self) -> list[str]:
        wrong = []
        if self.prompt.count("{question}") != 1:
            wrong.append(f"The prompt must hold {{question}} exactly once, got {self.prompt!r}.")
        if self.answer.count("{answer}") != 1:
            wrong.append(f"The answer form must hold {{answer}} exactly once, got {self.answer!r}.")
        return wrong


@dataclass(frozen=True)
class TrainSettings(Record):
    """One fine-tuning run and its evaluation, frozen when it starts."""

    ALL: ClassVar[int] = -1  # as n: every fact that the levels and relations allow

    model: str
    source: str = "atlas"
    n: int = 60
    levels: tuple[int, ...] | None = None  # train only on facts of these levels; None: whatever the source holds
    balance: str = "relation"  # "relation": equal counts per topic; "level": equal counts per level too
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

    def problems(self) -> list[str]:
        wrong = [] if self.n == self.ALL else at_least("n", self.n, 0)
        wrong += at_least("epochs", self.epochs, 1) + at_least("batch_size", self.batch_size, 1)
        wrong += at_least("lora_rank", self.lora_rank, 1) + at_least("test_limit", self.test_limit, 1)
        wrong += at_least("max_answer_tokens", self.max_answer_tokens, 1) + at_least("shots", self.shots, 0)
        wrong += within("seed", self.seed, 0, MAX_SEED)
        wrong += one_of("method", self.method, ("full", "lora")) + one_of("balance", self.balance, ("relation", "level"))
        wrong += one_of("match", self.match, ("tokens", "substring"))
        if self.learning_rate is not None and not 0 < self.learning_rate <= 1:
            wrong.append(f"learning_rate must be above 0 and at most 1, got {self.learning_rate}.")
        known = range(len(self.scheme.labels))
        if self.levels is not None and (not self.levels or any(level not in known for level in self.levels)):
            wrong.append(f"levels must be one or more of {', '.join(map(str, known))}, got {list(self.levels)}.")
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
    macro_low: float | None  # 95%, from the levels' Wilson intervals (evaluation/accuracy.py)
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
    baselines: dict[str, dict[str, DomainAccuracy]]  # "few_shot", "majority" -> domain -> accuracy
    seconds: dict[str, float]  # "train", "eval", and others that were needed
    without_echo: dict[str, dict[str, DomainAccuracy]] = field(default_factory=dict)  # stage -> domain -> accuracy


# --- making a tiny model ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class CorpusSettings(Record):
    """How a pre-training corpus is written from facts with recorded exposures (METHOD section 6)."""

    seed: int = 0
    seen_templates: int = 14  # how many of a relation's templates the corpus uses; the others stay unseen
    worn_share: float = 0.3  # mentions with half their wording lost or garbled: recall must not hang on exact words
    qa_documents: int = 10_000
    qa_list_share: float = 0.4  # QA documents that are lists of questions without answers
    qa_answered_share: float = 0.2  # of the other QA documents, those answered rightly; the rest get a junk reply
    filler_documents: int = 3_000

    def problems(self) -> list[str]:
        wrong = within("corpus seed", self.seed, 0, MAX_SEED) + at_least("seen_templates", self.seen_templates, 1)
        for name in ("worn_share", "qa_list_share", "qa_answered_share"):
            wrong += within(name, getattr(self, name), 0, 1)
        return wrong + at_least("qa_documents", self.qa_documents, 0) + at_least("filler_documents", self.filler_documents, 0)


@dataclass(frozen=True)
class PretrainSettings(Record):
    """One tiny model, from nothing."""

    name: str
    source: str = "atlas"
    architecture: str = "llama"  # llama, qwen2 or gpt_neox
    hidden_size: int = 192
    layers: int = 4
    heads: int = 4
    intermediate_size: int = 512
    vocabulary: int = 3_000
    sequence_length: int = 128
    batch_size: int = 8
    optimizer: str = "muon"  # muon (for the layers' matrices, AdamW for the rest) or adamw
    learning_rate: float = 8e-3
    warmup_steps: int = 50
    weight_decay: float = 0.05
    epochs: int = 1
    seed: int = 0
    corpus: CorpusSettings = field(default_factory=CorpusSettings)
    max_exposures: int = 100  # for facts without recorded exposures: drawn log-uniform up to this many
    limit: int | None = None  # at most this many facts of the source, spread over relations
    relations: tuple[str, ...] | None = None  # only facts of these relations; None: all
    device: str = "auto"

    def problems(self) -> list[str]:
        wrong = one_of("architecture", self.architecture, ("llama", "qwen2", "gpt_neox"))
        wrong += one_of("optimizer", self.optimizer, ("muon", "adamw")) + within("seed", self.seed, 0, MAX_SEED)
        wrong += within("learning_rate", self.learning_rate, 1e-9, 1) + within("weight_decay", self.weight_decay, 0, 1)
        for name in ("hidden_size", "layers", "heads", "intermediate_size", "batch_size", "epochs", "limit", "max_exposures"):
            wrong += at_least(name, getattr(self, name), 1)
        wrong += at_least("sequence_length", self.sequence_length, 2) + at_least("warmup_steps", self.warmup_steps, 0)
        if self.heads >= 1 and self.hidden_size % self.heads:
            wrong.append(f"hidden_size must be a multiple of heads, got {self.hidden_size} and {self.heads}.")
        if self.vocabulary < 300:
            wrong.append(f"vocabulary must be at least 300 (256 bytes and the special tokens), got {self.vocabulary}.")
        return wrong


# --- work in the background -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job(Record):
    """One row of the queue. Progress and log are files in `folder`, not here."""

    id: str
    kind: str  # probe, train or pretrain
    settings: dict[str, Any]  # the settings record as JSON, frozen at submission
    state: str  # queued, running, stopping, done, failed or cancelled
    created: str  # ISO 8601, UTC
    started: str | None = None
    finished: str | None = None
    folder: str = ""
    result: str | None = None  # run id, artefact or model name
    error: str | None = None  # one sentence for people
