"""A question asked of models by hand, and what each of them says: `sftqa ask` and the Ask page."""

from dataclasses import dataclass

from sftqa_core.jsonrecord import Record, like, setting, within
from sftqa_core.records.schemes import SamplerSettings
from sftqa_core.records.tuning import PromptFormat, TrainSettings

ASKED = {"question": "question", "statement": "statement to complete"}  # how a text is put to a model
RUN = "run:"  # in front of a run's id: the tuned weights that it kept
MOST_TEXT = 10_000  # characters of a question or statement
MOST_ANSWERS = 40  # that are scored
MOST_ANSWER = 1_000  # characters of one
MOST_NEW_TOKENS = 128  # of an answer: every step comes with its most probable tokens
MOST_COLUMNS = 8  # models that are asked together
TOP = 10  # most probable tokens that are told of a step
QUESTION_TOKENS, STATEMENT_TOKENS = 16, SamplerSettings().max_new_tokens  # as runs are tested, and as a probe completes


@dataclass(frozen=True)
class Question(Record):
    """What is asked, and how much of each model's answer is wanted."""

    text: str = setting(label="Question", flag="question", help="a question, or with --statement a text that ends where the answer follows")
    kind: str = setting("question", label="Asked as", choices=ASKED)
    right: tuple[str, ...] = ()  # answers known to be right; they are scored, too
    answers: tuple[str, ...] = setting((), label="Answers to score")  # others whose probability is wanted
    samples: int = setting(10, low=1, high=100, label="Samples", flag="--samples", help="answers drawn at random, beside the greedy one")
    temperature: float = like(SamplerSettings, "temperature", label="Temperature", help="of the samples")
    max_new_tokens: int | None = setting(
        None, low=1, high=MOST_NEW_TOKENS, label="New tokens", flag="--max-new-tokens", unit="tokens", help="an answer ends here",
        unset=f"as many as the run allows for an answer, else {QUESTION_TOKENS}; {STATEMENT_TOKENS} after a statement",
    )  # fmt: skip
    seed: int = like(SamplerSettings, "seed", label="Seed", help="of the samples")
    prompt: PromptFormat | None = setting(
        None, label="Prompt", flag="--prompt",
        help="how a question is put: qa, plain, chat, paper, or your own text with {question} (default: as the run was trained, else qa)",
    )  # fmt: skip

    def problems(self) -> list[str]:
        wrong = []
        if not self.text.strip():
            wrong.append(f"There is no {self.kind} yet. Write one.")
        if len(self.text) > MOST_TEXT:
            wrong.append(f"A {self.kind} may have {MOST_TEXT:,} characters, got {len(self.text):,}.")
        if len(self.scored) > MOST_ANSWERS:
            wrong.append(f"At most {MOST_ANSWERS} answers can be scored at once, got {len(self.scored)}.")
        sizes = {len(answer) if answer.strip() else 0 for answer in self.scored}
        wrong += [problem for size in sorted(sizes) for problem in within("The characters of an answer to score", size, 1, MOST_ANSWER)]
        return wrong

    @property
    def scored(self) -> tuple[str, ...]:
        """Every answer whose probability is wanted, each once, the right ones first."""
        return tuple(dict.fromkeys((*self.right, *self.answers)))


@dataclass(frozen=True)
class Column(Record):
    """One model that a question is put to, and exactly how: what a reply depends on, so its fingerprint names the reply."""

    model: str  # a model's name, or RUN and a run's id
    question: Question  # with its prompt and its number of new tokens
    files: str  # changes with the model's files, or its base model's
    quantization: str = "none"  # of the weights while they answer (models/quantising.py)
    base: str | None = None  # of a run: the model that was tuned


@dataclass(frozen=True)
class Candidate(Record):
    """A token that might have come."""

    text: str
    probability: float


@dataclass(frozen=True)
class Step(Record):
    """One token of the greedy answer."""

    text: str  # of the token; empty for one that ends the answer
    probability: float
    top: tuple[Candidate, ...]  # the TOP most probable tokens at this place, the most probable first


@dataclass(frozen=True)
class Sampled(Record):
    """One distinct text among the samples."""

    text: str
    count: int
    right: bool | None = None  # None where no right answer is known


@dataclass(frozen=True)
class Scored(Record):
    """How probable one answer's text is as the continuation of the prompt."""

    answer: str
    logprob: float  # natural logarithm, summed over the answer's tokens
    tokens: int
    end_logprob: float  # of an end token right behind it
    right: bool = False  # whether it is one of those known to be right

    @property
    def mean_logprob(self) -> float:
        """Per token."""
        return self.logprob / self.tokens


@dataclass(frozen=True)
class Warm(Record):
    """A model that stays loaded for the next question."""

    name: str
    size_bytes: int  # of its weights
    device: str


@dataclass(frozen=True)
class Reply(Record):
    """What one model says to a question, and which weights said it."""

    model: str
    prompt: str  # what the model read, its special tokens included
    prompt_tokens: int
    answer: str  # greedy, without the end token
    ended: bool  # False: it was cut off at the limit of new tokens
    right: bool | None  # whether the answer holds a right one; None where none is known
    steps: tuple[Step, ...]  # of the greedy answer, the end token included
    samples: tuple[Sampled, ...]  # the most frequent first
    scored: tuple[Scored, ...]
    weights: str  # the fingerprint of what answered: whole weights, or the base model's under an adapter
    adapter: str | None
    dtype: str
    device: str
    loading_s: float = 0.0  # 0: it was loaded before
    answering_s: float = 0.0


def new_tokens(question: Question, tuned: TrainSettings | None) -> int:
    """How long an answer may get: as told, else as in the run's own tests, else as runs are tested or probes complete by default."""
    if question.max_new_tokens is not None:
        return question.max_new_tokens
    if question.kind == "statement":
        return STATEMENT_TOKENS
    return min(tuned.max_answer_tokens if tuned else QUESTION_TOKENS, MOST_NEW_TOKENS)
