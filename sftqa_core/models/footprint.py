"""How much RAM, or GPU memory, work with a model takes: arithmetic on its configuration alone, for the forecast, preflight and the
engine alike. No torch.

Bytes at the peak, beside what the process holds before a model is loaded. P is the model's number of parameters, s the bytes
of a loaded number (4 on a processor, 2 on a GPU, devices.NUMBER_FORMATS, and where bfloat16 was asked for), h, q, k, i and V the widths
of the residual stream, of all queries, of all keys, of the feed-forward layer and of the vocabulary.

**Full fine-tuning** works on a float32 copy beside the base model: sP + 4P, gradients 4P, AdamW's two moments 8P. A backward
pass gives up an activation wherever it makes a gradient, so the peak lies at one of its two ends:
- where it begins, all activations and three arrays [tokens, V] in float32 are there: the log-probabilities, the gradient of
  the loss, the gradient of the logits. On a GPU the weights cast to bfloat16 are there, too (2P).
- where the optimizer steps, the gradients and its temporaries are there: the square root and the quotient of one tensor at a time
  on a processor (two of the largest), of all at once on a GPU (4P).
What autograd keeps of a layer for a token, in numbers: of a root-mean-square norm its input, the normalised input and the result
(3h; of a layer norm 2h, and the two of a parallel residual share their input); of attention query, key and value after rotation,
and the result (4q, keys being repeated to the heads; where they come out of one matrix, its q + 2k and a copy of the result as
well); of a gated feed-forward layer gate, activated gate, other factor and product (4i; without a gate 2i). Under bfloat16
autocast the residual stream and what norms keep stay float32, and the rest takes two bytes.

**LoRA** shares the base weights: sP, and 16 bytes a parameter of the adapter, which has r (in + out) of them on each matrix.
Frozen norms keep no normalised input; each matrix keeps r numbers more a token.

**4 bits** (QLoRA, arXiv 2305.14314): of the matrices in the layers a number takes half a byte and its share of the scales (`NF4`);
embeddings, norms and the output head keep the device's format. A matrix is widened while it is used, one at a time.

**Probing and answering** hold sP, keys and values 2k s of each layer, place and slot, the logits of all rows, and what one layer
has in hand: a gated feed-forward layer three arrays [tokens, i] beside three of h. On a GPU slots grow by half of what is needed; on a
processor only those count that were used (engine/packed.py). How many prompts are read together is decided by `prompts_at_once`.
A processor may read the matrices in a copy that is laid out for it (`PACKED`, engine/products.py): all of them are counted, though
only those shapes are copied that were measured to be faster so.

**Holes.** On a processor, glibc takes blocks below 32 MB out of one heap. Blocks of changing sizes that come and go between living
ones leave about as much of it free as is used (Knuth's fifty-percent rule), so what is in hand, or kept for a backward pass, counts
twice. benchmarks/memory.py measures all of it.

**One of several GPUs** that share a model or its training:
- A model whose layers are spread (spreading.py): weights, keys and values are divided; what one layer has in hand and the logits
  are not, since the GPUs work one after the other.
- DDP: every GPU holds the whole model and all that one GPU alone would, for its part of the batch, and its gradients once more
  in the buckets in which they are added up.
- FSDP: weights, gradients and moments are divided, and the base model is not kept beside the one that is trained. Activations are
  those of its part of the batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sftqa_core.errors import SettingsError
from sftqa_core.models.devices import NUMBER_FORMATS, SEPARATE
from sftqa_core.records import TrainSettings

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# Bytes of a number in 4-bit NormalFloat with double quantisation (QLoRA, section 3): a scale of 8 bits to 64 numbers, and one of 32
# bits to 256 of those scales, 0.127 bits a number
NF4 = (4 + 8 / 64 + 32 / (64 * 256)) / 8
STATE_BYTES = {"adamw": 8, "adamw_8bit": 2, "adafactor": 0.1, "sgd": 4}  # of optimizers (training/optimizers.py), a trained parameter
CHECKPOINT_BYTES = 12  # on the disk, a trained parameter: weight and two moments in float32
SHARE_FOR_KEYS = 0.25  # of the free RAM: what keys and values of a batch may take
_AT_ONCE = ((20_000_000, 512), (2_000_000_000, 256), (1 << 62, 128))  # model size in parameters -> prompts
_SMALL = _AT_ONCE[0][0]  # parameters
PACKED = (_SMALL, 600_000_000)  # parameters of models whose weights a processor reads laid out for it, a copy (engine/products.py)
_ROWS = 512  # of a pass, that keep a processor busy with a model that is not small; --places of benchmarks/real.py tries others
_LOGITS = 1 << 27  # numbers
_TOKENS = 1 << 16  # of prompts that are read in one pass
_GROWTH = 1.5  # engine/packed.py
_MEAN_GROWTH = 1.2  # between 1 and that
_HALF_WAY = 0.6
_DRAWING = 1 << 26  # float64 numbers in hand while tokens are drawn on a GPU (engine/drawing.py)
_ENTER = 4  # a quarter of the prompts enters together (engine/decoder.py)
_LEFT = 2  # of the bytes in 4 bits: holes that matrices leave between them as they are quantised, given back after; measured 1 to 4
_DISTINCT = 0.5  # tokens of prompts that enter together to be read, the rest being shared: measured 0.4 to 0.5 on statements
_MOST = 10**9  # of a width: bytes are reckoned in floats, too, and a configuration can say anything
_NAMES = {
    "hidden": ("hidden_size", "n_embd", "d_model"),
    "layers": ("num_hidden_layers", "n_layer", "n_layers"),
    "heads": ("num_attention_heads", "n_head", "n_heads"),
    "key_heads": ("num_key_value_heads",),
    "head_size": ("head_dim",),
    "intermediate": ("intermediate_size", "n_inner", "ffn_dim"),
    "vocabulary": ("vocab_size",),
}


@dataclass(frozen=True)
class Shape:
    """A decoder's widths."""

    parameters: int  # in the weight files, so tied embeddings count once
    hidden: int
    layers: int
    heads: int
    key_heads: int
    head_size: int
    intermediate: int
    vocabulary: int
    gated: bool  # three matrices in the feed-forward layer
    rms_norm: bool  # norms written in single steps, of which autograd keeps one more
    parallel: bool  # attention and feed-forward layer read the same residual stream
    fused: bool  # queries, keys and values are one matrix
    stored_bytes: int  # of a number in the weight files
    nf4: bool = False  # the matrices of the layers are held in 4 bits
    half: bool = False  # held and computed in bfloat16 on a processor, too

    @classmethod
    def of(cls, config: Mapping[str, Any], parameters: int) -> "Shape | None":
        """From a model's config.json; None where it does not name the widths, or has experts, of which only some work at a time."""
        config = {**config, **(config.get("text_config") or {})}
        if any(config.get(name) for name in ("num_local_experts", "num_experts", "n_routed_experts")):
            return None
        # the first of a width's names that holds a positive whole number no larger than any model's, else 0
        values = {width: (config.get(name) for name in names) for width, names in _NAMES.items()}
        widths = {width: next((v for v in of if type(v) is int and 0 < v <= _MOST), 0) for width, of in values.items()}
        hidden, layers, heads, vocabulary = (widths[name] for name in ("hidden", "layers", "heads", "vocabulary"))
        if not (hidden and layers and heads and vocabulary):
            return None
        key_heads, size = widths["key_heads"] or heads, widths["head_size"] or hidden // heads
        inner = widths["intermediate"] or 4 * hidden
        rms = config.get("rms_norm_eps") is not None
        return cls(
            parameters, hidden, layers, heads, key_heads, size, inner, vocabulary,
            gated=rms or str(config.get("hidden_act")) in ("silu", "swish"),
            rms_norm=rms,
            parallel=bool(config.get("use_parallel_residual", config.get("parallel_attn"))),
            fused=config.get("model_type") in ("gpt_neox", "gpt2", "bloom", "falcon", "phi3"),
            stored_bytes=BYTES.get(str(config.get("dtype") or config.get("torch_dtype")), 4),
        )  # fmt: skip

    @classmethod
    def of_loaded(cls, model: Any) -> "Shape | None":
        """Of a transformers model, whose configuration has one name for a width in every family; experts do not matter to its keys."""
        config = model.config.get_text_config()
        widths = {name: getattr(config, name, None) for name, *_ in _NAMES.values()}
        return cls.of({**widths, "vocab_size": model.get_output_embeddings().weight.shape[0]}, model.num_parameters())

    @property
    def queries(self) -> int:
        """Numbers in all heads' queries of a token."""
        return self.heads * self.head_size

    @property
    def keys(self) -> int:
        """Numbers in all heads' keys of a token; as many are in its values."""
        return self.key_heads * self.head_size

    @property
    def matrices(self) -> int:
        """Matrices of a layer."""
        return (2 if self.fused else 4) + (3 if self.gated else 2)

    @property
    def linear(self) -> int:
        """Numbers in the matrices of all layers: what is held in 4 bits, where a model is."""
        attention = 2 * self.hidden * (self.queries + self.keys)
        return self.layers * (attention + (3 if self.gated else 2) * self.hidden * self.intermediate)

    @property
    def largest(self) -> int:
        """Numbers in the largest tensor."""
        return self.hidden * max(self.vocabulary, self.intermediate)

    def in_4_bits(self) -> "Shape":
        """The same model, loaded in 4 bits: for all that is asked here but full fine-tuning, which needs whole weights."""
        return replace(self, nf4=True)

    def in_bfloat16(self) -> "Shape":
        """The same model, loaded in bfloat16 on any device: for probing."""
        return replace(self, half=True)

    def adapter(self, rank: int) -> int:
        """Parameters of a LoRA adapter of this rank on every matrix but the output head: rank x (in + out) each."""
        attention = 2 * (self.hidden + self.queries) + 2 * (self.hidden + self.keys)
        if self.fused:
            attention -= 2 * self.hidden
        return rank * self.layers * (attention + (3 if self.gated else 2) * (self.hidden + self.intermediate))


