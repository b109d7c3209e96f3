"""Models in GGUF files, as Ollama, LM Studio and llama.cpp keep them: which files are one model, what it is, and whether it can be read.

All of it is told by the files' headers, without the libraries that read the weights; gguf_reading.py reads those. What is refused here
is refused by page, preflight and work alike.

transformers reads some architectures, and goes on in silence where a file says more than it knows: tensors it has no place for are left
out, settings it does not look for keep their defaults, experts stay random. So only those architectures are read here for which a model
written to a file and read back gives the same logits (tests/models/test_gguf_families.py), only with the tensors it was tried with, and a
setting that would change the numbers and is not read is a reason to refuse.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftqa_core.artifacts import Kept
from sftqa_core.errors import ModelUnavailable, reason
from sftqa_core.jsonrecord import shown
from sftqa_core.models.gguf.gguf_header import STORED, WHOLE, GgufHeader, Tensor, is_gguf, mean_bits, quantisation, read_header
from sftqa_core.models.model_files import ADAPTER_CONFIG

KIND = "gguf"  # of a ModelCard
ENDING = ".gguf"
_PART = re.compile(r"(?P<stem>.+)-(?P<at>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)
MAX_PARTS = 1_000
MAX_FILES = 10_000  # of a folder that are looked at
_LISTED = 12
_FACTORS = "rope_freqs.weight"
_DECODER = ("attn_norm", "attn_output", "ffn_norm", "ffn_up", "ffn_down")
_SPLIT = (*_DECODER, "attn_q", "attn_k", "attn_v")
_GATED = (*_SPLIT, "ffn_gate")
_GEMMA = (*_GATED, "post_attention_norm", "post_ffw_norm")
_QK_NORMS = ("attn_q_norm", "attn_k_norm")


@dataclass(frozen=True)
class Family:
    """An architecture that can be read: its name in transformers, and the matrices and norms that a layer may have."""

    model_type: str
    layers: tuple[str, ...]
    biased: tuple[str, ...] = ()  # those of them that may have a bias
    positions: bool = False  # learned ones

    def knows(self, name: str) -> bool:
        """Whether a tensor of this name is read."""
        if name in ("token_embd.weight", "output.weight", "output_norm.weight", _FACTORS):
            return name != _FACTORS or self.model_type == "llama"
        if name in ("output_norm.bias", "position_embd.weight"):
            return self.positions if name.startswith("position") else "attn_norm" in self.biased
        layer = re.fullmatch(r"blk\.\d{1,4}\.([a-z_]+)\.(weight|bias)", name)
        return layer is not None and layer[1] in (self.layers if layer[2] == "weight" else self.biased)


FAMILIES = {
    "llama": Family("llama", _GATED),  # TinyLlama, SmolLM 1 and 2, Llama 2 to 3.3, Mistral 7B, Mistral Nemo
    "qwen2": Family("qwen2", _GATED, ("attn_q", "attn_k", "attn_v")),
    "qwen3": Family("qwen3", (*_GATED, *_QK_NORMS)),
    "gemma2": Family("gemma2", _GEMMA),
    "gemma3": Family("gemma3_text", (*_GEMMA, *_QK_NORMS)),
    "phi3": Family("phi3", (*_DECODER, "attn_qkv")),
    "gpt2": Family("gpt2", (*_DECODER, "attn_qkv"), (*_DECODER, "attn_qkv"), positions=True),
}
_VOCABULARIES = ("gpt2", "llama")  # byte-level pairs, and SentencePiece
# tokenizer.ggml.pre: how a byte-level tokenizer cuts a text into words. Of a file that does not say whether a text begins with a token,
# llama.cpp takes that from here (llama-vocab.cpp), too.
CUT_WITH_BEGINNING = ("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "tekken")
CUT_BY_DIGIT = ("smollm", "starcoder", "refact", "command-r", "codeshell")  # single digits, then as GPT-2 does
CUT_KNOWN = (*CUT_WITH_BEGINNING, *CUT_BY_DIGIT, "gpt-2", "qwen2", "deepseek-r1-qwen", "smaug-bpe", "megrez")
_READABLE = frozenset(name for name, _, _ in STORED.values()) - {"Q8_1", "Q8_K", "I8", "I16", "I32", "I64"}
_MISREAD = ("logit_scale", "residual_scale", "embedding_scale", "attention.scale", "attention.clamp_kqv", "attention.max_alibi_bias")
_SCALED = {"llama": ("linear",), "gemma3": ("linear",)}  # ways of stretching positions that gguf_child.py passes on


@dataclass(frozen=True)
class GgufModel:
    """One model in a file, or in the parts of one."""

    parts: tuple[GgufHeader, ...]  # the first has the settings

    @property
    def header(self) -> GgufHeader:
        """Of the first part."""
        return self.parts[0]

    @property
    def files(self) -> list[Path]:
        """In order."""
        return [part.path for part in self.parts]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Of all parts."""
        return tuple(tensor for part in self.parts for tensor in part.tensors)

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(part.size_bytes for part in self.parts)

    @property
    def parameters(self) -> int:
        """Tied embeddings count once."""
        return sum(tensor.numbers for tensor in self.tensors if tensor.name != _FACTORS)

    @property
    def quantisation(self) -> str:
        """Such as "Q4_K_M"."""
        return quantisation(self.header, self.tensors)

    @property
    def rounded(self) -> bool:
        """Whether any of its numbers were rounded to a few bits."""
        return any(STORED[tensor.stored][0] not in WHOLE for tensor in self.tensors)

    @property
    def label(self) -> str:
        """For people, wherever the model is named: "Q4_K_M, from GGUF"."""
        return f"{self.quantisation}, from GGUF"

    @property
    def doubts(self) -> list[str]:
        """What can't be told from the file and may change results, a sentence each."""
        header = self.header
        cut = header.text("tokenizer.ggml.pre") or "not stated"
        if header.text("tokenizer.ggml.model") == "gpt2" and cut not in CUT_KNOWN:
            return [f"How its tokenizer cuts texts into words ({shown(cut)}) is not known here, so it is read as GPT-2's; others differ."]
        return []

    @property
    def bits(self) -> float:
        """Of a number, on average."""
        return mean_bits(self.tensors)

    def config(self) -> dict[str, Any]:
        """What transformers' config.json will say of its widths, as far as forecasts need it."""
        header = self.header
        heads = header.number("attention.head_count")
        widths = {
            "hidden_size": header.number("embedding_length"),
            "num_hidden_layers": header.number("block_count"),
            "num_attention_heads": heads,
            "num_key_value_heads": header.number("attention.head_count_kv") or heads,
            "head_dim": header.number("attention.key_length") or header.number("rope.dimension_count"),
            "intermediate_size": header.number("feed_forward_length"),
            "max_position_embeddings": header.number("context_length"),
            "vocab_size": header.settings.get("tokenizer.ggml.tokens"),
            "rms_norm_eps": header.settings.get(f"{header.architecture}.attention.layer_norm_rms_epsilon"),
        }
        family = FAMILIES.get(header.architecture)
        known = {name: value for name, value in widths.items() if isinstance(value, int | float)}
        return {"model_type": family.model_type if family else header.architecture, "dtype": "float32", **known}


