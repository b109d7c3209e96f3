"""Making a tiny model."""

from __future__ import annotations

from dataclasses import dataclass, field

from sftqa_core.jsonrecord import Record, at_least, later, one_of, within
from sftqa_core.records.schemes import MAX_SEED

MAX_DOCUMENTS = 10_000_000
_MOST = {  # beyond it a setting is a slip of the keyboard
    "hidden_size": 8_192,
    "layers": 128,
    "heads": 128,
    "intermediate_size": 32_768,
    "batch_size": 4_096,
    "epochs": 10_000,
    "max_exposures": 100_000,
    "accumulate": 4_096,
}


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
    exposure_scale: float = 1.0  # times the recorded mentions; what was mentioned at all stays mentioned
    redealt_share: float = 0.0  # facts whose recorded mentions are dealt out anew among them: this corpus speaks of others more
    contested_kept: float = 1.0  # contested facts whose rival is named here, too

    def problems(self) -> list[str]:
        wrong = within("corpus seed", self.seed, 0, MAX_SEED) + at_least("seen_templates", self.seen_templates, 1)
        for name in ("worn_share", "qa_list_share", "qa_answered_share", "redealt_share", "contested_kept"):
            wrong += within(name, getattr(self, name), 0, 1)
        wrong += within("exposure_scale", self.exposure_scale, 0.01, 100)
        for name in ("qa_documents", "filler_documents"):
            wrong += within(name, getattr(self, name), 0, MAX_DOCUMENTS)
        return wrong


@dataclass(frozen=True)
class PretrainSettings(Record):
    """One tiny model, from nothing."""

    name: str
    source: str = "atlas"
    architecture: str = "llama"  # llama, qwen2 or gpt_neox
    hidden_size: int = 192
    layers: int = 4
    heads: int = 4
    key_value_heads: int | None = None  # fewer than heads: shared by several of them (not in gpt_neox); None: as many
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
    precision: str = later("auto")  # of matrix products: bfloat16, float32, or auto: bfloat16 where the hardware has it
    compile: bool = later(False)  # torch.compile: minutes once, then faster steps
    accumulate: int = later(1)  # a batch goes through the model in so many parts: less memory, the same effective batch

    def problems(self) -> list[str]:
        wrong = one_of("architecture", self.architecture, ("llama", "qwen2", "gpt_neox"))
        wrong += one_of("precision", self.precision, ("auto", "float32", "bfloat16"))
        wrong += one_of("optimizer", self.optimizer, ("muon", "adamw")) + within("seed", self.seed, 0, MAX_SEED)
        wrong += within("learning_rate", self.learning_rate, 1e-9, 1) + within("weight_decay", self.weight_decay, 0, 1)
        for name, most in _MOST.items():
            wrong += within(name, getattr(self, name), 1, most)
        wrong += at_least("limit", self.limit, 1) + at_least("warmup_steps", self.warmup_steps, 0)
        wrong += within("sequence_length", self.sequence_length, 2, 8_192)
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
