"""Heavy: pre-train a tiny causal language model, and its tokenizer, on a corpus written from facts (METHOD section 6); or go on with the
pre-training of another model, on such a corpus.

    sftqa pretrain atlas-llama
    sftqa pretrain taught --from FOLDER --source FACTS

Minutes on two cores. Seeded; stopped at any step it resumes from its checkpoint and ends with the same weights. The checkpoint lies
beside the model's future folder, under a hidden name, and holds everything the next step depends on. It belongs to one pre-training, source
and set of library versions: any other starts afresh.
"""

import io
import logging
import math
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
import transformers

from sftqa_core.artifacts import read_file, read_manifest, remove, set_aside, versions, write_folder
from sftqa_core.errors import ArtifactDamaged, NotFound, OtherVersion, SettingsError, Stopped, first_line
from sftqa_core.jsonrecord import digest, fingerprint
from sftqa_core.knowledge.corpus import corpus_of
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.models import catalogue, devices, loading
from sftqa_core.progress import Phase, Reporter, Silent
from sftqa_core.records import ModelCard, PretrainSettings

END = "<|end|>"  # starts every document and every prompt, ends every document: beginning and end token in one
PAD = "<|pad|>"  # not the end token: padding that looks like the end is how models unlearn to stop
END_ID, PAD_ID = 0, 1
MAX_POSITIONS = 512
CLIP_NORM = 1.0
STATE = "state.pt"
CHECKPOINT_STEPS = 250
FINAL_RATE_SHARE = 0.03  # the cosine ends here, as a share of the learning rate
TOKENIZER_SAMPLE = 60_000  # documents the tokenizer is trained on
_ENCODED_AT_ONCE = 100_000  # documents; an encoding takes a hundred times the RAM of its ids
_log = logging.getLogger(__name__)


def train_tokenizer(documents: Iterable[str], vocabulary: int) -> Any:
    """A byte-level BPE `tokenizers.Tokenizer` of at most `vocabulary` entries that puts the end token before each text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{END} $A", pair=f"{END} $A $B", special_tokens=[(END, END_ID)])
    return tokenizer


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write the files that `AutoTokenizer` loads."""
    named = {"bos_token": END, "eos_token": END, "pad_token": PAD}
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named, clean_up_tokenization_spaces=False)
    fast.save_pretrained(folder)


def build_model(settings: PretrainSettings, vocabulary: int, attention: str = "eager") -> Any:
    """An untrained model with tied embeddings; torch's seed decides its weights. `attention`: transformers' name of how it is computed."""
    common: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": settings.hidden_size,
        "intermediate_size": settings.intermediate_size,
        "num_hidden_layers": settings.layers,
        "num_attention_heads": settings.heads,
        "max_position_embeddings": max(MAX_POSITIONS, settings.sequence_length),
        "bos_token_id": END_ID,
        "eos_token_id": END_ID,
        "pad_token_id": PAD_ID,
        "tie_word_embeddings": True,
        "attn_implementation": attention,
    }
    if settings.architecture != "gpt_neox":
        common["num_key_value_heads"] = settings.key_value_heads or settings.heads
    return transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(settings.architecture, **common))


@dataclass(frozen=True)
class Place:
    """Where and in which number format the training runs."""

    device: str
    bfloat16: bool  # matrix products in bfloat16; weights and optimizer stay float32

    @classmethod
    def choose(cls, device: str, precision: str = "auto") -> "Place":
        """`auto` takes the GPU if there is one; and bfloat16 wherever the hardware has it, as it is faster there."""
        name = devices.resolve_device(device)
        if precision != "auto":
            return cls(name, precision == "bfloat16")
        if name == "cpu":  # native arithmetic only; emulating it would be slower than float32
            capability = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
            return cls(name, bool(capability.get("amx_bf16") or capability.get("avx512_bf16")))
        return cls(name, name != "mps" and torch.cuda.is_bf16_supported())

    @property
    def torch(self) -> str:
        """What torch calls the device."""
        return devices.torch_device(self.device)

    @property
    def attention(self) -> str:
        """transformers' name of the fastest attention: measured on a processor, sequences this short train a quarter faster with eager."""
        return "eager" if self.device == "cpu" else "sdpa"


