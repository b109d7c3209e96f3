"""Making a tiny model."""

from dataclasses import dataclass
from typing import Any

from sftqa_core.jsonrecord import Record, like, setting, within
from sftqa_core.records.probes import ProbeSettings
from sftqa_core.records.schemes import MAX_SEED

MAX_DOCUMENTS = 10_000_000
GOING_ON_RATE = 2e-4  # learning rate of a model that goes on from another
_SHARE: dict[str, Any] = {"low": 0, "high": 1}


@dataclass(frozen=True)
class CorpusSettings(Record):
    """How a pre-training corpus is written from facts with recorded exposures (METHOD section 6)."""

    seed: int = 0
    seen_templates: int = setting(14, low=1)  # how many of a relation's templates the corpus uses; the others stay unseen
    worn_share: float = setting(0.3, **_SHARE)  # mentions with half their wording lost or garbled: recall must not hang on exact words
    qa_documents: int = setting(
        10_000, low=0, high=MAX_DOCUMENTS, flag="--qa-documents", unit="documents", help="question documents in the corpus"
    )
    qa_list_share: float = setting(0.4, **_SHARE)  # QA documents that are lists of questions without answers
    qa_answered_share: float = setting(0.2, **_SHARE)  # of the other QA documents, those answered correctly; the rest get a junk reply
    filler_documents: int = setting(
        3_000, low=0, high=MAX_DOCUMENTS, flag="--filler-documents", unit="documents", help="documents in the corpus that state no fact"
    )
    exposure_scale: float = setting(1.0, low=0.01, high=100)  # times the recorded mentions; what was mentioned at all stays mentioned
    redealt_share: float = setting(0.0, **_SHARE)  # facts whose recorded mentions are dealt out anew among them: other facts are common
    contested_kept: float = setting(1.0, **_SHARE)  # contested facts whose rival is named here, too
    unstated_share: float = setting(
        0.0, later=True, label="Never stated", flag="--unstated-share", title="{value:.0%} of the facts never stated", **_SHARE,
        help="share of the facts without recorded exposures that the corpus never states",
    )  # fmt: skip
    contested_share: float = setting(
        0.0, later=True, label="Contested", flag="--contested-share", title="{value:.0%} of the facts contested", **_SHARE,
        help="share of the facts without recorded rivals that get one: another object of the relation, which a quarter to two thirds of "
        "their statements name",
    )  # fmt: skip

    def problems(self) -> list[str]:
        return within("corpus seed", self.seed, 0, MAX_SEED)


def _size(default: int, most: int, name: str, help: str = "", **more: Any) -> Any:
    """A number from 1 up to what is a slip of the keyboard beyond it."""
    return setting(default, **{"low": 1, "high": most, "flag": f"--{name}", "help": help or name.replace("-", " "), **more})


_OF_BASE = ("architecture", "hidden_size", "layers", "heads", "key_value_heads", "intermediate_size", "vocabulary")