def gguf_at(path: Path) -> GgufModel | None:
    """The model in a GGUF file (with all its parts), or in a folder that holds one; None where there is no GGUF file.

    A folder with safetensors or an adapter is not looked into. Raises `ModelUnavailable` for a damaged file, a missing part, and a
    folder with several models, whose files it lists.
    """
    if path.is_dir():
        return _in_folder(path)
    if is_gguf(path):
        return _whole(path)
    if path.suffix.lower() == ENDING and path.is_file():
        read_header(path)  # raises, and says what is wrong
    return None


def refuse_unreadable(model: GgufModel, name: str) -> None:
    """Raise `ModelUnavailable`, with the reason, for a model that is not read here."""
    if reason := _reason(model):
        raise ModelUnavailable(f"{name} can't be read: {reason}")


_headers: Kept[GgufHeader] = Kept(20)  # a large vocabulary takes half a second


def _header(path: Path) -> GgufHeader:
    stat = path.stat()
    return _headers.get((str(path), stat.st_size, stat.st_mtime_ns), lambda: read_header(path))


def _whole(path: Path) -> GgufModel:
    """The model that a file belongs to: Hugging Face's and llama.cpp's split files are numbered in their names."""
    named = _PART.fullmatch(path.name)
    if named is None:
        header = _header(path)
        if isinstance(of := header.settings.get("split.count"), int) and of > 1:
            raise ModelUnavailable(
                f"{path} is one of {of} parts, and its name does not say which. Name them as they were: name-00001-of-{of:05d}{ENDING}."
            )
        return GgufModel((header,))
    count = int(named["count"])
    if not 1 <= count <= MAX_PARTS:
        raise ModelUnavailable(f"{path} says that it is one of {count:,} parts; 1 to {MAX_PARTS:,} are possible. Fetch it again.")
    names = [f"{named['stem']}-{at:05d}-of-{count:05d}{ENDING}" for at in range(1, count + 1)]
    missing = [name for name in names if not is_gguf(path.with_name(name))]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ModelUnavailable(
            f"{path} is one of {count} parts, and {', '.join(missing[:3])}{more} {'is' if len(missing) == 1 else 'are'} missing in "
            f"{path.parent} (or no GGUF file). Fetch all parts into one folder."
        )
    return _joined(tuple(_header(path.with_name(name)) for name in names))