def step(model: Any, optimizers: Sequence[torch.optim.Optimizer], batch: torch.Tensor, place: Place, parts: int = 1) -> float:
    """Learn one batch, token ids [sequences, length], that goes through the model in `parts` of as many sequences each.

    Gradients are added up, so the parts change the footprint and, but for rounding, not the result. Returns the mean loss.
    """
    total = 0.0
    for part in batch.chunk(parts):
        with torch.autocast(torch.device(place.torch).type, torch.bfloat16, enabled=place.bfloat16):
            logits = model(input_ids=part, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, logits.size(-1)).float(), part[:, 1:].reshape(-1)) / parts
        loss.backward()
        total += loss.item()
    torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return total


@contextmanager
def compiled(model: Any, wanted: bool) -> Iterator[Any]:
    """A callable in place of `model` that shares its weights: `torch.compile` of it where that is wanted, else the model itself.

    Compilation happens at the first call. Raises `SettingsError` where this machine can't compile.
    """
    if not wanted:
        yield model
        return
    from torch._dynamo.exc import TorchDynamoException

    try:
        yield torch.compile(model)
    except TorchDynamoException as error:
        cause = first_line(getattr(error, "inner_exception", error))
        raise SettingsError(
            f"torch.compile does not work for this model on this machine ({cause}). It needs a C++ compiler and, "
            "on a GPU, Triton. Leave out --compile: training gives the same model, more slowly."
        ) from error


@dataclass(frozen=True)
class Checkpoint:
    """Where one pre-training's state is kept; `work` is the fingerprint of its settings, corpus, device and versions."""

    folder: Path
    work: str

    @classmethod
    def beside(cls, target: Path, work: str) -> "Checkpoint":
        """The checkpoint that belongs to the model folder `target`."""
        return cls(target.with_name(f".{target.name}.unfinished"), work)

    def save(self, step: int, seconds: float, model: Any, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        """Keep the state after `step` steps; a reader sees the old state or the new one. Raises `StorageError`."""
        state = {
            "work": self.work,
            "step": step,
            "seconds": seconds,
            "model": model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in optimizers],
            "random": torch.get_rng_state(),
        }

        def fill(work: Path) -> None:
            with (work / STATE).open("wb") as handle:  # a path would leave the writing, and its errors, to C++
                torch.save(state, handle)

        write_folder(self.folder, fill, {"kind": "checkpoint", "work": self.work, "step": step})

    def restore(self, model: Any, optimizers: Sequence[torch.optim.Optimizer]) -> tuple[int, float]:
        """Steps done and seconds spent before; (0, 0.0) and nothing changed if there is no whole state of this work.

        A damaged one is named in the log and set aside. Raises `OtherVersion` for one that `save` may not replace.
        """
        try:
            manifest = read_manifest(self.folder)
            if manifest.get("work") != self.work:
                return 0, 0.0
            state = torch.load(io.BytesIO(read_file(self.folder, STATE, manifest)), map_location="cpu", weights_only=True)
        except NotFound:
            return 0, 0.0
        except OtherVersion:
            raise
        except ArtifactDamaged as error:
            moved = set_aside(self.folder)
            _log.warning("%s The pre-training starts afresh%s.", error, f"; it was set aside as {moved.name}" if moved else "")
            return 0, 0.0
        model.load_state_dict(state["model"])
        for optimizer, kept in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        torch.set_rng_state(state["random"])
        return state["step"], state["seconds"]

    def forget(self) -> None:
        """Remove the state: the model is finished."""
        remove(self.folder)