@dataclass(frozen=True)
class Footprint:
    """Bytes at the peak, by what they are for. The parts need not be there at the same moment, so `total` may be less than their sum."""

    weights: int  # base model and, in full fine-tuning, its copy; or base and adapter
    gradients: int = 0
    optimizer: int = 0  # moments and, while it steps, temporaries
    activations: int = 0
    keys_values: int = 0
    logits: int = 0
    packed: int = 0  # a copy of the matrices, laid out for a processor
    reading: int = 0  # pages of weight files while they are converted, which the system can take back when it must
    total: int = 0

    @property
    def least(self) -> int:
        """What there must be: the total without what the system can take back."""
        held = self.weights + self.gradients + self.optimizer + self.activations + self.keys_values + self.logits + self.packed
        return min(self.total, held)


@dataclass(frozen=True)
class TuningStep:
    """What a step of fine-tuning is made of, as far as its footprint goes."""

    method: str  # full or lora
    rank: int  # of lora
    examples: int  # on the device at once; of several GPUs, on all of them
    length: int  # tokens of the longest one
    state_bytes: float = 8  # of the optimizer, a trained parameter
    checkpointing: bool = False  # autograd keeps each layer's input alone, and all of one layer while it is computed again

    @classmethod
    def of(cls, settings: TrainSettings, examples: int, length: int) -> "TuningStep":
        """A run's step, on at most so many examples."""
        at_once = max(1, min(settings.micro_batch or settings.batch_size, examples))
        state = STATE_BYTES[settings.optimizer]
        return cls(settings.method, settings.lora_rank, at_once, length, state, settings.gradient_checkpointing)