def _joined(parts: tuple[GgufHeader, ...]) -> GgufModel:
    """Raises `ModelUnavailable` for parts that do not belong together."""
    for at, part in enumerate(parts):
        stated = (part.settings.get("split.no", at), part.settings.get("split.count", len(parts)))
        if stated != (at, len(parts)):
            raise ModelUnavailable(
                f"{part.path} says that it is part {stated[0]} (from 0) of {stated[1]}; its name says part {at} of {len(parts)}. "
                "Fetch the parts again."
            )
    model, total = GgufModel(parts), parts[0].settings.get("split.tensors.count")
    if len({tensor.name for tensor in model.tensors}) < len(model.tensors) or total not in (None, len(model.tensors)):
        raise ModelUnavailable(f"The parts of {parts[0].path} do not belong together: their tensors do not add up. Fetch the parts again.")
    return model


def _in_folder(folder: Path) -> GgufModel | None:
    if any((folder / name).exists() for name in (ADAPTER_CONFIG,)) or any(folder.glob("*.safetensors")):
        return None
    models: dict[tuple[Path, ...], GgufModel] = {}
    for path in _candidates(folder):
        model = _whole(path)
        models.setdefault(tuple(model.files), model)
    languages = [model for model in models.values() if not _is_part_of_another(model)] or list(models.values())
    if len(languages) > 1:
        names = [model.files[0].name for model in languages]
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        listed = "; ".join(f"{folder / name}" for name in names[:_LISTED])
        raise ModelUnavailable(f"{folder} holds {len(names)} GGUF models. Type the path of the one that you mean: {listed}{more}.")
    return languages[0] if languages else None


def _candidates(folder: Path) -> Iterator[Path]:
    """GGUF files by their ending, and files without one that begin as they do (as Ollama keeps them)."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for _, entry in zip(range(MAX_FILES), entries, strict=False))
    except OSError as error:
        raise ModelUnavailable(f"{folder} can't be read ({reason(error)}).") from None
    for name in names:
        ending = Path(name).suffix.lower()
        if ending == ENDING or (not ending and not name.startswith(".")):
            path = folder / name
            if is_gguf(path) or (ending == ENDING and path.is_file()):
                yield path


def _is_part_of_another(model: GgufModel) -> bool:
    """Whether it is no language model, but what lies beside one."""
    header = model.header
    return header.text("general.type") in ("adapter", "mmproj", "imatrix") or header.architecture in ("clip", "mmproj", "imatrix")


def _reason(model: GgufModel) -> str | None:
    """Why a model is not read, with what to do; None for one that is."""
    header, name = model.header, model.header.architecture
    another = "Choose the unquantised model on the hub, or another one."
    kind = header.text("general.type")
    if kind == "adapter":
        return "it is a LoRA adapter in a GGUF file. Use the adapter in the peft layout (adapter_model.safetensors), or a merged model."
    if _is_part_of_another(model):
        return "it is the part of a model that reads images (mmproj), or another part. Choose the language model's file beside it."
    if not name:
        return "it does not say of which architecture it is (general.architecture). Fetch it again."
    if header.settings.get(f"{name}.pooling_type") or header.settings.get(f"{name}.attention.causal") is False:
        return f"it is an embedding model ({shown(name)}), which generates no text. Choose a language model."
    family = FAMILIES.get(name)
    if family is None:
        return f"architecture {shown(name)} is not read from GGUF here; {', '.join(FAMILIES)} are. {another}"
    if header.number("expert_count"):
        return f"it has experts, which transformers does not read from GGUF reliably. {another}"
    if unknown := sorted(tensor.name for tensor in model.tensors if not family.knows(tensor.name)):
        return f"it has {len(unknown)} tensors that transformers would leave out, such as {shown(unknown[0])}. {another}"
    if odd := sorted({STORED[tensor.stored][0] for tensor in model.tensors} - _READABLE):
        return f"its numbers are stored as {', '.join(odd)}, which is not read. Choose another quantisation of it."
    if setting := next((key for key in _MISREAD if header.settings.get(f"{name}.{key}") not in (None, 0, 0.0)), None):
        return f"it sets {name}.{setting}, which transformers does not read, so its answers would be wrong. {another}"
    scaling = header.text(f"{name}.rope.scaling.type") or "none"
    if scaling not in ("none", *_SCALED.get(name, ())):
        return f"it stretches positions by {shown(scaling)}, which transformers does not read, so its answers would be wrong. {another}"
    if header.text("tokenizer.ggml.model") not in _VOCABULARIES:
        return f"its tokenizer ({shown(header.text('tokenizer.ggml.model') or 'none')}) is not read from GGUF. {another}"
    lacking = [key for key in ("embedding_length", "block_count", "attention.head_count") if not header.number(key)]
    return f"it does not state {name}.{lacking[0]}. Fetch it again." if lacking else None