class Start(Protocol):
    """What a pre-training starts with: a model in training, how documents are encoded for it, how both are written down."""

    model: Any
    end: int  # id of the token behind the last document of an epoch

    def encode(self, documents: list[str]) -> list[np.ndarray]:
        """Token ids of each document, with what stands before or behind it."""

    def save(self, folder: Path) -> None:
        """Weights and tokenizer."""

    @property
    def identity(self) -> dict[str, Any]:
        """For the manifest: what it is that the model goes on from."""

    def read(self, facts: pd.DataFrame) -> pd.DataFrame:
        """Of each fact what the model has read after these (`Corpus.facts`)."""

    def wordings(self, seen: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """The same of the templates that it has seen (`Corpus.seen_templates`)."""


class FromNothing:
    """A tiny model of random weights, and a tokenizer trained on its corpus."""

    end = END_ID

    def __init__(self, settings: PretrainSettings, documents: list[str], place: Place):
        if len(documents) > TOKENIZER_SAMPLE:
            documents = random.Random(f"tokenizer {settings.seed}").sample(documents, TOKENIZER_SAMPLE)
        self.tokenizer = train_tokenizer(documents, settings.vocabulary)
        torch.manual_seed(settings.seed)
        self.model = build_model(settings, self.tokenizer.get_vocab_size(), place.attention).to(place.torch)

    @property
    def identity(self) -> dict[str, Any]:
        return {}

    def read(self, facts: pd.DataFrame) -> pd.DataFrame:
        return facts

    def wordings(self, seen: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        return seen

    def encode(self, documents: list[str]) -> list[np.ndarray]:
        return [np.array(encoding.ids, dtype=np.int32) for encoding in self.tokenizer.encode_batch(documents)]

    def save(self, folder: Path) -> None:
        self.model.half().save_pretrained(folder)
        save_tokenizer(self.tokenizer, folder)


class FromModel:
    """A model that was made elsewhere, in float32: half precision would lose most of what a small rate changes."""

    def __init__(self, settings: PretrainSettings, place: Place, reporter: Reporter):
        # on the processor first, in float32: a GPU's own format would have rounded the values already
        self.loaded = loading.load_model(catalogue.find_model(str(settings.base)), "cpu", reporter=reporter)
        self.model, self.end = self.loaded.model.float().to(place.torch), self.loaded.end_ids[0]
        for module in self.model.modules():  # no dropout: a resume on a GPU, whose generator is not kept, would draw another one
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            if isinstance(getattr(module, "attention_dropout", None), float):
                module.attention_dropout = 0.0
        torch.manual_seed(settings.seed)

    @property
    def identity(self) -> dict[str, Any]:
        return {"base": {"name": self.loaded.card.name, **self.loaded.fingerprint.to_dict()}}

    def read(self, facts: pd.DataFrame) -> pd.DataFrame:
        """A model that was made here has read of facts before: mentions add up, and what was a carrier or contested stays so."""
        before = catalogue.exposures(self.loaded.card)
        if before is None:
            return facts
        kinds = {"exposures": "sum", "carrier": "any", "contested": "any", "rival_share": "max"}
        both = pd.concat([before, facts], ignore_index=True)
        for name in {"carrier", "contested"} & set(both):  # of what only one of the two texts says it
            both[name] = both[name].eq(True)
        return both.groupby("fact_id", sort=False).agg({name: kinds[name] for name in both if name in kinds}).reset_index()

    def wordings(self, seen: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        before = catalogue.seen_templates(self.loaded.card)
        return {name: tuple(sorted({*before.get(name, ()), *seen.get(name, ())})) for name in {**before, **seen}}

    def encode(self, documents: list[str]) -> list[np.ndarray]:
        return [np.array([*ids, self.end], dtype=np.int32) for ids in loading.encode_prompts(self.loaded, documents)]

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder)
        self.loaded.tokenizer.save_pretrained(folder)


def pretrain(settings: PretrainSettings, source: FactSource, target: Path, reporter: Reporter | None = None) -> ModelCard:
    """Pre-train as `settings` say on the facts of `source` and put the finished model at `target`.

    The folder holds safetensors (fp16; of a model that goes on from another float32), tokenizer, `exposures.parquet` (what the corpus said
    of each fact) and a manifest. Raises `Stopped` when asked to stop; the same call then goes on from the checkpoint. Raises what loading
    does for a model to go on from.
    """
    reporter = reporter or Silent()
    preparing = Phase(reporter, "preparing the corpus", 3, "parts")
    corpus = corpus_of(settings, source)
    reporter.log(f"Corpus of {len(corpus.documents):,} documents from {len(corpus.facts):,} facts.")
    preparing.advance(1)
    place = Place.choose(settings.device, settings.precision)
    start: Start = FromModel(settings, place, reporter) if settings.base else FromNothing(settings, corpus.documents, place)
    preparing.advance(1)
    blocks = _blocks(settings, corpus.documents, start)
    preparing.advance(1)
    written = digest("\x1e".join(corpus.documents))
    work = fingerprint({"settings": settings.to_dict(), "corpus": written, "place": vars(place), "versions": versions(), **start.identity})
    model = start.model
    checkpoint = Checkpoint.beside(target, work)
    seconds, loss = _train(model, blocks, settings, place, checkpoint, reporter)
    manifest = {
        "kind": "model",
        "settings": settings.to_dict(),
        "source": {"name": source.name, "fingerprint": source.fingerprint},
        **start.identity,
        "corpus": {"fingerprint": written, "documents": corpus.counts, "seen_templates": start.wordings(corpus.seen_templates)},
        "architecture": model.config.model_type,
        "parameters": model.num_parameters(),
        "training": {
            "tokens": len(blocks) // settings.batch_size * settings.batch_size * settings.sequence_length,
            "steps": len(blocks) // settings.batch_size,
            "seconds": round(seconds, 1),
            "final_loss": round(loss, 4),
            "device": place.device,
            "bfloat16": place.bfloat16,
            "attention": model.config._attn_implementation,
            "threads": torch.get_num_threads(),
        },
    }

    def fill(folder: Path) -> None:
        with loading.no_progress_bar():
            start.save(folder)
        start.read(corpus.facts).to_parquet(folder / catalogue.EXPOSURES, index=False)

    write_folder(target, fill, manifest)
    checkpoint.forget()
    reporter.log(f"{settings.name}: {model.num_parameters():,} parameters, {blocks.size:,} tokens, {seconds:.0f} s.")
    return catalogue.folder_card(target, settings.name, "pretrained")


def learning_rate(settings: PretrainSettings, step: int, steps: int) -> float:
    """The rate of step `step` of `steps` (from 0): linear warm-up times a cosine that ends at 3%."""
    warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * step / max(1, steps)))
    return settings.learning_rate * warm * (FINAL_RATE_SHARE + (1 - FINAL_RATE_SHARE) * cosine)