@dataclass(frozen=True)
class PretrainSettings(Record):
    """One model that reads a text written from facts: a tiny one from scratch, or one that goes on from another (`base`)."""

    name: str = setting(flag="name", rank=0, help="name of the new model; a built-in model's name, or atlas-100m, takes its settings")
    source: str = setting(
        "atlas", flag="--source",
        help="atlas, atlas:8 (an invented world eight times as large; 2 to 16), entity-questions-sample, entity-questions, or a path",
    )  # fmt: skip
    architecture: str = setting("llama", flag="--architecture", choices={name: name for name in ("llama", "qwen2", "gpt_neox")})
    hidden_size: int = _size(192, 8_192, "hidden-size")
    layers: int = _size(4, 128, "layers")
    heads: int = _size(4, 128, "heads", "attention heads")
    key_value_heads: int | None = setting(
        None, flag="--key-value-heads", unset="as many as heads", help="fewer than heads: shared by several of them (not in gpt_neox)"
    )
    intermediate_size: int = _size(512, 32_768, "intermediate-size")
    vocabulary: int = setting(3_000, flag="--vocabulary", unit="tokens", help="tokens the tokenizer knows")
    sequence_length: int = _size(128, 8_192, "sequence-length", "tokens of a sequence", low=2, unit="tokens")
    batch_size: int = _size(8, 4_096, "batch-size", "sequences a step", unit="sequences")
    optimizer: str = setting(
        "muon", flag="--optimizer", choices={"muon": "Muon", "adamw": "AdamW"}, help="muon: for the layers' matrices, AdamW for the rest"
    )
    learning_rate: float = setting(8e-3, low=1e-9, high=1, flag="--lr", help="peak learning rate")
    warmup_steps: int = setting(50, low=0, flag="--warmup-steps", unit="steps", help="steps until the learning rate's peak")
    weight_decay: float = setting(0.05, **_SHARE)
    epochs: int = _size(1, 10_000, "epochs", "passes over the corpus")
    seed: int = setting(0, low=0, high=MAX_SEED, flag="--seed", help="of weights, corpus and batches")
    corpus: CorpusSettings = setting(make=CorpusSettings, title="own text settings")
    max_exposures: int = _size(100, 100_000, "max-exposures", "facts without recorded exposures are stated up to so often (log-uniform)")
    min_exposures: int = _size(4, 100_000, "min-exposures", "and at least so often, unless never (--unstated-share)", later=True)
    limit: int | None = like(ProbeSettings, "limit", help="train on at most this many facts, spread over relations")
    relations: tuple[str, ...] | None = setting(None, flag="--relations", unset="all", help="only these relations: P17,P19")
    device: str = like(ProbeSettings, "device")
    precision: str = setting(
        "auto", later=True, flag="--precision", choices={name: name for name in ("auto", "float32", "bfloat16")},
        help="of matrix products; auto: bfloat16 where the hardware has it",
    )  # fmt: skip
    compile: bool = setting(
        False, later=True, flag="--compile", help="compile the model first (torch.compile): minutes once, then faster steps; not tried on "
        "a GPU yet",
    )  # fmt: skip
    accumulate: int = _size(
        1, 4_096, "accumulate", "a batch goes through the model in so many parts: less memory, the same effective batch", unit="parts",
        later=True,
    )  # fmt: skip
    base: str | None = setting(
        None, flag="--from", unset="random weights", title="from {value}", later=True,
        help="go on from this model in place of a new tiny one: its architecture, tokenizer and weights",
    )  # fmt: skip
    base_levels: tuple[str, ...] | None = setting(
        None, flag="--from-levels", unset="all", title="of its levels {value}", later=True,
        help="state only facts that were probed on the model of --from and lie on these levels: L0 are those it does not know",
    )  # fmt: skip

    @classmethod
    def going_on(cls, name: str, base: str) -> "PretrainSettings":
        """Where nothing else is said: only statements, no questions and no filler, since such a model has read other text; AdamW at a
        rate that leaves what it knows in place."""
        corpus = CorpusSettings(qa_documents=0, filler_documents=0)
        return cls(name, base=base, optimizer="adamw", learning_rate=GOING_ON_RATE, weight_decay=0.0, corpus=corpus)

    def problems(self) -> list[str]:
        wrong = []
        own = [name for name in _OF_BASE if getattr(self, name) != getattr(type(self), name)]
        if self.base is not None and own:
            wrong.append(f"{' and '.join(own)} can't be set for a model that goes on from {self.base}: they are that model's.")
        if self.base is None and self.base_levels is not None:
            wrong.append("base_levels are levels of the model to go on from: name it (--from).")
        if self.heads >= 1 and self.hidden_size % self.heads:
            wrong.append(f"hidden_size must be a multiple of heads, got {self.hidden_size} and {self.heads}.")
        if self.accumulate >= 1 and self.batch_size % self.accumulate:
            wrong.append(f"batch_size must be a multiple of accumulate, got {self.batch_size} and {self.accumulate}.")
        shared = self.key_value_heads
        if shared is not None and (shared < 1 or self.heads % shared or self.architecture == "gpt_neox"):
            wrong.append(f"key_value_heads must divide heads, and gpt_neox has none, got {shared} for {self.heads} heads.")
        if not 300 <= self.vocabulary <= 200_000:
            wrong.append(f"vocabulary must be at least 300 (256 bytes and the special tokens), at most 200,000, got {self.vocabulary}.")
        return wrong


@dataclass(frozen=True)
class Spread:
    """How often a corpus states the facts that come without recorded mentions."""

    label: str
    unstated: float  # share of the facts that are never stated
    least: int  # times that each of the others is stated, at least and at most
    most: int


SPREADS = {
    "wide": Spread("12% never, others 1 to 64 times: all levels", 0.12, 1, 64),
    "often": Spread("each 16 to 64 times: most become well known", 0.0, 16, 64),
    "rarely": Spread("25% never, the others 1 to 8 times: few become known", 0.25, 1, 8),
}