def tuning(shape: Shape, device: str, step: TuningStep) -> Footprint:
    """Fine-tuning on one device; later steps, when there are moments. Raises `SettingsError` for tuning all of a model in 4 bits."""
    full, half = step.method == "full", NUMBER_FORMATS[device] == "bfloat16"
    tokens, rank = step.examples * step.length, step.rank
    if full and shape.nf4:
        raise SettingsError("Weights in 4 bits can't be tuned themselves. Choose method lora, or load the model whole.")
    base, trained = weight_bytes(shape, device), shape.parameters if full else shape.adapter(rank)
    weights, gradients, moments = base + 4 * trained, 4 * trained, round(step.state_bytes * trained)
    largest = shape.largest if full else rank * max(shape.hidden, shape.intermediate)
    stepping = 4 * trained if device in SEPARATE else 2 * 4 * largest
    layer = _kept(shape, half, full, 0 if full else rank)
    kept = tokens * ((shape.layers * 4 * shape.hidden + layer if step.checkpointing else shape.layers * layer) + 3 * 4 * shape.hidden)
    kept += _widened(shape, device)
    cast = 2 * trained if half else 0
    logits = 3 * 4 * tokens * shape.vocabulary
    begins, steps = weights + moments + kept + cast + logits, weights + moments + gradients + stepping
    holes = kept if device == "cpu" else 0
    whole = Footprint(weights, gradients, moments + stepping, kept + cast + holes, 0, logits, total=max(begins, steps) + holes)
    return _with_reading(shape, device, whole)