def _blocks(settings: PretrainSettings, documents: list[str], start: Start) -> np.ndarray:
    """Token ids [blocks, sequence_length]: each epoch's documents in an order of their own, packed without gaps."""
    encoded = [
        ids for first in range(0, len(documents), _ENCODED_AT_ONCE) for ids in start.encode(documents[first : first + _ENCODED_AT_ONCE])
    ]
    order = random.Random(f"order {settings.seed}")
    parts = []
    for _ in range(settings.epochs):
        order.shuffle(encoded)
        stream = np.concatenate([*encoded, np.array([start.end], dtype=np.int32)])
        parts.append(stream[: len(stream) // settings.sequence_length * settings.sequence_length])
    blocks = np.concatenate(parts).reshape(-1, settings.sequence_length)
    if len(blocks) < settings.batch_size:
        raise SettingsError(
            f"The corpus fills {len(blocks)} sequences of {settings.sequence_length} tokens, one batch needs {settings.batch_size}. "
            "Use more facts or exposures, or a smaller batch_size."
        )
    return blocks


def _train(
    model: Any, blocks: np.ndarray, settings: PretrainSettings, place: Place, checkpoint: Checkpoint, reporter: Reporter
) -> tuple[float, float]:
    """Run all steps. Returns seconds spent (with those before a stop) and the last steps' mean loss."""
    steps = len(blocks) // settings.batch_size
    optimizers = build_optimizers(model, settings)
    first, before_s = checkpoint.restore(model, optimizers)
    started = time.monotonic()
    phase = Phase(reporter, "pre-training", steps, "steps", done=first, started_s=started - before_s)
    recent: list[float] = []
    model.train()
    with compiled(model, settings.compile) as called:
        for at in range(first, steps):
            batch = torch.from_numpy(blocks[at * settings.batch_size : (at + 1) * settings.batch_size]).long().to(place.torch)
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(settings, at, steps)
            recent = [*recent[-49:], step(called, optimizers, batch, place, settings.accumulate)]
            spent = before_s + time.monotonic() - started
            if (at + 1) % CHECKPOINT_STEPS == 0 and at + 1 < steps:
                checkpoint.save(at + 1, spent, model, optimizers)
            try:
                phase.advance(1, loss=sum(recent) / len(recent))
            except Stopped:
                checkpoint.save(at + 1, spent, model, optimizers)
                raise
    return before_s + time.monotonic() - started, sum(recent) / max(1, len(recent))


def build_optimizers(model: Any, settings: PretrainSettings) -> list[torch.optim.Optimizer]:
    """AdamW; with `optimizer` "muon" only for embeddings and norms, and Muon for the layers' matrices.

    Muon remembers rare facts from far fewer mentions. Its rate is scaled to AdamW's, so one learning rate serves both.
    """
    tables = [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    apart = {id(p) for module in (*tables, model.get_output_embeddings()) if module is not None for p in module.parameters()}
    layers = [p for p in model.parameters() if settings.optimizer == "muon" and p.ndim == 2 and id(p) not in apart]
    taken = {id(p) for p in layers}
    others = [p for p in model.parameters() if id(p) not in taken]
    decay = settings.weight_decay
    adamw = torch.optim.AdamW(others, lr=settings.learning_rate, betas=(0.9, 0.95), weight_decay=decay, fused=True)
    if not layers:
        return [adamw]
    return [adamw, torch.optim.Muon(layers, lr=settings.learning_rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw")]