def _kept(shape: Shape, half: bool, full: bool, rank: int) -> int:
    """Bytes that autograd keeps of one layer for one token; `half`: under bfloat16 autocast."""
    number = 2 if half else 4
    norms = 1 if shape.parallel else 2  # inputs of norms; each of the two norms has a result
    stream = 4 * shape.hidden * (norms + (2 if shape.rms_norm and full else 0))
    results = 2 * shape.hidden
    attention = 4 * shape.queries + (shape.queries + 2 * shape.keys if shape.fused else 0)
    inner = (4 if shape.gated else 2) * shape.intermediate
    if half and not full:  # peft casts its input anew for each matrix
        results = (5 if shape.gated else 2) * shape.hidden if not shape.fused else 2 * shape.hidden
        inner += shape.intermediate
        attention += shape.queries
    return stream + number * (results + attention + inner + rank * shape.matrices)


def decoding(shape: Shape, device: str, places: int, rows: int, length: int, new_tokens: int, open_share: float = 1.0) -> Footprint:
    """Probing: `places` prompts of at most `length` tokens under way, each split into up to `rows` rows of `new_tokens`.

    `open_share` is the share of those rows that are there at a time; 1: samples differ from the first token on, and none stops
    early. Where some do, rows of every age are under way, so that they hold little more than half of their tokens.
    """
    number = _number(shape, device)
    open_rows = max(places, round(open_share * places * rows))
    needed = length + round(_HALF_WAY * open_share * rows * new_tokens)
    slots = _slots(device, length, rows, new_tokens)
    if open_share < 1:
        slots = needed if device == "cpu" else round(_MEAN_GROWTH * needed)
    entering = round(_DISTINCT * length * -(-places // _ENTER))
    tokens = entering + (1 - 1 / _ENTER) * open_rows if new_tokens else _DISTINCT * length * places
    cells = shape.heads * slots * max(open_rows, entering)
    busy = _in_hand(shape, device, int(max(tokens, open_rows)), cells)
    drawing = min(_DRAWING, open_rows * shape.vocabulary) * 8 if device != "cpu" else 0
    kept = 2 * number * shape.keys * shape.layers * places * slots
    return _running(shape, device, busy, kept, number * open_rows * shape.vocabulary + drawing)


def answering(shape: Shape, device: str, places: int, length: int, new_tokens: int) -> Footprint:
    """The most probable answers to `places` questions of at most `length` tokens at a time."""
    number = _number(shape, device)
    slots = _slots(device, length, 1, new_tokens)
    tokens = max(places, length * -(-places // _ENTER))
    busy = _in_hand(shape, device, tokens, shape.heads * slots * tokens)
    kept = 2 * number * shape.keys * shape.layers * places * slots
    # the log-probability is taken in float64: the logits so, and their exponentials
    return _running(shape, device, busy, kept, (number + 8 + 8) * places * shape.vocabulary)


def coarse(parameters: int, device: str, method: str | None = None, nf4: bool = False, half: bool = False) -> Footprint:
    """What can be told from the number of parameters alone: weights and, in full fine-tuning (`method`), gradients and moments.

    With `nf4` it is the least there can be: how many parameters are in embeddings, which stay whole, is not known. `half` as in `Shape`.
    """
    weights = round(NF4 * parameters) if nf4 else (BYTES["bfloat16"] if half else BYTES[NUMBER_FORMATS[device]]) * parameters
    if method != "full":
        return Footprint(weights, total=weights)
    return Footprint(weights + 4 * parameters, 4 * parameters, 8 * parameters, total=weights + 16 * parameters)


def weight_bytes(shape: Shape, device: str) -> int:
    """Of a model's weights on a device."""
    whole = shape.parameters - (shape.linear if shape.nf4 else 0)
    return _number(shape, device) * whole + (round(NF4 * shape.linear) if shape.nf4 else 0)


def _packed_bytes(shape: Shape, device: str) -> int:
    """Of the copy of a model's matrices that is laid out for a processor, at most."""
    least, most = PACKED
    if device != "cpu" or not least < shape.parameters <= most:
        return 0
    return _number(shape, device) * ((0 if shape.nf4 else shape.linear) + shape.hidden * shape.vocabulary)


def checkpoint_bytes(trained: int) -> int:
    """What the disk must have free for a checkpoint of so many trained parameters: the last one stays until the next is whole."""
    return 2 * CHECKPOINT_BYTES * trained


def prompts_at_once(shape: Shape, device: str, length: int, rows: int, new_tokens: int, free_bytes: float) -> int:
    """How many prompts are read together so that logits, keys and values have room; at least 1. The results do not depend on it.

    `length` is the longest prompt's, `rows` the rows that each may split into, `new_tokens` the tokens of a row, `free_bytes` what the
    device has free beside the weights. Enough rows to keep it busy, no more.
    """
    token_bytes = 2 * _number(shape, device) * shape.layers * shape.keys
    limits = (
        next(prompts for parameters, prompts in _AT_ONCE if shape.parameters <= parameters),
        _LOGITS // (shape.vocabulary * rows),
        int(SHARE_FOR_KEYS * free_bytes) // (token_bytes * (length + rows * new_tokens)),
        _TOKENS // length,
        *((_ROWS // rows,) if device == "cpu" and shape.parameters > _SMALL else ()),
    )
    return max(1, min(limits))


def _number(shape: Shape, device: str) -> int:
    return BYTES["bfloat16" if shape.half else NUMBER_FORMATS[device]]


def _slots(device: str, length: int, rows: int, new_tokens: int) -> int:
    """Slots that a place has in the end: each step needs one a row, and a GPU's room grows when there is too little."""
    if device == "cpu":
        return length + rows * new_tokens
    slots = 0
    for needed in range(length, length + rows * new_tokens + 1, rows):
        slots = slots if needed <= slots else int(_GROWTH * needed)
    return slots


def _in_hand(shape: Shape, device: str, tokens: int, cells: int) -> int:
    """Bytes of what one layer works on: widths of `tokens`, or `cells` (heads x queries x keys) of attention in float32, twice."""
    wide = (3 if shape.gated else 2) * shape.intermediate + 3 * shape.hidden
    attending = tokens * _number(shape, device) * (2 * shape.hidden + 3 * shape.queries + 4 * shape.keys) + (
        0 if device in SEPARATE else 2 * 4 * cells
    )
    return max(tokens * _number(shape, device) * wide, attending)


def _running(shape: Shape, device: str, busy: int, keys_values: int, logits: int) -> Footprint:
    weights, packed, busy = weight_bytes(shape, device), _packed_bytes(shape, device), busy + _widened(shape, device)
    busy = 2 * busy if device == "cpu" else busy  # holes: see above
    together = busy + logits if device == "cpu" else max(busy, logits)  # on a processor they are there at the same time
    whole = Footprint(weights, 0, 0, busy, keys_values, logits, packed, total=weights + packed + keys_values + together)
    return _with_reading(shape, device, whole)


def _with_reading(shape: Shape, device: str, work: Footprint) -> Footprint:
    """On a processor a file's numbers are converted, or quantised, while its pages are in RAM."""
    if device != "cpu" or (shape.stored_bytes == _number(shape, device) and not shape.nf4):
        return work
    reading = shape.stored_bytes * shape.parameters + (round(_LEFT * NF4 * shape.linear) if shape.nf4 else 0)
    return replace(work, reading=reading, total=max(work.total, weight_bytes(shape, device) + reading))


def _widened(shape: Shape, device: str) -> int:
    """Bytes of the largest matrix while it is used."""
    return _number(shape, device) * shape.hidden * max(shape.intermediate, shape.queries) if shape.nf4 else 0


def spread_over(alone: Footprint, gpus: int) -> Footprint:
    """Probing or answering with the layers on so many GPUs."""
    weights, kept = alone.weights // gpus, alone.keys_values // gpus
    saved = alone.weights - weights + alone.keys_values - kept
    return replace(alone, weights=weights, keys_values=kept, total=alone.total - saved)


def tuning_together(shape: Shape, device: str, step: TuningStep, gpus: int, sharding: str) -> Footprint:
    """Fine-tuning on so many GPUs, "ddp" or "fsdp", which share the step's examples."""
    alone = tuning(shape, device, replace(step, examples=-(-step.examples // gpus)))
    if gpus == 1:
        return alone
    if sharding == "ddp":
        return replace(alone, gradients=2 * alone.gradients, total=alone.total + alone.gradients)
    trained = alone.gradients // 4
    weights = (4 * trained if step.method == "full" else alone.weights) // gpus
    gradients, optimizer, moments = alone.gradients // gpus, alone.optimizer // gpus, round(step.state_bytes * trained) // gpus
    # the peak is where a backward pass begins, or where the optimizer steps
    peak = max(moments + alone.activations + alone.logits, optimizer + gradients)
    return replace(alone, weights=weights, gradients=gradients, optimizer=optimizer, total=weights + peak)
